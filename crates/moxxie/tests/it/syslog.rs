//! The audit log on its way to a syslog receiver.

use crate::util::Site;
use crate::util::text::until;
use moxxie::config::{Config, Overrides};
use serde_json::json;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram};
use tokio::time::timeout;

/// Only a hang reaches this.
const LIMIT: Duration = Duration::from_secs(30);

async fn with(sink: &str) -> Site {
    let site = Site::with(&format!("[audit]\nsyslog = \"{sink}\"")).await;
    site.app.audit_system("test.before", "not sent", None).await;
    tokio::spawn(moxxie::syslog::run(site.app.clone()));
    until("the sink", async || site.app.read().sink_lag("syslog").await.unwrap().is_some()).await;
    site
}

async fn write(site: &Site, n: u32) {
    site.app.audit_system("test.made", &format!("thing {n}"), Some(json!({"n": n, "u": "ü"}))).await;
}

/// Waits until everything was sent and that is written down.
async fn sent(site: &Site) {
    until("the last record", async || site.app.read().sink_lag("syslog").await.unwrap() == Some(0)).await;
}

/// Reads one message behind its length (RFC 6587, section 3.4.1).
async fn message(stream: &mut TcpStream) -> String {
    let mut length = 0;
    loop {
        match timeout(LIMIT, stream.read_u8()).await.unwrap().unwrap() {
            b' ' => break,
            digit => length = length * 10 + usize::from(digit - b'0'),
        }
    }
    let mut bytes = vec![0; length];
    timeout(LIMIT, stream.read_exact(&mut bytes)).await.unwrap().unwrap();
    String::from_utf8(bytes).unwrap()
}

fn is_record(text: &str, n: u32) {
    assert!(text.starts_with("<110>1 2026-03-01T12:00:00.000Z "), "{text}");
    assert!(text.contains(" test.made [moxxie@32473 seq=\"") && text.contains("hash=\""), "{text}");
    assert!(text.contains(&format!("target=\"thing {n}\"")), "{text}");
    assert!(text.ends_with(&format!("after={{\"n\":{n},\"u\":\"\\u00fc\"}}")) && text.is_ascii(), "{text}");
}

#[tokio::test]
async fn records_arrive_as_datagrams() {
    let receiver = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let site = with(&format!("udp://{}", receiver.local_addr().unwrap())).await;
    let mut buffer = [0; 9000];
    for n in 0..3 {
        write(&site, n).await;
        let length = timeout(LIMIT, receiver.recv(&mut buffer)).await.unwrap().unwrap();
        is_record(std::str::from_utf8(&buffer[..length]).unwrap(), n);
    }
    // A large record is cut, not lost.
    site.app.audit_system("test.large", "big", Some(json!({"x": "y".repeat(20_000)}))).await;
    let length = timeout(LIMIT, receiver.recv(&mut buffer)).await.unwrap().unwrap();
    assert_eq!(length, 8192);
    sent(&site).await;
}

#[tokio::test]
async fn a_socket_of_this_machine_takes_them_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let receiver = UnixDatagram::bind(&path).unwrap();
    let site = with(&format!("unix://{}", path.display())).await;
    write(&site, 1).await;
    let mut buffer = [0; 9000];
    let length = timeout(LIMIT, receiver.recv(&mut buffer)).await.unwrap().unwrap();
    is_record(std::str::from_utf8(&buffer[..length]).unwrap(), 1);
}

/// A receiver that is away delays nothing, and is sent everything when it is back, in order.
#[tokio::test]
async fn a_receiver_that_was_away_is_sent_what_it_missed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let site = with(&format!("tcp://{address}")).await;
    write(&site, 1).await;
    let (mut stream, _) = timeout(LIMIT, listener.accept()).await.unwrap().unwrap();
    is_record(&message(&mut stream).await, 1);
    sent(&site).await;
    drop((stream, listener));
    for n in 2..=500 {
        write(&site, n).await;
    }
    let listener = TcpListener::bind(address).await.unwrap();
    let (mut stream, _) = timeout(LIMIT, listener.accept()).await.unwrap().unwrap();
    for n in 2..=500 {
        is_record(&message(&mut stream).await, n);
    }
    sent(&site).await;
    // The gauge follows what is written down: the follower's next look sets it.
    until("the gauge", async || site.app.metrics.render().contains("moxxie_audit_syslog_lag 0")).await;
    // Another receiver by the settings, without a restart.
    let other = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let toml = format!("[audit]\nsyslog = \"udp://{}\"", other.local_addr().unwrap());
    std::fs::write(site.dir.path().join("moxxie.toml"), toml).unwrap();
    let data_dir = Some(site.dir.path().to_owned());
    site.app.set_config(Config::load(Overrides { data_dir, ..Overrides::default() }).unwrap());
    write(&site, 501).await;
    let mut buffer = [0; 9000];
    let length = timeout(LIMIT, other.recv(&mut buffer)).await.unwrap().unwrap();
    is_record(std::str::from_utf8(&buffer[..length]).unwrap(), 501);
}
