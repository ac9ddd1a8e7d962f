//! What the tests need around Moxxie: servers that misbehave on demand. Never shipped, and knows
//! nothing of the other crates.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a lab that cannot be set up ends the test")]

pub mod faults;
pub mod s3;
