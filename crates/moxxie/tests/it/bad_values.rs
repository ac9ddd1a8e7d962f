//! Rows 72, 87, 88 and 95 of the catalogue: values that look like others, or hide others.

use crate::util::Site;
use crate::util::recipes::{ASSIGNMENTS, PROFILES, debian, memtest};
use moxxie::config::{Config, Overrides};
use serde_json::json;

/// 72, and what of 71 could reach the server: nothing is unpacked, so nothing is believed.
#[tokio::test]
async fn archives_and_initrds_are_bytes() {
    let site = Site::start().await;
    site.profile(memtest("m")).await;
    // A cpio header (newc) whose name is 4 GiB long, as the second archive of an initrd.
    let honest = b"07070100000001000081a4000000000000000000000001000000000000000000000000000000000000000000000000000000000000000b00000000TRAILER!!!\0\0\0\0";
    let huge = b"07070100000001000081a4000000000000000000000001ffffffffffffffff00000000000000000000000000000000000000000000ffffffff00000000../../etc/passwd\0";
    let mut tar = b"../../etc/cron.d/evil".to_vec();
    tar.resize(257, 0);
    tar.extend(b"ustar\x0000");
    tar.resize(1024, 0);
    let zip =
        b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\x10\0\0\0../../etc/passwd"
            .to_vec();
    for (name, bytes) in [
        ("initrd.img", [&honest[..], huge].concat()),
        ("a.tar", tar),
        ("a.zip", zip),
        ("a.gz", b"\x1f\x8b\x08\0".to_vec()),
    ] {
        site.asset("m", name, &bytes).await;
        assert_eq!(site.boot(&format!("/boot/assets/m/{name}")).await.is(200).body, bytes, "{name}");
        site.post(&format!("{PROFILES}/m/assets/{name}/extract"), json!({})).await.problem(422);
        site.boot(&format!("/boot/assets/m/{name}/etc/passwd")).await.is(404);
    }
}

/// 87, 88: a network in the settings that another reader would take for another network.
#[test]
fn networks_that_mean_something_else_are_refused() {
    let load = |toml: &str| {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("moxxie.toml"), toml).unwrap();
        Config::load(Overrides { data_dir: Some(dir.path().to_owned()), ..Overrides::default() })
    };
    for key in ["access]\nallow", "access]\nprovisioning", "import]\nallow"] {
        for bad in [
            "10.0.0.1/8",
            "10.0.0.0/33",
            "010.0.0.0/8",
            "10.0.0.0/08x",
            "10.0/8",
            "0x0a.0.0.0/8",
            "167772160/8",
            "10.0.0.0/-1",
            "10.0.0.0/255.0.0.0",
            "fe80::1%eth0/128",
            "fe80::%eth0/10",
            "fe80::1/10",
            "::/129",
            "[::1]/128",
            "::ffff:10.0.0.1/100",
            "10.0.0.0/8 ",
            "",
            "all",
            "10.0.0.0-10.0.0.9",
        ] {
            let got = load(&format!("[{key} = [\"{bad}\"]\n"));
            let error = got.err().unwrap_or_else(|| panic!("[{key}: {bad:?} was taken"));
            assert!(error.to_string().lines().count() == 1, "{error}");
        }
        for good in ["10.0.0.0/8", "fe80::/10", "192.0.2.7/32"] {
            load(&format!("[{key} = [\"{good}\"]\n")).unwrap_or_else(|e| panic!("[{key}: {good}: {e}"));
        }
    }
}

/// An IPv4 address in the oldest of IPv6's clothes is not that address (RFC 4291 calls it
/// deprecated), nor is one that a translator or a tunnel would carry.
#[tokio::test]
async fn addresses_inside_of_others_are_not_let_in() {
    let site = Site::with("[access]\nallow = [\"10.0.0.0/8\"]").await;
    for (peer, status) in [
        ("10.0.0.5", 200),
        ("::ffff:10.0.0.5", 200),
        ("::10.0.0.5", 403),
        ("64:ff9b::a00:5", 403),
        ("2002:a00:5::1", 403),
        ("::ffff:203.0.113.9", 403),
        ("fe80::1", 403),
        ("::ffff:0:a00:5", 403),
    ] {
        site.anonymous("GET", "/boot/menu.ipxe").from(peer).send().await.is(status);
    }
}

/// 95: a list has pages, and a page has bounds.
#[tokio::test]
async fn pages_and_cursors() {
    let site = Site::start().await;
    site.profile(debian("deb")).await;
    for list in [
        PROFILES,
        ASSIGNMENTS,
        "/api/v1/boot/machines",
        "/api/v1/boot/events",
        "/api/v1/audit",
        "/api/v1/tokens",
    ] {
        for limit in [
            "-1",
            "0",
            "501",
            "1000000000",
            "1e9",
            "1.5",
            "99999999999999999999",
            "abc",
            "%31%30%30%30",
            "0x10",
            "",
            "%20",
        ] {
            let answer = site.get(&format!("{list}?limit={limit}")).await;
            assert!(matches!(answer.status, 400 | 422), "{list} limit={limit}: {}", answer.status);
        }
        for cursor in ["x", "-1", "..", "%00", "eyJpZCI6MX0", "AAAA", "1%20OR%201=1", "99999999999999999999"]
        {
            let answer = site.get(&format!("{list}?cursor={cursor}")).await;
            assert!(answer.status < 500, "{list} cursor={cursor}: {}", answer.status);
            // A cursor is a place in the caller's own list: a made-up one shows no more than the
            // list itself does.
            if answer.status == 200 {
                assert!(answer.json()["items"].as_array().unwrap().len() <= 100, "{list}");
            }
        }
        site.get(&format!("{list}?limit=1&limit=2")).await.problem(400);
    }
}
