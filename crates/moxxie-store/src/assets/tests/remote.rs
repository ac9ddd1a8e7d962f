//! S3, read through the cache, while everything goes well.

use super::*;
use lab::faults::Faults;
use lab::s3::{BUCKET, KEY_ID, SECRET, TestS3};
use std::sync::atomic::{AtomicBool, Ordering};

/// A server, and a store that knows it.
pub struct Bucket {
    pub server: TestS3,
    pub dir: tempfile::TempDir,
    pub assets: Assets,
}

/// Limits that tests can wait for.
pub fn times() -> Times {
    let ms = Duration::from_millis;
    Times {
        first_byte: ms(3000),
        silence: ms(3000),
        look: ms(3000),
        part: ms(10_000),
        resume: ms(1),
        refuse: ms(60_000),
        evict: ms(5),
        ..Times::default()
    }
}

impl Bucket {
    pub async fn new() -> Bucket {
        Bucket::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut AssetsConfig)) -> Bucket {
        let server = TestS3::start().await;
        let dir = tempfile::tempdir().unwrap();
        let assets = Assets::open(config(&server, dir.path(), change)).await.unwrap();
        Bucket { server, dir, assets }
    }

    /// Another replica, which has nothing in its cache yet.
    pub async fn replica(&self, change: impl FnOnce(&mut AssetsConfig)) -> (tempfile::TempDir, Assets) {
        let dir = tempfile::tempdir().unwrap();
        let assets = Assets::open(config(&self.server, dir.path(), change)).await.unwrap();
        (dir, assets)
    }

    pub fn object(&self, digest: &Digest) -> PathBuf {
        self.server.object(&key(digest))
    }
}

pub fn key(digest: &Digest) -> String {
    let name = digest.to_string();
    format!("some/prefix/sha256/{}/{name}", &name[..2])
}

pub fn config(server: &TestS3, dir: &Path, change: impl FnOnce(&mut AssetsConfig)) -> AssetsConfig {
    let mut config = AssetsConfig {
        place: Place::parse(&format!("s3://{BUCKET}/some/prefix")).unwrap(),
        env: S3Env(server.env()),
        times: times(),
        ..dir.into()
    };
    change(&mut config);
    config
}

fn cached_bytes(dir: &tempfile::TempDir) -> u64 {
    files(&dir.path().join("sha256")).iter().map(|file| file.metadata().unwrap().len()).sum()
}

/// Waits until something is so, which it is soon.
pub async fn until(mut so: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it never came to be");
}

