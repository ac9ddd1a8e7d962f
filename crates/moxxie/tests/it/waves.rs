//! Machines that power on together boot in waves.

use crate::util::recipes::{ASSIGNMENTS, debian, talos};
use crate::util::{Answer, Site};
use futures_util::future::join_all;
use moxxie_core::asset::{Asset, Digest};
use moxxie_core::ipxe::interpreter::{Client, Outcome, Reply, Trace};
use moxxie_core::time::{Span, Timestamp};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A profile whose config is a control plane's.
fn control_plane(name: &str) -> Value {
    let mut body = talos(name);
    let config =
        body["config_template"].as_str().unwrap().replace("machine:\n", "machine:\n  type: controlplane\n");
    body["config_template"] = json!(config);
    body
}

fn menu(mac: &str) -> String {
    format!("/boot/menu.ipxe?mac={mac}&platform=pcbios")
}

/// What a machine does with the script that it was sent.
#[derive(Debug)]
enum Does {
    /// Sleeps so many seconds and asks this.
    Waits(u64, String),
    /// Runs a kernel that fetches its config there.
    Boots(String),
    /// Boots its disk.
    Local,
}

fn run(answer: &Answer) -> (Does, Trace) {
    let client = Client::bios().stop_at_chain();
    let trace = client.run(&answer.body, &mut |url: &str| match url.contains(".ipxe") {
        true => Reply::text("#!ipxe\n"),
        false => Reply::Body(b"MZ".to_vec()),
    });
    let path = |url: &str| url.strip_prefix("http://10.0.0.1:8080").unwrap().to_owned();
    let does = match &trace.outcome {
        Outcome::Chain(url) => Does::Waits(trace.slept, path(url)),
        Outcome::Booted(booted) => {
            let config = ["talos.config=", "url="];
            let url = booted.args.iter().find_map(|a| config.iter().find_map(|key| a.strip_prefix(key)));
            Does::Boots(path(url.unwrap()))
        }
        Outcome::Sanboot(0x80) => Does::Local,
        other => panic!("{other:?}\n{}", answer.text()),
    };
    (does, trace)
}

async fn ask(site: &Site, url: &str) -> Does {
    run(&site.boot(url).await.is(200)).0
}

async fn boots(site: &Site, mac: &str) -> String {
    match ask(site, &menu(mac)).await {
        Does::Boots(config) => config,
        other => panic!("{mac}: {other:?}"),
    }
}

/// Asserts that it waits in this place; where it asks next.
async fn waits(site: &Site, mac: &str, place: &str) -> String {
    let answer = site.boot(&menu(mac)).await.is(200);
    let (does, trace) = run(&answer);
    let Does::Waits(seconds, again) = does else { panic!("{mac}: {does:?}") };
    assert!((5..=15).contains(&seconds), "{seconds}");
    assert!(trace.output[1].starts_with(&format!("Waiting: place {place}")), "{}", trace.screen());
    again
}

async fn shown(site: &Site, mac: &str) -> Value {
    site.get(&format!("{ASSIGNMENTS}/{mac}")).await.is(200).json()
}

