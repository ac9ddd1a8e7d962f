//! T11: clients that hold connections by being slow do not keep machines from booting.

use crate::server::{ADMIN, LIMIT, Setup};
use crate::site;
use crate::wire::noise;
use moxxie_core::ipxe::interpreter::{Client, Outcome, Reply};
use std::net::{Ipv4Addr, SocketAddr};
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
        tokio::time::sleep(Duration::from_secs(2)).await;
        if stream.write_all(again).await.is_err() {
            return;
        }
    }
}

/// Status, `Retry-After` and body of one answer.
async fn get(ip: Ipv4Addr, server: SocketAddr, url: &str) -> Result<(u16, Option<u64>, Vec<u8>), String> {
    let path = url.strip_prefix(&format!("http://{server}")).ok_or(format!("{url}: elsewhere"))?;
    let mut stream = connect(ip, server).await;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n");
    let mut answer = Vec::new();
    let asking = async {
        stream.write_all(request.as_bytes()).await?;
        stream.read_to_end(&mut answer).await
    };
    let asked = tokio::time::timeout(LIMIT, asking).await.map_err(|_| format!("{url}: no answer"))?;
    asked.map_err(|e| format!("{url}: {e}"))?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or(format!("{url}: no head"))?;
    let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
    let status = head.get(9..12).and_then(|status| status.parse().ok()).ok_or(format!("{url}: {head}"))?;
    let wait = head.lines().find_map(|line| line.strip_prefix("retry-after: ")?.parse().ok());
    Ok((status, wait, answer.split_off(end + 4)))
}

/// A machine with iPXE in it, from power on to its config.
fn boot(n: u32, server: SocketAddr) -> Result<(), String> {
    let runtime = tokio::runtime::Handle::current();
    let ip = Ipv4Addr::new(127, 0, 1, u8::try_from(n).unwrap());
    let fetch = |url: &str| -> Result<(u16, Vec<u8>), String> {
        runtime.block_on(async {
            loop {
                match get(ip, server, url).await? {
                    (_, Some(seconds), _) => tokio::time::sleep(Duration::from_secs(seconds)).await,
                    (status, None, body) => return Ok((status, body)),
                }
            }
        })
    };
    let dhcp = format!("#!ipxe\nchain --replace --autofree -- http://{server}/boot/menu.ipxe || exit 99\n");
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
        "[limits]\nconnections = 700\nconnections_per_address = {PER_ADDRESS}\nrequests_in_flight = 64\n"
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
    for stream in &mut greedy[PER_ADDRESS..] {
        let mut byte = [0];
        let read = tokio::time::timeout(LIMIT, stream.read(&mut byte)).await.expect("it is kept waiting");
        closed += usize::from(!matches!(read, Ok(1)));
    }
    assert_eq!(closed, 10);
    let boots: Vec<_> = (1..=BOOTS).map(|n| tokio::task::spawn_blocking(move || boot(n, address))).collect();
    for boot in boots {
        boot.await.unwrap().unwrap();
    }
    // Who attacks is still at it: nothing was won by their leaving. Those that were cut off are not counted.
    while attackers.try_join_next().is_some() {}
    assert!(attackers.len() > ATTACKERS / 2, "{} are left", attackers.len());
    attackers.abort_all();
    let metrics = server.client.with(Some(ADMIN)).get("/metrics").await.is(200).text();
    assert!(metrics.contains("moxxie_limited_total{what=\"connections\"}"), "{metrics}");
}
