//! The databases, and what is particular to each.

use super::audit::{chain, crowd, older_records};
use super::bounded::bounded;
use super::bytes::{bytes, older_schema};
use super::collecting::collecting;
use super::loaders::loaders;
use super::moves::moves;
use super::races::races;
use super::secrets::secrets;
use super::story::story;
use super::*;

async fn file(dir: &tempfile::TempDir) -> Store {
    open(&format!("sqlite://{}/sub/moxxie.db", dir.path().display())).await.unwrap()
}

/// A server spawns these; the error type of a step need not be `Send`.
#[allow(dead_code)]
fn futures_can_be_spawned(store: &'static Store) {
    fn spawned(_: impl Future + Send) {}
    type Local = std::rc::Rc<()>;
    let site: &'static Site = Box::leak(Box::default());
    let none: &'static BootClaims = Box::leak(Box::default());
    spawned(store.boot_alone::<(), ()>(none, None, |_| Ok((None, ()))));
    spawned(store.redeem::<(), Local>(SessionId([0; 16]), site, Timestamp(0), |_, _| Err(Local::default())));
    spawned(store.report::<Local>(SessionId([0; 16]), Timestamp(0), |_, _| Err(Local::default())));
    let by: &'static By = Box::leak(Box::new(by(0)));
    spawned(store.change_assignment::<Local>(mac(1), None, "x", by, |_| Err(Local::default())));
    spawned(store.apply(&[], by));
    spawned(store.migrate());
    spawned(store.backup());
    spawned(store.load(None));
    spawned(store.settle(site, Timestamp(0)));
}

#[tokio::test]
async fn sqlite_tells_the_story() {
    let dir = tempfile::tempdir().unwrap();
    let store = file(&dir).await;
    story(&store).await;
    bytes(&store).await;
    loaders(&store).await;
}

#[tokio::test]
async fn sqlite_keeps_a_bounded_number_of_sessions_and_reports() {
    bounded(&migrated("sqlite::memory:").await).await;
}

#[tokio::test]
async fn sqlite_in_memory_tells_the_story() {
    let store = open("sqlite::memory:").await.unwrap();
    story(&store).await;
    bytes(&store).await;
    loaders(&store).await;
}

#[tokio::test]
async fn sqlite_keeps_secrets_sealed() {
    let dir = tempfile::tempdir().unwrap();
    secrets(&format!("sqlite://{}/moxxie.db", dir.path().display())).await;
    // Nor do pages that are not used any more tell them.
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let text = String::from_utf8_lossy(&std::fs::read(file.unwrap().path()).unwrap()).into_owned();
        assert!(!text.contains("hunter2") && !text.contains("s3cret"));
    }
}

#[tokio::test]
async fn postgres_keeps_secrets_sealed() {
    let Some(server) = TestPostgres::start().await else { return };
    secrets(&server.database().await).await;
}

async fn migrated(url: &str) -> Arc<Store> {
    let store = open(url).await.unwrap();
    store.migrate().await.unwrap();
    Arc::new(store)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_keeps_its_word_when_things_happen_at_once() {
    let dir = tempfile::tempdir().unwrap();
    races(&migrated(&format!("sqlite://{}/moxxie.db", dir.path().display())).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_loses_no_bytes_when_they_are_put_and_collected_at_once() {
    let dir = tempfile::tempdir().unwrap();
    collecting(&migrated(&format!("sqlite://{}/moxxie.db", dir.path().display())).await).await;
    older_schema(&open("sqlite::memory:").await.unwrap()).await;
}

#[tokio::test]
async fn sqlite_files_are_private_and_errors_name_the_place() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let store = file(&dir).await;
    store.migrate().await.unwrap();
    store.create_profile("p1", &profile("safe", false), &by(1)).await.unwrap();
    for entry in std::fs::read_dir(dir.path().join("sub")).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.path());
    }
    store.close().await;
    assert!(matches!(store.version().await, Err(StoreError::Unavailable(_))));
    std::fs::write(dir.path().join("file"), b"").unwrap();
    let error = open(&format!("sqlite://{}/file/x.db", dir.path().display())).await.err().unwrap();
    assert!(error.to_string().contains("file/x.db"), "{error}");
    std::fs::write(dir.path().join("junk.db"), [b'x'; 5000]).unwrap();
    let junk = open(&format!("sqlite://{}/junk.db", dir.path().display())).await.unwrap();
    assert!(matches!(junk.migrate().await, Err(StoreError::Unavailable(_))));
}

