//! Two replicas on one database: what one wrote, the other knows at once, and one arm is one
//! install however the machine's requests are spread.

use crate::client::{Client, Reply};
use crate::server::{Server, Setup};
use crate::site::{self, arm, assign, mac, state};
use futures_util::future::join_all;
use moxxie_store::testing::TestPostgres;

struct Pair {
    a: Server,
    b: Server,
    _dirs: [tempfile::TempDir; 2],
    _database: TestPostgres,
}

async fn pair() -> Option<Pair> {
    let database = TestPostgres::start().await?;
    let url = database.database().await;
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    // Both begin with an empty database at the same moment.
    let starts = [Setup::replica(dirs[0].path(), &url), Setup::replica(dirs[1].path(), &url)];
    let (a, b) = tokio::join!(starts[0].start(), starts[1].start());
    site::furnish(&a.client).await;
    Some(Pair { a, b, _dirs: dirs, _database: database })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_replica_wrote_the_other_knows_at_once() {
    let Some(pair) = pair().await else { return };
    let (a, b) = (&pair.a.client, &pair.b.client);
    assign(a, 1, "wipe", false).await;
    for round in 0..50 {
        let (here, there) = if round % 2 == 0 { (a, b) } else { (b, a) };
        there.menu(&mac(1)).await.is_calm();
        arm(here, 1).await;
        let script = there.menu(&mac(1)).await;
        assert!(script.boots(), "round {round}: {}", script.text());
        match round % 3 {
            // Used where it was not made.
            0 => {
                here.get(&script.config_path()).await.is(200);
                there.menu(&mac(1)).await.is_calm();
            }
            1 => {
                here.act(&format!("/api/v1/boot/assignments/{}/disarm", mac(1))).await.is(200);
                there.menu(&mac(1)).await.is_calm();
                there.get(&script.config_path()).await.is(403);
            }
            _ => {
                here.get(&script.config_path()).await.is(200);
                there.get(&script.config_path()).await.is(200);
                there.act(&format!("{}&stage=installed", script.report_path())).await.is(204);
                here.get(&script.config_path()).await.is(403);
            }
        }
        here.menu(&mac(1)).await.is_calm();
    }
}

async fn all_at_once(clients: [&Client; 2], paths: &[String]) -> Vec<Reply> {
    join_all(paths.iter().enumerate().map(|(n, path)| {
        let client = clients[n % 2].clone();
        let path = path.clone();
        async move { tokio::spawn(async move { client.get(&path).await }).await.unwrap() }
    }))
    .await
}

fn served(replies: &[Reply]) -> Vec<&Reply> {
    let served: Vec<&Reply> = replies.iter().filter(|reply| reply.status == 200).collect();
    assert!(replies.iter().all(|r| matches!(r.status, 200 | 403 | 503)), "{replies:?}");
    served
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_redemptions_are_one_delivery_and_its_repeats() {
    let Some(pair) = pair().await else { return };
    let clients = [&pair.a.client, &pair.b.client];
    for (n, profile, left) in [(1, "wipe", 0), (2, "safe", 2)] {
        assign(clients[0], n, profile, true).await;
        let path = clients[1].menu(&mac(n)).await.config_path();
        let mut used = 0;
        // A pool that is full may tell some to wait; they come back, as a machine does.
        let mut paths = vec![path.clone(); 64];
        while !paths.is_empty() {
            let replies = all_at_once(clients, &paths).await;
            let served = served(&replies);
            assert!(served.iter().all(|reply| reply.body == served[0].body));
            used += served.len();
            paths.truncate(replies.iter().filter(|reply| reply.status == 503).count());
        }
        assert_eq!(used, 21, "{profile}: the delivery and its 20 repeats");
        // One arm was used once, not twenty-one times.
        let after = state(clients[0], n).await;
        assert_eq!((&after["state"], &after["attempts_left"]), (&"delivered".into(), &left.into()));
        clients[0].get(&path).await.is(403);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_sessions_of_one_arm_one_wins() {
    let Some(pair) = pair().await else { return };
    let clients = [&pair.a.client, &pair.b.client];
    assign(clients[0], 1, "wipe", false).await;
    for round in 0..12 {
        arm(clients[round % 2], 1).await;
        // Two hosts that both say they are this machine, at two replicas.
        let mac1 = mac(1);
        let (one, two) = tokio::join!(clients[0].menu(&mac1), clients[1].menu(&mac1));
        let (one, two) = (one.config_path(), two.config_path());
        assert_ne!(one, two);
        let paths: Vec<String> =
            (0..16).map(|n| if n / 2 % 2 == 0 { one.clone() } else { two.clone() }).collect();
        let replies = all_at_once(clients, &paths).await;
        assert!(!served(&replies).is_empty());
        let winners: std::collections::BTreeSet<&String> = paths
            .iter()
            .zip(&replies)
            .filter(|(_, reply)| reply.status == 200)
            .map(|(path, _)| path)
            .collect();
        assert_eq!(winners.len(), 1, "round {round}: two configs out of one arm");
        assert_eq!(state(clients[0], 1).await["attempts_left"], 0);
        // And no third session begins.
        for client in clients {
            client.menu(&mac(1)).await.is_calm();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mac_address_is_taken_once_on_both_replicas() {
    let Some(pair) = pair().await else { return };
    let clients = [&pair.a.client, &pair.b.client];
    crate::writers::one_owner(clients).await;
}
