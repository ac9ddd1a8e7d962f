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

/// What an admin's profile asks for is not taken back by an operator, on any way.
#[tokio::test]
async fn an_operator_does_not_waive_an_approval_or_widen_networks() {
    let site = site().await;
    site.patch(&format!("{PROFILES}/deb"), json!({"provisioning": ["10.0.1.0/24"]})).await.is(200);
    let token = site.operator().await.to_owned();
    let uri = format!("{ASSIGNMENTS}/{MAC}");
    let send = async |method: &str, uri: &str, body: Value| {
        site.call(method, uri).token(&token).json(&body).send().await
    };
    let body = |more: Value| {
        let mut body = json!({"mac_address": MAC, "node_name": "n1", "boot_profile": "deb"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    for more in [json!({"approval": "auto"}), json!({"provisioning": ["10.0.1.0/24", "10.0.2.0/24"]})] {
        let mut new = body(more.clone());
        (new["mac_address"], new["node_name"]) = (json!("52:54:00:00:00:12"), json!("n2"));
        let mut item = body(more.clone());
        item["kind"] = json!("assignment");
        for answer in [
            send("POST", ASSIGNMENTS, new).await,
            send("PUT", &uri, body(more.clone())).await,
            send("PATCH", &uri, more.clone()).await,
            send("POST", "/api/v1/boot/apply", json!({"items": [item]})).await,
        ] {
            assert!(answer.problem(403)["detail"].as_str().unwrap().contains("needs the role admin"));
        }
    }
    // Narrower is anybody's who may change it; what an admin has set stays.
    send("PATCH", &uri, json!({"provisioning": ["10.0.1.16/28"], "approval": "manual"})).await.is(200);
    site.patch(&uri, json!({"provisioning": ["10.0.2.0/24"], "approval": "auto"})).await.is(200);
    send("PATCH", &uri, json!({"node_name": "n3"})).await.is(200);
    // The address that an explanation assumes is one of the narrowest list.
    let told = site.get(&format!("/api/v1/boot/explain?mac={MAC}")).await.is(200).json();
    assert_eq!(told["machine"]["ip"], "10.0.2.1");
    let told = site.get(&format!("/api/v1/boot/explain?mac={MAC}&ip=10.0.1.9")).await.is(200).json();
    let next = told["decision"]["next_step"].as_str().unwrap();
    assert!(next.ends_with("--provisioning NETWORK"), "{next}");
    // A quarantine is not lifted by silence.
    site.patch(&uri, json!({"quarantined": true})).await.is(200);
    site.call("PUT", &uri).json(&body(json!({}))).send().await.is(200);
    assert_eq!(site.get(&uri).await.json()["quarantined"], true);
    site.call("PUT", &uri).json(&body(json!({"quarantined": false}))).send().await.is(200);
    assert_eq!(site.get(&uri).await.json()["quarantined"], false);
}

#[tokio::test]
async fn fifteen_wrong_codes_end_the_guessing() {
    let site = site().await;
    let wrong = async || {
        let now = code(&screen(&site, "10.0.0.50", "SN1").await);
        let wrong = format!("{:04}", (now.parse::<u32>().unwrap() + 1) % 10_000);
        approve(&site, json!({"code": wrong})).await
    };
    for _ in 0..15 {
        assert_eq!(wrong().await.pointers(), ["/code"]);
    }
    let now = code(&screen(&site, "10.0.0.50", "SN1").await);
    let refused = approve(&site, json!({"code": now})).await.problem(409);
    assert!(refused["detail"].as_str().unwrap().contains("arm it again"), "{refused}");
    site.arm(MAC).await;
    let now = code(&screen(&site, "10.0.0.50", "SN1").await);
    approve(&site, json!({"code": now})).await.is(200);
}

#[tokio::test]
async fn a_code_alone_finds_its_machine() {
    const UUID: &str = "4c4c4544-004b-3510-8051-b4c04f4c4d32";
    const OTHER: &str = "52:54:00:00:00:12";
    let site = site().await;
    site.assign(OTHER, "n2", "deb", json!({})).await;
    let token = site.operator().await.to_owned();
    let give = async |code: &str| {
        site.call("POST", APPROVALS).token(&token).json(&json!({"code": code})).send().await
    };
    give("0471").await.problem(409);
    let read = async |mac: &str, peer: &str| {
        let uri = format!("/boot/menu.ipxe?mac={mac}&uuid={UUID}");
        site.anonymous("GET", &uri).from(peer).send().await.is(200).text()
    };
    let (one, two) = (code(&read(MAC, "10.0.0.50").await), code(&read(OTHER, "10.0.0.51").await));
    let who = waiting(&site).await;
    assert_eq!((who.len(), &who[0]["uuid"], &who[1]["uuid"]), (2, &json!(UUID), &json!(UUID)));
    let mut none = 0;
    while [&one, &two].contains(&&format!("{none:04}")) {
        none += 1;
    }
    assert_eq!(give(&format!("{none:04}")).await.pointers(), ["/code"]);
    assert_eq!(actions(&site, "assignment.approve").await, vec!["assignment.approve-refused"; 2]);
    if one == two {
        let refused = give(&one).await.problem(409);
        assert!(refused["detail"].as_str().unwrap().contains(OTHER), "{refused}");
        return;
    }
    let approved = give(&two).await.is(200).json();
    assert_eq!(approved["mac_address"], OTHER);
    assert!(read(OTHER, "10.0.0.51").await.contains("/configs/"));
    assert!(!read(MAC, "10.0.0.50").await.contains("/configs/"));
}

/// Others in the line do not take a machine's place; they wait for one.
#[tokio::test]
async fn newcomers_wait_for_a_place() {
    let site = site().await;
    let first = code(&screen(&site, "10.0.0.50", "SN1").await);
    for n in 1..9 {
        screen(&site, &format!("10.0.0.{}", 50 + n), &format!("SN{n}x")).await;
    }
    assert_eq!(waiting(&site).await.len(), 4);
    let told = screen(&site, "10.0.0.99", "SN99").await;
    assert!(told.contains("others wait for approval as n1") && told.contains("chain --replace"), "{told}");
    approve(&site, json!({"code": first})).await.is(200);
    assert!(screen(&site, "10.0.0.50", "SN1").await.contains("/configs/"));
    // The approval has left a place.
    site.arm(MAC).await;
    code(&screen(&site, "10.0.0.99", "SN99").await);
}