#[tokio::test]
async fn urls_that_cannot_be_used_do_not_show_their_password() {
    for url in
        ["mysql://u:hunter2@h/d", "hunter2", "postgres://u:hunter2@h:port/d", "postgres://u:hunter2@[::/d"]
    {
        let error = open(url).await.err().unwrap();
        assert!(
            matches!(error, StoreError::Unavailable(_)) && !error.to_string().contains("hunter2@"),
            "{error}"
        );
    }
    let down = open("postgres://u:hunter2@127.0.0.1:1/d").await.unwrap();
    let error = down.version().await.unwrap_err();
    assert!(matches!(&error, StoreError::Unavailable(text) if !text.contains("hunter2")), "{error}");
    let error = down.migrate().await.unwrap_err();
    assert!(matches!(&error, StoreError::Unavailable(text) if !text.contains("hunter2")), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_tells_the_same() {
    let Some(server) = TestPostgres::start().await else { return };
    let dir = tempfile::tempdir().unwrap();
    let store = open(&server.database().await).await.unwrap();
    story(&store).await;
    bytes(&store).await;
    loaders(&store).await;

    let lite = migrated(&format!("sqlite://{}/moxxie.db", dir.path().display())).await;
    assert_eq!(schema(&store).await, schema(&lite).await);
    assert!(schema(&lite).await.len() > 100);

    bounded(&migrated(&server.database().await).await).await;
    races(&migrated(&server.database().await).await).await;
    collecting(&migrated(&server.database().await).await).await;
    older_schema(&open(&server.database().await).await.unwrap()).await;

    let fresh = async || open(&server.database().await).await.unwrap();
    moves(&lite, &fresh().await).await;
    let dir = tempfile::tempdir().unwrap();
    moves(&fresh().await, &file(&dir).await).await;

    // Six replicas start at once on an empty database.
    let url = server.database().await;
    let starts: Vec<_> = (0..6)
        .map(|_| {
            tokio::spawn({
                let url = url.clone();
                async move { migrated(&url).await }
            })
        })
        .collect();
    for start in starts {
        start.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_postgres_is_an_outage_and_ends() {
    let Some(mut server) = TestPostgres::start().await else { return };
    let url = server.database().await;
    server.stop(Stop::Fast);
    // Down at start: the store opens, and says why it cannot answer.
    let store = open(&url).await.unwrap();
    assert!(matches!(store.migrate().await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.ping().await, Err(StoreError::Unavailable(_))));
    server.start_again().await;
    assert!(matches!(store.ping().await, Err(StoreError::Unavailable(_))), "no schema yet");
    store.migrate().await.unwrap();
    let now = store.ping().await.unwrap().unwrap();
    assert!(now > Timestamp(1_600_000_000_000));
    store.create_profile("p1", &profile("safe", false), &by(1)).await.unwrap();
    // What was acknowledged survives a crash; the pool finds its way back by itself.
    for n in 0..3_u16 {
        store
            .create_assignment(&format!("a{n}"), &machine(n, "p1"), &BootRecord::default(), &by(1))
            .await
            .unwrap();
        server.stop(if n == 1 { Stop::Fast } else { Stop::Crash });
        let down = store.assignment(mac(n)).await;
        assert!(matches!(down, Err(StoreError::Unavailable(_))), "{down:?}");
        server.start_again().await;
        assert!(store.assignment(mac(n)).await.unwrap().is_some());
    }
    // A server that takes no writes, as an old primary after a failover: the connection is
    // not kept, and the next one finds the server that does.
    let writable = async |yes: bool| {
        let name = url.split('?').next().unwrap().rsplit('/').next().unwrap();
        let value = if yes { "off" } else { "on" };
        let mut tx = store.read().await.unwrap();
        let sql = format!("ALTER DATABASE {name} SET default_transaction_read_only = {value}");
        tx.execute("SET default_transaction_read_only = off", args![]).await.unwrap();
        tx.execute(AssertSqlSafe(sql), args![]).await.unwrap();
    };
    writable(false).await;
    let other = open(&url).await.unwrap();
    assert!(matches!(other.touch_token("t", Timestamp(1)).await, Err(StoreError::Unavailable(_))));
    assert!(other.version().await.is_ok(), "reads go on");
    writable(true).await;
    for _ in 0..2 {
        other.touch_token("t", Timestamp(1)).await.ok();
    }
    other.touch_token("t", Timestamp(1)).await.unwrap();
    // A statement that waits too long for a lock is given up.
    let mut tx = store.write().await.unwrap();
    tx.execute("SELECT 1 FROM config_version FOR UPDATE", args![]).await.unwrap();
    let blocked = store.create_profile("p2", &profile("other", false), &by(1)).await;
    assert!(matches!(blocked, Err(StoreError::Unavailable(_))), "{blocked:?}");
    drop(tx);
    store.create_profile("p2", &profile("other", false), &by(1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_backup_moves_and_processes_share_a_file() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    moves(&file(&a).await, &file(&b).await).await;
    // The service and the command line on one new file at once.
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/moxxie.db", dir.path().display());
    let starts: Vec<_> = (0..4)
        .map(|_| {
            tokio::spawn({
                let url = url.clone();
                async move { migrated(&url).await }
            })
        })
        .collect();
    for start in starts {
        start.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_keeps_an_audit_log_that_cannot_be_changed_unseen() {
    let dir = tempfile::tempdir().unwrap();
    let url = |name: &str| format!("sqlite://{}/{name}.db", dir.path().display());
    chain(&open(&url("chain")).await.unwrap()).await;
    older_records(&open(&url("older")).await.unwrap()).await;
    crowd(&migrated(&url("crowd")).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_keeps_an_audit_log_that_cannot_be_changed_unseen() {
    let Some(server) = TestPostgres::start().await else { return };
    chain(&open(&server.database().await).await.unwrap()).await;
    older_records(&open(&server.database().await).await.unwrap()).await;
    crowd(&migrated(&server.database().await).await).await;
}
