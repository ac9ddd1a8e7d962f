//! The audit log's chapter: a chain that nobody can change unseen.

use super::*;
use moxxie_core::audit::{Chained, Link, What};
use std::collections::BTreeSet;

fn record(n: i64) -> AuditRecord {
    AuditRecord {
        seq: 0,
        at: Timestamp(n * 1000),
        actor: if n % 2 == 0 { "ann" } else { "bob" }.into(),
        action: "assignment.arm".into(),
        target: format!("assignment {n}"),
        peer: None,
        before: None,
        after: Some(json!({"n": n, "text": "ü \"quoted\"\n", "ratio": 1.1e-7})),
    }
}

async fn verified(store: &Store) -> Result<Link, (i64, What)> {
    let found = store.verify_audit(None).await.unwrap();
    found.problem.map_or(Ok(found.head), |problem| Err((problem.seq, problem.what)))
}

/// On an empty database.
pub(crate) async fn chain(store: &Store) {
    store.migrate().await.unwrap();
    assert_eq!(verified(store).await, Ok(Link { seq: 0, hash: Digest([0; 32]) }));
    for n in 1..=7 {
        store.append_audit(&record(n)).await.unwrap();
    }
    let seqs: Vec<i64> = store.audit(None, 100).await.unwrap().iter().map(|r| r.seq).collect();
    assert_eq!(seqs, [7, 6, 5, 4, 3, 2, 1]);
    let end = verified(store).await.unwrap();
    assert_eq!(end.seq, 7);
    for (kept, what) in [
        (end, None),
        (Link { seq: 3, hash: end.hash }, Some(What::Rewritten)),
        (Link { seq: 9, hash: end.hash }, Some(What::Truncated)),
    ] {
        let found = store.verify_audit(Some(kept)).await.unwrap();
        assert_eq!(found.problem.map(|problem| problem.what), what);
    }
    lists(store).await;
    // What is rolled back leaves no gap.
    let mut tx = store.write().await.unwrap();
    crate::audit::append(&mut tx, &record(99));
    drop(tx);
    store.append_audits(&(8..=70).map(record).collect::<Vec<_>>()).await.unwrap();
    let whole = verified(store).await.unwrap();
    assert_eq!(whole.seq, 70);
    refusals(store).await;
    assert_eq!(verified(store).await, Ok(whole));
    tampering(store, whole).await;
    pruning(store).await;
    sinks(store).await;
    one_password_in_three_fields(store).await;
}

async fn lists(store: &Store) {
    let all = store.audit_after(&AuditFilter::default(), 0, 100).await.unwrap();
    assert!(all.windows(2).all(|pair| pair[1].prev == pair[0].hash));
    let ann = AuditFilter { actor: Some("ann".into()), ..AuditFilter::default() };
    let seqs = |log: Vec<Chained>| log.iter().map(|r| r.seq).collect::<Vec<_>>();
    assert_eq!(seqs(store.audit_log(&ann, None, 2).await.unwrap()), [6, 4]);
    let some = AuditFilter {
        since: Some(Timestamp(2000)),
        until: Some(Timestamp(6000)),
        action: Some("assignment.arm".into()),
        actor: Some("ann".into()),
        target: Some("assignment 4".into()),
    };
    assert_eq!(seqs(store.audit_after(&some, 0, 10).await.unwrap()), [4]);
    let none = AuditFilter { target: Some("assignment 1".into()), ..some };
    assert_eq!(seqs(store.audit_after(&none, 0, 10).await.unwrap()), [0; 0]);
}

/// Statements that change history are refused, whoever sends them.
async fn refusals(store: &Store) {
    for sql in [
        "UPDATE audit_log SET actor = 'eve' WHERE seq = 3",
        "UPDATE audit_log SET hash = NULL WHERE seq = 3",
        "DELETE FROM audit_log WHERE seq = 70",
        "DELETE FROM audit_log",
        "DELETE FROM audit_head",
        "INSERT INTO audit_log SELECT * FROM audit_log WHERE seq = 3",
    ] {
        assert!(raw(store, sql).await.is_err(), "{sql}");
    }
    let emptied = if store.is_sqlite() {
        "INSERT OR REPLACE INTO audit_log SELECT * FROM audit_log WHERE seq = 3"
    } else {
        "TRUNCATE audit_log"
    };
    assert!(raw(store, emptied).await.is_err());
}

