//! What Moxxie remembers: SQLite and PostgreSQL behind one closed enum. Knows nothing of HTTP.

use moxxie_core::asset::{Asset, Digest};
use moxxie_core::assignment::{Assignment, AssignmentSpec};
use moxxie_core::audit::{AuditRecord, By};
use moxxie_core::access::Role;
use moxxie_core::boot::claims::BootClaims;
use moxxie_core::boot::decide::{BootView, Known, Shelf};
use moxxie_core::boot::event::{BootEvent, EventKind};
use moxxie_core::boot::session::Session;
use moxxie_core::boot::state::{BootRecord, BootState};
use moxxie_core::mac::MacAddr;
use moxxie_core::machine::MachineSeen;
use moxxie_core::name::{FileName, ProfileName};
use moxxie_core::profile::{Profile, ProfileSpec};
use moxxie_core::site::Site;
use moxxie_core::time::Timestamp;
use moxxie_core::token::SessionId;
use std::sync::Arc;

/// Result of the store.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database does not answer. Try again later; nothing is known about the data.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The database has migrations that this version does not know.
    #[error("the database has schema version {found}, this moxxie knows up to {known}: start a newer moxxie, or restore a backup")]
    NewerSchema {
        /// Highest version in the database.
        found: i64,
        /// Highest version known.
        known: i64,
    },
    /// No such object.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// Another object has that name, MAC address or UUID; the text says which.
    #[error("{0}")]
    Conflict(String),
    /// The object has changed since the caller read it.
    #[error("it has changed since it was read")]
    Stale,
    /// No space left where the database lives.
    #[error("the database's disk is full")]
    Full,
    /// A row that this version cannot read.
    #[error("the database holds something unreadable: {0}")]
    Corrupt(String),
}

/// An error of a caller's step inside a transaction, or of the store itself.
#[derive(Debug, thiserror::Error)]
pub enum StepError<E> {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The step refused; nothing was written.
    #[error("{0}")]
    Step(E),
}

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

/// The database.
pub enum Store {
    /// SQLite.
    Sqlite,
    /// PostgreSQL.
    Postgres,
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

/// The start of a boot, to be committed before its script is sent.
#[derive(Debug, Clone)]
pub struct Start {
    /// The new record.
    pub after: BootRecord,
    /// The new session.
    pub session: Session,
}

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

/// A step of `apply`.
#[derive(Debug, Clone)]
pub enum Change {
    /// A new profile.
    CreateProfile { /** Its id. */ id: String, /** What to write. */ spec: ProfileSpec },
    /// A changed profile.
    UpdateProfile { /** Its id. */ id: String, /** The revision it was planned on. */ expect: i64, /** What to write. */ spec: ProfileSpec },
    /// A new assignment.
    CreateAssignment { /** Its id. */ id: String, /** What to write. */ spec: AssignmentSpec, /** Its window. */ boot: BootRecord },
    /// A changed assignment; its window is closed when `disarm` is set and left alone otherwise.
    UpdateAssignment { /** Its id. */ id: String, /** The revision it was planned on. */ expect: i64, /** What to write. */ spec: AssignmentSpec, /** Close the window. */ disarm: bool },
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
    /// The audit log.
    pub audit: Vec<AuditRecord>,
}

#[allow(unused_variables, clippy::unimplemented, missing_docs)]
impl Store {
    /// Opens; does not wait for the database to answer (PostgreSQL may be down at start).
    pub async fn open(url: &str) -> Result<Store> { unimplemented!() }
    /// Brings the schema up to date; safe with several replicas and when killed midway.
    pub async fn migrate(&self) -> Result<()> { unimplemented!() }
    /// Whether the database answers; its own clock in ms on PostgreSQL, None on SQLite.
    pub async fn ping(&self) -> Result<Option<Timestamp>> { unimplemented!() }
    pub fn is_sqlite(&self) -> bool { unimplemented!() }
    pub async fn close(&self) { unimplemented!() }

    pub async fn version(&self) -> Result<Version> { unimplemented!() }
    /// All (`since` None, or when `full` moved), else only the assignments changed since.
    pub async fn load(&self, since: Option<Version>) -> Result<Loaded> { unimplemented!() }

    pub async fn profiles(&self, after: Option<&str>, limit: u32) -> Result<Vec<Profile>> { unimplemented!() }
    pub async fn profile(&self, name_or_id: &str) -> Result<Option<Profile>> { unimplemented!() }
    pub async fn create_profile(&self, id: &str, spec: &ProfileSpec, by: &By) -> Result<Profile> { unimplemented!() }
    pub async fn update_profile(&self, id: &str, expect: Option<i64>, spec: &ProfileSpec, by: &By) -> Result<Profile> { unimplemented!() }
    /// Conflict when an assignment uses it.
    pub async fn delete_profile(&self, id: &str, expect: Option<i64>, by: &By) -> Result<()> { unimplemented!() }

    pub async fn assets(&self, profile_id: &str) -> Result<Vec<Asset>> { unimplemented!() }
    pub async fn asset(&self, profile: &ProfileName, file: &FileName) -> Result<Option<Asset>> { unimplemented!() }
    /// Puts or replaces a label.
    pub async fn put_asset(&self, profile_id: &str, asset: &Asset, by: &By) -> Result<()> { unimplemented!() }
    pub async fn delete_asset(&self, profile_id: &str, file: &FileName, by: &By) -> Result<Asset> { unimplemented!() }
    pub async fn digest_in_use(&self, digest: &Digest) -> Result<bool> { unimplemented!() }

