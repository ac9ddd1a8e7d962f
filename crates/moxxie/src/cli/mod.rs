//! cli stub
pub mod out;
pub mod serve;
