//! The audit log: what people did, what was refused, and every config that left the house.
//!
//! Records are appended by the commit of the transaction that they belong to, in the order of
//! their positions and without gaps: on PostgreSQL under the lock on the one row of `audit_head`,
//! which is the last lock that any transaction takes. Triggers refuse every other statement that
//! would change them.

mod prune;
mod shown;
mod sinks;
mod verify;

pub(crate) use shown::{asset_value, assignment_value, loader_value, profile_value, token_value};

use crate::db::{Row, Tx, args, locking, placeholders, unreadable};
use crate::error::{Result, StoreError};
use crate::{AuditFilter, Store};
use moxxie_core::asset::Digest;
use moxxie_core::audit::{AuditRecord, By, Chained, Link};
use serde_json::Value;
use sqlx::AssertSqlSafe;

/// Records in one INSERT. Whole groups share a prepared statement.
const GROUP: usize = 50;
/// Records that are read at once.
const BATCH: u32 = 500;

/// Selects whole records with the hash that each follows; a condition on `l` follows.
const ROWS: &str = "SELECT l.seq, l.at, l.actor, l.action, l.target, l.peer, l.before_value, l.after_value, l.hash, \
                    COALESCE((SELECT p.hash FROM audit_log p WHERE p.seq = l.seq - 1), \
                    (SELECT base_hash FROM audit_head)) AS prev FROM audit_log l";

impl Store {
    /// Adds a record that belongs to no other change.
    pub async fn append_audit(&self, record: &AuditRecord) -> Result<()> {
        self.append_audits(std::slice::from_ref(record)).await
    }

    /// Adds records that belong to no other change, all or none.
    pub async fn append_audits(&self, records: &[AuditRecord]) -> Result<()> {
        let mut tx = self.write().await?;
        tx.notes.extend_from_slice(records);
        tx.commit().await
    }

    /// Newest first; `before` is a seq.
    pub async fn audit(&self, before: Option<i64>, limit: u32) -> Result<Vec<AuditRecord>> {
        let log = self.audit_log(&AuditFilter::default(), before, limit).await?;
        log.iter().map(|record| record.record().ok_or_else(|| unreadable("before_value"))).collect()
    }

