//! T3: who listens on the wire between a machine and Moxxie.

use crate::site::{self, mac};
use crate::tls::{Files, address, trusting};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const CANARY: &str = "horse-battery-canary";

/// Passes bytes on between its clients and this address, and keeps them all.
async fn tapped(to: String) -> (String, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, heard) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<u8>>>::default());
    let tap = heard.clone();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&to).await.unwrap();
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            for (mut from, mut to) in [(from_client, to_server), (from_server, to_client)] {
                let tap = tap.clone();
                tokio::spawn(async move {
                    let mut bytes = vec![0; 16 * 1024];
                    while let Ok(n @ 1..) = from.read(&mut bytes).await {
                        tap.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&bytes[..n]);
                        if to.write_all(&bytes[..n]).await.is_err() {
                            return;
                        }
                    }
                });
            }
        }
    });
    (address.to_string(), heard)
}

/// A machine boots and fetches its config, in the clear and over TLS. The first shows that the
/// listener in between hears; the second, that he learns nothing: not the config, not the token.
#[tokio::test(flavor = "multi_thread")]
async fn t03_a_config_over_tls_cannot_be_read_on_the_wire() {
    let dir = tempfile::tempdir().unwrap();
    let files = Files::in_dir(dir.path());
    let certificate = files.renew();
    let server = files.setup(dir.path()).start().await;
    let mut profile = site::safe();
    let template = profile["config_template"].as_str().unwrap();
    profile["config_template"] = format!("{template}  token: {CANARY}\n").into();
    server.client.post("/api/v1/boot/profiles", &profile).await.is(201);
    for file in ["vmlinuz", "initramfs.xz"] {
        let path = format!("/api/v1/boot/profiles/safe/assets/{file}");
        server.client.put_bytes(&path, site::KERNEL).await.is(201);
    }
    for (n, listener) in [(1, &server.client.base), (2, &address(&server, "TLS").await)] {
        site::assign(&server.client, n, "safe", true).await;
        let (scheme, to) = listener.split_once("://").unwrap();
        let (at, heard) = tapped(to.to_owned()).await;
        let machine = trusting(&format!("{scheme}://{at}"), &certificate);
        let script = machine.menu(&mac(n)).await.is(200);
        let config = script.config_path();
        assert!(machine.get(&config).await.is(200).text().contains(CANARY));
        let token = config.split_once("t=").unwrap().1;
        let heard = heard.lock().unwrap().clone();
        for secret in [CANARY, token, &mac(n)] {
            let found = heard.windows(secret.len()).any(|bytes| bytes == secret.as_bytes());
            assert_eq!(found, scheme == "http", "{scheme}: {secret}");
        }
        assert!(heard.len() > CANARY.len());
    }
}
