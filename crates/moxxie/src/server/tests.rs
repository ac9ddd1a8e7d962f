//! The listener with clients that behave badly.

use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const ASSET: usize = 40 * 1024 * 1024;

/// A listener with one large asset; ends with its handle.
async fn site(limits: Limits) -> (SocketAddr, Arc<watch::Sender<bool>>, tokio::task::JoinHandle<()>) {
    let asset = bytes::Bytes::from(vec![7; ASSET]);
    let router = Router::new().route("/", axum::routing::get(async move || asset.clone()));
    serving(router, limits).await
}

async fn serving(
    router: Router,
    limits: Limits,
) -> (SocketAddr, Arc<watch::Sender<bool>>, tokio::task::JoinHandle<()>) {
    shared(router, limits, limits.per_peer(0, false)).await
}

async fn shared(
    router: Router,
    limits: Limits,
    per_peer: usize,
) -> (SocketAddr, Arc<watch::Sender<bool>>, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    let served = tokio::spawn(run(
        vec![Listening::plain(listener)],
        router,
        || Duration::from_secs(20),
        stopped,
        limits,
        Arc::default,
        move |peer| Share::of(peer, per_peer),
    ));
    (address, Arc::new(stop), served)
}

/// A client with a small receive buffer that has asked.
async fn asked(address: SocketAddr) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    stream
}

fn limits(patience: u64) -> Limits {
    // 1 KiB a second.
    let pace = Pace { time: Duration::from_millis(patience), bytes: patience };
    Limits { pace, ..Limits::of(1024, 0) }
}

#[tokio::test]
async fn who_reads_nothing_is_cut_off() {
    let (address, stop, served) = site(limits(100)).await;
    let mut readers = Vec::new();
    for _ in 0..20 {
        readers.push(asked(address).await);
    }
    // Time for the requests to arrive: a drain lets only running ones finish.
    let mut first = [0; 16];
    for reader in &mut readers {
        reader.read_exact(&mut first).await.unwrap();
    }
    stop.send(true).unwrap();
    tokio::time::timeout(Duration::from_secs(10), served).await.expect("they are cut off").unwrap();
    let mut rest = Vec::new();
    for mut reader in readers {
        assert!(reader.read_to_end(&mut rest).await.is_err(), "a reset, not an end");
    }
}

#[tokio::test]
async fn who_reads_slowly_lives() {
    let (address, _stop, served) = site(limits(400)).await;
    let mut reader = asked(address).await;
    let mut buffer = vec![0; 64 * 1024];
    let started = tokio::time::Instant::now();
    let mut got = 0;
    // Far longer than the patience, and far too slow to empty the kernel's buffers meanwhile.
    while started.elapsed() < Duration::from_millis(2000) {
        tokio::time::sleep(Duration::from_millis(20)).await;
        got += reader.read(&mut buffer).await.unwrap();
    }
    assert!(got < ASSET / 4, "{got}: not slow");
    loop {
        match reader.read(&mut buffer).await.unwrap() {
            0 => break,
            n => got += n,
        }
    }
    assert!(got > ASSET, "{got}");
    served.abort();
}

#[tokio::test]
async fn one_peer_has_only_so_many() {
    let asset = bytes::Bytes::from(vec![7; ASSET]);
    let router = Router::new().route("/", axum::routing::get(async move || asset.clone()));
    let (address, _stop, served) = shared(router, limits(60_000), 2).await;
    let mut byte = [0];
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut stream = asked(address).await;
        assert_eq!(stream.read(&mut byte).await.unwrap(), 1);
        open.push(stream);
    }
    let mut third = TcpStream::connect(address).await.unwrap();
    assert!(matches!(third.read(&mut byte).await, Ok(0) | Err(_)), "closed at once");
    open.pop();
    let again = async {
        loop {
            let mut stream = asked(address).await;
            if matches!(stream.read(&mut byte).await, Ok(1)) {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), again).await.expect("a place is given back");
    served.abort();
}

#[test]
fn connections_follow_open_files() {
    let of = |files| Limits::of(files, 0).connections;
    assert_eq!((of(1024), of(100), of(1 << 30), of(u64::MAX)), (384, 16, 8192, 8192));
    assert!(open_files() > 0);
    let limits = Limits::of(1024, 100);
    assert_eq!(limits.connections, 100);
    let shares =
        [(0, false), (10, false), (10, true), (80, false)].map(|(n, proxy)| limits.per_peer(n, proxy));
    assert_eq!(shares, [50, 10, 50, 50], "nobody takes more than half");
    assert_eq!(Limits::of(1024, 1).per_peer(0, false), 1);
}

#[tokio::test]
async fn who_never_ends_a_head_or_a_body_is_cut_off() {
    let read = async |body: String| body;
    let router = Router::new().route("/", axum::routing::post(read).get(async || "here"));
    let pace = Pace { time: Duration::from_millis(50), bytes: 10 };
    let limits = Limits { pace, head: Duration::from_millis(50), ..Limits::of(1024, 0) };
    let (address, _stop, served) = serving(router, limits).await;
    let mut idle = TcpStream::connect(address).await.unwrap();
    let ends = async |sent: &[u8], again: &[u8]| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(sent).await.unwrap();
        let mut answer = Vec::new();
        let reading = async {
            let mut bytes = [0; 1024];
            loop {
                // One byte now and then, for as long as anybody listens.
                tokio::select! {
                    read = stream.read(&mut bytes) => match read {
                        Ok(n) if n > 0 => answer.extend_from_slice(&bytes[..n]),
                        _ => break,
                    },
                    () = tokio::time::sleep(Duration::from_millis(20)) => {
                        if stream.write_all(again).await.is_err() {
                            break;
                        }
                    }
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), reading).await.expect("it is held for ever");
        String::from_utf8_lossy(&answer).into_owned()
    };
    assert_eq!(ends(b"GET / HTTP/1.1\r\nHost: x\r\n", b"X: y\r\n").await, "");
    let post = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n";
    let answer = ends(format!("{post}\r\n").as_bytes(), b"x").await;
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    let answer = ends(format!("{post}Expect: 100-continue\r\n\r\n").as_bytes(), b"").await;
    assert!(answer.starts_with("HTTP/1.1 100 ") && answer.contains("HTTP/1.1 4"), "{answer}");
    // Who said nothing meanwhile is still welcome.
    idle.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    idle.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("here"), "{answer}");
    served.abort();
}
