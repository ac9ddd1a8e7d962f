//! What Moxxie remembers: SQLite and PostgreSQL behind one closed enum. Knows nothing of HTTP.

mod apply;
mod approvals;
pub mod assets;
mod assignments;
mod audit;
mod backup;
mod boot;
mod bytes;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod crashes;
mod db;
mod error;
mod events;
mod loaders;
mod machines;
#[cfg(test)]
mod model;
mod open;
mod profiles;
mod reseal;
mod secrets;
mod snapshot;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod tokens;
mod vault;

pub use error::{CollectError, Result, StepError, StoreError};
pub use reseal::Resealed;
pub use secrets::{KeyUse, SecretsStatus};

use moxxie_core::access::Role;
use moxxie_core::asset::Digest;
use moxxie_core::assignment::{Assignment, AssignmentSpec};
use moxxie_core::audit::{AuditRecord, By, Link, Problem};
use moxxie_core::boot::claims::BootClaims;
use moxxie_core::boot::decide::{BootView, Shelf};
use moxxie_core::boot::event::{BootEvent, EventKind};
use moxxie_core::boot::session::Session;
use moxxie_core::boot::state::{BootRecord, BootState};
use moxxie_core::keyring::Keyring;
use moxxie_core::mac::MacAddr;
use moxxie_core::name::ProfileName;
use moxxie_core::profile::ProfileSpec;
use moxxie_core::time::Timestamp;
use sqlx::{PgPool, SqlitePool};
use std::sync::Arc;

/// The counter that goes up with every change to profiles and assignments made by people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Version {
    /// Any change.
    pub version: i64,
    /// A change that a reload of single assignments does not cover: profiles, assets, deletes.
    pub full: i64,
}

/// Everything that a menu needs, as of a version.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// As of when.
    pub version: Version,
    /// Profiles with their files. Empty in a partial load.
    pub shelves: Vec<Arc<Shelf>>,
    /// Assignments: all, or those changed since.
    pub assignments: Vec<Assignment>,
}

/// The database, and the keys that what it keeps is read with. Its methods stand in the files named
/// after what they are about.
pub struct Store {
    pub(crate) db: Db,
    pub(crate) keys: Keyring,
    pub(crate) vault: Arc<vault::Vault>,
}

/// The two databases.
pub(crate) enum Db {
    /// SQLite, a file on a local disk (WAL does not work on a network file system).
    Sqlite {
        /// The one connection that writes.
        w: SqlitePool,
        /// Connections that only read.
        r: SqlitePool,
    },
    /// PostgreSQL.
    Postgres(PgPool),
}

impl Store {
    /// The keys it was opened with.
    pub fn keys(&self) -> &Keyring {
        &self.keys
    }
}

/// What a list of assignments is narrowed by.
#[derive(Debug, Clone, Default)]
pub struct AssignmentFilter {
    /// In this state (as stored).
    pub state: Option<BootState>,
    /// Of this profile.
    pub profile_id: Option<String>,
    /// Part of the MAC, node name, UUID or serial; taken literally.
    pub q: Option<String>,
}

/// What a list of events is narrowed by.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// Of this machine.
    pub mac: Option<MacAddr>,
    /// Of this kind.
    pub kind: Option<EventKind>,
    /// Not before.
    pub since: Option<Timestamp>,
}

/// What a list of audit records is narrowed by. All texts are whole ones.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// What was done.
    pub action: Option<String>,
    /// Who did it.
    pub actor: Option<String>,
    /// What it was done to.
    pub target: Option<String>,
}

/// What became of a look at the whole audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Records that were read and are right.
    pub records: u64,
    /// The first record that is kept.
    pub first: i64,
    /// The newest record that is right, to be kept elsewhere.
    pub head: Link,
    /// The first thing that is wrong.
    pub problem: Option<Problem>,
}

/// The start of a boot, to be committed before its script is sent.
#[derive(Debug, Clone)]
pub struct Start {
    /// The new record.
    pub after: BootRecord,
    /// The new session.
    pub session: Session,
    /// This script alone can erase a disk: it must survive a power failure, and is committed with its
    /// audit record and its event, as a delivery is.
    pub durable: Option<(AuditRecord, BootEvent)>,
}

