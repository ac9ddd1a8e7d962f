//! The API.

pub mod v1;
