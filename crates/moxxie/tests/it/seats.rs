//! Downloads and waves together: who has its files, over a real connection, makes room.

use crate::util::Site;
use crate::util::text::until;
use crate::util::wire::{Wire, head};
use serde_json::json;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// A hang is a failure; this is when it is called one.
const HANG: Duration = Duration::from_secs(60);

/// A machine that asks from an address of its own.
struct Machine {
    ip: [u8; 4],
    mac: &'static str,
}

const FIRST: Machine = Machine { ip: [127, 0, 0, 2], mac: "52:54:00:00:00:02" };
const SECOND: Machine = Machine { ip: [127, 0, 0, 3], mac: "52:54:00:00:00:03" };

impl Machine {
    async fn connect(&self, wire: &Wire) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from((self.ip, 0))).unwrap();
        socket.connect(wire.address).await.unwrap()
    }

    /// Whether the menu boots it; else it waits.
    async fn boots(&self, wire: &Wire) -> bool {
        let mut stream = self.connect(wire).await;
        let path = format!("/boot/menu.ipxe?mac={}&platform=pcbios", self.mac);
        let script = String::from_utf8(ask(&mut stream, "GET", &path, "").await).unwrap();
        let boots = script.lines().any(|line| line.starts_with("kernel "));
        assert!(boots || script.contains("Waiting: place 1 of 1"), "{script}");
        boots
    }
}

/// One answer's body.
async fn ask(stream: &mut TcpStream, method: &str, path: &str, more: &str) -> Vec<u8> {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{more}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let head = head(stream).await;
    assert!(head.starts_with("HTTP/1.1 20"), "{head}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; if method == "HEAD" { 0 } else { length.parse().unwrap() }];
    tokio::time::timeout(HANG, stream.read_exact(&mut body)).await.expect("a hang").unwrap();
    body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_its_files_makes_room_for_the_next() {
    let site = Site::with("[limits]\nboots_in_flight = 1\n").await;
    // Nothing is heard of it after its files: it has no config.
    site.profile(json!({
        "name": "live", "profile_type": "custom", "kernel_path": "vmlinuz", "initrd_path": "initrd",
        "destructive": false,
    }))
    .await;
    let (kernel, initrd) = (vec![1; 300_000], vec![2; 9 << 20]);
    site.asset("live", "vmlinuz", &kernel).await;
    site.asset("live", "initrd", &initrd).await;
    for (machine, node) in [(&FIRST, "first"), (&SECOND, "second")] {
        site.assign(machine.mac, node, "live", json!({})).await;
    }
    let wire = Wire::start(&site).await;
    let downloads = async || site.app.downloads.running().len();
    assert!(FIRST.boots(&wire).await && !SECOND.boots(&wire).await);

    let mut stream = FIRST.connect(&wire).await;
    assert!(ask(&mut stream, "GET", "/boot/assets/live/vmlinuz", "").await == kernel);
    until("the kernel to have arrived", async || !site.events("&kind=kernel_fetched").await.is_empty()).await;
    assert!(!SECOND.boots(&wire).await, "the initrd is still to come");
    // What is not the file itself counts for nothing.
    ask(&mut stream, "HEAD", "/boot/assets/live/initrd", "").await;
    let last = format!("Range: bytes=1-{}\r\n", initrd.len() - 1);
    ask(&mut stream, "GET", "/boot/assets/live/initrd", &last).await;
    // Nor does a download that somebody else makes, nor one that breaks off.
    let mut other = SECOND.connect(&wire).await;
    ask(&mut other, "GET", "/boot/assets/live/initrd", "").await;
    let mut broken = FIRST.connect(&wire).await;
    broken.write_all(b"GET /boot/assets/live/initrd HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    broken.read_exact(&mut [0; 100_000]).await.unwrap();
    drop(broken);
    until("the ends of these", async || downloads().await == 0).await;
    until("the end to be told", async || !site.events("&kind=download.aborted").await.is_empty()).await;
    assert!(!SECOND.boots(&wire).await);
    assert_eq!(site.app.waves.counts(), (1, 1));

    assert!(ask(&mut stream, "GET", "/boot/assets/live/initrd", "").await == initrd);
    until("the second to be let in", async || SECOND.boots(&wire).await).await;
    assert_eq!(site.app.waves.counts(), (1, 0));
    let mut stream = SECOND.connect(&wire).await;
    for file in ["vmlinuz", "initrd"] {
        ask(&mut stream, "GET", &format!("/boot/assets/live/{file}"), "").await;
    }
    until("nobody to be under way", async || site.app.waves.counts() == (0, 0)).await;
}
