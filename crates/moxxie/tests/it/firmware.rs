//! The loaders' shelf: what firmware fetches first, and who may put it there.

use super::util::app::HOST;
use super::util::recipes::debian;
use super::util::{Machine, Site};
use axum::body::Body;
use bytes::Bytes;
use moxxie::firmware::open;
use moxxie::http::links::{BadHost, Links};
use moxxie_core::asset::Digest;
use serde_json::json;
use sha2::{Digest as _, Sha256};

const SHELF: &str = "/api/v1/boot/firmware";
const MIB: usize = 1024 * 1024;

/// An EFI program for this machine type, as far as anybody looks.
pub fn pe(machine: u16) -> Vec<u8> {
    let mut bytes = vec![0; 0x100];
    bytes[..2].copy_from_slice(b"MZ");
    bytes[0x3c] = 0x80;
    bytes[0x80..0x84].copy_from_slice(b"PE\0\0");
    bytes[0x84..0x86].copy_from_slice(&machine.to_le_bytes());
    bytes.extend(b"\niPXE\0\x002.0.0+ (g1234)\0");
    bytes
}

fn digest(bytes: &[u8]) -> String {
    Digest(Sha256::digest(bytes).into()).to_string()
}

pub async fn put(site: &Site, file: &str, bytes: &[u8]) -> serde_json::Value {
    let uri = format!("{SHELF}/{file}?source=by%20hand");
    site.call("PUT", &uri).body(bytes.to_vec()).send().await.is(201).json()
}

#[tokio::test]
async fn a_loader_is_served_as_firmware_wants_it() {
    let site = Site::start().await;
    let x64 = pe(0x8664);
    let view = put(&site, "ipxe.efi", &x64).await;
    assert_eq!((&view["for"], &view["version"]), (&json!("x64"), &json!("2.0.0+ (g1234)")));
    assert_eq!((&view["path"], &view["source"]), (&json!("/boot/firmware/ipxe.efi"), &json!("by hand")));
    put(&site, "undionly.kpxe", b"\xea\x05 a BIOS loader").await;

    let whole = site.boot("/boot/firmware/ipxe.efi").await.is(200);
    assert_eq!(whole.body, x64);
    assert_eq!(whole.header("content-type"), "application/efi", "UEFI specification, 24.7");
    assert_eq!(whole.header("content-length"), x64.len().to_string());
    let etag = whole.header("etag").to_owned();
    assert_eq!(etag, format!("\"{}\"", digest(&x64)));
    let bios = site.boot("/boot/firmware/undionly.kpxe").await.is(200);
    assert_eq!(bios.header("content-type"), "application/octet-stream");

    let ask = |method, header: &str, value: &str| {
        site.anonymous(method, "/boot/firmware/ipxe.efi").set(header, value).send()
    };
    let part = ask("GET", "range", "bytes=2-5").await.is(206);
    assert_eq!(part.body, x64[2..6]);
    assert_eq!(part.header("content-range"), format!("bytes 2-5/{}", x64.len()));
    let tail = ask("GET", "range", "bytes=-3").await.is(206);
    assert_eq!(tail.body, x64[x64.len() - 3..]);
    let outside = ask("GET", "range", "bytes=9999-").await.is(416);
    assert_eq!(outside.header("content-range"), format!("bytes */{}", x64.len()));
    assert!(ask("GET", "if-none-match", &etag).await.is(304).body.is_empty());
    // OVMF asks for the size first.
    let head = ask("HEAD", "accept", "*/*").await.is(200);
    assert_eq!((head.body.len(), head.header("content-length")), (0, x64.len().to_string().as_str()));
    // A shim asks like this for what it starts.
    site.boot("/boot/firmware//ipxe.efi").await.is(200);

    let missing = site.boot("/boot/firmware/ipxe-arm64.efi").await.is(404).text();
    assert_eq!(missing, "moxxie: no loader ipxe-arm64.efi: run `moxxie firmware import`\n");
    for bad in ["..%2f..%2fadmin-token", "IPXE.EFI", "%00"] {
        let status = site.boot(&format!("/boot/firmware/{bad}")).await.status;
        assert!(matches!(status, 400 | 404), "{bad}: {status}");
    }
    site.anonymous("GET", "/boot/firmware/ipxe.efi").from("192.0.2.1").send().await.is(403);
}

