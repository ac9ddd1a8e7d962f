//! One running `moxxie serve`.

use crate::client::Client;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Only a hang reaches this.
pub const LIMIT: Duration = Duration::from_secs(60);
/// The admin token of servers that are not about their first run.
pub const ADMIN: &str = "admin-token-of-the-fault-tests";
/// A site key for replicas.
pub const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// These tests ask from one address, faster than any site does.
pub const NO_LIMITS: &str =
    "[limits]\nboot_per_second = 0\nmachine_per_minute = 0\napi_per_second = 0\nfailures_per_minute = 0\n";

/// The program, without what this environment says to it.
pub fn moxxie() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_moxxie"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MOXXIE_") || name == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    command
}

/// Asks until there is an answer.
pub async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + LIMIT;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < end, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
}

/// How to start a server.
#[derive(Clone)]
pub struct Setup {
    pub dir: PathBuf,
    args: Vec<String>,
    env: Vec<(String, String)>,
    /// Whether somebody reads standard error.
    read_stderr: bool,
}

impl Setup {
    /// On this data folder, with a known admin token, and no limit on how often this one address asks.
    pub fn new(dir: &Path) -> Setup {
        let setup = Setup::bare(dir).env("MOXXIE_ADMIN_TOKEN", ADMIN);
        if dir.join("moxxie.toml").exists() { setup } else { setup.config("") }
    }

    /// On this data folder, with nothing said.
    pub fn bare(dir: &Path) -> Setup {
        Setup { dir: dir.to_owned(), args: vec![], env: vec![], read_stderr: true }
    }

    /// A replica on a shared database.
    pub fn replica(dir: &Path, database: &str) -> Setup {
        Setup::new(dir).env("MOXXIE_SECRET_KEY", KEY).env("MOXXIE_DATABASE_URL", database)
    }

    pub fn env(mut self, name: &str, value: &str) -> Setup {
        self.env.push((name.into(), value.into()));
        self
    }

    pub fn arg(mut self, arg: impl Into<String>) -> Setup {
        self.args.push(arg.into());
        self
    }

    /// Nobody reads standard error: its pipe fills up.
    pub fn deaf(mut self) -> Setup {
        self.read_stderr = false;
        self
    }

    /// Writes the config file. What it does not say of limits is: none.
    pub fn config(self, text: &str) -> Setup {
        std::fs::create_dir_all(&self.dir).unwrap();
        let limits = if text.contains("[limits]") { "" } else { NO_LIMITS };
        std::fs::write(self.dir.join("moxxie.toml"), format!("{text}\n{limits}")).unwrap();
        self
    }

    /// Whether its admin token is given, so that none is printed.
    pub fn has_admin_token(&self) -> bool {
        self.env.iter().any(|(name, _)| name == "MOXXIE_ADMIN_TOKEN")
    }

    /// Starts it and does not wait for anything.
    pub fn spawn(&self) -> Server {
        let mut command = moxxie();
        command.arg("serve").arg("--data-dir").arg(&self.dir);
        if !self.args.iter().any(|arg| arg == "--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        command.args(&self.args).envs(self.env.iter().cloned());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("moxxie starts");
        let (out, err) = (Text::default(), Text::default());
        out.follow(child.stdout.take().unwrap());
        let kept = match child.stderr.take() {
            Some(pipe) if self.read_stderr => {
                err.follow(pipe);
                None
            }
            other => other,
        };
        Server { child, out, err, _kept: kept, client: Client::new("", ADMIN) }
    }

    /// Starts it and waits for the line that says where it listens.
    pub async fn start(&self) -> Server {
        let mut server = self.spawn();
        let url = until("the first line", async || {
            if let Some(line) = server.out.text().lines().next() {
                let url = line.strip_prefix("moxxie listening on ").expect("the first line");
                return Some(url.to_owned());
            }
            assert!(server.child.try_wait().unwrap().is_none(), "it ended: {}", server.err.text());
            None
        });
        let url = url.await;
        server.client = Client::new(&url, ADMIN);
        server
    }

    /// Runs it to its end; exit code, standard output and standard error.
    pub async fn run(&self) -> (Option<i32>, String, String) {
        let mut server = self.spawn();
        let status = server.ended().await;
        (status.code(), server.out.text(), server.err.text())
    }
}

/// Text that somebody else goes on writing.
#[derive(Clone, Default)]
pub struct Text {
    text: Arc<Mutex<String>>,
    reader: Arc<Mutex<Option<std::thread::JoinHandle<()>>>>,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Text {
    fn follow(&self, pipe: impl Read + Send + 'static) {
        let text = self.text.clone();
        let reader = std::thread::spawn(move || {
            let mut lines = BufReader::new(pipe);
            let mut line = Vec::new();
            while lines.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                held(&text).push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        });
        *held(&self.reader) = Some(reader);
    }

    /// All of it, so far.
    pub fn text(&self) -> String {
        held(&self.text).clone()
    }

    /// Waits for the end of the pipe.
    fn finish(&self) {
        let reader = held(&self.reader).take();
        if let Some(reader) = reader {
            reader.join().ok();
        }
    }
}

/// A server; killed with the value.
pub struct Server {
    child: Child,
    /// Standard output.
    pub out: Text,
    /// Standard error.
    pub err: Text,
    _kept: Option<std::process::ChildStderr>,
    /// Asks it, as the admin.
    pub client: Client,
}

impl Server {
    /// A client command, as its admin.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = moxxie();
        command.args(args).env("MOXXIE_SERVER", &self.client.base).env("MOXXIE_TOKEN", ADMIN);
        command
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGTERM.
    pub fn term(&self) {
        signal("TERM", self.child.id());
    }

    /// Whether it is the process that was started, still.
    pub fn lives(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.out.finish();
        self.err.finish();
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        let child = &mut self.child;
        let status = until("the end of the server", async || child.try_wait().unwrap()).await;
        self.out.finish();
        self.err.finish();
        status
    }

    /// SIGTERM, and the exit code.
    pub async fn stop(&mut self) -> Option<i32> {
        self.term();
        self.ended().await.code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Sends a signal to one process.
pub fn signal(name: &str, pid: u32) {
    // No crate of ours may call kill(2) without `unsafe`; kill(1) does it for us.
    let sent = Command::new("kill").args(["-s", name, &pid.to_string()]).status().expect("kill");
    assert!(sent.success(), "kill -s {name} {pid}");
}
