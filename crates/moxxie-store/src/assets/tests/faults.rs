//! S3 that is down, slow, or wrong.

use super::remote::{Bucket, config, until};
use super::*;
use lab::faults::Faults;

fn away(result: Result<Vec<u8>, AssetError>) {
    assert!(matches!(result, Err(AssetError::Away(_))), "{:?}", result.map(|bytes| bytes.len()));
}

fn damaged(result: Result<Vec<u8>, AssetError>) {
    assert!(matches!(result, Err(AssetError::Damaged(_))), "{:?}", result.map(|bytes| bytes.len()));
}

/// Asks again while the file is busy, as a machine does that is told to wait.
async fn settled(assets: &Assets, digest: &Digest, length: usize) -> Result<Vec<u8>, AssetError> {
    loop {
        match fetch(assets, digest, length).await {
            Err(AssetError::Busy(_)) => tokio::time::sleep(Duration::from_millis(5)).await,
            other => return other,
        }
    }
}

fn nothing_half(dir: &tempfile::TempDir) {
    assert_eq!(files(&dir.path().join("tmp")), Vec::<PathBuf>::new());
    for file in files(&dir.path().join("sha256")) {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        assert_eq!(digest_of(&std::fs::read(&file).unwrap()).to_string(), name);
    }
}

/// F17.
#[tokio::test]
async fn while_s3_is_down_the_cache_serves() {
    let bucket = Bucket::new().await;
    let (warm, cold) = (noise(1, 200_000), noise(2, 200_000));
    let (a, b) = (put(&bucket.assets, &warm).await, put(&bucket.assets, &cold).await);
    let (dir, assets) = bucket.replica(|_| {}).await;
    fetch(&assets, &a, 200_000).await.unwrap();
    let down = Faults { down: true, ..Faults::default() };
    let slow_down = Faults { slow_down: true, ..Faults::default() };
    for fault in [down.clone(), slow_down] {
        bucket.server.set(fault);
        assert!(fetch(&assets, &a, 200_000).await.unwrap() == warm);
        away(fetch(&assets, &b, 200_000).await);
        assert!(matches!(assets.condition(&b, 200_000).await, Err(AssetError::Away(_))));
        assert!(matches!(assets.check().await, Err(AssetError::Away(_))));
        nothing_half(&dir);
    }
    // A process that starts now starts, and serves what it has.
    let restarted = Assets::open(config(&bucket.server, dir.path(), |_| {})).await.unwrap();
    assert!(fetch(&restarted, &a, 200_000).await.unwrap() == warm);
    bucket.server.set(down);
    let lost = sealed(&assets, b"new").await;
    assert!(matches!(assets.publish(lost).await, Err(AssetError::Away(_))));
    nothing_half(&dir);
    bucket.server.heal();
    assert!(fetch(&assets, &b, 200_000).await.unwrap() == cold);
}

/// F18.
#[tokio::test]
async fn silence_is_an_error_before_the_first_byte_and_a_cut_after_it() {
    let bucket = Bucket::new().await;
    let bytes = noise(3, 1_500_000);
    let digest = put(&bucket.assets, &bytes).await;
    let short = |config: &mut AssetsConfig| {
        config.times.first_byte = Duration::from_millis(500);
        config.times.silence = Duration::from_millis(500);
    };
    let (dir, assets) = bucket.replica(short).await;
    bucket.server.set(Faults { delay: Some(Duration::from_secs(600)), ..Faults::default() });
    away(fetch(&assets, &digest, bytes.len()).await);
    bucket.server.set(Faults { stall: Some(0), ..Faults::default() });
    away(fetch(&assets, &digest, bytes.len()).await);
    nothing_half(&dir);

    let short = |config: &mut AssetsConfig| config.times.silence = Duration::from_millis(500);
    let (dir, assets) = bucket.replica(short).await;
    bucket.server.set(Faults { stall: Some(700_000), ..Faults::default() });
    let mut readable = assets.read(&digest, 1_500_000).await.unwrap();
    let arriving = readable.arriving.as_mut().unwrap();
    let mut there = 0;
    let error = loop {
        match arriving.until(there).await {
            Ok(more) => there = more,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, AssetError::Away(_)), "{error}");
    assert!(0 < there && there <= 700_000, "{there}");
    nothing_half(&dir);
    bucket.server.heal();
    let patient = Assets::open(config(&bucket.server, dir.path(), |_| {})).await.unwrap();
    assert!(fetch(&patient, &digest, bytes.len()).await.unwrap() == bytes);
}

