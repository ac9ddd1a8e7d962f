//! The version of the configuration, and loading it as a whole or what changed.

use crate::assignments::{ROWS, assignment};
use crate::db::{Tx, args, locking, unreadable};
use crate::error::Result;
use crate::profiles::shelves;
use crate::{Loaded, Store, Version};
use sqlx::AssertSqlSafe;
use std::sync::Arc;

impl Store {
    /// The version of the configuration now.
    pub async fn version(&self) -> Result<Version> {
        current(&mut self.read().await?).await
    }

    /// All (`since` None, or when `full` moved), else only the assignments changed since.
    pub async fn load(&self, since: Option<Version>) -> Result<Loaded> {
        let mut tx = self.snapshot().await?;
        let version = current(&mut tx).await?;
        // A version from the future means another database: everything is new then.
        let since = since.filter(|since| since.full == version.full && since.version <= version.version);
        let (shelves, newer_than) = match since {
            Some(since) if since.version == version.version => {
                return Ok(Loaded { version, ..Loaded::default() });
            }
            Some(since) => (Vec::new(), since.version),
            None => {
                let all = shelves(&mut tx, "1 = 1", args![]).await?;
                (all.into_iter().map(Arc::new).collect(), 0)
            }
        };
        let sql = format!("{ROWS} WHERE seq > $1 ORDER BY mac_address");
        let rows = tx.rows(AssertSqlSafe(sql), args![newer_than]).await?;
        let assignments: Result<_> = rows.iter().map(assignment).collect();
        Ok(Loaded { version, shelves, assignments: assignments? })
    }
}

async fn current(tx: &mut Tx) -> Result<Version> {
    let sql = "SELECT version, full_version FROM config_version";
    let row = tx.row(sql, args![]).await?.ok_or_else(|| unreadable("version"))?;
    Ok(Version { version: row.int("version")?, full: row.int("full_version")? })
}

/// Moves the version on for a change of single assignments; the number to write into their
/// `seq`. The first statement of every change by a person: its row lock puts these changes in
/// one order, so that a reader who has seen version n has seen everything up to n, and so that
/// looking for a conflict and then writing is safe.
pub(crate) async fn bump(tx: &mut Tx) -> Result<i64> {
    let sql = "UPDATE config_version SET version = version + 1 RETURNING version";
    tx.row(sql, args![]).await?.ok_or_else(|| unreadable("version"))?.int("version")
}

/// The same for a change that a reload of single assignments does not cover.
pub(crate) async fn bump_all(tx: &mut Tx) -> Result<i64> {
    let sql = "UPDATE config_version SET version = version + 1, full_version = version + 1 RETURNING version";
    tx.row(sql, args![]).await?.ok_or_else(|| unreadable("version"))?.int("version")
}

/// Takes the lock of [`bump`] without moving the version.
pub(crate) async fn hold_version(tx: &mut Tx) -> Result<()> {
    let sql = locking!(tx, "SELECT version FROM config_version");
    tx.row(sql, args![]).await.map(drop)
}
