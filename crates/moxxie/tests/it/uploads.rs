//! Files that arrive in parts.

use crate::util::Site;
use crate::util::app::Answer;
use crate::util::recipes::{PROFILES, memtest};
use crate::util::wire::{Wire, head};
use axum::body::Body;
use moxxie_core::asset::Digest;
use moxxie_core::time::Span;
use serde_json::{Value, json};
use sha2::Digest as _;
use tokio::io::AsyncWriteExt;

const UPLOADS: &str = "/api/v1/uploads";

fn digest(bytes: &[u8]) -> Digest {
    Digest(sha2::Sha256::digest(bytes).into())
}

async fn site() -> Site {
    let site = Site::with("[limits]\nasset_mib = 1").await;
    site.profile(memtest("m")).await;
    site
}

/// Begins one; its URL.
async fn begin(site: &Site, body: Value) -> String {
    let made = site.post(UPLOADS, body).await.is(201);
    let url = made.header("location").to_owned();
    assert_eq!(url, format!("{UPLOADS}/{}", made.json()["id"].as_str().unwrap()));
    url
}

async fn append(site: &Site, url: &str, offset: u64, bytes: impl Into<Body>) -> Answer {
    site.call("PATCH", url).set("upload-offset", &offset.to_string()).body(bytes).send().await
}

