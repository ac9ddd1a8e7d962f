//! One boot, from what a machine claims to what it is told.

pub mod claims;
pub mod decide;
pub mod event;
pub mod plan;
pub mod session;
pub mod state;
pub mod wave;
