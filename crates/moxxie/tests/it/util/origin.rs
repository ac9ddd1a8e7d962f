//! Another server, from which files are imported: it keeps to a script, not to HTTP.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// What it does with one connection, step by step; at the end it closes.
pub enum Act {
    /// Sends these bytes.
    Say(Vec<u8>),
    /// Sends them again and again.
    Repeat(Vec<u8>),
    /// Sends one byte now and then.
    Trickle,
    /// Sends nothing more and keeps the connection open.
    Hang,
}

pub use Act::{Hang, Repeat, Say, Trickle};

pub struct Origin {
    pub address: SocketAddr,
    /// The heads of all requests so far, in lower case.
    heads: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Origin {
    /// Answers each request with what `script` says to its number (from 0) and its head.
    pub async fn start(script: impl Fn(usize, &str) -> Vec<Act> + Send + Sync + 'static) -> Origin {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (seen, script) = (heads.clone(), Arc::new(script));
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let (seen, script) = (seen.clone(), script.clone());
                connections.spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        let Ok(byte) = stream.read_u8().await else { return };
                        head.push(byte);
                    }
                    let head = String::from_utf8(head).unwrap().to_lowercase();
                    let n = {
                        let mut seen = seen.lock().unwrap();
                        seen.push(head.clone());
                        seen.len() - 1
                    };
                    for act in script(n, &head) {
                        match act {
                            Say(bytes) => {
                                if stream.write_all(&bytes).await.is_err() {
                                    return;
                                }
                            }
                            Repeat(bytes) => while stream.write_all(&bytes).await.is_ok() {},
                            Trickle => {
                                while stream.write_all(b"x").await.is_ok() {
                                    tokio::time::sleep(Duration::from_millis(10)).await;
                                }
                            }
                            Hang => std::future::pending().await,
                        }
                    }
                    stream.shutdown().await.ok();
                });
            }
        });
        Origin { address, heads, task }
    }

    /// Answers every request with these bytes as a file.
    pub async fn serving(bytes: &[u8]) -> Origin {
        let whole = ok("", bytes);
        Origin::start(move |_, _| vec![Say(whole.clone())]).await
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

/// A whole file.
pub fn ok(headers: &str, body: &[u8]) -> Vec<u8> {
    answer("200 OK", &format!("Content-Length: {}\r\n{headers}", body.len()), body)
}

/// The part of a file from this byte on.
pub fn part(headers: &str, file: &[u8], from: usize) -> Vec<u8> {
    let (length, last) = (file.len() - from, file.len() - 1);
    let range = format!("Content-Length: {length}\r\nContent-Range: bytes {from}-{last}/{}\r\n", file.len());
    answer("206 Partial Content", &format!("{range}{headers}"), &file[from..])
}

pub fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 {status}\r\nConnection: close\r\n{headers}\r\n").as_bytes(), body].concat()
}

/// The first byte that a head asks for.
pub fn asked_from(head: &str) -> Option<usize> {
    let range = head.lines().find_map(|line| line.strip_prefix("range: bytes="))?;
    range.strip_suffix('-')?.parse().ok()
}
