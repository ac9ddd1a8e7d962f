//! A client that writes forwarding headers, to pass an allowlist or for somebody else.

use crate::util::recipes::{ASSIGNMENTS, talos};
use crate::util::text::config_path;
use crate::util::{Answer, Site};
use serde_json::json;

/// A listed proxy, another one in front of it, and an address that is not listed.
const PROXY: &str = "10.9.0.1";
const STRANGER: &str = "10.8.0.1";
const CLIENT: &str = "198.51.100.7";
const MAC: &str = "52:54:00:12:34:56";

/// A request from this socket, with these header lines.
async fn ask(site: &Site, method: &str, uri: &str, socket: &str, lines: &[(&str, &str)]) -> Answer {
    let call = if uri.starts_with("/boot") { site.anonymous(method, uri) } else { site.call(method, uri) };
    lines.iter().fold(call.from(socket), |call, (name, value)| call.also(name, value)).send().await
}

/// What is made of a request.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Is {
    /// It is this address's.
    From(&'static str),
    /// It is refused with a 400.
    Refused,
}

/// From whom, with which lines, and what becomes of it.
type Shape<'a> = (&'a str, &'a [(&'a str, &'a str)], Is);

#[tokio::test]
async fn t10_the_matrix_of_header_shapes() {
    use Is::{From, Refused};
    const XFF: &str = "X-Forwarded-For";
    const FWD: &str = "Forwarded";
    const REAL: &str = "X-Real-IP";
    let list_of_10_kb = vec!["198.51.100.7"; 800].join(", ");
    let padded = format!("{CLIENT}{}", " ".repeat(10_300));
    let hops = vec!["10.9.0.2"; 33].join(",");
    let matrix: &[Shape] = &[
        // Nobody but a listed proxy is listened to, whatever is said.
        (STRANGER, &[(XFF, CLIENT)], From(STRANGER)),
        (STRANGER, &[(FWD, "for=198.51.100.7")], From(STRANGER)),
        (STRANGER, &[(REAL, CLIENT)], From(STRANGER)),
        (STRANGER, &[(XFF, "unknown"), (FWD, "for=_x")], From(STRANGER)),
        (STRANGER, &[(XFF, PROXY)], From(STRANGER)),
        ("127.0.0.1", &[(XFF, CLIENT)], From("127.0.0.1")),
        ("::10.9.0.1", &[(XFF, CLIENT)], From("::a09:1")),
        // Right to left, over listed proxies.
        (PROXY, &[], From(PROXY)),
        (PROXY, &[(XFF, CLIENT)], From(CLIENT)),
        ("::ffff:10.9.0.1", &[(XFF, CLIENT)], From(CLIENT)),
        (PROXY, &[(XFF, "1.2.3.4, 198.51.100.7")], From(CLIENT)),
        (PROXY, &[(XFF, "10.0.0.5, 198.51.100.7, 10.9.0.2")], From(CLIENT)),
        (PROXY, &[(XFF, "10.0.0.5"), (XFF, CLIENT), (XFF, "10.9.0.2")], From(CLIENT)),
        (PROXY, &[(XFF, CLIENT), (XFF, "10.0.0.5")], From("10.0.0.5")),
        (PROXY, &[(XFF, "10.9.0.3, 10.9.0.2")], From("10.9.0.3")),
        (PROXY, &[(XFF, "::ffff:198.51.100.7")], From(CLIENT)),
        (PROXY, &[(XFF, "::198.51.100.7")], From("::c633:6407")),
        // Ports.
        (PROXY, &[(XFF, "198.51.100.7:51234")], From(CLIENT)),
        (PROXY, &[(XFF, "[2001:db8::7]:51234")], From("2001:db8::7")),
        (PROXY, &[(XFF, "2001:db8::7")], From("2001:db8::7")),
        // RFC 7239.
        (PROXY, &[(FWD, "for=198.51.100.7;proto=http;by=10.9.0.1")], From(CLIENT)),
        (PROXY, &[(FWD, "For=\"[2001:db8::7]:80\"")], From("2001:db8::7")),
        (PROXY, &[(FWD, "for=\"[::1]\", for=198.51.100.7")], From(CLIENT)),
        (PROXY, &[(FWD, "for=10.0.0.5;host=\"a, for=1.2.3.4\", for=198.51.100.7")], From(CLIENT)),
        (PROXY, &[(FWD, "for=198.51.100.7"), (XFF, CLIENT)], From(CLIENT)),
        // Alone, it counts; beside a list, it does not.
        (PROXY, &[(REAL, CLIENT)], From(CLIENT)),
        (PROXY, &[(REAL, CLIENT), (XFF, "10.0.0.5, 198.51.100.7")], From(CLIENT)),
        (PROXY, &[(REAL, "10.9.0.2"), (XFF, CLIENT)], From(CLIENT)),
        // It passed the client's own list through.
        (PROXY, &[(REAL, "10.0.0.5"), (XFF, CLIENT)], Refused),
        // What cannot be read is not guessed.
        (PROXY, &[(FWD, "for=10.0.0.5"), (XFF, CLIENT)], Refused),
        (PROXY, &[(XFF, "unknown")], Refused),
        (PROXY, &[(XFF, "unknown, 198.51.100.7")], Refused),
        (PROXY, &[(XFF, "_hidden")], Refused),
        (PROXY, &[(FWD, "for=unknown")], Refused),
        (PROXY, &[(FWD, "for=_hidden")], Refused),
        (PROXY, &[(FWD, "proto=https")], Refused),
        (PROXY, &[(FWD, "for=198.51.100.7;for=10.0.0.5")], Refused),
        (PROXY, &[(FWD, "for=\"198.51.100.7")], Refused),
        (PROXY, &[(XFF, "")], Refused),
        (PROXY, &[(XFF, "198.51.100.7,")], Refused),
        (PROXY, &[(XFF, "fe80::1%eth0")], Refused),
        (PROXY, &[(XFF, "[fe80::1%25eth0]:80")], Refused),
        (PROXY, &[(XFF, "0198.051.0100.07")], Refused),
        (PROXY, &[(XFF, "198.51.100.7:99999")], Refused),
        (PROXY, &[(XFF, "198.51.100.7 10.0.0.5")], Refused),
        (PROXY, &[(REAL, "10.0.0.5"), (REAL, CLIENT)], Refused),
        (PROXY, &[(REAL, "unknown")], Refused),
        (PROXY, &[(XFF, &list_of_10_kb)], Refused),
        (PROXY, &[(XFF, &padded)], Refused),
        (PROXY, &[(XFF, &hops)], Refused),
    ];
    let toml =
        format!("[access]\nallow = [\"{CLIENT}\"]\napi = [\"any\"]\ntrusted_proxies = [\"10.9.0.0/24\"]\n");
    let site = Site::with(&toml).await;
    for (number, (socket, lines, is)) in matrix.iter().enumerate() {
        let shape = format!("{number}: {socket} {lines:.120?}");
        // The audit record names the address.
        let made = site.call("POST", "/api/v1/tokens").from(socket);
        let made = lines.iter().fold(made, |call, (name, value)| call.also(name, value));
        let made = made.json(&json!({"name": format!("t{number}"), "role": "viewer"})).send().await;
        // And the list of the boot routes holds the client only.
        let menu = ask(&site, "GET", "/boot/menu.ipxe", socket, lines).await;
        match is {
            From(client) => {
                assert_eq!(made.status, 201, "{shape}: {}", made.text());
                assert_eq!(site.audit().await[0]["peer"], *client, "{shape}");
                assert_eq!(menu.status, if *client == CLIENT { 200 } else { 403 }, "{shape}");
            }
            Refused => {
                assert_eq!(menu.status, 400, "{shape}");
                assert_eq!(menu.header("connection"), "close", "{shape}");
                let detail = made.problem(400)["detail"].as_str().unwrap().to_owned();
                assert!(detail.to_lowercase().contains("forward"), "{shape}: {detail}");
                assert!(!detail.contains("198") && !menu.text().contains("198"), "{shape}: {detail}");
            }
        }
    }
}

