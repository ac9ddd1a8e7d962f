//! One connection of either database: the only file that knows which driver it talks to.
//!
//! Every SQL text is written once, with `$1…$n`. Values go in as [`Arg`], rows come out as
//! [`Row`], so nothing above this file is generic over the database.

use crate::error::{Result, StoreError, breaks_connection};
use crate::vault::Vault;
use crate::{Db, Store};
use moxxie_core::audit::{AuditRecord, Fingerprint};
use moxxie_core::seal::Place;
use moxxie_core::time::Timestamp;
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Postgres, Row as _, SqlSafeStr, Sqlite};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// PostgreSQL ends a statement after its `statement_timeout`. A server that hangs, or a network
/// that swallows everything, ends nothing: after this the connection is given up. Longer than the
/// time-out of `open`, so that the server's own word comes first.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same for the few statements that may take their time.
const LONG: Duration = Duration::from_secs(330);

/// A value for a placeholder. PostgreSQL wants to know the type of a NULL.
#[derive(Debug, Clone)]
pub(crate) enum Arg {
    Text(Option<String>),
    Int(Option<i64>),
    Flag(bool),
}

macro_rules! arg_from {
    ($($from:ty => |$value:ident| $arg:expr),* $(,)?) => {
        $(impl From<$from> for Arg { fn from($value: $from) -> Arg { $arg } })*
    };
}

arg_from! {
    &str => |v| Arg::Text(Some(v.to_owned())),
    String => |v| Arg::Text(Some(v)),
    Option<String> => |v| Arg::Text(v),
    Option<&str> => |v| Arg::Text(v.map(str::to_owned)),
    i64 => |v| Arg::Int(Some(v)),
    u32 => |v| Arg::Int(Some(i64::from(v))),
    Option<i64> => |v| Arg::Int(v),
    Timestamp => |v| Arg::Int(Some(v.0)),
    Option<Timestamp> => |v| Arg::Int(v.map(|t| t.0)),
    bool => |v| Arg::Flag(v),
}

/// The values of a statement, in order.
macro_rules! args {
    ($($value:expr),* $(,)?) => { vec![$($crate::db::Arg::from($value)),*] };
}
pub(crate) use args;

/// A row of either database.
pub(crate) struct Row {
    native: Native,
    vault: Arc<Vault>,
}

enum Native {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl From<SqliteRow> for Native {
    fn from(row: SqliteRow) -> Native {
        Native::Sqlite(row)
    }
}

impl From<PgRow> for Native {
    fn from(row: PgRow) -> Native {
        Native::Postgres(row)
    }
}

macro_rules! getters {
    ($($name:ident -> $type:ty;)*) => {
        $(pub(crate) fn $name(&self, column: &str) -> Result<$type> {
            Ok(match &self.native {
                Native::Sqlite(row) => row.try_get(column)?,
                Native::Postgres(row) => row.try_get(column)?,
            })
        })*
    };
}

impl Row {
    getters! {
        text -> String;
        text_or_null -> Option<String>;
        int -> i64;
        int_or_null -> Option<i64>;
        flag -> bool;
    }

    pub(crate) fn time(&self, column: &str) -> Result<Timestamp> {
        self.int(column).map(Timestamp)
    }

    pub(crate) fn time_or_null(&self, column: &str) -> Result<Option<Timestamp>> {
        Ok(self.int_or_null(column)?.map(Timestamp))
    }

    /// A text that one of the core's types reads. The value itself stays out of the error.
    pub(crate) fn parse<T: FromStr>(&self, column: &str) -> Result<T> {
        self.text(column)?.parse().map_err(|_| unreadable(column))
    }

    pub(crate) fn parse_or_null<T: FromStr>(&self, column: &str) -> Result<Option<T>> {
        self.text_or_null(column)?.map(|text| text.parse().map_err(|_| unreadable(column))).transpose()
    }

