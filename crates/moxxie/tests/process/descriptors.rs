//! A process that may open no more files.

use crate::server::{Setup, until};
use std::net::TcpStream;
use std::process::Command;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_descriptors_it_waits_and_then_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Setup::new(&dir.path().join("data")).start().await;
    server.client.get("/readyz").await.is(200);
    let open = || std::fs::read_dir(format!("/proc/{}/fd", server.id())).unwrap().count();
    let most = format!("--nofile={}:", open() + 2);
    let limited = Command::new("prlimit").args(["--pid", &server.id().to_string(), &most]).status();
    assert!(limited.expect("prlimit").success());
    // The kernel takes them all; the process can accept a few.
    let address = server.client.base.strip_prefix("http://").unwrap().to_owned();
    let held: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect(&address).unwrap()).collect();
    let complaints = |text: String| text.matches("cannot accept a connection").count();
    until("it cannot accept", async || (complaints(server.err.text()) >= 3).then_some(())).await;
    assert!(server.lives());
    drop(held);
    server.client.get("/livez").await.is(200);
    let after = complaints(server.err.text());
    assert!(after < 300, "{after} lines: it tries without a pause");
    assert_eq!(server.stop().await, Some(0));
}
