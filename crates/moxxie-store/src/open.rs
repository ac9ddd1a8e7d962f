//! Opening, migrating, closing.

use crate::error::{Result, StoreError};
use crate::vault::Vault;
use crate::{Db, Store, db::args};
use moxxie_core::keyring::Keyring;
use moxxie_core::seal::SealNonce;
use moxxie_core::time::Timestamp;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Executor, Row, Sqlite, SqlitePool};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

/// How long a caller waits for a connection before the answer is "not available".
const ACQUIRE: Duration = Duration::from_secs(3);
/// Connections to PostgreSQL per replica.
const POSTGRES_CONNECTIONS: u32 = 10;

impl Store {
    /// Opens; does not wait for the database to answer (PostgreSQL may be down at start).
    ///
    /// `sqlite://PATH`, `postgres://…` or `postgresql://…`; `sqlite::memory:` is for tests. Secrets
    /// are sealed with the keys; `nonce` gives random bytes for each sealing.
    pub async fn open(url: &str, keys: Keyring, nonce: fn() -> SealNonce) -> Result<Store> {
        let vault = Arc::new(Vault::new(&keys, nonce));
        Ok(Store { db: connect(url)?, keys, vault })
    }

    /// Brings the schema up to date, makes sure that the keys are the right ones and seals what an
    /// older version left unsealed; safe with several replicas and when killed midway. WrongKey
    /// when the database was sealed with a key that is not at hand.
    pub async fn migrate(&self) -> Result<()> {
        self.migrate_schema().await?;
        self.unlock().await
    }

    // `run` of sqlx is generic in a way that makes this future one that cannot be spawned.
    async fn migrate_schema(&self) -> Result<()> {
        match &self.db {
            Db::Sqlite { w, .. } => {
                let mut conn = writer(w).await?;
                // One transaction around all of it: of two processes the second waits here, and
                // a process that is killed leaves the schema as it was.
                let mut tx = conn.begin_with("BEGIN IMMEDIATE").await?;
                let applied = {
                    let table = "SELECT 1 FROM sqlite_master WHERE name = '_sqlx_migrations'";
                    match sqlx::query(table).fetch_optional(&mut *tx).await? {
                        None => None,
                        Some(_) => sqlx::query(NEWEST).fetch_one(&mut *tx).await?.try_get(0)?,
                    }
                };
                check_known(&SQLITE, applied)?;
                SQLITE.run_direct(None, &mut *tx, false).await.map_err(|e| migration(&SQLITE, e))?;
                tx.commit().await?;
            }
            Db::Postgres(pool) => {
                // A connection of its own: the lock that keeps replicas apart belongs to the
                // connection, and goes with it when anything fails.
                let connect = pool.connect_options();
                let connect = tokio::time::timeout(ACQUIRE, connect.connect());
                let mut conn =
                    connect.await.map_err(|_| StoreError::Unavailable("no connection in time".into()))??;
                conn.execute("SET statement_timeout = '5min'").await?;
                let applied = {
                    let table = "SELECT 1 WHERE to_regclass('_sqlx_migrations') IS NOT NULL";
                    match sqlx::query(table).fetch_optional(&mut conn).await? {
                        None => None,
                        Some(_) => sqlx::query(NEWEST).fetch_one(&mut conn).await?.try_get(0)?,
                    }
                };
                check_known(&POSTGRES, applied)?;
                POSTGRES.run_direct(None, &mut conn, false).await.map_err(|e| migration(&POSTGRES, e))?;
                conn.close().await?;
            }
        }
        self.chain_older_records().await
    }

    /// Whether the database answers; its own clock in ms on PostgreSQL, None on SQLite.
    pub async fn ping(&self) -> Result<Option<Timestamp>> {
        let mut tx = self.read().await?;
        if tx.is_sqlite() {
            tx.row("SELECT version FROM config_version", args![]).await?;
            return Ok(None);
        }
        // Answers only where writes would be taken: a standby is not what we want.
        let sql = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT) AS now, \
                   pg_is_in_recovery() AS standby FROM config_version";
        match tx.row(sql, args![]).await? {
            Some(row) if row.flag("standby")? => {
                Err(StoreError::Unavailable("the server is a read-only standby".into()))
            }
            Some(row) => Ok(Some(row.time("now")?)),
            None => Err(StoreError::Corrupt("config_version is empty".into())),
        }
    }

    /// Whether this is SQLite.
    pub fn is_sqlite(&self) -> bool {
        matches!(self.db, Db::Sqlite { .. })
    }

    /// Closes every connection; SQLite folds its log into the database file.
    pub async fn close(&self) {
        match &self.db {
            Db::Sqlite { w, r } => {
                r.close().await;
                w.close().await;
            }
            Db::Postgres(pool) => pool.close().await,
        }
    }
}