/// What a step of [`Store::boot`] changes.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "few of them live at once")]
pub enum Begun {
    /// The machine is given its script.
    Start(Start),
    /// It is not; its record changes all the same.
    Held(Held),
}

impl From<Start> for Begun {
    fn from(start: Start) -> Begun {
        Begun::Start(start)
    }
}

/// The new record of a machine that has to wait.
#[derive(Debug, Clone)]
pub struct Held {
    /// Whose.
    pub assignment_id: String,
    /// The new record.
    pub after: BootRecord,
    /// Quarantine it in the same step, in whose name, with this event. Its sessions end.
    pub quarantine: Option<(By, BootEvent)>,
}

/// What becomes of an assignment by an operator's word on a machine that waits.
#[derive(Debug, Clone)]
pub struct Answered {
    /// The new record.
    pub after: BootRecord,
    /// The name of the audit record.
    pub action: &'static str,
    /// The event.
    pub event: BootEvent,
}

/// One machine's request in [`Store::boot`].
pub struct BootJob<'a> {
    /// What it says of itself.
    pub claims: &'a BootClaims,
    /// The profile it asks for by name.
    pub asked: Option<&'a ProfileName>,
    /// Decides on what is known, under the lock; what it begins is committed.
    pub step: BootStep<'a>,
}

/// The step of a [`BootJob`].
pub type BootStep<'a> = Box<dyn FnMut(&BootView) -> Option<Begun> + Send + 'a>;

/// A config that is ready to be sent.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Which file: empty for the config itself, else `user-data`, …
    pub resource: String,
    /// SHA-256 of the bytes; a repeat with other bytes is refused.
    pub digest: Digest,
    /// The audit record, committed first.
    pub audit: AuditRecord,
    /// The event.
    pub event: BootEvent,
}

/// The outcome of a redemption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redeemed {
    /// First use of the session: the machine's record moved to `delivered`.
    First,
    /// A repeat within the limits.
    Repeat,
    /// The statement that consumes the token matched no row: somebody else was faster, the
    /// uses are up, the window closed, or the bytes changed. Nothing was written.
    Refused,
}

/// Somebody is about to label these bytes: nobody collects them until then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    pub(crate) id: i64,
    /// Which bytes.
    pub sha256: Digest,
}

/// A step of `apply`.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "few of them live at once")]
pub enum Change {
    /// A new profile.
    CreateProfile {
        /** Its id. */
        id: String,
        /** What to write. */
        spec: ProfileSpec,
    },
    /// A changed profile.
    UpdateProfile {
        /** Its id. */
        id: String,
        /** The revision it was planned on. */
        expect: i64,
        /** What to write. */
        spec: ProfileSpec,
    },
    /// A new assignment.
    CreateAssignment {
        /** Its id. */
        id: String,
        /** What to write. */
        spec: AssignmentSpec,
        /** Its window. */
        boot: BootRecord,
    },
    /// A changed assignment; its window is closed when `disarm` is set and left alone otherwise.
    UpdateAssignment {
        /** Its id. */
        id: String,
        /** The revision it was planned on. */
        expect: i64,
        /** What to write. */
        spec: AssignmentSpec,
        /** Close the window. */
        disarm: bool,
    },
}

/// An API token as it is kept: never its text.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiToken {
    /// UUIDv7, as text.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// SHA-256 of its text, hexadecimal.
    pub hash: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working.
    pub expires_at: Option<Timestamp>,
    /// When it was last seen, to the minute.
    pub last_used_at: Option<Timestamp>,
}

/// Everything that a backup holds. No sessions, no events, no key.
#[derive(Debug, Clone, Default)]
pub struct Backup {
    /// Profiles with their files.
    pub shelves: Vec<Shelf>,
    /// Assignments.
    pub assignments: Vec<Assignment>,
    /// API tokens (hashes).
    pub tokens: Vec<ApiToken>,
    /// The newest record of the audit log, which itself is not in it; `None` when there is none.
    pub audit_head: Option<Link>,
    /// Nobody vouches for it: restored at an admin's word, which is on record.
    pub unsigned: bool,
}
