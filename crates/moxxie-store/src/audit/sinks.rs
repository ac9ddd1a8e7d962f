//! Where else the audit log goes, and how far it got there. Of several replicas one sends: it holds
//! a lease on the sink's row.

use crate::Store;
use crate::db::args;
use crate::error::Result;
use moxxie_core::time::Timestamp;

impl Store {
    /// How many records a sink has not been sent yet; `None` when it was never begun.
    pub async fn sink_lag(&self, name: &str) -> Result<Option<i64>> {
        let sql = "SELECT h.seq - s.seq AS lag FROM audit_head h JOIN audit_sinks s ON s.name = $1";
        let row = self.read().await?.row(sql, args![name]).await?;
        row.map(|row| row.int("lag")).transpose()
    }

    /// Begins a sink, from the next record on. One that was begun stays where it is.
    pub async fn sink_begin(&self, name: &str) -> Result<()> {
        let sql = "INSERT INTO audit_sinks (name, seq, holder, until) \
                   SELECT $1, seq, NULL, 0 FROM audit_head WHERE true ON CONFLICT (name) DO NOTHING";
        let mut tx = self.write().await?;
        tx.execute(sql, args![name]).await?;
        tx.commit().await
    }

    /// Forgets a sink and where it stood.
    pub async fn sink_forget(&self, name: &str) -> Result<()> {
        let mut tx = self.write().await?;
        tx.execute("DELETE FROM audit_sinks WHERE name = $1", args![name]).await?;
        tx.commit().await
    }

    /// Takes the lease on a sink, or holds it longer; the last record that was sent. `None` while
    /// another holder has it.
    pub async fn sink_take(
        &self,
        name: &str,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<i64>> {
        let sql = "UPDATE audit_sinks SET holder = $2, until = $4 \
                   WHERE name = $1 AND (holder IS NULL OR holder = $2 OR until <= $3) RETURNING seq";
        let mut tx = self.write().await?;
        let row = tx.row(sql, args![name, holder, now, until]).await?;
        tx.commit().await?;
        row.map(|row| row.int("seq")).transpose()
    }

    /// Everything up to this record was sent.
    pub async fn sink_sent(&self, name: &str, holder: &str, seq: i64) -> Result<()> {
        let sql = "UPDATE audit_sinks SET seq = $3 WHERE name = $1 AND holder = $2 AND seq < $3";
        let mut tx = self.write().await?;
        tx.execute(sql, args![name, holder, seq]).await?;
        tx.commit().await
    }
}