fn connect(url: &str) -> Result<Db> {
    if url == "sqlite::memory:" {
        return Ok(memory());
    }
    if let Some(path) = url.strip_prefix("sqlite:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        return sqlite(Path::new(path.split('?').next().unwrap_or(path)));
    }
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return postgres(url);
    }
    // Only the part before the colon: the rest may hold a password.
    let scheme = url.split(':').next().unwrap_or_default();
    let scheme: String = scheme.chars().filter(|c| c.is_ascii_alphanumeric()).take(16).collect();
    Err(StoreError::Unavailable(format!(
        "its URL begins with \"{scheme}\"; write sqlite://PATH or postgres://…"
    )))
}

/// How long, and after which pause, a file that another process turns to WAL is opened again.
const WAL_PATIENCE: Duration = Duration::from_secs(5);
const WAL_PAUSE: Duration = Duration::from_millis(50);

const NEWEST: &str = "SELECT MAX(version) FROM _sqlx_migrations";

fn newest(migrator: &Migrator) -> i64 {
    migrator.iter().map(|m| m.version).max().unwrap_or(0)
}

fn check_known(migrator: &Migrator, applied: Option<i64>) -> Result<()> {
    match applied {
        Some(found) if !migrator.version_exists(found) => {
            Err(StoreError::NewerSchema { found, known: newest(migrator) })
        }
        _ => Ok(()),
    }
}

fn migration(migrator: &Migrator, error: MigrateError) -> StoreError {
    match error {
        MigrateError::VersionMissing(found) | MigrateError::VersionTooNew(found, _) => {
            StoreError::NewerSchema { found, known: newest(migrator) }
        }
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
        other => StoreError::Corrupt(other.to_string()),
    }
}

/// Connections to a file. Writes go through one connection, so that they queue here and not in
/// SQLite's busy handler; reads never wait for it (WAL).
fn sqlite(path: &Path) -> Result<Db> {
    create_private(path).map_err(|e| StoreError::Unavailable(format!("{}: {e}", path.display())))?;
    let base = SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(Duration::from_secs(5))
        .foreign_keys(true)
        .disable_statement_logging();
    // FULL: what was acknowledged, audit records above all, survives a power cut.
    let writer = base
        .clone()
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .optimize_on_close(true, 400);
    let pool = |connections| {
        SqlitePoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(Duration::from_secs(10))
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
    };
    Ok(Db::Sqlite {
        w: pool(1).connect_lazy_with(writer),
        r: pool(4).connect_lazy_with(base.read_only(true)),
    })
}

/// The connection that writes. Two processes that turn a new file to WAL at once do not wait for each
/// other: SQLite does not call the busy handler there, it says "locked". So that is asked again, until
/// a deadline: elsewhere the busy handler does wait, and a number of tries would be no bound.
async fn writer(pool: &SqlitePool) -> Result<PoolConnection<Sqlite>> {
    let busy = |error: &sqlx::Error| {
        let database = error.as_database_error();
        database.and_then(|e| e.code()).is_some_and(|code| code == "5" || code == "261")
    };
    let deadline = Instant::now() + WAL_PATIENCE;
    loop {
        match pool.acquire().await {
            Err(error) if busy(&error) && Instant::now() < deadline => tokio::time::sleep(WAL_PAUSE).await,
            other => return Ok(other?),
        }
    }
}

/// A database that lives as long as its one connection.
fn memory() -> Db {
    let options = SqliteConnectOptions::new().in_memory(true).foreign_keys(true).disable_statement_logging();
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .connect_lazy_with(options);
    Db::Sqlite { w: pool.clone(), r: pool }
}

/// Makes the folder and an empty file that only this user reads; SQLite gives its log files the
/// mode of the database.
fn create_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path).map(drop)
}

fn postgres(url: &str) -> Result<Db> {
    let options: PgConnectOptions = url.parse().map_err(|_| {
        StoreError::Unavailable("its URL cannot be read: postgres://USER:PASSWORD@HOST:PORT/DATABASE".into())
    })?;
    let options = options
        .application_name("moxxie")
        // A statement that hangs must not hang a machine's boot; a replica that hangs inside a
        // transaction must not keep its locks.
        .options([("statement_timeout", "2500"), ("idle_in_transaction_session_timeout", "15000")])
        .disable_statement_logging();
    let pool = PgPoolOptions::new()
        .max_connections(POSTGRES_CONNECTIONS)
        .acquire_timeout(ACQUIRE)
        .connect_lazy_with(options);
    Ok(Db::Postgres(pool))
}
