//! What lies in the database is sealed, with which keys, and what happens with other ones.

use super::*;
use crate::testing::open_with;
use moxxie_core::keyring::KeyId;
use moxxie_core::token::SiteKey;

/// In the profile and the machine of the other chapters.
const CANARIES: [&str; 2] = ["hunter2", "s3cret"];
/// More than are sealed anew in one transaction.
const MACHINES: u16 = 210;

fn key(byte: u8) -> KeyId {
    KeyId::of(&SiteKey::new([byte; 32]))
}

/// Every text of every table, as a thief reads it.
async fn everything(store: &Store) -> String {
    let columns = schema(store).await;
    let mut tables: Vec<&str> = columns.iter().map(|(table, _)| table.as_str()).collect();
    tables.dedup();
    let mut text = String::new();
    for table in tables {
        let mine = columns.iter().filter(|(of, _)| of == table);
        let all: Vec<String> = mine.map(|(_, c)| format!("COALESCE(CAST({c} AS TEXT), '')")).collect();
        let sql = format!("SELECT {} AS line FROM {table}", all.join(" || ' ' || "));
        for row in store.read().await.unwrap().rows(AssertSqlSafe(sql), args![]).await.unwrap() {
            text += &row.text("line").unwrap();
            text.push('\n');
        }
    }
    text
}

async fn sees_all(store: &Store, more: usize) {
    let loaded = store.load(None).await.unwrap();
    assert_eq!(loaded.assignments.len(), usize::from(MACHINES) + more);
    assert_eq!(loaded.shelves[0].profile.spec.params["password"], "hunter2");
    assert_eq!(loaded.shelves[0].profile.spec.extra_initrds.len(), 2);
    assert!(loaded.assignments.iter().all(|a| a.spec.boot_params_override["token"] == "s3cret"));
}

/// Expects an empty database.
pub(crate) async fn secrets(url: &str) {
    let store = open_with(url, &[1]).await.unwrap();
    assert_eq!(store.sealed_with().await.unwrap(), []);
    let early = store.create_profile("p1", &profile("safe", false), &by(1)).await;
    assert!(matches!(early, Err(StoreError::Unavailable(_))), "not before the keys were checked");
    store.migrate().await.unwrap();
    assert_eq!(store.sealed_with().await.unwrap(), [key(1)]);
    store.create_profile("p1", &profile("safe", false), &by(1)).await.unwrap();
    let machine = |n| Change::CreateAssignment {
        id: format!("a{n}"),
        spec: machine(n, "p1"),
        boot: BootRecord::default(),
    };
    store.apply(&(1..=MACHINES).map(machine).collect::<Vec<Change>>(), &by(1)).await.unwrap();
    sees_all(&store, 0).await;
    let text = everything(&store).await;
    assert!(text.contains("node-7") && text.matches("mxs1.").count() > usize::from(MACHINES));
    for canary in CANARIES {
        assert!(!text.contains(canary), "{canary}");
    }
    refusals(url, &store).await;
    unsealed_rows(url, &store).await;
    rotation(url, store).await;
}

async fn refusals(url: &str, store: &Store) {
    // Another key: refused at the door, and nothing is read or written by whoever goes on.
    let other = open_with(url, &[2]).await.unwrap();
    let wrong = |error: &StoreError| {
        let (wanted, have) = (key(1).to_string(), key(2).to_string());
        matches!(error, StoreError::WrongKey { .. })
            && [wanted, have].iter().all(|id| error.to_string().contains(id))
    };
    assert!(wrong(&other.migrate().await.unwrap_err()));
    assert!(wrong(&other.load(None).await.unwrap_err()));
    let write = other.create_profile("p2", &profile("two", false), &by(1)).await.unwrap_err();
    assert!(matches!(write, StoreError::Unavailable(_)), "{write}");
    assert_eq!(store.sealed_with().await.unwrap(), [key(1)]);
    other.close().await;

    // A value of another row, and a damaged one.
    let copy = "SELECT boot_params_override FROM node_boot_assignments WHERE id = 'a1'";
    let kept = store.read().await.unwrap().row(copy, args![]).await.unwrap().unwrap();
    let kept = kept.text("boot_params_override").unwrap();
    raw(
        store,
        "UPDATE node_boot_assignments SET boot_params_override = \
         (SELECT boot_params_override FROM node_boot_assignments WHERE id = 'a2') WHERE id = 'a1'",
    )
    .await
    .unwrap();
    let moved = store.assignment(mac(1)).await.unwrap_err();
    assert!(matches!(&moved, StoreError::Corrupt(why) if why.contains("moved from another row")), "{moved}");
    assert!(moved.to_string().contains("boot_params_override of node_boot_assignments a1"), "{moved}");
    let damaged = kept.replace(&kept[20..24], "AAAA");
    for value in [&damaged, "\"mxs1.\"", "\"mxs1.zzzzzzzz.AAAA\""] {
        raw(
            store,
            &format!("UPDATE node_boot_assignments SET boot_params_override = '{value}' WHERE id = 'a1'"),
        )
        .await
        .unwrap();
        assert!(matches!(store.assignment(mac(1)).await, Err(StoreError::Corrupt(_))), "{value}");
    }
    raw(store, &format!("UPDATE node_boot_assignments SET boot_params_override = '{kept}' WHERE id = 'a1'"))
        .await
        .unwrap();
    sees_all(store, 0).await;
}