    /// With their hashes, newest first; `before` is a seq.
    pub async fn audit_log(
        &self,
        filter: &AuditFilter,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Chained>> {
        let (conditions, mut args) = narrowed(filter, 2);
        let sql = format!("{ROWS} WHERE l.seq < $1{conditions} ORDER BY l.seq DESC LIMIT $2");
        args.splice(..0, args![before.unwrap_or(i64::MAX), limit]);
        let mut tx = self.read().await?;
        tx.rows(AssertSqlSafe(sql), args).await?.iter().map(chained).collect()
    }

    /// Oldest first after this seq, so many at most.
    pub async fn audit_after(&self, filter: &AuditFilter, seq: i64, limit: u32) -> Result<Vec<Chained>> {
        let (conditions, mut args) = narrowed(filter, 2);
        let sql = format!("{ROWS} WHERE l.seq > $1{conditions} ORDER BY l.seq LIMIT $2");
        args.splice(..0, args![seq, limit]);
        let mut tx = self.read().await?;
        tx.rows(AssertSqlSafe(sql), args).await?.iter().map(chained).collect()
    }

    /// Gives hashes to the records that are older than the chain. Each part of the work is a
    /// transaction of its own: if it is cut off, the next start goes on with it.
    pub(crate) async fn chain_older_records(&self) -> Result<()> {
        let pending = "SELECT 1 FROM audit_head WHERE seq < older";
        while self.read().await?.row(pending, args![]).await?.is_some() {
            let mut tx = self.write().await?;
            let (mut head, _) = locked_head(&mut tx).await?;
            let sql = format!("{ROWS} WHERE l.seq > $1 AND l.hash IS NULL ORDER BY l.seq LIMIT $2");
            let rows = tx.rows(AssertSqlSafe(sql), args![head.seq, BATCH]).await?;
            if rows.is_empty() {
                // Another replica has done it, or somebody has taken records away: verify says so.
                tx.execute("UPDATE audit_head SET older = seq", args![]).await?;
            }
            for row in &rows {
                let record = seen(row, head.hash)?;
                head = Link { seq: record.seq, hash: record.computed(record.seq, head.hash) };
                let sql = "UPDATE audit_log SET hash = $1 WHERE seq = $2";
                tx.execute(sql, args![head.hash.to_string(), head.seq]).await?;
            }
            move_head(&mut tx, head).await?;
            tx.commit().await?;
        }
        Ok(())
    }
}

/// Conditions for a filter, with values for placeholders beyond so many.
fn narrowed(filter: &AuditFilter, given: usize) -> (String, Vec<crate::db::Arg>) {
    let (mut sql, mut args) = (String::new(), Vec::new());
    let times = [("l.at >=", filter.since), ("l.at <", filter.until)];
    for (condition, at) in times.into_iter().filter_map(|(condition, at)| Some((condition, at?))) {
        args.extend(args![at]);
        sql += &format!(" AND {condition} ${}", given + args.len());
    }
    let texts = [("action", &filter.action), ("actor", &filter.actor), ("target", &filter.target)];
    for (column, text) in texts.into_iter().filter_map(|(column, text)| Some((column, text.as_deref()?))) {
        args.extend(args![text]);
        sql += &format!(" AND l.{column} = ${}", given + args.len());
    }
    (sql, args)
}

/// The newest record, if there is one.
pub(crate) async fn head(tx: &mut Tx) -> Result<Option<Link>> {
    let row = tx.row("SELECT seq, hash FROM audit_head WHERE seq > 0", args![]).await?;
    row.map(|row| Ok(Link { seq: row.int("seq")?, hash: row.parse("hash")? })).transpose()
}

/// Notes a record, to be written by the commit.
pub(crate) fn append(tx: &mut Tx, record: &AuditRecord) {
    tx.notes.push(record.clone());
}

/// Notes the record of a change by a person, to be written by the commit.
pub(crate) fn note(
    tx: &mut Tx,
    by: &By,
    action: &str,
    target: String,
    before: Option<Value>,
    after: Option<Value>,
) {
    tx.notes.push(AuditRecord {
        seq: 0,
        at: by.at,
        actor: by.actor.clone(),
        action: action.to_owned(),
        target,
        peer: by.peer.clone(),
        before,
        after,
    });
}

/// Appends records to the chain. Only the commit does this.
pub(crate) async fn write(tx: &mut Tx, records: &[AuditRecord]) -> Result<()> {
    let (mut head, _) = locked_head(tx).await?;
    let chain: Vec<Chained> = records
        .iter()
        .map(|record| {
            let next = Chained::follow(head.hash, head.seq + 1, record);
            head = Link { seq: next.seq, hash: next.hash };
            next
        })
        .collect();
    let groups = chain.chunks_exact(GROUP);
    let rest = groups.remainder();
    for group in groups.chain(rest.chunks(1)) {
        insert(tx, group).await?;
    }
    move_head(tx, head).await
}

async fn insert(tx: &mut Tx, records: &[Chained]) -> Result<()> {
    let rows: Vec<String> = (0..records.len()).map(|n| format!("({})", placeholders(n * 9 + 1, 9))).collect();
    let sql = format!(
        "INSERT INTO audit_log (seq, at, actor, action, target, peer, before_value, after_value, hash) VALUES {}",
        rows.join(", ")
    );
    let values = |record: &Chained| {
        args![
            record.seq,
            record.at,
            record.actor.as_str(),
            record.action.as_str(),
            record.target.as_str(),
            record.peer.as_deref(),
            record.before.as_deref(),
            record.after.as_deref(),
            record.hash.to_string(),
        ]
    };
    tx.execute(AssertSqlSafe(sql), records.iter().flat_map(values).collect()).await.map(drop)
}

/// The newest record, and the position of the first one. Nobody else appends until the end of the
/// transaction.
async fn locked_head(tx: &mut Tx) -> Result<(Link, i64)> {
    let sql = locking!(tx, "SELECT seq, hash, first_seq FROM audit_head");
    let row = tx.row(sql, args![]).await?.ok_or_else(no_head)?;
    Ok((Link { seq: row.int("seq")?, hash: row.parse("hash")? }, row.int("first_seq")?))
}

fn no_head() -> StoreError {
    StoreError::Corrupt("audit_head is empty".into())
}

async fn move_head(tx: &mut Tx, head: Link) -> Result<()> {
    let sql = "UPDATE audit_head SET seq = $1, hash = $2";
    tx.execute(sql, args![head.seq, head.hash.to_string()]).await.map(drop)
}

fn chained(row: &Row) -> Result<Chained> {
    seen(row, row.parse("prev")?)
}

/// A record as it is in the table. A hash that is none is that of no record: what reads on, finds
/// out.
fn seen(row: &Row, prev: Digest) -> Result<Chained> {
    Ok(Chained {
        seq: row.int("seq")?,
        at: row.time("at")?,
        actor: row.text("actor")?,
        action: row.text("action")?,
        target: row.text("target")?,
        peer: row.text_or_null("peer")?,
        before: row.text_or_null("before_value")?,
        after: row.text_or_null("after_value")?,
        prev,
        hash: lenient(row.text_or_null("hash")?),
    })
}

fn lenient(hash: Option<String>) -> Digest {
    hash.and_then(|text| text.parse().ok()).unwrap_or(Digest([0; 32]))
}
