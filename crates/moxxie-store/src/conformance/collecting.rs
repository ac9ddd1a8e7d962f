//! The same few files are put, labeled, taken away and collected by many at once, some of whom
//! stop in the middle: no label ever loses its bytes, and in the end no bytes are left over.

use super::*;
use crate::assets::Assets;
use crate::model::Dice;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;
use std::pin::pin;
use std::task::Poll;
use tokio::sync::RwLock;

const ROUNDS: u64 = 6;
const TASKS: u64 = 8;
const STEPS: u64 = 15;

struct Scene {
    store: Arc<Store>,
    assets: Assets,
    now: Timestamp,
    /// Held by what cannot be called back: a rename or an unlink that has begun.
    begun: Arc<RwLock<()>>,
}

fn content(n: u64) -> Vec<u8> {
    format!("the bytes of file {n} ").repeat(40).into_bytes()
}

fn digest(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

/// Expects an empty, migrated database.
pub(crate) async fn collecting(store: &Arc<Store>) {
    let dir = tempfile::tempdir().unwrap();
    let assets = Assets::open(dir.path()).await.unwrap();
    store.create_profile("p1", &profile("one", false), &by(1)).await.unwrap();
    store.create_profile("p2", &profile("two", false), &by(1)).await.unwrap();
    let mut now = Timestamp(1_000_000);
    for round in 0..ROUNDS {
        let scene = Scene { store: store.clone(), assets: assets.clone(), now, begun: Arc::default() };
        let scene = Arc::new(scene);
        let tasks: Vec<_> = (0..TASKS)
            .map(|task| tokio::spawn(life(scene.clone(), Dice(0x9e37_79b9 + (round * TASKS + task) * 7919))))
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        drop(scene.begun.write().await);
        let labeled = every_label_has_its_bytes(&scene).await;
        // Past all leases and arrivals: nothing but labels counts.
        now = now + Span::hours(25);
        for digest in store.unused(now, 100).await.unwrap() {
            assert!(store.collect(&assets, &digest, now).await.unwrap());
        }
        assert_eq!(every_label_has_its_bytes(&scene).await, labeled);
        assert_eq!(stored(dir.path()), labeled, "nothing else is left");
        assert_eq!(store.all_bytes().await.unwrap(), labeled);
        // Somebody may have gone away while the system was making a file for them.
        assets.sweep_tmp().await.unwrap();
        assert_eq!(std::fs::read_dir(dir.path().join("tmp")).unwrap().count(), 0);
    }
}

async fn life(scene: Arc<Scene>, mut dice: Dice) {
    for _ in 0..STEPS {
        let profile = ["p1", "p2"][usize::try_from(dice.roll(2)).unwrap()];
        let file = ["a", "b"][usize::try_from(dice.roll(2)).unwrap()].parse().unwrap();
        let bytes = content(dice.roll(3));
        // Half of the time somebody goes away in the middle.
        let polls = if dice.roll(2) == 0 { u64::MAX } else { dice.roll(24) };
        match dice.roll(8) {
            0..4 => cut(polls, put_file(&scene, profile, file, &bytes)).await,
            4..6 => {
                let by = by(scene.now.0);
                let deleted = cut(polls, async {
                    match scene.store.delete_asset(profile, &file, &by).await {
                        Ok(_) | Err(StoreError::NotFound("asset")) => {}
                        Err(error) => panic!("{error}"),
                    }
                });
                deleted.await;
                collect(&scene, &digest(&bytes), u64::MAX).await;
            }
            _ => collect(&scene, &digest(&bytes), dice.roll(12)).await,
        }
    }
}

async fn put_file(scene: &Arc<Scene>, profile: &str, file: moxxie_core::name::FileName, bytes: &[u8]) {
    let mut writer = scene.assets.writer().await.unwrap();
    writer.write(bytes).await.unwrap();
    let sealed = writer.seal(None).await.unwrap();
    let size = i64::try_from(sealed.size).unwrap();
    let asset = Asset { file, sha256: sealed.digest, size, created_at: scene.now };
    let arrival = match scene.store.arrive(&asset.sha256, size, scene.now, scene.now + Span::days(1)).await {
        Err(StoreError::Busy) => return,
        arrival => arrival.unwrap(),
    };
    let (begun, assets) = (scene.begun.clone().read_owned().await, scene.assets.clone());
    let publishing = tokio::spawn(async move {
        assets.publish(sealed).await.unwrap();
        drop(begun);
    });
    publishing.await.unwrap();
    scene.store.put_asset(profile, &asset, &arrival, &by(scene.now.0)).await.unwrap();
}

/// Collects, or dies before or after the bytes are gone.
async fn collect(scene: &Arc<Scene>, digest: &Digest, fate: u64) {
    let _begun = scene.begun.read().await;
    match fate {
        0 => {
            let Some(_) = scene.store.collect_begin(digest, scene.now).await.unwrap() else { return };
        }
        1 => {
            let Some(_) = scene.store.collect_begin(digest, scene.now).await.unwrap() else { return };
            scene.assets.remove(digest).await.unwrap();
        }
        _ => drop(scene.store.collect(&scene.assets, digest, scene.now).await.unwrap()),
    }
}

/// Drops something after it has gone on for so many times.
async fn cut(mut polls: u64, work: impl Future<Output = ()>) {
    let mut work = pin!(work);
    std::future::poll_fn(|context| {
        if polls == 0 {
            return Poll::Ready(());
        }
        polls -= 1;
        work.as_mut().poll(context)
    })
    .await;
}

async fn every_label_has_its_bytes(scene: &Scene) -> BTreeSet<Digest> {
    let mut labeled = BTreeSet::new();
    for profile in ["p1", "p2"] {
        for asset in scene.store.assets(profile).await.unwrap() {
            let size = u64::try_from(asset.size).unwrap();
            let found = scene.assets.read(&asset.sha256, size).await.unwrap();
            let mut bytes = Vec::new();
            (&*found.file).read_to_end(&mut bytes).unwrap();
            assert_eq!(digest(&bytes), asset.sha256);
            labeled.insert(asset.sha256);
        }
    }
    labeled
}

/// What lies in the folder.
fn stored(dir: &Path) -> BTreeSet<Digest> {
    let names = |dir: &Path| std::fs::read_dir(dir).unwrap().map(Result::unwrap).collect::<Vec<_>>();
    let files = names(&dir.join("sha256")).into_iter().flat_map(|dir| names(&dir.path()));
    files.map(|file| file.file_name().to_str().unwrap().parse().unwrap()).collect()
}
