//! T2: a host on the machine's own network takes its MAC address and races it. It may win; it is not
//! given a second config, and it is seen.

use crate::util::Site;
use crate::util::recipes::{ASSIGNMENTS, PROFILES, debian};
use crate::util::text::config_path;
use moxxie_core::time::Span;
use moxxie_store::testing::TestPostgres;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const MAC: &str = "52:54:00:00:00:11";
const PEERS: [&str; 2] = ["10.0.0.50", "10.0.1.50"];

/// What one asker got.
#[derive(Debug)]
struct Got {
    peer: &'static str,
    script: String,
    config: Option<String>,
    delivered: bool,
}

async fn menu(site: &Site, peer: &str, more: &str) -> String {
    site.anonymous("GET", &format!("/boot/menu.ipxe?mac={MAC}{more}")).from(peer).send().await.is(200).text()
}

/// Asks for its script and fetches the config that the script names.
async fn boots(site: &Site, peer: &'static str) -> Got {
    let script = menu(site, peer, "").await;
    let config = config_path(&script);
    let delivered = match &config {
        Some(uri) => site.anonymous("GET", uri).from(peer).send().await.status == 200,
        None => false,
    };
    Got { peer, script, config, delivered }
}

/// Sixty-four askers at once, from two networks in turn, at two replicas where there are two.
async fn race(sites: [&Site; 2]) -> Vec<Got> {
    let askers = (0..64).map(|n| boots(sites[n / 2 % 2], PEERS[n % 2]));
    futures_util::future::join_all(askers).await
}

async fn audit_of(site: &Site, action: &str) -> Vec<Value> {
    site.audit().await.into_iter().filter(|record| record["action"] == action).collect()
}