    /// By main MAC, ascending.
    pub async fn assignments(&self, filter: &AssignmentFilter, after: Option<&str>, limit: u32) -> Result<Vec<Assignment>> { unimplemented!() }
    /// By any of its MACs.
    pub async fn assignment(&self, mac: MacAddr) -> Result<Option<Known>> { unimplemented!() }
    pub async fn assignments_of(&self, profile_id: &str) -> Result<Vec<Assignment>> { unimplemented!() }
    pub async fn create_assignment(&self, id: &str, spec: &AssignmentSpec, boot: &BootRecord, by: &By) -> Result<Assignment> { unimplemented!() }
    /// Reads the row under a lock, lets `step` say what it becomes, writes it with an audit
    /// record named `action`. `expect` is the revision the caller has seen (Stale otherwise).
    /// Sessions of an older generation are revoked.
    pub async fn change_assignment<E>(
        &self, mac: MacAddr, expect: Option<i64>, action: &str, by: &By,
        step: impl FnOnce(&Known) -> Result<(AssignmentSpec, BootRecord), E> + Send,
    ) -> Result<Assignment, StepError<E>> { unimplemented!() }
    /// Conflict when protected.
    pub async fn delete_assignment(&self, mac: MacAddr, expect: Option<i64>, by: &By) -> Result<()> { unimplemented!() }
    /// All or nothing.
    pub async fn apply(&self, changes: &[Change], by: &By) -> Result<()> { unimplemented!() }

    /// What is known that bears on these claims; no lock.
    pub async fn boot_view(&self, claims: &BootClaims, asked: Option<&ProfileName>) -> Result<BootView> { unimplemented!() }
    /// The same under a lock, then `step` on it; commits what the step starts.
    pub async fn boot<T: Send, E>(
        &self, claims: &BootClaims, asked: Option<&ProfileName>,
        step: impl FnOnce(&BootView) -> Result<(Option<Start>, T), E> + Send,
    ) -> Result<T, StepError<E>> { unimplemented!() }
    /// Redeems a config token: loads session and machine under a lock, lets `step` check and
    /// render, consumes by one conditional UPDATE, commits audit record and event with it.
    /// `Ok(None)` when there is no such session.
    pub async fn redeem<T: Send, E>(
        &self, session: SessionId, site: &Site, now: Timestamp,
        step: impl FnOnce(&Session, &Known) -> Result<(Delivery, T), E> + Send,
    ) -> Result<Option<(Redeemed, T)>, StepError<E>> { unimplemented!() }
    /// A report: `step` gives the event and, for a final one, the new record. A final report
    /// revokes the machine's sessions.
    pub async fn report<E>(
        &self, session: SessionId, now: Timestamp,
        step: impl FnOnce(&Session, &Known) -> Result<(BootEvent, Option<BootRecord>), E> + Send,
    ) -> Result<Option<()>, StepError<E>> { unimplemented!() }
    /// Writes down what time has made of open windows; the ones that changed, with their events.
    pub async fn settle(&self, site: &Site, now: Timestamp) -> Result<Vec<BootEvent>> { unimplemented!() }

    /// Batch insert of events, of what they say about machines (`last_boot_at` for kind Boot).
    pub async fn record_events(&self, events: &[BootEvent]) -> Result<()> { unimplemented!() }
    /// Batch upsert of machines seen; unassigned ones beyond `cap` are dropped, oldest first.
    pub async fn record_machines(&self, machines: &[MachineSeen], cap: u32) -> Result<()> { unimplemented!() }
    /// Newest first; `before` is an event id.
    pub async fn events(&self, filter: &EventFilter, before: Option<i64>, limit: u32) -> Result<Vec<BootEvent>> { unimplemented!() }
    /// Oldest first after this id, for streams.
    pub async fn events_after(&self, id: i64, limit: u32) -> Result<Vec<BootEvent>> { unimplemented!() }
    /// Newest first; `before` = (last_seen, mac) of the last one shown.
    pub async fn machines(&self, before: Option<(Timestamp, MacAddr)>, limit: u32) -> Result<Vec<MachineSeen>> { unimplemented!() }
    /// Deletes events, sessions and the like older than this.
    pub async fn prune(&self, events_before: Timestamp, sessions_before: Timestamp) -> Result<()> { unimplemented!() }

    pub async fn append_audit(&self, record: &AuditRecord) -> Result<()> { unimplemented!() }
    /// Newest first; `before` is a seq.
    pub async fn audit(&self, before: Option<i64>, limit: u32) -> Result<Vec<AuditRecord>> { unimplemented!() }

    pub async fn create_token(&self, token: &ApiToken, by: &By) -> Result<()> { unimplemented!() }
    pub async fn tokens(&self, after: Option<&str>, limit: u32) -> Result<Vec<ApiToken>> { unimplemented!() }
    pub async fn token_by_hash(&self, hash: &str) -> Result<Option<ApiToken>> { unimplemented!() }
    pub async fn touch_token(&self, id: &str, now: Timestamp) -> Result<()> { unimplemented!() }
    pub async fn revoke_token(&self, id: &str, by: &By) -> Result<()> { unimplemented!() }

    pub async fn backup(&self) -> Result<Backup> { unimplemented!() }
    /// Replaces everything by the backup, all machines disarmed and their generations moved on.
    pub async fn restore(&self, backup: &Backup, by: &By) -> Result<()> { unimplemented!() }
}
