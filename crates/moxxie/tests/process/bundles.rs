//! The shelf's commands, run as programs: one site's bundle becomes another site, and what they
//! print when nobody watches.

use crate::server::{Server, Setup};
use crate::site::{self, KERNEL};
use std::process::Stdio;

/// Exit code, standard output and standard error.
fn moxxie(server: &Server, args: &[&str], input: Stdio) -> (Option<i32>, String, String) {
    let output = server.command(args).stdin(input).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_carries_a_site_to_another() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("site.tar");
    let tar = file.to_str().unwrap();
    let hub = Setup::new(&dir.path().join("hub")).start().await;
    site::furnish(&hub.client).await;
    let (code, said, err) = moxxie(&hub, &["bundle", "export", tar], Stdio::null());
    assert_eq!((code, err.as_str()), (Some(0), ""), "{said}");
    assert!(said.contains("2 profiles, 4 files (1 different, all verified)"), "{said}");

    let other = Setup::new(&dir.path().join("other")).start().await;
    let (code, said, err) = moxxie(&other, &["bundle", "import", tar], Stdio::null());
    assert_eq!((code, err.as_str()), (Some(0), ""), "{said}");
    assert!(said.starts_with("profiles: 2 created, 0 replaced, 0 unchanged"), "{said}");
    for path in ["/boot/assets/safe/vmlinuz", "/boot/assets/wipe/initramfs.xz"] {
        assert_eq!(other.client.get(path).await.is(200).body, KERNEL);
    }
    // From a pipe, and again: all is there already.
    let input = std::fs::File::open(&file).unwrap().into();
    let (code, said, _) = moxxie(&other, &["bundle", "import", "-"], input);
    assert_eq!(code, Some(0));
    assert!(said.starts_with("profiles: 0 created, 0 replaced, 2 unchanged"), "{said}");

    std::fs::write(&file, "no tar").unwrap();
    let (code, said, err) = moxxie(&other, &["bundle", "import", tar], Stdio::null());
    assert_eq!((code, said.as_str()), (Some(1), ""), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_terminal_only_the_outcome_is_printed() {
    let dir = tempfile::tempdir().unwrap();
    let server = Setup::new(&dir.path().join("data")).start().await;
    site::furnish(&server.client).await;
    let file = dir.path().join("big");
    std::fs::write(&file, vec![1; 3_000_000]).unwrap();
    let file = file.to_str().unwrap();
    let (code, said, err) = moxxie(&server, &["asset", "upload", "safe", file], Stdio::null());
    assert_eq!((code, err.as_str(), said.lines().count()), (Some(0), "", 1), "{said}");
    assert!(said.starts_with("safe/big  sha256 ") && said.ends_with("  3000000 bytes (2.9 MiB)\n"), "{said}");
    let json = ["asset", "upload", "safe", file, "--output", "json"];
    let (code, said, err) = moxxie(&server, &json, Stdio::null());
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert_eq!(serde_json::from_str::<serde_json::Value>(&said).unwrap()["size"], 3_000_000);

    for wrong in [&["asset", "import", file][..], &["asset", "import", "safe", "ftp://x/y"]] {
        let (code, said, err) = moxxie(&server, wrong, Stdio::null());
        assert_eq!((code, said.as_str()), (Some(2), ""), "{err}");
    }
    let (code, _, err) = moxxie(&server, &["asset", "upload", "nobody", file], Stdio::null());
    assert_eq!(code, Some(1), "{err}");
}
