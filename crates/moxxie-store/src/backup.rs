//! Backup and restore, by objects and not by pages: a backup of SQLite restores into PostgreSQL
//! and the other way round.

use crate::assignments::{self, ROWS, assignment};
use crate::db::{Tx, args};
use crate::error::Result;
use crate::snapshot::bump_all;
use crate::{Backup, Store, audit, bytes, profiles, tokens};
use moxxie_core::asset::Digest;
use moxxie_core::assignment::Assignment;
use moxxie_core::audit::By;
use serde_json::json;
use sqlx::AssertSqlSafe;
use std::collections::{BTreeMap, HashMap};

impl Store {
    /// Everything that is worth keeping, as of one moment.
    pub async fn backup(&self) -> Result<Backup> {
        let mut tx = self.snapshot().await?;
        tx.take_time().await?;
        let shelves = profiles::shelves(&mut tx, "1 = 1", args![]).await?;
        let sql = format!("{ROWS} ORDER BY mac_address");
        let rows = tx.rows(AssertSqlSafe(sql), args![]).await?;
        let assignments: Result<_> = rows.iter().map(assignment).collect();
        Ok(Backup {
            shelves,
            assignments: assignments?,
            tokens: tokens::all(&mut tx).await?,
            audit_head: audit::head(&mut tx).await?,
            unsigned: false,
        })
    }

    /// Replaces everything by the backup, all machines disarmed and their generations moved on.
    /// Events, machines seen and the audit log are history and stay: the log of the backup's
    /// site is another chain, of which the new record keeps the newest hash. Busy while bytes that it
    /// names are being deleted; whether the others are there is not asked.
    pub async fn restore(&self, backup: &Backup, by: &By) -> Result<()> {
        let mut tx = self.write().await?;
        tx.take_time().await?;
        let seq = bump_all(&mut tx).await?;
        let live = numbers(&mut tx).await?;
        // Sessions, their uses, MACs and files go with their owners.
        for sql in
            ["DELETE FROM node_boot_assignments", "DELETE FROM boot_profiles", "DELETE FROM api_tokens"]
        {
            tx.execute(sql, args![]).await?;
        }
        for (digest, size) in digests(backup) {
            bytes::hold(&mut tx, &digest, size, by.at).await?;
        }
        for shelf in &backup.shelves {
            profiles::insert(&mut tx, &shelf.profile, seq).await?;
            for asset in &shelf.assets {
                profiles::put(&mut tx, &shelf.profile.id, asset).await?;
            }
        }
        for kept in &backup.assignments {
            assignments::insert(&mut tx, &restored(kept, live.get(&kept.id), by), seq).await?;
        }
        for token in &backup.tokens {
            tokens::insert(&mut tx, token).await?;
        }
        let counts = json!({
            "profiles": backup.shelves.len(),
            "assignments": backup.assignments.len(),
            "tokens": backup.tokens.len(),
            "audit_head": backup.audit_head.map(|head| head.to_string()),
            "unsigned": backup.unsigned,
        });
        audit::note(&mut tx, by, "restore", "everything".into(), None, Some(counts));
        tx.commit().await
    }
}

/// A machine as it comes back: its window closed, and with a generation that no token was ever
/// made for, neither before the backup nor between backup and restore.
fn restored(kept: &Assignment, live: Option<&(i64, i64)>, by: &By) -> Assignment {
    let mut new = kept.clone();
    new.boot = kept.boot.disarm(by.at);
    if let Some((generation, revision)) = live {
        new.boot.generation = new.boot.generation.max(generation + 1);
        new.revision = new.revision.max(revision + 1);
    }
    new
}

/// Every digest once, in order, so that no two transactions wait for each other.
fn digests(backup: &Backup) -> BTreeMap<Digest, i64> {
    let assets = backup.shelves.iter().flat_map(|shelf| &shelf.assets);
    assets.map(|asset| (asset.sha256, asset.size)).collect()
}

/// Generation and revision of the assignments that are there now.
async fn numbers(tx: &mut Tx) -> Result<HashMap<String, (i64, i64)>> {
    let sql = "SELECT id, generation, revision FROM node_boot_assignments";
    let rows = tx.rows(sql, args![]).await?;
    rows.iter().map(|row| Ok((row.text("id")?, (row.int("generation")?, row.int("revision")?)))).collect()
}