#[tokio::test]
async fn who_waits_for_a_turn_waits_as_long_as_for_a_byte() {
    let bucket = Bucket::new().await;
    let (a, b) =
        (put(&bucket.assets, &noise(4, 100_000)).await, put(&bucket.assets, &noise(5, 100_000)).await);
    let one = |config: &mut AssetsConfig| {
        config.times.fills = 1;
        config.times.first_byte = Duration::from_secs(1);
    };
    let (_dir, assets) = bucket.replica(one).await;
    bucket.server.set(Faults { stall: Some(50_000), ..Faults::default() });
    let first = assets.read(&a, 100_000).await.unwrap();
    away(fetch(&assets, &b, 100_000).await);
    drop(first);
}

/// F19.
#[tokio::test]
async fn wrong_bytes_never_reach_their_last_byte() {
    let bucket = Bucket::new().await;
    let bytes = noise(6, 1_500_000);
    let digest = put(&bucket.assets, &bytes).await;
    for at in [0, 800_000, 1_499_999] {
        let (dir, assets) = bucket.replica(|_| {}).await;
        bucket.server.set(Faults { flip: Some(at), ..Faults::default() });
        let mut readable = assets.read(&digest, 1_500_000).await.unwrap();
        let arriving = readable.arriving.as_mut().unwrap();
        let mut there = 0;
        let error = loop {
            match arriving.until(there).await {
                Ok(more) => there = more,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, AssetError::Damaged(_)), "{error}");
        assert!(there < 1_500_000, "the last byte was promised");
        nothing_half(&dir);
        // Not asked for again at once, also when it is right now.
        bucket.server.heal();
        let gets = bucket.server.count("GET");
        damaged(fetch(&assets, &digest, bytes.len()).await);
        assert_eq!(assets.condition(&digest, 1_500_000).await.unwrap(), Condition::Damaged);
        assert_eq!(bucket.server.count("GET"), gets);
    }
    let (_dir, assets) = bucket.replica(|config| config.times.refuse = Duration::ZERO).await;
    let mut alarms = assets.alarms();
    bucket.server.set(Faults { flip: Some(7), ..Faults::default() });
    for _ in 0..2 {
        damaged(fetch(&assets, &digest, bytes.len()).await);
    }
    assert_eq!(heard(&mut alarms), [digest], "once");
    bucket.server.heal();
    assert!(fetch(&assets, &digest, bytes.len()).await.unwrap() == bytes);
}

/// F19: the object itself is short or long.
#[tokio::test]
async fn objects_of_another_length_are_damaged_and_healed_by_an_upload() {
    let bucket = Bucket::new().await;
    let bytes = noise(7, 300_000);
    let digest = put(&bucket.assets, &bytes).await;
    let (dir, assets) = bucket.replica(|_| {}).await;
    for len in [299_999, 300_001, 0] {
        File::options().write(true).open(bucket.object(&digest)).unwrap().set_len(len).unwrap();
        let mut alarms = assets.alarms();
        damaged(settled(&assets, &digest, bytes.len()).await);
        assert_eq!(heard(&mut alarms), [digest]);
        nothing_half(&dir);
        // Stored anew, it is right at once, here and elsewhere.
        put(&assets, &bytes).await;
        assert_eq!(assets.condition(&digest, 300_000).await.unwrap(), Condition::Stored);
        assert!(settled(&assets, &digest, bytes.len()).await.unwrap() == bytes);
        assets.local().remove(&digest).await.unwrap();
        assert!(settled(&assets, &digest, bytes.len()).await.unwrap() == bytes);
        assets.local().remove(&digest).await.unwrap();
    }
}

