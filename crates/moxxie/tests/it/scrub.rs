//! Care for stored files: what is damaged is found, told once, never sent, and healed.

use crate::firmware;
use crate::util::Site;
use crate::util::recipes::{PROFILES, memtest};
use lab::faults::Faults;
use lab::s3::{BUCKET, TestS3};
use moxxie::scrub;
use moxxie_store::assets::S3Env;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

fn place(site: &Site, digest: &str) -> PathBuf {
    site.app.config().assets_dir.join("sha256").join(&digest[..2]).join(digest)
}

/// Changes a bit. With the time of the change as it was, this is what a disk does by itself.
fn flip(path: &Path, quietly: bool) {
    let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
    let before = file.metadata().unwrap().modified().unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 3).unwrap();
    file.write_all_at(&[byte[0] ^ 1], 3).unwrap();
    file.set_modified(if quietly { before } else { UNIX_EPOCH }).unwrap();
}

/// Events of damaged files, once there are so many.
async fn damaged(site: &Site, count: usize) -> Vec<serde_json::Value> {
    for _ in 0..2000 {
        let events = site.events("&kind=asset.damaged").await;
        if events.len() >= count {
            assert_eq!(events.len(), count, "{events:?}");
            return events;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("nobody was told");
}

#[tokio::test]
async fn a_damaged_file_is_told_once_with_the_next_step() {
    let site = Site::start().await;
    tokio::spawn(scrub::report(site.app.clone(), site.app.assets.alarms()));
    site.profile(memtest("a")).await;
    site.profile(memtest("b")).await;
    let digest = site.asset("a", "k", b"kernel").await["sha256"].as_str().unwrap().to_owned();
    site.asset("b", "k2", b"kernel").await;
    flip(&place(&site, &digest), false);
    for _ in 0..3 {
        let answer = site.boot("/boot/assets/a/k").await.is(503);
        assert!(answer.text().contains("damaged"), "{}", answer.text());
        site.boot("/boot/assets/b/k2").await.is(503);
    }
    site.boot("/boot/assets/a/memtest.bin").await.is(200);
    let event = &damaged(&site, 1).await[0];
    let message = event["message"].as_str().unwrap();
    assert!(message.starts_with("a/k, b/k2: "), "{message}");
    assert!(message.ends_with("upload it again: moxxie asset upload a FILE --as k"), "{message}");
    assert_eq!(event["boot_profile"], serde_json::Value::Null, "two profiles have it");
    let listed = site.get(&format!("{PROFILES}/a/assets")).await.json();
    assert_eq!(listed["items"][0]["file"], "k");

    site.asset("a", "k", b"kernel").await;
    assert_eq!(site.boot("/boot/assets/b/k2").await.is(200).body, b"kernel");
}

#[tokio::test]
async fn the_scrub_reads_every_file_and_finds_rot() {
    let site = Site::start().await;
    tokio::spawn(scrub::report(site.app.clone(), site.app.assets.alarms()));
    site.profile(memtest("a")).await;
    let digest = site.asset("a", "k", b"kernel").await["sha256"].as_str().unwrap().to_owned();
    flip(&place(&site, &digest), true);
    // A millisecond stands for any time, and every file is due again at once.
    let wait: scrub::Wait = Arc::new(|_| Box::pin(tokio::time::sleep(Duration::from_millis(1))));
    tokio::spawn(scrub::Scrub { round: Duration::ZERO, wait }.run(site.app.clone()));
    let event = &damaged(&site, 1).await[0];
    assert_eq!(event["boot_profile"], "a");
    site.boot("/boot/assets/a/k").await.is(503);
    site.boot("/boot/assets/a/memtest.bin").await.is(200);
    let metrics = site.boot("/metrics").await.is(200).text();
    assert!(metrics.contains("moxxie_assets_scrubbed_bytes_total "), "{metrics}");
    assert!(metrics.contains("moxxie_assets_damaged_total "), "{metrics}");
}

#[tokio::test]
async fn loaders_are_cared_for_too() {
    let site = Site::start().await;
    tokio::spawn(scrub::report(site.app.clone(), site.app.assets.alarms()));
    let bytes = firmware::pe(0x8664);
    let digest = firmware::put(&site, "ipxe.efi", &bytes).await["sha256"].as_str().unwrap().to_owned();
    flip(&place(&site, &digest), true);
    let wait: scrub::Wait = Arc::new(|_| Box::pin(tokio::time::sleep(Duration::from_millis(1))));
    tokio::spawn(scrub::Scrub { round: Duration::ZERO, wait }.run(site.app.clone()));
    let event = &damaged(&site, 1).await[0];
    let message = event["message"].as_str().unwrap();
    assert!(message.starts_with("firmware/ipxe.efi: the stored bytes are damaged"), "{message}");
    assert!(message.ends_with("; upload it again: moxxie firmware import"), "{message}");
    assert_eq!(event["boot_profile"], serde_json::Value::Null);
    site.boot("/boot/firmware/ipxe.efi").await.is(503);
    firmware::put(&site, "ipxe.efi", &bytes).await;
    assert_eq!(site.boot("/boot/firmware/ipxe.efi").await.is(200).body, bytes);
}

/// F39: what can only be read serves machines, and stays in the load balancer.
#[tokio::test]
async fn readiness_is_about_reading() {
    let site = Site::start().await;
    let tmp = site.app.config().assets_dir.join("tmp");
    std::fs::remove_dir_all(&tmp).unwrap();
    std::fs::write(&tmp, b"in the way").unwrap();
    site.boot("/readyz").await.is(200);
    assert!(scrub::check(&site.app).await.unwrap().is_err());
    let metrics = site.boot("/metrics").await.is(200).text();
    assert!(metrics.contains("moxxie_assets_writable "), "{metrics}");
    std::fs::remove_dir_all(site.app.config().assets_dir.join("sha256")).unwrap();
    assert!(site.boot("/readyz").await.is(503).text().starts_with("assets: "));
}

#[tokio::test]
async fn files_may_be_on_s3() {
    let server = TestS3::start().await;
    let env = S3Env(server.env());
    let toml = format!("assets_url = \"s3://{BUCKET}/p\"");
    let site = Site::with_env(&toml, env).await;
    site.boot("/readyz").await.is(200);
    site.profile(memtest("a")).await;
    let digest = site.asset("a", "k", b"kernel").await["sha256"].as_str().unwrap().to_owned();
    assert!(server.keys().contains(&format!("p/sha256/{}/{digest}", &digest[..2])));
    assert_eq!(site.boot("/boot/assets/a/k").await.is(200).body, b"kernel");
    server.set(Faults { down: true, ..Faults::default() });
    assert_eq!(site.boot("/boot/assets/a/k").await.is(200).body, b"kernel", "it has a copy");
    site.call("PUT", &format!("{PROFILES}/a/assets/k2")).body("new").send().await.problem(503);
    server.heal();
    site.delete(&format!("{PROFILES}/a/assets/k")).await.is(204);
    assert!(!server.keys().iter().any(|key| key.ends_with(&digest)));
}