#[tokio::test]
async fn control_planes_boot_before_workers_that_asked_earlier() {
    let site = Site::with("[limits]\nboots_in_flight = 2\n").await;
    site.profile(talos("worker")).await;
    site.profile(control_plane("cp")).await;
    let mac = |n: usize| format!("52:54:00:00:00:0{n}");
    for n in 1..=6 {
        let profile = if n > 4 { "cp" } else { "worker" };
        site.assign(&mac(n), &format!("n{n}"), profile, json!({})).await;
    }
    let mut config = BTreeMap::new();
    config.insert(1, boots(&site, &mac(1)).await);
    config.insert(2, boots(&site, &mac(2)).await);
    config.insert(1, boots(&site, &mac(1)).await);
    let before = [shown(&site, &mac(3)).await, shown(&site, &mac(5)).await];
    waits(&site, &mac(3), "1 of 1").await;
    waits(&site, &mac(4), "2 of 2").await;
    waits(&site, &mac(5), "1 of 3").await;
    waits(&site, &mac(6), "2 of 4").await;
    assert_eq!(site.app.waves.counts(), (2, 4));

    // A wait of any length uses nothing up, and one event a minute tells of it.
    for _ in 0..20 {
        site.push(Span::seconds(12));
        for (n, place) in [(3, "3 of 4"), (6, "2 of 4"), (4, "4 of 4"), (5, "1 of 4")] {
            waits(&site, &mac(n), place).await;
        }
        // Their downloads take as long.
        site.app.waves.sent(mac(1).parse().unwrap());
        site.app.waves.sent(mac(2).parse().unwrap());
    }
    assert_eq!([shown(&site, &mac(3)).await, shown(&site, &mac(5)).await], before);
    assert_eq!(site.events("&kind=boot").await.len(), 3, "only those that were admitted");
    let told = site.events(&format!("&kind=boot.waiting&mac={}", mac(3))).await;
    assert!((4..=5).contains(&told.len()), "four minutes: {told:#?}");
    assert!(told[0]["message"].as_str().unwrap().contains("limits.boots_in_flight"), "{told:#?}");
    let machines = site.get("/api/v1/boot/machines").await.is(200).json();
    let third = machines["items"].as_array().unwrap().iter().find(|m| m["mac_address"] == mac(3)).unwrap();
    assert_eq!(third["last_answer"], "wait");

    // Each that is done lets in the next, whoever asks first.
    for (done, next) in [(1, 5), (2, 6), (6, 3), (5, 4)] {
        site.boot(&config[&done]).await.is(200);
        for other in 3..=6 {
            let later = other != next && !config.contains_key(&other);
            // Room is kept for the one whose turn it is.
            if later {
                assert!(
                    matches!(ask(&site, &menu(&mac(other))).await, Does::Waits(..)),
                    "{other} before {next}"
                );
            }
        }
        config.insert(next, boots(&site, &mac(next)).await);
    }
    site.boot(&config[&3]).await.is(200);
    site.boot(&config[&4]).await.is(200);
    assert_eq!(site.app.waves.counts(), (0, 0));
    for n in 1..=6 {
        assert_eq!(site.state(&mac(n)).await, "delivered");
    }
    assert!(site.messages("window.expired").await.is_empty());
}

#[tokio::test]
async fn whatever_ends_a_boot_lets_the_next_one_in() {
    let site = Site::with("[limits]\nboots_in_flight = 1\n").await;
    site.profile(talos("worker")).await;
    site.profile(debian("deb")).await;
    let mac = |n: usize| format!("52:54:00:00:00:{n:02}");
    for n in 1..=9 {
        site.assign(&mac(n), &format!("n{n}"), if n == 3 { "deb" } else { "worker" }, json!({})).await;
    }
    boots(&site, &mac(1)).await;
    waits(&site, &mac(2), "1 of 1").await;
    // Its files are all fetched.
    let sizes: Vec<u64> =
        ["vmlinuz", "initramfs.xz"].map(|file| format!("bytes of {file} of worker").len() as u64).into();
    site.app.waves.fetched(mac(1).parse().unwrap(), sizes[0]);
    waits(&site, &mac(2), "1 of 1").await;
    site.app.waves.fetched(mac(1).parse().unwrap(), sizes[1]);
    boots(&site, &mac(2)).await;

    // It was disarmed; so was one that waits.
    waits(&site, &mac(3), "1 of 1").await;
    waits(&site, &mac(4), "2 of 2").await;
    for n in [2, 4] {
        site.call("POST", &format!("{ASSIGNMENTS}/{}/disarm", mac(n))).send().await.is(200);
    }
    assert!(matches!(ask(&site, &menu(&mac(4))).await, Does::Local));
    let config = boots(&site, &mac(3)).await;
    assert_eq!(site.app.waves.counts(), (1, 0));

    // It reports the end. (Its config was fetched from another replica, say.)
    waits(&site, &mac(5), "1 of 1").await;
    let text = site.boot(&config).await.is(200).text();
    boots(&site, &mac(5)).await;
    let report = text.split('\'').find(|word| word.contains("/boot/report")).unwrap();
    let report = report.strip_prefix("http://10.0.0.1:8080").unwrap();
    site.boot(report).await.is(204);

    // Nothing is heard of it for five minutes.
    waits(&site, &mac(6), "1 of 1").await;
    for _ in 0..10 {
        site.push(Span::seconds(29));
        waits(&site, &mac(6), "1 of 1").await;
    }
    site.push(Span::seconds(10));
    boots(&site, &mac(6)).await;

    // Its boot cannot be prepared: it takes nobody's place.
    site.call("POST", &format!("{ASSIGNMENTS}/{}/disarm", mac(6))).send().await.is(200);
    site.call("DELETE", "/api/v1/boot/profiles/deb/assets/linux").send().await.is(204);
    site.arm(&mac(3)).await;
    assert!(matches!(ask(&site, &menu(&mac(3))).await, Does::Local));
    assert_eq!(site.app.waves.counts(), (0, 0));
    let page = site.get("/metrics").await.is(200).text();
    assert!(page.contains("moxxie_boots_admitted") && page.contains("moxxie_boots_waiting"), "{page}");
}

