//! The catalogue of bad input, row by row. Each row names itself, and all rows are tried before
//! the test fails, so that one run shows every deviation.
//!
//! Which test tries which row, and which rows have no test yet, says `catalogue.rs`. YAML (57 to
//! 59) is read by the command line only: the API takes JSON and says so. Names with NFC and NFD
//! twins, look-alikes and emoji (32) cannot be told apart because none of them is a name. A body
//! that is announced and never sent (54) is given up after a time, which is tried where bodies are
//! read (`http/extract/json.rs`); here, that nobody is told to go on before the head was found good.

use crate::util::recipes::{ASSIGNMENTS, PROFILES, debian, memtest, talos};
use crate::util::wire::{Wire, head};
use crate::util::{Answer, Machine, Site};
use axum::body::Body;
use axum::http::HeaderMap;
use moxxie_core::ipxe::interpreter::{Client, Reply};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

const MAC: &str = "52:54:00:aa:bb:cc";

/// Collects what went wrong, by row.
#[derive(Default)]
struct Rows {
    wrong: Vec<String>,
}

impl Rows {
    fn check(&mut self, row: &str, input: impl std::fmt::Debug, fine: bool, got: impl std::fmt::Display) {
        if !fine {
            let input: String = format!("{input:?}").chars().take(120).collect();
            let got: String = got.to_string().chars().take(300).collect();
            self.wrong.push(format!("row {row}: {input}: {got}"));
        }
    }

    fn status(&mut self, row: &str, input: impl std::fmt::Debug, answer: &Answer, want: &[u16]) {
        let got = format!("{} instead of {want:?}: {}", answer.status, answer.text());
        self.check(row, input, want.contains(&answer.status), got);
    }

    #[track_caller]
    fn done(self) {
        assert!(self.wrong.is_empty(), "\n{}", self.wrong.join("\n"));
    }
}

/// What a menu answer does when a machine runs it.
fn kind_of(answer: &Answer) -> &'static str {
    if answer.status != 200 {
        return "refused";
    }
    let run = Client::efi().stop_at_chain().run(&answer.body, &mut |_: &str| Reply::text("#!ipxe\n"));
    let text = answer.text();
    match () {
        () if text.contains("asks this machine who it is") => "identify",
        () if !run.menus.is_empty() => "menu",
        () if run.ran("kernel").is_empty() => "local",
        () => "boot",
    }
}

/// Percent-encodes every byte that cannot stand in a query.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b':' | b'-' | b'.' => (b as char).to_string(),
            b => format!("%{b:02x}"),
        })
        .collect()
}

