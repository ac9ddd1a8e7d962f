//! The keys that a database was sealed with, and sealing it anew with another one.
//!
//! A key enters the database when a server first starts with it, and leaves it when nothing is
//! sealed with it any more. In between, a server without it does not start: what it cannot read it
//! must not serve, and must not mix with what another key seals.

use crate::db::{Row, Tx, args, unreadable};
use crate::error::{Result, StoreError};
use crate::snapshot::hold_version;
use crate::{Db, Store, assignments, audit, profiles};
use moxxie_core::audit::By;
use moxxie_core::keyring::KeyId;
use moxxie_core::seal::{PREFIX, Place, SealError};
use moxxie_core::time::Timestamp;
use serde_json::json;
use sqlx::AssertSqlSafe;

/// What a key's check value says.
const CHECK: &str = "moxxie";
/// Rows that are sealed anew in one transaction: short enough not to keep people waiting.
const BATCH: u32 = 200;
/// How often all rows are gone through while other servers still seal with an older key.
const PASSES: u32 = 5;

/// A table with sealed columns, and which of them are JSON.
struct Sealed {
    table: &'static str,
    columns: &'static [(&'static str, Kind)],
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Text,
    Json,
}

const TABLES: [Sealed; 2] = [
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
    fn start(self) -> usize {
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

/// A key as the database knows it.
struct Known {
    id: KeyId,
    check_value: String,
    created_at: Timestamp,
    sealed_at: Option<Timestamp>,
    retired_at: Option<Timestamp>,
}

/// How much one key is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUse {
    /// Its id.
    pub id: KeyId,
    /// Seals what is written now.
    pub current: bool,
    /// This server has it.
    pub at_hand: bool,
    /// Profiles sealed with it.
    pub profiles: i64,
    /// Assignments sealed with it.
    pub assignments: i64,
    /// Boots under way whose tokens may be signed with it: begun before it was retired.
    pub open_sessions: i64,
    /// When a server first started with it; `None` for a key that is only kept ready.
    pub created_at: Option<Timestamp>,
    /// When everything had been sealed anew with another one.
    pub retired_at: Option<Timestamp>,
}

impl KeyUse {
    /// Whether nothing needs it any more.
    pub fn removable(&self) -> bool {
        self.retired_at.is_some() && self.profiles + self.assignments + self.open_sessions == 0
    }
}

/// Which keys are in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretsStatus {
    /// The current one first, then those in use, then those that are only at hand.
    pub keys: Vec<KeyUse>,
    /// Rows that are not sealed: an older version wrote them.
    pub plain: i64,
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
    /// Ids of the keys without which the database cannot be read; none when it is new. Does not
    /// need the keys themselves.
    pub async fn sealed_with(&self) -> Result<Vec<KeyId>> {
        let mut tx = self.read().await?;
        let table = match tx.is_sqlite() {
            true => "SELECT 1 AS one FROM sqlite_master WHERE name = 'site_keys'",
            false => "SELECT 1 AS one WHERE to_regclass('site_keys') IS NOT NULL",
        };
        if tx.row(table, args![]).await?.is_none() {
            return Ok(Vec::new());
        }
        let keys = known(&mut tx).await?;
        Ok(keys.into_iter().filter(|key| key.retired_at.is_none()).map(|key| key.id).collect())
    }

    /// Makes sure that the keys are the right ones, enters the current one and seals what is not.
    pub(crate) async fn unlock(&self) -> Result<()> {
        let keys = known(&mut self.read().await?).await?;
        let entered = self.check(&keys)?;
        if !entered {
            let mut tx = self.write().await?;
            hold_version(&mut tx).await?;
            // Two replicas with different keys may begin at the same moment: one is refused here.
            if !self.check(&known(&mut tx).await?)? {
                let id = self.vault.current().to_string();
                let check = self.vault.seal(check_place(&id), CHECK)?;
                let sql = "INSERT INTO site_keys (id, check_value, created_at) VALUES ($1, $2, ";
                let sql = format!("{sql}{})", now(&tx));
                tx.execute(AssertSqlSafe(sql), args![id, check]).await?;
                tx.commit().await?;
            }
        }
        match keys.iter().any(|key| key.id == self.vault.current() && key.sealed_at.is_some()) {
            true => Ok(()),
            false => self.seal_what_is_plain().await,
        }
    }

    /// Whether the current key is entered already. Every key in use must open its check value.
    fn check(&self, keys: &[Known]) -> Result<bool> {
        for key in keys.iter().filter(|key| key.retired_at.is_none()) {
            if !self.vault.has(key.id) {
                return Err(StoreError::WrongKey { wanted: key.id, have: self.vault.ids() });
            }
            if self.vault.open(check_place(&key.id.to_string()), &key.check_value)? != CHECK {
                return Err(unreadable("check_value"));
            }
        }
        let current = self.vault.current();
        match keys.iter().find(|key| key.id == current) {
            Some(key) if key.retired_at.is_some() => Err(StoreError::RetiredKey(current)),
            found => Ok(found.is_some()),
        }
    }

    /// Seals what an older version wrote. Done again from where it was killed; replicas that start
    /// together share the work.
    async fn seal_what_is_plain(&self) -> Result<()> {
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

    /// Which keys are in use, and by how much.
    pub async fn secrets(&self, now: Timestamp) -> Result<SecretsStatus> {
        let mut tx = self.snapshot().await?;
        tx.take_time().await?;
        let known = known(&mut tx).await?;
        let mut ids = self.vault.ids();
        let mut counts = Vec::new();
        for table in &TABLES {
            counts.push(users(&mut tx, table).await?);
        }
        let used = counts.iter().flatten().filter_map(|(id, _)| *id);
        for id in known.iter().map(|key| key.id).chain(used) {
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        let count = |table: usize, id: Option<KeyId>| -> i64 {
            counts[table].iter().filter(|(key, _)| *key == id).map(|(_, rows)| rows).sum()
        };
        let mut keys = Vec::new();
        for id in ids {
            let row = known.iter().find(|key| key.id == id);
            let retired_at = row.and_then(|key| key.retired_at);
            let sql = "SELECT COUNT(*) AS n FROM boot_sessions \
                       WHERE revoked_at IS NULL AND expires_at > $1 AND minted_at <= $2";
            let open = match row {
                Some(_) => tx.row(sql, args![now, retired_at.unwrap_or(now)]).await?,
                None => None,
            };
            keys.push(KeyUse {
                id,
                current: id == self.vault.current(),
                at_hand: self.vault.has(id),
                profiles: count(0, Some(id)),
                assignments: count(1, Some(id)),
                open_sessions: open.map(|row| row.int("n")).transpose()?.unwrap_or(0),
                created_at: row.map(|key| key.created_at),
                retired_at,
            });
        }
        Ok(SecretsStatus { keys, plain: count(0, None) + count(1, None) })
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

    /// Seals a text that leaves the database, for a backup. The same text in the same place is
    /// sealed to the same letters, so that two backups can be compared.
    pub fn seal(&self, place: Place<'_>, text: &str) -> Result<String> {
        self.vault.seal_evenly(place, text)
    }

    /// Opens what [`Store::seal`] made.
    pub fn unseal(&self, place: Place<'_>, sealed: &str) -> Result<String, SealError> {
        self.vault.unseal(place, sealed)
    }
}

/// The first statement of whatever seals, after the version is held: whoever retires a key holds
/// it too, so nothing is sealed with a key that is being retired.
pub(crate) async fn may_seal(tx: &mut Tx) -> Result<()> {
    if !tx.may_seal {
        let current = tx.vault.current();
        let sql = "SELECT retired_at FROM site_keys WHERE id = $1";
        match tx.row(sql, args![current.to_string()]).await? {
            Some(row) if row.time_or_null("retired_at")?.is_none() => tx.may_seal = true,
            Some(_) => return Err(StoreError::RetiredKey(current)),
            None => return Err(StoreError::Unavailable("its keys were not checked yet".into())),
        }
    }
    Ok(())
}

fn check_place(id: &str) -> Place<'_> {
    Place { table: "site_keys", column: "check_value", row: id }
}

/// The time of the database, in ms.
fn now(tx: &Tx) -> &'static str {
    match tx.is_sqlite() {
        true => "CAST(unixepoch('subsec') * 1000 AS INTEGER)",
        false => "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)",
    }
}

async fn known(tx: &mut Tx) -> Result<Vec<Known>> {
    let sql =
        "SELECT id, check_value, created_at, sealed_at, retired_at FROM site_keys ORDER BY created_at, id";
    let known = |row: &Row| {
        Ok(Known {
            id: row.parse("id")?,
            check_value: row.text("check_value")?,
            created_at: row.time("created_at")?,
            sealed_at: row.time_or_null("sealed_at")?,
            retired_at: row.time_or_null("retired_at")?,
        })
    };
    tx.rows(sql, args![]).await?.iter().map(known).collect()
}

/// How many rows of a table have values of each key; `None` is for those that are not sealed.
async fn users(tx: &mut Tx, sealed: &Sealed) -> Result<Vec<(Option<KeyId>, i64)>> {
    let table = sealed.table;
    let key = |(column, kind): &(&str, Kind)| {
        let start = kind.start();
        format!(
            "SELECT id, CASE WHEN substr({column}, {start}, {}) = '{PREFIX}' THEN substr({column}, {}, 8) \
             ELSE '' END AS key_id FROM {table} WHERE {column} IS NOT NULL",
            PREFIX.len(),
            start + PREFIX.len(),
        )
    };
    let all: Vec<String> = sealed.columns.iter().map(key).collect();
    let sql = format!(
        "SELECT key_id, COUNT(DISTINCT id) AS n FROM ({}) AS used GROUP BY key_id",
        all.join(" UNION ALL ")
    );
    let rows = tx.rows(AssertSqlSafe(sql), args![]).await?;
    rows.iter().map(|row| Ok((row.text("key_id")?.parse().ok(), row.int("n")?))).collect()
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
        let lock = if tx.is_sqlite() { "" } else { " FOR UPDATE" };
        let rows = tx.rows(AssertSqlSafe(format!("{sql}{lock}")), args).await?;
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
        audit::note(&mut tx, by, "secrets.reseal", "everything".into(), None, Some(after)).await?;
        tx.commit().await?;
        self.done.retired = retired;
        Ok(true)
    }
}
