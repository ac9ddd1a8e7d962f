//! The service as machines and operators meet it: whole requests through the real router, on
//! SQLite in a temporary folder, with a clock that stands until a test pushes it.
//!
//! One binary, because linking is what costs. Nothing here sleeps for time to pass and nothing
//! measures it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod api;
mod approvals;
mod audit;
mod backups;
mod bad_headers;
mod bad_input;
mod bad_values;
mod boot;
mod catalogue;
mod cves;
mod doctor;
mod downloads;
mod firmware;
mod fuzz_corpus;
mod imports;
mod iso;
mod iso_hostile;
mod limits;
mod members;
mod network_config;
mod openapi;
mod refusals;
mod remote;
mod roles;
mod scrub;
mod seats;
mod shelf;
mod syslog;
mod tftp;
mod threats;
mod troubleshoot;
mod uploads;
mod util;
mod watch;
mod waves;
