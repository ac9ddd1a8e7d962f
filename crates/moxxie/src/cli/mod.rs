//! cli stub
pub mod out;
