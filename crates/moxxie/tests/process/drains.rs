//! SIGTERM while machines download: they get every byte, and the log knows of it.

use crate::server::{Setup, until};
use crate::site::{self, assign, mac};
use crate::wire::{Download, noise};
use reqwest::Method;

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_while_the_server_stops_is_written_down() {
    const FILE: &str = "/boot/assets/safe/initramfs.xz";
    let dir = tempfile::tempdir().unwrap();
    let setup = Setup::new(dir.path()).config("[shutdown]\ngrace_seconds = 0\n");
    let mut server = setup.start().await;
    site::furnish(&server.client).await;
    let bytes = noise(1, 12 << 20);
    let upload = "/api/v1/boot/profiles/safe/assets/initramfs.xz";
    server.client.put_bytes(upload, bytes.clone()).await.is(201);
    assign(&server.client, 1, "safe", true).await;
    assert!(server.client.menu(&mac(1)).await.boots());
    let mut downloads = Vec::new();
    for _ in 0..4 {
        let mut download = Download::begin(&server.client.base, FILE, "").await;
        download.read(1 << 20).await;
        downloads.push(download);
    }
    server.term();
    until("the listener to close", async || {
        let fresh = crate::client::Client::new(&server.client.base, "x");
        fresh.try_send(fresh.request(Method::GET, "/livez")).await.is_none().then_some(())
    })
    .await;
    assert!(server.lives(), "it waits for the downloads");
    // One machine is switched off, the others read on.
    drop(downloads.pop());
    for download in downloads {
        assert!(download.finish().await == bytes);
    }
    assert_eq!(server.ended().await.code(), Some(0));

    let server = setup.start().await;
    for (kind, says) in
        [("initrd_fetched", "initramfs.xz, 12.5 MB in "), ("download.aborted", "initramfs.xz stopped at ")]
    {
        let found = server.client.get(&format!("/api/v1/boot/events?kind={kind}")).await.is(200).value();
        let events = found["items"].as_array().unwrap();
        assert!(!events.is_empty(), "no {kind}");
        for event in events {
            assert_eq!(event["mac_address"], mac(1), "{event}");
            assert!(event["message"].as_str().unwrap().starts_with(says), "{event}");
        }
    }
}
