//! Rows 51, 53, 84, 85, 91 and 92 of the catalogue: what is said around a request, and what a
//! browser or a proxy in between makes of an answer.

use crate::util::Site;
use crate::util::recipes::{ASSIGNMENTS, PROFILES, debian, memtest};
use crate::util::text::percent;
use crate::util::wire::Wire;
use serde_json::json;

/// 51: RFC 9112, section 6.3, lets a server go by the chunks when both ways to end a body are
/// there, and wants the connection closed behind the answer. hyper does so before anybody here sees
/// the head; whatever is hidden behind such a request is never read as one.
#[tokio::test]
async fn two_lengths_end_the_connection_and_hide_nothing() {
    let site = Site::start().await;
    let wire = Wire::start(&site).await;
    let hidden = "GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n";
    for target in [
        "GET /livez",
        "POST /livez",
        "GET /boot/menu.ipxe",
        "POST /boot/report",
        "POST /api/v1/boot/profiles",
    ] {
        for (first, second) in [
            ("Content-Length: LEN", "Transfer-Encoding: chunked"),
            ("Transfer-Encoding: chunked", "Content-Length: LEN"),
            ("content-length: LEN", "transfer-encoding: ChUnKeD"),
            ("Content-Length: LEN", "Transfer-Encoding: gzip, chunked"),
            ("Content-Length: 0", "Transfer-Encoding: chunked"),
        ] {
            let length = (5 + hidden.len()).to_string();
            let head = format!("{target} HTTP/1.1\r\nHost: a\r\n{first}\r\n{second}\r\n\r\n")
                .replace("LEN", &length);
            let said = wire.send(format!("{head}0\r\n\r\n{hidden}").as_bytes()).await;
            assert_eq!(said.statuses.len(), 1, "{target} {first} {second}: {}", said.text);
            assert!(!said.text.contains("\r\nready\n"), "the hidden request was answered: {}", said.text);
            // `send` reads until the server closes: it did.
        }
        // 53: a body where none belongs is not the next request either.
        let length = hidden.len();
        let said = wire
            .send(format!("{target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{hidden}").as_bytes())
            .await;
        assert_eq!(said.statuses.len(), 1, "{target}: {}", said.text);
    }
    for transfer in [
        "chunked, identity",
        "identity",
        "chunked\r\nTransfer-Encoding: identity",
        "\u{b}chunked",
        "chunked;q=1",
    ] {
        let said = wire
            .send(format!("POST /livez HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {transfer}\r\n\r\n0\r\n\r\n{hidden}").as_bytes())
            .await;
        assert_eq!(said.statuses.len(), 1, "{transfer:?}: {}", said.text);
        assert_eq!(said.statuses[0], 400, "{transfer:?}: {}", said.text);
    }
}

/// 84: nobody is listed as a proxy, so no header says where a request came from.
#[tokio::test]
async fn nobody_is_who_a_header_says() {
    let site = Site::start().await;
    let list = vec!["10.0.0.5"; 1000].join(", ");
    let shapes = [
        ("x-forwarded-for", "10.0.0.5"),
        ("x-forwarded-for", "1.2.3.4, 10.0.0.5"),
        ("x-forwarded-for", "10.0.0.5, 1.2.3.4"),
        ("x-forwarded-for", "10.0.0.5:443"),
        ("x-forwarded-for", "[::1]:443"),
        ("x-forwarded-for", "::ffff:10.0.0.5"),
        ("x-forwarded-for", "unknown"),
        ("x-forwarded-for", ""),
        ("x-forwarded-for", ",,,"),
        ("x-forwarded-for", list.as_str()),
        ("forwarded", "for=\"[::1]\""),
        ("forwarded", "for=10.0.0.5;proto=https;by=10.0.0.1"),
        ("forwarded", "for=_hidden, for=10.0.0.5"),
        ("x-real-ip", "10.0.0.5"),
        ("x-client-ip", "10.0.0.5"),
        ("client-ip", "10.0.0.5"),
        ("true-client-ip", "10.0.0.5"),
        ("cf-connecting-ip", "10.0.0.5"),
        ("x-cluster-client-ip", "10.0.0.5"),
        ("x-original-forwarded-for", "10.0.0.5"),
        ("via", "1.1 10.0.0.5"),
    ];
    for (name, value) in shapes {
        let outside = site.anonymous("GET", "/boot/menu.ipxe").from("203.0.113.9").set(name, value);
        outside.send().await.is(403);
        let twice = site
            .anonymous("GET", "/boot/menu.ipxe")
            .from("203.0.113.9")
            .set(name, value)
            .also(name, "127.0.0.1");
        twice.send().await.is(403);
        // Who is inside stays inside, whatever a header says of it.
        let inside = site.anonymous("GET", "/boot/menu.ipxe").set(name, "203.0.113.9");
        inside.send().await.is(200);
    }
    // What is written down is the peer.
    site.call("POST", PROFILES).set("x-forwarded-for", "192.0.2.7").json(&memtest("m")).send().await.is(201);
    assert_eq!(site.audit().await[0]["peer"], crate::util::app::PEER);
}

