//! Assets over real connections: the right bytes, whatever is asked in whatever order, and what
//! is known of each download while it runs and when it ends.

use crate::util::recipes::{debian, talos};
use crate::util::text::until;
use crate::util::wire::{Wire, head};
use crate::util::{Machine, Site};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
/// A hang is a failure; this is when it is called one.
const HANG: Duration = Duration::from_secs(60);

/// Bytes that are different everywhere.
fn bytes(length: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend((state ^ state >> 29).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A site with one file on a shelf, behind a listener.
async fn shelf(length: usize) -> (Site, Wire, Vec<u8>) {
    let site = Site::start().await;
    site.profile(debian("p")).await;
    let file = bytes(length);
    site.asset("p", "file", &file).await;
    let wire = Wire::start(&site).await;
    (site, wire, file)
}

fn request(file: &str, more: &str) -> String {
    format!("GET /boot/assets/p/{file} HTTP/1.1\r\nHost: x\r\n{more}\r\n")
}

/// Reads one answer off a connection: its head and its body.
async fn answer(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let head = head(stream).await;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let bodiless = head.starts_with("HTTP/1.1 304");
    let length = if bodiless { 0 } else { length.map_or(0, |length| length.parse().unwrap()) };
    let mut body = vec![0; length];
    let read = tokio::time::timeout(HANG, stream.read_exact(&mut body)).await.expect("a hang");
    read.unwrap_or_else(|e| panic!("{e}: {head}"));
    (head, body)
}

async fn ask(stream: &mut TcpStream, request: &str) -> (String, Vec<u8>) {
    stream.write_all(request.as_bytes()).await.unwrap();
    answer(stream).await
}

/// Waits for an event of this kind, and is the newest.
async fn event(site: &Site, kind: &str) -> Value {
    let mut found = Value::Null;
    until(kind, async || {
        found = site.events(&format!("&kind={kind}")).await.first().cloned().unwrap_or_default();
        !found.is_null()
    })
    .await;
    found
}

/// Open files and mappings of this process that are assets.
fn held() -> usize {
    let files = std::fs::read_dir("/proc/self/fd").unwrap();
    let open = files.filter_map(|f| std::fs::read_link(f.ok()?.path()).ok());
    let open = open.filter(|to| to.to_string_lossy().contains("/sha256/")).count();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    open + maps.lines().filter(|line| line.contains("/sha256/")).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ranges_and_pipelines_on_one_connection() {
    let (site, wire, file) = shelf(9 * MIB + 70 * KIB + 3).await;
    let size = file.len();
    let mut stream = wire.connect().await;
    let mut ranges = vec![(0, 0), (size - 1, size - 1), (0, size - 1)];
    // Lengths around the smallest that is mapped, and both ends around those of windows.
    for length in [64 * KIB - 1, 64 * KIB, 64 * KIB + 1] {
        ranges.extend([(0, length - 1), (4097, 4097 + length - 1), (size - length, size - 1)]);
    }
    for border in [MIB, 9 * MIB] {
        ranges.extend([(border - 1, border), (border, size - 1), (border - MIB + 5, border + 100)]);
    }
    let chance = bytes(8 * 80);
    for pair in chance.chunks_exact(8) {
        let number = |at: usize| u32::from_le_bytes(pair[at..at + 4].try_into().unwrap()) as usize;
        let first = number(0) % size;
        ranges.push((first, (first + number(4) % (300 * KIB)).min(size - 1)));
    }
    for (first, last) in ranges {
        let (head, body) =
            ask(&mut stream, &request("file", &format!("Range: bytes={first}-{last}\r\n"))).await;
        assert!(head.starts_with("HTTP/1.1 206"), "{first}-{last}: {head}");
        assert!(head.contains(&format!("content-range: bytes {first}-{last}/{size}\r\n")), "{head}");
        assert!(body == file[first..=last], "{first}-{last}: other bytes");
    }
    // Asked in one breath, answered in order.
    stream.write_all(request("file", "").replace("GET", "HEAD").as_bytes()).await.unwrap();
    let head = head(&mut stream).await;
    let etag = head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().to_owned();
    assert!(head.contains(&format!("content-length: {size}\r\n")), "{head}");
    let mut burst = String::new();
    for _ in 0..5 {
        burst += &request("file", "Range: bytes=100000-1300000\r\n");
        burst += &request("linux", "");
        burst += &request("file", &format!("If-None-Match: {etag}\r\n"));
        burst += &request("gone", "");
        burst += &request("file", "Range: bytes=99999999-\r\n");
    }
    let wanted: Vec<(&str, &[u8])> =
        vec![("206", &file[100_000..=1_300_000]), ("200", b"bytes of linux of p"), ("304", b"")];
    stream.write_all(burst.as_bytes()).await.unwrap();
    for _ in 0..5 {
        for (status, body) in &wanted {
            let (head, got) = answer(&mut stream).await;
            assert!(head.starts_with(&format!("HTTP/1.1 {status}")) && got == *body, "{status}: {head}");
        }
        for status in ["404", "416"] {
            let (head, _) = answer(&mut stream).await;
            assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{head}");
        }
    }
    drop(stream);
    until("everything is let go", async || held() == 0 && site.app.downloads.running().is_empty()).await;
    event(&site, "kernel_fetched").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_http_and_many_at_once() {
    let (_site, wire, file) = shelf(3 * MIB).await;
    let mut all = Vec::new();
    for n in 0..20 {
        let mut stream = wire.connect().await;
        let want = file.clone();
        all.push(tokio::spawn(async move {
            let old =
                format!("GET /boot/assets/p/file HTTP/1.{}\r\nHost: x\r\nConnection: close\r\n\r\n", n % 2);
            stream.write_all(old.as_bytes()).await.unwrap();
            let mut got = Vec::new();
            stream.read_to_end(&mut got).await.unwrap();
            let body = got.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
            let head = String::from_utf8_lossy(&got[..body]).into_owned();
            assert!(head.contains("content-length: 3145728\r\n"), "{head}");
            assert!(got[body..] == want, "other bytes");
        }));
    }
    for one in all {
        tokio::time::timeout(HANG, one).await.expect("a hang").unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_is_listed_and_gets_the_right_bytes() {
    // More than the kernel's buffers take.
    let (site, wire, file) = shelf(9 * MIB).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 * KIB as u32).unwrap();
    let mut stream = socket.connect(wire.address).await.unwrap();
    stream.write_all(request("file", "").as_bytes()).await.unwrap();
    let head = head(&mut stream).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");

    let page =
        site.call("GET", "/api/v1/boot/downloads").token(site.viewer().await).send().await.is(200).json();
    let items = page["items"].as_array().unwrap();
    assert_eq!((items.len(), &page["next"]), (1, &Value::Null), "{page}");
    let shown = &items[0];
    assert_eq!(shown["profile"], "p");
    assert_eq!(shown["file"], "file");
    assert_eq!(shown["peer"], "127.0.0.1");
    assert_eq!((&shown["machine"], &shown["node_name"]), (&Value::Null, &Value::Null));
    assert_eq!((shown["first"].as_u64(), shown["length"].as_u64()), (Some(0), Some(9 * MIB as u64)));
    assert!(shown["sent"].as_u64().unwrap() < 9 * MIB as u64 && shown["rate"].is_u64(), "{shown}");
    assert_eq!(shown["started_at"], "2026-03-01T12:00:00.000Z");
    assert_eq!(shown["sha256"].as_str().unwrap().len(), 64);

    let mut got = Vec::new();
    let mut chunk = vec![0; 16 * KIB];
    while got.len() < file.len() {
        match stream.read(&mut chunk).await.unwrap() {
            0 => break,
            n => got.extend_from_slice(&chunk[..n]),
        }
    }
    assert!(got == file, "other bytes");
    // The connection is still open: the acknowledgment of the last byte is the end.
    until("the download's end", async || site.app.downloads.running().is_empty()).await;
    let metrics = site.get("/metrics").await.text();
    assert!(metrics.contains("moxxie_asset_bytes_total "), "{metrics}");
    assert!(metrics.contains("moxxie_downloads_running 0"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_that_go_away_leave_nothing() {
    let (site, wire, _) = shelf(9 * MIB).await;
    let mut streams = Vec::new();
    for n in 0..50usize {
        let mut stream = wire.connect().await;
        stream.write_all(request("file", "").as_bytes()).await.unwrap();
        let mut some = vec![0; 10 + n * 1000];
        stream.read_exact(&mut some).await.unwrap();
        streams.push(stream);
    }
    assert_eq!(site.app.downloads.running().len(), 50);
    assert!(held() >= 50);
    for (n, stream) in streams.into_iter().enumerate() {
        if n % 2 == 0 {
            stream.set_zero_linger().unwrap();
        }
        drop(stream);
    }
    until("everything is let go", async || held() == 0 && site.app.downloads.running().is_empty()).await;
    // Neither kernel nor initrd: nobody's boot failed.
    assert!(site.events("&kind=download.aborted").await.is_empty());
}

const MAC: &str = "52:54:00:00:00:0a";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_boot_is_followed_to_the_last_byte() {
    let site = Site::start().await;
    site.profile(talos("p")).await;
    site.asset("p", "initramfs.xz", &bytes(12 * MIB)).await;
    site.assign(MAC, "node-a", "p", json!({})).await;
    let wire = Wire::start(&site).await;
    // The gate hears it over the wire, as the files are asked for.
    let mut stream = wire.connect().await;
    let menu = format!("GET /boot/menu.ipxe?mac={MAC} HTTP/1.1\r\nHost: x\r\n\r\n");
    let (_, script) = ask(&mut stream, &menu).await;
    assert!(String::from_utf8_lossy(&script).contains("/boot/assets/p/vmlinuz"));
    let (_, kernel) = ask(&mut stream, &request("vmlinuz", "")).await;
    assert_eq!(kernel, b"bytes of vmlinuz of p");
    let fetched = event(&site, "kernel_fetched").await;
    assert_eq!(fetched["mac_address"], MAC);
    assert_eq!(fetched["node_name"], "node-a");
    assert_eq!(fetched["boot_profile"], "p");
    assert_eq!(fetched["peer"], "127.0.0.1");
    assert!(fetched["message"].as_str().unwrap().starts_with("vmlinuz, 21 B in 0."), "{fetched}");

    // It is reset in the middle of its initrd.
    stream.write_all(request("initramfs.xz", "").as_bytes()).await.unwrap();
    let mut some = vec![0; 2 * MIB];
    stream.read_exact(&mut some).await.unwrap();
    let running = site.get("/api/v1/boot/downloads").await.is(200).json();
    assert_eq!(running["items"][0]["machine"], MAC);
    assert_eq!(running["items"][0]["node_name"], "node-a");
    stream.set_zero_linger().unwrap();
    drop(stream);
    let aborted = event(&site, "download.aborted").await;
    assert_eq!(aborted["mac_address"], MAC);
    let message = aborted["message"].as_str().unwrap();
    let stopped = message.strip_prefix("initramfs.xz stopped at ").unwrap_or_else(|| panic!("{message}"));
    let megabytes: f64 = stopped.split(' ').next().unwrap().parse().unwrap();
    assert!((2.0..12.5).contains(&megabytes) && stopped.contains(" of 12.5 MB ("), "{message}");
    assert!(site.events("&kind=initrd_fetched").await.is_empty());
    assert_eq!(held(), 0, "the file is closed");

    // The second try gets it all, and closes at once.
    let mut stream = wire.connect().await;
    let (_, initrd) = ask(&mut stream, &request("initramfs.xz", "Connection: close\r\n")).await;
    assert_eq!(initrd.len(), 12 * MIB);
    drop(stream);
    let fetched = event(&site, "initrd_fetched").await;
    assert_eq!(fetched["mac_address"], MAC);
    let message = fetched["message"].as_str().unwrap();
    assert!(message.starts_with("initramfs.xz, 12.5 MB in ") && message.ends_with("B/s)"), "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn machines_are_known_by_address_unless_two_share_it() {
    let site = Site::start().await;
    site.profile(talos("p")).await;
    let other = "52:54:00:00:00:0b";
    for (mac, node) in [(MAC, "node-a"), (other, "node-b")] {
        site.assign(mac, node, "p", json!({"armed": false})).await;
    }
    let fetched = async || site.events("&kind=kernel_fetched").await.len();
    let fetch = async |ip: &str| {
        let before = fetched().await;
        site.anonymous("GET", "/boot/assets/p/vmlinuz").from(ip).send().await.is(200);
        let mut newest = Value::Null;
        until("the event", async || {
            let events = site.events("&kind=kernel_fetched").await;
            newest = events.first().cloned().unwrap_or_default();
            events.len() > before
        })
        .await;
        // Events about one machine are folded within a minute.
        site.push(moxxie_core::time::Span::seconds(61));
        newest["mac_address"].clone()
    };
    // Whoever is sent to a disk may have said any name.
    Machine::efi(MAC).from("10.0.0.60").boot(&site).went_local();
    site.events("").await;
    assert_eq!(fetch("10.0.0.60").await, Value::Null, "a claim");
    assert_eq!(fetch("10.0.0.61").await, Value::Null, "nobody");
    // This replica sent one of them here: that is the one.
    site.arm(other).await;
    let boot = Machine::efi(other).from("10.0.0.60").boot(&site);
    assert_eq!(boot.kernel().kernel, "http://10.0.0.1:8080/boot/assets/p/vmlinuz");
    until("the event of the boot", async || fetched().await == 3).await;
    site.push(moxxie_core::time::Span::seconds(61));
    assert_eq!(fetch("10.0.0.60").await, other);
    // Another one at the same address: they are not told apart.
    site.arm(MAC).await;
    Machine::efi(MAC).from("10.0.0.60").boot(&site).kernel();
    until("the event of the other boot", async || fetched().await == 5).await;
    site.push(moxxie_core::time::Span::seconds(61));
    assert_eq!(fetch("10.0.0.60").await, Value::Null, "two behind one address");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_readers_cost_little_and_hinder_nobody() {
    let (site, wire, file) = shelf(9 * MIB).await;
    site.assign(MAC, "node-a", "p", json!({"armed": false})).await;
    let anonymous = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * KIB
    };
    let mut streams = Vec::new();
    let mut before = 0;
    for n in 0..60 {
        // After ten of them everything that is made once is made.
        if n == 10 {
            before = anonymous();
        }
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4 * KIB as u32).unwrap();
        let mut stream = socket.connect(wire.address).await.unwrap();
        stream.write_all(request("file", "").as_bytes()).await.unwrap();
        assert!(head(&mut stream).await.starts_with("HTTP/1.1 200"));
        streams.push(stream);
    }
    let each = anonymous().saturating_sub(before) / 50;
    assert!(each <= 64 * KIB, "{each} bytes for each connection");
    for _ in 0..20 {
        let menu = format!("GET /boot/menu.ipxe?mac={MAC} HTTP/1.1\r\nHost: x\r\n\r\n");
        let mut stream = wire.connect().await;
        assert!(ask(&mut stream, &menu).await.0.starts_with("HTTP/1.1 200"));
    }
    assert_eq!(site.app.downloads.running().len(), 60, "all of them still run");
    let mut rest = Vec::new();
    for mut stream in streams.into_iter().take(3) {
        rest.resize(file.len(), 0);
        tokio::time::timeout(HANG, stream.read_exact(&mut rest)).await.expect("a hang").unwrap();
        assert!(rest == file, "other bytes");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_download_keeps_its_bytes() {
    let (site, wire, old) = shelf(9 * MIB).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 * KIB as u32).unwrap();
    let mut stream = socket.connect(wire.address).await.unwrap();
    stream.write_all(request("file", "").as_bytes()).await.unwrap();
    let first = head(&mut stream).await;
    let etag = first.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().to_owned();
    // Replaced, and nothing refers to the old bytes any more.
    let new = bytes(100_000);
    site.asset("p", "file", &new).await;
    let mut second = wire.connect().await;
    let more = format!("Range: bytes=0-9\r\nIf-Range: {etag}\r\n");
    let (head, body) = ask(&mut second, &request("file", &more)).await;
    assert!(head.starts_with("HTTP/1.1 200") && !head.contains(&etag), "{head}");
    assert!(body == new, "the new file, whole");
    let mut got = vec![0; old.len()];
    tokio::time::timeout(HANG, stream.read_exact(&mut got)).await.expect("a hang").unwrap();
    assert!(got == old, "other bytes");
}

/// What a machine is being sent is found damaged: it must not get all of it and start it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_is_cut_when_its_file_is_found_damaged() {
    let (site, wire, file) = shelf(32 * MIB).await;
    tokio::spawn(moxxie::scrub::report(site.app.clone(), site.app.assets.alarms()));
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 * KIB as u32).unwrap();
    let mut stream = socket.connect(wire.address).await.unwrap();
    stream.write_all(request("file", "").as_bytes()).await.unwrap();
    let etag = head(&mut stream).await;
    let digest = etag.lines().find_map(|line| line.strip_prefix("etag: \"")?.strip_suffix('"')).unwrap();
    let path = site.app.config().assets_dir.join("sha256").join(&digest[..2]).join(digest);
    let stored = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    let last = file.len() as u64 - 1;
    std::os::unix::fs::FileExt::write_all_at(&stored, &[!file[last as usize]], last).unwrap();
    site.boot("/boot/assets/p/file").await.is(503);
    until("the alarm", async || !site.messages("asset.damaged").await.is_empty()).await;
    let mut got = Vec::new();
    // A reset is an end as well.
    let _ = tokio::time::timeout(HANG, stream.read_to_end(&mut got)).await.expect("a hang");
    assert!(got.len() < file.len() && file.starts_with(&got), "{} bytes", got.len());
}
