//! T6: nobody's disk is erased by surprise: not by a fault, a forged answer, a mistake or a
//! restored backup.
//!
//! More of it stands elsewhere, by name: `boot.rs` `a_destructive_profile_is_never_served_twice`,
//! `windows_close_with_time_and_time_never_opens_one`, `protection_covers_every_address_of_a_machine`,
//! `a_profile_that_turns_destructive_does_not_ride_on_an_old_arm`; `api.rs`
//! `a_backup_restores_everything_and_arms_nothing`, `only_an_admin_lowers_what_the_lint_finds`;
//! `waves.rs` `a_storm_boots_in_waves`; `tests/process/outage.rs`
//! `a_replica_that_is_cut_off_never_boots_a_machine_from_old_memory`; `moxxie-store/src/model.rs`
//! `random_lives_keep_the_promises`.

use crate::util::recipes::{ASSIGNMENTS, PROFILES, debian, talos};
use crate::util::{Machine, Site};
use moxxie_core::time::Span;
use serde_json::json;

const MAC: &str = "52:54:00:00:00:46";

/// A site with one machine of a profile that erases its disk.
async fn armed() -> (Site, Machine) {
    let site = Site::start().await;
    site.profile(debian("deb")).await;
    site.assign(MAC, "n1", "deb", json!({})).await;
    (site, Machine::bios(MAC))
}

/// F30: the line breaks within the config. The same bytes for ten minutes, and never a second script.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t06_f30_a_config_that_broke_off_is_repeated_and_not_another_install() {
    let (site, machine) = armed().await;
    let url = machine.boot(&site).arg("url");
    // The answer is dropped unread: the server has delivered, the machine has nothing.
    let path = url.strip_prefix("http://10.0.0.1:8080").unwrap();
    drop(site.anonymous("GET", path).from("10.0.0.50").open().await);
    let config = machine.fetch(&site, &url).await.is(200);
    site.push(Span::minutes(9));
    assert_eq!(machine.fetch(&site, &url).await.is(200).body, config.body);
    machine.boot(&site).went_local();
    site.push(Span::minutes(1));
    machine.fetch(&site, &url).await.is(403);
    machine.boot(&site).went_local();
}

/// F31: the machine restarts after its config and before its report.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t06_f31_a_restart_before_the_report_boots_the_disk() {
    let (site, machine) = armed().await;
    machine.fetch(&site, &machine.boot(&site).arg("url")).await.is(200);
    for _ in 0..3 {
        machine.boot(&site).went_local();
        machine.boot_from(&site, "/boot/deb.ipxe").went_local();
        site.push(Span::hours(1));
    }
    // What does no harm may be served again.
    site.profile(talos("cp")).await;
    let other = "52:54:00:00:00:47";
    site.assign(other, "cp-1", "cp", json!({})).await;
    for _ in 0..2 {
        let url = Machine::bios(other).boot(&site).arg("talos.config");
        Machine::bios(other).fetch(&site, &url).await.is(200);
    }
}

/// F32: one address in two rows. Refused, and an import with it changes nothing at all.
#[tokio::test]
async fn t06_f32_a_mac_address_twice_is_refused_as_a_whole() {
    let (site, _) = armed().await;
    let before = site.get("/api/v1/boot/export").await.is(200).text();
    let twin = json!({"mac_address": "5254.0000.0046", "node_name": "n2", "boot_profile": "deb"});
    site.post(ASSIGNMENTS, twin).await.problem(409);
    let item = |mac: &str, name: &str| json!({"kind": "assignment", "mac_address": mac, "node_name": name, "boot_profile": "deb"});
    for items in [
        json!([item("52:54:00:00:00:50", "n5"), item("52-54-00-00-00-50", "n6")]),
        json!([item("52:54:00:00:00:50", "n5"), {"kind": "assignment", "mac_address": "52:54:00:00:00:51", "extra_macs": [MAC], "node_name": "n6", "boot_profile": "deb"}]),
    ] {
        let answer = site.post("/api/v1/boot/apply", json!({"items": items})).await;
        assert!(matches!(answer.status, 409 | 422), "{}", answer.text());
    }
    assert_eq!(site.get("/api/v1/boot/export").await.is(200).text(), before);
}

/// The rules of arming, each by what somebody might do without thinking of a disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t06_rules_of_arming() {
    let (site, machine) = armed().await;
    let uri = format!("{ASSIGNMENTS}/{MAC}");
    // R1: nobody, a typing error, another profile's script: the disk.
    for path in ["/boot/menu.ipxe", "/boot/deb.ipxe", "/boot/nothing.ipxe"] {
        Machine::bios("52:54:00:00:00:99").boot_from(&site, path).went_local();
    }
    // R7: who looked at another version of the row does not arm it.
    let seen = site.get(&uri).await.is(200).header("etag").to_owned();
    site.patch(&uri, json!({"node_name": "n1-renamed"})).await.is(200);
    site.call("POST", &format!("{uri}/disarm")).send().await.is(200);
    site.call("POST", &format!("{uri}/arm")).set("if-match", &seen).send().await.problem(412);
    machine.boot(&site).went_local();
    // R8: neither another profile nor another version of it arms, nor does whatever else is changed.
    site.profile(debian("deb2")).await;
    for change in [
        json!({"boot_profile": "deb2"}),
        json!({"boot_params_override": {"a": 1}}),
        json!({"boot_policy": "once"}),
        json!({"serial": null}),
    ] {
        site.patch(&uri, change.clone()).await.is(200);
        machine.boot(&site).went_local();
    }
    site.patch(&format!("{PROFILES}/deb2"), json!({"description": "new"})).await.is(200);
    site.asset("deb2", "linux", b"another kernel").await;
    machine.boot(&site).went_local();
    // R3 and the policies: what erases a disk is not served on every request, and a word does not
    // make it harmless.
    site.patch(&uri, json!({"boot_policy": "always"})).await.problem(422);
    for token in [site.operator().await, site.viewer().await] {
        let lower = site.call("PATCH", &format!("{PROFILES}/deb2")).token(token);
        lower.json(&json!({"destructive": false})).send().await.problem(403);
    }
    // R4: strangers are not offered a profile that erases disks.
    let offered = site.patch(&format!("{PROFILES}/deb2"), json!({"menu": true})).await;
    assert_eq!(offered.status, 422, "{}", offered.text());
    // R6: a protected machine is not armed, not moved to another profile, and not removed.
    site.patch(&uri, json!({"protected": true})).await.is(200);
    site.call("POST", &format!("{uri}/arm")).send().await.problem(409);
    site.patch(&uri, json!({"boot_profile": "deb"})).await.problem(409);
    site.delete(&uri).await.problem(409);
    machine.boot(&site).went_local();
    // R10: a clock that goes back opens nothing, and one that goes far ahead closes.
    site.patch(&uri, json!({"protected": false})).await.is(200);
    site.arm(MAC).await;
    let url = machine.boot(&site).arg("url");
    site.push(Span::days(730));
    machine.boot(&site).went_local();
    site.push(Span(-Span::days(730).0));
    machine.boot(&site).went_local();
    machine.fetch(&site, &url).await.is(403);
}

/// R9: a backup of armed machines, restored where they stand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t06_r9_a_restored_backup_has_nobody_armed() {
    let (site, machine) = armed().await;
    let url = machine.boot(&site).arg("url");
    let backup = site.get("/api/v1/backup").await.is(200);
    site.call("POST", "/api/v1/restore").body(backup.body).send().await.is(200);
    machine.fetch(&site, &url).await.is(403);
    machine.boot(&site).went_local();
}