#[tokio::test]
async fn identities() {
    let site = Site::start().await;
    site.profile(debian("deb")).await;
    site.assign(MAC, "n1", "deb", json!({"armed": false})).await;
    site.assign(
        "52:54:00:00:00:02",
        "n2",
        "deb",
        json!({"armed": false, "uuid": "4c4c4544-004b-3510-8051-b4c04f4c4d32"}),
    )
    .await;
    let mut rows = Rows::default();
    // In the query as it stands, the status, and what the script does.
    let queries = [
        ("1", "mac=52:54:00:aa:bb:cc", "local"),
        ("2", "mac=52:54:00:AA:BB:CC", "local"),
        ("3", "mac=52-54-00-aa-bb-cc", "local"),
        ("4", "mac=525400aabbcc", "local"),
        ("5", "mac=5254.00aa.bbcc", "local"),
        ("6", "mac=525400-aabbcc", "local"),
        ("7", "mac=01-52-54-00-aa-bb-cc", "local"),
        ("8", "mac=52%3A54%3A00%3Aaa%3Abb%3Acc", "local"),
        ("9", "mac=52:54:0:a:b:c", "refused"),
        ("10", "mac=5%c5%9f4:00:aa:bb:c", "refused"),
        ("11", "mac=02:00:5e:10:00:00:00:01", "refused"),
        ("12", "mac=80:00:00:48:fe:80:00:00:00:00:00:00:00:02:c9:03:00:1b:73:01", "refused"),
        ("13", "mac=00:00:00:00:00:00", "local"),
        ("13", "mac=ff:ff:ff:ff:ff:ff", "local"),
        ("13", "mac=01:00:5e:00:00:01", "local"),
        ("14", "mac=02:00:00:00:00:01", "menu"),
        ("15", "mac=52:54-00:aa:bb:cc", "refused"),
        ("15", "mac=525400aabbc", "refused"),
        ("15", "mac=525400aabbccd", "refused"),
        ("15", "mac=52:54:00:aa:bb:cc%20", "refused"),
        ("15", "mac=52:54:00:aa:bb:cc%0a", "refused"),
        ("15", "mac=0x525400aabbcc", "refused"),
        ("15", "mac=%ef%bc%95%ef%bc%922:54:00:aa:bb:cc", "refused"),
        ("16", "", "identify"),
        ("16", "mac=", "identify"),
        ("16", "mac=(none)", "identify"),
        ("16", "mac=%24%7bnetX/mac%7d", "identify"),
        ("16", "identified=1&mac=", "local"),
        ("17", "mac=52:54:00:aa:bb:cc&mac=52:54:00:00:00:02", "refused"),
        ("17", "mac=52:54:00:aa:bb:cc&MAC=52:54:00:00:00:02", "refused"),
        ("17", "mac=52:54:00:aa:bb:cc&mac[]=52:54:00:00:00:02", "refused"),
        ("17", "mac=52:54:00:aa:bb:cc&mac=52:54:00:aa:bb:cc", "refused"),
        ("17", "mac=52:54:00:aa:bb:cc&%6dac=52:54:00:aa:bb:cc", "refused"),
        ("18", "uuid=4c4c4544-004b-3510-8051-b4c04f4c4d32", "local"),
        ("18", "uuid=44454c4c-4b00-1035-8051-b4c04f4c4d32", "local"),
        ("19", "uuid=00000000-0000-0000-0000-000000000000", "identify"),
        ("19", "uuid=ffffffff-ffff-ffff-ffff-ffffffffffff", "identify"),
        ("19", "uuid=03000200-0400-0500-0006-000700080009", "identify"),
        ("19", "uuid=12345678-1234-1234-1234-123456789abc", "identify"),
        ("20", "mac=52:54:00:aa:bb:cc&uuid=Not%20Settable&serial=To%20be%20filled%20by%20O.E.M.", "local"),
        ("20", "mac=52:54:00:aa:bb:cc&serial=Default%20string&serial2=System%20Serial%20Number", "local"),
        ("21", "uuid=%7b4C4C4544-004B-3510-8051-B4C04F4C4D32%7d", "local"),
        ("21", "uuid=urn:uuid:4c4c4544-004b-3510-8051-b4c04f4c4d32", "local"),
        ("21", "uuid=4c4c4544004b35108051b4c04f4c4d32", "local"),
        ("21", "uuid=4c4c4544-004b-3510-8051", "refused"),
        ("22", "mac=52:54:00:aa:bb:cc&uuid=4c4c4544-004b-3510-8051-b4c04f4c4d32", "local"),
    ];
    for (row, query, want) in queries {
        let answer = site.boot(&format!("/boot/menu.ipxe?{query}")).await;
        let got = kind_of(&answer);
        rows.check(row, query, got == want, format!("{got} instead of {want}"));
        rows.check(row, query, got != "refused" || answer.status == 400, answer.status);
        // The known machine is known in every spelling.
        if matches!(row, "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "18" | "20") {
            let named = answer.text().contains("n1 (") || answer.text().contains("n2 (");
            rows.check(row, query, named, "not recognized");
        }
    }
    let conflicts = site.messages("identity.conflict").await;
    rows.check("22", "event", conflicts.len() == 1, format!("{conflicts:?}"));

    // The API: one canonical value, or 422.
    let good = [
        ("1", "52:54:00:00:01:01"),
        ("2", "52:54:00:00:01:0A"),
        ("3", "52-54-00-00-01-03"),
        ("4", "525400000104"),
        ("5", "5254.0000.0105"),
        ("6", "525400-000106"),
        ("7", "01-52-54-00-00-01-07"),
        ("14", "02:00:00:00:01:08"),
    ];
    for (n, (row, mac)) in good.into_iter().enumerate() {
        let body =
            json!({"mac_address": mac, "node_name": format!("m{n}"), "boot_profile": "deb", "armed": false});
        let made = site.post(ASSIGNMENTS, body).await;
        rows.status(row, mac, &made, &[201]);
        let shown = made.json()["mac_address"].as_str().unwrap_or("").to_owned();
        let canonical = shown.len() == 17
            && shown.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b) || b == b':');
        rows.check(row, mac, canonical, &shown);
        let found = site.get(&format!("{ASSIGNMENTS}/{}", encoded(mac))).await;
        rows.status(row, mac, &found, &[200]);
        let again = json!({"mac_address": shown, "node_name": "twin", "boot_profile": "deb"});
        rows.status(row, "the same again", &site.post(ASSIGNMENTS, again).await, &[409]);
    }
    let bad = [
        ("9", "52:54:0:a:b:c"),
        ("10", "5\u{15f}4:00:aa:bb:c"),
        ("11", "02:00:5e:10:00:00:00:01"),
        ("12", "80:00:00:48:fe:80:00:00:00:00:00:00:00:02:c9:03:00:1b:73:01"),
        ("13", "00:00:00:00:00:00"),
        ("13", "ff:ff:ff:ff:ff:ff"),
        ("13", "01:00:5e:00:00:01"),
        ("15", "52:54-00:aa:bb:cc"),
        ("15", "525400aabbc"),
        ("15", "52:54:00:aa:bb:cd "),
        ("15", "52:54:00:aa:bb:cd\n"),
        ("15", "0x525400aabbcd"),
        ("16", ""),
    ];
    for (row, mac) in bad {
        let body = json!({"mac_address": mac, "node_name": "bad", "boot_profile": "deb"});
        let answer = site.post(ASSIGNMENTS, body).await;
        rows.status(row, mac, &answer, &[422]);
        let pointer = answer.json()["errors"][0]["pointer"].clone();
        rows.check(row, mac, pointer == "/mac_address", pointer);
    }
    for (row, uuid) in [("20", "Not Settable"), ("21", "4c4c4544")] {
        let answer = site.patch(&format!("{ASSIGNMENTS}/{MAC}"), json!({"uuid": uuid})).await;
        rows.status(row, uuid, &answer, &[422]);
    }
    // A placeholder counts as absent.
    for uuid in ["00000000-0000-0000-0000-000000000000", "03000200-0400-0500-0006-000700080009"] {
        let answer = site.patch(&format!("{ASSIGNMENTS}/{MAC}"), json!({"uuid": uuid})).await;
        rows.status("19", uuid, &answer, &[200]);
        rows.check("19", uuid, answer.json()["uuid"].is_null(), answer.text());
    }
    let answer =
        site.patch(&format!("{ASSIGNMENTS}/{MAC}"), json!({"serial": "To be filled by O.E.M."})).await;
    rows.status("20", "serial", &answer, &[422]);
    rows.done();
}

#[tokio::test]
async fn unknown_machines_without_number_leave_a_bounded_trace() {
    let site = Site::with("[limits]\nunknown_machines = 20").await;
    for n in 0..300_u32 {
        site.boot(&format!("/boot/menu.ipxe?mac=52:54:00:00:{:02x}:{:02x}", n / 256, n % 256)).await.is(200);
    }
    site.events("").await;
    let seen = site.get("/api/v1/boot/machines?limit=500").await.is(200).json();
    let seen = seen["items"].as_array().unwrap().len();
    assert!((1..=20).contains(&seen), "row 23: {seen} machines remembered");
    let audit = site.audit().await;
    assert!(audit.is_empty(), "row 23: strangers write no audit records: {audit:?}");
}