/// What a machine said of itself is not lost on the way: its config is made from it.
#[tokio::test]
async fn a_waiting_machine_comes_back_as_the_same_machine() {
    let site = Site::with("[limits]\nasset_bytes_in_flight = 1\n").await;
    let mut body = talos("worker");
    body["config_template"] = json!("serial: \"{{ machine.serial }}\"\nuuid: \"{{ machine.uuid }}\"\n");
    site.profile(body).await;
    let (first, second) = ("52:54:00:00:00:01", "52:54:00:00:00:02");
    site.assign(first, "n1", "worker", json!({})).await;
    site.assign(second, "n2.rack-1", "worker", json!({})).await;
    let config = boots(&site, first).await;
    let labels = "uuid=4c4c4544-004b-3510-8051-b4c04f4c4d32&serial=S%2FN%201%26%23%24%7Bx%7D%7C%7C\
                  &product=A%26B%3Dc&manufacturer=%7C%7C%20shell&asset=%23&mac1=52:54:00:00:00:99&arch=amd64";
    let asked = site.boot(&format!("{}&{labels}", menu(second))).await.is(200);
    assert!(asked.text().contains("n2.rack-1 (52:54:00:00:00:02) boots worker\n"), "{}", asked.text());
    let (Does::Waits(_, again), _) = run(&asked) else { panic!("{}", asked.text()) };
    // Again and again, until it is its turn.
    let (Does::Waits(_, same), _) = run(&site.boot(&again).await.is(200)) else { panic!("admitted") };
    assert_eq!(same, again);
    site.boot(&config).await.is(200);
    let Does::Boots(config) = ask(&site, &again).await else { panic!("not admitted") };
    let config = site.boot(&config).await.is(200).text();
    assert_eq!(config, "serial: \"S/N 1&#${x}||\"\nuuid: \"4c4c4544-004b-3510-8051-b4c04f4c4d32\"\n");
    site.events("").await;
    let machines = site.get("/api/v1/boot/machines").await.is(200).json();
    let seen = machines["items"].as_array().unwrap().iter().find(|m| m["mac_address"] == second).unwrap();
    assert_eq!((seen["product"].as_str(), seen["manufacturer"].as_str()), (Some("A&B=c"), Some("|| shell")));
}

/// Firmware may say so much that iPXE could not send it back; the machine waits, and boots, anyway.
#[tokio::test]
async fn long_labels_do_not_end_a_wait() {
    let site = Site::with("[limits]\nboots_in_flight = 1\n").await;
    site.profile(talos("worker")).await;
    let (first, second) = ("52:54:00:00:00:01", "52:54:00:00:00:02");
    site.assign(first, "n1", "worker", json!({})).await;
    site.assign(second, "n2", "worker", json!({})).await;
    let config = boots(&site, first).await;
    let long = "%F0%9F%9A%80".repeat(128);
    let url = format!("{}&serial=S-1&manufacturer={long}&product={long}&asset=rack-7", menu(second));
    let Does::Waits(_, again) = ask(&site, &url).await else { panic!("admitted") };
    assert!(again.contains("&serial=hex:532d31&manufacturer=hex:f09f9a80"), "{again}");
    assert!(!again.contains("product=") && again.ends_with("&asset=hex:7261636b2d37"), "{again}");
    site.boot(&config).await.is(200);
    assert!(matches!(ask(&site, &again).await, Does::Boots(_)));
}

#[tokio::test]
async fn a_parameter_says_who_goes_first() {
    let site = Site::with("[limits]\nboots_in_flight = 1\n").await;
    site.profile(talos("worker")).await;
    site.profile(control_plane("cp")).await;
    let mac = |n: usize| format!("52:54:00:00:00:0{n}");
    let params = |first: bool| json!({"boot_params_override": {"boot_first": first}});
    site.assign(&mac(1), "n1", "worker", json!({})).await;
    site.assign(&mac(2), "n2", "worker", json!({})).await;
    site.assign(&mac(3), "n3", "worker", params(true)).await;
    site.assign(&mac(4), "n4", "cp", params(false)).await;
    boots(&site, &mac(1)).await;
    waits(&site, &mac(2), "1 of 1").await;
    waits(&site, &mac(3), "1 of 2").await;
    waits(&site, &mac(4), "3 of 3").await;
}

