//! T14: gaps in the audit log, and changes to it. A server that is killed leaves a log that is
//! whole; a log that was changed behind the server's back is found out, and the record is named.

use crate::server::{Server, Setup, until};
use crate::site::{self, mac, machine};
use moxxie_core::audit::{Link, What};
use reqwest::Method;
use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, Row};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What was acknowledged, as `action target`.
type Acknowledged = Arc<Mutex<BTreeSet<String>>>;

async fn database(dir: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(dir.join("moxxie.db")).connect().await.unwrap()
}

/// Assigns machines, boots them and fetches their configs until the server is gone; beside that,
/// somebody knocks without a token.
async fn busy(server: &Server, next: &Arc<AtomicU32>, acknowledged: &Acknowledged) {
    let tasks: Vec<_> = (0..3)
        .map(|_| {
            let (client, next, acknowledged) = (server.client.clone(), next.clone(), acknowledged.clone());
            tokio::spawn(async move {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let done = |action: &str| {
                        acknowledged.lock().unwrap().insert(format!("{action} assignment {}", mac(n)));
                    };
                    let post = client.request(Method::POST, "/api/v1/boot/assignments");
                    let Some(reply) = client.try_send(post.json(&machine(n, "wipe", true))).await else {
                        return;
                    };
                    reply.is(201);
                    done("assignment.create");
                    let knock = client.with(None).request(Method::GET, "/api/v1/tokens");
                    let Some(_) = client.try_send(knock).await else { return };
                    let menu = client.request(Method::GET, &format!("/boot/menu.ipxe?mac={}", mac(n)));
                    let Some(menu) = client.try_send(menu).await else { return };
                    let config = client.request(Method::GET, &menu.config_path());
                    let Some(config) = client.try_send(config).await else { return };
                    config.is(200);
                    done("config.deliver");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

async fn whole(server: &Server) -> Value {
    let verdict = server.client.get("/api/v1/audit/verify").await.is(200).value();
    assert_eq!(verdict["ok"], true, "{verdict}");
    verdict
}

#[tokio::test(flavor = "multi_thread")]
async fn t14_a_killed_server_leaves_an_audit_log_without_gaps() {
    let dir = tempfile::tempdir().unwrap();
    let setup = Setup::new(dir.path());
    let next = Arc::new(AtomicU32::new(1));
    let acknowledged = Acknowledged::default();
    let mut server = setup.start().await;
    site::furnish(&server.client).await;
    let mut kept: Vec<String> = vec![];
    for _ in 0..10 {
        let before = acknowledged.lock().unwrap().len();
        let killer = async {
            let more = async || (acknowledged.lock().unwrap().len() > before + 1).then_some(());
            until("a change", more).await;
            tokio::time::sleep(Duration::from_micros(rand::random_range(0..60_000))).await;
            crate::server::signal("KILL", server.id());
        };
        tokio::join!(killer, busy(&server, &next, &acknowledged));
        server.kill();
        server = setup.start().await;
        let verdict = whole(&server).await;
        kept.push(format!("{}:{}", verdict["last"], verdict["head"].as_str().unwrap()));
        let log = site::all(&server.client, "/api/v1/audit").await;
        let there: BTreeSet<String> = log
            .iter()
            .map(|r| format!("{} {}", r["action"].as_str().unwrap(), r["target"].as_str().unwrap()))
            .collect();
        for done in acknowledged.lock().unwrap().iter() {
            assert!(there.contains(done), "{done} was acknowledged and has no record");
        }
    }
    // Every head that was ever shown is still in the chain.
    for head in kept {
        let verdict = server.client.get(&format!("/api/v1/audit/verify?head={head}")).await.is(200).value();
        assert_eq!(verdict["ok"], true, "{head}: {verdict}");
    }
    let starts = server.client.get("/api/v1/audit?action=server.start").await.is(200).value();
    assert_eq!(starts["items"].as_array().unwrap().len(), 11);
    assert_eq!(server.stop().await, Some(0));
    let mut connection = database(dir.path()).await;
    let last = connection.fetch_one("SELECT action FROM audit_log ORDER BY seq DESC LIMIT 1").await.unwrap();
    assert_eq!(last.get::<String, _>(0), "server.stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn t14_a_log_that_was_tampered_with_names_the_record() {
    let dir = tempfile::tempdir().unwrap();
    let setup = Setup::new(dir.path());
    let mut server = setup.start().await;
    site::furnish(&server.client).await;
    for n in 1..=10 {
        site::assign(&server.client, n, "safe", false).await;
    }
    assert_eq!(server.stop().await, Some(0));
    let mut connection = database(dir.path()).await;
    let count: i64 = connection.fetch_one("SELECT MAX(seq) FROM audit_log").await.unwrap().get(0);
    for sql in ["UPDATE audit_log SET actor = 'eve' WHERE seq = 5", "DELETE FROM audit_log WHERE seq = 5"] {
        assert!(connection.execute(sql).await.is_err(), "{sql}");
    }
    connection
        .execute("DROP TRIGGER audit_log_is_not_changed; DROP TRIGGER audit_log_is_not_deleted; DROP TRIGGER audit_log_is_not_replaced; PRAGMA wal_checkpoint(TRUNCATE)")
        .await
        .unwrap();
    connection.close().await.unwrap();
    let file = dir.path().join("moxxie.db");
    let copy = std::fs::read(&file).unwrap();
    let last = format!("DELETE FROM audit_log WHERE seq > {}", count - 2);
    let ways: [(&str, i64, What); 7] = [
        ("UPDATE audit_log SET target = 'assignment 52:54:00:00:00:09' WHERE seq = 7", 7, What::Changed),
        (
            "UPDATE audit_log SET after_value = json_set(after_value, '$.x', 1) WHERE seq = 8",
            8,
            What::Changed,
        ),
        ("DELETE FROM audit_log WHERE seq = 9", 9, What::Missing),
        ("DELETE FROM audit_log WHERE seq <= 3", 1, What::Missing),
        (&last, count - 1, What::Truncated),
        (
            "UPDATE audit_log SET seq = -1 WHERE seq = 6; UPDATE audit_log SET seq = 6 WHERE seq = 7; \
             UPDATE audit_log SET seq = 7 WHERE seq = -1",
            6,
            What::Reordered,
        ),
        // Everything after it moved on by one, to make room.
        (
            "UPDATE audit_log SET seq = -seq - 1 WHERE seq >= 6; UPDATE audit_log SET seq = -seq WHERE seq < 0; \
             INSERT INTO audit_log SELECT 6, at, 'eve', action, target, peer, before_value, after_value, hash \
             FROM audit_log WHERE seq = 5; UPDATE audit_head SET seq = seq + 1",
            6,
            What::Reordered,
        ),
    ];
    for (sql, seq, what) in ways {
        for name in ["moxxie.db-wal", "moxxie.db-shm"] {
            std::fs::remove_file(dir.path().join(name)).ok();
        }
        std::fs::write(&file, &copy).unwrap();
        let mut connection = database(dir.path()).await;
        connection.execute(AssertSqlSafe(sql.to_owned())).await.unwrap();
        connection.close().await.unwrap();
        let store = moxxie_store::testing::open(&format!("sqlite://{}", file.display())).await.unwrap();
        let problem = store.verify_audit(None).await.unwrap().problem.unwrap_or_else(|| panic!("{sql}"));
        assert_eq!((problem.seq, problem.what), (seq, what), "{sql}");
        store.close().await;
    }
    // The server says the same, and so does the command, with an exit code.
    let mut server = setup.start().await;
    let verdict = server.client.get("/api/v1/audit/verify").await.is(200).value();
    assert_eq!((&verdict["ok"], verdict["problem"]["seq"].as_i64()), (&Value::Bool(false), Some(6)));
    let said = server.command(&["audit", "verify"]).output().unwrap();
    assert_eq!(said.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&said.stdout).starts_with("broken: record 6 reordered"), "{said:?}");
    assert_eq!(server.stop().await, Some(0));
    // What it wrote since then is there all the same.
    let store = moxxie_store::testing::open(&format!("sqlite://{}", file.display())).await.unwrap();
    assert_eq!(store.audit(None, 1).await.unwrap()[0].action, "server.stop");
    let zero: Link = format!("0:{}", "0".repeat(64)).parse().unwrap();
    assert!(store.verify_audit(Some(zero)).await.unwrap().problem.is_some());
}
