//! moxxie
pub mod cli;
