//! A folder on this disk.

use super::*;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;
use std::sync::atomic::Ordering;

struct Shelf {
    dir: tempfile::TempDir,
    assets: Assets,
}

impl Shelf {
    async fn new() -> Shelf {
        let dir = tempfile::tempdir().unwrap();
        let assets = Assets::open(dir.path()).await.unwrap();
        Shelf { dir, assets }
    }

    /// The same folder, opened by a process that has seen none of its files.
    async fn restarted(&self) -> Assets {
        Assets::open(self.dir.path()).await.unwrap()
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.assets.local().path(digest)
    }

    fn left_behind(&self) -> usize {
        std::fs::read_dir(self.dir.path().join("tmp")).unwrap().count()
    }
}

fn hashed(assets: &Assets) -> u64 {
    assets.local().verifier.hashed.load(Ordering::SeqCst)
}

#[tokio::test]
async fn what_goes_in_comes_out_under_its_digest() {
    let shelf = Shelf::new().await;
    let digest = put(&shelf.assets, b"kernel").await;
    assert_eq!(digest, put(&shelf.assets, b"kernel").await, "the same bytes again");
    let readable = shelf.assets.read(&digest, 6).await.unwrap();
    assert_eq!(shelf.assets.condition(&digest, 6).await.unwrap(), Condition::Stored);
    // A download goes on when the file is deleted under it.
    shelf.assets.remove(&digest).await.unwrap();
    assert_eq!(bytes_of(readable).await.unwrap(), b"kernel");
    assert!(matches!(shelf.assets.read(&digest, 6).await, Err(AssetError::Missing(_))));
    assert_eq!(shelf.assets.condition(&digest, 6).await.unwrap(), Condition::Missing);
    shelf.assets.remove(&digest).await.unwrap();
    assert_eq!(shelf.left_behind(), 0);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let digest = put(&shelf.assets, b"").await;
    assert_eq!(fetch(&shelf.assets, &digest, 0).await.unwrap(), b"");
    assert_eq!(mode(&shelf.path(&digest)), 0o600);
    assert_eq!(mode(shelf.path(&digest).parent().unwrap()), 0o700);
    assert_eq!(hashed(&shelf.assets), 0, "what was hashed while it was written is verified");
}

#[tokio::test]
async fn wrong_or_unfinished_uploads_leave_nothing() {
    let shelf = Shelf::new().await;
    let mut writer = shelf.assets.writer().await.unwrap();
    writer.write(b"kernel").await.unwrap();
    let expected = Some(Digest([7; 32]));
    assert!(matches!(writer.seal(expected).await, Err(AssetError::Mismatch { .. })));
    let mut writer = shelf.assets.writer().await.unwrap();
    writer.write(b"half").await.unwrap();
    drop(writer);
    drop(sealed(&shelf.assets, b"never published").await);
    assert_eq!(shelf.left_behind(), 0);
    let tmp = shelf.dir.path().join("tmp");
    std::fs::write(tmp.join("orphan"), b"x").unwrap();
    symlink("/nowhere", tmp.join("link")).unwrap();
    let mut writer = shelf.assets.writer().await.unwrap();
    writer.write(b"under way").await.unwrap();
    assert_eq!(shelf.assets.sweep_tmp().await.unwrap(), 2);
    assert_eq!(shelf.left_behind(), 1);
    let sealed = writer.seal(None).await.unwrap();
    assert_eq!(shelf.assets.sweep_tmp().await.unwrap(), 0);
    shelf.assets.publish(sealed).await.unwrap();
    assert_eq!(shelf.left_behind(), 0);
}

#[tokio::test]
async fn links_pipes_and_folders_are_refused() {
    let shelf = Shelf::new().await;
    let digest = put(&shelf.assets, b"kernel").await;
    let path = shelf.path(&digest);
    let refused = async || matches!(shelf.assets.read(&digest, 6).await, Err(AssetError::NotRegular(_)));
    let secret = shelf.dir.path().join("secret");
    std::fs::write(&secret, b"kernel").unwrap();
    std::fs::remove_file(&path).unwrap();
    symlink(&secret, &path).unwrap();
    assert!(refused().await);
    std::fs::remove_file(&path).unwrap();
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    assert!(refused().await);
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(refused().await);
}

