//! One boot, from what a machine claims to what it is told.

pub mod approval;
pub mod claims;
pub mod decide;
pub mod event;
pub mod place;
pub mod plan;
pub mod rival;
pub mod session;
pub mod state;
pub mod wave;
