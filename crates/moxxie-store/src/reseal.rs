//! Going through everything that is sealed, or should be, to seal it anew.

use crate::db::{Row, args, unreadable};
use crate::error::{Result, StoreError};
use crate::secrets::{known, may_seal, now};
use crate::snapshot::hold_version;
use crate::{Db, Store, assignments, audit, profiles};
use moxxie_core::audit::By;
use moxxie_core::keyring::KeyId;
use moxxie_core::seal::{PREFIX, Place};
use serde_json::json;
use sqlx::AssertSqlSafe;

/// Rows that are sealed anew in one transaction: short enough not to keep people waiting.
const BATCH: u32 = 200;
/// How often all rows are gone through while other servers still seal with an older key.
const PASSES: u32 = 5;

/// A table with sealed columns, and which of them are JSON.
pub(crate) struct Sealed {
    pub(crate) table: &'static str,
    pub(crate) columns: &'static [(&'static str, Kind)],
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Text,
    Json,
}

pub(crate) const TABLES: [Sealed; 2] = [
    Sealed {
        table: profiles::TABLE,
        columns: &[
            ("kernel_path", Kind::Text),
            ("initrd_path", Kind::Text),
            ("extra_initrds", Kind::Json),
            ("boot_params", Kind::Text),
            ("config_template", Kind::Text),
            ("params", Kind::Json),
        ],
    },
    Sealed { table: assignments::TABLE, columns: &[("boot_params_override", Kind::Json)] },
];

impl Kind {
    /// Where a sealed text begins in such a column; SQL counts from 1.
    pub(crate) fn start(self) -> usize {
        match self {
            Kind::Text => 1,
            Kind::Json => 2,
        }
    }
}

impl Sealed {
    /// Rows with a value that does not begin with `$1`, which has so many bytes.
    fn stale(&self, length: usize) -> String {
        let stale = |(column, kind): &(&str, Kind)| {
            // NULL is neither sealed nor stale.
            format!("substr({column}, {}, {length}) <> $1", kind.start())
        };
        let all: Vec<String> = self.columns.iter().map(stale).collect();
        format!("({})", all.join(" OR "))
    }
}

/// What sealing anew did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resealed {
    /// Rows that were written.
    pub rows: u64,
    /// Keys that nothing is sealed with any more.
    pub retired: Vec<KeyId>,
    /// Rows that could not be opened, and why. Their key stays in use.
    pub unreadable: Vec<String>,
}

impl Store {
    /// Seals what an older version wrote. Done again from where it was killed; replicas that start
    /// together share the work.
    pub(crate) async fn seal_what_is_plain(&self) -> Result<()> {
        let mut work = Work { store: self, prefix: PREFIX.to_owned(), done: Resealed::default() };
        work.everywhere(&mut |_| {}).await?;
        if work.done.rows > 0 {
            tracing::info!(rows = work.done.rows, "stored secrets are sealed now");
        }
        if let Err(error) = self.forget_plain().await {
            // Tried again by the next start.
            tracing::warn!(%error, "old pages of the database may still hold secrets");
            return Ok(());
        }
        let mut tx = self.write().await?;
        let sql =
            format!("UPDATE site_keys SET sealed_at = {} WHERE id = $1 AND sealed_at IS NULL", now(&tx));
        tx.execute(AssertSqlSafe(sql), args![self.vault.current().to_string()]).await?;
        tx.commit().await
    }

    /// Pages of SQLite that are not used any more keep what they held, until the file is written
    /// anew. PostgreSQL does that by itself, in its time.
    async fn forget_plain(&self) -> Result<()> {
        let Db::Sqlite { w, .. } = &self.db else { return Ok(()) };
        // A database that nobody has changed yet has nothing to forget.
        if self.version().await?.version > 1 {
            let mut connection = w.acquire().await?;
            for sql in ["VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"] {
                sqlx::query(sql).execute(&mut *connection).await?;
            }
        }
        Ok(())
    }

    /// Seals everything anew with the current key, then retires the others. Ended anywhere, it is
    /// done again from there. `told` hears how many rows were written so far. Conflict when a newer
    /// key is in use already.
    pub async fn reseal(&self, by: &By, told: &mut (dyn FnMut(u64) + Send)) -> Result<Resealed> {
        let current = self.vault.current();
        let mut work = Work { store: self, prefix: format!("{PREFIX}{current}."), done: Resealed::default() };
        for _ in 0..PASSES {
            self.is_newest().await?;
            work.done.unreadable.clear();
            work.everywhere(told).await?;
            let retired = work.retire(by).await?;
            if retired && let Err(error) = self.forget_plain().await {
                tracing::warn!(%error, "old pages of the database may still hold what was sealed before");
            }
            if retired || !work.done.unreadable.is_empty() {
                return Ok(work.done);
            }
        }
        Err(StoreError::Conflict(
            "another server seals with an older key at the same time: give every server the new key as its \
             first one, then try again"
                .into(),
        ))
    }

