//! Files through the listener: those that arrive while they are sent, those on a line that is
//! cut, and many large ones at once.

use super::*;
use crate::downloads::{About, Downloads, Ended, Role};
use crate::http::boot::body::body;
use axum::Extension;
use axum::http::header::CONTENT_LENGTH;
use moxxie_core::asset::Digest;
use moxxie_core::time::Timestamp;
use moxxie_store::assets::{Arrival, AssetError, Readable};
use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::sync::{OnceCell, mpsc};

const MIB: u64 = 1024 * 1024;

pub(super) struct Served {
    pub address: SocketAddr,
    downloads: Arc<Downloads>,
    /// How each download ended.
    pub ends: mpsc::UnboundedReceiver<Arc<Ended>>,
    _stop: watch::Sender<bool>,
}

/// A listener with this one file.
async fn serving(readable: Readable, pace: Pace) -> Served {
    serving_over(None, readable, pace).await
}

/// The same with TLS.
pub(super) async fn serving_over(tls: Option<Arc<ServerConfig>>, readable: Readable, pace: Pace) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let downloads = Arc::new(Downloads::default());
    let (tell, ends) = mpsc::unbounded_channel();
    downloads.on_end(move |ended| drop(tell.send(ended.clone())));
    let begin = downloads.clone();
    let answer = async move |Extension(windows): Extension<Arc<Windows>>| {
        let size = readable.size;
        let download = begin.begin(About {
            profile: "p".parse().unwrap(),
            file: "file".parse().unwrap(),
            role: Role::Other,
            sha256: Digest([7; 32]),
            first: 0,
            length: size,
            whole: true,
            peer: [127, 0, 0, 1].into(),
            started_at: Timestamp(0),
            machine: OnceCell::new(),
        });
        ([(CONTENT_LENGTH, size)], body(readable.clone(), 0, size, download, Some(windows)))
    };
    let router = Router::new().route("/", axum::routing::get(answer));
    let (_stop, stopped) = watch::channel(false);
    let limits = Limits { pace, ..Limits::of(4096, 0) };
    tokio::spawn(run(
        vec![Listening { tls, ..Listening::plain(listener) }],
        router,
        || Duration::ZERO,
        stopped,
        limits,
        Arc::default,
        |peer| Share::of(peer, 1024),
    ));
    Served { address, downloads, ends, _stop }
}

/// No test here is about it.
pub(super) const PATIENT: Pace = Pace { time: Duration::from_secs(60), bytes: 1 };

pub(super) fn file(bytes: &[u8]) -> Arc<File> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    Arc::new(file)
}

/// A client that has asked and was answered.
async fn asked(served: &Served, buffer: u32) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(buffer).unwrap();
    let mut stream = socket.connect(served.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&head));
    stream
}

#[tokio::test]
async fn a_file_is_sent_as_it_arrives() {
    let bytes: Vec<u8> = (0..3 * MIB).map(|n| (n * 7 % 251) as u8).collect();
    let (arrival, arriving) = Arrival::begin();
    let readable = Readable { file: file(&bytes), size: 3 * MIB, arriving: Some(arriving) };
    let mut served = serving(readable, PATIENT).await;
    arrival.there(10);
    let mut stream = asked(&served, 1 << 20).await;
    let mut got = vec![0; bytes.len()];
    let mut there = 0;
    for until in [10, 11, 70_000, 2 * MIB as usize, bytes.len() - 1] {
        arrival.there(until as u64);
        stream.read_exact(&mut got[there..until]).await.unwrap();
        there = until;
    }
    assert_eq!(served.downloads.running()[0].so_far(), 3 * MIB - 1, "never more than is there");
    arrival.there(3 * MIB);
    stream.read_exact(&mut got[there..]).await.unwrap();
    assert!(got == bytes, "other bytes");
    assert!(served.ends.recv().await.unwrap().whole());
}

#[tokio::test]
async fn a_file_that_does_not_arrive_is_cut_before_its_last_byte() {
    let (arrival, arriving) = Arrival::begin();
    let readable = Readable { file: file(&[7; 100_000]), size: 100_000, arriving: Some(arriving) };
    let mut served = serving(readable, PATIENT).await;
    arrival.there(99_999);
    let mut stream = asked(&served, 1 << 20).await;
    let mut got = vec![0; 99_999];
    stream.read_exact(&mut got).await.unwrap();
    arrival.fail(AssetError::Damaged(Digest([7; 32])));
    assert!(!matches!(stream.read(&mut got).await, Ok(1..)), "the last byte must not come");
    let ended = served.ends.recv().await.unwrap();
    assert!(!ended.complete && ended.sent == 99_999);
}

#[tokio::test]
async fn a_file_that_shrinks_is_cut() {
    let file = file(&[7; 200_000]);
    file.set_len(100_000).unwrap();
    let mut served = serving(Readable { file, size: 200_000, arriving: None }, PATIENT).await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut got = Vec::new();
    let _ = stream.read_to_end(&mut got).await;
    assert!(got.len() < 101_000, "{}", got.len());
    assert!(!served.ends.recv().await.unwrap().complete);
}

