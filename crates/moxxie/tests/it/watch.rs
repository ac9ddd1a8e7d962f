//! The folder whose files are put on shelves.

use crate::util::Site;
use crate::util::recipes::{PROFILES, memtest};
use moxxie::watch::Watcher;
use moxxie_core::time::{Span, Timestamp};
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use tempfile::TempDir;

async fn site() -> (Site, TempDir) {
    let site = Site::with("[limits]\nasset_mib = 1").await;
    site.profile(memtest("m")).await;
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("m")).unwrap();
    (site, dir)
}

fn watcher(site: &Site, dir: &TempDir) -> Watcher {
    Watcher::new(site.app.clone(), dir.path().to_owned())
}

async fn files(site: &Site) -> Vec<String> {
    let listed = site.get(&format!("{PROFILES}/m/assets")).await.json();
    listed["items"].as_array().unwrap().iter().map(|a| a["file"].as_str().unwrap().to_owned()).collect()
}

fn in_tmp(site: &Site) -> usize {
    fs::read_dir(site.app.config().assets_dir.join("tmp")).unwrap().count()
}

#[tokio::test]
async fn a_file_is_taken_once_it_stands_still_and_again_when_it_changes() {
    let (site, dir) = site().await;
    let mut watcher = watcher(&site, &dir);
    assert_eq!(watcher.look().await, 0);
    let kernel = dir.path().join("m/vmlinuz");
    fs::write(&kernel, "half").unwrap();
    assert_eq!(watcher.look().await, 0);
    fs::write(&kernel, "half and half").unwrap();
    assert_eq!(watcher.look().await, 0, "it grew");
    assert_eq!(watcher.look().await, 1);
    assert_eq!(watcher.look().await, 0);
    assert_eq!(site.boot("/boot/assets/m/vmlinuz").await.is(200).body, b"half and half");
    let record = &site.audit().await[0];
    assert_eq!(
        (record["actor"].as_str(), record["action"].as_str()),
        (Some("watch-folder"), Some("asset.put"))
    );
    assert!(record["peer"].is_null());
    // A copy that keeps the length and the time of the one before.
    let time = fs::metadata(&kernel).unwrap().modified().unwrap();
    let copy = dir.path().join("m/vmlinuz.tmp");
    fs::write(&copy, "other bytes..").unwrap();
    fs::File::open(&copy).unwrap().set_modified(time).unwrap();
    fs::rename(&copy, &kernel).unwrap();
    assert_eq!((watcher.look().await, watcher.look().await), (0, 1));
    assert_eq!(site.boot("/boot/assets/m/vmlinuz").await.is(200).body, b"other bytes..");
    // Touched, with the same bytes: read, and nothing more.
    let records = site.audit().await.len();
    fs::File::options().append(true).open(&kernel).unwrap().set_modified(time).unwrap();
    assert_eq!((watcher.look().await, watcher.look().await), (0, 0));
    // Gone from the folder is not gone from the shelf.
    fs::remove_file(&kernel).unwrap();
    assert_eq!((watcher.look().await, watcher.look().await), (0, 0));
    assert_eq!(
        (files(&site).await, site.audit().await.len()),
        (vec!["memtest.bin".into(), "vmlinuz".into()], records)
    );
    assert_eq!(in_tmp(&site), 0);
}

