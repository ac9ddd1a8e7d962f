//! T9: an import by URL as a way into the inner network: to a cloud's metadata, to databases, to
//! the server itself. Rows 73 to 77 of the catalogue.
//!
//! The rules by themselves: `import/address.rs`; servers that lie: `imports.rs`.

use crate::util::Site;
use crate::util::origin::{Origin, Say, answer};
use crate::util::recipes::{PROFILES, memtest};
use serde_json::json;

const SHELF: &str = "/api/v1/boot/profiles/m/assets";

/// Spellings of this machine's own address, and of others inside.
fn inside(port: u16) -> Vec<String> {
    let own = [
        "127.0.0.1",
        "0x7f.1",
        "2130706433",
        "0177.0.0.1",
        "127.1",
        "0",
        "0.0.0.0",
        "localhost",
        "localhost.",
        "LOCALHOST",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[::]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "%31%32%37.0.0.1",
        "１２７.0.0.1",
        "127。0。0。1",
    ];
    let others = [
        "169.254.169.254",
        "[::ffff:169.254.169.254]",
        "[::ffff:a9fe:a9fe]",
        "0xa9fea9fe",
        "2852039166",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "100.100.100.200",
        "192.0.0.192",
        "224.0.0.1",
        "255.255.255.255",
    ];
    own.iter().chain(&others).map(|host| format!("http://{host}:{port}/latest/meta-data")).collect()
}

#[tokio::test]
async fn t09_no_spelling_of_an_inner_address_is_asked() {
    let site = Site::start().await;
    site.profile(memtest("m")).await;
    let metadata = Origin::serving(b"role credentials").await;
    for url in inside(metadata.address.port()) {
        for field in ["url", "sha256sums_url"] {
            let mut body = json!({"url": "http://192.0.2.1/k", "file": "k"});
            body[field] = json!(url);
            let answer = site.post(SHELF, body).await;
            // Not every system knows every name of itself: then nobody is asked either.
            let unknown = answer.status == 502 && answer.text().contains("cannot resolve");
            assert!(answer.status == 422 || unknown, "{field} {url}: {}", answer.text());
            assert!(!answer.text().contains("credentials"), "{url}");
        }
    }
    assert_eq!(metadata.heads(), Vec::<String>::new(), "nobody was asked");
}

/// A public mirror (here: one that is listed) that sends on to what is inside.
#[tokio::test]
async fn t09_no_redirect_leads_inside() {
    let site = Site::with("[import]\nallow = [\"127.0.0.2/32\"]").await;
    site.profile(memtest("m")).await;
    let metadata = Origin::serving(b"role credentials").await;
    for url in inside(metadata.address.port()).into_iter().chain(
        ["file:///etc/passwd", "gopher://127.0.0.1/", "ftp://10.0.0.1/k", "//169.254.169.254/x"]
            .map(str::to_owned),
    ) {
        // Bytes that no header may have are no redirect at all.
        if !url.is_ascii() {
            continue;
        }
        let head = format!("Location: {url}\r\nContent-Length: 0\r\n");
        let mirror = Origin::start(move |_, _| vec![Say(answer("302 Found", &head, b""))]).await;
        // All of 127.0.0.0/8 is this machine; only this address of it is listed.
        let listed = format!("http://127.0.0.2:{}/k", mirror.address.port());
        let got = site.post(SHELF, json!({"url": listed, "file": "k"})).await;
        assert!(matches!(got.status, 422 | 502), "{url}: {} {}", got.status, got.text());
    }
    assert_eq!(metadata.heads(), Vec::<String>::new(), "nobody was asked");
}

#[tokio::test]
async fn t09_only_plain_web_addresses_are_read() {
    let site = Site::with("[import]\nallow = [\"127.0.0.0/8\"]").await;
    site.profile(memtest("m")).await;
    for url in [
        "file:///etc/passwd",
        "gopher://127.0.0.1:70/",
        "ftp://127.0.0.1/",
        "data:,x",
        "jar:http://127.0.0.1!/",
        "unix:/run/docker.sock",
        "http+unix://%2frun%2fdocker.sock/",
        "ldap://127.0.0.1/",
        "dict://127.0.0.1:11211/",
        "http://user:pass@127.0.0.1/",
        "http://user@127.0.0.1/",
        "http://127.0.0.1\\@evil/",
        "http://127.0.0.1\t/",
        "http://127.0.0.1:0/",
        "http://127.0.0.1:22/",
        "http://127.0.0.1:6379/",
        "http://127.0.0.1:99999/",
        "http://[::1%25eth0]/",
        "http://",
        "127.0.0.1/k",
        "",
    ] {
        let answer = site.post(SHELF, json!({"url": url, "file": "k"})).await;
        assert_eq!(answer.pointers(), ["/url"], "{url}");
        // A machine's kernel may lie on any port of any host; other schemes it does not load.
        if !url.starts_with("http://") {
            let profile = json!({"name": "p", "profile_type": "custom", "kernel_path": url});
            assert_eq!(site.post(PROFILES, profile).await.pointers(), ["/kernel_path"], "{url}");
        }
    }
}