/// Lets nothing in any more that comes to this socket: the other end sees a line that is cut.
fn cut(stream: &TcpStream) {
    // `struct sock_filter` and `struct sock_fprog` of linux/filter.h.
    #[repr(C)]
    struct Step(u16, u8, u8, u32);
    #[repr(C)]
    struct Program(u16, *const Step);
    const RETURN_NOTHING: Step = Step(0x06, 0, 0, 0);
    set_filter(stream, 26, &Program(1, &RETURN_NOTHING));
}

/// The line is whole again.
fn mend(stream: &TcpStream) {
    set_filter(stream, 27, &0i32);
}

#[allow(unsafe_code)]
fn set_filter<T>(stream: &TcpStream, option: i32, value: &T) {
    unsafe extern "C" {
        fn setsockopt(socket: i32, level: i32, name: i32, value: *const std::ffi::c_void, length: u32)
        -> i32;
    }
    let length = u32::try_from(size_of::<T>()).unwrap();
    // SAFETY: SO_ATTACH_FILTER and SO_DETACH_FILTER (1 is SOL_SOCKET) read so many bytes.
    let done = unsafe { setsockopt(stream.as_raw_fd(), 1, option, std::ptr::from_ref(value).cast(), length) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}

#[tokio::test]
async fn a_line_that_is_cut_frees_the_download_and_a_short_cut_does_not() {
    let size = 24 * MIB;
    let file = Arc::new(tempfile::tempfile().unwrap());
    file.set_len(size).unwrap();
    let readable = || Readable { file: file.clone(), size, arriving: None };
    let mut some = vec![0; 100_000];
    let pace = Pace { time: Duration::from_millis(300), bytes: 300 };
    let mut served = serving(readable(), pace).await;
    let mut gone = asked(&served, 1 << 16).await;
    gone.read_exact(&mut some).await.unwrap();
    cut(&gone);
    let ended = served.ends.recv().await.unwrap();
    assert!(!ended.complete && ended.sent < size);

    let mut served = serving(readable(), PATIENT).await;
    let mut back = asked(&served, 1 << 16).await;
    cut(&back);
    // What was on its way is taken out, until nothing comes.
    let quiet = Duration::from_millis(50);
    while let Ok(read) = tokio::time::timeout(quiet, back.read(&mut some)).await {
        assert_ne!(read.unwrap(), 0);
    }
    mend(&back);
    let rest = async {
        let mut got = 0;
        while served.ends.try_recv().is_err() {
            tokio::select! {
                read = back.read(&mut some) => got += read.unwrap(),
                () = tokio::time::sleep(quiet) => {}
            }
        }
        got
    };
    assert!(tokio::time::timeout(Duration::from_secs(30), rest).await.expect("it goes on") > 0);
}

#[tokio::test]
async fn who_takes_drops_is_cut_off() {
    let file = Arc::new(tempfile::tempfile().unwrap());
    file.set_len(24 * MIB).unwrap();
    let pace = Pace { time: Duration::from_millis(200), bytes: 60_000 };
    let mut served = serving(Readable { file, size: 24 * MIB, arriving: None }, pace).await;
    let mut stream = asked(&served, 4096).await;
    // Far below the pace, and never silent. What arrived before the cut may still be read after it.
    let mut drip = async || {
        tokio::time::sleep(Duration::from_millis(10)).await;
        stream.read_u8().await.ok()
    };
    let ended = loop {
        tokio::select! {
            ended = served.ends.recv() => break ended.unwrap(),
            _ = drip() => {}
        }
    };
    assert!(!ended.complete && ended.sent < 24 * MIB);
}

fn anonymous_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_large_files_take_no_memory() {
    // Sparse: half a gigabyte each, and nothing on the disk.
    let size = 512 * MIB;
    let file = Arc::new(tempfile::tempfile().unwrap());
    file.set_len(size).unwrap();
    let served = serving(Readable { file, size, arriving: None }, PATIENT).await;
    let mut streams = vec![asked(&served, 1 << 20).await];
    let before = anonymous_memory();
    for _ in 1..50 {
        streams.push(asked(&served, 1 << 20).await);
    }
    // Each of them beyond the first windows.
    let mut all = tokio::task::JoinSet::new();
    for mut stream in streams {
        all.spawn(async move {
            let mut chunk = vec![1; 64 * 1024];
            let zeros = vec![0; chunk.len()];
            for _ in 0..(10 * MIB as usize / chunk.len()) {
                stream.read_exact(&mut chunk).await.unwrap();
                assert!(chunk == zeros);
            }
            stream
        });
    }
    let streams = all.join_all().await;
    assert_eq!(served.downloads.running().len(), 50);
    let grown = anonymous_memory().saturating_sub(before);
    assert!(grown < 32 * MIB, "{grown} bytes for 50 downloads");
    drop(streams);
}
