//! Boot events and the machines that were seen.

use crate::db::{Row, Tx, args, placeholders, unreadable};
use crate::error::Result;
use crate::{EventFilter, Store};
use moxxie_core::boot::event::{BootEvent, EventKind};
use moxxie_core::time::Timestamp;
use sqlx::AssertSqlSafe;
use std::collections::BTreeMap;

const COLUMNS: &str = "id, at, kind, mac, node_name, boot_profile, peer, message, count";
/// Events in one INSERT. Whole groups share a prepared statement.
const GROUP: usize = 50;
/// Reports of progress of one boot that stand for themselves.
pub(crate) const MOST_PROGRESS: i64 = 60;
/// Rows deleted in one statement, so that pruning a long log does not run into a time-out.
const PRUNED: i64 = 5000;

impl Store {
    /// Batch insert of events, of what they say about machines (`last_boot_at` for kind Boot).
    /// Events that carry an id are stored already and left out.
    pub async fn record_events(&self, events: &[BootEvent]) -> Result<()> {
        let fresh: Vec<&BootEvent> = events.iter().filter(|event| event.id == 0).collect();
        if fresh.is_empty() {
            return Ok(());
        }
        let mut tx = self.write().await?;
        let mut booted: BTreeMap<String, Timestamp> = BTreeMap::new();
        for event in &fresh {
            if let (EventKind::Boot, Some(mac)) = (event.kind, event.mac_address) {
                let at = booted.entry(mac.to_string()).or_insert(event.at);
                *at = event.at.max(*at);
            }
        }
        for (mac, at) in booted {
            let sql = "UPDATE node_boot_assignments SET last_boot_at = $1 \
                       WHERE id = (SELECT assignment_id FROM assignment_macs WHERE mac = $2) \
                       AND (last_boot_at IS NULL OR last_boot_at < $1)";
            tx.execute(sql, args![at, mac]).await?;
        }
        in_order(&mut tx).await?;
        let groups = fresh.chunks_exact(GROUP);
        let rest = groups.remainder();
        for group in groups {
            insert(&mut tx, group).await?;
        }
        for event in rest {
            insert(&mut tx, &[event]).await?;
        }
        tx.commit().await
    }

