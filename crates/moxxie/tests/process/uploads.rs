//! F7: `kill -9` at random instants of uploads, in one request and in parts.

use crate::server::{Server, Setup};
use crate::site;
use crate::wire::noise;
use reqwest::{Body, Method};
use serde_json::json;
use std::path::Path;
use std::time::Duration;

const SIZE: usize = 2 << 20;
const SHELF: &str = "/api/v1/boot/profiles/safe/assets";

/// A body that takes some 60 ms, so that chance finds every part of it.
fn slowly(bytes: &[u8]) -> Body {
    let chunks: Vec<Vec<u8>> = bytes.chunks(64 * 1024).map(<[u8]>::to_vec).collect();
    let chunks = futures_util::stream::unfold(chunks.into_iter(), async |mut chunks| {
        let chunk = chunks.next()?;
        tokio::time::sleep(Duration::from_millis(1)).await;
        Some((Ok::<_, std::io::Error>(chunk), chunks))
    });
    Body::wrap_stream(chunks)
}

async fn begin(server: &Server) -> String {
    let made = server.client.post("/api/v1/uploads", &json!({"size": SIZE})).await.is(201).value();
    made["id"].as_str().unwrap().to_owned()
}

/// How much of an upload is here: as much as the file has, and that is right.
async fn offset(server: &Server, dir: &Path, id: &str, bytes: &[u8]) -> usize {
    let at = server.client.get(&format!("/api/v1/uploads/{id}")).await.is(200).value();
    let at = at["offset"].as_u64().unwrap() as usize;
    assert!(std::fs::read(dir.join("uploads").join(id)).unwrap() == bytes[..at], "a wrong beginning");
    at
}

/// Takes a few seconds: eleven starts.
#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_are_killed_are_whole_or_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let setup = Setup::new(dir.path());
    let mut server = setup.start().await;
    site::furnish(&server.client).await;
    let parts = noise(100, SIZE);
    let mut id = begin(&server).await;
    let mut visible: Option<Vec<u8>> = None;
    for round in 0..10 {
        let from = offset(&server, dir.path(), &id, &parts).await;
        let new = noise(round, SIZE);
        let put = server.client.request(Method::PUT, &format!("{SHELF}/put.img")).body(slowly(&new));
        let part = server.client.request(Method::PATCH, &format!("/api/v1/uploads/{id}"));
        let part = part.header("upload-offset", from.to_string()).body(slowly(&parts[from..]));
        let send = |request| {
            let client = server.client.clone();
            tokio::spawn(async move { client.try_send(request).await })
        };
        let (putting, sending) = (send(put), send(part));
        tokio::time::sleep(Duration::from_micros(rand::random_range(0..120_000))).await;
        server.kill();
        let (put, sent) = (putting.await.unwrap(), sending.await.unwrap());

        server = setup.start().await;
        assert_eq!(std::fs::read_dir(dir.path().join("assets/tmp")).unwrap().count(), 0, "swept");
        // The old file or the new one; the new one for certain when that was said.
        let found = server.client.get("/boot/assets/safe/put.img").await;
        let found = if found.status == 404 { None } else { Some(found.is(200).body) };
        let said = put.is_some_and(|reply| reply.is(201).status == 201);
        assert!(found.as_ref() == Some(&new) || (!said && found == visible), "round {round}: other bytes");
        visible = found;
        let at = offset(&server, dir.path(), &id, &parts).await;
        assert!(at >= from && sent.is_none_or(|reply| reply.is(200).status == 200 && at == SIZE));
        if at == SIZE {
            finish(&server, &id, &parts).await;
            id = begin(&server).await;
        }
    }
    let from = offset(&server, dir.path(), &id, &parts).await;
    let rest = server.client.request(Method::PATCH, &format!("/api/v1/uploads/{id}"));
    let rest = rest.header("upload-offset", from.to_string()).body(parts[from..].to_vec());
    server.client.send(rest).await.is(200);
    finish(&server, &id, &parts).await;
    assert_eq!(std::fs::read_dir(dir.path().join("uploads")).unwrap().count(), 0);
    assert_eq!(server.stop().await, Some(0));
}