/// What an older version left: read as it is, and sealed by the next start.
async fn unsealed_rows(url: &str, store: &Store) {
    raw(store, "UPDATE node_boot_assignments SET boot_params_override = '{\"token\":\"s3cret\"}'")
        .await
        .unwrap();
    raw(store, "UPDATE boot_profiles SET config_template = 'password: hunter2', params = '{\"password\":\"hunter2\"}'").await.unwrap();
    raw(store, "UPDATE site_keys SET sealed_at = NULL").await.unwrap();
    sees_all(store, 0).await;
    assert_eq!(store.secrets(Timestamp(9)).await.unwrap().plain, i64::from(MACHINES) + 1);
    // Replicas that start together share the work.
    let again = [open_with(url, &[1]).await.unwrap(), open_with(url, &[1]).await.unwrap()];
    let (one, two) = tokio::join!(again[0].migrate(), again[1].migrate());
    one.unwrap();
    two.unwrap();
    let status = store.secrets(Timestamp(9)).await.unwrap();
    assert_eq!(
        (status.plain, status.keys[0].profiles, status.keys[0].assignments),
        (0, 1, i64::from(MACHINES))
    );
    let text = everything(store).await;
    assert!(CANARIES.iter().all(|canary| !text.contains(canary)));
    sees_all(store, 0).await;
    for store in again {
        store.close().await;
    }
}

/// A new key in two rounds, with another server beside all the time.
async fn rotation(url: &str, old: Store) {
    // First round: everybody can read what the new key will seal.
    let staged = open_with(url, &[1, 2]).await.unwrap();
    staged.migrate().await.unwrap();
    // Second round: one server after the other seals with it.
    let new = open_with(url, &[2, 1]).await.unwrap();
    new.migrate().await.unwrap();
    assert_eq!(new.sealed_with().await.unwrap(), [key(1), key(2)]);
    new.create_assignment("b1", &machine(1001, "p1"), &BootRecord::default(), &by(1)).await.unwrap();
    staged.create_assignment("b2", &machine(1002, "p1"), &BootRecord::default(), &by(1)).await.unwrap();
    sees_all(&staged, 2).await;
    sees_all(&new, 2).await;
    // Whoever was forgotten in the first round reads nothing that it cannot, and cannot come back.
    assert!(matches!(old.assignment(mac(1001)).await, Err(StoreError::WrongKey { .. })));
    assert!(matches!(old.migrate().await, Err(StoreError::WrongKey { wanted, .. }) if wanted == key(2)));
    let backwards = staged.reseal(&by(5), &mut |_| {}).await.unwrap_err();
    assert!(backwards.to_string().contains(&key(2).to_string()), "{backwards}");

    let one = |status: &SecretsStatus, id| status.keys.iter().find(|k| k.id == id).unwrap().clone();
    let before = new.secrets(Timestamp(9)).await.unwrap();
    assert_eq!(
        (one(&before, key(2)).assignments, one(&before, key(1)).assignments),
        (1, i64::from(MACHINES) + 1)
    );
    assert!(one(&before, key(2)).current && !before.keys.iter().any(KeyUse::removable));
    // A row that does not open stops nothing but the end.
    raw(&new, "UPDATE node_boot_assignments SET boot_params_override = '\"mxs1.x\"' WHERE id = 'a9'")
        .await
        .unwrap();
    let done = new.reseal(&by(5), &mut |_| {}).await.unwrap();
    assert_eq!(
        (done.rows, done.retired.len(), done.unreadable.len()),
        (u64::from(MACHINES) + 1, 0, 1),
        "{done:?}"
    );
    assert!(done.unreadable[0].contains("a9"), "{done:?}");
    raw(
        &new,
        "UPDATE node_boot_assignments SET boot_params_override = '{\"token\":\"s3cret\"}' WHERE id = 'a9'",
    )
    .await
    .unwrap();
    let mut told = Vec::new();
    let done = new.reseal(&by(6), &mut |rows| told.push(rows)).await.unwrap();
    assert_eq!((done.rows, done.retired.as_slice(), told.as_slice()), (1, &[key(1)][..], &[1][..]));
    assert_eq!(new.reseal(&by(7), &mut |_| {}).await.unwrap().rows, 0, "nothing is left to do");
    let log = new.audit(None, 1).await.unwrap();
    assert_eq!((log[0].action.as_str(), log[0].at), ("secrets.reseal", Timestamp(7)));
    let after = new.secrets(Timestamp(9)).await.unwrap();
    assert!(one(&after, key(1)).removable() && !one(&after, key(2)).removable());
    sees_all(&new, 2).await;

    // Nothing is sealed with the old key again, by nobody.
    let late = staged.create_assignment("b3", &machine(1003, "p1"), &BootRecord::default(), &by(1)).await;
    assert!(matches!(late, Err(StoreError::RetiredKey(id)) if id == key(1)), "{late:?}");
    sees_all(&staged, 2).await;
    assert!(matches!(staged.migrate().await, Err(StoreError::RetiredKey(_))));
    let alone = open_with(url, &[2]).await.unwrap();
    alone.migrate().await.unwrap();
    sees_all(&alone, 2).await;
    assert_eq!(alone.sealed_with().await.unwrap(), [key(2)]);
    for store in [old, staged, new, alone] {
        store.close().await;
    }
}
