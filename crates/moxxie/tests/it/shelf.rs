//! Bytes come and go with their labels.

use super::util::Site;
use super::util::recipes::{PROFILES, memtest};
use moxxie::shelf;
use moxxie_core::asset::Digest;
use moxxie_core::profile::Profile;
use moxxie_core::time::Span;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use sqlx::{ConnectOptions, Executor};
use std::collections::BTreeSet;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

/// What lies in the folder.
fn stored(site: &Site) -> BTreeSet<String> {
    let folder = site.dir.path().join("assets/sha256");
    let dirs = std::fs::read_dir(folder).unwrap().flatten();
    let files = dirs.flat_map(|dir| std::fs::read_dir(dir.path()).unwrap().flatten());
    files.map(|file| file.file_name().into_string().unwrap()).collect()
}

fn digest(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

fn names(files: &[&[u8]]) -> BTreeSet<String> {
    files.iter().map(|bytes| digest(bytes).to_string()).collect()
}

async fn profile(site: &Site, name: &str) -> Profile {
    site.post(PROFILES, memtest(name)).await.is(201);
    site.app.read().profile(name).await.unwrap().unwrap()
}

/// Writes into the database past the server, as another replica would.
async fn elsewhere(site: &Site, sql: &'static str) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(site.dir.path().join("moxxie.db"));
    options.connect().await.unwrap().execute(sql).await.unwrap();
}

#[tokio::test]
async fn every_way_to_lose_a_label_frees_its_bytes() {
    let site = Site::start().await;
    profile(&site, "a").await;
    profile(&site, "b").await;
    let backup = site.get("/api/v1/backup").await.is(200).body;
    site.asset("a", "memtest.bin", b"one").await;
    site.asset("a", "other", b"two").await;
    site.asset("b", "memtest.bin", b"one").await;
    assert_eq!(stored(&site), names(&[b"one", b"two"]));
    site.asset("a", "other", b"three").await;
    assert_eq!(stored(&site), names(&[b"one", b"three"]), "replaced");
    site.delete(&format!("{PROFILES}/a")).await.is(204);
    assert_eq!(stored(&site), names(&[b"one"]), "went with the profile");
    site.asset("b", "extra", b"two").await;
    site.delete(&format!("{PROFILES}/b/assets/extra")).await.is(204);
    assert_eq!(stored(&site), names(&[b"one"]), "taken off");
    site.call("POST", "/api/v1/restore").body(backup).send().await.is(200);
    assert_eq!(stored(&site), names(&[]), "not in the backup");
}

#[tokio::test]
async fn a_put_waits_for_a_deletion_and_a_dead_one_is_taken_over() {
    let site = Site::start().await;
    profile(&site, "a").await;
    site.asset("a", "k", b"bytes").await;
    // Another replica has just begun to delete these bytes.
    elsewhere(&site, "UPDATE asset_bytes SET collecting_until = 9e15").await;
    let path = format!("{PROFILES}/a/assets/k2");
    let mut put = pin!(site.call("PUT", &path).body("bytes").send());
    let early = tokio::time::timeout(Duration::from_millis(100), &mut put).await;
    assert!(early.is_err(), "it did not wait");
    elsewhere(&site, "UPDATE asset_bytes SET collecting_until = NULL").await;
    put.await.is(201);
    assert_eq!(site.boot("/boot/assets/a/k2").await.is(200).body, b"bytes");

    // One that was killed: after its lease somebody else deletes the bytes.
    site.asset("a", "k", b"other").await;
    site.asset("a", "k2", b"other").await;
    site.asset("a", "gone", b"unused").await;
    elsewhere(&site, "DELETE FROM profile_assets WHERE file = 'gone'").await;
    elsewhere(
        &site,
        "UPDATE asset_bytes SET collecting_until = (SELECT MAX(created_at) + 600000 FROM profile_assets)",
    )
    .await;
    shelf::collect(&site.app).await;
    assert_eq!(stored(&site), names(&[b"other", b"unused"]));
    site.push(Span::minutes(10));
    shelf::collect(&site.app).await;
    assert_eq!(stored(&site), names(&[b"other"]));
}

#[tokio::test]
async fn a_label_on_bytes_that_are_there() {
    let site = Site::start().await;
    let (a, b) = (profile(&site, "a").await, profile(&site, "b").await);
    site.asset("a", "k", b"bytes").await;
    let by = site.app.by("ann", "127.0.0.1".parse().unwrap());
    let link = async |bytes: &[u8]| {
        let file = "linked".parse().unwrap();
        shelf::link(&site.app, &b, file, digest(bytes), &by).await
    };
    assert_eq!(link(b"bytes").await.unwrap().size, 5);
    assert_eq!(site.audit().await[0]["target"], "asset b/linked");
    site.delete(&format!("{PROFILES}/a/assets/k")).await.is(204);
    assert_eq!(site.boot("/boot/assets/b/linked").await.is(200).body, b"bytes");
    // Never seen, and known but not there.
    link(b"never").await.unwrap_err();
    std::fs::remove_file(site.dir.path().join("assets/sha256").join({
        let name = digest(b"bytes").to_string();
        format!("{}/{name}", &name[..2])
    }))
    .unwrap();
    link(b"bytes").await.unwrap_err();
    site.asset("a", "k", b"bytes").await;
    assert_eq!(site.boot("/boot/assets/b/linked").await.is(200).body, b"bytes", "healed");
    assert_eq!(site.app.read().assets(&a.id).await.unwrap().len(), 1);
}

#[tokio::test]
async fn whoever_goes_away_in_the_middle_leaves_all_or_nothing() {
    let site = Site::start().await;
    profile(&site, "a").await;
    for polls in 0..40 {
        let path = format!("{PROFILES}/a/assets/f{polls}");
        let bytes = format!("the bytes of {polls}").into_bytes();
        let mut put = pin!(site.call("PUT", &path).body(bytes).send());
        let mut left = polls;
        std::future::poll_fn(|context| {
            if left == 0 {
                return Poll::Ready(());
            }
            left -= 1;
            put.as_mut().poll(context).map(drop)
        })
        .await;
    }
    // What had begun ends by itself. All of it has its row before this one, and writers queue.
    site.asset("a", "last", b"last").await;
    let labeled = loop {
        let list = site.get(&format!("{PROFILES}/a/assets?limit=500")).await.is(200).json();
        let items = list["items"].as_array().unwrap().clone();
        let labeled: BTreeSet<String> =
            items.iter().map(|item| item["sha256"].as_str().unwrap().to_owned()).collect();
        let known = site.app.read().all_bytes().await.unwrap();
        if known.len() == labeled.len() {
            for item in items {
                site.boot(item["path"].as_str().unwrap()).await.is(200);
            }
            break labeled;
        }
        tokio::task::yield_now().await;
    };
    assert!(!labeled.is_empty() && labeled.len() < 40, "{}", labeled.len());
    assert_eq!(stored(&site), labeled);
}

#[tokio::test]
async fn files_that_nobody_knows_are_left_alone() {
    let site = Site::start().await;
    let name = digest(b"copied here").to_string();
    let folder = site.dir.path().join("assets/sha256").join(&name[..2]);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(&name), b"copied here").unwrap();
    shelf::report_strangers(&site.app, &site.app.config().assets_dir).await;
    shelf::collect(&site.app).await;
    assert_eq!(stored(&site), names(&[b"copied here"]));
    // Once they were put and taken off again, they are known.
    profile(&site, "a").await;
    site.asset("a", "k", b"copied here").await;
    site.delete(&format!("{PROFILES}/a/assets/k")).await.is(204);
    assert_eq!(stored(&site), names(&[]));
    let answer = site.post(&format!("{PROFILES}/a/assets/k"), json!({})).await;
    assert_eq!(answer.status, 405);
}
