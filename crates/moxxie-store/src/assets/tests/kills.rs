//! `kill -9` at any moment of an upload or a fetch: what has a digest for a name is whole.

use super::remote::{Bucket, config};
use super::*;
use lab::s3::TestS3;
use std::process::{Command, Stdio};

/// Where the victim keeps its files.
const DIR: &str = "MOXXIE_TEST_VICTIM_ASSETS";
/// What it fetches, if anything.
const DIGEST: &str = "MOXXIE_TEST_VICTIM_DIGEST";
const LEN: usize = 1_500_000;

/// The process that is killed: runs in another process of this test program, and does nothing
/// when the tests are run.
#[tokio::test]
async fn victim() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let dir = PathBuf::from(dir);
    let Ok(digest) = std::env::var(DIGEST) else {
        let assets = Assets::open(&dir).await.unwrap();
        for seed in u64::from(std::process::id()) * 1000.. {
            put(&assets, &noise(seed, LEN)).await;
        }
        return;
    };
    let env = std::env::vars().filter(|(name, _)| name.starts_with("AWS_")).collect();
    let place = Place::parse(&format!("s3://{}/some/prefix", lab::s3::BUCKET)).unwrap();
    let assets = Assets::open(AssetsConfig { place, env: S3Env(env), ..(&dir).into() }).await.unwrap();
    let digest: Digest = digest.parse().unwrap();
    loop {
        fetch(&assets, &digest, LEN).await.unwrap();
        assets.local().remove(&digest).await.unwrap();
    }
}

/// Starts the victim, waits until it works, kills it a little later, and looks at what is left.
async fn one_life(dir: &Path, fetching: Option<(&Digest, &TestS3)>, life: Duration) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "assets::tests::kills::victim", "--test-threads=1"]).env(DIR, dir);
    if let Some((digest, server)) = fetching {
        command.env(DIGEST, digest.to_string()).envs(server.env());
    }
    let mut victim = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let tmp = dir.join("tmp");
    super::remote::until(|| !files(&tmp).is_empty()).await;
    tokio::time::sleep(life).await;
    assert!(victim.try_wait().unwrap().is_none(), "it should have gone on until it was killed");
    victim.kill().unwrap();
    victim.wait().unwrap();
    for file in files(&dir.join("sha256")) {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        assert_eq!(digest_of(&std::fs::read(&file).unwrap()).to_string(), name);
    }
    let left = files(&tmp).len() as u64;
    assert_eq!(Assets::open(dir).await.unwrap().sweep_tmp().await.unwrap(), left);
    assert_eq!(files(&tmp), Vec::<PathBuf>::new());
}

/// F7.
#[tokio::test]
async fn a_killed_upload_is_never_half_there() {
    let dir = tempfile::tempdir().unwrap();
    for life in [0, 3, 7, 12, 20, 33, 50, 80] {
        one_life(dir.path(), None, Duration::from_millis(life)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_fetch_is_never_half_there() {
    let bucket = Bucket::new().await;
    let bytes = noise(11, LEN);
    let digest = put(&bucket.assets, &bytes).await;
    let (dir, _assets) = bucket.replica(|_| {}).await;
    for life in [0, 3, 7, 12, 20, 33, 50, 80] {
        one_life(dir.path(), Some((&digest, &bucket.server)), Duration::from_millis(life)).await;
    }
    let assets = Assets::open(config(&bucket.server, dir.path(), |_| {})).await.unwrap();
    assert!(fetch(&assets, &digest, LEN).await.unwrap() == bytes);
}
