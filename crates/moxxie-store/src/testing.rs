//! A PostgreSQL server of one's own, for tests: made in a temporary folder, reached by a socket
//! in it, stopped and deleted with the value. Other crates switch it on with the feature
//! `testing`.
#![allow(clippy::expect_used, clippy::disallowed_methods)]

use moxxie_core::keyring::Keyring;
use moxxie_core::seal::SealNonce;
use moxxie_core::token::SiteKey;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::time::Duration;

/// Opens a database with a key that every test has.
pub async fn open(url: &str) -> crate::Result<crate::Store> {
    open_with(url, &[7]).await
}

/// Opens a database with keys made of these bytes, the current one first.
pub async fn open_with(url: &str, keys: &[u8]) -> crate::Result<crate::Store> {
    let mut keys = keys.iter().map(|byte| SiteKey::new([*byte; 32]));
    let current = keys.next().expect("a key");
    crate::Store::open(url, Keyring::new(current, keys.collect()), nonce).await
}

/// The random part of a UUIDv7 and a little of its time.
fn nonce() -> SealNonce {
    let [_, _, _, _, nonce @ ..] = uuid::Uuid::now_v7().into_bytes();
    nonce
}

/// How a server ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Connections are ended, data are written down.
    Fast,
    /// As if the process had crashed; the next start recovers.
    Crash,
}

/// A server.
#[derive(Debug)]
pub struct TestPostgres {
    dir: PathBuf,
    bin: PathBuf,
    owner: Option<(u32, u32)>,
    process: Option<Child>,
}

/// Waits for a line on standard input, or for its end when the test is killed, and stops the
/// server: no test leaves one behind.
const KEEPER: &str = r#"
"$0" "$@" </dev/null &
pid=$!
read signal
kill "-${signal:-QUIT}" "$pid"
wait "$pid"
"#;

impl TestPostgres {
    /// Starts one. `None` when the environment says MOXXIE_TEST_SKIP_POSTGRES=1.
    ///
    /// # Panics
    /// When there is no PostgreSQL on this machine or it does not start.
    pub async fn start() -> Option<TestPostgres> {
        if std::env::var_os("MOXXIE_TEST_SKIP_POSTGRES").is_some_and(|v| v == "1") {
            return None;
        }
        let bin = binaries().expect(
            "tests need PostgreSQL (initdb and postgres in PATH or /usr/lib/postgresql/*/bin); \
             set MOXXIE_TEST_SKIP_POSTGRES=1 to do without",
        );
        let dir = std::env::temp_dir().join(format!("moxxie-pg-{}", uuid::Uuid::now_v7().simple()));
        std::fs::create_dir(&dir).expect("a temporary folder");
        // initdb refuses root; it then runs as somebody who may do less.
        let owner = match std::fs::metadata(&dir).expect("its metadata").uid() {
            0 => Some(ordinary_user().expect("a user `postgres` or `nobody` to run PostgreSQL as")),
            _ => None,
        };
        if let Some((uid, gid)) = owner {
            std::os::unix::fs::chown(&dir, Some(uid), Some(gid)).expect("chown");
        }
        let mut server = TestPostgres { dir, bin, owner, process: None };
        let mut initdb = server.command("initdb");
        initdb.args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N", "-D"]);
        let made = initdb.arg(server.dir.join("data")).output().expect("initdb");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        server.start_again().await;
        Some(server)
    }

    fn command(&self, name: &str) -> Command {
        self.as_owner(Command::new(self.bin.join(name)))
    }

    fn as_owner(&self, mut command: Command) -> Command {
        if let Some((uid, gid)) = self.owner {
            command.uid(uid).gid(gid);
        }
        command.current_dir(&self.dir).env_remove("PGDATA").env_remove("PGHOST");
        command
    }

    /// Starts the server after [`TestPostgres::stop`] and waits until it answers.
    pub async fn start_again(&mut self) {
        let mut keeper = self.as_owner(Command::new("sh"));
        let log = std::fs::File::create(self.dir.join("log")).expect("a log file");
        keeper
            .args(["-c", KEEPER])
            .arg(self.bin.join("postgres"))
            .arg("-D")
            .arg(self.dir.join("data"))
            .arg("-k")
            .arg(&self.dir)
            .args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=60"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log);
        self.process = Some(keeper.spawn().expect("sh"));
        for _ in 0..200 {
            if let Ok(connection) = self.connect().await {
                connection.close().await.ok();
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let log = std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        panic!("PostgreSQL does not answer: {log}");
    }

    async fn connect(&self) -> Result<sqlx::PgConnection, sqlx::Error> {
        sqlx::postgres::PgConnectOptions::from_str(&self.url("postgres"))?.connect().await
    }

    /// The URL of a database.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@localhost/{database}?host={}", self.dir.display())
    }

    /// Makes an empty database; its URL.
    pub async fn database(&self) -> String {
        let name = format!("t{}", uuid::Uuid::now_v7().simple());
        let mut connection = self.connect().await.expect("a connection");
        connection.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.expect("CREATE DATABASE");
        self.url(&name)
    }

    /// Stops the server and waits until it is gone.
    pub fn stop(&mut self, how: Stop) {
        let Some(mut process) = self.process.take() else { return };
        if let Some(mut keeper) = process.stdin.take() {
            let signal: &[u8] = if how == Stop::Fast { b"INT\n" } else { b"QUIT\n" };
            keeper.write_all(signal).ok();
        }
        process.wait().ok();
    }
}

impl Drop for TestPostgres {
    fn drop(&mut self) {
        self.stop(Stop::Crash);
        std::fs::remove_dir_all(&self.dir).ok();
    }
}

/// The newest folder with the server's programs.
fn binaries() -> Option<PathBuf> {
    let complete = |dir: &PathBuf| ["initdb", "postgres"].iter().all(|name| dir.join(name).is_file());
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut packaged: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(complete)
        .collect();
    packaged.sort();
    std::env::split_paths(&path).find(complete).or_else(|| packaged.pop())
}

fn ordinary_user() -> Option<(u32, u32)> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let find = |name: &str| {
        let fields: Vec<&str> =
            users.lines().map(|l| l.split(':').collect()).find(|f: &Vec<&str>| f[0] == name)?;
        Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
    };
    find("postgres").or_else(|| find("nobody"))
}
