//! Clients that sites have: curl and tftp-hpa. Where one is not installed, the test says so and does
//! no more; the client of these tests always runs.

use super::{Tftp, bytes};
use std::process::Output;

/// Runs a program in a folder; none: it is not installed.
#[allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test may start programs, and says so if not"
)]
async fn run(dir: &std::path::Path, program: &str, args: &[&str]) -> Option<Output> {
    let ended = tokio::process::Command::new(program).args(args).current_dir(dir).output().await;
    match ended {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("SKIPPED: {program} is not installed; see scripts/packages.txt");
            None
        }
        ended => Some(ended.unwrap()),
    }
}

#[tokio::test]
async fn curl_reads_files() {
    let (tftp, dir) = (Tftp::start().await, tempfile::tempdir().unwrap());
    // No empty file: curl 7.88 takes a size of 0 for an error.
    for (size, options) in
        [(1_000_000usize, &["--tftp-blksize", "1468"][..]), (1024, &["--tftp-no-options"]), (1, &[])]
    {
        let url = format!("tftp://{}/{size}", tftp.address);
        let args = [&["-sS", "--max-time", "60", "-o", "got", &url], options].concat();
        let Some(ended) = run(dir.path(), "curl", &args).await else { return tftp.end().await };
        assert!(ended.status.success(), "{size}: {ended:?}");
        let got = std::fs::read(dir.path().join("got")).unwrap_or_default();
        assert!(got == bytes(size), "{size}: {} bytes", got.len());
        let _ = std::fs::remove_file(dir.path().join("got"));
    }
    let url = format!("tftp://{}/missing", tftp.address);
    let ended = run(dir.path(), "curl", &["-sS", "--max-time", "60", &url]).await.unwrap();
    assert_eq!(ended.status.code(), Some(68), "file not found on the TFTP server: {ended:?}");
    tftp.end().await;
}

#[tokio::test]
async fn tftp_hpa_reads_files() {
    let (tftp, dir) = (Tftp::start().await, tempfile::tempdir().unwrap());
    let port = tftp.address.port().to_string();
    let get = async |mode: &str, file: &str| {
        let args = ["-m", mode, "127.0.0.1", &port, "-c", "get", file, "got"];
        run(dir.path(), "tftp", &args).await
    };
    for size in [1024usize, 1_000_000] {
        let Some(ended) = get("binary", &size.to_string()).await else { return tftp.end().await };
        assert!(ended.status.success(), "{ended:?}");
        assert!(std::fs::read(dir.path().join("got")).unwrap() == bytes(size), "{size}");
    }
    // Its default mode would damage a loader: it is told so.
    let ended = get("ascii", "1024").await.unwrap();
    let said = [ended.stdout, ended.stderr].concat();
    assert!(String::from_utf8_lossy(&said).contains("only mode octet (binary)"));
    tftp.end().await;
}
