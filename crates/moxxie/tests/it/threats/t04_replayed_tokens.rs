//! T4: what stands on a kernel's command line, in logs or in a config is read later, on the machine
//! itself or nearby, and used again.

use crate::util::recipes::{debian, talos};
use crate::util::{Machine, Site};
use moxxie_core::time::Span;
use serde_json::json;

const MAC: &str = "52:54:00:00:00:44";

/// The token of a URL in each of the places where it is read.
fn spellings(url: &str) -> Vec<String> {
    let (page, token) = url.split_once("?t=").unwrap();
    [
        format!("{page}?t={token}"),
        format!("{page}/user-data?t={token}"),
        format!("{page}/{token}/user-data"),
        format!("{page}?t={token}&x=1"),
    ]
    .to_vec()
}

async fn worthless(site: &Site, machine: &Machine, url: &str, when: &str) {
    for url in spellings(url) {
        let answer = machine.fetch(site, &url).await;
        assert_eq!((answer.status, answer.text().as_str()), (403, "moxxie: not allowed\n"), "{when}: {url}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t04_a_token_is_worthless_ten_minutes_after_its_use() {
    for (profile, arg) in [(debian("p"), "url"), (talos("p"), "talos.config")] {
        let site = Site::start().await;
        site.profile(profile).await;
        site.assign(MAC, "n1", "p", json!({})).await;
        let machine = Machine::bios(MAC);
        let url = machine.boot(&site).arg(arg);
        machine.fetch(&site, &url).await.is(200);
        site.push(Span::minutes(10));
        worthless(&site, &machine, &url, "after ten minutes").await;
        // Nor does it come back to life: with a clock that jumps, with another address of its
        // network, with the settled machine, with a new window.
        site.push(Span(-Span::minutes(5).0));
        worthless(&site, &machine, &url, "a clock that goes back").await;
        site.push(Span::minutes(30));
        worthless(&site, &Machine::bios(MAC).from("10.0.0.77"), &url, "a neighbor").await;
        assert_eq!(site.state(MAC).await, "installed");
        worthless(&site, &machine, &url, "installed").await;
        site.arm(MAC).await;
        worthless(&site, &machine, &url, "armed anew").await;
        let fresh = machine.boot(&site).arg(arg);
        worthless(&site, &machine, &url, "in the new window").await;
        machine.fetch(&site, &fresh).await.is(200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t04_an_unused_token_ends_with_its_window() {
    let site = Site::start().await;
    site.profile(debian("p")).await;
    site.assign(MAC, "n1", "p", json!({})).await;
    let machine = Machine::bios(MAC);
    let url = machine.boot(&site).arg("url");
    site.push(Span::hours(4));
    worthless(&site, &machine, &url, "after the window").await;
    // Each thing a person does ends what is out.
    let uri = format!("/api/v1/boot/assignments/{MAC}");
    for change in ["disarm", "arm", "protect", "quarantine", "delete"] {
        site.arm(MAC).await;
        let url = machine.boot(&site).arg("url");
        match change {
            "disarm" | "arm" => drop(site.call("POST", &format!("{uri}/{change}")).send().await.is(200)),
            "delete" => drop(site.delete(&uri).await.is(204)),
            flag => {
                let flag = if flag == "protect" { "protected" } else { "quarantined" };
                site.patch(&uri, json!({flag: true})).await.is(200);
                worthless(&site, &machine, &url, flag).await;
                site.patch(&uri, json!({flag: false})).await.is(200);
            }
        }
        worthless(&site, &machine, &url, change).await;
    }
}

/// The report's token, which stays in the config on the installed disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t04_a_report_token_says_nothing_after_the_end() {
    let site = Site::start().await;
    site.profile(debian("p")).await;
    site.assign(MAC, "n1", "p", json!({})).await;
    let machine = Machine::bios(MAC);
    let config = machine.fetch(&site, &machine.boot(&site).arg("url")).await.is(200).text();
    let report = config[config.find("http://").unwrap()..].split(['&', '\'']).next().unwrap().to_owned();
    machine.fetch(&site, &format!("{report}&stage=installed")).await.is(204);
    site.arm(MAC).await;
    for stage in ["started", "progress", "installed", "failed"] {
        machine.fetch(&site, &format!("{report}&stage={stage}")).await.is(403);
    }
    assert_eq!(site.state(MAC).await, "armed");
}
