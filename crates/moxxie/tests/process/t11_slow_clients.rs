//! T11: clients that hold connections by being slow do not keep machines from booting.

use crate::server::{ADMIN, LIMIT, Setup};
use crate::site;
use crate::wire::noise;
use moxxie_core::ipxe::interpreter::{Client, Outcome, Reply};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

const ATTACKERS: usize = 500;
const BOOTS: u32 = 50;
/// Attackers have 20 addresses between them.
const PER_ADDRESS: usize = 40;

async fn connect(ip: Ipv4Addr, server: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.bind(SocketAddr::from((ip, 0))).unwrap();
    socket.connect(server).await.unwrap()
}

/// Sends a beginning, and then a byte now and then until it is cut off.
async fn slow(ip: Ipv4Addr, server: SocketAddr, beginning: String, again: &'static [u8]) {
    let mut stream = connect(ip, server).await;
    let _ = stream.write_all(beginning.as_bytes()).await;
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        if stream.write_all(again).await.is_err() {
            return;
        }
    }
}

/// A machine with iPXE in it, from power on to its config.
fn boot(n: u32, base: &str) -> Result<(), String> {
    let runtime = tokio::runtime::Handle::current();
    let ip = IpAddr::from([127, 0, 1, u8::try_from(n).unwrap()]);
    let http = reqwest::Client::builder().no_proxy().local_address(ip).timeout(LIMIT).build().unwrap();
    let fetch = |url: &str| -> Result<(u16, Vec<u8>), String> {
        runtime.block_on(async {
            loop {
                let answer = http.get(url).send().await.map_err(|e| format!("{url}: {e:?}"))?;
                let status = answer.status().as_u16();
                let wait = answer.headers().get("retry-after").and_then(|v| v.to_str().ok()?.parse().ok());
                let body = answer.bytes().await.map_err(|e| format!("{url}: {e:?}"))?;
                match wait {
                    Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
                    None => return Ok((status, body.to_vec())),
                }
            }
        })
    };
    let dhcp = format!("#!ipxe\nchain --replace --autofree -- {base}/boot/menu.ipxe || exit 99\n");
    let run = Client::bios().mac(&site::mac(n)).run(dhcp, &mut |url: &str| match fetch(url) {
        Ok((200, body)) => Reply::Body(body),
        _ => Reply::not_found(),
    });
    let Outcome::Booted(booted) = &run.outcome else { return Err(format!("machine {n}: {}", run.screen())) };
    let config = booted.args.iter().find_map(|arg| arg.strip_prefix("talos.config=")).ok_or("no config")?;
    match fetch(config)? {
        (200, text) if text.starts_with(b"version: ") => Ok(()),
        other => Err(format!("machine {n}: {other:?}")),
    }
}

/// Takes a few seconds: five hundred and fifty connections, and fifty machines that fetch all that
/// a machine fetches, without optimization.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t11_slow_clients_do_not_keep_machines_from_booting() {
    let dir = tempfile::tempdir().unwrap();
    let settings = format!(
        "[limits]\nconnections = 700\nconnections_per_address = {PER_ADDRESS}\nrequests_in_flight = 32\n"
    );
    let server = Setup::new(&dir.path().join("data")).config(&settings).start().await;
    let base = server.client.base.clone();
    let address: SocketAddr = base.strip_prefix("http://").unwrap().parse().unwrap();
    site::furnish(&server.client).await;
    // Something to read slowly.
    let big = "/api/v1/boot/profiles/safe/assets/big.img";
    server.client.put_bytes(big, noise(11, 8 << 20)).await.is(201);
    for n in 1..=BOOTS {
        site::assign(&server.client, n, "safe", true).await;
    }
    let mut attackers = tokio::task::JoinSet::new();
    for n in 0..ATTACKERS {
        let ip = Ipv4Addr::new(127, 0, 0, u8::try_from(2 + n % 20).unwrap());
        let (beginning, again): (String, &[u8]) = match n % 3 {
            0 => ("GET /boot/menu.ipxe HTTP/1.1\r\nHost: x\r\n".into(), b"X: y\r\n"),
            1 => {
                let token = "A".repeat(43);
                let head = "HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n";
                (format!("POST /boot/report?t={token}&stage=progress {head}"), b"x")
            }
            _ => ("GET /boot/assets/safe/big.img HTTP/1.1\r\nHost: x\r\n\r\n".into(), b""),
        };
        attackers.spawn(slow(ip, address, beginning, again));
    }
    // One of them wants more than its share: what is too much is closed and not kept waiting.
    let mut greedy = Vec::new();
    for _ in 0..PER_ADDRESS + 10 {
        greedy.push(connect(Ipv4Addr::new(127, 0, 0, 99), address).await);
    }
    let mut closed = 0;
    for mut stream in greedy.drain(..).skip(PER_ADDRESS) {
        let mut byte = [0];
        let read = tokio::time::timeout(LIMIT, stream.read(&mut byte)).await.expect("it is kept waiting");
        closed += usize::from(!matches!(read, Ok(1)));
    }
    assert_eq!(closed, 10);
    let boots: Vec<_> = (1..=BOOTS)
        .map(|n| {
            let base = base.clone();
            tokio::task::spawn_blocking(move || boot(n, &base))
        })
        .collect();
    for boot in boots {
        boot.await.unwrap().unwrap();
    }
    // Who attacks is still at it: nothing was won by their leaving.
    assert!(attackers.len() > ATTACKERS / 2, "{} are left", attackers.len());
    attackers.abort_all();
    let metrics = server.client.with(Some(ADMIN)).get("/metrics").await.is(200).text();
    assert!(metrics.contains("moxxie_limited_total{what=\"connections\"}"), "{metrics}");
}
