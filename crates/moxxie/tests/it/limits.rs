//! Who asks too often is told to wait, and nobody else.

use crate::util::recipes::talos;
use crate::util::{Answer, Machine, Site};
use moxxie_core::time::Span;
use serde_json::json;

const MAC: &str = "52:54:00:00:00:01";

fn menu(n: usize) -> String {
    format!("/boot/menu.ipxe?mac=52:54:00:01:{:02x}:{:02x}", n / 256, n % 256)
}

#[track_caller]
fn must_wait(answer: &Answer) {
    assert_eq!(answer.status, 429, "{}: {}", answer.what, answer.text());
    let seconds: u64 = answer.header("retry-after").parse().unwrap();
    assert!((2..=10).contains(&seconds), "{seconds}");
}

#[tokio::test]
async fn two_hundred_machines_behind_one_address_are_welcome() {
    // The defaults.
    let site = Site::with("[limits]\nboot_per_second = 100\n").await;
    for n in 0..2000 {
        site.boot(&menu(n % 200)).await.is(200);
    }
    let over = site.boot(&menu(1)).await;
    must_wait(&over);
    assert_eq!(over.text(), "moxxie: too many requests, wait\n");
    // An asset counts as one request, and others are somebody else.
    must_wait(&site.boot("/boot/assets/x/y").await);
    site.anonymous("GET", &menu(1)).from("10.0.0.6").send().await.is(200);
    site.get("/api/v1/boot/machines").await.is(200);
    for _ in 0..50 {
        site.boot(&menu(1)).await;
    }
    // One event tells of all that, with what to look for.
    let told = site.messages("boot.limited").await;
    assert_eq!(told, ["10.0.0.5 asked too often and was told to wait (limits.boot_per_second)"]);
    site.push(Span::seconds(1));
    for n in 0..100 {
        site.boot(&menu(n)).await.is(200);
    }
    must_wait(&site.boot(&menu(1)).await);
}

#[tokio::test]
async fn a_machine_in_a_loop_is_slowed_down_and_nobody_else_can_do_that_to_it() {
    let site = Site::with("[limits]\nmachine_per_minute = 60\n").await;
    site.profile(talos("cp")).await;
    site.assign(MAC, "cp-1", "cp", json!({"armed": false})).await;
    let uri = format!("/boot/menu.ipxe?mac={MAC}");
    for _ in 0..60 {
        site.anonymous("GET", &uri).from("10.0.0.66").send().await.is(200);
    }
    must_wait(&site.anonymous("GET", &uri).from("10.0.0.66").send().await);
    site.boot(&uri).await.is(200);
    let events = site.events(&format!("&kind=boot.limited&mac={MAC}")).await;
    assert_eq!(events.len(), 1);
    assert_eq!((&events[0]["node_name"], &events[0]["peer"]), (&json!("cp-1"), &json!("10.0.0.66")));
    // SeaBIOS asks every 15 seconds, for ever.
    for _ in 0..200 {
        site.push(Span::seconds(15));
        site.boot(&uri).await.is(200);
    }
}

/// Other names of one machine are counted as the machine.
#[tokio::test]
async fn a_machine_is_one_by_whatever_it_is_named() {
    const UUID: &str = "4c4c4544-004b-3510-8051-b4c04f4c4d32";
    let site = Site::with("[limits]\nmachine_per_minute = 60\n").await;
    site.profile(talos("cp")).await;
    site.assign(MAC, "cp-1", "cp", json!({"armed": false, "uuid": UUID})).await;
    for n in 0..60 {
        let uri = match n % 3 {
            1 => format!("/boot/menu.ipxe?uuid={UUID}"),
            2 => format!("/boot/menu.ipxe?mac=52:54:00:01:00:{n:02x}&mac1={MAC}"),
            // Also the first, which makes memory know the machine.
            _ => format!("/boot/menu.ipxe?mac={MAC}"),
        };
        site.boot(&uri).await.is(200);
    }
    must_wait(&site.boot(&format!("/boot/menu.ipxe?uuid={UUID}")).await);
    must_wait(&site.boot(&format!("/boot/menu.ipxe?mac=52:54:00:01:00:ff&mac1={MAC}")).await);
    site.boot(&menu(1)).await.is(200);
}

#[tokio::test]
async fn a_token_of_the_api_has_its_own_rate() {
    let site = Site::with("[limits]\napi_per_second = 5\napi_burst = 20\n").await;
    let other = site.new_token("other", "viewer").await;
    let mut refused = None;
    for _ in 0..30 {
        let answer = site.get("/api/v1/tokens").await;
        if answer.status != 200 {
            refused = Some(answer);
        }
    }
    let refused = refused.expect("thirty at once are too many");
    let problem = refused.problem(429);
    must_wait(&refused);
    assert!(problem["detail"].as_str().unwrap().contains("limits.api_per_second"), "{problem}");
    site.anonymous("GET", "/api/v1/boot/machines").token(&other).send().await.is(200);
    site.push(Span::seconds(1));
    site.get("/api/v1/tokens").await.is(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn room_is_kept_for_machines_that_are_armed() {
    let site = Site::with("[limits]\nrequests_in_flight = 8\napi_requests_in_flight = 1\n").await;
    site.profile(talos("cp")).await;
    site.assign(MAC, "cp-1", "cp", json!({})).await;
    // Six requests hang, on a database for instance.
    let hanging: Vec<_> = (0..6).filter_map(|_| site.app.limits.boot_room.enter_unreserved(8)).collect();
    assert_eq!(hanging.len(), 6);
    must_wait(&site.boot(&menu(1)).await);
    // Downloads are streams and take no place; they are answered as ever.
    site.boot("/boot/assets/cp/vmlinuz").await.is(200);
    // A loader's label is in the database, and what is made on the spot is not.
    must_wait(&site.boot("/boot/firmware/ipxe.efi").await);
    site.boot("/boot/firmware/autoexec.ipxe").await.is(200);
    let machine = Machine::bios(MAC);
    let boot = machine.boot(&site);
    let config = boot.arg("talos.config");
    machine.fetch(&site, &config).await.is(200);
    assert!(boot.asked.iter().all(|(_, status)| *status == 200), "{:?}", boot.asked);
    drop(hanging);
    site.boot(&menu(1)).await.is(200);
    site.boot("/boot/firmware/ipxe.efi").await.is(404);
    // The API has its own.
    let held = site.app.limits.api_room.enter(1);
    let refused = site.get("/api/v1/tokens").await;
    refused.problem(429);
    must_wait(&refused);
    site.boot(&menu(1)).await.is(200);
    site.anonymous("GET", "/livez").send().await.is(200);
    drop(held);
    site.get("/api/v1/tokens").await.is(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_installer_that_talks_all_the_time_does_not_fill_the_log() {
    let site = Site::start().await;
    site.profile(talos("cp")).await;
    site.assign(MAC, "cp-1", "cp", json!({})).await;
    let machine = Machine::bios(MAC);
    let config = machine.fetch(&site, &machine.boot(&site).arg("talos.config")).await.is(200).text();
    let report = config.split_whitespace().find(|word| word.contains("/boot/report?t=")).unwrap();
    for n in 1..=100 {
        site.push(Span::seconds(1));
        machine.fetch(&site, &format!("{report}&stage=progress&message={n}%25")).await.is(204);
    }
    let events = site.events("&kind=report.progress").await;
    assert_eq!(events.len(), 60);
    assert_eq!((&events[0]["message"], &events[0]["count"]), (&json!("100%"), &json!(41)));
    assert_eq!((&events[59]["message"], &events[59]["count"]), (&json!("1%"), &json!(1)));
}