/// The race with an alarm only, then with a profile that freezes. Two replicas, or one named twice.
async fn both_kinds(sites: [&Site; 2]) {
    let site = sites[0];
    site.profile(debian("deb")).await;
    site.assign(MAC, "n1", "deb", json!({})).await;
    let got = race(sites).await;
    let winners: BTreeSet<&str> = got.iter().filter(|g| g.delivered).map(|g| g.peer).collect();
    assert!(winners.len() <= 1, "{winners:?}");
    assert!(got.iter().filter(|g| g.delivered).map(|g| &g.config).collect::<BTreeSet<_>>().len() <= 1);
    // Its queue of events is written out, too.
    sites[1].events("").await;
    let alarms = site.messages("boot.contention").await;
    assert!((1..=2).contains(&alarms.len()), "one for each replica at most: {alarms:?}");
    assert!(PEERS.iter().all(|peer| alarms[0].contains(peer)) && alarms[0].contains("n1"), "{alarms:?}");
    assert!(site.messages("machine.quarantined").await.is_empty());

    // The same with a profile that wants it stopped.
    site.patch(&format!("{PROFILES}/deb"), json!({"contention": "freeze"})).await.is(200);
    site.arm(MAC).await;
    let got = race(sites).await;
    let delivered: BTreeSet<&String> =
        got.iter().filter(|g| g.delivered).filter_map(|g| g.config.as_ref()).collect();
    assert!(delivered.len() <= 1, "{delivered:?}");
    sites[1].events("").await;
    let frozen = site.messages("machine.quarantined").await;
    assert_eq!(frozen.len(), 1, "{frozen:?}");
    assert!(frozen[0].contains("--quarantined=false") && frozen[0].contains(PEERS[0]), "{frozen:?}");
    let record = audit_of(site, "assignment.quarantine").await;
    assert_eq!((record.len(), &record[0]["actor"]), (1, &json!("moxxie")), "{record:?}");
    let uri = format!("{ASSIGNMENTS}/{MAC}");
    let shown = site.get(&uri).await.json();
    assert_eq!((&shown["quarantined"], &shown["state"]), (&json!(true), &json!("local")));

    // Nobody is given anything more: every token is worthless, every menu waits and says why.
    for (n, one) in got.iter().enumerate() {
        if let Some(config) = &one.config {
            sites[n % 2].anonymous("GET", config).from(one.peer).send().await.is(403);
        }
    }
    let mut waits = Vec::new();
    for (n, peer) in PEERS.into_iter().enumerate() {
        let told = boots(sites[n], peer).await;
        assert!(told.config.is_none() && told.script.contains("two machines ask as n1"), "{told:?}");
        assert!(told.script.contains("chain --replace") && told.script.contains("--quarantined=false"));
        waits.push(told.script);
    }
    let told = site.get(&format!("/api/v1/boot/explain?mac={MAC}")).await.json();
    assert_eq!((&told["decision"]["rule"], &told["decision"]["outcome"]), (&json!("frozen"), &json!("wait")));
    site.call("POST", &format!("{uri}/arm")).send().await.problem(409);

    // An operator has looked.
    site.patch(&uri, json!({"quarantined": false})).await.is(200);
    assert!(boots(site, PEERS[0]).await.script.contains("not armed"));
    site.arm(MAC).await;
    assert!(boots(sites[1], PEERS[0]).await.delivered);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t02_two_askers_are_one_delivery_and_an_alarm() {
    let site = Site::start().await;
    both_kinds([&site, &site]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t02_two_askers_at_two_replicas_are_one_delivery_and_an_alarm() {
    let Some(server) = TestPostgres::start().await else { return };
    let toml = format!("database_url = {:?}\n", server.database().await);
    let (one, two) = (Site::with(&toml).await, Site::with(&toml).await);
    both_kinds([&one, &two]).await;
}

/// A genuine token from another network is a stolen one, or that of the loser of a race.
#[tokio::test]
async fn t02_a_token_from_elsewhere_is_an_alarm_and_a_guess_is_none() {
    let site = Site::start().await;
    let mut profile = debian("deb");
    profile["contention"] = json!("freeze");
    site.profile(profile).await;
    site.assign(MAC, "n1", "deb", json!({})).await;
    let script = menu(&site, PEERS[0], "").await;
    let config = config_path(&script).unwrap();
    // Whoever only guesses must not be able to stop the machine.
    let (page, _) = config.split_once('?').unwrap();
    for guess in ["", "?t=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
        site.anonymous("GET", &format!("{page}{guess}")).from(PEERS[1]).send().await.is(403);
    }
    assert_eq!(site.state(MAC).await, "booting");
    site.anonymous("GET", &config).from(PEERS[1]).send().await.is(403);
    assert_eq!(site.state(MAC).await, "local");
    assert_eq!(site.messages("boot.contention").await.len(), 1);
    assert_eq!(site.messages("machine.quarantined").await.len(), 1);
    assert_eq!(audit_of(&site, "assignment.quarantine").await.len(), 1);
    site.anonymous("GET", &config).from(PEERS[0]).send().await.is(403);
    assert!(menu(&site, PEERS[0], "").await.contains("two machines ask as n1"));
}

/// Alarms of one machine are one a minute, whatever the second asker says of itself.
#[tokio::test]
async fn t02_alarms_do_not_flood_the_log() {
    let site = Site::start().await;
    site.profile(debian("deb")).await;
    site.assign(MAC, "n1", "deb", json!({})).await;
    menu(&site, PEERS[0], "&uuid=4c4c4544-004b-3510-8051-b4c04f4c4d32").await;
    for n in 0..40 {
        menu(
            &site,
            PEERS[n % 2],
            &format!("&uuid=4c4c4544-004b-3510-8051-b4c04f4c4d{:02x}&serial=S{n}x", n + 64),
        )
        .await;
    }
    assert_eq!(site.messages("boot.contention").await.len(), 1);
    let metrics = site.get("/metrics").await.is(200).text();
    assert!(metrics.contains("moxxie_boot_contention_total"), "{metrics}");
    site.push(Span::minutes(1));
    menu(&site, PEERS[1], "&uuid=4c4c4544-004b-3510-8051-b4c04f4c4d99").await;
    assert_eq!(site.messages("boot.contention").await.len(), 2);
}

/// To leave out what the machine has said of itself is no way around the alarm, nor is one network;
/// from outside the provisioning networks nobody is alarmed.
#[tokio::test]
async fn t02_a_rival_in_the_same_network_that_says_less_is_an_alarm() {
    const UUID: &str = "&uuid=4c4c4544-004b-3510-8051-b4c04f4c4d32";
    let site = Site::with("[access]\nprovisioning = [\"10.0.0.0/16\"]").await;
    let mut profile = debian("deb");
    profile["contention"] = json!("freeze");
    site.profile(profile).await;
    site.assign(MAC, "n1", "deb", json!({})).await;
    menu(&site, PEERS[0], UUID).await;
    // Its own later stage, at its own address.
    menu(&site, PEERS[0], "").await;
    for more in ["", "&uuid=4c4c4544-004b-3510-8051-b4c04f4c4d99"] {
        assert!(menu(&site, "10.9.0.9", more).await.contains("outside the provisioning networks"));
    }
    assert!(site.messages("boot.contention").await.is_empty());
    assert!(menu(&site, "10.0.0.51", "").await.contains("shows no UUID"));
    assert_eq!(site.messages("machine.quarantined").await.len(), 1);
    // From outside it looks like any other.
    assert!(menu(&site, "10.9.0.9", "").await.contains("outside the provisioning networks"));
}

/// Two in one network that say nothing of themselves: the loser's genuine token tells.
#[tokio::test]
async fn t02_the_loser_of_a_race_in_one_network_is_an_alarm() {
    let site = Site::start().await;
    site.profile(debian("deb")).await;
    site.assign(MAC, "n1", "deb", json!({})).await;
    let config = async |peer: &str| {
        let script = menu(&site, peer, "").await;
        let config =
            script.split_whitespace().find_map(|word| word.split_once("10.0.0.1:8080/boot/configs/"));
        format!("/boot/configs/{}", config.unwrap().1)
    };
    let (one, two) = (config("10.0.0.50").await, config("10.0.0.51").await);
    site.anonymous("GET", &one).from("10.0.0.50").send().await.is(200);
    assert!(site.messages("boot.contention").await.is_empty());
    site.anonymous("GET", &two).from("10.0.0.51").send().await.is(403);
    assert_eq!(site.messages("boot.contention").await.len(), 1);
}

/// Where the script alone can erase a disk, it leaves what a delivered config leaves.
#[tokio::test]
async fn t02_a_script_that_is_the_delivery_is_in_the_audit_log() {
    let site = Site::start().await;
    let mut profile = debian("deb");
    (profile["config_template"], profile["destructive"]) = (json!(null), json!(true));
    site.profile(profile).await;
    site.assign(MAC, "n1", "deb", json!({})).await;
    menu(&site, PEERS[0], "").await;
    let records = audit_of(&site, "boot.start").await;
    assert_eq!(records.len(), 1);
    assert_eq!(
        (&records[0]["actor"], &records[0]["peer"]),
        (&json!(format!("machine {MAC}")), &json!(PEERS[0]))
    );
    assert_eq!(site.messages("boot").await.len(), 1);
    menu(&site, PEERS[0], "").await;
    assert_eq!(audit_of(&site, "boot.start").await.len(), 1);
}
