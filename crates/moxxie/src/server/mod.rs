//! The listeners: accept, limit, hand over, drain.

mod certificate;
mod connection;
mod expiry;
mod head;
mod patience;
mod peers;
mod proxy;
mod received;
mod socket;
mod tls;
mod windows;

pub use certificate::{Certificate, CertificateError, Loaded};
pub use received::TooSlow;
pub use tls::settings as tls_settings;
pub use windows::Windows;

use crate::app::App;
use crate::config::AccessConfig;
use crate::http::extract::{Door, Serves};
use crate::tftp;
use axum::Router;
use connection::Connection;
use patience::Pace;
use peers::{Peers, Share};
use socket::Socket;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::rustls::ServerConfig;
use tokio_util::task::TaskTracker;

/// The least that a client has to take of what waits for it, and to send of a body that is waited
/// for: 1 KiB a second, over a minute.
const PACE: Pace = Pace { time: Duration::from_secs(60), bytes: 60 * 1024 };
/// Time for the head of a request from its first byte on. It fits in one or two packets.
const HEAD: Duration = Duration::from_secs(10);
/// Open connections at most, however many files the process may open.
const CONNECTIONS: usize = 8192;
/// Connections to a listener for people at most, beside the others.
const PEOPLE: usize = 256;
/// Open files left to the database, the log and uploads.
const OTHER_FILES: u64 = 256;

/// What clients may take up.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Open connections; further ones wait in the kernel's queue.
    connections: usize,
    /// The least that a client has to take of what is sent to it, and to send.
    pace: Pace,
    /// Time for the head of a request, from its first byte on.
    head: Duration,
}

impl Limits {
    /// The limits of a process that may open this many files, and wants no more connections than
    /// so many (0: as many as there may be). A download holds two files: its connection and its
    /// asset.
    fn of(open_files: u64, wanted: usize) -> Limits {
        let connections = usize::try_from(open_files.saturating_sub(OTHER_FILES) / 2).unwrap_or(CONNECTIONS);
        // Below this the limit on files is a mistake, and serving few is better than none.
        let connections = connections.clamp(16, CONNECTIONS);
        let connections = if wanted == 0 { connections } else { connections.min(wanted) };
        Limits { connections, pace: PACE, head: HEAD }
    }

    /// How many of the connections one peer may hold. A listed proxy has every machine behind it
    /// and may take half. So may a single host at most, whatever the setting says: it still
    /// leaves the other half to the machines.
    fn per_peer(&self, setting: usize, is_proxy: bool) -> usize {
        let half = (self.connections / 2).max(1);
        if setting == 0 || is_proxy { half } else { setting.min(half) }
    }

