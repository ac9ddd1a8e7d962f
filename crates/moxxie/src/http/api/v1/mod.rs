//! Version 1: one file per endpoint, or per small resource.

pub mod apply;
pub mod approvals;
pub mod assets;
pub mod assignments;
pub mod audit;
pub mod backup;
pub mod config;
pub mod doctor;
pub mod downloads;
pub mod events;
pub mod explain;
pub mod extract;
pub mod firmware;
mod incoming;
pub mod machines;
pub mod network_config;
pub mod page;
pub mod profiles;
pub mod revision;
pub mod secrets;
pub mod tokens;
pub mod troubleshoot;
pub mod uploads;
