//! `kill -9` at any moment: the file stays sound and every acknowledged write is in it.
#![allow(clippy::disallowed_methods)]

use crate::conformance::{by, mac, machine, profile};
use crate::db::args;
use crate::testing::TestPostgres;
use moxxie_core::boot::state::BootRecord;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const URL: &str = "MOXXIE_TEST_VICTIM_URL";
const ACKNOWLEDGED: &str = "MOXXIE_TEST_VICTIM_FILE";

/// The process that is killed: runs in another process of this test program, and does nothing
/// when the tests are run.
#[tokio::test]
async fn victim() {
    let (Ok(url), Ok(file)) = (std::env::var(URL), std::env::var(ACKNOWLEDGED)) else { return };
    let mut acknowledged = std::fs::OpenOptions::new().create(true).append(true).open(file).unwrap();
    let store = crate::testing::open(&url).await.unwrap();
    store.migrate().await.unwrap();
    let start = store.audit(None, 1).await.unwrap().first().map_or(0, |record| record.seq);
    if store.profile("p1").await.unwrap().is_none() {
        store.create_profile("p1", &profile("safe", false), &by(1)).await.unwrap();
    }
    for n in start.. {
        let n = u16::try_from(n + 10).unwrap();
        let id = format!("a{n}");
        store.create_assignment(&id, &machine(n, "p1"), &BootRecord::default(), &by(1)).await.unwrap();
        writeln!(acknowledged, "{n}").unwrap();
    }
}

/// Starts the victim, lets it acknowledge so many writes and then live a little longer, kills
/// it, and checks that what it was told had been written is there.
async fn one_life(url: &str, file: &Path, writes: usize, life: Duration) -> usize {
    let written = || std::fs::read_to_string(file).unwrap_or_default().lines().count();
    let before = written();
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crashes::victim", "--test-threads=1"])
        .env(URL, url)
        .env(ACKNOWLEDGED, file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    for _ in 0..3000 {
        if written() >= before + writes {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(life).await;
    assert!(victim.try_wait().unwrap().is_none(), "it should have gone on until it was killed");
    victim.kill().unwrap();
    victim.wait().unwrap();

    let store = crate::testing::open(url).await.unwrap();
    store.migrate().await.unwrap();
    let mut tx = store.read().await.unwrap();
    if tx.is_sqlite() {
        let row = tx.row("PRAGMA integrity_check", args![]).await.unwrap().unwrap();
        assert_eq!(row.text("integrity_check").unwrap(), "ok");
    }
    drop(tx);
    let acknowledged = std::fs::read_to_string(file).unwrap_or_default();
    for n in acknowledged.lines().map(|line| line.parse().unwrap()) {
        assert!(store.assignment(mac(n)).await.unwrap().is_some(), "{n} was acknowledged and is gone");
    }
    // Whole transactions: no assignment without its addresses and its audit record.
    let log = store.audit(None, 100_000).await.unwrap();
    let all = store.load(None).await.unwrap().assignments;
    assert_eq!(log.iter().filter(|record| record.action == "assignment.create").count(), all.len());
    for assignment in &all {
        assert!(store.assignment(assignment.spec.mac_address).await.unwrap().is_some());
    }
    store.close().await;
    acknowledged.lines().count()
}

#[tokio::test]
async fn a_killed_service_loses_nothing_that_it_said_was_written() {
    let dir = tempfile::tempdir().unwrap();
    // Most early deaths hit the opening and the migration of a new file.
    for round in 0..12_u64 {
        let url = format!("sqlite://{}/{round}.db", dir.path().display());
        let file = dir.path().join(format!("{round}.txt"));
        one_life(&url, &file, 0, Duration::from_millis(3 + 4 * round)).await;
    }
    let url = format!("sqlite://{}/long.db", dir.path().display());
    let mut written = 0;
    for round in 0..8_u64 {
        let life = Duration::from_micros(1700 * round);
        written = one_life(&url, &dir.path().join("long.txt"), 5, life).await;
    }
    assert!(written >= 40, "{written} writes");
}

#[tokio::test]
async fn a_killed_replica_leaves_postgres_in_order() {
    let Some(server) = TestPostgres::start().await else { return };
    let dir = tempfile::tempdir().unwrap();
    for round in 0..8_u64 {
        let url = server.database().await;
        let file = dir.path().join(format!("{round}.txt"));
        one_life(&url, &file, 0, Duration::from_millis(10 + 12 * round)).await;
    }
    let url = server.database().await;
    let mut written = 0;
    for round in 0..3_u64 {
        let life = Duration::from_micros(1700 * round);
        written = one_life(&url, &dir.path().join("long.txt"), 10, life).await;
    }
    assert!(written >= 30, "{written} writes");
}
