//! How long the audit log is kept.

use super::{locked_head, note};
use crate::Store;
use crate::db::args;
use crate::error::{Result, StoreError};
use moxxie_core::audit::By;
use moxxie_core::time::Timestamp;
use serde_json::json;

/// Records deleted in one transaction, so that pruning a long log does not run into a time-out.
const PRUNED: i64 = 5000;

impl Store {
    /// Deletes the records before the first one that is not older than this; how many. What stays
    /// begins with the hash of the last one that went, and a record says so.
    pub async fn prune_audit(&self, before: Timestamp, by: &By) -> Result<u64> {
        let mut pruned = 0;
        // Nothing is old most of the time, and then nothing is locked.
        let oldest = "SELECT at FROM audit_log WHERE seq = (SELECT first_seq FROM audit_head)";
        loop {
            match self.read().await?.row(oldest, args![]).await? {
                Some(row) if row.time("at")? < before => {}
                _ => return Ok(pruned),
            }
            let mut tx = self.write().await?;
            let (head, first) = locked_head(&mut tx).await?;
            // By position and not by time alone: a clock may have gone back.
            let sql = "SELECT seq FROM audit_log WHERE seq >= $1 AND at >= $2 ORDER BY seq LIMIT 1";
            let kept = tx.row(sql, args![first, before]).await?.map(|row| row.int("seq")).transpose()?;
            let last = kept.map_or(head.seq, |kept| kept - 1).min(first + PRUNED - 1);
            if last < first {
                // Another replica was faster.
                return Ok(pruned);
            }
            let sql = "SELECT hash FROM audit_log WHERE seq = $1";
            let gone = || StoreError::Corrupt("an audit record is missing: run `moxxie audit verify`".into());
            let hash =
                tx.row(sql, args![last]).await?.ok_or_else(gone)?.text_or_null("hash")?.ok_or_else(gone)?;
            let sql = "UPDATE audit_head SET pruning = $1, first_seq = $1 + 1, base_hash = $2";
            tx.execute(sql, args![last, hash.as_str()]).await?;
            pruned += tx.execute("DELETE FROM audit_log WHERE seq <= $1", args![last]).await?;
            tx.execute("UPDATE audit_head SET pruning = 0", args![]).await?;
            let what = json!({"first": first, "last": last, "hash": hash});
            note(&mut tx, by, "audit.prune", "audit log".into(), Some(what), None);
            tx.commit().await?;
        }
    }
}