#[tokio::test]
async fn urls_and_queries() {
    let site = Site::start().await;
    site.profile(debian("deb")).await;
    site.profile(memtest("m")).await;
    site.assign(MAC, "n1", "deb", json!({"armed": false})).await;
    let mut rows = Rows::default();
    let long = "x".repeat(9000);
    let many: String = (0..40).map(|n| format!("p{n}=1&")).collect();
    let gets: Vec<(&str, String, &[u16])> = vec![
        ("24", format!("/boot/menu.ipxe?mac={long}"), &[414]),
        ("24", format!("/api/v1/boot/profiles?q={long}"), &[414]),
        ("24", format!("/boot/assets/m/{long}"), &[414]),
        ("25", format!("/boot/menu.ipxe?{many}"), &[400]),
        ("25", format!("/api/v1/boot/events?{many}"), &[400]),
        ("26", "/boot/menu.ipxe?mac=52:54:00:aa:bb:cc%00".into(), &[400]),
        ("26", "/boot/menu.ipxe?serial=a%00b".into(), &[400]),
        ("26", "/boot/assets/m/memtest%00.bin".into(), &[400]),
        ("26", "/boot/assets/m%00/memtest.bin".into(), &[400]),
        ("26", "/boot/m%00.ipxe?mac=52:54:00:aa:bb:cc".into(), &[400]),
        ("26", "/boot/configs/deb/52:54:00:aa:bb:cc%00?t=x".into(), &[400]),
        ("26", "/api/v1/boot/profiles/deb%00".into(), &[400]),
        ("27", "/boot/menu.ipxe?mac=52:54:00:aa:bb:cc&hostname=a%0d%0aset%20x%20y".into(), &[400]),
        ("27", "/boot/menu.ipxe?mac=52:54:00:aa:bb:99&product=a%0ashell".into(), &[400]),
        ("27", "/boot/menu.ipxe%0d%0ashell?mac=52:54:00:aa:bb:cc".into(), &[400]),
        ("28", "/boot/menu.ipxe?mac=%".into(), &[400]),
        ("28", "/boot/menu.ipxe?mac=%zz".into(), &[400]),
        ("28", "/boot/menu.ipxe?mac=%c0%ae".into(), &[400]),
        ("28", "/boot/menu.ipxe?mac=%u002e".into(), &[400]),
        ("28", "/boot/menu.ipxe?%zz=1".into(), &[400]),
        ("28", "/boot/assets/m/%zz".into(), &[400]),
        ("28", "/boot/assets/m/%c0%ae".into(), &[400]),
        ("28", "/boot/assets/m/%252e%252e".into(), &[400]),
        ("28", "/boot/assets/m/%252e%252e%252fx".into(), &[400]),
        ("28", "/api/v1/boot/profiles/%ff".into(), &[400]),
        ("28", "/api/v1/boot/profiles/%".into(), &[400]),
        ("36", "/boot/assets/m/../m/memtest.bin".into(), &[400]),
        ("37", "/boot/assets/m/..%2fmemtest.bin".into(), &[400]),
        ("38", "/boot/assets/m/%2e%2e/memtest.bin".into(), &[400, 404]),
        ("39", "/boot/assets/m/..%5cmemtest.bin".into(), &[400]),
        ("40", "/boot/assets/m/%2fetc%2fpasswd".into(), &[400]),
        ("40", "/boot/assets/%2fetc/passwd".into(), &[400]),
        // Two slashes are one, for shim: still a name on the shelf and never a path.
        ("41", "/boot/assets/m//etc/passwd".into(), &[404]),
        ("41", "/boot/assets/m//passwd".into(), &[404]),
        ("42", "/boot/assets/m/a/./b".into(), &[400]),
        ("43", "/boot/assets/m/a/../../b".into(), &[400]),
        ("44", "/boot/assets/m/file%00.img".into(), &[400]),
        ("44", "/boot/assets/m/.hidden".into(), &[400]),
        ("44", "/boot/assets/m/memtest.bin.".into(), &[400]),
        ("44", "/boot/assets/m/memtest.bin%20".into(), &[400]),
        ("44", format!("/boot/assets/m/{}", "a".repeat(300)), &[400]),
        ("44", "/boot/assets/m/CON".into(), &[400]),
        ("44", "/boot/assets/M/memtest.bin".into(), &[400]),
        ("52", "http://evil.com/boot/menu.ipxe".into(), &[400]),
    ];
    for (row, uri, want) in gets {
        let call = if uri.starts_with("/api") { site.call("GET", &uri) } else { site.anonymous("GET", &uri) };
        let answer = call.send().await;
        rows.status(row, &uri, &answer, want);
        if uri.starts_with("/api") {
            answer.problem(answer.status);
        }
        if row == "24" {
            rows.check(row, &uri, answer.header("connection") == "close", "the connection stays open");
        }
    }
    // 25: a thousand headers, as far as they come in.
    let mut call = site.anonymous("GET", "/boot/menu.ipxe");
    for n in 0..1000 {
        call = call.set(&format!("x-{n}"), "0123456789");
    }
    rows.status("25", "1000 headers", &call.send().await, &[431]);
    // 51, 52: what reaches the router of ambiguous heads.
    let two = [("content-length", "5"), ("content-length", "6")];
    let both = [("content-length", "5"), ("transfer-encoding", "chunked")];
    for pairs in [two, both] {
        let mut call = site.anonymous("POST", "/boot/report");
        for (name, value) in pairs {
            call = call.also(name, value);
        }
        rows.status("51", pairs, &call.send().await, &[400]);
    }
    rows.status(
        "52",
        "no Host",
        &site.anonymous("GET", "/boot/menu.ipxe").without("host").send().await,
        &[400],
    );
    rows.status(
        "52",
        "two Hosts",
        &site.anonymous("GET", "/boot/menu.ipxe").also("host", "b").send().await,
        &[400],
    );
    // 47 to 49: ranges and conditions.
    let whole = site.boot("/boot/assets/m/memtest.bin").await.is(200);
    let etag = whole.header("etag").to_owned();
    let thousand = format!("bytes={}", vec!["0-0"; 1000].join(","));
    let ranges = [
        ("47", "range", thousand.as_str(), 200),
        ("47", "range", "bytes=0-5,3-9", 200),
        ("48", "range", "bytes=-0", 416),
        ("48", "range", "bytes=99999999999999999999-", 416),
        ("48", "range", "bytes=5-1", 200),
        ("48", "range", "items=0-1", 200),
        ("48", "range", "bytes=0-99999999999999999999", 206),
        ("48", "range", "bytes=abc", 200),
        ("49", "if-none-match", "*", 304),
        ("49", "if-none-match", "\"x\"", 200),
    ];
    for (row, name, value, want) in ranges {
        let answer = site.anonymous("GET", "/boot/assets/m/memtest.bin").set(name, value).send().await;
        rows.status(row, value, &answer, &[want]);
        rows.check(row, value, want != 200 || answer.body == whole.body, "not the whole");
    }
    let stale = site
        .anonymous("GET", "/boot/assets/m/memtest.bin")
        .set("range", "bytes=0-0")
        .set("if-range", "\"old\"");
    rows.status("49", "stale If-Range", &stale.send().await, &[200]);
    let good =
        site.anonymous("GET", "/boot/assets/m/memtest.bin").set("range", "bytes=0-0").set("if-range", &etag);
    rows.status("49", "If-Range", &good.send().await, &[206]);
    // 50: methods.
    for (method, want) in [
        ("HEAD", 200),
        ("POST", 405),
        ("PUT", 405),
        ("DELETE", 405),
        ("TRACE", 405),
        ("OPTIONS", 405),
        ("BREW", 405),
    ] {
        let answer = site.anonymous(method, "/boot/assets/m/memtest.bin").send().await;
        rows.status("50", method, &answer, &[want]);
        rows.check("50", method, want == 200 || answer.header("allow").contains("GET"), "no Allow");
        if want == 405 {
            rows.status("50", method, &site.anonymous(method, "/boot/menu.ipxe").send().await, &[405]);
        }
    }
    site.call("TRACE", PROFILES).send().await.problem(405);
    // 56: nothing is ever compressed.
    for uri in ["/boot/assets/m/memtest.bin", "/boot/menu.ipxe"] {
        let answer = site.anonymous("GET", uri).set("accept-encoding", "gzip, br, zstd").send().await;
        rows.check(
            "56",
            uri,
            answer.status == 200 && answer.header("content-encoding").is_empty(),
            "encoded",
        );
    }
    rows.done();
}