/// F20.
#[tokio::test]
async fn a_flipped_bit_is_found_kept_aside_and_healed() {
    let shelf = Shelf::new().await;
    let (kernel, initrd) = (noise(1, 300_000), noise(2, 2_000_000));
    let (a, b) = (put(&shelf.assets, &kernel).await, put(&shelf.assets, &initrd).await);
    let mut alarms = shelf.assets.alarms();
    let open = shelf.assets.read(&b, 2_000_000).await.unwrap();
    flip(&shelf.path(&b), 1_234_567, 1);
    for _ in 0..2 {
        let damaged = fetch(&shelf.assets, &b, initrd.len()).await;
        assert!(matches!(damaged, Err(AssetError::Damaged(d)) if d == b), "{damaged:?}");
        assert_eq!(shelf.assets.condition(&b, 2_000_000).await.unwrap(), Condition::Damaged);
    }
    assert_eq!(heard(&mut alarms), [b], "once");
    assert_eq!(fetch(&shelf.assets, &a, kernel.len()).await.unwrap(), kernel, "others are fine");
    assert!(!shelf.path(&b).exists());
    let aside = shelf.dir.path().join("quarantine").join(b.to_string());
    assert!(aside.exists());
    // A download that has it open goes on with what it has.
    assert_eq!(bytes_of(open).await.unwrap().len(), initrd.len());

    let restarted = shelf.restarted().await;
    assert_eq!(restarted.condition(&b, 2_000_000).await.unwrap(), Condition::Damaged);
    assert!(matches!(restarted.read(&b, 2_000_000).await, Err(AssetError::Damaged(_))));

    put(&shelf.assets, &initrd).await;
    assert!(!aside.exists());
    assert_eq!(fetch(&shelf.assets, &b, initrd.len()).await.unwrap(), initrd);
    assert_eq!(shelf.assets.condition(&b, 2_000_000).await.unwrap(), Condition::Stored);
    // The next time it is a new finding.
    flip(&shelf.path(&b), 0, 2);
    assert!(fetch(&shelf.assets, &b, initrd.len()).await.is_err());
    assert_eq!(heard(&mut alarms), [b]);
    shelf.assets.remove(&b).await.unwrap();
    assert!(!aside.exists());
    assert_eq!(shelf.assets.condition(&b, 2_000_000).await.unwrap(), Condition::Missing);
}

