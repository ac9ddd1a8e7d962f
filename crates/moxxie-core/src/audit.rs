//! Audit records: what a person or a token did, what was refused, and every config that left the
//! house. What machines did is in [`crate::boot::event`].
//!
//! The log is a chain (`chain`): each record's hash covers the hash before it. Secrets are in it
//! as fingerprints (`fingerprint`), and it goes to other places as lines (`syslog`).

mod chain;
mod fingerprint;
mod syslog;

pub use chain::{Base, Chained, Link, Problem, Verifier, What};
pub use fingerprint::Fingerprint;
pub use syslog::{Origin, line as syslog_line};

use crate::time::Timestamp;

/// One record. `before` and `after` never hold a secret: where one was stands its
/// [`Fingerprint`].
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct AuditRecord {
    /// Position in the log; 0 until it is stored.
    pub seq: i64,
    /// When.
    pub at: Timestamp,
    /// The token's name, `machine 52:54:…` for a delivered config, or `system`.
    pub actor: String,
    /// What was done, such as `assignment.arm` or `config.deliver`.
    pub action: String,
    /// What it was done to, such as `assignment 52:54:00:12:34:56`.
    pub target: String,
    /// The address it came from.
    pub peer: Option<String>,
    /// The object before, without secrets.
    pub before: Option<serde_json::Value>,
    /// The object after, without secrets.
    pub after: Option<serde_json::Value>,
}

/// Who did it, from where and when: what every change carries into the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct By {
    /// The token's name.
    pub actor: String,
    /// The address it came from.
    pub peer: Option<String>,
    /// When.
    pub at: Timestamp,
}

impl By {
    /// The server itself, for what nobody asked it to do.
    pub fn system(at: Timestamp) -> By {
        By { actor: "system".into(), peer: None, at }
    }
}