    /// Newest first; `before` is an event id.
    pub async fn events(
        &self,
        filter: &EventFilter,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<BootEvent>> {
        let mut sql = format!("SELECT {COLUMNS} FROM boot_events WHERE id < $1");
        let mut args = args![before.unwrap_or(i64::MAX), limit];
        if let Some(mac) = filter.mac {
            args.extend(args![mac.to_string()]);
            sql += &format!(" AND mac = ${}", args.len());
        }
        if let Some(kind) = filter.kind {
            args.extend(args![kind.as_str()]);
            sql += &format!(" AND kind = ${}", args.len());
        }
        if let Some(since) = filter.since {
            args.extend(args![since]);
            sql += &format!(" AND at >= ${}", args.len());
        }
        sql += " ORDER BY id DESC LIMIT $2";
        let mut tx = self.read().await?;
        tx.rows(AssertSqlSafe(sql), args).await?.iter().map(event).collect()
    }

    /// Oldest first after this id, for streams.
    pub async fn events_after(&self, id: i64, limit: u32) -> Result<Vec<BootEvent>> {
        let sql = format!("SELECT {COLUMNS} FROM boot_events WHERE id > $1 ORDER BY id LIMIT $2");
        let mut tx = self.read().await?;
        tx.rows(AssertSqlSafe(sql), args![id, limit]).await?.iter().map(event).collect()
    }

    /// Deletes events, sessions and the like older than this, and the oldest events beyond so
    /// many. A session's age counts from the end of its window, since reports are taken until then
    /// and longer.
    pub async fn prune(
        &self,
        events_before: Timestamp,
        most_events: u32,
        sessions_before: Timestamp,
    ) -> Result<()> {
        let surplus = "SELECT id FROM boot_events ORDER BY id DESC LIMIT 1 OFFSET $1";
        let row = self.read().await?.row(surplus, args![most_events]).await?;
        // Ids begin at 1.
        let last_surplus = row.map(|row| row.int("id")).transpose()?.unwrap_or(0);
        let beyond = "DELETE FROM boot_events WHERE id IN \
                      (SELECT id FROM boot_events WHERE id <= $1 ORDER BY id LIMIT $2)";
        let events = "DELETE FROM boot_events WHERE id IN \
                      (SELECT id FROM boot_events WHERE at < $1 ORDER BY id LIMIT $2)";
        let sessions = "DELETE FROM boot_sessions WHERE id IN \
                        (SELECT id FROM boot_sessions WHERE expires_at < $1 LIMIT $2)";
        let work = [
            (events, args![events_before, PRUNED]),
            (beyond, args![last_surplus, PRUNED]),
            (sessions, args![sessions_before, PRUNED]),
        ];
        for (sql, args) in work {
            loop {
                let mut tx = self.write().await?;
                let deleted = tx.execute(sql, args.clone()).await?;
                tx.commit().await?;
                if deleted < PRUNED.unsigned_abs() {
                    break;
                }
            }
        }
        Ok(())
    }
}

/// Inserts one event; its id. The last thing that a transaction does before its commit.
pub(crate) async fn append(tx: &mut Tx, event: &BootEvent) -> Result<i64> {
    in_order(tx).await?;
    let sql = "INSERT INTO boot_events (at, kind, mac, node_name, boot_profile, peer, message, count) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id";
    let row = tx.row(sql, values(event)).await?.ok_or_else(|| unreadable("id"))?;
    row.int("id")
}

/// Appends a report of progress. One boot has so many of them; further ones are counted on the last,
/// which shows the newest text: an installer that reports every second must not push everything
/// else out of the log. `since`: when the boot began.
pub(crate) async fn append_progress(tx: &mut Tx, event: &BootEvent, since: Timestamp) -> Result<()> {
    in_order(tx).await?;
    let sql = "SELECT COUNT(*) AS reports, MAX(id) AS last FROM (SELECT id FROM boot_events \
               WHERE mac = $1 AND kind = $2 AND at >= $3 ORDER BY id DESC LIMIT $4) AS reported";
    let mac = event.mac_address.map(|mac| mac.to_string());
    let row = tx.row(sql, args![mac, event.kind.as_str(), since, MOST_PROGRESS]).await?;
    let row = row.ok_or_else(|| unreadable("reports"))?;
    match (row.int("reports")?, row.int_or_null("last")?) {
        (MOST_PROGRESS.., Some(last)) => {
            let sql = "UPDATE boot_events SET count = count + $1, message = $2, at = $3 WHERE id = $4";
            tx.execute(sql, args![event.count, event.message.as_str(), event.at, last]).await.map(drop)
        }
        _ => append(tx, event).await.map(drop),
    }
}

/// Lets events become visible in the order of their ids: a stream asks for what is newer than
/// the last id it has seen, and would miss an older id that is committed later. Only the head of the
/// audit log is locked after this, so that nobody waits for somebody who waits.
async fn in_order(tx: &mut Tx) -> Result<()> {
    if tx.is_sqlite() {
        return Ok(());
    }
    tx.execute("SELECT pg_advisory_xact_lock(hashtext('moxxie.boot_events'))", args![]).await.map(drop)
}

async fn insert(tx: &mut Tx, events: &[&BootEvent]) -> Result<()> {
    let rows: Vec<String> = (0..events.len()).map(|n| format!("({})", placeholders(n * 8 + 1, 8))).collect();
    let sql = format!(
        "INSERT INTO boot_events (at, kind, mac, node_name, boot_profile, peer, message, count) VALUES {}",
        rows.join(", ")
    );
    let args = events.iter().flat_map(|event| values(event)).collect();
    tx.execute(AssertSqlSafe(sql), args).await.map(drop)
}

fn values(event: &BootEvent) -> Vec<crate::db::Arg> {
    args![
        event.at,
        event.kind.as_str(),
        event.mac_address.map(|mac| mac.to_string()),
        event.node_name.as_deref(),
        event.boot_profile.as_deref(),
        event.peer.as_deref(),
        event.message.as_str(),
        event.count,
    ]
}

fn event(row: &Row) -> Result<BootEvent> {
    Ok(BootEvent {
        id: row.int("id")?,
        at: row.time("at")?,
        kind: row.parse("kind")?,
        mac_address: row.parse_or_null("mac")?,
        node_name: row.text_or_null("node_name")?,
        boot_profile: row.text_or_null("boot_profile")?,
        peer: row.text_or_null("peer")?,
        message: row.text("message")?,
        count: row.int("count")?,
    })
}