    pub(crate) fn json<T: serde::de::DeserializeOwned>(&self, column: &str) -> Result<T> {
        serde_json::from_str(&self.text(column)?).map_err(|_| unreadable(column))
    }

    pub(crate) fn json_or_null<T: serde::de::DeserializeOwned>(&self, column: &str) -> Result<Option<T>> {
        let text = self.text_or_null(column)?;
        text.map(|text| serde_json::from_str(&text).map_err(|_| unreadable(column))).transpose()
    }

    /// A sealed text, opened. `table` is the one that the row is of; it has an `id`.
    pub(crate) fn sealed(&self, table: &str, column: &str) -> Result<String> {
        self.opened(table, column, &self.text(column)?)
    }

    pub(crate) fn sealed_or_null(&self, table: &str, column: &str) -> Result<Option<String>> {
        self.text_or_null(column)?.map(|stored| self.opened(table, column, &stored)).transpose()
    }

    pub(crate) fn sealed_parse_or_null<T: FromStr>(&self, table: &str, column: &str) -> Result<Option<T>> {
        let text = self.sealed_or_null(table, column)?;
        text.map(|text| text.parse().map_err(|_| unreadable(column))).transpose()
    }

    pub(crate) fn sealed_json<T: serde::de::DeserializeOwned>(&self, table: &str, column: &str) -> Result<T> {
        serde_json::from_str(&self.sealed(table, column)?).map_err(|_| unreadable(column))
    }

    fn opened(&self, table: &str, column: &str, stored: &str) -> Result<String> {
        self.vault.open(Place { table, column, row: &self.text("id")? }, stored)
    }
}

pub(crate) fn unreadable(column: &str) -> StoreError {
    StoreError::Corrupt(format!("a value in column {column}"))
}

pub(crate) fn to_json<T: serde::Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|e| StoreError::Corrupt(e.to_string()))
}

/// `$from, …` for as many values, for an `IN (…)`.
pub(crate) fn placeholders(from: usize, count: usize) -> String {
    let names: Vec<String> = (from..from + count).map(|n| format!("${n}")).collect();
    names.join(", ")
}

enum Link {
    Sqlite(PoolConnection<Sqlite>),
    Postgres(PoolConnection<Postgres>),
}

/// Expands one expression once per database, with the native connection bound to a name.
macro_rules! each {
    ($link:expr, $conn:ident => $body:expr) => {
        match $link {
            Link::Sqlite($conn) => $body,
            Link::Postgres($conn) => $body,
        }
    };
}

macro_rules! bound {
    ($sql:expr, $args:expr) => {{
        let mut query = sqlx::query($sql);
        for arg in $args {
            query = match arg {
                Arg::Text(value) => query.bind(value),
                Arg::Int(value) => query.bind(value),
                Arg::Flag(value) => query.bind(value),
            };
        }
        query
    }};
}

/// A connection, with or without a transaction open on it. Dropping it without
/// [`Tx::commit`] rolls back.
pub(crate) struct Tx {
    link: Option<Link>,
    open: bool,
    broken: bool,
    /// A statement is under way, or was when its future was dropped.
    busy: bool,
    patience: Duration,
    /// Audit records that the commit writes.
    pub(crate) notes: Vec<AuditRecord>,
    /// What these show instead of secrets.
    pub(crate) prints: Fingerprint,
    /// Seals what is written and opens what is read.
    pub(crate) vault: Arc<Vault>,
    /// The current key was looked up and may seal: see `secrets.rs`.
    pub(crate) may_seal: bool,
}

impl Store {
    /// A connection for single reads.
    pub(crate) async fn read(&self) -> Result<Tx> {
        let link = match &self.db {
            Db::Sqlite { r, .. } => Link::Sqlite(r.acquire().await?),
            Db::Postgres(pool) => Link::Postgres(pool.acquire().await?),
        };
        Ok(self.tx(link))
    }