#[tokio::test]
async fn planted_links_and_pipes_are_refused_without_a_hang() {
    let site = Site::start().await;
    site.profile(memtest("m")).await;
    let made = site.asset("m", "kernel", b"the kernel").await;
    let digest = made["sha256"].as_str().unwrap();
    let place = site.app.config().assets_dir.join("sha256").join(&digest[..2]).join(digest);
    let secret = site.dir.path().join("secret");
    std::fs::write(&secret, b"the secret").unwrap();
    let mut rows = Rows::default();
    let plant = |row: &'static str, what: &'static str| {
        std::fs::remove_file(&place).or_else(|_| std::fs::remove_dir(&place)).unwrap();
        match what {
            "link to a file" => std::os::unix::fs::symlink(&secret, &place).unwrap(),
            "link to a folder" => std::os::unix::fs::symlink(site.dir.path(), &place).unwrap(),
            "folder" => std::fs::create_dir(&place).unwrap(),
            #[allow(clippy::disallowed_methods, reason = "the server starts no programs; its test may")]
            _ => assert!(std::process::Command::new("mkfifo").arg(&place).status().unwrap().success()),
        }
        (row, what)
    };
    for (row, what) in
        [("45", "link to a file"), ("45", "link to a folder"), ("46", "pipe"), ("46", "folder")]
    {
        let (row, what) = plant(row, what);
        let answer = site.boot("/boot/assets/m/kernel").await;
        rows.status(row, what, &answer, &[404]);
        rows.check(row, what, !answer.text().contains("secret"), answer.text());
        let head = site.anonymous("HEAD", "/boot/assets/m/kernel").send().await;
        rows.status(row, what, &head, &[404]);
    }
    // Bytes that are gone are an outage of the disk: iPXE waits until they are back.
    std::fs::remove_dir(&place).unwrap();
    rows.status("45", "gone", &site.boot("/boot/assets/m/kernel").await, &[503]);
    rows.done();
}