#[tokio::test]
async fn what_is_no_file_for_a_shelf_is_passed_over() {
    let (site, dir) = site().await;
    let at = |name: &str| dir.path().join("m").join(name);
    let secret = site.dir.path().join("moxxie.toml");
    symlink(&secret, at("link")).unwrap();
    fs::create_dir_all(at("folder/below")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
        .unwrap();
    for name in
        [".hidden", "a.part", "a.tmp", "a.crdownload", "a.filepart", "A.PART", "bad name", "x.", "empty"]
    {
        fs::write(at(name), if name == "empty" { "" } else { "x" }).unwrap();
    }
    fs::write(at("large"), vec![0; 1024 * 1024 + 1]).unwrap();
    fs::write(dir.path().join("on-the-top"), "x").unwrap();
    symlink(at(""), dir.path().join("linked")).unwrap();
    for profile in [".git", "Bad", "later"] {
        fs::create_dir(dir.path().join(profile)).unwrap();
        fs::write(dir.path().join(profile).join("k"), "kernel").unwrap();
    }
    let mut watcher = watcher(&site, &dir);
    for _ in 0..3 {
        assert_eq!(watcher.look().await, 0);
    }
    assert_eq!(files(&site).await, ["memtest.bin"]);
    // A profile that is made later gets its file then.
    site.profile(memtest("later")).await;
    assert_eq!(watcher.look().await, 1);
    assert_eq!(site.boot("/boot/assets/later/k").await.is(200).body, b"kernel");
    // A file that was seen and then became a link.
    fs::write(at("k"), "kernel").unwrap();
    assert_eq!(watcher.look().await, 0);
    fs::remove_file(at("k")).unwrap();
    symlink(&secret, at("k")).unwrap();
    assert_eq!((watcher.look().await, watcher.look().await), (0, 0));
    assert_eq!(files(&site).await, ["memtest.bin"]);
    assert_eq!(in_tmp(&site), 0);
    // No folder at all is no reason to stop looking.
    let gone = dir.path().join("gone");
    let mut watcher = Watcher::new(site.app.clone(), gone.clone());
    assert_eq!((watcher.look().await, watcher.look().await), (0, 0));
    fs::create_dir_all(gone.join("m")).unwrap();
    fs::write(gone.join("m/k"), "kernel").unwrap();
    assert_eq!((watcher.look().await, watcher.look().await), (0, 1));
}

#[tokio::test]
async fn after_a_start_only_what_is_new_is_put() {
    let (site, dir) = site().await;
    let changed = |path: &Path| Timestamp(fs::metadata(path).unwrap().ctime() * 1000);
    let (old, new) = (dir.path().join("m/old"), dir.path().join("m/new"));
    fs::write(&old, "old bytes").unwrap();
    // The site's clock stands elsewhere; here the label has to be younger than the file.
    site.push(Span(0.max((changed(&old) - site.app.clock.now()).0)));
    site.push(Span::minutes(1));
    let mut first = watcher(&site, &dir);
    assert_eq!((first.look().await, first.look().await), (0, 1));
    let records = site.audit().await.len();
    // As while the server was stopped.
    fs::write(&new, "new bytes").unwrap();
    let mut second = watcher(&site, &dir);
    assert_eq!((second.look().await, second.look().await), (0, 1));
    assert_eq!(site.audit().await.len(), records + 1);
    // Younger than its label: read again, and put because the bytes differ.
    fs::write(&old, "OLD BYTES").unwrap();
    fs::File::options()
        .append(true)
        .open(&old)
        .unwrap()
        .set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1 << 33))
        .unwrap();
    let mut third = watcher(&site, &dir);
    assert_eq!((third.look().await, third.look().await), (0, 1));
    assert_eq!(site.boot("/boot/assets/m/old").await.is(200).body, b"OLD BYTES");
}

#[tokio::test]
async fn what_fails_is_tried_again() {
    let (site, dir) = site().await;
    fs::write(dir.path().join("m/k"), "kernel").unwrap();
    let mut watcher = watcher(&site, &dir);
    watcher.look().await;
    let (assets, aside) = (&site.app.config().assets_dir, site.dir.path().join("aside"));
    fs::rename(assets, &aside).unwrap();
    for _ in 0..3 {
        assert_eq!(watcher.look().await, 0);
    }
    fs::rename(&aside, assets).unwrap();
    // It rests for some looks after each failure.
    let mut looks = 0;
    while watcher.look().await == 0 {
        looks += 1;
        assert!(looks < 20);
    }
    assert_eq!(site.boot("/boot/assets/m/k").await.is(200).body, b"kernel");
}
