//! F38: a replica dies in the middle of a download. The next try, at another one, has every byte.

use crate::remote::on_s3;
use crate::server::Setup;
use crate::site;
use crate::wire::{Download, noise};
use lab::s3::TestS3;
use moxxie_store::testing::TestPostgres;
use reqwest::Method;

const FILE: &str = "/boot/assets/safe/initramfs.xz";

/// `start`: a replica on this data folder.
async fn story(start: impl Fn(&std::path::Path) -> Setup) {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let (first, second) = (start(dirs[0].path()), start(dirs[1].path()));
    let (mut a, b) = tokio::join!(first.start(), second.start());
    site::furnish(&a.client).await;
    // More than the buffers between the two ends hold.
    let bytes = noise(1, 12 << 20);
    let upload = "/api/v1/boot/profiles/safe/assets/initramfs.xz";
    a.client.put_bytes(upload, bytes.clone()).await.is(201);

    let mut download = Download::begin(&a.client.base, FILE, "").await;
    assert!(download.head.starts_with("http/1.1 200") && download.length == bytes.len(), "{}", download.head);
    download.read(1 << 20).await;
    a.kill();
    let etag = download.header("etag").to_owned();
    let got = download.finish().await;
    assert!(got.len() < bytes.len() && got == bytes[..got.len()], "{} bytes", got.len());

    // A client that goes on where it stopped, with bytes that this replica has never sent.
    let range = format!("Range: bytes={}-\r\nIf-Range: {etag}\r\n", got.len());
    let rest = Download::begin(&b.client.base, FILE, &range).await;
    assert!(rest.head.starts_with("http/1.1 206"), "{}", rest.head);
    assert_eq!(rest.header("etag"), etag);
    let all = [got, rest.finish().await].concat();
    assert!(all == bytes, "other bytes");
    // iPXE begins anew.
    assert!(b.client.get(FILE).await.is(200).body == bytes);
    // Replaced meanwhile: no mixture of two files.
    let new = noise(2, 100_000);
    b.client.put_bytes(upload, new.clone()).await.is(201);
    let stale = b.client.request(Method::GET, FILE).header("range", "bytes=50000-").header("if-range", etag);
    assert!(b.client.send(stale).await.is(200).body == new);

    // The one that was killed comes back and knows all of it.
    let a = first.start().await;
    assert!(a.client.get(FILE).await.is(200).body == new);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_goes_on_at_another_replica_from_s3() {
    let Some(database) = TestPostgres::start().await else { return };
    let (url, s3) = (database.database().await, TestS3::start().await);
    story(|dir| on_s3(Setup::replica(dir, &url), &s3)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_goes_on_at_another_replica_from_a_shared_folder() {
    let Some(database) = TestPostgres::start().await else { return };
    let (url, shared) = (database.database().await, tempfile::tempdir().unwrap());
    let assets = format!("file://{}", shared.path().display());
    story(|dir| Setup::replica(dir, &url).env("MOXXIE_ASSETS_URL", &assets)).await;
}
