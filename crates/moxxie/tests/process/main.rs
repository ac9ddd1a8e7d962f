//! Faults, told to the real program: it is started, killed, stopped and cut off from its database
//! as a site would do it, and asked over HTTP what a machine or an operator would ask.
//!
//! Nothing here measures time. Waits end when the awaited thing is there, and fail after a limit
//! so generous that only a hang reaches it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a test may fail by panicking, and has to start programs"
)]

mod bundles;
mod canary;
mod client;
mod collects;
mod damage;
mod descriptors;
mod disks;
mod drains;
mod failover;
mod firstrun;
mod kills;
mod outage;
mod panic;
mod postgres;
mod remote;
mod replicas;
mod schema;
mod server;
mod shutdown;
mod site;
mod t03_sniffing;
mod t10_proxy_protocol;
mod t11_slow_clients;
mod t14_audit_tamper;
mod t17_backup_theft;
mod tftp;
mod tls;
mod uploads;
mod wire;
mod writers;
