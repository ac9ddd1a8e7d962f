//! Machines that boot only when somebody who sees their screen says so.

use crate::util::recipes::{ASSIGNMENTS, PROFILES, debian};
use crate::util::text::config_path;
use crate::util::{Machine, Site};
use moxxie_core::ipxe::interpreter::Outcome;
use moxxie_core::time::Span;
use serde_json::{Value, json};

const MAC: &str = "52:54:00:00:00:11";
const APPROVALS: &str = "/api/v1/boot/approvals";

async fn site() -> Site {
    let site = Site::start().await;
    let mut profile = debian("deb");
    profile["approval"] = json!("manual");
    site.profile(profile).await;
    site.assign(MAC, "n1", "deb", json!({})).await;
    site
}

/// The screen of a machine that asks from this address with this serial number.
async fn screen(site: &Site, peer: &str, serial: &str) -> String {
    let uri = format!("/boot/menu.ipxe?mac={MAC}&serial={serial}");
    site.anonymous("GET", &uri).from(peer).send().await.is(200).text()
}

#[track_caller]
fn code(screen: &str) -> String {
    let (_, rest) = screen.split_once("moxxie approve ").unwrap_or_else(|| panic!("no code: {screen}"));
    rest[..4].to_owned()
}

async fn approve(site: &Site, body: Value) -> crate::util::Answer {
    let token = site.operator().await.to_owned();
    site.call("POST", &format!("{ASSIGNMENTS}/{MAC}/approve")).token(&token).json(&body).send().await
}

async fn waiting(site: &Site) -> Vec<Value> {
    let page = site.call("GET", APPROVALS).token(site.viewer().await).send().await.is(200);
    page.json()["items"].as_array().unwrap().clone()
}

