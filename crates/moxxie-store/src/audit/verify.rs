//! Is the audit log what was written?

use super::{BATCH, ROWS, lenient, no_head, seen};
use crate::db::args;
use crate::error::Result;
use crate::{Store, Verified};
use moxxie_core::audit::{Base, Link, Verifier};
use sqlx::AssertSqlSafe;

impl Store {
    /// Reads the whole log, as of one moment and part by part, up to the first thing that is
    /// wrong. `remembered` is a link of the chain that was kept elsewhere.
    pub async fn verify_audit(&self, remembered: Option<Link>) -> Result<Verified> {
        let mut tx = self.snapshot().await?;
        let sql = "SELECT seq, hash, first_seq, base_hash FROM audit_head";
        let row = tx.row(sql, args![]).await?.ok_or_else(no_head)?;
        let head = Link { seq: row.int("seq")?, hash: lenient(row.text_or_null("hash")?) };
        let base = Base { first: row.int("first_seq")?, hash: lenient(row.text_or_null("base_hash")?) };
        let mut verifier = Verifier::new(base, remembered);
        let sql = format!("{ROWS} WHERE l.seq > $1 ORDER BY l.seq LIMIT $2");
        let mut after = i64::MIN;
        let outcome = loop {
            let rows = tx.rows(AssertSqlSafe(sql.clone()), args![after, BATCH]).await?;
            let mut records = Vec::with_capacity(rows.len());
            let mut prev = verifier.last().hash;
            for row in &rows {
                let record = seen(row, prev)?;
                (prev, after) = (record.hash, record.seq);
                records.push(record);
            }
            if let Err(problem) = verifier.take(&records) {
                break Err(problem);
            }
            if records.len() < BATCH as usize {
                break verifier.end(Some(head));
            }
        };
        Ok(Verified {
            records: verifier.records,
            first: verifier.first(),
            head: verifier.last(),
            problem: outcome.err(),
        })
    }
}