#[tokio::test]
async fn a_name_that_does_not_fit_the_bytes_is_refused() {
    let site = Site::start().await;
    for (file, bytes, why) in [
        ("ipxe.efi", pe(0xaa64), "name it ipxe-arm64.efi"),
        ("ipxe-arm64.efi", pe(0x014c), "name it ipxe-i386.efi"),
        ("ipxe.efi", b"<html>a page of a proxy</html>".to_vec(), "no EFI program"),
        ("undionly.kpxe", pe(0x8664), "name it *.efi"),
        ("autoexec.ipxe", b"#!ipxe\n".to_vec(), "made by the server"),
        ("own.ipxe", b"shell".to_vec(), "#!ipxe"),
        ("empty", vec![], "is empty"),
        ("Upper", vec![1], "a-z, 0-9"),
    ] {
        let answer = site.call("PUT", &format!("{SHELF}/{file}")).body(bytes).send().await;
        assert_eq!(answer.pointers(), ["/file"], "{file}");
        assert!(answer.text().contains(why), "{file}: {}", answer.text());
    }
    let other = site.call("PUT", &format!("{SHELF}/x")).set("x-content-sha256", &digest(b"other"));
    assert_eq!(other.body("bytes").send().await.pointers(), ["/sha256"]);
    let large = site.call("PUT", &format!("{SHELF}/x")).body(vec![0; 16 * MIB + 1]).send().await;
    large.problem(413);
    let endless = futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![0_u8; MIB]));
    let endless = site.call("PUT", &format!("{SHELF}/x")).body(Body::from_stream(endless)).send().await;
    endless.problem(413);
    assert_eq!(site.get(SHELF).await.is(200).json()["items"], json!([]));
    assert!(site.audit().await.iter().all(|record| record["action"] != "firmware.put"));
}

#[tokio::test]
async fn a_loader_is_replaced_and_removed_on_record() {
    let site = Site::start().await;
    let (old, new) = (pe(0x8664), [pe(0x8664), b"newer".to_vec()].concat());
    put(&site, "ipxe.efi", &old).await;
    put(&site, "ipxe.efi", &new).await;
    let record = &site.audit().await[0];
    assert_eq!((&record["action"], &record["target"]), (&json!("firmware.put"), &json!("firmware ipxe.efi")));
    assert_eq!(
        (&record["before"]["sha256"], &record["after"]["sha256"]),
        (&json!(digest(&old)), &json!(digest(&new)))
    );
    let known = site.app.read().all_bytes().await.unwrap();
    assert_eq!(
        known.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [digest(&new)],
        "the old bytes are gone"
    );
    // Bytes that a profile has, too, are kept once.
    site.profile(debian("deb")).await;
    site.asset("deb", "same", &new).await;
    let listed = site.get(&format!("{SHELF}?limit=1")).await.is(200).json();
    assert_eq!((&listed["items"][0]["file"], &listed["next"]), (&json!("ipxe.efi"), &json!(null)));
    assert_eq!(listed["items"][0]["condition"], "stored");
    site.delete(&format!("{SHELF}/ipxe.efi")).await.is(204);
    site.delete(&format!("{SHELF}/ipxe.efi")).await.problem(404);
    site.boot("/boot/firmware/ipxe.efi").await.is(404);
    assert_eq!(site.boot("/boot/assets/deb/same").await.is(200).body, new);
}

/// From `autoexec.ipxe` beside a loader to the kernel of an assigned machine, without anything else
/// in DHCP.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn autoexec_leads_to_the_menu() {
    const MAC: &str = "52:54:00:00:00:11";
    let site = Site::start().await;
    site.profile(debian("deb")).await;
    site.assign(MAC, "n1", "deb", json!({})).await;
    site.arm(MAC).await;
    for file in ["autoexec.ipxe", "embed.ipxe"] {
        let text = site.boot(&format!("/boot/firmware/{file}")).await.is(200).text();
        assert!(
            text.contains(&format!("http://{HOST}/boot/menu.ipxe?identified=1&mac=${{netX/mac}}&")),
            "{text}"
        );
        site.anonymous("HEAD", &format!("/boot/firmware/{file}")).send().await.is(200);
        let bad = site.anonymous("GET", &format!("/boot/firmware/{file}")).set("host", "a b").send().await;
        bad.is(400);
    }
    let boot = Machine::efi(MAC).boot_from(&site, "/boot/firmware/autoexec.ipxe");
    assert!(boot.kernel().kernel.contains("/boot/assets/deb/"), "{:?}", boot.kernel());
    let stranger = Machine::efi("52:54:00:00:00:99").boot_from(&site, "/boot/firmware/autoexec.ipxe");
    stranger.went_local();

    let public = Site::with("public_url = \"https://boot.example\"").await;
    let text = public.boot("/boot/firmware/autoexec.ipxe").await.is(200).text();
    assert!(text.contains("-- https://boot.example/boot/menu.ipxe?identified=1&"), "{text}");
}

