//! HTTP: every URL on one page ([`router`]), two faces of one error type ([`error`]), and one
//! file per endpoint.

pub mod allowlist;
pub mod api;
pub mod boot;
pub mod docs;
pub mod error;
pub mod extract;
pub mod headers;
pub mod limit;
pub mod links;
pub mod middleware;
pub mod ops;
pub mod progress;
pub mod range;
pub mod router;
pub mod troubleshoot;
