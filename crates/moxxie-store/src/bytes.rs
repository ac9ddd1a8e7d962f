//! Which bytes the byte store may hold, who is about to label them, and collecting what nothing
//! refers to.
//!
//! The byte store and the database cannot be changed in one transaction, so every digest has a
//! row in `asset_bytes` before its bytes are published, and bytes are deleted only under a lease
//! in that row. Whoever wants to label a digest needs the row's lock as well: it is told
//! [`StoreError::Busy`] while a lease runs, and its arrival keeps collectors away until the label
//! is written. A process that is killed leaves an arrival or a lease behind, never an answer that
//! is wrong: both run out.

use crate::assets::{AssetError, Assets};
use crate::db::{Tx, args, locking};
use crate::error::{Result, StoreError};
use crate::{Arrival, CollectError, Store};
use moxxie_core::asset::Digest;
use moxxie_core::time::{Span, Timestamp};
use std::collections::BTreeSet;
use std::time::Duration;

/// How long nobody else touches bytes that are being deleted.
const LEASE: Span = Span::minutes(10);
/// After so long a deletion is given up, well before its lease ends.
const DELETION: Duration = Duration::from_secs(120);

impl Store {
    /// Says that these bytes will be published and labeled: until `until` they are not collected.
    /// To be called before they are published.
    ///
    /// [`StoreError::Busy`] while the same bytes are being deleted; that takes a moment.
    pub async fn arrive(
        &self,
        digest: &Digest,
        size: i64,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Arrival> {
        let mut tx = self.write().await?;
        hold(&mut tx, digest, size, now).await?;
        let sql = "UPDATE asset_bytes SET size = $2 WHERE sha256 = $1";
        tx.execute(sql, args![digest.to_string(), size]).await?;
        drop_expired(&mut tx, digest, now).await?;
        let sql = "INSERT INTO asset_arrivals (sha256, ends_at) VALUES ($1, $2) RETURNING id";
        let row = tx.row(sql, args![digest.to_string(), until]).await?;
        let id = row.ok_or_else(|| StoreError::Corrupt("an arrival without a number".into()))?.int("id")?;
        tx.commit().await?;
        Ok(Arrival { id, sha256: *digest })
    }

    /// Nobody will label these bytes after all: they may be collected from `from` on. Later than
    /// now when the byte store did not say how publishing them ended, and may still do it.
    pub async fn abandon(&self, arrival: &Arrival, from: Timestamp) -> Result<()> {
        let mut tx = self.write().await?;
        let sql = "UPDATE asset_arrivals SET ends_at = $2 WHERE id = $1 AND ends_at > $2";
        tx.execute(sql, args![arrival.id, from]).await?;
        tx.commit().await
    }

    /// Ends every arrival: those that are there belong to a process that has ended. Only for the
    /// one process that uses this database, when it starts. A put that loses its arrival this way
    /// is refused, so a mistake here costs no bytes.
    pub async fn drop_arrivals(&self) -> Result<()> {
        let mut tx = self.write().await?;
        tx.execute("DELETE FROM asset_arrivals", args![]).await?;
        tx.commit().await
    }

    /// How many bytes the file with this digest has, if the byte store may hold it.
    pub async fn asset_size(&self, digest: &Digest) -> Result<Option<i64>> {
        let sql = "SELECT size FROM asset_bytes WHERE sha256 = $1";
        let row = self.read().await?.row(sql, args![digest.to_string()]).await?;
        row.map(|row| row.int("size")).transpose()
    }

    /// Every digest whose bytes the byte store may hold.
    pub async fn all_bytes(&self) -> Result<BTreeSet<Digest>> {
        let rows = self.read().await?.rows("SELECT sha256 FROM asset_bytes", args![]).await?;
        rows.iter().map(|row| row.parse("sha256")).collect()
    }

    /// Digests that nothing refers to and nobody is deleting, `limit` of them.
    pub async fn unused(&self, now: Timestamp, limit: u32) -> Result<Vec<Digest>> {
        let sql = "SELECT b.sha256 FROM asset_bytes b \
                   WHERE (b.collecting_until IS NULL OR b.collecting_until <= $1) \
                   AND NOT EXISTS (SELECT 1 FROM profile_assets p WHERE p.sha256 = b.sha256) \
                   AND NOT EXISTS (SELECT 1 FROM loaders l WHERE l.sha256 = b.sha256) \
                   AND NOT EXISTS (SELECT 1 FROM asset_arrivals a \
                                   WHERE a.sha256 = b.sha256 AND a.ends_at > $1) \
                   ORDER BY b.sha256 LIMIT $2";
        let rows = self.read().await?.rows(sql, args![now, limit]).await?;
        rows.iter().map(|row| row.parse("sha256")).collect()
    }

    /// Deletes these bytes if nothing refers to them; whether it did. Let it run to its end: cut
    /// off in the middle, it leaves them to another collector after ten minutes, and until then
    /// nobody can put them again.
    pub async fn collect(
        &self,
        assets: &Assets,
        digest: &Digest,
        now: Timestamp,
    ) -> Result<bool, CollectError> {
        let Some(lease) = self.collect_begin(digest, now).await? else { return Ok(false) };
        // No transaction is open meanwhile: a remote store may be slow.
        let removed = tokio::time::timeout(DELETION, assets.remove(digest)).await;
        // After an error it is not known whether the bytes are gone, or still will be: the lease
        // keeps everybody away until that is over.
        removed.map_err(|_| AssetError::Away("a deletion took too long".into()))??;
        self.collect_end(digest, lease).await?;
        Ok(true)
    }

    /// Takes the lease for deleting these bytes; when it ends. `None` when something refers to
    /// them, or somebody else has the lease.
    pub(crate) async fn collect_begin(&self, digest: &Digest, now: Timestamp) -> Result<Option<Timestamp>> {
        let mut tx = self.write().await?;
        // The lock has a statement of its own. On PostgreSQL a statement sees what was committed
        // when it began: one that waits for the lock would look for labels as of before the wait.
        let sql = locking!(tx, "SELECT collecting_until FROM asset_bytes WHERE sha256 = $1");
        let Some(row) = tx.row(sql, args![digest.to_string()]).await? else { return Ok(None) };
        if row.time_or_null("collecting_until")?.is_some_and(|until| until > now) {
            return Ok(None);
        }
        // An arrival that ran out is deleted, so that a put which comes too late finds it gone.
        drop_expired(&mut tx, digest, now).await?;
        let sql = "SELECT 1 WHERE EXISTS (SELECT 1 FROM profile_assets WHERE sha256 = $1) \
                   OR EXISTS (SELECT 1 FROM loaders WHERE sha256 = $1) \
                   OR EXISTS (SELECT 1 FROM asset_arrivals WHERE sha256 = $1)";
        if tx.row(sql, args![digest.to_string()]).await?.is_some() {
            return Ok(None);
        }
        let lease = now + LEASE;
        let sql = "UPDATE asset_bytes SET collecting_until = $2 WHERE sha256 = $1";
        tx.execute(sql, args![digest.to_string(), lease]).await?;
        tx.commit().await?;
        Ok(Some(lease))
    }

    /// The bytes are gone: forgets them, if the lease is still the one that was given.
    pub(crate) async fn collect_end(&self, digest: &Digest, lease: Timestamp) -> Result<()> {
        let mut tx = self.write().await?;
        let sql = "DELETE FROM asset_bytes WHERE sha256 = $1 AND collecting_until = $2";
        tx.execute(sql, args![digest.to_string(), lease]).await?;
        tx.commit().await
    }
}

/// Keeps collectors away from these bytes for the rest of the transaction. Busy while one is at
/// work on them.
pub(crate) async fn hold(tx: &mut Tx, digest: &Digest, size: i64, now: Timestamp) -> Result<()> {
    // Writes nothing new into a row that is there, but locks it in its newest version.
    let sql = "INSERT INTO asset_bytes (sha256, size, stored_at) VALUES ($1, $2, $3) \
               ON CONFLICT (sha256) DO UPDATE SET size = asset_bytes.size RETURNING collecting_until";
    let row = tx.row(sql, args![digest.to_string(), size, now]).await?;
    match row.map(|row| row.time_or_null("collecting_until")).transpose()?.flatten() {
        Some(until) if until > now => Err(StoreError::Busy),
        // Of a collector that was killed.
        Some(_) => {
            let sql = "UPDATE asset_bytes SET collecting_until = NULL WHERE sha256 = $1";
            tx.execute(sql, args![digest.to_string()]).await.map(drop)
        }
        None => Ok(()),
    }
}

/// Ends an arrival with the transaction that writes the label. Busy when it is there no more: it
/// ran out, and the bytes may be gone.
pub(crate) async fn arrived(tx: &mut Tx, arrival: &Arrival, digest: &Digest) -> Result<()> {
    let sql = "DELETE FROM asset_arrivals WHERE id = $1 AND sha256 = $2";
    match tx.execute(sql, args![arrival.id, digest.to_string()]).await? {
        0 => Err(StoreError::Busy),
        _ => Ok(()),
    }
}

/// Needs the lock on the digest's row.
async fn drop_expired(tx: &mut Tx, digest: &Digest, now: Timestamp) -> Result<()> {
    let sql = "DELETE FROM asset_arrivals WHERE sha256 = $1 AND ends_at <= $2";
    tx.execute(sql, args![digest.to_string(), now]).await.map(drop)
}