#[tokio::test]
async fn what_only_bytes_on_a_wire_show() {
    let site = Site::start().await;
    site.profile(memtest("m")).await;
    let wire = Wire::start(&site).await;
    let mut rows = Rows::default();
    let get =
        |rest: &str| format!("GET {rest} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").into_bytes();
    let post = |headers: &str, body: &str| {
        format!("POST /boot/report HTTP/1.1\r\nHost: a\r\n{headers}\r\n{body}").into_bytes()
    };
    let headers: String = (0..1000).map(|n| format!("X-{n}: y\r\n")).collect();
    // A request that hides behind the first one: answered twice, it was smuggled.
    let hidden = "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n";
    let chunk_ext = format!("Transfer-Encoding: chunked\r\n\r\n1;{}\r\na\r\n0\r\n\r\n", "e".repeat(1 << 20));
    let cases: Vec<(&str, &str, Vec<u8>, &[u16])> = vec![
        ("24", "10 KiB of query", get(&format!("/boot/menu.ipxe?q={}", "x".repeat(10_000))), &[414]),
        // hyper stops reading at 64 KiB and says 431 before the router sees anything.
        ("24", "1 MB of query", get(&format!("/boot/menu.ipxe?q={}", "x".repeat(1_000_000))), &[414, 431]),
        ("25", "10000 parameters", get(&format!("/boot/menu.ipxe?{}", "a=1&".repeat(1500))), &[400]),
        (
            "25",
            "1000 headers",
            format!("GET /livez HTTP/1.1\r\nHost: a\r\n{headers}\r\n").into_bytes(),
            &[431, 400],
        ),
        (
            "27",
            "a raw line break",
            b"GET /boot/menu.ipxe?mac=\nset HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
            &[400],
        ),
        ("50", "HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), &[400, 505, 0]),
        ("50", "CONNECT", b"CONNECT evil.com:443 HTTP/1.1\r\nHost: evil.com\r\n\r\n".to_vec(), &[400, 405]),
        (
            "51",
            "CL and TE",
            post(
                &format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n", 5 + hidden.len()),
                &format!("0\r\n\r\n{hidden}"),
            ),
            &[400],
        ),
        (
            "51",
            "TE and CL",
            post(
                &format!("Transfer-Encoding: chunked\r\nContent-Length: {}\r\n", 5 + hidden.len()),
                &format!("0\r\n\r\n{hidden}"),
            ),
            &[400],
        ),
        ("51", "two lengths", post("Content-Length: 5\r\nContent-Length: 6\r\n", "aaaaaa"), &[400]),
        ("51", "a list of lengths", post("Content-Length: 5, 6\r\n", "aaaaaa"), &[400]),
        ("51", "a signed length", post("Content-Length: +5\r\n", "aaaaa"), &[400]),
        (
            "51",
            "a blank before the colon",
            post("Transfer-Encoding : chunked\r\n", &format!("0\r\n\r\n{hidden}")),
            &[400],
        ),
        (
            "51",
            "an unknown coding",
            post("Transfer-Encoding: xchunked\r\n", &format!("0\r\n\r\n{hidden}")),
            &[400, 501],
        ),
        (
            "51",
            "a folded line",
            b"GET /livez HTTP/1.1\r\nHost: a\r\nX-A: b\r\n  c\r\nConnection: close\r\n\r\n".to_vec(),
            &[400],
        ),
        ("51", "a megabyte of chunk extension", post("", &chunk_ext).split_off(0), &[400, 408, 413]),
        ("51", "a bad chunk size", post("Transfer-Encoding: chunked\r\n", "zz\r\n\r\n"), &[400]),
        ("52", "absolute form", get("http://evil.com/boot/menu.ipxe"), &[400]),
        ("52", "no Host", b"GET /boot/menu.ipxe HTTP/1.1\r\nConnection: close\r\n\r\n".to_vec(), &[400]),
        (
            "52",
            "two Hosts",
            b"GET /boot/menu.ipxe HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n".to_vec(),
            &[400],
        ),
    ];
    for (row, what, bytes, want) in cases {
        let bytes = if what == "a megabyte of chunk extension" {
            let text = String::from_utf8(bytes).unwrap();
            text.replace("Host: a\r\n\r\nTransfer", "Host: a\r\nTransfer").into_bytes()
        } else {
            bytes
        };
        let said = wire.send(&bytes).await;
        let first = said.statuses.first().copied().unwrap_or(0);
        rows.check(
            row,
            what,
            want.contains(&first),
            format!("{first} instead of {want:?}: {:.200}", said.text),
        );
        rows.check(row, what, said.statuses.len() <= 1, format!("answered {:?}", said.statuses));
        rows.check(row, what, !said.text.contains("\r\n\r\nok\n"), "the hidden request was answered");
    }
    // 51: line ends without CR are read, as RFC 9112 (2.2) allows; nothing more comes of them.
    let said = wire.send(b"GET /livez HTTP/1.1\nHost: a\nConnection: close\n\n").await;
    rows.check("51", "bare line feeds", said.statuses == [200], format!("{:?}", said.statuses));
    let said = wire
        .send(b"POST /boot/report HTTP/1.1\nHost: a\nContent-Length: 3\nTransfer-Encoding: chunked\n\n0\n\n")
        .await;
    rows.check(
        "51",
        "bare line feeds and two lengths",
        said.statuses == [400],
        format!("{:?}", said.statuses),
    );
    // 53: a body on a GET is no second request.
    let said = wire
        .send(
            format!(
                "GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{hidden}",
                hidden.len()
            )
            .as_bytes(),
        )
        .await;
    rows.check("53", "a body on GET", said.statuses == [200], format!("{:?}", said.statuses));
    // 54: refused before the body, without the word to send it.
    let said = wire.send(b"POST /boot/menu.ipxe HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: 5\r\n\r\n").await;
    rows.check("54", "Expect", said.statuses == [405], format!("{:?}", said.statuses));
    // An old client's HTTP/1.0: the body has its length and does not end with the connection only.
    let said = wire.send(b"GET /boot/assets/m/memtest.bin HTTP/1.0\r\nHost: a\r\n\r\n").await;
    rows.check("51", "HTTP/1.0", said.text.to_lowercase().contains("content-length: "), &said.text);
    rows.check("51", "HTTP/1.0", !said.text.to_lowercase().contains("transfer-encoding"), &said.text);
    // One connection serves a whole boot, errors included (measured: iPXE keeps it).
    let mut stream = wire.connect().await;
    for (path, want) in [
        ("/boot/nothing", "405"),
        ("/boot/menu.ipxe", "405"),
        ("/boot/assets/m/nothing", "404"),
        ("/boot/assets/m/memtest.bin", "200"),
    ] {
        stream.write_all(format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await.unwrap();
        let head = head(&mut stream).await;
        rows.check("50", path, head.starts_with(&format!("HTTP/1.1 {want}")), head);
    }
    rows.done();
}

#[tokio::test]
async fn bodies() {
    let site = Site::start().await;
    let mut rows = Rows::default();
    let send =
        |body: Vec<u8>| site.call("POST", PROFILES).set("content-type", "application/json").body(body).send();
    let valid = |name: &str| json!({"name": name, "profile_type": "custom", "kernel_path": "k"});
    let deep =
        |n: usize| format!("{{\"name\":\"x\",\"params\":{{\"p\":{}{}}}}}", "[".repeat(n), "]".repeat(n));
    let cases: Vec<(&str, &str, Vec<u8>, &[u16])> = vec![
        ("57", "YAML", b"a: &a [x,x]\nb: [*a,*a]".to_vec(), &[400]),
        ("58", "100 KB of [", "[".repeat(100_000).into_bytes(), &[400]),
        ("59", "a YAML tag", b"!!python/object:os.system {}".to_vec(), &[400]),
        ("60", "depth 200000", deep(200_000).into_bytes(), &[400]),
        ("60", "depth 40", deep(40).into_bytes(), &[400]),
        (
            "61",
            "a key twice",
            br#"{"name":"a","name":"b","profile_type":"custom","kernel_path":"k"}"#.to_vec(),
            &[400],
        ),
        (
            "61",
            "a key twice below",
            br#"{"name":"a","profile_type":"custom","kernel_path":"k","params":{"a":1,"a":2}}"#.to_vec(),
            &[400],
        ),
        ("62", "NaN", br#"{"name":"a","params":{"a":NaN}}"#.to_vec(), &[400]),
        ("62", "1e999", br#"{"name":"a","params":{"a":1e999}}"#.to_vec(), &[400]),
        ("62", "a lone surrogate", br#"{"name":"a","description":"\ud800"}"#.to_vec(), &[400]),
        ("62", "a byte order mark", b"\xef\xbb\xbf{}".to_vec(), &[400]),
        ("62", "trailing garbage", format!("{} x", valid("a")).into_bytes(), &[400]),
        ("62", "not UTF-8", b"{\"name\":\"\xff\"}".to_vec(), &[400]),
        ("62", "empty", vec![], &[400]),
        ("62", "an array", b"[]".to_vec(), &[422]),
        (
            "62",
            "an unknown field",
            br#"{"name":"a","profile_type":"custom","kernel_path":"k","is_admin":true}"#.to_vec(),
            &[422],
        ),
        (
            "62",
            "an id",
            br#"{"name":"a","profile_type":"custom","kernel_path":"k","id":"mine"}"#.to_vec(),
            &[422],
        ),
        (
            "62",
            "a revision",
            br#"{"name":"a","profile_type":"custom","kernel_path":"k","revision":9}"#.to_vec(),
            &[422],
        ),
        ("62", "another type", br#"{"name":1,"profile_type":"custom","kernel_path":"k"}"#.to_vec(), &[422]),
        ("55", "1 MiB and one byte", [b"{\"name\":\"".to_vec(), vec![b'a'; 1024 * 1024]].concat(), &[413]),
    ];
    for (row, what, body, want) in cases {
        let answer = send(body).await;
        rows.status(row, what, &answer, want);
        answer.problem(answer.status);
    }
    // 62: a number that JavaScript would round is kept.
    let mut body = valid("big");
    body["params"] = json!({"n": 9_007_199_254_740_993_i64});
    let made = site.post(PROFILES, body).await;
    rows.check("62", "2^53+1", made.json()["params"]["n"] == 9_007_199_254_740_993_i64, made.text());
    // 55: nothing is decompressed.
    let gzip = site
        .call("POST", PROFILES)
        .set("content-type", "application/json")
        .set("content-encoding", "gzip")
        .body(vec![31, 139]);
    rows.status("55", "gzip", &gzip.send().await, &[415]);
    let gzip = site
        .call("PUT", &format!("{PROFILES}/big/assets/k"))
        .set("content-encoding", "gzip")
        .body(vec![31, 139]);
    rows.status("55", "gzip upload", &gzip.send().await, &[415]);
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/yaml", ""] {
        let answer =
            site.call("POST", PROFILES).set("content-type", kind).body(valid("z").to_string()).send().await;
        rows.status("57", kind, &answer, &[415]);
    }
    // Nothing of all this was stored.
    let stored = site.get(PROFILES).await.json();
    rows.check("62", "stored", stored["items"].as_array().unwrap().len() == 1, stored.to_string());
    rows.done();
}

#[tokio::test]
async fn names_arguments_and_templates() {
    let site = Site::start().await;
    let mut rows = Rows::default();
    let profile = |field: &str, value: Value| {
        let mut body = json!({"name": "p", "profile_type": "custom", "kernel_path": "k"});
        body[field] = value;
        body
    };
    let long = "x".repeat(70_000);
    let kargs = |n: usize| "abc=defg ".repeat(n / 9);
    let source = "a".repeat(256 * 1024 + 1);
    let bad: Vec<(&str, &str, Value)> = vec![
        ("29", "name", json!("x||shell")),
        ("29", "name", json!("a ; reboot")),
        ("29", "name", json!("&& chain http://evil")),
        ("29", "name", json!("menu")),
        ("29", "kernel_path", json!("a;reboot")),
        ("29", "kernel_path", json!("../k")),
        ("29", "kernel_path", json!("http://h/a b")),
        ("29", "kernel_path", json!("file:///etc/passwd")),
        ("29", "boot_params", json!("a || shell")),
        ("29", "boot_params", json!("a ; reboot")),
        ("29", "boot_params", json!("a && chain http://evil")),
        ("30", "boot_params", json!("foo${net0/password}")),
        ("30", "boot_params", json!("$${b}")),
        ("30", "kernel_path", json!("http://h/${b}")),
        ("31", "boot_params", json!("a=b\\")),
        ("31", "boot_params", json!("#comment")),
        ("31", "name", json!(":boot")),
        ("32", "name", json!("a\u{1b}[2J")),
        ("32", "name", json!("a\u{7}")),
        ("32", "name", json!("a\u{202e}b")),
        ("32", "name", json!("a\u{200b}b")),
        ("32", "name", json!("a\u{2028}b")),
        ("32", "name", json!("\u{e9}")),
        ("32", "name", json!("e\u{301}")),
        ("32", "name", json!("\u{1f680}")),
        ("32", "boot_params", json!("a=\u{1b}[2J")),
        ("32", "boot_params", json!("a=\u{e9}")),
        ("33", "boot_params", json!(long.as_str())),
        ("34", "boot_params", json!(kargs(4200))),
        ("63", "config_template", json!("{% for i in range(10**9) %}x{% endfor %}")),
        (
            "63",
            "config_template",
            json!("{% for i in range(9999) %}{% for j in range(9999) %}x{% endfor %}{% endfor %}"),
        ),
        ("63", "config_template", json!("{{ 'a' * 10**8 }}")),
        ("63", "config_template", json!("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}")),
        (
            "63",
            "config_template",
            json!(format!("{{{{ 'a'{} }}}}", " | replace('a', 'aaaaaaaaaa')".repeat(12))),
        ),
        ("64", "config_template", json!("{% include '/etc/shadow' %}")),
        ("64", "config_template", json!("{% import '/etc/shadow' as x %}")),
        ("64", "config_template", json!("{% extends '/etc/shadow' %}")),
        ("65", "config_template", json!("{{ debug() }}")),
        ("65", "config_template", json!("{{ self }}")),
        ("65", "config_template", json!("{{ ''.__class__.__mro__ }}")),
        ("66", "config_template", json!("a\n{{ nothing.here }}")),
        ("66", "config_template", json!("a\n  {{ machine.nope }}")),
        ("66", "boot_params", json!("{{ params.x | nofilter }}")),
        (
            "67",
            "config_template",
            json!(
                "{% for i in range(20000) %}0123456789012345678901234567890123456789012345678901234567890123456789{% endfor %}"
            ),
        ),
        ("67", "config_template", json!(source.as_str())),
    ];
    for (row, field, value) in bad {
        let answer = site.post(PROFILES, profile(field, value.clone())).await;
        rows.status(row, &value, &answer, &[422]);
        let errors = answer.json()["errors"].clone();
        let named = errors.as_array().is_some_and(|e| {
            e.iter().any(|e| e["pointer"].as_str().is_some_and(|p| p.starts_with(&format!("/{field}"))))
        });
        rows.check(row, &value, named, format!("does not name /{field}: {errors}"));
        if row == "66" && field == "config_template" {
            rows.check(row, &value, errors.to_string().contains("line 2"), errors);
        }
    }
    // 32: text that is only shown is cleaned.
    let stored = site.get(PROFILES).await.json();
    rows.check("29", "stored", stored["items"] == json!([]), &stored);
    let shown = json!({"name": "q", "profile_type": "custom", "kernel_path": "k", "description": "a\u{1b}[2J\n\u{202e}b\u{2028}c"});
    let shown = site.post(PROFILES, shown).await.is(201).json();
    let text = shown["description"].as_str().unwrap();
    rows.check(
        "32",
        text,
        !text.contains(|c: char| c.is_control() || ('\u{2028}'..='\u{202e}').contains(&c)),
        text,
    );
    // 34: long, but possible: with a warning.
    site.asset("q", "k", b"x").await;
    site.patch(&format!("{PROFILES}/q"), json!({"boot_params": kargs(3000)})).await.is(200);
    site.assign(MAC, "n1", "q", json!({})).await;
    let explained = site.get(&format!("/api/v1/boot/explain?mac={MAC}")).await.is(200).json();
    rows.check(
        "34",
        "3000 bytes",
        explained["warnings"].to_string().contains("2047"),
        &explained["warnings"],
    );
    // 35: an operator's values stay values.
    let uri = format!("{PROFILES}/q");
    site.patch(&uri, json!({"boot_params": "console={{ params.console }} root={{ params.root }}", "params": {"console": "tty0", "root": "a"}})).await.is(200);
    for value in ["tty0 init=/bin/sh", "tty0\trd.break", "tty0\nrd.break", "tty0\u{a0}x"] {
        let patch = json!({"boot_params_override": {"console": value}});
        let answer = site
            .call("PATCH", &format!("{ASSIGNMENTS}/{MAC}"))
            .token(site.operator().await)
            .json(&patch)
            .send()
            .await;
        rows.status("35", value, &answer, &[422]);
    }
    let answer = site
        .call("PATCH", &uri)
        .token(site.operator().await)
        .json(&json!({"boot_params": "init=/bin/sh"}))
        .send()
        .await;
    rows.status("35", "an operator changes the profile", &answer, &[403]);
    // 29 to 32: names of nodes.
    for name in
        ["x||shell", "a ; reboot", "&& chain http://evil", "\u{1b}[2J", "a\u{202e}b", "\u{1f680}", "a\n", ""]
    {
        let answer = site.patch(&format!("{ASSIGNMENTS}/{MAC}"), json!({"node_name": name})).await;
        rows.status("32", name, &answer, &[422]);
    }
    rows.done();
}

#[tokio::test]
async fn uploads() {
    let site = Site::with("[limits]\nasset_mib = 1").await;
    site.profile(memtest("m")).await;
    let mut rows = Rows::default();
    let uri = format!("{PROFILES}/m/assets/file");
    let put = |bytes: Vec<u8>| site.call("PUT", &uri).body(bytes);
    rows.status("68", "nothing", &put(vec![]).send().await, &[422]);
    rows.status("68", "one byte too many", &put(vec![1; 1024 * 1024 + 1]).send().await, &[413]);
    rows.status(
        "68",
        "a length that is too much",
        &put(vec![]).set("content-length", "99999999999").send().await,
        &[413],
    );
    let endless = futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![0_u8; 65_536]));
    let answer = site.call("PUT", &uri).body(Body::from_stream(endless)).send().await;
    rows.status("68", "a body without end", &answer, &[413]);
    let pieces = [Ok(vec![0_u8; 1000]), Err(std::io::Error::other("gone"))];
    let answer =
        site.call("PUT", &uri).body(Body::from_stream(futures_util::stream::iter(pieces))).send().await;
    rows.status("68", "cut off", &answer, &[400]);
    let wrong = "0".repeat(64);
    rows.status(
        "69",
        "another digest",
        &put(b"x".to_vec()).set("x-content-sha256", &wrong).send().await,
        &[422],
    );
    rows.status("69", "no digest", &put(b"x".to_vec()).set("x-content-sha256", "abc").send().await, &[422]);
    for name in [".hidden", "a%2fb", "..", "CON", "a%20b", &"a".repeat(300)] {
        let answer = site.call("PUT", &format!("{PROFILES}/m/assets/{name}")).body("x").send().await;
        rows.status("44", name, &answer, &[400, 422]);
    }
    let listed = site.get(&format!("{PROFILES}/m/assets")).await.json();
    rows.check("68", "stored", listed["items"].as_array().unwrap().len() == 1, listed.to_string());
    let left = std::fs::read_dir(site.app.config().assets_dir.join("tmp")).unwrap().count();
    rows.check("68", "left behind", left == 0, left);
    // A hundred at once, all of them whole.
    let many = (0..100).map(|n| {
        let site = &site;
        async move {
            site.call("PUT", &format!("{PROFILES}/m/assets/f{n}")).body(vec![n as u8; 5000]).send().await
        }
    });
    for answer in futures_util::future::join_all(many).await {
        rows.status("68", "100 at once", &answer, &[201]);
    }
    let whole = site.boot("/boot/assets/m/f42").await;
    rows.check("68", "100 at once", whole.body == vec![42; 5000], "other bytes");
    rows.done();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens() {
    let site = Site::start().await;
    site.profile(talos("cp")).await;
    site.assign(MAC, "cp-1", "cp", json!({})).await;
    let mut rows = Rows::default();
    // 79: no JWT opens anything, whatever it says of itself.
    let none = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiIsInJvbGUiOiJhZG1pbiJ9.";
    let hs256 = "eyJhbGciOiJIUzI1NiIsImtpZCI6Ii4uLy4uL2V0Yy9wYXNzd2QifQ.eyJyb2xlIjoiYWRtaW4ifQ.c2lnbmF0dXJlLXRoYXQtaXMtd3Jvbmc";
    let long = "e".repeat(15_000);
    let huge = "e".repeat(1_000_000);
    let admin = crate::util::app::ADMIN;
    let probes: Vec<(&str, String, &[u16])> = vec![
        ("79", format!("Bearer {none}"), &[401]),
        ("79", format!("Bearer {hs256}"), &[401]),
        ("79", format!("Bearer {long}"), &[401]),
        ("79", format!("Bearer {huge}"), &[431]),
        ("80", "Bearer ".into(), &[401]),
        ("80", "Bearer".into(), &[401]),
        ("80", admin.into(), &[401]),
        ("80", format!("Basic {admin}"), &[401]),
        ("80", format!("Bearer {}", &admin[..admin.len() - 1]), &[401]),
        ("80", format!("Bearer {admin}x"), &[401]),
        ("80", format!("Bearer {}X", &admin[..admin.len() - 1]), &[401]),
        ("80", format!("Bearer {}", admin.to_uppercase()), &[401]),
        ("80", format!("Bearer {admin} {admin}"), &[401]),
    ];
    let mut bodies = vec![];
    for (row, header, want) in probes {
        let answer = site.anonymous("GET", PROFILES).set("authorization", &header).send().await;
        rows.status(row, &header, &answer, want);
        if answer.status == 401 {
            rows.check(row, &header, answer.header("www-authenticate") == "Bearer", "no WWW-Authenticate");
            bodies.push(answer.text());
        }
        rows.check(row, &header, !answer.text().contains(admin), "quotes the token");
    }
    let twice = site.call("GET", PROFILES).also("authorization", &format!("Bearer {admin}")).send().await;
    rows.status("80", "two headers", &twice, &[401]);
    // 81 and 82 stand in `boot.rs`, with the answers compared byte by byte; here the shape of what
    // a config route says to conditions.
    let machine = Machine::bios(MAC);
    let url = machine.boot(&site).arg("talos.config");
    let path = url.strip_prefix("http://10.0.0.1:8080").unwrap();
    let ask = |method: &'static str, headers: HeaderMap| {
        let mut call = site.anonymous(method, path).from("10.0.0.50");
        for (name, value) in &headers {
            call = call.set(name.as_str(), value.to_str().unwrap());
        }
        call.send()
    };
    let with = |name: &'static str, value: &str| {
        HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())])
    };
    rows.status("82", "HEAD", &ask("HEAD", HeaderMap::new()).await, &[405]);
    rows.status("82", "Range", &ask("GET", with("range", "bytes=0-0")).await, &[416]);
    rows.status("82", "POST", &ask("POST", HeaderMap::new()).await, &[405]);
    rows.check("82", "state", site.state(MAC).await == "booting", "consumed");
    // A condition cannot turn the config into a 304 that would lose it.
    rows.status("82", "If-None-Match", &ask("GET", with("if-none-match", "*")).await, &[200]);
    rows.done();
}