/// Who owns the database can do all of it, and is found out.
async fn tampering(store: &Store, whole: Link) {
    let off = if store.is_sqlite() {
        "DROP TRIGGER audit_log_is_not_changed; DROP TRIGGER audit_log_is_not_deleted"
    } else {
        "ALTER TABLE audit_log DISABLE TRIGGER USER"
    };
    raw(store, "CREATE TABLE kept AS SELECT * FROM audit_log").await.unwrap();
    raw(store, off).await.unwrap();
    let head =
        format!("UPDATE audit_head SET seq = 70, hash = '{}', base_hash = '{}'", whole.hash, Digest([0; 32]));
    let cases = [
        ("UPDATE audit_log SET actor = 'eve' WHERE seq = 30", 30, What::Changed),
        ("UPDATE audit_log SET after_value = NULL WHERE seq = 1", 1, What::Changed),
        ("UPDATE audit_log SET at = at + 1 WHERE seq = 70", 70, What::Changed),
        ("UPDATE audit_log SET hash = NULL WHERE seq = 8", 8, What::Changed),
        ("DELETE FROM audit_log WHERE seq = 30", 30, What::Missing),
        ("DELETE FROM audit_log WHERE seq < 5", 1, What::Missing),
        ("DELETE FROM audit_log WHERE seq > 68", 69, What::Truncated),
        ("DELETE FROM audit_log", 1, What::Truncated),
        (
            "UPDATE audit_log SET seq = 900 WHERE seq = 30; UPDATE audit_log SET seq = 30 WHERE seq = 31; \
             UPDATE audit_log SET seq = 31 WHERE seq = 900",
            30,
            What::Reordered,
        ),
        (
            "INSERT INTO audit_log SELECT 71, at, 'eve', action, target, peer, before_value, after_value, hash \
             FROM audit_log WHERE seq = 30",
            71,
            What::Changed,
        ),
        ("UPDATE audit_head SET seq = 69", 70, What::Inserted),
        ("UPDATE audit_head SET seq = 72", 71, What::Truncated),
        ("UPDATE audit_head SET hash = base_hash", 70, What::Changed),
        ("UPDATE audit_head SET base_hash = hash", 1, What::Changed),
    ];
    for (sql, seq, what) in cases {
        raw(store, sql).await.unwrap();
        assert_eq!(verified(store).await, Err((seq, what)), "{sql}");
        let back = "DELETE FROM audit_log; INSERT INTO audit_log SELECT * FROM kept";
        raw(store, &format!("{back}; {head}")).await.unwrap();
        assert_eq!(verified(store).await, Ok(whole), "after {sql}");
    }
    if !store.is_sqlite() {
        raw(store, "ALTER TABLE audit_log ENABLE TRIGGER USER").await.unwrap();
    }
    raw(store, "DROP TABLE kept").await.unwrap();
}

async fn pruning(store: &Store) {
    let before = store.audit_after(&AuditFilter::default(), 0, 100).await.unwrap();
    let now = By::system(Timestamp(71_000));
    assert_eq!(store.prune_audit(Timestamp(1000), &now).await.unwrap(), 0);
    assert_eq!(store.prune_audit(Timestamp(11_000), &now).await.unwrap(), 10);
    assert_eq!(store.prune_audit(Timestamp(11_000), &now).await.unwrap(), 0);
    let found = store.verify_audit(None).await.unwrap();
    assert_eq!((found.problem, found.first, found.records, found.head.seq), (None, 11, 61, 71));
    let told = &store.audit(None, 1).await.unwrap()[0];
    assert_eq!((told.action.as_str(), told.actor.as_str()), ("audit.prune", "system"));
    assert_eq!(told.before, Some(json!({"first": 1, "last": 10, "hash": before[9].hash})));
    // What is left begins with what went.
    assert_eq!(store.audit_after(&AuditFilter::default(), 0, 1).await.unwrap()[0].prev, before[9].hash);
    for (seq, what) in [(10, None), (9, Some(What::Pruned))] {
        let kept = Link { seq, hash: before[seq as usize - 1].hash };
        let found = store.verify_audit(Some(kept)).await.unwrap();
        assert_eq!(found.problem.map(|problem| problem.what), what);
    }
    // All of it, and the log goes on.
    store.prune_audit(Timestamp(1_000_000), &By::system(Timestamp(2_000_000))).await.unwrap();
    let found = store.verify_audit(None).await.unwrap();
    assert_eq!((found.problem, found.first, found.records), (None, 72, 1));
}

async fn sinks(store: &Store) {
    let t = |seconds: i64| Timestamp(seconds * 1000);
    assert_eq!(store.sink_lag("syslog").await.unwrap(), None);
    store.sink_begin("syslog").await.unwrap();
    store.append_audits(&[record(1), record(2)]).await.unwrap();
    store.sink_begin("syslog").await.unwrap();
    assert_eq!(store.sink_lag("syslog").await.unwrap(), Some(2), "from the next record on");
    assert_eq!(store.sink_take("syslog", "a", t(1), t(31)).await.unwrap(), Some(72));
    assert_eq!(store.sink_take("syslog", "b", t(2), t(32)).await.unwrap(), None, "one at a time");
    store.sink_sent("syslog", "b", 74).await.unwrap();
    assert_eq!(store.sink_lag("syslog").await.unwrap(), Some(2), "only its holder moves it");
    store.sink_sent("syslog", "a", 73).await.unwrap();
    assert_eq!(store.sink_take("syslog", "b", t(31), t(61)).await.unwrap(), Some(73), "leases run out");
    store.sink_sent("syslog", "b", 74).await.unwrap();
    assert_eq!(store.sink_lag("syslog").await.unwrap(), Some(0));
}

