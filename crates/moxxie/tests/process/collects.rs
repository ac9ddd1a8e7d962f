//! `kill -9` while files are put, replaced, taken off and collected: every label has its bytes,
//! nothing is seen in part, and what nothing refers to is gone in the end.

use crate::client::Client;
use crate::server::{Server, Setup, signal, until};
use crate::site;
use moxxie_store::testing::TestPostgres;
use reqwest::Method;
use sha2::{Digest, Sha256};
use sqlx::{ConnectOptions, Executor};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const WORKERS: usize = 6;
/// After so long it is not the work that takes long.
const GRACE: Duration = Duration::from_secs(3);

/// The digest that a worker's own file has; `None`: no such file.
type Known = Option<String>;
/// By file name: what the last answer said, and what a lost answer may have done.
type Files = Arc<Mutex<BTreeMap<String, (Known, Option<Known>)>>>;

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Three files that all workers of a round use. Of another round's bytes a killed collector may
/// still have the lease.
fn content(round: u32, n: u32) -> Vec<u8> {
    format!("the bytes of file {n} in round {round} ").repeat(4000).into_bytes()
}

/// Puts and deletes a file of its own until the first replica is gone.
async fn worker(n: usize, clients: Arc<Vec<Client>>, round: u32, files: Files, done: Arc<AtomicUsize>) {
    let (client, victim) = (&clients[n % clients.len()], &clients[0]);
    let file = format!("w{n}.img");
    let path = format!("/api/v1/boot/profiles/safe/assets/{file}");
    loop {
        let bytes = content(round, rand::random_range(0..3));
        let put = rand::random_range(0..3) > 0;
        let will = put.then(|| digest(&bytes));
        files.lock().unwrap().entry(file.clone()).or_default().1 = Some(will.clone());
        let request = match put {
            true => client.request(Method::PUT, &path).body(bytes),
            false => client.request(Method::DELETE, &path),
        };
        let Some(reply) = client.try_send(request).await else { return };
        match reply.status {
            201 | 204 | 404 => {
                files.lock().unwrap().insert(file.clone(), (will, None));
            }
            // The killed replica was deleting these bytes.
            503 => return,
            _ => panic!("{reply:?}"),
        }
        done.fetch_add(1, Ordering::Relaxed);
        if victim.try_send(victim.request(Method::GET, "/livez")).await.is_none() {
            return;
        }
    }
}

/// Every label can be read in full, and is as the workers left it.
async fn all_is_well(server: &Server, files: &Files) -> BTreeSet<String> {
    let mut labels = BTreeMap::new();
    for profile in ["safe", "wipe"] {
        for item in site::all(&server.client, &format!("/api/v1/boot/profiles/{profile}/assets")).await {
            let sha256 = item["sha256"].as_str().unwrap().to_owned();
            let found = server.client.get(item["path"].as_str().unwrap()).await.is(200).body;
            assert_eq!(digest(&found), sha256, "{item}");
            labels.insert(format!("{profile}/{}", item["file"].as_str().unwrap()), sha256);
        }
    }
    for (file, (said, lost)) in files.lock().unwrap().iter_mut() {
        let found = labels.get(&format!("safe/{file}")).cloned();
        assert!(
            found == *said || lost.as_ref() == Some(&found),
            "{file}: {found:?}, not {said:?} or {lost:?}"
        );
        (*said, *lost) = (found, None);
    }
    labels.into_values().collect()
}

fn stored(assets: &Path) -> BTreeSet<String> {
    let names = |dir: &Path| std::fs::read_dir(dir).into_iter().flatten().flatten().collect::<Vec<_>>();
    let files = names(&assets.join("sha256")).into_iter().flat_map(|dir| names(&dir.path()));
    files.map(|file| file.file_name().into_string().unwrap()).collect()
}

/// The first server is killed in every round; the others go on.
async fn rounds(setups: &[Setup], assets: &Path, rounds: u32, leases_are_over: impl AsyncFn()) {
    let mut servers = Vec::new();
    for setup in setups {
        servers.push(setup.start().await);
    }
    site::furnish(&servers[0].client).await;
    let files = Files::default();
    for round in 0..rounds {
        let clients = Arc::new(servers.iter().map(|server| server.client.clone()).collect::<Vec<_>>());
        let done = Arc::new(AtomicUsize::new(0));
        let workers: Vec<_> = (0..WORKERS)
            .map(|n| tokio::spawn(worker(n, clients.clone(), round, files.clone(), done.clone())))
            .collect();
        // Every worker has been through a few; the rest is chance.
        until("some puts", async || (done.load(Ordering::Relaxed) > 12).then_some(())).await;
        tokio::time::sleep(Duration::from_micros(rand::random_range(0..60_000))).await;
        signal("KILL", servers[0].id());
        let mut over = pin!(futures_util::future::join_all(workers));
        let over = match tokio::time::timeout(GRACE, &mut over).await {
            Ok(over) => over,
            Err(_) => {
                // The other replica waits for bytes that the killed one was deleting.
                leases_are_over().await;
                over.await
            }
        };
        over.into_iter().for_each(Result::unwrap);
        servers[0].kill();
        servers[0] = setups[0].start().await;
        if servers.len() == 1 {
            assert_eq!(std::fs::read_dir(assets.join("tmp")).unwrap().count(), 0, "swept");
        }
        for server in &servers {
            all_is_well(server, &files).await;
        }
    }
    for server in &mut servers {
        assert_eq!(server.stop().await, Some(0));
    }
}

/// Past all leases and arrivals nothing is left but what has a label.
async fn in_the_end(setup: &Setup, assets: &Path) {
    let server = setup.start().await;
    let labels = all_is_well(&server, &Files::default()).await;
    until("the last bytes to go", async || (stored(assets) == labels).then_some(())).await;
    assert_eq!(all_is_well(&server, &Files::default()).await, labels);
}

const LEASES_ARE_OVER: &str = "UPDATE asset_bytes SET collecting_until = 1 WHERE collecting_until > 0";

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_loses_no_bytes_that_have_a_label() {
    let dir = tempfile::tempdir().unwrap();
    let (setup, assets) = (Setup::new(dir.path()), dir.path().join("assets"));
    let file = dir.path().join("moxxie.db");
    let leases_are_over = async || {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&file);
        options.connect().await.unwrap().execute(LEASES_ARE_OVER).await.unwrap();
    };
    rounds(std::slice::from_ref(&setup), &assets, 8, &leases_are_over).await;
    leases_are_over().await;
    in_the_end(&setup, &assets).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_replica_loses_no_bytes_that_have_a_label() {
    let Some(database) = TestPostgres::start().await else { return };
    let url = database.database().await;
    let (here, there, shared) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let assets = format!("file://{}", shared.path().display());
    let setup = |dir: &Path| Setup::replica(dir, &url).env("MOXXIE_ASSETS_URL", &assets);
    let setups = [setup(here.path()), setup(there.path())];
    let leases_are_over = async || {
        crate::postgres::connect(&url).await.execute(LEASES_ARE_OVER).await.unwrap();
    };
    rounds(&setups, shared.path(), 3, &leases_are_over).await;
    leases_are_over().await;
    crate::postgres::connect(&url).await.execute("UPDATE asset_arrivals SET ends_at = 1").await.unwrap();
    in_the_end(&setups[0], shared.path()).await;
}