    /// With an older key, all would be sealed backwards, and the newer key retired.
    async fn is_newest(&self) -> Result<()> {
        let keys = known(&mut self.read().await?).await?;
        let current = self.vault.current();
        let mine = keys.iter().find(|key| key.id == current).ok_or_else(|| unreadable("id"))?;
        let newer = keys.iter().find(|key| key.retired_at.is_none() && key.created_at > mine.created_at);
        match (mine.retired_at, newer) {
            (Some(_), _) => Err(StoreError::RetiredKey(current)),
            (None, Some(newer)) => Err(StoreError::Conflict(format!(
                "the key {} is newer than {current}, the current one of this server: ask a server whose first \
                 key it is",
                newer.id
            ))),
            (None, None) => Ok(()),
        }
    }
}

/// Going through all rows whose sealed values do not begin as they should.
struct Work<'a> {
    store: &'a Store,
    /// What they should begin with.
    prefix: String,
    done: Resealed,
}

impl Work<'_> {
    async fn everywhere(&mut self, told: &mut (dyn FnMut(u64) + Send)) -> Result<()> {
        for table in &TABLES {
            let mut after = String::new();
            while let Some(last) = self.batch(table, &after).await? {
                after = last;
                told(self.done.rows);
            }
        }
        Ok(())
    }

    /// Seals the next rows in one transaction; the id of the last one.
    async fn batch(&mut self, sealed: &Sealed, after: &str) -> Result<Option<String>> {
        let names: Vec<&str> = sealed.columns.iter().map(|(name, _)| *name).collect();
        let sql = format!(
            "SELECT id, {} FROM {} WHERE {} AND id > $2 ORDER BY id LIMIT $3",
            names.join(", "),
            sealed.table,
            sealed.stale(self.prefix.len()),
        );
        let args = args![self.prefix.as_str(), after, BATCH];
        // Nothing is locked when nothing is left to do.
        if self.store.read().await?.row(AssertSqlSafe(sql.clone()), args.clone()).await?.is_none() {
            return Ok(None);
        }
        let mut tx = self.store.write().await?;
        tx.take_time().await?;
        // Whoever else writes these columns holds it too.
        hold_version(&mut tx).await?;
        may_seal(&mut tx).await?;
        let locking = format!("{sql}{}", tx.row_lock());
        let rows = tx.rows(AssertSqlSafe(locking), args).await?;
        let mut last = None;
        let mut written = 0;
        for row in &rows {
            let id = row.text("id")?;
            match self.anew(sealed, row, &id) {
                Ok(values) => {
                    let set: Vec<String> =
                        names.iter().enumerate().map(|(n, name)| format!("{name} = ${}", n + 2)).collect();
                    let sql = format!("UPDATE {} SET {} WHERE id = $1", sealed.table, set.join(", "));
                    let mut args = args![id.as_str()];
                    args.extend(values.into_iter().map(crate::db::Arg::from));
                    tx.execute(AssertSqlSafe(sql), args).await?;
                    written += 1;
                }
                Err(error) => self.done.unreadable.push(error.to_string()),
            }
            last = Some(id);
        }
        tx.commit().await?;
        self.done.rows += written;
        Ok(last)
    }

    fn anew(&self, sealed: &Sealed, row: &Row, id: &str) -> Result<Vec<Option<String>>> {
        let vault = &self.store.vault;
        let value = |(column, kind): &(&'static str, Kind)| {
            let Some(text) = row.sealed_or_null(sealed.table, column)? else { return Ok(None) };
            let new = vault.seal(Place { table: sealed.table, column, row: id }, &text)?;
            Ok(Some(if *kind == Kind::Json { format!("\"{new}\"") } else { new }))
        };
        sealed.columns.iter().map(value).collect()
    }

    /// Retires the other keys when nothing is sealed with them. Whether nothing was.
    async fn retire(&mut self, by: &By) -> Result<bool> {
        let mut tx = self.store.write().await?;
        tx.take_time().await?;
        hold_version(&mut tx).await?;
        for table in &TABLES {
            let stale = table.stale(self.prefix.len());
            let sql = format!("SELECT 1 AS one FROM {} WHERE {stale} LIMIT 1", table.table);
            if tx.row(AssertSqlSafe(sql), args![self.prefix.as_str()]).await?.is_some() {
                return Ok(false);
            }
        }
        let current = self.store.vault.current();
        let others = known(&mut tx).await?;
        let others = others.into_iter().filter(|key| key.id != current && key.retired_at.is_none());
        let retired: Vec<KeyId> = others.map(|key| key.id).collect();
        let sql = "UPDATE site_keys SET retired_at = $1 WHERE id <> $2 AND retired_at IS NULL";
        tx.execute(sql, args![by.at, current.to_string()]).await?;
        let ids: Vec<String> = retired.iter().map(KeyId::to_string).collect();
        let after = json!({ "key": current.to_string(), "rows": self.done.rows, "retired": ids });
        audit::note(&mut tx, by, "secrets.reseal", "everything".into(), None, Some(after));
        tx.commit().await?;
        self.done.retired = retired;
        Ok(true)
    }
}
