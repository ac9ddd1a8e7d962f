//! What the fuzz targets share. The judges in `targets.rs` are also compiled into the workspace's
//! tests, which hold the saved corpus against them without a fuzzer.

#[allow(dead_code, reason = "whole files of the server, of which the targets call a part")]
mod subject;
pub mod targets;