/// 85: nobody was told to expect a preamble, so it is a request that cannot be read.
#[tokio::test]
async fn a_proxys_preamble_is_no_request() {
    let site = Site::start().await;
    let wire = Wire::start(&site).await;
    let get = b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let v2 = b"\r\n\r\n\0\r\nQUIT\n";
    let preambles: [Vec<u8>; 6] = [
        b"PROXY TCP4 10.0.0.5 10.0.0.1 40000 8080\r\n".to_vec(),
        b"PROXY UNKNOWN\r\n".to_vec(),
        [b"PROXY TCP6 ".to_vec(), vec![b'f'; 200], b"\r\n".to_vec()].concat(),
        [&v2[..], b"\x21\x11\0\x0c\x0a\0\0\x05\x0a\0\0\x01\x9c\x40\x1f\x90"].concat(),
        // LOCAL, and one whose length is a lie.
        [&v2[..], b"\x20\0\0\0"].concat(),
        [&v2[..], b"\x21\x11\xff\xff\x0a\0\0\x05"].concat(),
    ];
    for preamble in preambles {
        let said = wire.send(&[&preamble[..], get].concat()).await;
        assert!(!said.statuses.contains(&200), "{preamble:?}: {}", said.text);
        assert!(said.statuses.len() <= 1, "{preamble:?}: {}", said.text);
    }
}

/// 91: there is no cookie to send along, no page elsewhere is told that it may look, and looking
/// changes nothing.
#[tokio::test]
async fn a_page_elsewhere_changes_nothing() {
    let site = Site::start().await;
    site.profile(debian("deb")).await;
    let body = json!({"mac_address": "52:54:00:00:00:91", "node_name": "n1", "boot_profile": "deb"});
    for cookie in [
        "session=1",
        "token=first-admin-token-of-the-tests",
        "Authorization=Bearer first-admin-token-of-the-tests",
    ] {
        let call =
            site.anonymous("POST", ASSIGNMENTS).set("origin", "https://evil.example").set("cookie", cookie);
        call.json(&body).send().await.problem(401);
    }
    // A form can send these three kinds without asking; none of them is read.
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        let call =
            site.call("POST", ASSIGNMENTS).set("origin", "https://evil.example").set("content-type", kind);
        call.body(body.to_string()).send().await.problem(415);
    }
    for uri in [ASSIGNMENTS, PROFILES, "/api/v1/tokens", "/livez", "/metrics"] {
        let asked = site.anonymous("OPTIONS", uri).set("origin", "https://evil.example");
        let asked = asked.set("access-control-request-method", "POST").send().await;
        let seen = site.call("GET", uri).set("origin", "https://evil.example").send().await.is(200);
        for answer in [asked, seen] {
            assert!(!answer.headers.keys().any(|name| name.as_str().starts_with("access-control-")), "{uri}");
            assert_eq!(answer.header("set-cookie"), "", "{uri}");
        }
    }
    assert_eq!(site.get(ASSIGNMENTS).await.json()["items"], json!([]));
}

/// 92: what people and machines wrote is JSON or plain text, and says that it is nothing else.
#[tokio::test]
async fn nothing_is_taken_for_a_page() {
    let site = Site::start().await;
    let html = "<script>alert(1)</script><img src=x onerror=alert(1)>";
    let mut profile = memtest("m");
    profile["description"] = json!(html);
    site.profile(profile).await;
    let word = percent(html);
    site.boot(&format!("/boot/menu.ipxe?mac=52:54:00:00:00:92&product={word}&identified=1")).await.is(200);
    for name in ["<b>", "a<script>", "\"onload=x"] {
        let body = json!({"mac_address": "52:54:00:00:00:92", "node_name": name, "boot_profile": "m"});
        site.post(ASSIGNMENTS, body).await.problem(422);
    }
    let mut shown = 0;
    for uri in [
        PROFILES.to_owned(),
        format!("{PROFILES}/m"),
        "/api/v1/boot/machines".into(),
        "/api/v1/boot/export".into(),
        "/api/v1/audit".into(),
        format!("{PROFILES}/{word}"),
        format!("/boot/{word}"),
        format!("/boot/{word}.ipxe"),
        format!("/{word}"),
        format!("{ASSIGNMENTS}?{word}=1"),
    ] {
        let answer = site.get(&uri).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{uri}");
        let kind = answer.header("content-type");
        assert!(kind.starts_with("application/") || kind.starts_with("text/plain"), "{uri}: {kind}");
        shown += usize::from(answer.text().contains("<script>"));
    }
    assert!(shown >= 2, "it is kept as it was written");
    let page = site.boot("/api/docs").await.is(200);
    assert!(page.header("content-type").starts_with("text/html") && !page.text().contains("alert(1)"));
}