    /// How many connections all peers together may hold that are on no list. They see nothing but
    /// refusals, and `/livez` and `/readyz`.
    fn strangers(&self) -> usize {
        (self.connections / 16).max(4)
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

/// A bound address and how it serves.
pub struct Listening {
    /// Where connections come from.
    pub listener: TcpListener,
    /// What its requests are told of it.
    pub door: Door,
    /// How its TLS is spoken; none: plain HTTP.
    pub tls: Option<Arc<ServerConfig>>,
}

impl Listening {
    /// One that serves everybody in the clear.
    pub fn plain(listener: TcpListener) -> Listening {
        let port = listener.local_addr().map_or(0, |address| address.port());
        Listening { listener, door: Door { port, ..Door::default() }, tls: None }
    }
}

/// Serves until `stop` says so, then lets running requests finish within the drain time.
pub async fn serve(listeners: Vec<Listening>, router: Router, app: Arc<App>, stop: watch::Receiver<bool>) {
    let open_files = open_files();
    let config = app.config();
    // TFTP has its listener, and a socket for each transfer.
    let tftp = config.tftp.listen.map_or(0, |_| 1 + tftp::TRANSFERS as u64);
    let limits = Limits::of(open_files.saturating_sub(tftp), config.limits.connections);
    tracing::info!(open_files, connections = limits.connections, "limits of the listener");
    // Looked up when they are needed: the settings may change until then.
    let (drain, settings, seats) = (|| app.config().shutdown_drain, app.clone(), app.clone());
    let access = move || settings.config().access.clone();
    let share = move |peer: IpAddr| {
        let config = seats.config();
        let access = &config.access;
        let is_proxy = access.trusted_proxies.contains(peer);
        if is_proxy || access.allow.contains(peer) || access.may_use_api(peer) {
            Share::of(peer, limits.per_peer(config.limits.connections_per_address, is_proxy))
        } else {
            Share::of_strangers(limits.strangers())
        }
    };
    run(listeners, router, drain, stop, limits, access, share).await;
}

async fn run(
    listeners: Vec<Listening>,
    router: Router,
    drain: impl Fn() -> Duration,
    stop: watch::Receiver<bool>,
    limits: Limits,
    access: impl Fn() -> Arc<AccessConfig> + Clone + Send + Sync + 'static,
    share: impl Fn(IpAddr) -> Share + Clone + Send + Sync + 'static,
) {
    // Machines and people do not take each other's places where they have listeners of their own.
    let slots = Arc::new(Semaphore::new(limits.connections));
    let for_people = Arc::new(Semaphore::new(limits.connections.min(PEOPLE)));
    let peers = Arc::new(Peers::default());
    let tracker = TaskTracker::new();
    let listening = listeners.into_iter().map(|Listening { listener, door, tls }| {
        let slots = if door.serves == Serves::People { &for_people } else { &slots }.clone();
        let (peers, tracker) = (peers.clone(), tracker.clone());
        let (router, mut stop, access) = (router.clone(), stop.clone(), access.clone());
        let share = share.clone();
        async move {
            loop {
                let accepted = tokio::select! {
                    accepted = accept(&listener, &slots) => accepted,
                    () = stopped(&mut stop) => break,
                };
                let (mut stream, peer, slot) = accepted;
                // One peer alone must not take every slot there is.
                let Some(seat) = peers.seat(share(peer.ip())) else {
                    metrics::counter!("moxxie_connections_refused_total").increment(1);
                    metrics::counter!("moxxie_limited_total", "what" => "connections").increment(1);
                    tracing::debug!(%peer, "too many connections of one peer");
                    continue;
                };
                let (tls, router, mut stop) = (tls.clone(), router.clone(), stop.clone());
                // People come to their own listener without a proxy's word.
                let access = (door.serves != Serves::People).then(&access).unwrap_or_default();
                tracker.spawn(async move {
                    metrics::gauge!("moxxie_connections").increment(1.0);
                    let client = tokio::select! {
                        biased;
                        client = proxy::client(&mut stream, peer, &access) => client,
                        () = stopped(&mut stop) => None,
                    };
                    if let Some(peer) = client {
                        let socket = Socket::new(stream, limits);
                        connection::serve(socket, tls, Connection { peer, door, router, stop }).await;
                    }
                    metrics::gauge!("moxxie_connections").decrement(1.0);
                    drop((slot, seat));
                });
            }
        }
    });
    // Each accepts on a task of its own, as if it were alone.
    let mut listening: tokio::task::JoinSet<()> = listening.collect();
    while listening.join_next().await.is_some() {}
    tracker.close();
    let running = tracker.len();
    if running > 0 {
        tracing::info!(running, "waiting for open connections");
    }
    if tokio::time::timeout(drain(), tracker.wait()).await.is_err() {
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
        () = tokio::time::sleep(app.config().shutdown_grace) => {}
        () = next() => std::process::exit(0),
    }
    let _ = stop.send(true);
    next().await;
    tracing::warn!("second signal: stopping now");
    std::process::exit(0)
}

#[cfg(test)]
mod file_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tls_tests;
