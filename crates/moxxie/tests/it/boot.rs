//! The boot path from end to end.