#[tokio::test]
async fn without_limits_nobody_waits() {
    let site = Site::start().await;
    site.profile(talos("worker")).await;
    for n in 10..30 {
        let mac = format!("52:54:00:00:00:{n}");
        site.assign(&mac, &format!("n{n}"), "worker", json!({})).await;
        boots(&site, &mac).await;
    }
    assert_eq!(site.app.waves.counts(), (0, 0));
}

/// 200 machines that need 100 MB each power on within a second; 2.5 GB may be under way. Takes its
/// seconds because it is two thousand requests, each through the whole service.
#[tokio::test]
async fn a_storm_boots_in_waves() {
    const ALL: usize = 200;
    const INSIDE: usize = 25;
    let site = Site::with("[limits]\nasset_bytes_in_flight = 2500000000\n").await;
    for body in [talos("worker"), control_plane("cp")] {
        let made = site.profile(body).await;
        // Labels of that size; nobody reads the bytes here.
        for (file, size) in [("vmlinuz", 20_000_000), ("initramfs.xz", 80_000_000)] {
            let now = site.app.clock.now();
            let asset = Asset { file: file.parse().unwrap(), sha256: Digest([1; 32]), size, created_at: now };
            let by = site.app.by("test", [127, 0, 0, 1].into());
            let (store, now) = (site.app.write(), by.at);
            let hour = moxxie_core::time::Span::hours(1);
            let arrival = store.arrive(&asset.sha256, asset.size, now, now + hour).await.unwrap();
            store.put_asset(made["id"].as_str().unwrap(), &asset, &arrival, &by).await.unwrap();
        }
    }
    let mac = |n: usize| format!("52:54:00:00:01:{n:02x}");
    // Control planes are the last to ask.
    let profile = |n: usize| if n >= ALL - 3 { "cp" } else { "worker" };
    let assigned: Vec<Value> = (0..ALL)
        .map(|n| {
            json!({"kind": "assignment", "mac_address": mac(n), "node_name": format!("n{n}"), "boot_profile": profile(n)})
        })
        .collect();
    site.post("/api/v1/boot/apply", json!({"items": assigned})).await.is(200);

    // What each does next, by the second. Those who ask in the same second ask at once.
    let start = site.app.clock.now();
    let mut next: BTreeMap<Timestamp, Vec<(usize, Does)>> = BTreeMap::new();
    next.insert(start, (0..ALL).map(|n| (n, Does::Waits(0, menu(&mac(n))))).collect());
    let mut admitted: Vec<usize> = Vec::new();
    let mut inside = 0;
    while let Some((now, does)) = next.pop_first() {
        site.push(now - site.app.clock.now());
        let act = |(n, what): (usize, Does)| {
            let site = &site;
            async move {
                match what {
                    Does::Waits(_, url) => (n, Some(ask(site, &url).await)),
                    Does::Boots(config) => {
                        site.boot(&config).await.is(200);
                        (n, None)
                    }
                    Does::Local => panic!("{n} went to its disk"),
                }
            }
        };
        for (n, does) in join_all(does.into_iter().map(act)).await {
            let Some(does) = does else {
                inside -= 1;
                continue;
            };
            let seconds = match &does {
                Does::Waits(seconds, _) => i64::try_from(*seconds).unwrap(),
                // As many as are let in share 1 Gbit/s.
                _ => 20,
            };
            if matches!(does, Does::Boots(_)) {
                admitted.push(n);
                inside += 1;
            }
            next.entry(now + Span::seconds(seconds)).or_default().push((n, does));
        }
        assert!(inside <= INSIDE, "{inside} at once");
        let (held, waiting) = site.app.waves.counts();
        assert_eq!((held, waiting), (inside, ALL - admitted.len()));
    }
    assert_eq!(admitted.len(), ALL);
    // Of those who had to wait, control planes before workers.
    let at = |n: usize| admitted.iter().position(|m| *m == n).unwrap();
    let planes: Vec<usize> = (0..ALL).filter(|n| profile(*n) == "cp").map(at).collect();
    assert!(planes.iter().all(|at| *at < 2 * INSIDE), "in the first two waves: {planes:?}");
    let took = (site.app.clock.now() - start).0 / 1000;
    assert!(took <= 8 * (20 + 15), "eight waves of 20 s took {took} s");
    let states = site.get(&format!("{ASSIGNMENTS}?limit=500&state=delivered")).await.is(200).json();
    assert_eq!(states["items"].as_array().unwrap().len(), ALL);
}
