//! A large upload that is refused before its end: whoever sends it reads why, and no reset.

use crate::util::Site;
use crate::util::app::ADMIN;
use crate::util::recipes::{PROFILES, memtest};
use crate::util::wire::Wire;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// More than the buffers between the two ends hold.
const LENGTH: usize = 16 << 20;
/// A hang is a failure; this is when it is called one.
const HANG: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_of_uploads_are_read() {
    let site = Site::with("[limits]\nasset_mib = 1\n").await;
    site.profile(memtest("a")).await;
    let wire = Wire::start(&site).await;
    let length = format!("Content-Length: {LENGTH}");
    let chunked = "Transfer-Encoding: chunked".to_owned();
    for (status, path, token, framing) in [
        ("401", "a/assets/x", "wrong", &length),
        ("404", "gone/assets/x", ADMIN, &chunked),
        ("413", "a/assets/x", ADMIN, &length),
        ("413", "a/assets/x", ADMIN, &chunked),
    ] {
        let mut stream = wire.connect().await;
        let head = format!(
            "PUT {PROFILES}/{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n{framing}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let body = match framing.starts_with("Content") {
            true => vec![7; LENGTH],
            false => [format!("{LENGTH:x}\r\n").as_bytes(), &vec![7; LENGTH], b"\r\n0\r\n\r\n"].concat(),
        };
        // One that sends everything before it reads, as simple ones do.
        let exchange = async {
            stream.write_all(&body).await.unwrap_or_else(|e| panic!("{status}, {framing}: {e}"));
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap_or_else(|e| panic!("{status}, {framing}: {e}"));
            answer
        };
        let answer = tokio::time::timeout(HANG, exchange).await.expect("a hang");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")) && answer.ends_with('}'), "{answer}");
        assert!(answer.contains("connection: close\r\n"), "nobody sends another request here: {answer}");
    }
}
