//! What the server fetches, and what it tells whom it asks.

use crate::util::Site;
use crate::util::origin::{Origin, Say, answer, ok};
use crate::util::recipes::{PROFILES, memtest};
use crate::util::text::sha256;
use serde_json::json;

async fn site() -> Site {
    let site = Site::with("[import]\nallow = [\"127.0.0.0/8\"]").await;
    site.profile(memtest("m")).await;
    site
}

/// Ironic: the service's own token went to a URL that a user had written. Foreman: the page that a
/// request came from did, with what its address said. Here: a fetch carries nothing of its asker and
/// nothing of the server, also after a redirect.
#[tokio::test]
async fn cve_2026_42997_cve_2022_4130_credentials_go_to_a_users_url() {
    let site = site().await;
    let target = Origin::serving(b"kernel").await;
    let location = format!("Location: {}\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n", target.url("/blob"));
    let reply = answer("302 Found", &location, b"");
    let first = Origin::start(move |_, _| vec![Say(reply.clone())]).await;
    let url = first.url("/image/vmlinuz?signature=keep-this-to-yourself");
    let call = site.call("POST", &format!("{PROFILES}/m/assets")).set("cookie", "session=of-the-asker");
    call.set("referer", "https://moxxie.example/secret").json(&json!({"url": url})).send().await.is(201);
    let heads = [first.heads(), target.heads()].concat();
    assert_eq!(heads.len(), 2);
    for head in &heads {
        for leak in [
            "authorization",
            "cookie",
            "referer",
            "forwarded",
            "x-forwarded",
            "moxxie.example",
            crate::util::app::ADMIN,
        ] {
            assert!(!head.contains(leak), "{leak}: {head}");
        }
    }
    assert!(!heads[1].contains("keep-this-to-yourself"), "what was in the first URL stays there");
}

/// Ironic: the digest was compared after the image had been converted, so that of the download went
/// unchecked. Here: the digest is that of the bytes as they came, and those are what is sent.
#[tokio::test]
async fn cve_2024_47211_a_digest_of_something_else() {
    let site = site().await;
    let good = b"the kernel that was meant";
    let digest = sha256(good);
    let evil = Origin::serving(b"another kernel").await;
    let body = json!({"url": evil.url("/k"), "sha256": digest, "file": "k"});
    site.post(&format!("{PROFILES}/m/assets"), body).await.problem(422);
    site.boot("/boot/assets/m/k").await.is(404);
    let right = Origin::start(move |_, _| vec![Say(ok("Content-Type: application/gzip\r\n", good))]).await;
    let body = json!({"url": right.url("/k"), "sha256": digest, "file": "k"});
    site.post(&format!("{PROFILES}/m/assets"), body).await.is(201);
    let sent = site.boot("/boot/assets/m/k").await.is(200);
    assert_eq!((sent.body.as_slice(), sent.header("etag")), (&good[..], format!("\"{digest}\"").as_str()));
}

/// Ironic: `qemu-img` looked into an image and read the files that its header named. Here: an image
/// is bytes; a qcow2 header with a backing file comes out as it went in.
#[tokio::test]
async fn cve_2024_44082_an_image_names_files_of_the_host() {
    let site = site().await;
    let mut qcow2 = b"QFI\xfb\0\0\0\x02\0\0\0\0\0\0\0\x48\0\0\0\x0b".to_vec();
    qcow2.resize(0x48, 0);
    qcow2.extend(b"/etc/shadow");
    let vmdk = b"# Disk DescriptorFile\nversion=1\nRW 4096 FLAT \"/etc/shadow\" 0\n".to_vec();
    let playlist = b"#EXTM3U\nfile:///etc/shadow\n".to_vec();
    for (name, bytes) in [("disk.qcow2", qcow2), ("disk.vmdk", vmdk), ("list.m3u", playlist)] {
        site.asset("m", name, &bytes).await;
        assert_eq!(site.boot(&format!("/boot/assets/m/{name}")).await.is(200).body, bytes, "{name}");
        site.post(&format!("{PROFILES}/m/assets/{name}/extract"), json!({})).await.problem(422);
    }
}
