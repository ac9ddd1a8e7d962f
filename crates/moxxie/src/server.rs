//! The listener: accepts, limits, hands over, drains.

use crate::app::App;
use axum::Router;
use axum::extract::ConnectInfo;
use http_body_util::BodyExt;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::HashMap;
use std::io::IoSlice;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, Sleep};
use tower::ServiceExt;

/// Time for a request's head, and for an idle connection. iPXE keeps its connection while it
/// waits for `Retry-After`, so this is longer than the longest wait Moxxie asks for.
const HEAD_TIME: Duration = Duration::from_secs(30);
/// A client that takes not one byte of its answer for this long is cut off.
const WRITE_TIME: Duration = Duration::from_secs(60);
/// Open connections at most, however many files the process may open.
const CONNECTIONS: usize = 8192;
/// Open files left to the database, the log and uploads.
const OTHER_FILES: u64 = 256;
/// Bytes of a request's head at most, as hyper reads it.
const HEAD_BYTES: usize = 64 * 1024;
/// Header lines at most.
const HEADERS: usize = 64;

/// What clients may take up.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Open connections; further ones wait in the kernel's queue.
    connections: usize,
    /// Open connections of one peer; further ones are closed at once.
    per_peer: usize,
    /// How long a client may take nothing of what is sent to it.
    patience: Duration,
}

impl Limits {
    /// The limits of a process that may open this many files. A download holds two: its
    /// connection and its asset.
    fn of(open_files: u64) -> Limits {
        let connections = usize::try_from(open_files.saturating_sub(OTHER_FILES) / 2).unwrap_or(CONNECTIONS);
        // Below this the limit on files is a mistake, and serving few is better than none.
        let connections = connections.clamp(16, CONNECTIONS);
        // One peer may be a load balancer with every machine behind it, so it may take half; a
        // single host that takes them all still leaves the other half to the machines.
        Limits { connections, per_peer: connections / 2, patience: WRITE_TIME }
    }
}

/// Raises the number of files that this process may open as far as it is allowed to; that number.
fn open_files() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let given = getrlimit(Resource::Nofile);
    if given.current != given.maximum {
        let wanted = Rlimit { current: given.maximum, maximum: given.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, wanted) {
            tracing::warn!(%error, "cannot raise the limit on open files");
        }
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Serves until `stop` says so, then lets running requests finish within the drain time.
pub async fn serve(listener: TcpListener, router: Router, app: Arc<App>, stop: watch::Receiver<bool>) {
    let open_files = open_files();
    let limits = Limits::of(open_files);
    tracing::info!(open_files, connections = limits.connections, "limits of the listener");
    run(listener, router, app.config.shutdown_drain, stop, limits).await;
}

async fn run(
    listener: TcpListener,
    router: Router,
    drain: Duration,
    mut stop: watch::Receiver<bool>,
    limits: Limits,
) {
    let slots = Arc::new(Semaphore::new(limits.connections));
    let peers = Arc::new(Peers::default());
    let tracker = tokio_util::task::TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &slots) => accepted,
            () = stopped(&mut stop) => break,
        };
        let (stream, peer, slot) = accepted;
        // One peer alone must not take every slot there is.
        let Some(seat) = peers.seat(peer.ip(), limits.per_peer) else {
            metrics::counter!("moxxie_connections_refused_total").increment(1);
            tracing::debug!(%peer, "too many connections of one peer");
            continue;
        };
        let stream = Patient::new(stream, limits.patience);
        let router = router.clone();
        let stop = stop.clone();
        tracker.spawn(async move {
            metrics::gauge!("moxxie_connections").increment(1.0);
            connection(stream, peer, router, stop).await;
            metrics::gauge!("moxxie_connections").decrement(1.0);
            drop((slot, seat));
        });
    }
    drop(listener);
    tracker.close();
    let running = tracker.len();
    if running > 0 {
        tracing::info!(running, "waiting for open connections");
    }
    if tokio::time::timeout(drain, tracker.wait()).await.is_err() {
        tracing::warn!(cut = tracker.len(), "drain time is over; cutting the rest off");
    }
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit) {
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else {
            // Nobody closes the semaphore; should it happen, wait rather than spin.
            tokio::time::sleep(Duration::from_secs(1)).await;
            continue;
        };
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer, slot),
            Err(error) => {
                // Out of file descriptors, mostly: a pause instead of a busy loop.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

/// Open connections by peer. An IPv6 host owns its whole /64.
#[derive(Default)]
struct Peers {
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// One connection's place among those of its peer; given back when dropped.
struct Seat {
    peers: Arc<Peers>,
    peer: IpAddr,
}

impl Peers {
    /// A place for one more connection of this peer, unless it has enough.
    fn seat(self: &Arc<Self>, ip: IpAddr, most: usize) -> Option<Seat> {
        let peer = match ip.to_canonical() {
            IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
            v4 => v4,
        };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(peer).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Seat { peers: self.clone(), peer })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.peers.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.peer);
            }
        }
    }
}

