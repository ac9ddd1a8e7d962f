//! The chapter on bytes: who holds them, and how they are collected.

use super::*;
use moxxie_core::name::FileName;

const DAY: Span = Span::days(1);
const NONE: [u8; 0] = [];

fn label(file: &str, bytes: u8) -> Asset {
    let file: FileName = file.parse().unwrap();
    Asset { file, sha256: Digest([bytes; 32]), size: 5, created_at: Timestamp(3) }
}

async fn arrive(store: &Store, bytes: u8, now: Timestamp) -> Result<Arrival> {
    store.arrive(&Digest([bytes; 32]), 5, now, now + DAY).await
}

async fn unused(store: &Store, now: Timestamp) -> Vec<u8> {
    store.unused(now, 10).await.unwrap().iter().map(|digest| digest.0[0]).collect()
}

/// Expects a migrated database whose labels name none of the bytes from 50 on.
pub(crate) async fn bytes(store: &Store) {
    let t = Timestamp(2_000_000);
    for digest in store.unused(t, 10).await.unwrap() {
        let lease = store.collect_begin(&digest, t).await.unwrap().unwrap();
        store.collect_end(&digest, lease).await.unwrap();
    }
    store.create_profile("b1", &profile("bytes", false), &by(1)).await.unwrap();
    arrivals(store, t).await;
    leases(store, t).await;
    waiting(store, t).await;
    restoring(store, t).await;
}

/// Whoever is about to label bytes keeps collectors away, until the arrival ends.
async fn arrivals(store: &Store, t: Timestamp) {
    let digest = Digest([50; 32]);
    let one = arrive(store, 50, t).await.unwrap();
    let two = arrive(store, 50, t).await.unwrap();
    assert_eq!(store.asset_size(&digest).await.unwrap(), Some(5));
    store.abandon(&two, t).await.unwrap();
    assert_eq!(unused(store, t).await, NONE, "one of them is still coming");
    assert_eq!(store.collect_begin(&digest, t).await.unwrap(), None);
    let other = store.put_asset("b1", &label("k", 51), &one, &by(3)).await;
    assert!(matches!(other, Err(StoreError::Busy)), "another file's arrival");
    store.put_asset("b1", &label("k", 50), &one, &by(3)).await.unwrap();
    assert_eq!(unused(store, t + DAY).await, NONE, "labeled");
    assert_eq!(store.collect_begin(&digest, t + DAY).await.unwrap(), None);
    let again = store.put_asset("b1", &label("k2", 50), &one, &by(3)).await;
    assert!(matches!(again, Err(StoreError::Busy)), "an arrival is good for one label");

    // The label goes and the bytes are free; what is still to come of an answer is waited for.
    store.delete_asset("b1", &"k".parse().unwrap(), &by(4)).await.unwrap();
    assert_eq!(unused(store, t).await, [50]);
    let slow = arrive(store, 50, t).await.unwrap();
    store.abandon(&slow, t + Span::minutes(10)).await.unwrap();
    store.abandon(&slow, t + DAY).await.unwrap();
    assert_eq!(unused(store, t + Span::seconds(599)).await, NONE);
    assert_eq!(unused(store, t + Span::minutes(10)).await, [50], "abandoning never makes it longer");

    // An arrival that ran out is worth a label until a collector was there.
    let late = arrive(store, 51, t).await.unwrap();
    store.put_asset("b1", &label("late", 51), &late, &by((t + DAY + DAY).0)).await.unwrap();
    let too_late = arrive(store, 52, t).await.unwrap();
    assert_eq!(store.collect_begin(&Digest([52; 32]), t).await.unwrap(), None);
    let lease = store.collect_begin(&Digest([52; 32]), t + DAY).await.unwrap().unwrap();
    let refused = store.put_asset("b1", &label("late", 52), &too_late, &by(3)).await;
    assert!(matches!(refused, Err(StoreError::Busy)));
    store.collect_end(&Digest([52; 32]), lease).await.unwrap();

    // At the start of the only process that uses the database nobody is on the way.
    let dead = arrive(store, 53, t).await.unwrap();
    store.drop_arrivals().await.unwrap();
    assert_eq!(unused(store, t).await, [50, 53]);
    let refused = store.put_asset("b1", &label("dead", 53), &dead, &by(3)).await;
    assert!(matches!(refused, Err(StoreError::Busy)));
    for digest in [Digest([50; 32]), Digest([53; 32])] {
        let lease = store.collect_begin(&digest, t).await.unwrap().unwrap();
        store.collect_end(&digest, lease).await.unwrap();
        assert_eq!(store.asset_size(&digest).await.unwrap(), None);
    }
}

/// While bytes are being deleted nobody else deletes them or puts them; when the deleter died,
/// another takes over.
async fn leases(store: &Store, t: Timestamp) {
    let digest = Digest([60; 32]);
    let gone = arrive(store, 60, t).await.unwrap();
    store.abandon(&gone, t).await.unwrap();
    let first = store.collect_begin(&digest, t).await.unwrap().unwrap();
    let before = Timestamp(first.0 - 1);
    assert!(before > t + Span::minutes(9));
    for now in [t, before] {
        assert!(matches!(arrive(store, 60, now).await, Err(StoreError::Busy)));
        assert_eq!(store.collect_begin(&digest, now).await.unwrap(), None);
        assert_eq!(unused(store, now).await, NONE);
    }
    // The second collector takes over; what the first one still says counts no more.
    assert_eq!(unused(store, first).await, [60]);
    let second = store.collect_begin(&digest, first).await.unwrap().unwrap();
    store.collect_end(&digest, first).await.unwrap();
    assert_eq!(store.asset_size(&digest).await.unwrap(), Some(5));
    assert!(matches!(arrive(store, 60, first).await, Err(StoreError::Busy)));
    // It dies as well, and somebody puts the same bytes.
    let arrival = store.arrive(&digest, 5, second, second + DAY).await.unwrap();
    store.collect_end(&digest, second).await.unwrap();
    assert_eq!(store.collect_begin(&digest, second).await.unwrap(), None);
    store.put_asset("b1", &label("k", 60), &arrival, &by(second.0)).await.unwrap();
    assert_eq!(store.asset_size(&digest).await.unwrap(), Some(5));
    assert_eq!(unused(store, second + DAY).await, NONE);
}

