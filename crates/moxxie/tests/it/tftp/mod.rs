//! The TFTP server on loopback, asked by a client of its own and by those that sites have.

mod client;
mod limits;
mod loaders;
mod programs;

use crate::util::Site;
use bytes::Bytes;
use client::{Client, Reply, rrq, with};
use futures_util::future::BoxFuture;
use moxxie::tftp::{Listener, Outage, Source, serve};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

/// Files in memory.
struct Files {
    files: HashMap<String, Bytes>,
    /// What was asked for, and at which address.
    asked: Mutex<Vec<(String, SocketAddr)>>,
    /// Each file is found by taking one of these.
    permits: Semaphore,
}

impl Files {
    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|(name, _)| name.clone()).collect()
    }
}

impl Source for Files {
    fn open<'a>(&'a self, name: &'a str, local: SocketAddr) -> BoxFuture<'a, Result<Option<Bytes>, Outage>> {
        self.asked.lock().unwrap().push((name.to_owned(), local));
        Box::pin(async move {
            self.permits.acquire().await.unwrap().forget();
            match name {
                "outage" => Err(Outage("the database does not answer".into())),
                name => Ok(self.files.get(name).cloned()),
            }
        })
    }
}

/// A server that runs.
struct Tftp {
    site: Site,
    files: Arc<Files>,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// Serves this at an address; where it is asked, its end, and its task.
fn begin(
    site: &Site,
    source: Arc<dyn Source>,
    address: &str,
) -> (SocketAddr, watch::Sender<bool>, JoinHandle<()>) {
    let needs = if address.starts_with('[') { "; this test needs IPv6 on this machine" } else { "" };
    let listener = Listener::bind(address.parse().unwrap()).unwrap_or_else(|e| panic!("{e:#}{needs}"));
    let (stop, stopped) = watch::channel(false);
    let mut at = listener.address();
    if at.ip().is_unspecified() {
        at.set_ip(if at.is_ipv4() { [127, 0, 0, 1].into() } else { "::1".parse().unwrap() });
    }
    (at, stop, tokio::spawn(serve(listener, site.app.clone(), source, stopped)))
}

/// Bytes that differ from block to block.
fn bytes(size: usize) -> Bytes {
    (0..size).map(|n| (n / 3) as u8 ^ (n >> 10) as u8).collect()
}

/// Names of files are their sizes.
const SIZES: [usize; 7] = [0, 1, 511, 512, 1024, 1428 * 16, 1_000_000];

impl Tftp {
    /// At this address, with these settings, and so many files to be found.
    async fn at(address: &str, toml: &str, permits: usize) -> Tftp {
        let site = Site::with(toml).await;
        let files = SIZES.map(|size| (size.to_string(), bytes(size))).into();
        let files = Files { files, asked: Mutex::default(), permits: Semaphore::new(permits) };
        let files = Arc::new(files);
        let (address, stop, task) = begin(&site, files.clone(), address);
        Tftp { site, files, address, stop, task }
    }

    async fn start() -> Tftp {
        Tftp::at("127.0.0.1:0", "", 10_000).await
    }

    /// A client at the address that this server is asked at.
    async fn client(&self) -> Client {
        Client::new(SocketAddr::new(self.address.ip(), 0)).await
    }

    /// The error that this gets.
    async fn error(&self, datagram: &[u8]) -> (u16, String) {
        let client = self.client().await;
        client.send(datagram, self.address).await;
        match client.next().await.0 {
            Reply::Error(code, text) => (code, text),
            other => panic!("{other:?}"),
        }
    }