/// A connection whose writes must make progress: a client that asks for a large asset and reads
/// nothing of it would hold its connection and the asset's file for ever.
struct Patient {
    stream: TcpStream,
    patience: Duration,
    /// Made by the first write that has to wait, and used again by later ones.
    timer: Option<Pin<Box<Sleep>>>,
    /// A write waits.
    armed: bool,
}

impl Patient {
    fn new(stream: TcpStream, patience: Duration) -> Patient {
        Patient { stream, patience, timer: None, armed: false }
    }

    /// What a write came to; one that waits for too long is an error.
    fn wrote(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<std::io::Result<usize>>,
        data: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        if result.is_ready() {
            self.armed = false;
            return result;
        }
        let until = Instant::now() + self.patience;
        let timer = match &mut self.timer {
            Some(timer) => {
                if !self.armed {
                    timer.as_mut().reset(until);
                }
                timer
            }
            none => none.insert(Box::pin(tokio::time::sleep_until(until))),
        };
        self.armed = true;
        if timer.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.armed = false;
        // The kernel calls a socket writable only when a third of a large buffer is free, which a
        // slow link may not reach in time. If it takes a byte now, the client took some before.
        use rustix::net::{SendFlags, send, sockopt::set_socket_linger};
        match send(&self.stream, data, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(sent) => Poll::Ready(Ok(sent)),
            Err(rustix::io::Errno::AGAIN) => {
                // Reset rather than closed: the kernel would keep the unread megabytes.
                let _ = set_socket_linger(&self.stream, Some(Duration::ZERO));
                let why = "the client took nothing for too long";
                Poll::Ready(Err(std::io::Error::new(std::io::ErrorKind::TimedOut, why)))
            }
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wrote(cx, result, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        let first = bufs.iter().find(|buf| !buf.is_empty());
        self.wrote(cx, result, first.map_or(&[], |buf| &**buf))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

async fn connection(stream: Patient, peer: SocketAddr, router: Router, mut stop: watch::Receiver<bool>) {
    // Small answers must not wait for an acknowledgment (Nagle).
    let _ = stream.stream.set_nodelay(true);
    let service = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let router = router.clone();
        async move {
            let mut request = request.map(axum::body::Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            router.oneshot(request).await.map(|response| response.map(|body| body.boxed_unsync()))
        }
    });
    // HTTP/1.1 only: iPXE and installers speak nothing else, and less is exposed.
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_headers(HEADERS)
        .max_buf_size(HEAD_BYTES)
        .half_close(false)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(served);
    let result = tokio::select! {
        result = served.as_mut() => result,
        () = stopped(&mut stop) => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, %peer, "connection ended");
    }
}

/// Ends once the listener is told to stop; the guard on the value is not held on to.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stopped| *stopped).await.map(|_| ());
}

/// Waits for SIGTERM or SIGINT, then stops the listener after the grace time. A second signal
/// ends the process at once.
pub async fn signals(app: Arc<App>, stop: watch::Sender<bool>) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let mut next = async || {
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
    };
    next().await;
    app.draining.store(true, Ordering::SeqCst);
    tracing::info!("stopping: /readyz says 503, the listener closes soon");
    tokio::select! {
        () = tokio::time::sleep(app.config.shutdown_grace) => {}
        () = next() => std::process::exit(0),
    }
    let _ = stop.send(true);
    next().await;
    tracing::warn!("second signal: stopping now");
    std::process::exit(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const ASSET: usize = 40 * 1024 * 1024;

    /// A listener with one large asset; ends with its handle.
    async fn site(limits: Limits) -> (SocketAddr, Arc<watch::Sender<bool>>, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asset = bytes::Bytes::from(vec![7; ASSET]);
        let router = Router::new().route("/", axum::routing::get(async move || asset.clone()));
        let (stop, stopped) = watch::channel(false);
        let served = tokio::spawn(run(listener, router, Duration::from_secs(20), stopped, limits));
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
        Limits { patience: Duration::from_millis(patience), ..Limits::of(1024) }
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
        let started = Instant::now();
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
        let (address, _stop, served) = site(Limits { per_peer: 2, ..limits(60_000) }).await;
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
    fn peers_are_addresses_or_prefixes() {
        let peers = Arc::new(Peers::default());
        let seat = |ip: &str| peers.seat(ip.parse().unwrap(), 1);
        let held = [seat("10.0.0.1"), seat("fd00::1")];
        assert!(held.iter().all(Option::is_some));
        assert!(seat("::ffff:10.0.0.1").is_none(), "the same address");
        assert!(seat("fd00::2").is_none(), "the same /64");
        assert!(seat("10.0.0.2").is_some() && seat("fd00:0:0:1::1").is_some());
        drop(held);
        assert!(peers.open.lock().unwrap().is_empty());
    }

    #[test]
    fn connections_follow_open_files() {
        let of = |files| Limits::of(files).connections;
        assert_eq!((of(1024), of(100), of(1 << 30), of(u64::MAX)), (384, 16, 8192, 8192));
        assert!(open_files() > 0);
    }
}