#[tokio::test]
async fn a_file_that_is_too_short_or_too_long_is_damaged() {
    let shelf = Shelf::new().await;
    for (seed, len) in [(1, 999_999), (2, 1_000_001)] {
        let bytes = noise(seed, 1_000_000);
        let digest = put(&shelf.assets, &bytes).await;
        File::options().write(true).open(shelf.path(&digest)).unwrap().set_len(len).unwrap();
        assert_eq!(shelf.assets.condition(&digest, 1_000_000).await.unwrap(), Condition::Damaged);
        assert!(matches!(shelf.assets.read(&digest, 1_000_000).await, Err(AssetError::Damaged(_))));
        assert!(!shelf.path(&digest).exists());
    }
    // A label with a wrong length must not cost the bytes.
    let digest = put(&shelf.assets, b"kernel").await;
    assert!(matches!(shelf.assets.read(&digest, 7).await, Err(AssetError::Damaged(_))));
    assert_eq!(fetch(&shelf.assets, &digest, 6).await.unwrap(), b"kernel");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_readers_wait_for_one_hash() {
    let shelf = Shelf::new().await;
    let bytes = noise(3, 3_000_000);
    let digest = put(&shelf.assets, &bytes).await;
    let assets = shelf.restarted().await;
    let readers = (0..50).map(|_| {
        let assets = assets.clone();
        tokio::spawn(async move { fetch(&assets, &digest, 3_000_000).await.unwrap() })
    });
    for read in futures_util::future::join_all(readers).await {
        assert!(read.unwrap() == bytes);
    }
    assert_eq!(hashed(&assets), 1);
    // Another file with the same bytes is another file.
    std::fs::write(shelf.dir.path().join("copy"), &bytes).unwrap();
    std::fs::rename(shelf.dir.path().join("copy"), shelf.path(&digest)).unwrap();
    fetch(&assets, &digest, 3_000_000).await.unwrap();
    assert_eq!(hashed(&assets), 2);
}

#[tokio::test]
async fn who_waits_too_long_is_told_to_come_back() {
    let shelf = Shelf::new().await;
    let bytes = noise(4, 3_000_000);
    let digest = put(&shelf.assets, &bytes).await;
    let times = Times { verify: Duration::ZERO, ..Times::default() };
    let assets = Assets::open(AssetsConfig { times, ..shelf.dir.path().into() }).await.unwrap();
    assert!(matches!(assets.read(&digest, 3_000_000).await, Err(AssetError::Busy(_))));
    // The verification went on.
    loop {
        match fetch(&assets, &digest, 3_000_000).await {
            Ok(read) => break assert!(read == bytes),
            Err(AssetError::Busy(_)) => tokio::time::sleep(Duration::from_millis(5)).await,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(hashed(&assets), 1);
}

/// F21.
#[tokio::test]
async fn a_download_keeps_the_bytes_it_began_with() {
    let shelf = Shelf::new().await;
    let bytes = noise(5, 500_000);
    let digest = put(&shelf.assets, &bytes).await;
    let before = shelf.assets.read(&digest, 500_000).await.unwrap();
    // Damaged, found, healed, deleted: all while it runs.
    put(&shelf.assets, &bytes).await;
    flip(&shelf.path(&digest), 1, 1);
    assert!(shelf.assets.read(&digest, 500_000).await.is_err());
    put(&shelf.assets, &bytes).await;
    shelf.assets.remove(&digest).await.unwrap();
    assert!(bytes_of(before).await.unwrap() == bytes);
}

#[tokio::test]
async fn the_scrub_finds_what_the_disk_lost_by_itself() {
    let shelf = Shelf::new().await;
    let bytes = noise(6, 2_500_000);
    let digest = put(&shelf.assets, &bytes).await;
    let mut alarms = shelf.assets.alarms();
    let paced = Arc::new(Mutex::new(Vec::new()));
    let told = paced.clone();
    let pace: Box<Pace> = Box::new(move |n| {
        told.lock().unwrap().push(n);
        async {}.boxed()
    });
    let before = shelf.assets.verified_at(&digest).unwrap();
    assert_eq!(shelf.assets.scrub(&digest, 2_500_000, &*pace).await.unwrap(), Condition::Stored);
    assert_eq!(paced.lock().unwrap().iter().sum::<u64>(), 2_500_000);
    assert!(shelf.assets.verified_at(&digest).unwrap() > before);
    rot(&shelf.path(&digest), 2_400_000);
    assert_eq!(shelf.assets.scrub(&digest, 2_500_000, &*at_once()).await.unwrap(), Condition::Damaged);
    assert!(matches!(shelf.assets.read(&digest, 2_500_000).await, Err(AssetError::Damaged(_))));
    assert_eq!(shelf.assets.scrub(&digest, 2_500_000, &*at_once()).await.unwrap(), Condition::Damaged);
    assert_eq!(heard(&mut alarms), [digest]);
    let gone = Digest([9; 32]);
    assert_eq!(shelf.assets.scrub(&gone, 1, &*at_once()).await.unwrap(), Condition::Missing);
    assert_eq!(heard(&mut alarms), [gone]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_beside_a_verification_is_never_put_aside() {
    let shelf = Shelf::new().await;
    let bytes = noise(7, 1_000_000);
    let digest = put(&shelf.assets, &bytes).await;
    for round in 0..20 {
        flip(&shelf.path(&digest), 5, round);
        let assets = shelf.assets.clone();
        let reading = tokio::spawn(async move { fetch(&assets, &digest, 1_000_000).await });
        put(&shelf.assets, &bytes).await;
        match reading.await.unwrap() {
            Ok(read) => assert!(read == bytes),
            Err(AssetError::Damaged(_) | AssetError::Busy(_)) => {}
            Err(error) => panic!("{error}"),
        }
        assert!(fetch(&shelf.assets, &digest, 1_000_000).await.unwrap() == bytes, "round {round}");
    }
}

#[tokio::test]
async fn readiness_notices_a_folder_that_went_away() {
    let shelf = Shelf::new().await;
    shelf.assets.check().await.unwrap().writable.unwrap();
    assert_eq!(shelf.left_behind(), 0);
    std::fs::remove_dir_all(shelf.dir.path()).unwrap();
    assert!(matches!(shelf.assets.check().await, Err(AssetError::Io { .. })));
}

/// A file system that root mounts for one test; `None` where that is not allowed.
struct Mount(tempfile::TempDir);

impl Mount {
    fn tmpfs(options: &str) -> Option<Mount> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(dir.path())
            .stderr(std::process::Stdio::null())
            .status();
        match mounted {
            Ok(status) if status.success() => Some(Mount(dir)),
            _ => {
                #[allow(clippy::print_stderr)]
                {
                    eprintln!("not run: file systems cannot be mounted here");
                }
                None
            }
        }
    }

    fn remount(&self, options: &str) {
        let mut command = Command::new("mount");
        assert!(command.args(["-o", options]).arg(self.0.path()).status().unwrap().success());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// F39.
#[tokio::test]
async fn a_read_only_folder_is_read() {
    let Some(mount) = Mount::tmpfs("size=4m") else { return };
    let assets = Assets::open(mount.0.path()).await.unwrap();
    let bytes = noise(8, 100_000);
    let (digest, spoiled) = (put(&assets, &bytes).await, put(&assets, b"spoiled").await);
    flip(&assets.local().path(&spoiled), 0, 1);
    mount.remount("remount,ro");
    // Also for a process that starts now.
    for assets in [assets, Assets::open(mount.0.path()).await.unwrap()] {
        assert!(fetch(&assets, &digest, 100_000).await.unwrap() == bytes);
        assert!(matches!(assets.writer().await, Err(AssetError::ReadOnly(_))));
        assert!(matches!(assets.check().await.unwrap().writable, Err(AssetError::ReadOnly(_))));
        // It cannot be moved aside, and is not handed out all the same.
        for _ in 0..2 {
            assert!(matches!(assets.read(&spoiled, 7).await, Err(AssetError::Damaged(_))));
            assert_eq!(assets.condition(&spoiled, 7).await.unwrap(), Condition::Damaged);
        }
        assert!(hashed(&assets) <= 2);
        assert!(matches!(assets.remove(&digest).await, Err(AssetError::ReadOnly(_))));
    }
    mount.remount("remount,rw");
    let assets = Assets::open(mount.0.path()).await.unwrap();
    assert_eq!(put(&assets, b"spoiled").await, spoiled);
    assert_eq!(fetch(&assets, &spoiled, 7).await.unwrap(), b"spoiled");
}

/// F9.
#[tokio::test]
async fn a_full_disk_refuses_uploads_and_goes_on_reading() {
    let Some(mount) = Mount::tmpfs("size=1m") else { return };
    let assets = Assets::open(mount.0.path()).await.unwrap();
    let digest = put(&assets, &noise(9, 300_000)).await;
    let mut writer = assets.writer().await.unwrap();
    let failed = loop {
        let written = match writer.write(&[7; 100_000]).await {
            Ok(()) => writer.flush().await,
            error => error,
        };
        if let Err(error) = written {
            break error;
        }
    };
    assert!(matches!(failed, AssetError::NoSpace(_)), "{failed}");
    assert!(fetch(&assets, &digest, 300_000).await.is_ok());
    assert!(matches!(assets.check().await.unwrap().writable, Err(AssetError::NoSpace(_))));
    drop(writer);
    assert_eq!(files(&mount.0.path().join("tmp")), Vec::<PathBuf>::new());
    assets.check().await.unwrap().writable.unwrap();
    put(&assets, &noise(10, 300_000)).await;
}
