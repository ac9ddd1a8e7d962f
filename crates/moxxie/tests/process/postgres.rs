//! What can happen between a replica and its PostgreSQL: the server freezes, or the way to it is
//! cut or swallows everything.

use crate::server::signal;
use moxxie_store::testing::TestPostgres;
use sqlx::{ConnectOptions, PgConnection};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

/// The folder of the server's socket, out of a URL of [`TestPostgres`].
fn folder(url: &str) -> &Path {
    Path::new(url.split_once("?host=").expect("a URL of the test server").1)
}

pub async fn connect(url: &str) -> PgConnection {
    sqlx::postgres::PgConnectOptions::from_str(url).unwrap().connect().await.expect("a connection")
}

/// The processes of a server stand still until this is dropped.
pub struct Frozen(Vec<u32>);

/// Stops every process of the server with SIGSTOP: connections stay open, nobody answers.
pub fn freeze(server: &TestPostgres) -> Frozen {
    let url = server.url("x");
    let pid_file = folder(&url).join("data/postmaster.pid");
    let text = std::fs::read_to_string(pid_file).expect("postmaster.pid");
    let postmaster: u32 = text.lines().next().unwrap().parse().unwrap();
    // The parent first, so that no child begins behind our back.
    let mut frozen = Frozen(vec![]);
    signal("STOP", postmaster);
    frozen.0.push(postmaster);
    for child in children(postmaster) {
        signal("STOP", child);
        frozen.0.push(child);
    }
    frozen
}

fn children(parent: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        // The name stands in brackets and may hold blanks; state and parent follow.
        let after = stat.rsplit(") ").next().unwrap_or("");
        if after.split(' ').nth(1).is_some_and(|ppid| ppid == parent.to_string()) {
            found.push(pid);
        }
    }
    found
}

impl Drop for Frozen {
    fn drop(&mut self) {
        for pid in self.0.drain(..) {
            // A server that was stopped meanwhile has fewer processes.
            if Path::new(&format!("/proc/{pid}")).exists() {
                std::process::Command::new("kill").args(["-s", "CONT", &pid.to_string()]).status().ok();
            }
        }
    }
}

/// A way to the database that can be cut (connections break, new ones are refused) or turned to
/// swallow everything (connections stay, nothing passes).
pub struct Way {
    dir: tempfile::TempDir,
    real: PathBuf,
    pub url: String,
    swallow: Arc<AtomicBool>,
    open: Option<(watch::Sender<()>, tokio::task::JoinHandle<()>)>,
}

const SOCKET: &str = ".s.PGSQL.5432";

impl Way {
    pub async fn to(url: &str) -> Way {
        let dir = tempfile::tempdir().unwrap();
        let real = folder(url).join(SOCKET);
        let url = url.replace(folder(url).to_str().unwrap(), dir.path().to_str().unwrap());
        let mut way = Way { dir, real, url, swallow: Arc::default(), open: None };
        way.mend();
        way
    }

    /// Cuts the way.
    pub async fn cut(&mut self) {
        if let Some((alive, task)) = self.open.take() {
            task.abort();
            task.await.ok();
            drop(alive);
            std::fs::remove_file(self.dir.path().join(SOCKET)).unwrap();
        }
    }

    /// From now on nothing passes, in either direction, and nobody is told.
    pub fn swallow(&self) {
        self.swallow.store(true, Ordering::SeqCst);
    }

    /// Opens it again. What was swallowed is lost with its connections.
    pub async fn renew(&mut self) {
        self.cut().await;
        self.mend();
    }

    fn mend(&mut self) {
        self.swallow = Arc::default();
        let listener = UnixListener::bind(self.dir.path().join(SOCKET)).unwrap();
        let (alive, gone) = watch::channel(());
        let (real, swallow) = (self.real.clone(), self.swallow.clone());
        let task = tokio::spawn(async move {
            while let Ok((here, _)) = listener.accept().await {
                let (real, swallow, mut gone) = (real.clone(), swallow.clone(), gone.clone());
                tokio::spawn(async move {
                    let Ok(there) = UnixStream::connect(real).await else { return };
                    let (here_in, here_out) = here.into_split();
                    let (there_in, there_out) = there.into_split();
                    tokio::select! {
                        () = pass(here_in, there_out, &swallow) => {}
                        () = pass(there_in, here_out, &swallow) => {}
                        _ = gone.changed() => {}
                    }
                });
            }
        });
        self.open = Some((alive, task));
    }
}

async fn pass(mut from: impl AsyncReadExt + Unpin, mut to: impl AsyncWriteExt + Unpin, swallow: &AtomicBool) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let Ok(n) = from.read(&mut buffer).await else { return };
        while swallow.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        if n == 0 || to.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
}
