//! The database is away: not there at the start, gone in the middle, or hanging. Disks stay safe,
//! armed machines wait, and when it is back nothing needs a restart.

use crate::client::{Client, Reply};
use crate::postgres::{Way, connect, freeze};
use crate::server::{Setup, until};
use crate::site::{self, KERNEL, arm, assign, mac, state};
use futures_util::future::join_all;
use moxxie_store::testing::{Stop, TestPostgres};
use reqwest::Method;
use serde_json::json;
use sqlx::{Executor, Row};

async fn ready(client: &Client) {
    until("/readyz", async || (client.get("/readyz").await.status == 200).then_some(())).await;
}

/// What is expected of an answer.
#[derive(Clone, Copy)]
enum Want {
    /// 200.
    Fine,
    /// A script that leaves the disk alone.
    Calm,
    /// 503 with `Retry-After`.
    Wait,
    /// The bytes of a file.
    Kernel,
}

/// Asks all at once: each may take the seconds that the product is patient for.
async fn answers(client: &Client, questions: Vec<(Want, Method, String)>) {
    let asked = questions.into_iter().map(|(want, method, path)| {
        let client = client.clone();
        tokio::spawn(async move {
            let mut request = client.request(method.clone(), &path);
            if method == Method::POST && path.ends_with("profiles") {
                request = request.json(&site::safe());
            }
            (want, client.send(request).await)
        })
    });
    for answer in join_all(asked).await {
        match answer.unwrap() {
            (Want::Fine, reply) => drop(reply.is(200)),
            (Want::Calm, reply) => reply.is_calm(),
            (Want::Wait, reply) => reply.must_wait(),
            (Want::Kernel, reply) => assert_eq!(reply.is(200).body, KERNEL),
        }
    }
}

fn get(want: Want, path: impl Into<String>) -> (Want, Method, String) {
    (want, Method::GET, path.into())
}

fn post(want: Want, path: impl Into<String>) -> (Want, Method, String) {
    (want, Method::POST, path.into())
}

