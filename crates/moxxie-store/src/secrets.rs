//! The keys that a database was sealed with: the right ones or no start.
//!
//! A key enters the database when a server first starts with it, and leaves it when nothing is
//! sealed with it any more. In between, a server without it does not start: what it cannot read it
//! must not serve, and must not mix with what another key seals.

use crate::Store;
use crate::db::{Row, Tx, args, unreadable};
use crate::error::{Result, StoreError};
use crate::reseal::{Kind, Sealed, TABLES};
use crate::snapshot::hold_version;
use moxxie_core::keyring::KeyId;
use moxxie_core::seal::{PREFIX, Place, SealError};
use moxxie_core::time::Timestamp;
use sqlx::AssertSqlSafe;

/// What a key's check value says.
const CHECK: &str = "moxxie";

/// A key as the database knows it.
pub(crate) struct Known {
    pub(crate) id: KeyId,
    check_value: String,
    pub(crate) created_at: Timestamp,
    sealed_at: Option<Timestamp>,
    pub(crate) retired_at: Option<Timestamp>,
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
pub(crate) fn now(tx: &Tx) -> &'static str {
    match tx.is_sqlite() {
        true => "CAST(unixepoch('subsec') * 1000 AS INTEGER)",
        false => "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)",
    }
}

pub(crate) async fn known(tx: &mut Tx) -> Result<Vec<Known>> {
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