/// A collector that waits for the lock sees the label that was committed meanwhile.
async fn waiting(store: &Store, t: Timestamp) {
    let digest = Digest([70; 32]);
    let arrival = arrive(store, 70, t).await.unwrap();
    store.abandon(&arrival, t).await.unwrap();
    let mut tx = store.write().await.unwrap();
    crate::bytes::hold(&mut tx, &digest, 5, t).await.unwrap();
    let labeler = async {
        // Two connections wait for nobody on SQLite: there the second one does not get in at all.
        while !tx.is_sqlite() {
            let sql = "SELECT 1 FROM pg_stat_activity \
                       WHERE datname = current_database() AND wait_event_type = 'Lock'";
            if store.read().await.unwrap().row(sql, args![]).await.unwrap().is_some() {
                break;
            }
            tokio::task::yield_now().await;
        }
        crate::profiles::put(&mut tx, "b1", &label("waited", 70)).await.unwrap();
        tx.commit().await.unwrap();
    };
    let (begun, ()) = tokio::join!(store.collect_begin(&digest, t), labeler);
    assert_eq!(begun.unwrap(), None);
    store.delete_asset("b1", &"waited".parse().unwrap(), &by(4)).await.unwrap();
}

/// A backup names bytes that may be there or not; none that are being deleted.
async fn restoring(store: &Store, t: Timestamp) {
    let backup = store.backup().await.unwrap();
    let kept: Vec<u8> = backup.shelves.iter().flat_map(|s| &s.assets).map(|a| a.sha256.0[0]).collect();
    assert!(kept.contains(&60));
    store.delete_asset("b1", &"k".parse().unwrap(), &by(4)).await.unwrap();
    assert_eq!(unused(store, t).await, [60, 70]);
    let lease = store.collect_begin(&Digest([60; 32]), t).await.unwrap().unwrap();
    let version = store.version().await.unwrap();
    let refused = store.restore(&backup, &by(t.0)).await;
    assert!(matches!(refused, Err(StoreError::Busy)), "{refused:?}");
    assert_eq!(store.version().await.unwrap(), version);
    store.restore(&backup, &by(lease.0)).await.unwrap();
    store.collect_end(&Digest([60; 32]), lease).await.unwrap();
    assert_eq!(unused(store, lease).await, [70], "the restored label holds what was taken over");
    assert_eq!(store.collect_begin(&Digest([60; 32]), lease).await.unwrap(), None);
    // What the backup does not name is free, and what nobody ever stored is known from now on.
    let mut backup = backup;
    for shelf in &mut backup.shelves {
        shelf.assets.retain(|asset| asset.sha256.0[0] != 60);
        if shelf.profile.id == "b1" {
            shelf.assets.push(label("never", 61));
        }
    }
    store.restore(&backup, &by(lease.0)).await.unwrap();
    assert_eq!(unused(store, lease).await, [60, 70]);
    assert_eq!(store.asset_size(&Digest([61; 32])).await.unwrap(), Some(5));
    let all: Vec<u8> = store.all_bytes().await.unwrap().iter().map(|digest| digest.0[0]).collect();
    assert!(all.ends_with(&[60, 61, 70]), "{all:?}");
}

/// A database of a version that did not keep account of bytes; expects an empty one.
pub(crate) async fn older_schema(store: &Store) {
    let [first, second, loaders] = if store.is_sqlite() {
        [
            include_str!("../../migrations/sqlite/0001_initial.sql"),
            include_str!("../../migrations/sqlite/0002_assets.sql"),
            include_str!("../../migrations/sqlite/0006_firmware.sql"),
        ]
    } else {
        [
            include_str!("../../migrations/postgres/0001_initial.sql"),
            include_str!("../../migrations/postgres/0002_assets.sql"),
            include_str!("../../migrations/postgres/0006_firmware.sql"),
        ]
    };
    raw(store, first).await.unwrap();
    let no = if store.is_sqlite() { "0" } else { "FALSE" };
    let row = format!(
        "INSERT INTO boot_profiles (id, name, profile_type, description, extra_initrds, boot_params, params, \
         destructive, destructive_lowered, menu, local_boot, revision, seq, created_at, updated_at) \
         VALUES ('p1', 'safe', 'talos', '', '[]', '', '{{}}', {no}, {no}, {no}, 'auto', 1, 1, 1, 1)"
    );
    raw(store, &row).await.unwrap();
    let digest = Digest([1; 32]);
    for file in ["a", "b"] {
        let row = format!("INSERT INTO profile_assets VALUES ('p1', '{file}', '{digest}', 7, 3)");
        raw(store, &row).await.unwrap();
    }
    raw(store, second).await.unwrap();
    // Collectors look at this table, too.
    raw(store, loaders).await.unwrap();
    assert_eq!(store.asset_size(&digest).await.unwrap(), Some(7));
    assert_eq!(unused(store, Timestamp(9)).await, NONE);
    assert_eq!(store.collect_begin(&digest, Timestamp(9)).await.unwrap(), None);
}
