//! The same few files are put, labeled, taken away and collected by many at once, some of whom
//! stop in the middle: no label ever loses its bytes, and in the end no bytes are left over.

use super::*;
use crate::assets::Assets;
use crate::model::Dice;
use moxxie_core::name::{FileName, LoaderName};
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
/// In the place of a profile's id: the loaders' shelf.
const LOADERS: &str = "";

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
        // Every third time on the loaders' shelf.
        let profile = ["p1", "p2", LOADERS][usize::try_from(dice.roll(3)).unwrap()];
        let file = ["a", "b"][usize::try_from(dice.roll(2)).unwrap()].parse().unwrap();
        let bytes = content(dice.roll(3));
        // Half of the time somebody goes away in the middle.
        let polls = if dice.roll(2) == 0 { u64::MAX } else { dice.roll(24) };
        match dice.roll(8) {
            0..4 => cut(polls, put_file(&scene, profile, file, &bytes)).await,
            4..6 => {
                let by = by(scene.now.0);
                let deleted = cut(polls, async {
                    let deleted = match profile {
                        LOADERS => scene.store.delete_loader(&loader_name(&file), &by).await.map(drop),
                        profile => scene.store.delete_asset(profile, &file, &by).await.map(drop),
                    };
                    match deleted {
                        Ok(()) | Err(StoreError::NotFound("asset" | "loader")) => {}
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

fn loader_name(file: &FileName) -> LoaderName {
    file.as_str().parse().unwrap()
}

async fn put_file(scene: &Arc<Scene>, profile: &str, file: FileName, bytes: &[u8]) {
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
    let by = by(scene.now.0);
    if profile == LOADERS {
        let new = super::loaders::loader(loader_name(&asset.file).as_str(), asset.sha256, size, scene.now);
        scene.store.put_loader(&new, &arrival, &by).await.unwrap();
    } else {
        scene.store.put_asset(profile, &asset, &arrival, &by).await.unwrap();
    }
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
    let mut labels = Vec::new();
    for profile in ["p1", "p2"] {
        let assets = scene.store.assets(profile).await.unwrap();
        labels.extend(assets.into_iter().map(|asset| (asset.sha256, asset.size)));
    }
    let loaders = scene.store.loaders(None, 100).await.unwrap();
    labels.extend(loaders.into_iter().map(|loader| (loader.sha256, loader.size)));
    let mut labeled = BTreeSet::new();
    for (sha256, size) in labels {
        let found = scene.assets.read(&sha256, u64::try_from(size).unwrap()).await.unwrap();
        let mut bytes = Vec::new();
        (&*found.file).read_to_end(&mut bytes).unwrap();
        assert_eq!(digest(&bytes), sha256);
        labeled.insert(sha256);
    }
    labeled
}

/// What lies in the folder.
fn stored(dir: &Path) -> BTreeSet<Digest> {
    let names = |dir: &Path| std::fs::read_dir(dir).unwrap().map(Result::unwrap).collect::<Vec<_>>();
    let files = names(&dir.join("sha256")).into_iter().flat_map(|dir| names(&dir.path()));
    files.map(|file| file.file_name().to_str().unwrap().parse().unwrap()).collect()
}