    /// A transaction for reads that have to agree with each other.
    pub(crate) async fn snapshot(&self) -> Result<Tx> {
        let mut tx = self.read().await?;
        tx.begin("BEGIN", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        Ok(tx)
    }

    /// A transaction that writes. SQLite takes its write lock at once: a transaction that reads
    /// first and then wants to write fails without waiting when another one was faster.
    pub(crate) async fn write(&self) -> Result<Tx> {
        self.begin_write("PRAGMA synchronous = FULL; BEGIN IMMEDIATE").await
    }

    /// A transaction that writes and whose commit does not wait for the disk: it is atomic and
    /// survives the end of this process, but a power failure may undo it, and everything that was
    /// committed this way after it. Only for what a machine does again by itself; see
    /// [`Tx::commit_lightly`].
    pub(crate) async fn write_lightly(&self) -> Result<Tx> {
        self.begin_write("PRAGMA synchronous = NORMAL; BEGIN IMMEDIATE").await
    }

    fn tx(&self, link: Link) -> Tx {
        Tx {
            link: Some(link),
            open: false,
            broken: false,
            busy: false,
            patience: PATIENCE,
            notes: Vec::new(),
            vault: self.vault.clone(),
            may_seal: false,
            prints: Fingerprint::new(self.keys.current().derive("audit")),
        }
    }

    async fn begin_write(&self, sqlite: &'static str) -> Result<Tx> {
        let link = match &self.db {
            Db::Sqlite { w, .. } => Link::Sqlite(w.acquire().await?),
            Db::Postgres(pool) => Link::Postgres(pool.acquire().await?),
        };
        let mut tx = self.tx(link);
        tx.begin(sqlite, "BEGIN ISOLATION LEVEL READ COMMITTED").await?;
        Ok(tx)
    }
}

impl Store {
    /// Brings everything that was committed lightly so far to the disk: SQLite does that with the
    /// next full commit, PostgreSQL has done it with its own.
    pub(crate) async fn flush(&self) -> Result<()> {
        if self.is_sqlite() {
            let mut tx = self.write().await?;
            tx.execute("UPDATE config_version SET version = version", args![]).await?;
            tx.commit().await?;
        }
        Ok(())
    }
}

/// A statement's outcome, or an error when there is none in time.
async fn in_time<T>(
    patience: Duration,
    statement: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    match tokio::time::timeout(patience, statement).await {
        Ok(outcome) => outcome,
        Err(_) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())),
    }
}

impl Tx {
    async fn begin(&mut self, sqlite: &'static str, postgres: &'static str) -> Result<()> {
        // Set first: when this future is dropped midway, the transaction may have begun.
        self.open = true;
        let sql = if self.is_sqlite() { sqlite } else { postgres };
        self.execute(sql, args![]).await.map(drop)
    }

    /// Commits a transaction of [`Store::write_lightly`].
    pub(crate) async fn commit_lightly(mut self) -> Result<()> {
        if !self.is_sqlite() {
            self.execute("SET LOCAL synchronous_commit = off", args![]).await?;
        }
        self.commit().await
    }

    pub(crate) fn is_sqlite(&self) -> bool {
        matches!(self.link, Some(Link::Sqlite(_)))
    }