async fn actions(site: &Site, prefix: &str) -> Vec<String> {
    let records = site.audit().await;
    let names = records.iter().map(|record| record["action"].as_str().unwrap().to_owned());
    names.filter(|name| name.starts_with(prefix)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_waits_until_its_code_is_given() {
    let site = site().await;
    let asked = screen(&site, "10.0.0.50", "SN1").await;
    assert!(asked.contains("n1 (52:54:00:00:00:11), profile deb") && !asked.contains("/configs/"), "{asked}");
    let first = code(&asked);
    // It asks by itself, again and again; that uses nothing up and is said once.
    let mut machine = Machine::bios(MAC).set("serial", "SN1");
    machine.client.steps = 200;
    let boot = machine.boot(&site);
    assert!(matches!(boot.trace.outcome, Outcome::StepLimit), "{:?}", boot.trace.outcome);
    assert!(boot.asked.len() > 5 && boot.trace.screen().contains(&format!("moxxie approve {first}")));
    assert_eq!(site.state(MAC).await, "armed");
    assert_eq!(site.messages("approval.asked").await.len(), 1);

    // Who waits is shown to everybody who may read; the code to nobody.
    let who = waiting(&site).await;
    assert_eq!(who.len(), 1);
    assert_eq!((&who[0]["node_name"], &who[0]["peer"]), (&json!("n1"), &json!("10.0.0.50")));
    assert_eq!((&who[0]["serial"], &who[0]["boot_profile"]), (&json!("SN1"), &json!("deb")));
    let told = site.get(&format!("/api/v1/boot/explain?mac={MAC}")).await.is(200);
    assert_eq!(told.json()["decision"]["rule"], "awaiting-approval");
    let everything = format!(
        "{who:?} {} {} {}",
        told.text(),
        site.get(&format!("{ASSIGNMENTS}/{MAC}")).await.text(),
        site.get("/api/v1/boot/events").await.text()
    );
    assert!(!everything.contains(&format!("approve {first}")), "{everything}");

    let token = site.viewer().await.to_owned();
    let uri = format!("{ASSIGNMENTS}/{MAC}/approve");
    site.call("POST", &uri).token(&token).json(&json!({"code": first})).send().await.problem(403);
    approve(&site, json!({"code": first})).await.is(200);
    assert!(waiting(&site).await.is_empty());
    assert_eq!(actions(&site, "assignment.approve").await, ["assignment.approve"]);
    assert_eq!(site.messages("approval.given").await.len(), 1);
    let url = machine.boot(&site).arg("url");
    machine.fetch(&site, &url).await.is(200);

    // An approval is for this window: the next one asks again, and shows another code.
    site.arm(MAC).await;
    let again = screen(&site, "10.0.0.50", "SN1").await;
    assert!(!again.contains("/configs/"), "{again}");
    // One in ten thousand new codes is the old one.
    if code(&again) != first {
        approve(&site, json!({"code": first})).await.pointers();
    }
    approve(&site, json!({"code": code(&again)})).await.is(200);
}

#[tokio::test]
async fn an_approval_is_for_the_machine_whose_screen_was_read() {
    let site = site().await;
    let read = async || {
        let one = code(&screen(&site, "10.0.0.50", "SN1").await);
        let two = code(&screen(&site, "10.0.1.50", "SN1").await);
        (one, two, code(&screen(&site, "10.0.0.51", "SN2").await))
    };
    let (mut one, mut two, mut three) = read().await;
    // Two of three are the same now and then; the next window's are others.
    while one == two || one == three || two == three {
        site.arm(MAC).await;
        (one, two, three) = read().await;
    }
    assert_eq!(waiting(&site).await.len(), 3);
    // Without a code nobody can tell which of them is meant.
    let uri = format!("{ASSIGNMENTS}/{MAC}/approve");
    site.post(&uri, json!({"override": true})).await.problem(409);
    approve(&site, json!({"code": one})).await.is(200);
    assert!(!screen(&site, "10.0.1.50", "SN1").await.contains("/configs/"));
    assert!(!screen(&site, "10.0.0.51", "SN2").await.contains("/configs/"));
    assert!(screen(&site, "10.0.0.99", "SN1").await.contains("/configs/"), "another lease of its network");
}

#[tokio::test]
async fn five_wrong_codes_make_a_new_one() {
    let site = site().await;
    let first = code(&screen(&site, "10.0.0.50", "SN1").await);
    let wrong = format!("{:04}", (first.parse::<u32>().unwrap() + 1) % 10_000);
    for _ in 0..5 {
        assert_eq!(approve(&site, json!({"code": wrong})).await.pointers(), ["/code"]);
    }
    assert_eq!(actions(&site, "assignment.approve").await, vec!["assignment.approve-refused"; 5]);
    let refused = site.messages("approval.refused").await;
    assert!(refused.iter().any(|message| message.contains("shows a new one")), "{refused:?}");
    let second = code(&screen(&site, "10.0.0.50", "SN1").await);
    // One in ten thousand new codes is the old one.
    if first != second {
        assert_eq!(approve(&site, json!({"code": first})).await.pointers(), ["/code"], "too late");
    }
    approve(&site, json!({"code": second})).await.is(200);
    assert!(screen(&site, "10.0.0.50", "SN1").await.contains("/configs/"));
    // Nobody waits any more.
    approve(&site, json!({"code": second})).await.problem(409);
}

#[tokio::test]
async fn an_admin_may_do_without_the_code_and_the_log_says_so() {
    let site = site().await;
    approve(&site, json!({"override": true})).await.problem(403);
    let uri = format!("{ASSIGNMENTS}/{MAC}/approve");
    site.post(&uri, json!({"override": true})).await.problem(409);
    screen(&site, "10.0.0.50", "SN1").await;
    site.post(&uri, json!({"override": true, "code": "1234"})).await.pointers();
    site.post(&uri, json!({})).await.pointers();
    site.post(&uri, json!({"override": true})).await.is(200);
    assert_eq!(actions(&site, "assignment.approve").await, ["assignment.approve-without-code"]);
    assert!(screen(&site, "10.0.0.50", "SN1").await.contains("/configs/"));
    // A machine that has gone waits no more.
    site.arm(MAC).await;
    screen(&site, "10.0.0.50", "SN1").await;
    site.push(Span::minutes(3));
    assert!(waiting(&site).await.is_empty());
    site.post(&uri, json!({"override": true})).await.problem(409);
}

#[tokio::test]
async fn the_machines_own_word_is_above_its_profiles() {
    let site = site().await;
    let uri = format!("{ASSIGNMENTS}/{MAC}");
    site.patch(&uri, json!({"approval": "auto"})).await.is(200);
    let script = screen(&site, "10.0.0.50", "SN1").await;
    let config = config_path(&script).unwrap();
    approve(&site, json!({"code": "1234"})).await.problem(409);
    // What was started without an approval ends when one is wanted after all.
    site.patch(&uri, json!({"approval": null})).await.is(200);
    site.push(Span::seconds(1));
    site.anonymous("GET", &config).from("10.0.0.50").send().await.is(403);
    let now = code(&screen(&site, "10.0.0.50", "SN1").await);
    approve(&site, json!({"code": now})).await.is(200);
    site.anonymous("GET", &config).from("10.0.0.50").send().await.is(403);
    let script = screen(&site, "10.0.0.50", "SN1").await;
    assert!(script.contains("/configs/"), "{script}");
    // A backup carries the settings and no approval.
    let backup = site.get("/api/v1/backup").await.is(200);
    assert!(!backup.json()["assignments"].to_string().contains("SN1"), "{}", backup.text());
    site.post("/api/v1/restore", backup.json()).await.is(200);
    let profile = site.get(&format!("{PROFILES}/deb")).await.json();
    assert_eq!((&profile["approval"], &profile["contention"]), (&json!("manual"), &json!("alarm")));
    site.arm(MAC).await;
    assert!(!screen(&site, "10.0.0.50", "SN1").await.contains("/configs/"));
}
