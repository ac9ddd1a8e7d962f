//! What can go wrong, and how errors of the two databases become these few.

use crate::assets::AssetError;
use moxxie_core::keyring::KeyId;
use sqlx::postgres::PgDatabaseError;
use sqlx::sqlite::SqliteError;

/// Result of the store.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database does not answer. Try again later; nothing is known about the data.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The database has migrations that this version does not know.
    #[error(
        "the database has schema version {found}, this moxxie knows up to {known}: start a newer moxxie, or restore a backup"
    )]
    NewerSchema {
        /// Highest version in the database.
        found: i64,
        /// Highest version known.
        known: i64,
    },
    /// What is stored was sealed with a key that is not at hand.
    #[error(
        "the database is sealed with the key {wanted}, this server has {}: restore secret-key (or \
         MOXXIE_SECRET_KEY) from where you keep it; nothing was changed",
        moxxie_core::seal::list(have)
    )]
    WrongKey {
        /// The key that is needed.
        wanted: KeyId,
        /// Those at hand, the current one first.
        have: Vec<KeyId>,
    },
    /// Everything was sealed anew with a newer key, and nothing may be sealed with this one again.
    #[error(
        "the key {0} was retired: put the site's newer key first in secret-key (or \
         MOXXIE_SECRET_KEY) and restart"
    )]
    RetiredKey(KeyId),
    /// No such object.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// Another object has that name, MAC address or UUID; the text says which.
    #[error("{0}")]
    Conflict(String),
    /// The object has changed since the caller read it.
    #[error("it has changed since it was read")]
    Stale,
    /// These bytes are being deleted, because nothing referred to them. Ask again: that is over in
    /// a moment, and after ten minutes if whoever does it was killed.
    #[error("these bytes are being deleted: try again")]
    Busy,
    /// No space left where the database lives.
    #[error("the database's disk is full")]
    Full,
    /// A row that this version cannot read.
    #[error("the database holds something unreadable: {0}")]
    Corrupt(String),
}

/// Why bytes were not collected.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The byte store.
    #[error(transparent)]
    Assets(#[from] AssetError),
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

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> StoreError {
        use sqlx::Error as E;
        match error {
            E::Database(error) => {
                let text = error.message().to_owned();
                if let Some(error) = error.try_downcast_ref::<SqliteError>() {
                    sqlite(primary_code(error), text)
                } else if let Some(error) = error.try_downcast_ref::<PgDatabaseError>() {
                    postgres(error, text)
                } else {
                    StoreError::Unavailable(text)
                }
            }
            E::PoolTimedOut => StoreError::Unavailable("no connection in time".into()),
            // The text of these may repeat the URL, which may hold a password.
            E::Configuration(_) => StoreError::Unavailable("its URL cannot be used".into()),
            E::Io(_) | E::Tls(_) | E::Protocol(_) | E::PoolClosed | E::WorkerCrashed | E::BeginFailed => {
                StoreError::Unavailable(error.to_string())
            }
            other => StoreError::Corrupt(other.to_string()),
        }
    }
}

/// The primary result code of SQLite: the low byte of the extended one.
fn primary_code(error: &SqliteError) -> i32 {
    use sqlx::error::DatabaseError;
    error.code().and_then(|code| code.parse::<i32>().ok()).map_or(1, |code| code & 0xff)
}

/// <https://www.sqlite.org/rescode.html>
fn sqlite(code: i32, text: String) -> StoreError {
    match code {
        13 => StoreError::Full,
        19 => match text.split_once("failed: ") {
            Some((kind, column)) if kind.starts_with("UNIQUE") => taken(column),
            _ if text.starts_with("FOREIGN KEY") => refers(),
            _ => StoreError::Corrupt(text),
        },
        // A schema that is not there yet: the database was down when it should have been made.
        1 if text.starts_with("no such table") => StoreError::Unavailable(text),
        // BUSY, LOCKED, NOMEM, READONLY, IOERR, CORRUPT, CANTOPEN, PROTOCOL, NOTADB
        5 | 6 | 7 | 8 | 10 | 11 | 14 | 15 | 26 => StoreError::Unavailable(text),
        _ => StoreError::Corrupt(text),
    }
}

/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
fn postgres(error: &PgDatabaseError, text: String) -> StoreError {
    let code = error.code();
    match code {
        "53100" => StoreError::Full,
        "23505" => taken(error.constraint().unwrap_or_default()),
        "23503" => refers(),
        // Undefined table: the database was down when the schema should have been made.
        "25006" | "42P01" | "57014" | "40001" | "40P01" | "55P03" | "XX001" | "XX002" => {
            StoreError::Unavailable(text)
        }
        // Connection, resources, operator intervention, system error, authorization, no database.
        _ if ["08", "53", "57P", "58", "28", "3D"].iter().any(|class| code.starts_with(class)) => {
            StoreError::Unavailable(text)
        }
        _ => StoreError::Corrupt(text),
    }
}

/// Every write looks for a conflict first and names the other object. This is for the ways
/// around that look, where only the database knows: `what` is its name of column or index.
fn taken(what: &str) -> StoreError {
    let field = ["node_name", "uuid_key", "mac", "hash", "name"]
        .into_iter()
        .find(|field| what.contains(field))
        .map_or("id", |field| match field {
            "uuid_key" => "uuid",
            "mac" => "mac_address",
            other => other,
        });
    StoreError::Conflict(format!("another object has this {field} already"))
}

fn refers() -> StoreError {
    StoreError::Conflict("it refers to an object that does not exist, or another object refers to it".into())
}

/// Whether the connection should be closed after this error rather than used again: after a
/// failed fsync the pages in memory are not to be trusted, and a server that turned read-only
/// or is going down will not come back on the same connection.
pub(crate) fn breaks_connection(error: &sqlx::Error) -> bool {
    use sqlx::Error as E;
    match error {
        E::Io(_) | E::Tls(_) | E::Protocol(_) | E::WorkerCrashed => true,
        E::Database(error) => {
            if let Some(error) = error.try_downcast_ref::<SqliteError>() {
                matches!(primary_code(error), 10 | 11 | 14 | 26)
            } else if let Some(error) = error.try_downcast_ref::<PgDatabaseError>() {
                let code = error.code();
                code == "25006" || code.starts_with("57P") || code.starts_with("08")
            } else {
                false
            }
        }
        _ => false,
    }
}