/// Where the bytes with this digest lie.
fn place(site: &Site, digest: &str) -> std::path::PathBuf {
    site.dir.path().join(format!("assets/sha256/{}/{digest}", &digest[..2]))
}

async fn whole(site: &Site, links: &Result<Links, BadHost>) -> Option<Bytes> {
    let loader = open(&site.app, "ipxe.efi", links).await.unwrap().unwrap();
    loader.bytes(&site.app).await.ok()
}

#[tokio::test]
async fn however_many_fetch_a_loader_there_is_one_copy() {
    let site = Site::start().await;
    let x64 = pe(0x8664);
    put(&site, "ipxe.efi", &x64).await;
    // Without a good Host there is no script, and every file.
    let links = Err(BadHost);
    let (one, two) = tokio::join!(whole(&site, &links), whole(&site, &links));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(one, x64);
    assert_eq!(one.as_ptr(), two.as_ptr());
    let kept = place(&site, &digest(&x64));
    std::fs::rename(&kept, site.dir.path().join("aside")).unwrap();
    drop(one);
    let third = whole(&site, &links).await.expect("a copy is in use");
    assert_eq!(third.as_ptr(), two.as_ptr());
    drop((two, third));
    assert!(whole(&site, &links).await.is_none(), "nobody keeps it");
}

#[tokio::test]
async fn what_sends_no_bytes_reads_none() {
    let site = Site::start().await;
    let x64 = pe(0x8664);
    put(&site, "ipxe.efi", &x64).await;
    std::fs::remove_file(place(&site, &digest(&x64))).unwrap();
    let ask = |method, header: &str, value: &str| {
        site.anonymous(method, "/boot/firmware/ipxe.efi").set(header, value).send()
    };
    let head = ask("HEAD", "accept", "*/*").await.is(200);
    assert_eq!(head.header("content-length"), x64.len().to_string());
    let etag = head.header("etag").to_owned();
    let part = ask("HEAD", "range", "bytes=2-5").await.is(206);
    assert_eq!(part.header("content-length"), "4");
    ask("GET", "if-none-match", &etag).await.is(304);
    ask("GET", "range", "bytes=9999-").await.is(416);
    ask("GET", "range", "bytes=2-5").await.is(503);
    ask("GET", "accept", "*/*").await.is(503);
}

#[tokio::test]
async fn a_script_of_ones_own_is_a_file_with_a_name_of_its_bytes() {
    let site = Site::start().await;
    let text = b"#!ipxe\nshell\n";
    put(&site, "own.ipxe", text).await;
    let uri = "/boot/firmware/own.ipxe";
    let got = site.boot(uri).await.is(200);
    assert_eq!((got.body.as_slice(), got.header("etag")), (&text[..], &*format!("\"{}\"", digest(text))));
    let etag = got.header("etag").to_owned();
    site.anonymous("GET", uri).set("if-none-match", &etag).send().await.is(304);
}

#[tokio::test]
async fn an_outage_is_never_a_missing_file() {
    let site = Site::start().await;
    put(&site, "ipxe.efi", &pe(0x8664)).await;
    let name = digest(&pe(0x8664));
    let kept = place(&site, &name);
    let aside = site.dir.path().join("aside");
    std::fs::rename(&kept, &aside).unwrap();
    site.boot("/boot/firmware/ipxe.efi").await.is(503);
    assert_eq!(site.get(SHELF).await.is(200).json()["items"][0]["condition"], "missing");
    put(&site, "ipxe.efi", &pe(0x8664)).await;
    site.boot("/boot/firmware/ipxe.efi").await.is(200);

    site.app.read().close().await;
    for file in ["ipxe.efi", "no-such.efi"] {
        let away = site.boot(&format!("/boot/firmware/{file}")).await.is(503);
        assert_eq!(away.text(), "moxxie: database away, wait\n");
    }
    site.boot("/boot/firmware/autoexec.ipxe").await.is(200);
    assert!(open(&site.app, "ipxe.efi", &Err(BadHost)).await.is_err());
    assert!(open(&site.app, "../ipxe.efi", &Err(BadHost)).await.unwrap().is_none(), "no name, no question");
}
