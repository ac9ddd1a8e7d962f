//! Who may ask, how often, and how much at once. Requests are worked on one after the other, and
//! loopback delivers at once: when a later one is answered, an earlier one that has heard nothing
//! never will.

use super::client::{Client, Reply, rrq, with};
use super::{Tftp, bytes};
use moxxie_core::time::Span;
use serde_json::json;
use std::net::SocketAddr;

async fn at(ip: &str) -> Client {
    Client::new(SocketAddr::new(ip.parse().unwrap(), 0)).await
}

#[tokio::test]
async fn strangers_are_refused() {
    let tftp = Tftp::at("127.0.0.1:0", "[access]\nallow = [\"127.0.0.2\"]", 100).await;
    let refused = (2, "network not allowed".to_owned());
    assert_eq!(tftp.error(&rrq("1024", &[])).await, refused);
    // A minute long the others of its network hear nothing: their addresses may be anybody's.
    let stranger = at("127.0.0.1").await;
    stranger.send(&rrq("1024", &[]), tftp.address).await;
    let got = at("127.0.0.2").await.get(tftp.address, "1024", &[]).await.unwrap();
    assert_eq!(got.bytes, bytes(1024));
    assert!(stranger.heard_nothing());
    assert_eq!(tftp.files.asked(), ["1024"], "the one that may");
    tftp.site.push(Span::minutes(1));
    // Nor is an answer provoked by what is no request.
    stranger.send(&with(4, 1, &[]), tftp.address).await;
    at("127.0.0.2").await.get(tftp.address, "1024", &[]).await.unwrap();
    assert!(stranger.heard_nothing());
    let seen = tftp.site.seen().await;
    let first = seen.last().unwrap();
    assert_eq!((&first["action"], &first["target"]), (&json!("access.refused"), &json!("TFTP 1024")));
    assert_eq!((&first["peer"], &first["after"]["kind"]), (&json!("127.0.0.1"), &json!("network")));
    tftp.end().await;
}

#[tokio::test]
async fn who_asks_too_often_hears_nothing() {
    let limits = "[limits]\nboot_per_second = 1\nboot_burst = 1";
    let tftp = Tftp::at("127.0.0.1:0", limits, 100).await;
    let client = at("127.0.0.1").await;
    client.get(tftp.address, "512", &[]).await.unwrap();
    client.send(&rrq("1024", &[]), tftp.address).await;
    at("127.0.0.2").await.get(tftp.address, "512", &[]).await.unwrap();
    assert!(client.heard_nothing());
    tftp.site.push(Span::minutes(1));
    assert_eq!(client.get(tftp.address, "1024", &[]).await.unwrap().bytes, bytes(1024));
    tftp.end().await;
}

#[tokio::test]
async fn a_repeated_request_is_one_transfer() {
    let tftp = Tftp::at("127.0.0.1:0", "", 0).await;
    let client = at("127.0.0.1").await;
    // The file takes its time, and the firmware loses patience.
    for _ in 0..3 {
        client.send(&rrq("1024", &[("tsize", "0")]), tftp.address).await;
    }
    let other = at("127.0.0.2").await;
    other.send(&rrq("512", &[]), tftp.address).await;
    tftp.files.permits.add_permits(10);
    let (Reply::Options(_), from) = client.next().await else { panic!() };
    let (Reply::Data(1, _), second) = other.next().await else { panic!() };
    assert_eq!(tftp.files.asked(), ["1024", "512"]);
    for (client, from) in [(&client, from), (&other, second)] {
        client.send(&with(5, 0, b"\0"), from).await;
    }
    tftp.end().await;
}

#[tokio::test]
async fn one_address_has_eight_transfers() {
    let tftp = Tftp::at("127.0.0.1:0", "", 100).await;
    let mut held = Vec::new();
    for _ in 0..8 {
        let client = at("127.0.0.1").await;
        client.send(&rrq("1024", &[]), tftp.address).await;
        let (_, from) = client.block(1).await;
        client.send(&with(4, 1, &[]), from).await;
        client.block(2).await;
        held.push((client, from));
    }
    let ninth = at("127.0.0.1").await;
    ninth.send(&rrq("1024", &[]), tftp.address).await;
    at("127.0.0.2").await.get(tftp.address, "512", &[]).await.unwrap();
    assert!(ninth.heard_nothing());
    assert_eq!(tftp.files.asked().len(), 9, "eight, and one of another address");
    for (client, from) in held {
        client.send(&with(5, 0, b"\0"), from).await;
    }
    tftp.end().await;
}

/// As a forger would have it, who makes up requests and answers nothing.
#[tokio::test]
async fn who_never_answers_gives_way() {
    let tftp = Tftp::at("127.0.0.1:0", "", 100).await;
    let mut silent = Vec::new();
    for _ in 0..8 {
        let client = at("127.0.0.1").await;
        client.send(&rrq("1024", &[]), tftp.address).await;
        let (_, from) = client.block(1).await;
        silent.push((client, from));
    }
    let got = at("127.0.0.1").await.get(tftp.address, "1024", &[]).await.unwrap();
    assert_eq!(got.bytes, bytes(1024));
    for (client, from) in silent {
        client.send(&with(5, 0, b"\0"), from).await;
    }
    tftp.end().await;
}