    /// The end of a query that takes row locks where the database has them. SQLite's write
    /// transaction holds the only lock there is.
    pub(crate) fn row_lock(&self) -> &'static str {
        if self.is_sqlite() { "" } else { " FOR UPDATE" }
    }

    /// The connection, for a statement; [`Tx::check`] takes its outcome.
    fn link(&mut self) -> Result<&mut Link> {
        self.busy = true;
        self.link.as_mut().ok_or_else(|| StoreError::Unavailable("the connection is gone".into()))
    }

    /// SQLite has no network between: its statements end, and on a slow disk they end late.
    fn patience(&self) -> Duration {
        if self.is_sqlite() { Duration::MAX } else { self.patience }
    }

    /// Lets the statements of this transaction take longer than a machine would wait.
    pub(crate) async fn take_time(&mut self) -> Result<()> {
        self.patience = LONG;
        if !self.is_sqlite() {
            self.execute("SET LOCAL statement_timeout = '5min'", args![]).await?;
        }
        Ok(())
    }

    fn check<T>(&mut self, outcome: Result<T, sqlx::Error>) -> Result<T> {
        self.busy = false;
        outcome.map_err(|error| {
            self.broken |= breaks_connection(&error);
            StoreError::from(error)
        })
    }

    /// Runs a statement; how many rows it touched.
    pub(crate) async fn execute(&mut self, sql: impl SqlSafeStr, args: Vec<Arg>) -> Result<u64> {
        let (sql, patience) = (sql.into_sql_str(), self.patience());
        let done = each!(self.link()?, conn => {
            in_time(patience, bound!(sql, args).execute(&mut **conn)).await.map(|done| done.rows_affected())
        });
        self.check(done)
    }

    /// All rows of a query.
    pub(crate) async fn rows(&mut self, sql: impl SqlSafeStr, args: Vec<Arg>) -> Result<Vec<Row>> {
        let (sql, patience, vault) = (sql.into_sql_str(), self.patience(), self.vault.clone());
        let row = |native| Row { native, vault: vault.clone() };
        let rows: Result<Vec<Row>, sqlx::Error> = each!(self.link()?, conn => {
            let rows = in_time(patience, bound!(sql, args).fetch_all(&mut **conn)).await;
            rows.map(|rows| rows.into_iter().map(|native| row(native.into())).collect())
        });
        self.check(rows)
    }

    /// The first row of a query, if there is one.
    pub(crate) async fn row(&mut self, sql: impl SqlSafeStr, args: Vec<Arg>) -> Result<Option<Row>> {
        let (sql, patience, vault) = (sql.into_sql_str(), self.patience(), self.vault.clone());
        let native: Result<Option<Native>, sqlx::Error> = each!(self.link()?, conn => {
            let row = in_time(patience, bound!(sql, args).fetch_optional(&mut **conn)).await;
            row.map(|row| row.map(Native::from))
        });
        Ok(self.check(native)?.map(|native| Row { native, vault }))
    }

    /// Writes the transaction's audit records and commits. The head of the audit log is the last
    /// lock that any transaction takes, so that it is held for no longer than the commit lasts and
    /// nobody who has it waits for another one: what is noted earlier is kept until here.
    pub(crate) async fn commit(mut self) -> Result<()> {
        let notes = std::mem::take(&mut self.notes);
        if !notes.is_empty() {
            crate::audit::write(&mut self, &notes).await?;
        }
        self.execute("COMMIT", args![]).await?;
        self.open = false;
        Ok(())
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        let patience = self.patience();
        let Some(mut link) = self.link.take() else { return };
        // Back in the pool, a connection of PostgreSQL with a statement under way would be asked
        // whether it lives, and hold its place in the pool until a server that hangs answers.
        if self.broken || self.busy && matches!(link, Link::Postgres(_)) {
            each!(&mut link, conn => conn.close_on_drop());
        } else if self.open {
            match tokio::runtime::Handle::try_current() {
                Ok(runtime) => {
                    runtime.spawn(async move {
                        // A connection that cannot roll back must not be used again.
                        let failed = each!(&mut link, conn => {
                            in_time(patience, sqlx::query("ROLLBACK").execute(&mut **conn)).await.is_err()
                        });
                        if failed {
                            each!(&mut link, conn => conn.close_on_drop());
                        }
                    });
                }
                Err(_) => each!(&mut link, conn => conn.close_on_drop()),
            }
        }
    }
}

/// The literal of a query with [`Tx::row_lock`] at its end.
macro_rules! locking {
    ($tx:expr, $($sql:expr),+) => {
        if $tx.is_sqlite() { concat!($($sql),+) } else { concat!($($sql),+, " FOR UPDATE") }
    };
}
pub(crate) use locking;
