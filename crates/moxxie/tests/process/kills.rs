//! `kill -9` of the real program, and a start on what it left behind.

use crate::server::{Server, Setup, until};
use crate::site::{self, KERNEL, mac, machine};
use moxxie_store::testing::TestPostgres;
use reqwest::Method;
use sqlx::{ConnectOptions, Executor, Row};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn moments(most: u64) -> Duration {
    Duration::from_micros(rand::random_range(0..most * 1000))
}

async fn integrity(file: &Path) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
    let mut connection = options.connect().await.unwrap();
    let row = connection.fetch_one("PRAGMA integrity_check").await.unwrap();
    assert_eq!(row.get::<String, _>(0), "ok");
    assert!(connection.fetch_all("PRAGMA foreign_key_check").await.unwrap().is_empty());
}

/// Writes until the server is gone; what it said was written.
async fn writers(server: &Server, next: &Arc<AtomicU32>, acknowledged: &Arc<Mutex<BTreeSet<String>>>) {
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let (client, next, acknowledged) = (server.client.clone(), next.clone(), acknowledged.clone());
            tokio::spawn(async move {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let request = client.request(Method::POST, "/api/v1/boot/assignments");
                    let body = machine(n, "safe", n % 2 == 0);
                    match client.try_send(request.json(&body)).await {
                        Some(reply) if reply.status == 201 => acknowledged.lock().unwrap().insert(mac(n)),
                        // A write whose answer was lost may be there or not; its number is used up.
                        Some(reply) => panic!("{reply:?}"),
                        None => return,
                    };
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_has_kept_every_write_it_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let setup = Setup::new(dir.path());
    let next = Arc::new(AtomicU32::new(1));
    let acknowledged = Arc::new(Mutex::new(BTreeSet::new()));
    let mut server = setup.start().await;
    site::furnish(&server.client).await;
    for round in 0..24 {
        let before = acknowledged.lock().unwrap().len();
        let seen = acknowledged.clone();
        let killer = async {
            // Only the first write is waited for; the rest is chance.
            until("a write", async || (seen.lock().unwrap().len() > before).then_some(())).await;
            tokio::time::sleep(moments(60)).await;
            crate::server::signal("KILL", server.id());
        };
        tokio::join!(killer, writers(&server, &next, &acknowledged));
        server.kill();
        if round % 4 == 0 {
            integrity(&dir.path().join("moxxie.db")).await;
        }
        server = setup.start().await;
        let there = site::all(&server.client, "/api/v1/boot/assignments").await;
        let there: BTreeSet<&str> = there.iter().map(|a| a["mac_address"].as_str().unwrap()).collect();
        for mac in acknowledged.lock().unwrap().iter() {
            assert!(there.contains(mac.as_str()), "{mac} was acknowledged and is gone");
        }
        // Whole changes only: each has its record in the audit log, and no record is without.
        let log = site::all(&server.client, "/api/v1/audit").await;
        let created = log.iter().filter(|record| record["action"] == "assignment.create").count();
        assert_eq!(created, there.len(), "round {round}");
    }
    assert!(acknowledged.lock().unwrap().len() >= 24);
    assert_eq!(server.stop().await, Some(0));
    integrity(&dir.path().join("moxxie.db")).await;
}

/// Killed while it makes its folder, its key and its database; the next start completes them.
async fn first_starts(setup: impl Fn(&Path) -> Setup, rounds: u64) {
    for round in 0..rounds {
        let dir = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            let mut server = setup(dir.path()).spawn();
            // From the first instructions to somewhat after it is ready.
            tokio::time::sleep(moments(20 + 30 * round)).await;
            server.kill();
        }
        let mut server = setup(dir.path()).start().await;
        site::furnish(&server.client).await;
        assert_eq!(server.stop().await, Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_that_is_killed_is_completed_by_the_next() {
    first_starts(Setup::new, 8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_of_postgres_that_is_killed_is_completed_by_the_next() {
    let Some(database) = TestPostgres::start().await else { return };
    for _ in 0..4 {
        let url = database.database().await;
        first_starts(|dir| Setup::replica(dir, &url), 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn half_an_upload_is_never_seen() {
    let dir = tempfile::tempdir().unwrap();
    let setup = Setup::new(dir.path());
    let mut server = setup.start().await;
    site::furnish(&server.client).await;
    let tmp = dir.path().join("assets/tmp");
    let arriving = || -> u64 {
        let files = std::fs::read_dir(&tmp).unwrap().flatten();
        files.filter_map(|file| file.metadata().ok()).map(|meta| meta.len()).sum()
    };
    let path = "/api/v1/boot/profiles/safe/assets/big.img";
    for old in [false, true] {
        // A body that goes on for as long as the server does.
        let endless = futures_util::stream::unfold((), async |()| {
            tokio::time::sleep(Duration::from_millis(1)).await;
            Some((Ok::<_, std::io::Error>(vec![7_u8; 64 * 1024]), ()))
        });
        let request = server.client.request(Method::PUT, path).body(reqwest::Body::wrap_stream(endless));
        let client = server.client.clone();
        let upload = tokio::spawn(async move { client.try_send(request).await });
        until("half an upload", async || (arriving() > 4 << 20).then_some(())).await;
        let visible = server.client.get("/boot/assets/safe/big.img").await;
        assert_eq!(visible.status, if old { 200 } else { 404 });
        server.kill();
        assert!(upload.await.unwrap().is_none());
        assert!(arriving() > 0, "the orphan is there");

        server = setup.start().await;
        assert_eq!(arriving(), 0, "swept at the start");
        let list = server.client.get("/api/v1/boot/profiles/safe/assets").await.is(200).value();
        let names: Vec<&str> =
            list["items"].as_array().unwrap().iter().map(|a| a["file"].as_str().unwrap()).collect();
        assert_eq!(names.contains(&"big.img"), old, "{names:?}");
        // The old file is whole; a new one can be uploaded.
        match old {
            true => assert_eq!(server.client.get("/boot/assets/safe/big.img").await.is(200).body, KERNEL),
            false => drop(server.client.put_bytes(path, KERNEL).await.is(201)),
        }
    }
}

/// Replicas may share a folder of assets; one that starts must leave alone what another is
/// receiving.
#[tokio::test(flavor = "multi_thread")]
async fn a_starting_replica_does_not_sweep_away_what_another_is_receiving() {
    let Some(database) = TestPostgres::start().await else { return };
    let url = database.database().await;
    let (here, there, shared) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let assets = format!("file://{}", shared.path().display());
    let setup = |dir: &Path| Setup::replica(dir, &url).env("MOXXIE_ASSETS_URL", &assets);
    let a = setup(here.path()).start().await;
    site::furnish(&a.client).await;
    let (go, gone) = tokio::sync::oneshot::channel::<()>();
    let body = futures_util::stream::unfold(Some((0, Some(gone))), async |state| {
        let (n, mut gone) = state?;
        if n == 1
            && let Some(gone) = gone.take()
        {
            gone.await.ok();
        }
        let next = (n < 1).then_some((n + 1, gone));
        Some((Ok::<_, std::io::Error>(vec![7_u8; 256 * 1024]), next))
    });
    let request = a.client.request(Method::PUT, "/api/v1/boot/profiles/safe/assets/big.img");
    let request = request.body(reqwest::Body::wrap_stream(body));
    let client = a.client.clone();
    let upload = tokio::spawn(async move { client.send(request).await });
    let tmp = shared.path().join("tmp");
    until("half an upload", async || std::fs::read_dir(&tmp).unwrap().next().map(|_| ())).await;
    std::fs::write(tmp.join("orphan"), "of a replica that was killed").unwrap();
    let b = setup(there.path()).start().await;
    assert!(!tmp.join("orphan").exists());
    go.send(()).unwrap();
    upload.await.unwrap().is(201);
    assert_eq!(b.client.get("/boot/assets/safe/big.img").await.is(200).body.len(), 512 * 1024);
}

/// An upload in parts goes on after `kill -9` where it stopped, to the right bytes.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_in_parts_outlives_the_server() {
    const SIZE: usize = 6 << 20;
    let byte = |n: usize| (n / 1000 % 251) as u8;
    let bytes: Vec<u8> = (0..SIZE).map(byte).collect();
    let dir = tempfile::tempdir().unwrap();
    let setup = Setup::new(dir.path());
    let mut server = setup.start().await;
    site::furnish(&server.client).await;
    let made =
        server.client.post("/api/v1/uploads", &serde_json::json!({"size": SIZE})).await.is(201).value();
    let id = made["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/uploads/{id}");
    let offset = async |server: &Server| {
        let at = server.client.get(&path).await.is(200).value();
        at["offset"].as_u64().unwrap() as usize
    };
    let send = |server: &Server, from: usize| {
        let request = server.client.request(Method::PATCH, &path).header("upload-offset", from.to_string());
        let rest: Vec<Vec<u8>> = bytes[from..].chunks(16 * 1024).map(<[u8]>::to_vec).collect();
        // Slowly enough to be hit in the middle.
        let body = futures_util::stream::unfold(rest.into_iter(), async |mut rest| {
            tokio::time::sleep(Duration::from_millis(1)).await;
            Some((Ok::<_, std::io::Error>(rest.next()?), rest))
        });
        let (client, request) = (server.client.clone(), request.body(reqwest::Body::wrap_stream(body)));
        tokio::spawn(async move { client.try_send(request).await })
    };
    let mut from = 0;
    for _ in 0..3 {
        let sending = send(&server, from);
        until("some bytes", async || (offset(&server).await > from + (256 << 10)).then_some(())).await;
        server.kill();
        sending.await.unwrap();
        server = setup.start().await;
        let at = offset(&server).await;
        assert!(at > from, "what had arrived is there");
        from = at;
    }
    send(&server, from).await.unwrap().unwrap().is(200);
    let body = serde_json::json!({"upload": id, "file": "big.img"});
    server.client.post("/api/v1/boot/profiles/safe/assets", &body).await.is(201);
    assert!(server.client.get("/boot/assets/safe/big.img").await.is(200).body == bytes);
    assert_eq!(std::fs::read_dir(dir.path().join("uploads")).unwrap().count(), 0);
}
