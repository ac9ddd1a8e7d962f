//! Audit records: what a person or a token did. What machines did is in [`crate::boot::event`].

use crate::time::Timestamp;

/// One record. `before` and `after` never hold a secret: values under secret names are replaced
/// by a mask before the record is made.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct AuditRecord {
    /// Position in the log; 0 until it is stored.
    pub seq: i64,
    /// When.
    pub at: Timestamp,
    /// The token's name, or `machine 52:54:…` for a delivered config.
    pub actor: String,
    /// What was done, such as `assignment.arm` or `config.deliver`.
    pub action: String,
    /// What it was done to, such as `assignment 52:54:00:12:34:56`.
    pub target: String,
    /// The address it came from.
    pub peer: Option<String>,
    /// The object before, masked.
    pub before: Option<serde_json::Value>,
    /// The object after, masked.
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