#[tokio::test]
async fn t10_a_token_belongs_to_the_machine_behind_the_proxy() {
    let site = Site::with(
        "[access]\nprovisioning = [\"10.1.0.0/16\"]\ntrusted_proxies = [\"10.9.0.1\"]\n[boot]\ntoken_prefix_v4 = 24\n",
    )
    .await;
    site.profile(talos("cp")).await;
    site.assign(MAC, "n1", "cp", json!({})).await;
    let menu = format!("/boot/menu.ipxe?mac={MAC}");
    // Not for the proxy, not for somebody outside, not for somebody who says he is inside.
    for (socket, lines) in [
        (PROXY, &[][..]),
        (PROXY, &[("X-Forwarded-For", "10.2.0.50")]),
        (PROXY, &[("X-Forwarded-For", "10.1.0.50, 10.2.0.50")]),
        ("10.2.0.50", &[("X-Forwarded-For", "10.1.0.50")]),
        ("10.2.0.50", &[("Forwarded", "for=10.1.0.50"), ("X-Real-IP", "10.1.0.50")]),
    ] {
        let answer = ask(&site, "GET", &menu, socket, lines).await.is(200);
        assert_eq!(config_path(&answer.text()), None, "{socket} {lines:?}");
    }
    let machine = [("X-Forwarded-For", "10.1.0.50")];
    let answer = ask(&site, "GET", &menu, PROXY, &machine).await.is(200);
    let config = config_path(&answer.text()).expect("the machine is given a token");
    // Worth nothing in another network, whatever the asker says of itself.
    for (socket, lines) in [
        (PROXY, &[][..]),
        (PROXY, &[("X-Forwarded-For", "10.1.1.50")]),
        (PROXY, &[("X-Forwarded-For", "10.1.0.50, 10.1.1.50")]),
        ("10.1.1.50", &machine),
    ] {
        ask(&site, "GET", &config, socket, lines).await.is(403);
    }
    let got = ask(&site, "GET", &config, PROXY, &machine).await.is(200);
    assert!(got.text().contains("hostname: n1"));
    // Its events and the audit name the machine, not the proxy.
    assert_eq!(site.state(MAC).await, "delivered");
    let delivered =
        site.audit().await.into_iter().find(|r| r["action"].as_str().unwrap().contains("deliver"));
    assert_eq!(delivered.expect("a delivery is audited")["peer"], "10.1.0.50");
}

