//! Images go on the shelf, their files come out of them, and machines fetch both.

#[path = "../../../moxxie-core/tests/images/mod.rs"]
#[allow(dead_code, reason = "what is suggested is held against this table where it is suggested")]
mod images;

use crate::util::iso::{Disc, Kind, MORE, image, nm, record, xorriso};
use crate::util::recipes::PROFILES;
use crate::util::{Machine, Site};
use images::{IMAGES, Image};
use moxxie::iso::{Index, read};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Bytes that are another file's in no case.
fn bytes_of(path: &str) -> Vec<u8> {
    let seed = Sha256::digest(path.as_bytes());
    seed.iter().cycle().take(3000 + path.len() * 101).copied().collect()
}

fn files(image: &Image) -> Vec<(&'static str, Vec<u8>)> {
    let texts = image.texts.iter().map(|(path, text)| (*path, text.as_bytes().to_vec()));
    texts.chain(image.files.iter().map(|path| (*path, bytes_of(path)))).collect()
}

/// An image of the table, and what is in it.
type Made = (Vec<u8>, Vec<(&'static str, Vec<u8>)>);

fn build(what: &Image, kind: Kind) -> Option<Made> {
    let files = files(what);
    let borrowed: Vec<(&str, &[u8])> = files.iter().map(|(path, bytes)| (*path, bytes.as_slice())).collect();
    Some((image(what.label, kind, &borrowed)?, files))
}

fn content(image: &[u8], index: &Index, path: &str) -> Vec<u8> {
    let member = index.find(path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let parts = member.extents.iter();
    parts.flat_map(|e| image[e.first as usize..(e.first + e.length) as usize].to_vec()).collect()
}

async fn shelf(site: &Site, name: &str) -> String {
    site.post(PROFILES, json!({"name": name, "profile_type": "custom", "kernel_path": "vmlinuz"}))
        .await
        .is(201);
    format!("{PROFILES}/{name}/assets")
}

async fn extract(site: &Site, shelf: &str, body: Value) -> crate::util::Answer {
    site.call("POST", &format!("{shelf}/image.iso/extract")).json(&body).send().await
}

#[test]
fn names_of_every_kind_lead_to_the_same_bytes() {
    // Rock Ridge alone is what the tests of the service use, for every image.
    for (what, kind) in [(0, Kind::Joliet), (0, Kind::Both), (3, Kind::Joliet), (5, Kind::Both)] {
        let what = &IMAGES[what];
        let Some((bytes, files)) = build(what, kind) else { return };
        let index =
            read(bytes.as_slice(), bytes.len() as u64).unwrap_or_else(|e| panic!("{}: {e}", what.label));
        assert_eq!(index.files().count(), files.len(), "{} {kind:?}", what.label);
        for (path, want) in files {
            assert_eq!(content(&bytes, &index, path), want, "{} {kind:?} {path}", what.label);
        }
    }
}

#[test]
fn plain_names_are_read_as_linux_shows_them() {
    let what = &IMAGES[0];
    for level in 1..=3 {
        let Some((bytes, _)) = build(what, Kind::Plain(level)) else { return };
        let index = read(bytes.as_slice(), bytes.len() as u64).unwrap();
        for path in ["casper/vmlinuz", "casper/initrd"] {
            assert_eq!(content(&bytes, &index, path), bytes_of(path), "level {level}");
            assert_eq!(index.find(path), index.find(&path.to_uppercase()));
        }
        assert!(index.files().all(|(path, _)| !path.contains(';') && !path.ends_with('.')));
    }
}

/// Images that this machine happens to have, made by others.
#[test]
fn images_of_other_packages_are_read() {
    for (path, member) in [
        ("/usr/lib/ipxe/ipxe.iso", "ipxe.krn"),
        ("/usr/lib/memtest86+/memtest86+x64.iso", "EFI/BOOT/bootx64.efi"),
        ("/usr/lib/memtest86+/memtest86+ia32.iso", "boot/floppy.img"),
    ] {
        let Ok(bytes) = std::fs::read(path) else {
            // Not every machine has these packages; xorriso's images are the test.
            continue;
        };
        let index = read(bytes.as_slice(), bytes.len() as u64).unwrap_or_else(|e| panic!("{path}: {e}"));
        assert!(!content(&bytes, &index, member).is_empty(), "{path}");
    }
}

#[tokio::test]
async fn known_images_come_out_by_themselves() {
    let site = Site::start().await;
    for (number, what) in IMAGES.iter().enumerate() {
        let Some((bytes, files)) = build(what, Kind::RockRidge) else { return };
        let shelf = shelf(&site, &format!("shelf-{number}")).await;
        site.asset(&format!("shelf-{number}"), "image.iso", &bytes).await;
        let made = extract(&site, &shelf, json!({})).await.is(201).json();
        let media = &made["media"];
        assert_eq!(media["system"], what.system, "{}", what.label);
        assert_eq!(media["version"], json!(what.version), "{}", what.label);
        assert_eq!((&media["label"], &media["keep_image"]), (&json!(what.label), &json!(what.keep_image)));
        assert_eq!(made["items"].as_array().unwrap().len(), what.boot.len());
        for (item, path) in made["items"].as_array().unwrap().iter().zip(what.boot) {
            let (_, want) = files.iter().find(|(file, _)| file == path).unwrap();
            let got = site.boot(item["path"].as_str().unwrap()).await.is(200);
            assert_eq!(got.body, *want, "{} {path}", what.label);
            assert_eq!(item["file"], path.rsplit('/').next().unwrap());
        }
        // The suggestion is a profile as it stands.
        let suggestion = media["suggestion"].clone();
        if site.get(&format!("{PROFILES}/{}", suggestion["name"].as_str().unwrap())).await.status == 404 {
            let profile = site.post(PROFILES, suggestion).await.is(201).json();
            assert_eq!(
                profile["destructive"],
                what.destructive.unwrap_or(what.system != "talos" && what.system != "debian")
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_boots_what_came_out() {
    let site = Site::start().await;
    let rescue = IMAGES.iter().find(|image| image.label == "RESCUE1101").unwrap();
    let Some((bytes, _)) = build(rescue, Kind::RockRidge) else { return };
    let shelf = shelf(&site, "rescue").await;
    site.asset("rescue", "image.iso", &bytes).await;
    let mut suggestion = extract(&site, &shelf, json!({})).await.is(201).json()["media"]["suggestion"].take();
    suggestion.as_object_mut().unwrap().remove("name");
    site.patch(&format!("{PROFILES}/rescue"), suggestion).await.is(200);
    site.assign("52:54:00:00:00:01", "n1", "rescue", json!({})).await;
    let machine = Machine::efi("52:54:00:00:00:01");
    let booted = machine.boot(&site);
    let names: Vec<String> =
        booted.asked.iter().map(|(url, _)| url.rsplit('/').next().unwrap().to_owned()).collect();
    let loaded = ["vmlinuz", "intel_ucode.img", "amd_ucode.img", "sysresccd.img"];
    assert_eq!(names[names.len() - 4..], loaded, "microcode first");
    // What its initramfs does then.
    let server = booted.arg("archiso_http_srv");
    let squashfs = machine.fetch(&site, &format!("{server}sysresccd/x86_64/airootfs.sfs")).await.is(200);
    assert_eq!(squashfs.body, bytes_of("sysresccd/x86_64/airootfs.sfs"));
}

#[tokio::test]
async fn members_come_out_by_name() {
    let site = Site::start().await;
    let tree = tempfile::tempdir().unwrap();
    std::fs::create_dir(tree.path().join("a")).unwrap();
    std::fs::write(tree.path().join("a/kernel"), b"kernel").unwrap();
    std::fs::write(tree.path().join("empty"), b"").unwrap();
    std::os::unix::fs::symlink("a/kernel", tree.path().join("link")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", tree.path().join("passwd")).unwrap();
    let Some(bytes) = xorriso("OWN", Kind::RockRidge, tree.path()) else { return };
    let shelf = shelf(&site, "p").await;
    site.asset("p", "image.iso", &bytes).await;
    let refused = extract(&site, &shelf, json!({})).await;
    assert_eq!(refused.pointers(), ["/members"]);
    assert!(refused.text().contains("none of its files looks like a kernel"), "{}", refused.text());
    let ask = |path: &str, file: &str| json!({"members": [{"path": path, "file": file}]});
    for path in ["a/kernel", "link"] {
        let made = extract(&site, &shelf, ask(path, "k")).await.is(201).json();
        assert_eq!(made["media"]["system"], "unknown");
        assert_eq!((&made["media"]["label"], &made["media"]["suggestion"]), (&json!("OWN"), &Value::Null));
        assert_eq!(site.boot("/boot/assets/p/k").await.is(200).body, b"kernel");
    }
    for (path, file, pointer) in [
        ("passwd", "k", "/members/0/path"),
        ("a", "k", "/members/0/path"),
        ("A/KERNEL", "k", "/members/0/path"),
        ("a/../a/kernel", "k", "/members/0/path"),
        ("/a/kernel", "k", "/members/0/path"),
        ("", "k", "/members/0/path"),
        ("empty", "k", "/members/0/path"),
        ("a/kernel", "image.iso", "/members/0/file"),
        ("a/kernel", "../k", "/members/0/file"),
    ] {
        assert_eq!(extract(&site, &shelf, ask(path, file)).await.pointers(), [pointer], "{path} {file}");
    }
    let twice = json!({"members": [{"path": "a/kernel", "file": "x"}, {"path": "link", "file": "x"}]});
    assert_eq!(extract(&site, &shelf, twice).await.pointers(), ["/members/1/file"]);
    assert_eq!(extract(&site, &shelf, json!({"members": []})).await.pointers(), ["/members"]);
    let many: Vec<Value> = (0..65).map(|n| json!({"path": "a/kernel", "file": format!("f{n}")})).collect();
    assert_eq!(extract(&site, &shelf, json!({"members": many})).await.pointers(), ["/members"]);
    site.post(&format!("{shelf}/none.iso/extract"), json!({})).await.is(404);
    site.post(&format!("{PROFILES}/none/assets/image.iso/extract"), json!({})).await.is(404);
    // All or nothing: a missing second member leaves the first where it is.
    let half = json!({"members": [{"path": "a/kernel", "file": "new"}, {"path": "gone", "file": "g"}]});
    assert_eq!(extract(&site, &shelf, half).await.pointers(), ["/members/1/path"]);
    site.boot("/boot/assets/p/new").await.is(404);
    let puts = site.audit().await.iter().filter(|record| record["action"] == "asset.put").count();
    assert_eq!(puts, 3, "the image and two members, each with its record");
}

#[tokio::test]
async fn what_is_no_image_is_refused_and_pieces_come_out_as_one() {
    let site = Site::start().await;
    let shelf = shelf(&site, "p").await;
    site.asset("p", "image.iso", b"#!ipxe").await;
    let refused = extract(&site, &shelf, json!({})).await.problem(422);
    assert_eq!(refused["detail"], "this is not an ISO 9660 image");
    let piece = |sector, length, flags| record(b"BIG", sector, length, flags, &[nm("big")]);
    let mut disc = Disc::new(900, &[piece(50, 4096, MORE), piece(60, 1_500_000, MORE), piece(40, 5, 0)]);
    for (number, byte) in disc.bytes[40 * 2048..].iter_mut().enumerate() {
        *byte = (number % 251) as u8;
    }
    site.asset("p", "image.iso", &disc.bytes).await;
    extract(&site, &shelf, json!({"members": [{"path": "big", "file": "big"}]})).await.is(201);
    let run = |sector: usize, length: usize| &disc.bytes[sector * 2048..][..length];
    let want = [run(50, 4096), run(60, 1_500_000), run(40, 5)].concat();
    assert!(site.boot("/boot/assets/p/big").await.is(200).body == want);
}

#[tokio::test]
async fn files_are_served_out_of_the_image() {
    let site = Site::start().await;
    let tree = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(tree.path().join("BaseOS/repodata")).unwrap();
    std::fs::write(tree.path().join("BaseOS/repodata/repomd.xml"), b"0123456789").unwrap();
    std::fs::write(tree.path().join(".treeinfo"), b"tree").unwrap();
    std::fs::write(tree.path().join("a b+c%.rpm"), b"odd").unwrap();
    std::fs::write(tree.path().join("empty"), b"").unwrap();
    std::os::unix::fs::symlink("BaseOS", tree.path().join("base")).unwrap();
    let Some(bytes) = xorriso("TREE", Kind::RockRidge, tree.path()) else { return };
    shelf(&site, "p").await;
    let stored = site.asset("p", "rocky.iso", &bytes).await;
    let sha256 = stored["sha256"].as_str().unwrap();
    let base = "/boot/assets/p/rocky.iso";
    let whole = site.boot(&format!("{base}/BaseOS/repodata/repomd.xml")).await.is(200);
    assert_eq!((whole.body.as_slice(), whole.header("content-length")), (&b"0123456789"[..], "10"));
    assert_eq!(whole.header("accept-ranges"), "bytes");
    let etag = whole.header("etag").to_owned();
    assert!(etag.starts_with(&format!("\"{sha256}-")) && etag.ends_with("-10\""), "{etag}");
    let ask = |method: &'static str, name: &'static str, value: String| {
        let uri = format!("{base}/BaseOS/repodata/repomd.xml");
        let site = &site;
        async move { site.anonymous(method, &uri).set(name, &value).send().await }
    };
    let part = ask("GET", "range", "bytes=2-4".into()).await.is(206);
    assert_eq!((part.body.as_slice(), part.header("content-range")), (&b"234"[..], "bytes 2-4/10"));
    let last = ask("GET", "range", "bytes=-3".into()).await.is(206);
    assert_eq!(last.body, b"789", "never the bytes behind it");
    assert_eq!(ask("GET", "range", "bytes=10-".into()).await.is(416).header("content-range"), "bytes */10");
    ask("GET", "if-none-match", etag.clone()).await.is(304);
    let head = ask("HEAD", "x-nothing", "x".into()).await.is(200);
    assert_eq!((head.body.len(), head.header("content-length")), (0, "10"));
    for (path, want) in [
        ("/.treeinfo", &b"tree"[..]),
        ("//.treeinfo", b"tree"),
        ("/a%20b+c%25.rpm", b"odd"),
        ("/base/repodata/repomd.xml", b"0123456789"),
        ("/empty", b""),
    ] {
        assert_eq!(site.boot(&format!("{base}{path}")).await.is(200).body, want, "{path}");
    }
    for missing in [
        "/BaseOS",
        "/BaseOS/",
        "/",
        "/baseos/repodata/repomd.xml",
        "/.treeinfo/x",
        "/a%2520b+c%2525.rpm",
        "/nothing",
    ] {
        site.boot(&format!("{base}{missing}")).await.is(404);
    }
    for bad in
        ["/BaseOS/../.treeinfo", "/BaseOS/%2e%2e/.treeinfo", "/%2e%2e%2frocky.iso", "/./.treeinfo", "/%00"]
    {
        let refused = site.boot(&format!("{base}{bad}")).await;
        assert!(matches!(refused.status, 400 | 404), "{bad}: {}", refused.status);
    }
    site.asset("p", "kernel", b"kernel").await;
    site.boot("/boot/assets/p/kernel/x").await.is(404);
    site.boot("/boot/assets/p/none.iso/x").await.is(404);
    site.boot("/boot/assets/none/rocky.iso/x").await.is(404);
    site.asset("p", "no.iso", b"no image").await;
    site.boot("/boot/assets/p/no.iso/x").await.is(404);
    // A file in pieces cannot be sent as one run of bytes, but taken out.
    let piece = |sector, flags| record(b"BIG", sector, 2048, flags, &[nm("big")]);
    site.asset("p", "image.iso", &Disc::new(60, &[piece(40, MORE), piece(50, 0)]).bytes).await;
    let pieces = site.boot("/boot/assets/p/image.iso/big").await.is(404);
    assert!(pieces.text().contains("extract it"), "{}", pieces.text());
}

#[tokio::test]
async fn many_ask_for_one_image_at_once() {
    let site = Site::start().await;
    let Some((bytes, files)) = build(&IMAGES[0], Kind::Both) else { return };
    shelf(&site, "p").await;
    // More images than are remembered.
    for number in 0..10 {
        let mut own = bytes.clone();
        own.push(number);
        site.asset("p", &format!("{number}.iso"), &own).await;
    }
    let asks = (0..50).map(|n| {
        let (path, want) = &files[n % files.len()];
        let uri = format!("/boot/assets/p/{}.iso/{path}", n % 10);
        let site = &site;
        async move { (site.boot(&uri).await.is(200).body, want.clone()) }
    });
    for (got, want) in futures_util::future::join_all(asks).await {
        assert_eq!(got, want);
    }
}
