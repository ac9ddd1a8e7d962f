//! `GET /api/v1/doctor`: what the server says of itself, and of the machines of a subnet.

use crate::util::Site;
use moxxie_core::asset::Digest;
use moxxie_core::loader::WANTED;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

const DOCTOR: &str = "/api/v1/doctor";

/// The bytes of a file that could be this loader, as far as anybody looks.
fn loader(file: &str) -> Vec<u8> {
    let machine: u16 = match file {
        "undionly.kpxe" => return b"\xea\x05 a BIOS loader".to_vec(),
        "ipxe-i386.efi" => 0x014c,
        "ipxe-arm64.efi" => 0xaa64,
        _ => 0x8664,
    };
    let mut bytes = vec![0; 0x100];
    bytes[..2].copy_from_slice(b"MZ");
    bytes[0x3c] = 0x80;
    bytes[0x80..0x84].copy_from_slice(b"PE\0\0");
    bytes[0x84..0x86].copy_from_slice(&machine.to_le_bytes());
    bytes
}

/// Outcome and text of one check; both empty when it was not made.
fn row(answer: &Value, name: &str) -> (String, String) {
    let items = answer["items"].as_array().unwrap();
    let row = items.iter().find(|item| item["check"] == name).unwrap_or(&Value::Null);
    let text = |key: &str| row[key].as_str().unwrap_or("").to_owned();
    (text("outcome"), text("text"))
}

async fn said(site: &Site, query: &str, name: &str) -> (String, String) {
    row(&site.get(&format!("{DOCTOR}{query}")).await.is(200).json(), name)
}

/// The outcome is this, and the text has that in it.
#[track_caller]
fn is((outcome, text): (String, String), wanted: &str, part: &str) {
    assert!(outcome == wanted && text.contains(part), "{outcome}: {text}");
}

#[tokio::test]
async fn where_it_listens() {
    is(said(&Site::start().await, "", "listens").await, "ok", "on 0.0.0.0:8080");
    // The port that was bound stands where the setting says 0.
    let alone = Site::with("listen = \"127.0.0.1:0\"").await;
    is(said(&alone, "", "listens").await, "FAIL", "on 127.0.0.1:8080, which only this computer reaches");
    let behind = "listen = \"127.0.0.1:0\"\npublic_url = \"http://10.0.0.1\"\n\
                  [access]\ntrusted_proxies = [\"127.0.0.1\"]";
    is(said(&Site::with(behind).await, "", "listens").await, "--", "access.trusted_proxies");
}

#[tokio::test]
async fn where_links_lead() {
    is(said(&Site::start().await, "", "url").await, "ok", "the host that each machine asked");
    for (url, outcome, part) in [
        ("http://127.0.0.1:8080", "FAIL", "each machine itself"),
        ("http://boot.example:8080", "ok", "name server"),
        ("http://10.0.0.1:8080", "ok", "http://10.0.0.1:8080"),
    ] {
        let site = Site::with(&format!("public_url = {url:?}")).await;
        is(said(&site, "", "url").await, outcome, part);
    }
}

#[tokio::test]
async fn who_is_let_in() {
    let site = Site::with("[access]\nallow = [\"10.0.0.0/24\"]\nprovisioning = [\"10.1.0.0/24\"]").await;
    let ask = async |net: &str, name: &str| said(&site, &format!("?subnet={net}"), name).await;
    is(ask("10.0.0.0/25", "allowed").await, "ok", "10.0.0.0/25");
    is(ask("10.1.0.0/24", "allowed").await, "FAIL", "access.allow");
    is(ask("10.0.0.0/23", "allowed").await, "FAIL", "or some of them");
    is(ask("10.1.0.0/25", "installs").await, "ok", "10.1.0.0/25");
    is(ask("10.0.0.0/24", "installs").await, "FAIL", "access.provisioning");
    // Without a subnet there is nothing to say, and what is no network is refused.
    for name in ["allowed", "installs", "way"] {
        assert_eq!(said(&site, "", name).await.0, "");
    }
    assert_eq!(site.get(&format!("{DOCTOR}?subnet=10.0.0.300")).await.pointers(), ["/subnet"]);
}

/// Loopback is the one network that every computer has a way to.
#[tokio::test]
async fn the_way_to_machines() {
    let site = Site::start().await;
    let outside = said(&site, "?subnet=127.0.0.0/8", "way").await;
    is(outside, "ok", "10.0.0.1 is outside 127.0.0.0/8: the machines' gateway has to route there");
    let here = site.call("GET", &format!("{DOCTOR}?subnet=127.0.0.0/8")).set("host", "127.0.0.1:8080");
    is(
        row(&here.send().await.is(200).json(), "way"),
        "--",
        "use --server with the address that machines use",
    );
}

#[tokio::test]
async fn what_is_on_the_shelf() {
    let site = Site::start().await;
    is(said(&site, "", "loaders").await, "--", "the switch has its own");
    let put = async |file: &str| {
        let uri = format!("/api/v1/boot/firmware/{file}");
        site.call("PUT", &uri).body(loader(file)).send().await.is(201);
    };
    put("ipxe.efi").await;
    let (outcome, text) = said(&site, "", "loaders").await;
    assert_eq!(outcome, "--");
    assert!(text.contains("missing: undionly.kpxe (BIOS machines)") && !text.contains("ipxe.efi"), "{text}");
    assert!(text.contains("moxxie firmware import"), "{text}");
    for (_, file, _) in WANTED {
        put(file).await;
    }
    is(said(&site, "", "loaders").await, "ok", "one for each kind of machine");

    // A label without its bytes is no loader.
    let digest = Digest(Sha256::digest(loader("ipxe.efi")).into()).to_string();
    std::fs::remove_file(site.dir.path().join(format!("assets/sha256/{}/{digest}", &digest[..2]))).unwrap();
    let (outcome, text) = said(&site, "", "loaders").await;
    assert_eq!(outcome, "FAIL");
    assert!(
        text.contains("ipxe.efi (UEFI x64 machines)") && text.contains("moxxie firmware fetch"),
        "{text}"
    );

    let tftp = Site::with("[tftp]\nlisten = \"0.0.0.0:69\"").await;
    is(said(&tftp, "", "loaders").await, "FAIL", "none: moxxie firmware import");
}

/// When the database is away it answers what it can, to whom it knows without it.
#[tokio::test]
async fn an_outage_is_one_line() {
    let site = Site::start().await;
    let viewer = site.viewer().await.to_owned();
    assert_eq!(said(&site, "", "database").await.0, "");
    site.app.read().close().await;
    let answer = site.get(&format!("{DOCTOR}?subnet=10.0.0.0/24")).await.is(200).json();
    is(row(&answer, "database"), "FAIL", "see /readyz");
    is(row(&answer, "loaders"), "--", "the database does not answer");
    for name in ["listens", "url", "tftp", "allowed", "installs"] {
        assert_eq!(row(&answer, name).0, "ok", "{name}: {answer}");
    }
    site.anonymous("GET", DOCTOR).token(&viewer).send().await.problem(503);
}