/// F19: bodies that end too soon go on where they broke off, a few times.
#[tokio::test]
async fn a_broken_download_goes_on_where_it_stopped() {
    let bucket = Bucket::new().await;
    let bytes = noise(8, 1_500_000);
    let digest = put(&bucket.assets, &bytes).await;
    let (dir, assets) = bucket.replica(|_| {}).await;
    bucket.server.set(Faults { cut: Some(400_000), cuts: Some(3), ..Faults::default() });
    assert!(fetch(&assets, &digest, bytes.len()).await.unwrap() == bytes);
    assert_eq!(bucket.server.count("GET"), 4);
    // A little is lost with each connection; from the beginning it would be 2.7 MB.
    assert!(bucket.server.sent() < 2_000_000, "{}", bucket.server.sent());

    assets.local().remove(&digest).await.unwrap();
    bucket.server.set(Faults { cut: Some(100_000), ..Faults::default() });
    away(fetch(&assets, &digest, bytes.len()).await);
    assert_eq!(bucket.server.count("GET"), 4 + 6, "once, and five times again");
    nothing_half(&dir);
    bucket.server.heal();
    assert!(fetch(&assets, &digest, bytes.len()).await.unwrap() == bytes);
}

/// F20.
#[tokio::test]
async fn a_damaged_copy_is_fetched_again() {
    let bucket = Bucket::new().await;
    let bytes = noise(9, 300_000);
    let digest = put(&bucket.assets, &bytes).await;
    let mut alarms = bucket.assets.alarms();
    let path = bucket.assets.local().path(&digest);
    flip(&path, 4711, 1);
    assert!(fetch(&bucket.assets, &digest, bytes.len()).await.unwrap() == bytes);
    assert_eq!(bucket.server.count("GET"), 1);
    rot(&path, 4711);
    bucket.assets.scrub(&digest, 300_000, &*at_once()).await.unwrap();
    assert!(!path.exists());
    assert!(fetch(&bucket.assets, &digest, bytes.len()).await.unwrap() == bytes);
    assert_eq!(bucket.server.count("GET"), 2);
    assert_eq!(heard(&mut alarms), [], "nothing is lost");
    assert_eq!(files(&bucket.dir.path().join("quarantine")), Vec::<PathBuf>::new());
    // What is no file at all is replaced as well.
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
    assert!(fetch(&bucket.assets, &digest, bytes.len()).await.unwrap() == bytes);
}

#[tokio::test]
async fn the_scrub_misses_objects_that_are_gone() {
    let bucket = Bucket::new().await;
    let digest = put(&bucket.assets, b"kernel").await;
    let mut alarms = bucket.assets.alarms();
    assert_eq!(bucket.assets.verified_at(&digest), None);
    assert_eq!(bucket.assets.scrub(&digest, 6, &*at_once()).await.unwrap(), Condition::Stored);
    assert!(bucket.assets.verified_at(&digest).is_some());
    std::fs::remove_file(bucket.object(&digest)).unwrap();
    assert_eq!(bucket.assets.scrub(&digest, 6, &*at_once()).await.unwrap(), Condition::Missing);
    assert_eq!(heard(&mut alarms), [digest]);
    bucket.server.set(Faults { down: true, ..Faults::default() });
    assert!(matches!(bucket.assets.scrub(&digest, 6, &*at_once()).await, Err(AssetError::Away(_))));
    assert_eq!(heard(&mut alarms), [], "an outage is no loss");
}

/// Fetches and uploads that are dropped anywhere leave nothing half.
#[tokio::test(flavor = "multi_thread")]
async fn tasks_that_are_dropped_leave_nothing_half() {
    let bucket = Bucket::new().await;
    let bytes = noise(10, 1_200_000);
    let digest = put(&bucket.assets, &bytes).await;
    let (dir, assets) = bucket.replica(|_| {}).await;
    for round in 0..20_u64 {
        let (reader, writer) = (assets.clone(), assets.clone());
        let reading = tokio::spawn(async move { fetch(&reader, &digest, 1_200_000).await });
        let other = noise(1000 + round, 900_000);
        let writing = tokio::spawn(async move { put(&writer, &other).await });
        tokio::time::sleep(Duration::from_millis(round * 7 % 60)).await;
        reading.abort();
        writing.abort();
        let _ = (reading.await, writing.await);
        for key in bucket.server.keys() {
            let name = key.rsplit('/').next().unwrap().to_owned();
            assert_eq!(digest_of(&std::fs::read(bucket.server.object(&key)).unwrap()).to_string(), name);
        }
        assert!(fetch(&assets, &digest, 1_200_000).await.unwrap() == bytes);
        assets.local().remove(&digest).await.unwrap();
    }
    until(|| files(&dir.path().join("tmp")).is_empty()).await;
    nothing_half(&dir);
}