async fn one_password_in_three_fields(store: &Store) {
    let url = || "http://u:hunter2@other.example/x".parse().unwrap();
    let spec = ProfileSpec {
        kernel_path: Some(url()),
        initrd_path: Some(url()),
        extra_initrds: vec![url()],
        ..profile("urls", false)
    };
    store.create_profile("p9", &spec, &by(1)).await.unwrap();
    let shown = store.audit(None, 1).await.unwrap()[0].after.clone().unwrap();
    let fields = [&shown["kernel_path"], &shown["initrd_path"], &shown["extra_initrds"][0]];
    let told: BTreeSet<&str> = fields.iter().filter_map(|field| field.as_str()).collect();
    assert!(told.len() == 3 && told.iter().all(|url| url.contains("hmac:")), "{told:?}");
    assert!(!shown.to_string().contains("hunter2"), "{shown}");
}

/// On an empty database: records of a version without a chain are numbered anew and chained, and a
/// start that was cut off in the middle is gone on with.
pub(crate) async fn older_records(store: &Store) {
    let texts = if store.is_sqlite() {
        [
            include_str!("../../migrations/sqlite/0001_initial.sql"),
            include_str!("../../migrations/sqlite/0002_assets.sql"),
            include_str!("../../migrations/sqlite/0003_audit.sql"),
        ]
    } else {
        [
            include_str!("../../migrations/postgres/0001_initial.sql"),
            include_str!("../../migrations/postgres/0002_assets.sql"),
            include_str!("../../migrations/postgres/0003_audit.sql"),
        ]
    };
    raw(store, texts[0]).await.unwrap();
    raw(store, texts[1]).await.unwrap();
    let rows: Vec<String> = (1..=1200)
        .map(|n| format!("({}, {n}, 'ann', 'old', 't', NULL, NULL, '{{\"n\":{n}}}')", n * 3))
        .collect();
    raw(store, &format!("INSERT INTO audit_log VALUES {}", rows.join(", "))).await.unwrap();
    raw(store, texts[2]).await.unwrap();
    assert_eq!(store.audit_log(&AuditFilter::default(), None, 1).await.unwrap()[0].seq, 1200);
    store.chain_older_records().await.unwrap();
    let found = store.verify_audit(None).await.unwrap();
    assert_eq!((found.problem, found.records, found.head.seq), (None, 1200, 1200));
    store.chain_older_records().await.unwrap();
    store.append_audit(&record(1)).await.unwrap();
    assert_eq!(verified(store).await.unwrap().seq, 1201);
}

/// Deliveries, changes and records of their own, all at once: no gap, no deadlock, one order.
pub(crate) async fn crowd(store: &Arc<Store>) {
    let site = Site::default();
    let t = Timestamp(1_000_000);
    store.create_profile("p1", &profile("safe", false), &by(1)).await.unwrap();
    for n in 1..=60 {
        store
            .create_assignment(&format!("a{n}"), &machine(n, "p1"), &armed(false, &site, t), &by(1))
            .await
            .unwrap();
        start(store, n, n as u8, &site, t).await;
    }
    let before = store.audit(None, 1).await.unwrap()[0].seq;
    let mut tasks = Vec::new();
    for n in 1..=50_u16 {
        let (one, site) = (store.clone(), site.clone());
        tasks.push(tokio::spawn(async move {
            assert_eq!(fetch(&one, n, n as u8, 1, &site, t).await, Some(Redeemed::First));
        }));
        if n % 5 == 0 {
            let one = store.clone();
            tasks.push(tokio::spawn(async move { arm(&one, 50 + n / 5, false, &Site::default(), t).await }));
            let one = store.clone();
            tasks.push(tokio::spawn(async move { one.append_audit(&record(1)).await.unwrap() }));
        }
    }
    for task in tasks {
        task.await.unwrap();
    }
    let log = store.audit(None, 1000).await.unwrap();
    let seqs: BTreeSet<i64> = log.iter().map(|r| r.seq).collect();
    assert_eq!((seqs.len(), log[0].seq), (log.len(), before + 70));
    assert_eq!(log.iter().filter(|r| r.action == "config.deliver").count(), 50);
    assert_eq!(verified(store).await.unwrap().seq, before + 70);
}
