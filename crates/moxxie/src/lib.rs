//! moxxie
