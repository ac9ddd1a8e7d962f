//! SIGTERM: load balancers first, then the listener, and running downloads to their last byte.
//! And a log that nobody reads.

use crate::server::{Server, Setup, until};
use crate::site::{self, mac};
use reqwest::Method;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// More than the buffers between the two ends hold.
const BIG: usize = 24 << 20;

async fn big(server: &Server) -> Vec<u8> {
    site::furnish(&server.client).await;
    let bytes: Vec<u8> = (0..BIG).map(|n| (n / 7) as u8 ^ (n >> 9) as u8).collect();
    server.client.put_bytes("/api/v1/boot/profiles/safe/assets/big.img", bytes.clone()).await.is(201);
    bytes
}

/// A download that has begun and reads on when it is told to; `None` when it was cut off.
async fn download(
    server: &Server,
    mut go: watch::Receiver<bool>,
) -> tokio::task::JoinHandle<Option<[u8; 32]>> {
    let mut stream = TcpStream::connect(server.client.base.strip_prefix("http://").unwrap()).await.unwrap();
    stream.write_all(b"GET /boot/assets/safe/big.img HTTP/1.1\r\nHost: test\r\n\r\n").await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    assert!(
        head.starts_with("http/1.1 200") && head.contains(&format!("content-length: {BIG}\r\n")),
        "{head}"
    );
    tokio::spawn(async move {
        go.wait_for(|go| *go).await.unwrap();
        let mut body = vec![0; BIG];
        stream.read_exact(&mut body).await.ok()?;
        Some(Sha256::digest(&body).into())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_lets_downloads_finish() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Setup::new(dir.path()).config("[shutdown]\ngrace_seconds = 2\n").start().await;
    let bytes = big(&server).await;
    let (go, wait) = watch::channel(false);
    let mut downloads = Vec::new();
    for _ in 0..6 {
        downloads.push(download(&server, wait.clone()).await);
    }
    // Connections that do nothing, and a stream without an end, hold nobody up.
    let idle = TcpStream::connect(server.client.base.strip_prefix("http://").unwrap()).await.unwrap();
    let follow =
        server.client.request(Method::GET, "/api/v1/boot/events").header("Accept", "text/event-stream");
    let follow = follow.timeout(std::time::Duration::from_secs(600)).send().await.unwrap();
    assert_eq!(follow.status(), 200);

    let pid = server.id();
    server.term();
    // First the load balancers hear of it, while everything is still answered ...
    until("/readyz to say no", async || (server.client.get("/readyz").await.status == 503).then_some(()))
        .await;
    assert!(server.client.get("/readyz").await.text().contains("stopping"));
    server.client.menu(&mac(1)).await.is_calm();
    server.client.get("/livez").await.is(200);
    // ... then nobody new comes in ...
    let client = server.client.clone();
    until("the listener to close", async || {
        let fresh = crate::client::Client::new(&client.base, "x");
        fresh.try_send(fresh.request(Method::GET, "/livez")).await.is_none().then_some(())
    })
    .await;
    assert!(server.lives() && server.id() == pid);
    // ... and those who were there get everything.
    go.send(true).unwrap();
    let digest: [u8; 32] = Sha256::digest(&bytes).into();
    for download in downloads {
        assert_eq!(download.await.unwrap(), Some(digest));
    }
    assert_eq!(server.ended().await.code(), Some(0));
    drop((idle, follow));
    // The embedded database was closed in order: its log is folded in.
    assert!(!dir.path().join("moxxie.db-wal").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_sigterm_ends_at_once() {
    for grace in [0, 600] {
        let dir = tempfile::tempdir().unwrap();
        let config = format!("[shutdown]\ngrace_seconds = {grace}\n");
        let mut server = Setup::new(dir.path()).config(&config).start().await;
        big(&server).await;
        let (go, wait) = watch::channel(false);
        let download = download(&server, wait).await;
        server.term();
        let client = server.client.clone();
        until("the first signal to be heard", async || {
            let fresh = crate::client::Client::new(&client.base, "x");
            let ready = fresh.try_send(fresh.request(Method::GET, "/readyz")).await;
            ready.is_none_or(|reply| reply.status == 503).then_some(())
        })
        .await;
        assert!(server.lives(), "it waits for the download");
        server.term();
        assert_eq!(server.ended().await.code(), Some(0));
        go.send(true).unwrap();
        assert_eq!(download.await.unwrap(), None, "nobody was left to finish it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_stops_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let mut server =
        Setup::new(dir.path()).config("[log]\nlevel = \"debug\"\nformat = \"json\"\n").deaf().start().await;
    site::furnish(&server.client).await;
    // Several times what the pipe holds, at more than 100 bytes a line.
    let failed = Arc::new(AtomicBool::new(false));
    let tasks = (0..8).map(|task| {
        let (client, failed) = (server.client.clone(), failed.clone());
        tokio::spawn(async move {
            for n in 0..400 {
                if client.menu(&mac(task * 1000 + n)).await.status != 200 {
                    failed.store(true, Ordering::SeqCst);
                }
            }
        })
    });
    for task in futures_util::future::join_all(tasks).await {
        task.unwrap();
    }
    assert!(!failed.load(Ordering::SeqCst));
    site::assign(&server.client, 1, "safe", true).await;
    let script = server.client.menu(&mac(1)).await;
    server.client.get(&script.config_path()).await.is(200);
    assert_eq!(server.stop().await, Some(0));
}
