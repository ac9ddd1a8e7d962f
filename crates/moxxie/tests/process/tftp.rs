//! `serve --tftp`.

use crate::server::Setup;
use crate::tls::address;
use std::time::Duration;
use tokio::net::UdpSocket;

#[tokio::test]
async fn the_listener_is_named_answers_and_ends_with_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Setup::new(dir.path()).env("MOXXIE_TFTP", "127.0.0.1:0").start().await;
    let url = address(&server, "TFTP").await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(b"\0\x01nothing\0octet\0", url.strip_prefix("tftp://").unwrap()).await.unwrap();
    let mut buffer = [0; 600];
    let answer = tokio::time::timeout(Duration::from_secs(60), socket.recv(&mut buffer)).await;
    assert!(buffer[..answer.unwrap().unwrap()].starts_with(b"\0\x05\0\x01file not found"));
    assert_eq!(server.stop().await, Some(0));
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let taken = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, _, said) = Setup::new(dir.path()).arg("--tftp").arg(&address).run().await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&format!("cannot listen for TFTP on {address} (UDP)")), "{said}");
}
