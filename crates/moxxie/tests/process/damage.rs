//! F20: a bit of a stored file flips. That file is never sent again, everybody is told what to do,
//! and nothing else is touched.

use crate::remote::damaged;
use crate::server::{Server, Setup};
use crate::site::{self, KERNEL, mac};
use crate::wire::noise;
use reqwest::Method;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::UNIX_EPOCH;

/// What a command prints.
fn moxxie(server: &Server, args: &[&str]) -> String {
    let output = server.command(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Changes one bit. The time of the change is set apart: within one tick of the kernel's clock two
/// changes may look like one.
fn flip(path: &Path) {
    let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 100_000).unwrap();
    file.write_all_at(&[byte[0] ^ 1], 100_000).unwrap();
    file.set_modified(UNIX_EPOCH).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_is_never_sent_and_an_upload_heals_it() {
    const FILE: &str = "/boot/assets/safe/vmlinuz";
    let dir = tempfile::tempdir().unwrap();
    let setup = Setup::new(dir.path());
    let mut server = setup.start().await;
    site::furnish(&server.client).await;
    site::assign(&server.client, 1, "safe", true).await;
    let (upload, bytes) = ("/api/v1/boot/profiles/safe/assets/vmlinuz", noise(1, 200_000));
    let made = server.client.put_bytes(upload, bytes.clone()).await.is(201).value();
    let digest = made["sha256"].as_str().unwrap();
    assert!(server.client.get(FILE).await.is(200).body == bytes);
    flip(&dir.path().join("assets/sha256").join(&digest[..2]).join(digest));

    for start in [false, true] {
        if start {
            assert_eq!(server.stop().await, Some(0));
            server = setup.start().await;
        }
        let client = &server.client;
        for _ in 0..2 {
            let waits = client.get(FILE).await;
            waits.must_wait();
            assert!(waits.text().contains("damaged"), "{}", waits.text());
        }
        // Nor a part of it that is right.
        let part = client.request(Method::GET, FILE).header("range", "bytes=0-9");
        client.send(part).await.must_wait();
        for fine in ["safe/initramfs.xz", "wipe/vmlinuz"] {
            assert_eq!(client.get(&format!("/boot/assets/{fine}")).await.is(200).body, KERNEL);
        }
        client.get("/readyz").await.is(200);
        let message = damaged(&server).await[0]["message"].as_str().unwrap().to_owned();
        assert!(
            message.starts_with("safe/vmlinuz: the stored bytes are damaged; it is kept in "),
            "{message}"
        );
        assert!(
            message.ends_with("upload it again: moxxie asset upload safe FILE --as vmlinuz"),
            "{message}"
        );
        let list = moxxie(&server, &["asset", "list", "safe"]);
        let shown = |file: &str| list.lines().find(|line| line.contains(file)).unwrap().to_owned();
        assert!(shown("vmlinuz").contains("damaged") && shown("initramfs.xz").contains("stored"), "{list}");
        let why = moxxie(&server, &["explain", "--mac", &mac(1)]);
        assert!(why.contains("warning: vmlinuz is damaged: upload it again"), "{why}");
        assert!(why.contains("vmlinuz: DAMAGED"), "{why}");
    }

    server.client.put_bytes(upload, bytes.clone()).await.is(201);
    assert!(server.client.get(FILE).await.is(200).body == bytes);
    let list = moxxie(&server, &["asset", "list", "safe"]);
    assert!(!list.contains("damaged"), "{list}");
    let why = moxxie(&server, &["explain", "--mac", &mac(1)]);
    assert!(!why.contains("damaged") && why.contains("vmlinuz: there"), "{why}");
    assert!(!dir.path().join("assets/quarantine").join(digest).exists());
}