/// 83: one arm, 64 redemptions at once through the router, of a profile that may go out once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_redemptions_have_one_first_use() {
    let site = Site::start().await;
    site.profile(debian("deb")).await;
    site.assign(MAC, "n1", "deb", json!({})).await;
    let machine = Machine::bios(MAC);
    let url = machine.boot(&site).arg("url");
    let answers = futures_util::future::join_all((0..64).map(|_| machine.fetch(&site, &url))).await;
    let ok: Vec<&Answer> = answers.iter().filter(|a| a.status == 200).collect();
    assert!((20..=21).contains(&ok.len()), "row 83: {}", ok.len());
    assert!(ok.iter().all(|a| a.body == ok[0].body), "row 83: other bytes");
    assert!(answers.iter().all(|a| matches!(a.status, 200 | 403)), "row 83");
    let shown = site.get(&format!("{ASSIGNMENTS}/{MAC}")).await.json();
    assert_eq!(shown["attempts_left"], 0, "row 83: counted once, and not below zero");
    machine.boot(&site).went_local();
}

/// 96, 99, 100: what machines write ends up as one escaped line, in every list.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_machines_write_stays_data() {
    let site = Site::start().await;
    site.profile(debian("deb")).await;
    site.assign(MAC, "n1", "deb", json!({})).await;
    let mut rows = Rows::default();
    let nasty = "a\n{\"level\":\"error\"}\u{1b}[31m\u{202e}<script>&%s\u{7f}";
    let machine =
        Machine::bios(MAC).set("product", nasty).set("manufacturer", "${uuid} spaces and #hash&amp");
    let config = machine.fetch(&site, &machine.boot(&site).arg("url")).await.is(200).text();
    let start = config.find("/boot/report").unwrap();
    let report = config[start..].split('\'').next().unwrap().trim_end_matches("&stage=installed").to_owned();
    let uri = format!("{report}&stage=progress");
    let post = |body: Body| site.anonymous("POST", &uri).from("10.0.0.50").body(body).send();
    rows.status("99", "binary", &post(Body::from((0..=255_u8).collect::<Vec<u8>>())).await, &[204]);
    rows.status("96", nasty, &post(Body::from(nasty)).await, &[204]);
    let endless = futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b'x'; 65_536]));
    rows.status("99", "a body without end", &post(Body::from_stream(endless)).await, &[413]);
    for event in site.events("").await {
        let text = event["message"].as_str().unwrap().to_owned();
        rows.check(
            "96",
            &text,
            !text.contains(|c: char| c.is_control() || c == '\u{202e}'),
            "not one clean line",
        );
        rows.check("99", &text, text.chars().count() <= 1024, "too long");
    }
    let list = site.get("/api/v1/boot/machines").await.is(200);
    let product = list.json()["items"][0]["product"].as_str().unwrap_or("").to_owned();
    rows.check("100", &product, !product.contains(|c: char| c.is_control()), "control characters");
    // A stranger with such a name sees it in the menu, as text, and nothing of it runs.
    let run = Machine::efi("52:54:00:00:00:98").set("product", nasty).set("serial", "||shell").boot(&site);
    rows.check(
        "100",
        "menu",
        run.trace.ran("shell").is_empty() && !run.trace.menus.is_empty(),
        run.trace.screen(),
    );
    rows.done();
}
