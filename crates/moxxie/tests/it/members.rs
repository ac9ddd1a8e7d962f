//! Files of images over a real connection: sent out of the middle of the image, and no byte more.

use crate::util::Site;
use crate::util::iso::{Kind, image};
use crate::util::recipes::memtest;
use crate::util::wire::{Wire, head};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const BASE: &str = "/boot/assets/p/rocky.iso";
/// A hang is a failure; this is when it is called one.
const HANG: Duration = Duration::from_secs(60);

async fn ask(stream: &mut TcpStream, path: &str, more: &str) -> (String, Vec<u8>) {
    let request = format!("GET {BASE}/{path} HTTP/1.1\r\nHost: x\r\n{more}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let head = head(stream).await;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length = if head.starts_with("HTTP/1.1 304") { 0 } else { length.map_or(0, |n| n.parse().unwrap()) };
    let mut body = vec![0; length];
    tokio::time::timeout(HANG, stream.read_exact(&mut body)).await.expect("a hang").unwrap();
    (head, body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_of_images_are_sent_from_where_they_lie() {
    let big: Vec<u8> = (0..11_000_003_u32).map(|n| (n / 5) as u8 ^ (n >> 13) as u8).collect();
    let files =
        [("images/before.img", &[1; 5000][..]), ("images/install.img", &big), ("small", b"0123456789")];
    let Some(bytes) = image("ROCKY", Kind::RockRidge, &files) else { return };
    let site = Site::start().await;
    site.profile(memtest("p")).await;
    let sha256 = site.asset("p", "rocky.iso", &bytes).await["sha256"].as_str().unwrap().to_owned();
    let wire = Wire::start(&site).await;
    // All on one connection: a byte too many or too few would spoil what follows.
    let mut stream = wire.connect().await;
    let (whole, got) = ask(&mut stream, "images/install.img", "").await;
    assert!(whole.starts_with("HTTP/1.1 200") && got == big, "{whole}");
    let etag = whole.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().to_owned();
    assert!(etag.starts_with(&format!("\"{sha256}-")) && etag.ends_with("-11000003\""), "{etag}");
    let size = big.len();
    const MIB: usize = 1 << 20;
    // Around what is copied instead of mapped, and around the ends of windows.
    for (first, last) in [
        (0, 0),
        (0, 65_534),
        (0, 65_535),
        (4095, 4095 + 65_536),
        (MIB - 1, MIB),
        (MIB - 7, 9 * MIB + 7),
        (size - 70_000, size - 1),
        (size - 1, size - 1),
    ] {
        let range = format!("Range: bytes={first}-{last}\r\nIf-Range: {etag}\r\n");
        let (head, got) = ask(&mut stream, "images/install.img", &range).await;
        assert!(head.starts_with("HTTP/1.1 206"), "{head}");
        assert!(head.contains(&format!("content-range: bytes {first}-{last}/{size}\r\n")), "{head}");
        assert!(got == big[first..=last], "{first}-{last}: other bytes");
    }
    // Beyond its end there are other files' bytes, which are not its own.
    let (head, got) = ask(&mut stream, "images/install.img", "Range: bytes=10999993-99999999\r\n").await;
    assert!(head.starts_with("HTTP/1.1 206") && got == big[size - 10..], "{head}");
    let (head, _) = ask(&mut stream, "images/install.img", "Range: bytes=11000003-\r\n").await;
    assert!(head.starts_with("HTTP/1.1 416"), "{head}");
    // The image's own ETag is about other bytes.
    let stale = format!("Range: bytes=0-9\r\nIf-Range: \"{sha256}\"\r\n");
    let (head, got) = ask(&mut stream, "images/install.img", &stale).await;
    assert!(head.starts_with("HTTP/1.1 200") && got == big, "{head}");
    let (head, _) = ask(&mut stream, "images/install.img", &format!("If-None-Match: {etag}\r\n")).await;
    assert!(head.starts_with("HTTP/1.1 304"), "{head}");
    let (_, got) = ask(&mut stream, "small", "").await;
    assert_eq!(got, b"0123456789");
}
