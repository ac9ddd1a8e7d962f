//! iPXE text that is safe by construction.

pub mod word;
pub use word::{Word, WordError};