async fn finish(site: &Site, url: &str, more: Value) -> Answer {
    let mut body = json!({"upload": url.rsplit('/').next().unwrap(), "file": "big.img"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    site.post(&format!("{PROFILES}/m/assets"), body).await
}

fn spool(site: &Site) -> usize {
    std::fs::read_dir(site.dir.path().join("uploads")).map_or(0, Iterator::count)
}

#[tokio::test]
async fn what_arrived_before_a_cut_is_kept() {
    let site = site().await;
    let bytes: Vec<u8> = (0..=255).cycle().take(700_000).collect();
    let url = begin(&site, json!({"size": bytes.len(), "sha256": digest(&bytes)})).await;
    let at = append(&site, &url, 0, bytes[..1000].to_vec()).await.is(200).json();
    assert_eq!((&at["offset"], &at["size"]), (&json!(1000), &json!(700_000)));
    assert_eq!(at["expires_at"], "2026-03-02T12:00:00.000Z");
    // The body breaks off.
    let pieces = [Ok(bytes[1000..90_000].to_vec()), Err(std::io::Error::other("gone"))];
    append(&site, &url, 1000, Body::from_stream(futures_util::stream::iter(pieces))).await.problem(400);
    assert_eq!(site.get(&url).await.is(200).json()["offset"], 90_000);
    finish(&site, &url, json!({})).await.problem(409);
    // A wrong offset is told the right one, and changes nothing.
    for wrong in [0, 1000, 89_999, 90_001] {
        let detail = append(&site, &url, wrong, "x").await.problem(409)["detail"].to_string();
        assert!(detail.contains("90000"), "{detail}");
    }
    append(&site, &url, 90_000, bytes[90_000..].to_vec()).await.is(200);
    let made = finish(&site, &url, json!({})).await.is(201).json();
    assert_eq!((&made["sha256"], &made["size"]), (&json!(digest(&bytes)), &json!(700_000)));
    assert_eq!(site.boot("/boot/assets/m/big.img").await.is(200).body, bytes);
    assert_eq!(site.audit().await[0]["action"], "asset.put");
    // It is used up.
    site.get(&url).await.problem(404);
    finish(&site, &url, json!({})).await.problem(404);
    assert_eq!(spool(&site), 0);
}

#[tokio::test]
async fn a_connection_that_breaks_keeps_what_came_over_it() {
    let site = site().await;
    let wire = Wire::start(&site).await;
    let url = begin(&site, json!({"size": 500_000})).await;
    let mut stream = wire.connect().await;
    let request = format!(
        "PATCH {url} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nUpload-Offset: 0\r\nContent-Length: 500000\r\n\r\n",
        crate::util::app::ADMIN
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.write_all(&vec![7; 200_000]).await.unwrap();
    let there = async || site.get(&url).await.json()["offset"].as_u64().unwrap();
    while there().await < 200_000 {
        tokio::task::yield_now().await;
    }
    // A second one while the first is under way is told to wait; so is whoever would use it.
    append(&site, &url, 200_000, "x").await.problem(409);
    finish(&site, &url, json!({})).await.problem(409);
    site.delete(&url).await.problem(409);
    drop(stream);
    let rest = loop {
        let answer = append(&site, &url, 200_000, vec![7; 300_000]).await;
        match answer.status {
            409 => tokio::task::yield_now().await,
            _ => break answer,
        }
    };
    assert_eq!(rest.is(200).json()["offset"], 500_000);
    finish(&site, &url, json!({"sha256": digest(&vec![7; 500_000])})).await.is(201);
    // And over the wire, with its answer.
    let url = begin(&site, json!({"size": 1})).await;
    let mut stream = wire.connect().await;
    let request =
        request.replace("500000\r\n", "1\r\n").replacen(request.split(' ').nth(1).unwrap(), &url, 1);
    stream.write_all(format!("{request}x").as_bytes()).await.unwrap();
    assert!(head(&mut stream).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn sizes_digests_and_names() {
    let site = site().await;
    for (size, pointer) in
        [(json!(0), "/size"), (json!(-1), "/size"), (json!("1"), "/size"), (json!(1.5), "/size")]
    {
        assert_eq!(site.post(UPLOADS, json!({"size": size})).await.pointers(), [pointer], "{size}");
    }
    assert_eq!(site.post(UPLOADS, json!({"size": 1, "sha256": "x"})).await.pointers(), ["/sha256"]);
    assert_eq!(site.post(UPLOADS, json!({"size": 1, "name": "x"})).await.pointers(), ["/name"]);
    site.post(UPLOADS, json!({"size": 1024 * 1024 + 1})).await.problem(413);
    assert_eq!(spool(&site), 0);
    let url = begin(&site, json!({"size": 4})).await;
    append(&site, &url, 0, "12345").await.problem(413);
    let endless = futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![0_u8; 3]));
    append(&site, &url, 0, Body::from_stream(endless)).await.problem(413);
    assert_eq!(site.get(&url).await.json()["offset"], 3, "as much as was asked for");
    site.call("PATCH", &url).body("x").send().await.problem(400);
    site.call("PATCH", &url).set("upload-offset", "x").body("x").send().await.problem(400);
    site.call("PATCH", &url)
        .set("upload-offset", "3")
        .set("content-encoding", "gzip")
        .body("x")
        .send()
        .await
        .problem(415);
    append(&site, &url, 3, "").await.is(200);
    append(&site, &url, 3, vec![0]).await.is(200);
    append(&site, &url, 4, "").await.is(200);
    append(&site, &url, 4, "x").await.problem(413);
    // The caller's own mistakes cost nothing.
    assert_eq!(finish(&site, &url, json!({"file": "../x"})).await.pointers(), ["/file"]);
    assert_eq!(finish(&site, &url, json!({"file": null})).await.pointers(), ["/file"]);
    assert_eq!(finish(&site, &url, json!({"upload": "../x"})).await.pointers(), ["/upload"]);
    site.post(
        &format!("{PROFILES}/none/assets"),
        json!({"upload": url.rsplit('/').next().unwrap(), "file": "k"}),
    )
    .await
    .problem(404);
    // Other bytes than announced: no further part could mend that.
    assert_eq!(finish(&site, &url, json!({"sha256": digest(b"other")})).await.pointers(), ["/sha256"]);
    site.get(&url).await.problem(404);
    let url = begin(&site, json!({"size": 1, "sha256": digest(b"a")})).await;
    append(&site, &url, 0, "b").await.is(200);
    assert_eq!(finish(&site, &url, json!({"sha256": digest(b"b")})).await.pointers(), ["/sha256"]);
    site.get(&url).await.is(200);
    assert_eq!(finish(&site, &url, json!({})).await.pointers(), ["/sha256"]);
    assert_eq!(spool(&site), 0);
    for name in
        ["..%2f..%2fsecret-key", "%2e%2e", "x", "lock", "00000000-0000-0000-0000-000000000000", "a%00"]
    {
        for method in ["GET", "PATCH", "DELETE"] {
            let call = site.call(method, &format!("{UPLOADS}/{name}")).set("upload-offset", "0");
            let answer = call.send().await;
            assert!(matches!(answer.status, 400 | 404), "{method} {name}: {}", answer.status);
        }
    }
    assert!(site.get("/api/v1/boot/profiles/m/assets").await.text().matches("sha256").count() == 1);
}

#[tokio::test]
async fn uploads_that_nobody_goes_on_with_are_given_up() {
    let site = site().await;
    let old = begin(&site, json!({"size": 10})).await;
    site.push(Span::hours(23));
    append(&site, &old, 0, "123").await.is(200);
    let other = begin(&site, json!({"size": 10})).await;
    site.push(Span::hours(23));
    site.get(&old).await.is(200);
    site.delete(&other).await.is(204);
    site.get(&other).await.problem(404);
    site.push(Span::hours(1));
    site.get(&old).await.problem(404);
    append(&site, &old, 3, "4").await.problem(404);
    assert_eq!(site.app.uploads.sweep(site.app.clock.now()).await.unwrap(), 1);
    assert_eq!(spool(&site), 0);
    for _ in 0..moxxie::uploads::MOST {
        begin(&site, json!({"size": 1})).await;
    }
    let full = site.post(UPLOADS, json!({"size": 1})).await.problem(409);
    assert!(full["detail"].as_str().unwrap().contains("64"), "{full}");
}

#[tokio::test]
async fn a_full_disk_keeps_the_part() {
    let site = site().await;
    let url = begin(&site, json!({"size": 1_000_000})).await;
    append(&site, &url, 0, vec![7; 1000]).await.is(200);
    // A file on which no byte can be written any more.
    let data = site.dir.path().join("uploads").join(url.rsplit('/').next().unwrap());
    let aside = site.dir.path().join("aside");
    std::fs::rename(&data, &aside).unwrap();
    std::os::unix::fs::symlink("/dev/full", &data).unwrap();
    append(&site, &url, 0, vec![7; 999_000]).await.problem(507);
    std::fs::rename(&aside, &data).unwrap();
    append(&site, &url, 1000, vec![7; 999_000]).await.is(200);
    finish(&site, &url, json!({"sha256": digest(&vec![7; 1_000_000])})).await.is(201);
}