#[tokio::test]
async fn what_one_replica_stores_the_other_reads() {
    let bucket = Bucket::new().await;
    let bytes = noise(1, 300_000);
    let digest = put(&bucket.assets, &bytes).await;
    assert_eq!(bucket.server.keys(), [key(&digest)]);
    assert_eq!(fetch(&bucket.assets, &digest, 300_000).await.unwrap(), bytes);
    assert_eq!(bucket.server.count("GET"), 0, "it kept a copy");

    let (dir, other) = bucket.replica(|_| {}).await;
    assert_eq!(other.condition(&digest, 300_000).await.unwrap(), Condition::Stored);
    assert_eq!(other.condition(&digest, 300_001).await.unwrap(), Condition::Damaged);
    assert!(fetch(&other, &digest, 300_000).await.unwrap() == bytes);
    assert!(fetch(&other, &digest, 300_000).await.unwrap() == bytes);
    assert_eq!((bucket.server.count("GET"), bucket.server.sent()), (1, 300_000));
    assert_eq!(cached_bytes(&dir), 300_000);
    // After a restart the copy is verified, not fetched.
    let restarted = Assets::open(config(&bucket.server, dir.path(), |_| {})).await.unwrap();
    assert!(fetch(&restarted, &digest, 300_000).await.unwrap() == bytes);
    assert_eq!(bucket.server.count("GET"), 1);

    for (len, assets) in [(0, &other), (1, &other), (2, &bucket.assets)] {
        let bytes = noise(2, len);
        let digest = put(assets, &bytes).await;
        for reader in [&bucket.assets, &other] {
            assert_eq!(fetch(reader, &digest, len).await.unwrap(), bytes);
        }
    }
    let gone = Digest([3; 32]);
    assert!(matches!(other.read(&gone, 5).await, Err(AssetError::Missing(_))));
    assert_eq!(other.condition(&gone, 5).await.unwrap(), Condition::Missing);

    other.remove(&digest).await.unwrap();
    other.remove(&digest).await.unwrap();
    assert!(!bucket.server.keys().contains(&key(&digest)));
    assert_eq!(other.condition(&digest, 300_000).await.unwrap(), Condition::Missing);
    assert!(matches!(other.read(&digest, 300_000).await, Err(AssetError::Missing(_))));
    assert_eq!(files(&dir.path().join("tmp")), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn large_files_go_in_parts_and_failed_ones_leave_none() {
    // S3 takes no smaller ones.
    let bucket = Bucket::with(|config| config.times.part_bytes = 5 * 1024 * 1024).await;
    let bytes = noise(3, 10 * 1024 * 1024 + 1);
    let digest = put(&bucket.assets, &bytes).await;
    assert_eq!(bucket.server.count("PUT"), 3);
    let (_dir, other) = bucket.replica(|_| {}).await;
    assert!(fetch(&other, &digest, bytes.len()).await.unwrap() == bytes);

    let bytes = noise(4, 10 * 1024 * 1024 + 1);
    let ready = sealed(&bucket.assets, &bytes).await;
    bucket.server.set(Faults { delay: Some(Duration::from_millis(100)), ..Faults::default() });
    let assets = bucket.assets.clone();
    let storing = tokio::spawn(async move { assets.publish(ready).await });
    let server = &bucket.server;
    until(|| server.count("PUT") >= 4).await;
    storing.abort();
    assert!(storing.await.is_err());
    bucket.server.heal();
    // The parts are given back, and nothing is visible.
    until(|| server.count("DELETE") == 1).await;
    assert_eq!(bucket.server.keys(), [key(&digest)]);
    assert_eq!(files(&bucket.dir.path().join("tmp")), Vec::<PathBuf>::new());
    assert!(fetch(&other, &put(&bucket.assets, &bytes).await, bytes.len()).await.unwrap() == bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_machines_cost_one_upstream_read() {
    let bucket = Bucket::new().await;
    let bytes = noise(5, 4_000_000);
    let digest = put(&bucket.assets, &bytes).await;
    let (_dir, cold) = bucket.replica(|_| {}).await;
    bucket.server.set(Faults { bytes_per_second: Some(20_000_000), ..Faults::default() });
    let behind = Arc::new(AtomicBool::new(false));
    let readers = (0..50).map(|_| {
        let (cold, behind) = (cold.clone(), behind.clone());
        tokio::spawn(async move {
            let readable = cold.read(&digest, 4_000_000).await.unwrap();
            assert_eq!(readable.file.metadata().unwrap().len(), 4_000_000, "full length at once");
            behind.fetch_or(readable.arriving.is_some(), Ordering::SeqCst);
            bytes_of(readable).await.unwrap()
        })
    });
    for read in futures_util::future::join_all(readers).await {
        assert!(read.unwrap() == bytes);
    }
    assert!(behind.load(Ordering::SeqCst), "they read what arrived so far");
    assert_eq!((bucket.server.count("GET"), bucket.server.sent()), (1, 4_000_000));
}

#[tokio::test]
async fn a_fetch_goes_on_when_the_machine_goes_away() {
    let bucket = Bucket::new().await;
    let bytes = noise(6, 2_000_000);
    let digest = put(&bucket.assets, &bytes).await;
    let (_dir, cold) = bucket.replica(|_| {}).await;
    bucket.server.set(Faults { bytes_per_second: Some(10_000_000), ..Faults::default() });
    drop(cold.read(&digest, 2_000_000).await.unwrap());
    assert!(fetch(&cold, &digest, 2_000_000).await.unwrap() == bytes);
    assert_eq!(bucket.server.count("GET"), 1);
}

#[tokio::test]
async fn the_cache_stays_within_its_budget() {
    let bucket = Bucket::new().await;
    let mut digests = Vec::new();
    for seed in 0..6 {
        digests.push(put(&bucket.assets, &noise(100 + seed, 100_000)).await);
    }
    let (dir, cold) = bucket.replica(|config| config.cache_bytes = 350_000).await;
    for digest in &digests[..3] {
        fetch(&cold, digest, 100_000).await.unwrap();
    }
    // The first is used again, the second is the oldest then.
    fetch(&cold, &digests[0], 100_000).await.unwrap();
    fetch(&cold, &digests[3], 100_000).await.unwrap();
    until(|| cached_bytes(&dir) <= 350_000).await;
    let gets = bucket.server.count("GET");
    fetch(&cold, &digests[0], 100_000).await.unwrap();
    assert_eq!(bucket.server.count("GET"), gets);
    fetch(&cold, &digests[1], 100_000).await.unwrap();
    assert_eq!(bucket.server.count("GET"), gets + 1);

    // What is being read stays, and what does not fit beside it has to wait.
    let mut held = Vec::new();
    for digest in &digests[..3] {
        held.push(cold.read(digest, 100_000).await.unwrap());
    }
    until(|| files(&dir.path().join("tmp")).is_empty()).await;
    assert!(matches!(cold.read(&digests[3], 100_000).await, Err(AssetError::Busy(_))));
    assert!(cached_bytes(&dir) <= 350_000);
    for readable in held {
        assert_eq!(bytes_of(readable).await.unwrap().len(), 100_000);
    }
    fetch(&cold, &digests[3], 100_000).await.unwrap();
    until(|| cached_bytes(&dir) <= 350_000).await;

    // Also what lies there at a start, and what is stored through this replica.
    let smaller =
        Assets::open(config(&bucket.server, dir.path(), |c| c.cache_bytes = 150_000)).await.unwrap();
    assert!(cached_bytes(&dir) <= 150_000);
    put(&smaller, &noise(200, 120_000)).await;
    until(|| cached_bytes(&dir) <= 150_000).await;
}

#[tokio::test]
async fn a_file_larger_than_the_cache_is_served_through_it() {
    let bucket = Bucket::new().await;
    let bytes = noise(7, 1_500_000);
    let digest = put(&bucket.assets, &bytes).await;
    let small = put(&bucket.assets, b"small").await;
    let (dir, cold) = bucket.replica(|config| config.cache_bytes = 1_000).await;
    let readable = cold.read(&digest, 1_500_000).await.unwrap();
    assert!(fetch(&cold, &digest, 1_500_000).await.unwrap() == bytes);
    assert!(bytes_of(readable).await.unwrap() == bytes);
    assert_eq!(fetch(&cold, &small, 5).await.unwrap(), b"small");
    until(|| cached_bytes(&dir) <= 1_000).await;
    assert_eq!(files(&dir.path().join("tmp")), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn machines_may_be_sent_to_the_store_itself() {
    let bucket = Bucket::with(|config| config.redirect = true).await;
    let digest = put(&bucket.assets, b"kernel").await;
    let url = bucket.assets.redirect(&digest, Duration::from_secs(300)).await.unwrap().unwrap();
    assert!(
        url.starts_with(&format!("http://{}/{BUCKET}/{}?", bucket.server.address, key(&digest))),
        "{url}"
    );
    assert!(url.contains("X-Amz-Expires=300") && url.contains("X-Amz-Signature="), "{url}");
    assert!(!url.contains(SECRET));
    let (_dir, other) = bucket.replica(|_| {}).await;
    assert_eq!(other.redirect(&digest, Duration::from_secs(300)).await.unwrap(), None);
    let dir = tempfile::tempdir().unwrap();
    let folder = Assets::open(dir.path()).await.unwrap();
    assert_eq!(folder.redirect(&digest, Duration::from_secs(300)).await.unwrap(), None);
}

#[tokio::test]
async fn wrong_keys_and_buckets_are_named_and_secrets_are_not() {
    let bucket = Bucket::new().await;
    bucket.assets.check().await.unwrap().writable.unwrap();
    let (_dir, wrong) = bucket
        .replica(|config| {
            config.env.0.insert("AWS_SECRET_ACCESS_KEY".into(), "canary-secret".into());
        })
        .await;
    let error = wrong.check().await.unwrap_err().to_string();
    assert!(error.contains("AWS_"), "{error}");
    let read = wrong.read(&Digest([1; 32]), 5).await.unwrap_err();
    assert!(matches!(read, AssetError::Away(_)), "{read}");
    let (_dir, nowhere) = bucket.replica(|config| config.place = Place::parse("s3://nowhere").unwrap()).await;
    let error = nowhere.check().await.unwrap_err().to_string();
    assert!(error.contains("no such bucket"), "{error}");
    for text in [format!("{wrong:?}"), format!("{read:?} {read}"), format!("{:?}", bucket.assets)] {
        for secret in ["canary-secret", SECRET, KEY_ID] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}
