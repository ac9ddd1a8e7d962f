//! Files on S3, and S3 fails: what is here is served, the rest waits, and nothing wrong is ever
//! whole. When S3 is well again nothing needs a restart.

use crate::server::{Server, Setup, until};
use crate::site::{self, KERNEL, mac};
use crate::wire::{Download, noise};
use futures_util::future::join_all;
use lab::faults::Faults;
use lab::s3::{BUCKET, SECRET, TestS3};
use reqwest::Method;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// How to start a server whose files are on this S3.
pub fn on_s3(setup: Setup, s3: &TestS3) -> Setup {
    let setup = setup.arg("--assets-url").arg(format!("s3://{BUCKET}/site"));
    s3.env().iter().fold(setup, |setup, (name, value)| setup.env(name, value))
}

/// A server with one file more on its shelf: its digest.
async fn put(server: &Server, file: &str, bytes: &[u8]) -> String {
    let path = format!("/api/v1/boot/profiles/safe/assets/{file}");
    let made = server.client.put_bytes(&path, bytes.to_vec()).await.is(201).value();
    made["sha256"].as_str().unwrap().to_owned()
}

/// Where a server keeps its copy.
fn copy(dir: &Path, digest: &str) -> PathBuf {
    dir.join("asset-cache/sha256").join(&digest[..2]).join(digest)
}

async fn not_ready(server: &Server) -> String {
    until("/readyz to say no", async || {
        let reply = server.client.get("/readyz").await;
        (reply.status == 503).then(|| reply.text())
    })
    .await
}

async fn ready(server: &Server) {
    let client = &server.client;
    until("/readyz to say yes", async || (client.get("/readyz").await.status == 200).then_some(())).await;
}

/// F17. Takes some seconds: S3's health is asked for every two.
#[tokio::test(flavor = "multi_thread")]
async fn while_s3_is_away_copies_are_served_and_the_rest_waits() {
    let s3 = TestS3::start().await;
    let dir = tempfile::tempdir().unwrap();
    let mut server = on_s3(Setup::new(dir.path()), &s3).start().await;
    let client = server.client.clone();
    site::furnish(&client).await;
    site::assign(&client, 1, "safe", false).await;
    let (warm, cold, late) = (noise(1, 300_000), noise(2, 300_000), noise(3, 300_000));
    put(&server, "warm", &warm).await;
    let digest = put(&server, "cold", &cold).await;
    std::fs::remove_file(copy(dir.path(), &digest)).unwrap();
    let keys = s3.keys();
    let down = Faults { down: true, ..Faults::default() };
    let slow_down = Faults { slow_down: true, ..Faults::default() };
    for fault in [down, slow_down] {
        s3.set(fault);
        let why = not_ready(&server).await;
        assert!(why.starts_with("assets: the asset store does not answer: "), "{why}");
        assert!(!why.contains(SECRET), "{why}");
        assert!(client.get("/boot/assets/safe/warm").await.is(200).body == warm);
        assert_eq!(client.get("/boot/assets/safe/vmlinuz").await.is(200).body, KERNEL);
        // An outage is never "no such file", and never a part of one.
        client.get("/boot/assets/safe/cold").await.must_wait();
        assert!(!copy(dir.path(), &digest).exists());
        client.menu(&mac(1)).await.is_calm();
        let shown = client.get("/api/v1/boot/profiles/safe/assets").await.is(200).value();
        assert_eq!(shown["items"][0]["condition"], "unknown", "{shown}");

        let refused = client.put_bytes("/api/v1/boot/profiles/safe/assets/late", late.clone()).await.is(503);
        let text = refused.value()["detail"].as_str().unwrap().to_owned();
        assert!(text.contains("the asset store does not answer: nothing was stored"), "{text}");
        client.get("/boot/assets/safe/late").await.is(404);
        assert_eq!(std::fs::read_dir(dir.path().join("asset-cache/tmp")).unwrap().count(), 0);
        assert_eq!(s3.keys(), keys);
    }
    s3.heal();
    ready(&server).await;
    assert!(client.get("/boot/assets/safe/cold").await.is(200).body == cold);
    put(&server, "late", &late).await;
    assert!(client.get("/boot/assets/safe/late").await.is(200).body == late);
    assert!(server.lives());
    assert_eq!(server.stop().await, Some(0));
}

/// The events of damaged files, once there is one.
pub async fn damaged(server: &Server) -> Vec<Value> {
    let path = "/api/v1/boot/events?kind=asset.damaged";
    until("an alarm", async || {
        let events = server.client.get(path).await.is(200).value()["items"].as_array().unwrap().clone();
        (!events.is_empty()).then_some(events)
    })
    .await
}