    /// Stops it and waits for its end.
    async fn end(self) {
        self.stop.send(true).unwrap();
        self.task.await.unwrap();
    }
}

#[tokio::test]
async fn files_arrive_whole() {
    let tftp = Tftp::start().await;
    for size in SIZES {
        for options in [
            &[][..],
            &[("tsize", "0"), ("blksize", "1468"), ("windowsize", "4")],
            &[("blksize", "8192"), ("windowsize", "64"), ("timeout", "3")],
            &[("blksize", "512")],
        ] {
            if size > 100_000 && options.is_empty() {
                continue;
            }
            let got =
                tftp.client().await.get(tftp.address, &format!("/moxxie/{size}"), options).await.unwrap();
            assert!(got.bytes == bytes(size), "{size} with {options:?}: {} bytes", got.bytes.len());
            // The answer has a port of its own.
            assert_eq!(got.from.ip(), tftp.address.ip());
            assert_ne!(got.from.port(), tftp.address.port());
            for (name, value) in got.options {
                let wanted = match name.as_str() {
                    "tsize" => size.to_string(),
                    "blksize" if value != "512" => "1428".into(),
                    "windowsize" if value != "4" => "16".into(),
                    _ => options.iter().find(|(asked, _)| *asked == name).unwrap().1.to_owned(),
                };
                assert_eq!(value, wanted, "{name}");
            }
        }
    }
    let metrics = tftp.site.get("/metrics").await.is(200);
    for line in [
        "moxxie_tftp_transfers_total{outcome=\"complete\"}",
        "moxxie_tftp_bytes_total",
        "moxxie_tftp_running",
    ] {
        assert!(metrics.text().contains(line), "{line}");
    }
    tftp.end().await;
}

#[tokio::test]
async fn answers_come_from_where_the_request_went() {
    let tftp = Tftp::at("0.0.0.0:0", "", 100).await;
    for ip in [[127, 0, 0, 1], [127, 0, 0, 77]] {
        let address = SocketAddr::from((ip, tftp.address.port()));
        let got = tftp.client().await.get(address, "512", &[]).await.unwrap();
        assert_eq!((got.from.ip(), got.bytes), (address.ip(), bytes(512)));
        assert_eq!(tftp.files.asked.lock().unwrap().pop(), Some(("512".into(), address)));
    }
    tftp.end().await;
}

#[tokio::test]
async fn one_listener_serves_both_families() {
    let tftp = Tftp::at("[::]:0", "", 100).await;
    let got = tftp.client().await.get(tftp.address, "1024", &[("tsize", "0")]).await.unwrap();
    assert_eq!((got.from.ip(), got.bytes), (tftp.address.ip(), bytes(1024)));
    let v4 = SocketAddr::from(([127, 0, 0, 1], tftp.address.port()));
    let client = Client::new("127.0.0.1:0".parse().unwrap()).await;
    let got = client.get(v4, "1024", &[]).await.unwrap();
    assert_eq!((got.from.ip(), got.bytes), (v4.ip(), bytes(1024)));
    assert_eq!(tftp.files.asked.lock().unwrap().pop(), Some(("1024".into(), v4)), "no mapped address");
    tftp.end().await;
}

#[tokio::test]
async fn refusals_say_why() {
    let tftp = Tftp::start().await;
    let mut write = rrq("ipxe.efi", &[]);
    write[1] = 2;
    assert_eq!(tftp.error(&write).await, (2, "files cannot be written here".into()));
    let missing = (1, "file not found; see: moxxie firmware list".to_owned());
    assert_eq!(tftp.error(&rrq("ipxe.efi", &[("tsize", "0")])).await, missing);
    // Nobody knows, so nobody says that there is none.
    assert_eq!(tftp.error(&rrq("outage", &[])).await, (0, "try again".into()));
    assert_eq!(tftp.error(&rrq("../admin-token", &[])).await, (2, "bad file name".into()));
    assert_eq!(tftp.error(b"\0\x01x\0netascii\0").await, (4, "only mode octet (binary)".into()));
    assert_eq!(tftp.files.asked(), ["ipxe.efi", "outage"]);
    tftp.end().await;
}

#[tokio::test]
async fn a_size_is_asked_for_and_given() {
    let tftp = Tftp::start().await;
    let client = tftp.client().await;
    // As EDK2 does: twice from one port would also be fine, for the first has ended.
    for _ in 0..2 {
        client.send(&rrq("1024", &[("tsize", "0")]), tftp.address).await;
        let (Reply::Options(options), from) = client.next().await else { panic!() };
        assert_eq!(options, [("tsize".to_owned(), "1024".to_owned())]);
        client.send(&with(5, 8, b"User aborted the transfer\0"), from).await;
    }
    // At once: nothing waits for a client that has said that it ends.
    tftp.end().await;
}

#[tokio::test]
async fn a_lost_packet_is_sent_again() {
    let tftp = Tftp::start().await;
    let client = tftp.client().await;
    client.send(&rrq("1024", &[]), tftp.address).await;
    let (first, from) = client.next().await;
    // Nothing is answered to it, but for what cannot be understood.
    for noise in [&b""[..], &[0], &[0, 3, 0, 1], &[255; 700], &with(4, 7, &[])] {
        client.send(noise, from).await;
    }
    let (again, by) = client.next().await;
    assert_eq!((again, by), (first, from));
    client.send(&with(5, 0, b"\0"), from).await;
    tftp.end().await;
}

#[tokio::test]
async fn hostile_datagrams_harm_nobody() {
    let tftp = Tftp::at("127.0.0.1:0", "", 100_000).await;
    let client = tftp.client().await;
    let whole = rrq("\\moxxie\\x\u{ff}", &[("tsize", "0"), ("blksize", "99999"), ("windowsize", "0")]);
    for cut in 0..=whole.len() {
        client.send(&whole[..cut], tftp.address).await;
    }
    let mut seed = 1u64;
    for n in 0..500 {
        let noise = std::iter::repeat_with(|| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 56) as u8
        });
        let noise: Vec<u8> = noise.take(n % 90).collect();
        let datagram = if n % 2 == 0 { noise } else { [&[0, (n % 7) as u8], noise.as_slice()].concat() };
        client.send(&datagram, tftp.address).await;
    }
    let got = tftp.client().await.get(tftp.address, "1024", &[]).await.unwrap();
    assert_eq!(got.bytes, bytes(1024));
    tftp.end().await;
}

#[tokio::test]
async fn what_runs_is_finished_and_nothing_begins() {
    let tftp = Tftp::start().await;
    let client = tftp.client().await;
    client.send(&rrq("1024", &[]), tftp.address).await;
    let (first, from) = client.block(1).await;
    tftp.stop.send(true).unwrap();
    let mut got = first;
    for number in 1..=2 {
        client.send(&with(4, number, &[]), from).await;
        got.extend(client.block(number + 1).await.0);
    }
    client.send(&with(4, 3, &[]), from).await;
    assert_eq!(got, bytes(1024));
    tftp.task.await.unwrap();
    assert_eq!(tftp.files.asked(), ["1024"]);
}
