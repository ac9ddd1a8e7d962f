//! F9 and F39: a disk that is full, and one that can only be read.

use crate::client::Client;
use crate::remote::on_s3;
use crate::server::{Server, Setup, until};
use crate::site::{self, KERNEL, arm, assign, mac, state};
use crate::wire::{Download, noise};
use lab::s3::TestS3;
use reqwest::Method;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A small file system that root mounts for one test; `None` where that is not allowed.
struct Mount(PathBuf);

impl Mount {
    fn at(dir: &Path, size: &str) -> Option<Mount> {
        std::fs::create_dir_all(dir).unwrap();
        let options = format!("size={size}");
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(dir).stderr(Stdio::null());
        if command.status().is_ok_and(|status| status.success()) {
            return Some(Mount(dir.to_owned()));
        }
        #[allow(clippy::print_stderr)]
        {
            eprintln!("not run: file systems cannot be mounted here");
        }
        None
    }

    /// Whether it worked: it cannot be made read-only while somebody writes.
    fn remount(&self, options: &str) -> bool {
        let mut command = Command::new("mount");
        command.args(["-o", &format!("remount,{options}")]).arg(&self.0).stderr(Stdio::null());
        command.status().unwrap().success()
    }

    /// Takes what is left.
    fn fill(&self) -> PathBuf {
        let filler = self.0.join("filler");
        let mut file = std::fs::File::create(&filler).unwrap();
        while std::io::Write::write_all(&mut file, &[7; 4096]).is_ok() {}
        filler
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.0).status().ok();
    }
}

fn url(dir: &Path) -> String {
    format!("file://{}", dir.display())
}

fn left_behind(assets: &Path) -> usize {
    std::fs::read_dir(assets.join("tmp")).unwrap().count()
}

async fn metric(client: &Client, name: &str) -> String {
    let text = client.get("/metrics").await.is(200).text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).to_owned()
}

/// A server whose files, and nothing else, are on this small disk.
async fn on(mount: &Mount, dir: &Path) -> Server {
    let server = Setup::new(dir).arg("--assets-url").arg(url(&mount.0)).start().await;
    site::furnish(&server.client).await;
    assign(&server.client, 1, "safe", false).await;
    server
}

/// F9: the assets' disk.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_files_and_goes_on_serving() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mount) = Mount::at(&dir.path().join("assets"), "14m") else { return };
    let data = dir.path().join("data");
    let mut server = on(&mount, &data).await;
    let client = server.client.clone();
    let (old, new) = (noise(1, 9 << 20), noise(2, 6 << 20));
    let shelf = "/api/v1/boot/profiles/safe/assets";
    client.put_bytes(&format!("{shelf}/old.img"), old.clone()).await.is(201);
    let mut running = Download::begin(&client.base, "/boot/assets/safe/old.img", "").await;

    let refused = client.put_bytes(&format!("{shelf}/new.img"), new.clone()).await.is(507);
    assert_eq!(refused.value()["detail"], "the assets' disk is full: nothing was stored");
    assert_eq!(left_behind(&mount.0), 0);
    client.get("/boot/assets/safe/new.img").await.is(404);
    // In parts, which lie on the other disk until they are whole.
    let made = client.post("/api/v1/uploads", &json!({"size": new.len()})).await.is(201).value();
    let upload = format!("/api/v1/uploads/{}", made["id"].as_str().unwrap());
    let part = client.request(Method::PATCH, &upload).header("upload-offset", "0").body(new.clone());
    client.send(part).await.is(200);
    let take = json!({"upload": made["id"], "file": "new.img"});
    for _ in 0..2 {
        client.post(shelf, &take).await.is(507);
        assert_eq!(left_behind(&mount.0), 0);
        assert_eq!(client.get(&upload).await.is(200).value()["offset"], new.len());
    }
    // Nobody else notices.
    client.menu(&mac(1)).await.is_calm();
    client.get("/readyz").await.is(200);
    assert_eq!(client.get("/boot/assets/safe/vmlinuz").await.is(200).body, KERNEL);
    running.read(1 << 20).await;
    assert!(running.finish().await == old);

    assert!(mount.remount("size=32m"));
    client.post(shelf, &take).await.is(201);
    client.get(&upload).await.is(404);
    assert!(client.get("/boot/assets/safe/new.img").await.is(200).body == new);
    assert!(server.lives());
    assert_eq!(server.stop().await, Some(0));
}