/// F19.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_bytes_from_s3_are_never_whole_and_an_upload_heals_them() {
    const FILE: &str = "/boot/assets/safe/initramfs.xz";
    let s3 = TestS3::start().await;
    let dir = tempfile::tempdir().unwrap();
    let server = on_s3(Setup::new(dir.path()), &s3).start().await;
    let client = server.client.clone();
    site::furnish(&client).await;
    let bytes = noise(4, 3_000_000);
    let digest = put(&server, "initramfs.xz", &bytes).await;
    std::fs::remove_file(copy(dir.path(), &digest)).unwrap();

    s3.set(Faults { flip: Some(2_000_000), ..Faults::default() });
    let download = Download::begin(&client.base, FILE, "").await;
    assert!(download.head.starts_with("http/1.1 200") && download.length == bytes.len(), "{}", download.head);
    let got = download.finish().await;
    assert!(got.len() < bytes.len(), "the last byte was sent");
    let events = damaged(&server).await;
    let message = events[0]["message"].as_str().unwrap();
    assert!(message.starts_with("safe/initramfs.xz: the object on S3 does not have the bytes"), "{message}");
    assert!(
        message.ends_with("upload it again: moxxie asset upload safe FILE --as initramfs.xz"),
        "{message}"
    );
    // Not tried again at once, whatever S3 would say now.
    s3.heal();
    let gets = s3.count("GET");
    for _ in 0..3 {
        let waits = client.get(FILE).await;
        waits.must_wait();
        assert!(waits.text().contains("damaged"), "{}", waits.text());
    }
    assert_eq!(s3.count("GET"), gets);
    assert_eq!(client.get("/boot/assets/safe/vmlinuz").await.is(200).body, KERNEL);
    put(&server, "initramfs.xz", &bytes).await;
    assert!(client.get(FILE).await.is(200).body == bytes);

    // The object itself lost its end.
    std::fs::remove_file(copy(dir.path(), &digest)).unwrap();
    let object = s3.object(&format!("site/sha256/{}/{digest}", &digest[..2]));
    std::fs::File::options().write(true).open(object).unwrap().set_len(2_999_999).unwrap();
    client.get(FILE).await.must_wait();
    client.get(FILE).await.must_wait();
    put(&server, "initramfs.xz", &bytes).await;
    // Also without the copy that the upload left here.
    std::fs::remove_file(copy(dir.path(), &digest)).unwrap();
    assert!(client.get(FILE).await.is(200).body == bytes);
}

/// However many ask at once, S3 is asked once.
#[tokio::test(flavor = "multi_thread")]
async fn fifty_machines_and_one_cold_file() {
    let s3 = TestS3::start().await;
    let dir = tempfile::tempdir().unwrap();
    let server = on_s3(Setup::new(dir.path()), &s3).start().await;
    site::furnish(&server.client).await;
    let bytes = noise(6, 1_000_000);
    let digest = put(&server, "initramfs.xz", &bytes).await;
    std::fs::remove_file(copy(dir.path(), &digest)).unwrap();
    let sent = s3.sent();
    let downloads = (0..50).map(|_| server.client.get("/boot/assets/safe/initramfs.xz"));
    for reply in join_all(downloads).await {
        assert!(reply.is(200).body == bytes, "other bytes");
    }
    assert_eq!(s3.sent() - sent, 1_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_are_sent_to_s3_itself() {
    const FILE: &str = "/boot/assets/safe/initramfs.xz";
    let s3 = TestS3::start().await;
    let dir = tempfile::tempdir().unwrap();
    let setup = on_s3(Setup::new(dir.path()), &s3).config("[assets]\nredirect = true\n");
    let server = setup.start().await;
    let client = &server.client;
    site::furnish(client).await;
    let bytes = noise(5, 1_000_000);
    let digest = put(&server, "initramfs.xz", &bytes).await;

    let stays = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    let sent = stays.build().unwrap().get(format!("{}{FILE}", client.base)).send().await.unwrap();
    assert_eq!(sent.status(), 302);
    assert_eq!(sent.headers()["cache-control"], "no-store");
    let there = sent.headers()["location"].to_str().unwrap();
    let object = format!("http://{}/{BUCKET}/site/sha256/{}/{digest}?", s3.address, &digest[..2]);
    assert!(there.starts_with(&object) && !there.contains(SECRET), "{there}");

    // Whoever follows gets the bytes, from S3.
    let sent = s3.sent();
    assert!(client.get(FILE).await.is(200).body == bytes);
    assert_eq!(s3.sent() - sent, 1_000_000);
    let part = client.request(Method::GET, FILE).header("range", "bytes=500000-500009");
    assert_eq!(client.send(part).await.is(206).body, &bytes[500_000..500_010]);
    // The signature is for a GET.
    let head = client.send(client.request(Method::HEAD, FILE)).await.is(200);
    assert_eq!((head.header("content-length"), head.header("location")), ("1000000", ""));
    assert_eq!(head.header("etag"), format!("\"{digest}\""));
    client.get("/boot/assets/safe/gone").await.is(404);
}
