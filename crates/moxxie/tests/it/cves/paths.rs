//! Names that lead elsewhere.

use crate::util::Site;
use crate::util::iso::{Disc, nm, record, sl};
use crate::util::recipes::{PROFILES, memtest};
use crate::util::text::percent;
use serde_json::json;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Every file below a folder, with its length.
fn files(root: &Path) -> BTreeSet<(PathBuf, u64)> {
    let mut found = BTreeSet::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => {
                    found.insert((entry.path(), entry.metadata().unwrap().len()));
                }
            }
        }
    }
    found
}

/// Cobbler: `upload_log_data` took the file's name from an anonymous client and wrote anywhere.
/// Here: bytes lie under their digest, names are rows, and nobody uploads without a token.
#[tokio::test]
async fn cve_2021_40324_an_upload_chooses_where_it_is_written() {
    let site = Site::start().await;
    site.profile(memtest("m")).await;
    // A folder of its own, so that the database's files do not count.
    let before = files(&site.app.config().assets_dir);
    let names = [
        "..%2f..%2fevil",
        "%2e%2e%2fevil",
        "%2fetc%2fcron.d%2fevil",
        "..%5cevil",
        "evil%00.img",
        "%2e%2e",
        ".ssh",
    ];
    for name in names {
        let uri = format!("{PROFILES}/m/assets/{name}");
        let put = site.call("PUT", &uri).body("evil").send().await;
        assert!(matches!(put.status, 400 | 404 | 422), "{name}: {}", put.status);
        let anonymous = site.anonymous("PUT", &uri).body("evil").send().await;
        assert!(matches!(anonymous.status, 400 | 401), "{name}: {}", anonymous.status);
    }
    for file in ["../evil", "/etc/cron.d/evil", "..\\evil", "a/../../evil", ".."] {
        let body = json!({"file": file, "url": "http://mirror.example/evil"});
        assert_eq!(site.post(&format!("{PROFILES}/m/assets"), body).await.pointers(), ["/file"], "{file}");
    }
    let report =
        site.anonymous("POST", "/boot/report?t=x&stage=progress&file=../../evil").body("evil").send().await;
    assert_eq!(report.status, 403);
    site.anonymous("POST", "/api/v1/uploads").json(&json!({"size": 4})).send().await.problem(401);
    assert_eq!(files(&site.app.config().assets_dir), before);
}

/// Ironic: `file://` as the URL of an image read files of the conductor. Here: nothing is fetched
/// but by http and https, and a kernel is a name or such a URL.
#[tokio::test]
async fn cve_2025_44021_a_file_url_as_an_image() {
    let site = Site::with("[import]\nallow = [\"127.0.0.0/8\", \"::1/128\"]").await;
    site.profile(memtest("m")).await;
    for url in [
        "file:///etc/shadow",
        "FILE:///etc/shadow",
        "file://localhost/etc/shadow",
        "/etc/shadow",
        "file:/etc/shadow",
    ] {
        let answer = site.post(&format!("{PROFILES}/m/assets"), json!({"url": url, "file": "k"})).await;
        assert_eq!(answer.pointers(), ["/url"], "{url}");
        let profile = json!({"name": "f", "profile_type": "custom", "kernel_path": url});
        assert_eq!(site.post(PROFILES, profile).await.pointers(), ["/kernel_path"], "{url}");
    }
}

/// Ironic: names in an ISO 9660 image led out of the folder it was unpacked into. Here: nothing is
/// unpacked by its name; such an image is refused, and so is a link that leads out of it.
#[tokio::test]
async fn cve_2026_48681_names_in_an_image_lead_out_of_it() {
    let site = Site::start().await;
    site.profile(memtest("m")).await;
    let shelf = format!("{PROFILES}/m/assets");
    for name in ["../../../../etc/cron.d/evil", "/etc/cron.d/evil", "..", "a/../../evil", "..\\evil"] {
        let disc = Disc::new(60, &[record(b"A", 40, 10, 0, &[nm(name)])]);
        site.asset("m", "evil.iso", &disc.bytes).await;
        let body = json!({"members": [{"path": name, "file": "k"}]});
        let refused = site.post(&format!("{shelf}/evil.iso/extract"), body).await;
        let problem = refused.problem(422);
        assert!(problem.to_string().contains("bad name"), "{name}: {problem}");
        let encoded = percent(name);
        let served = site.boot(&format!("/boot/assets/m/evil.iso/{encoded}")).await;
        assert!(matches!(served.status, 400 | 404 | 409 | 422), "{name}: {}", served.status);
    }
    let link = record(b"L", 0, 0, 0, &[nm("l"), sl("../../../etc/passwd")]);
    let disc = Disc::new(60, &[link, record(b"K", 40, 10, 0, &[nm("k")])]);
    site.asset("m", "link.iso", &disc.bytes).await;
    let body = json!({"members": [{"path": "l", "file": "k"}]});
    assert_eq!(site.post(&format!("{shelf}/link.iso/extract"), body).await.pointers(), ["/members/0/path"]);
    site.boot("/boot/assets/m/link.iso/l").await.is(404);
}