/// F9: the disk of copies of what is on S3, smaller than the cache may grow.
#[tokio::test(flavor = "multi_thread")]
async fn on_a_small_disk_old_copies_give_way() {
    let (dir, s3) = (tempfile::tempdir().unwrap(), TestS3::start().await);
    let setup = on_s3(Setup::new(dir.path()), &s3);
    let mut server = setup.start().await;
    site::furnish(&server.client).await;
    let files: Vec<Vec<u8>> = (0..5).map(|n| noise(n, 1_500_000)).collect();
    for (n, bytes) in files.iter().enumerate() {
        let path = format!("/api/v1/boot/profiles/safe/assets/{n}.img");
        server.client.put_bytes(&path, bytes.clone()).await.is(201);
    }
    assert_eq!(server.stop().await, Some(0));
    let cache = dir.path().join("asset-cache");
    std::fs::remove_dir_all(&cache).unwrap();
    let Some(mount) = Mount::at(&cache, "4m") else { return };
    let server = setup.start().await;
    for _ in 0..2 {
        for (n, bytes) in files.iter().enumerate() {
            assert!(server.client.get(&format!("/boot/assets/safe/{n}.img")).await.is(200).body == *bytes);
        }
    }
    assert_eq!(left_behind(&mount.0), 0);
}

/// F9: the disk of unfinished uploads.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_keeps_the_part_that_fitted() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mount) = Mount::at(&dir.path().join("uploads"), "2m") else { return };
    let server = Setup::new(dir.path()).start().await;
    let client = &server.client;
    site::furnish(client).await;
    let bytes = noise(3, 3 << 20);
    let made = client.post("/api/v1/uploads", &json!({"size": bytes.len()})).await.is(201).value();
    let upload = format!("/api/v1/uploads/{}", made["id"].as_str().unwrap());
    let send = async |from: usize| {
        let request = client.request(Method::PATCH, &upload).header("upload-offset", from.to_string());
        client.send(request.body(bytes[from..].to_vec())).await
    };
    let refused = send(0).await.is(507).value();
    assert!(refused["detail"].as_str().unwrap().contains("what has come is kept"), "{refused}");
    let kept = client.get(&upload).await.is(200).value()["offset"].as_u64().unwrap() as usize;
    assert!(0 < kept && kept < bytes.len(), "{kept}");
    send(kept).await.is(507);
    client.post("/api/v1/uploads", &json!({"size": 1})).await.is(507);
    client.menu(&mac(1)).await.is_calm();
    assert_eq!(client.get("/boot/assets/safe/vmlinuz").await.is(200).body, KERNEL);

    assert!(mount.remount("size=8m"));
    let kept = client.get(&upload).await.is(200).value()["offset"].as_u64().unwrap() as usize;
    send(kept).await.is(200);
    let take = json!({"upload": made["id"], "file": "big.img"});
    client.post("/api/v1/boot/profiles/safe/assets", &take).await.is(201);
    assert!(client.get("/boot/assets/safe/big.img").await.is(200).body == bytes);
}

