//! The boot routes: for machines, without login.

pub mod asset;
pub(crate) mod body;
pub mod config;
pub mod contention;
pub mod firmware;
pub mod gate;
pub mod member;
pub mod menu;
pub mod reply;
pub mod report;
pub mod send;
pub mod waiting;
