//! `GET /api/v1/boot/network-config`: what is left out comes from the settings, the request and the
//! machines that Moxxie knows.

use crate::util::Site;
use crate::util::recipes::memtest;
use moxxie_core::switch::{DIALECTS, KEYS};
use serde_json::{Value, json};

fn over(key: &str, value: &str) -> Value {
    json!({"boot_params_override": {key: value}})
}

const ROUTE: &str = "/api/v1/boot/network-config";

#[tokio::test]
async fn every_vendor_answers_the_shortest_question() {
    let site = Site::start().await;
    for dialect in DIALECTS {
        let name = dialect.name();
        let answer = site
            .call("GET", &format!("{ROUTE}?vendor={name}"))
            .set("host", "10.7.0.10:8080")
            .set("accept", "text/plain")
            .send()
            .await
            .is(200);
        assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8", "{name}");
        let text = answer.text();
        assert!(text.contains("http://10.7.0.10:8080/boot/menu.ipxe"), "{name}: {text}");
        assert!(text.contains("10.7.0.0/24 is a guess"), "{name}: {text}");
    }
}

#[tokio::test]
async fn the_site_fills_in_what_is_left_out() {
    let toml = "public_url = \"http://boot.example:8080\"\n[access]\nprovisioning = [\"10.9.0.0/16\"]";
    let site = Site::with(toml).await;
    let answer = site.get(&format!("{ROUTE}?vendor=dnsmasq&format=json")).await.is(200).json();
    let script = answer["script"].as_str().unwrap();
    assert!(script.contains("tag:moxxie_ipxe,http://boot.example:8080/boot/menu.ipxe\n"), "{script}");
    assert!(script.contains("10.9.0.0/16") && script.contains("255.255.0.0"), "{script}");
    for key in ["undo", "warnings", "verify", "sources", "title", "companions"] {
        assert!(!answer[key].is_null(), "{key}");
    }
    // A name is nothing that firmware could load from.
    let refused = site.get(&format!("{ROUTE}?vendor=dnsmasq&tftp=moxxie")).await;
    assert_eq!(refused.pointers(), ["/next_server"]);
}

#[tokio::test]
async fn assigned_machines_get_the_address_they_are_known_by() {
    let site = Site::start().await;
    site.profile(memtest("p")).await;
    site.assign("52:54:00:00:00:01", "cp-1", "p", over("ip", "10.0.0.51/24")).await;
    site.assign("52:54:00:00:00:02", "cp-2", "p", json!({})).await;
    site.assign("52:54:00:00:00:03", "cp-3", "p", over("address", "10.99.0.3")).await;
    site.assign("52:54:00:00:00:04", "cp-4", "p", over("ip", "$(reboot)")).await;
    let ask = format!("{ROUTE}?vendor=dnsmasq&subnet=10.0.0.0/24&format=json");
    let script = async |more: &str| site.get(&format!("{ask}{more}")).await.is(200).json();
    let none = script("").await;
    assert!(!none["script"].as_str().unwrap().contains("dhcp-host"));
    site.call("GET", "/boot/menu.ipxe?mac=52:54:00:00:00:02&arch=x86_64&platform=efi")
        .from("10.0.0.52")
        .without("authorization")
        .send()
        .await
        .is(200);
    site.events("").await;
    // Who says what firmware and address it has is not to be believed without a word.
    let written_down = script("&leases=static").await["script"].as_str().unwrap().to_owned();
    let hosts: Vec<&str> = written_down.lines().filter(|line| line.starts_with("dhcp-host=")).collect();
    assert_eq!(hosts, ["dhcp-host=52:54:00:00:00:01,10.0.0.51,cp-1"]);
    let answer = script("&leases=seen").await;
    let text = answer["script"].as_str().unwrap();
    let hosts: Vec<&str> = text.lines().filter(|line| line.starts_with("dhcp-host=")).collect();
    assert_eq!(
        hosts,
        ["dhcp-host=52:54:00:00:00:01,10.0.0.51,cp-1", "dhcp-host=52:54:00:00:00:02,10.0.0.52,cp-2"]
    );
    assert!(!text.contains("reboot") && !text.contains("10.99.0.3"));
    assert!(
        answer["warnings"].to_string().contains("1 assigned machines have addresses outside"),
        "{answer}"
    );
}

#[tokio::test]
async fn values_that_could_end_a_command_are_refused_by_name() {
    let site = Site::start().await;
    for dialect in DIALECTS {
        for (key, _) in KEYS {
            for hostile in
                ["a%22b", "a%27b", "a%24b", "a%3Bb", "a%0Ab", "a%5Bb", "a%7Db", "a%5Cb", "a%60b", "a%23b"]
            {
                let uri = format!("{ROUTE}?vendor={}&{key}={hostile}", dialect.name());
                let pointers = site.call("GET", &uri).set("host", "10.0.0.10").send().await.pointers();
                assert!(pointers.contains(&format!("/{key}")), "{uri}: {pointers:?}");
            }
        }
    }
}

#[tokio::test]
async fn questions_that_cannot_be_answered() {
    let site = Site::start().await;
    for (query, pointer) in [
        ("", "/vendor"),
        ("?vendor=netgear", "/vendor"),
        ("?vendor=dnsmasq&format=xml", "/format"),
        ("?vendor=dnsmasq&colour=red", "/parameters"),
        ("?vendor=dnsmasq&boot_url=http://10.0.0.1/a?b", "/boot_url"),
    ] {
        let answer = site.get(&format!("{ROUTE}{query}")).await;
        let problem = answer.problem(422);
        assert_eq!(answer.pointers(), [pointer], "{query}: {problem}");
    }
    let all = site.get(&format!("{ROUTE}?vendor=x")).await.problem(422).to_string();
    assert!(DIALECTS.iter().all(|dialect| all.contains(dialect.name())), "{all}");
    site.get(&format!("{ROUTE}?vendor=dnsmasq&vlan=1&vlan=2")).await.problem(400);
    // No address that machines could use: an IPv6 Host.
    let answer =
        site.call("GET", &format!("{ROUTE}?vendor=dnsmasq")).set("host", "[fd00::1]:8080").send().await;
    assert_eq!(answer.pointers(), ["/boot_url"]);
}