/// F9: the database's disk. What must be on record before it is done is not done.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_under_the_database_hands_out_no_config() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mount) = Mount::at(&dir.path().join("db"), "16m") else { return };
    let database = format!("sqlite://{}", mount.0.join("moxxie.db").display());
    let mut server = Setup::new(dir.path()).env("MOXXIE_DATABASE_URL", &database).start().await;
    let client = server.client.clone();
    site::furnish(&client).await;
    assign(&client, 1, "wipe", false).await;
    assign(&client, 2, "wipe", true).await;
    assign(&client, 3, "wipe", true).await;
    let config = client.menu(&mac(2)).await.config_path();
    let unused = json!(["booting", 1]);
    let standing = async |n| {
        let shown = state(&client, n).await;
        json!([shown["state"], shown["attempts_left"]])
    };
    assert_eq!(standing(2).await, unused);

    let filler = mount.fill();
    for _ in 0..3 {
        client.get(&config).await.must_wait();
        client.menu(&mac(3)).await.must_wait();
        client.menu(&mac(1)).await.is_calm();
        client.menu(&mac(9)).await.is_calm();
    }
    assert_eq!(standing(2).await, unused, "the token was not used up");
    let refused = client.act(&format!("/api/v1/boot/assignments/{}/arm", mac(1))).await.is(507);
    assert!(refused.text().contains("the database's disk is full"), "{}", refused.text());
    assert_eq!(state(&client, 1).await["state"], "local");
    let refused = client.put_bytes("/api/v1/boot/profiles/safe/assets/new", "new").await.is(507);
    assert!(refused.text().contains("the database's disk is full"), "{}", refused.text());
    client.get("/boot/assets/safe/new").await.is(404);
    assert_eq!(client.get("/boot/assets/wipe/vmlinuz").await.is(200).body, KERNEL);
    client.get("/livez").await.is(200);

    std::fs::remove_file(filler).unwrap();
    client.get(&config).await.is(200);
    client.menu(&mac(2)).await.is_calm();
    assert!(client.menu(&mac(3)).await.boots());
    arm(&client, 1).await;
    client.put_bytes("/api/v1/boot/profiles/safe/assets/new", "new").await.is(201);
    let audit = site::all(&client, "/api/v1/audit").await;
    assert_eq!(audit.iter().filter(|record| record["action"] == "config.deliver").count(), 1);
    client.get("/readyz").await.is(200);
    assert!(server.lives());
    assert_eq!(server.stop().await, Some(0));
}

/// F39.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_folder_of_files_is_served() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mount) = Mount::at(&dir.path().join("assets"), "16m") else { return };
    let data = dir.path().join("data");
    let mut server = on(&mount, &data).await;
    let shelf = "/api/v1/boot/profiles/safe/assets";
    let bytes = noise(4, 9 << 20);
    server.client.put_bytes(&format!("{shelf}/old.img"), bytes.clone()).await.is(201);
    server.client.get("/readyz").await.is(200);
    assert_eq!(metric(&server.client, "moxxie_assets_writable").await, "1");
    let mut running = Download::begin(&server.client.base, "/boot/assets/safe/old.img", "").await;
    running.read(1 << 20).await;
    until("nobody writes", async || mount.remount("ro").then_some(())).await;

    for restarted in [false, true] {
        if restarted {
            assert_eq!(server.stop().await, Some(0));
            server = Setup::new(&data).arg("--assets-url").arg(url(&mount.0)).start().await;
        }
        let client = &server.client;
        assert!(client.get("/boot/assets/safe/old.img").await.is(200).body == bytes);
        let refused = client.put_bytes(&format!("{shelf}/new.img"), "new").await.is(507);
        assert_eq!(refused.value()["detail"], "the assets' folder is read-only: nothing was stored");
        client.get("/boot/assets/safe/new.img").await.is(404);
        client.get("/readyz").await.is(200);
        assert_eq!(metric(client, "moxxie_assets_writable").await, "0");
        client.menu(&mac(1)).await.is_calm();
        if !restarted {
            running.read(bytes.len()).await;
            assert!(running.got == bytes);
        }
    }
    assert!(mount.remount("rw"));
    server.client.put_bytes(&format!("{shelf}/new.img"), "new").await.is(201);
    server.client.get("/readyz").await.is(200);
    assert_eq!(metric(&server.client, "moxxie_assets_writable").await, "1");
}