#[tokio::test]
async fn t10_links_do_not_follow_forwarded_headers() {
    let site = Site::with("[access]\ntrusted_proxies = [\"10.9.0.1\"]\n").await;
    site.profile(talos("cp")).await;
    site.assign(MAC, "n1", "cp", json!({})).await;
    let lines = [
        ("X-Forwarded-For", "10.0.0.50"),
        ("X-Forwarded-Host", "evil.example"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Port", "666"),
        ("X-Forwarded-Prefix", "/evil"),
        ("X-Original-URL", "/livez"),
    ];
    for socket in [PROXY, "10.0.0.50"] {
        site.arm(MAC).await;
        let text =
            ask(&site, "GET", &format!("/boot/menu.ipxe?mac={MAC}"), socket, &lines).await.is(200).text();
        assert!(text.contains("http://10.0.0.1:8080/boot/"), "{text}");
        for word in ["evil", "https", "666"] {
            assert!(!text.contains(word), "{socket}: {text}");
        }
    }
    let forwarded = [("Forwarded", "for=10.0.0.50;host=evil.example;proto=https")];
    let text = ask(&site, "GET", "/boot/menu.ipxe", PROXY, &forwarded).await.is(200).text();
    assert!(!text.contains("evil") && !text.contains("https"), "{text}");
}

#[tokio::test]
async fn t10_two_lists_and_who_is_on_them() {
    // The tests' own address is on the second list.
    let toml = "[access]\nallow = [\"10.1.0.0/16\"]\napi = [\"10.2.0.0/16\", \"10.0.0.5\"]\n";
    let site = Site::with(toml).await;
    site.profile(talos("cp")).await;
    let profile = "/api/v1/boot/profiles/cp";
    for (from, boot, api) in [
        ("10.1.0.5", 200, 403),
        ("10.2.0.5", 403, 200),
        ("203.0.113.9", 403, 403),
        // One spelling of an address is as good as the other; older embeddings are something else.
        ("::ffff:10.1.0.5", 200, 403),
        ("::ffff:10.2.0.5", 403, 200),
        ("::10.1.0.5", 403, 403),
        ("2002:a01:5::1", 403, 403),
        ("64:ff9b::a01:5", 403, 403),
        ("fe80::1", 403, 403),
        ("0.0.0.0", 403, 403),
        ("::", 403, 403),
        // Whoever is on the machine cannot be locked out of the API.
        ("127.0.0.1", 403, 200),
        ("::1", 403, 200),
    ] {
        for uri in ["/boot/menu.ipxe", "/boot/cp.ipxe?mac=52:54:00:00:00:01", "/boot/assets/cp/vmlinuz"] {
            assert_eq!(ask(&site, "GET", uri, from, &[]).await.status, boot, "{from} {uri}");
        }
        for uri in [profile, "/metrics", "/api/docs", "/api/v1/openapi.json"] {
            let answer = ask(&site, "GET", uri, from, &[]).await;
            assert_eq!(answer.status, api, "{from} {uri}");
            if api == 403 {
                let problem = answer.problem(403);
                assert!(problem["detail"].as_str().unwrap().contains("access.api"), "{problem}");
                assert!(!answer.text().contains("10.2."), "the list is nobody's business");
            }
        }
        // Also for URLs that do not exist: nobody learns which do.
        let nothing = ask(&site, "GET", "/nothing", from, &[]).await;
        assert_eq!(nothing.status, if api == 200 { 404 } else { 403 }, "{from}");
        for uri in ["/livez", "/readyz"] {
            ask(&site, "GET", uri, from, &[]).await.is(200);
        }
    }
    let outside = ask(&site, "GET", "/boot/menu.ipxe", "203.0.113.9", &[]).await;
    assert_eq!(outside.text(), "moxxie: network not allowed\n");
    // Counted by list.
    let metrics = ask(&site, "GET", "/metrics", "127.0.0.1", &[]).await.is(200).text();
    for list in ["boot", "api"] {
        let line = format!("moxxie_outside_allowlist_total{{list=\"{list}\"}}");
        assert!(metrics.contains(&line), "{line}");
    }
}

#[tokio::test]
async fn t10_a_list_that_changes_holds_for_the_next_request() {
    let site = Site::start().await;
    let from = |ip: &'static str| site.anonymous("GET", "/boot/menu.ipxe").from(ip);
    from("203.0.113.9").send().await.is(403);
    let mut config = (*site.app.config()).clone();
    let networks = ["203.0.113.0/24"];
    config.access = std::sync::Arc::new(moxxie::config::AccessConfig {
        allow: moxxie_core::net::Networks::read(networks).unwrap(),
        ..(*config.access).clone()
    });
    site.app.set_config(config);
    from("203.0.113.9").send().await.is(200);
    from("10.0.0.5").send().await.is(403);
    site.get(ASSIGNMENTS).await.is(200);
}