async fn finish(server: &Server, id: &str, bytes: &[u8]) {
    server.client.post(SHELF, &json!({"upload": id, "file": "parts.img"})).await.is(201);
    assert!(server.client.get("/boot/assets/safe/parts.img").await.is(200).body == bytes);
}

/// A server that sends these bytes to everybody, in some 60 ms.
async fn origin(bytes: Vec<u8>) -> std::net::SocketAddr {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let bytes = bytes.clone();
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len());
                let _ = stream.write_all(head.as_bytes()).await;
                for chunk in bytes.chunks(64 * 1024) {
                    // Killed clients are the point of this.
                    let _ = stream.write_all(chunk).await;
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            });
        }
    });
    address
}

/// Takes its seconds: seven starts.
#[tokio::test(flavor = "multi_thread")]
async fn imports_that_are_killed_are_whole_or_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let setup = Setup::new(dir.path()).config("[import]\nallow = [\"127.0.0.1/32\"]\n");
    let mut server = setup.start().await;
    site::furnish(&server.client).await;
    let bytes = noise(7, SIZE);
    let from = origin(bytes.clone()).await;
    let body = json!({"url": format!("http://{from}/image"), "file": "imported.img"});
    for _ in 0..5 {
        let client = server.client.clone();
        let import = client.request(Method::POST, SHELF).json(&body);
        let importing = tokio::spawn(async move { client.try_send(import).await });
        tokio::time::sleep(Duration::from_micros(rand::random_range(0..120_000))).await;
        server.kill();
        let said = importing.await.unwrap().is_some_and(|reply| reply.is(201).status == 201);
        server = setup.start().await;
        assert_eq!(std::fs::read_dir(dir.path().join("assets/tmp")).unwrap().count(), 0, "swept");
        let found = server.client.get("/boot/assets/safe/imported.img").await;
        assert!(if found.status == 404 { !said } else { found.is(200).body == bytes });
    }
    server.client.post(SHELF, &body).await.is(201);
    assert!(server.client.get("/boot/assets/safe/imported.img").await.is(200).body == bytes);
}

/// Takes its seconds: eight starts.
#[tokio::test(flavor = "multi_thread")]
async fn a_scrub_that_is_killed_loses_nothing_and_lets_nothing_wrong_pass() {
    let dir = tempfile::tempdir().unwrap();
    let setup = Setup::new(dir.path()).config("[assets]\nscrub_mib_per_second = 1000000\n");
    let mut server = setup.start().await;
    site::furnish(&server.client).await;
    let (good, bad) = (noise(1, SIZE), noise(2, SIZE));
    for (name, bytes) in [("good.img", &good), ("bad.img", &bad)] {
        let put = server.client.request(Method::PUT, &format!("{SHELF}/{name}")).body(bytes.clone());
        server.client.send(put).await.is(201);
    }
    server.kill();
    for path in walk(&dir.path().join("assets/sha256")) {
        if std::fs::read(&path).unwrap() == bad {
            let mut wrong = bad.clone();
            wrong[SIZE / 2] ^= 1;
            std::fs::write(&path, wrong).unwrap();
        }
    }
    for _ in 0..5 {
        server = setup.start().await;
        tokio::time::sleep(Duration::from_micros(rand::random_range(0..60_000))).await;
        server.kill();
    }
    server = setup.start().await;
    server.client.get("/boot/assets/safe/bad.img").await.is(503);
    assert!(server.client.get("/boot/assets/safe/good.img").await.is(200).body == good);
    let put = server.client.request(Method::PUT, &format!("{SHELF}/bad.img")).body(bad.clone());
    server.client.send(put).await.is(201);
    assert!(server.client.get("/boot/assets/safe/bad.img").await.is(200).body == bad);
}

fn walk(dir: &Path) -> Vec<std::path::PathBuf> {
    let folders = std::fs::read_dir(dir).unwrap().flatten();
    let files = folders.flat_map(|folder| std::fs::read_dir(folder.path()).unwrap().flatten());
    files.map(|file| file.path()).collect()
}