/// What holds whenever the database does not answer, whatever is known in memory.
async fn away(client: &Client) {
    let token = "A".repeat(43);
    let questions = vec![
        get(Want::Fine, "/livez"),
        get(Want::Fine, "/metrics"),
        get(Want::Fine, "/boot/menu.ipxe"),
        get(Want::Wait, "/api/v1/boot/profiles"),
        get(Want::Wait, "/api/v1/boot/explain?mac=52:54:00:00:00:01"),
        get(Want::Wait, "/api/v1/boot/events"),
        get(Want::Wait, "/api/v1/audit"),
        post(Want::Wait, "/api/v1/boot/profiles"),
        post(Want::Wait, "/api/v1/boot/assignments/52:54:00:00:00:01/arm"),
        get(Want::Wait, format!("/boot/configs/safe/{}?t={token}", mac(1))),
        post(Want::Wait, format!("/boot/report?t={token}&stage=installed")),
        // An outage is never "no such file".
        get(Want::Wait, "/boot/assets/safe/never-heard-of"),
    ];
    // A token that only the database knows is neither good nor bad now.
    let stranger = client.with(Some("mox_0123456789012345678901234567890123456789012"));
    let only = vec![get(Want::Wait, "/api/v1/boot/profiles")];
    let (not_ready, (), ()) =
        tokio::join!(client.get("/readyz"), answers(client, questions), answers(&stranger, only));
    assert!(not_ready.text().contains("database"), "{}", not_ready.text());
    not_ready.is(503);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_down_at_the_start_is_waited_for() {
    let Some(mut database) = TestPostgres::start().await else { return };
    let url = database.database().await;
    database.stop(Stop::Fast);
    let dir = tempfile::tempdir().unwrap();
    let mut server = Setup::replica(dir.path(), &url).start().await;
    let client = server.client.clone();
    away(&client).await;
    // Nothing is known of any machine: the disk.
    for n in [1, 2] {
        client.menu(&mac(n)).await.is_calm();
        client.get(&format!("/boot/safe.ipxe?mac={}", mac(n))).await.is_calm();
    }

    database.start_again().await;
    ready(&client).await;
    site::furnish(&client).await;
    assign(&client, 1, "safe", true).await;
    let script = client.menu(&mac(1)).await;
    assert!(script.boots(), "{}", script.text());
    client.get(&script.config_path()).await.is(200);
    assert!(server.lives());
    assert_eq!(server.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_at_the_databases_address() {
    let dir = tempfile::tempdir().unwrap();
    let url = "postgres://moxxie:pw-that-nobody-should-read@127.0.0.1:1/moxxie";
    let mut server = Setup::replica(dir.path(), url).config("[log]\nlevel = \"debug\"\n").start().await;
    away(&server.client).await;
    server.client.menu(&mac(1)).await.is_calm();
    let reason = server.client.get("/readyz").await.text();
    assert_eq!(server.stop().await, Some(0));
    for text in [reason, server.err.text(), server.out.text()] {
        assert!(!text.contains("pw-that-nobody"), "{text}");
    }
}

/// Machines in every state, each known to the memory of the replica that is asked.
struct Cast {
    /// Has its token.
    booting: Reply,
    /// Has its config.
    delivered: Reply,
}

const LOCAL: u32 = 1;
const ARMED: u32 = 2;
const BOOTING: u32 = 3;
const DELIVERED: u32 = 4;
const STRANGER: u32 = 9;

async fn cast(client: &Client) -> Cast {
    site::furnish(client).await;
    assign(client, LOCAL, "wipe", false).await;
    assign(client, ARMED, "wipe", true).await;
    assign(client, BOOTING, "safe", true).await;
    assign(client, DELIVERED, "wipe", true).await;
    let booting = client.menu(&mac(BOOTING)).await;
    let delivered = client.menu(&mac(DELIVERED)).await;
    client.get(&delivered.config_path()).await.is(200);
    client.menu(&mac(LOCAL)).await.is_calm();
    Cast { booting, delivered }
}

/// What each machine is told while the database does not answer.
async fn told_during_the_outage(client: &Client, cast: &Cast) {
    let menu = |n| format!("/boot/menu.ipxe?mac={}", mac(n));
    let questions = vec![
        get(Want::Calm, menu(LOCAL)),
        get(Want::Calm, menu(STRANGER)),
        get(Want::Calm, format!("/boot/safe.ipxe?mac={}", mac(LOCAL))),
        get(Want::Wait, menu(ARMED)),
        get(Want::Wait, menu(BOOTING)),
        get(Want::Wait, menu(DELIVERED)),
        get(Want::Wait, cast.booting.config_path()),
        get(Want::Wait, cast.delivered.config_path()),
        post(Want::Wait, format!("{}&stage=installed", cast.delivered.report_path())),
        get(Want::Kernel, "/boot/assets/safe/vmlinuz"),
        get(Want::Kernel, "/boot/assets/safe/initramfs.xz"),
    ];
    tokio::join!(answers(client, questions), away(client));
}

/// The database is back: everything goes on where it stood.
async fn goes_on(client: &Client, cast: &Cast) {
    ready(client).await;
    client.get(&cast.booting.config_path()).await.is(200);
    client.get(&cast.delivered.config_path()).await.is(200);
    client.act(&format!("{}&stage=installed", cast.delivered.report_path())).await.is(204);
    client.menu(&mac(DELIVERED)).await.is_calm();
    let script = client.menu(&mac(ARMED)).await;
    assert!(script.boots(), "{}", script.text());
    client.get(&script.config_path()).await.is(200);
    client.menu(&mac(ARMED)).await.is_calm();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_dies_takes_no_disk_with_it() {
    let Some(mut database) = TestPostgres::start().await else { return };
    let url = database.database().await;
    let dir = tempfile::tempdir().unwrap();
    let mut server = Setup::replica(dir.path(), &url).start().await;
    let client = server.client.clone();
    let cast = cast(&client).await;
    for how in [Stop::Crash, Stop::Fast] {
        database.stop(how);
        told_during_the_outage(&client, &cast).await;
        database.start_again().await;
        ready(&client).await;
    }
    goes_on(&client, &cast).await;
    assert!(server.lives());
    assert_eq!(server.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_hangs_is_as_good_as_down() {
    let Some(database) = TestPostgres::start().await else { return };
    let url = database.database().await;
    let dir = tempfile::tempdir().unwrap();
    let mut server = Setup::replica(dir.path(), &url).start().await;
    let client = server.client.clone();
    let cast = cast(&client).await;
    let frozen = freeze(&database);
    // Many at once: no queue builds up behind the one that waits.
    let menus = (0..40).map(|n| {
        let client = client.clone();
        async move { (n, client.menu(&mac(if n % 2 == 0 { LOCAL } else { ARMED })).await) }
    });
    for (n, reply) in join_all(menus).await {
        if n % 2 == 0 { reply.is_calm() } else { reply.must_wait() }
    }
    told_during_the_outage(&client, &cast).await;
    drop(frozen);
    goes_on(&client, &cast).await;
    assert!(server.lives());
    assert_eq!(server.stop().await, Some(0));
}

/// The hang comes in the middle of statements, and takes every connection with it.
#[tokio::test(flavor = "multi_thread")]
async fn requests_under_way_are_answered_when_the_way_to_the_database_swallows_everything() {
    let Some(database) = TestPostgres::start().await else { return };
    let url = database.database().await;
    let mut way = Way::to(&url).await;
    let dir = tempfile::tempdir().unwrap();
    let mut server = Setup::replica(dir.path(), &way.url).start().await;
    let client = server.client.clone();
    let cast = cast(&client).await;

    // Every change by a person takes the lock on this row first.
    let mut holder = connect(&url).await;
    holder.execute("BEGIN; SELECT version FROM config_version FOR UPDATE").await.unwrap();
    let writers: Vec<_> = (100..120)
        .map(|n| {
            let client = client.clone();
            tokio::spawn(async move {
                client.post("/api/v1/boot/assignments", &site::machine(n, "safe", false)).await
            })
        })
        .collect();
    let mut watcher = connect(&url).await;
    until("writers that wait for the lock", async || {
        let sql = "SELECT count(*) AS n FROM pg_stat_activity WHERE application_name = 'moxxie' AND wait_event_type = 'Lock'";
        let waiting: i64 = watcher.fetch_one(sql).await.unwrap().get("n");
        (waiting >= 3).then_some(())
    })
    .await;
    way.swallow();
    for writer in writers {
        writer.await.unwrap().must_wait();
    }
    told_during_the_outage(&client, &cast).await;
    holder.execute("ROLLBACK").await.unwrap();
    way.renew().await;
    goes_on(&client, &cast).await;
    assign(&client, 100, "safe", true).await;
    assert!(client.menu(&mac(100)).await.boots());
    assert!(server.lives());
    assert_eq!(server.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_cut_off_never_boots_a_machine_from_old_memory() {
    let Some(database) = TestPostgres::start().await else { return };
    let url = database.database().await;
    let mut way = Way::to(&url).await;
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let cut_off = Setup::replica(here.path(), &way.url).start().await;
    let other = Setup::replica(there.path(), &url).start().await;
    let (a, b) = (cut_off.client.clone(), other.client.clone());
    site::furnish(&a).await;
    for n in 1..=4 {
        assign(&a, n, "wipe", n != 4).await;
        assert_eq!(a.menu(&mac(STRANGER)).await.status, 200);
    }
    let token = a.menu(&mac(3)).await.config_path();

    way.cut().await;
    // 1 is installed, 2 disarmed, 3 installed with another session, 4 armed: all behind A's back.
    let script = b.menu(&mac(1)).await;
    b.get(&script.config_path()).await.is(200);
    b.act(&format!("/api/v1/boot/assignments/{}/disarm", mac(2))).await.is(200);
    let script = b.menu(&mac(3)).await;
    b.get(&script.config_path()).await.is(200);
    arm(&b, 4).await;
    for n in 1..=3 {
        a.menu(&mac(n)).await.must_wait();
        a.get(&format!("/boot/wipe.ipxe?mac={}", mac(n))).await.must_wait();
    }
    a.get(&token).await.must_wait();
    // What memory knows to be local stays local: the arm is not lost, only late.
    a.menu(&mac(4)).await.is_calm();

    way.renew().await;
    ready(&a).await;
    for n in 1..=3 {
        a.menu(&mac(n)).await.is_calm();
    }
    a.get(&token).await.is(403);
    assert!(a.menu(&mac(4)).await.boots());
    assert_eq!(state(&a, 1).await["state"], "delivered");
    assert_eq!(state(&a, 2).await["state"], "local");
    let twin = json!({"mac_address": mac(1), "node_name": "x", "boot_profile": "wipe"});
    a.post("/api/v1/boot/assignments", &twin).await.is(409);
}
