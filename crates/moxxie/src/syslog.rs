//! Sends the audit log to a syslog receiver: a follower that reads the table after the commit, so
//! that what is sent is what was written, and a receiver that is away delays nothing. Where it
//! stands is kept in the database. Of several replicas one sends.
//!
//! A record is sent at least once: a process that ends between sending and writing that down sends
//! it again, with the same `seq` and `hash`. What a datagram or a plain stream loses on the way,
//! nobody is told.

use crate::app::App;
use crate::clock::new_id;
use crate::config::Sink;
use moxxie_core::audit::{Origin, syslog_line};
use moxxie_core::time::Span;
use moxxie_store::{AuditFilter, StoreError};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UdpSocket, UnixDatagram, lookup_host};
use tokio::time::{sleep, timeout};

/// The sink's name in the database.
const NAME: &str = "syslog";
/// How often the table is looked at.
const TICK: Duration = Duration::from_millis(500);
/// The longest pause after failures.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long one batch may take to send, well within the lease.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long another replica leaves the sink alone.
const LEASE: Span = Span::seconds(30);
const BATCH: u32 = 200;
/// Largest datagram: receivers take at least 2 KiB (RFC 5424, section 6.1), most of them 8.
const DATAGRAM: usize = 8 * 1024;
/// Largest message on a stream.
const MESSAGE: usize = 64 * 1024;

/// Why nothing was sent.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("the receiver: {0}")]
    Receiver(#[from] io::Error),
}

enum Link {
    Udp(UdpSocket),
    Tcp(TcpStream),
    Unix(UnixDatagram),
}

impl Link {
    async fn open(sink: &Sink) -> io::Result<Link> {
        match sink {
            Sink::Udp(address) => {
                let address = lookup_host(address).await?.next().ok_or(io::ErrorKind::NotFound)?;
                let any: std::net::IpAddr = match address.is_ipv4() {
                    true => std::net::Ipv4Addr::UNSPECIFIED.into(),
                    false => std::net::Ipv6Addr::UNSPECIFIED.into(),
                };
                let socket = UdpSocket::bind((any, 0)).await?;
                // Takes datagrams of the receiver only, and learns when nobody listens there.
                socket.connect(address).await?;
                Ok(Link::Udp(socket))
            }
            Sink::Tcp(address) => Ok(Link::Tcp(TcpStream::connect(address).await?)),
            Sink::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(path)?;
                Ok(Link::Unix(socket))
            }
        }
    }

    fn most(&self) -> usize {
        if matches!(self, Link::Tcp(_)) { MESSAGE } else { DATAGRAM }
    }

    async fn send(&mut self, message: &str) -> io::Result<()> {
        match self {
            Link::Udp(socket) => socket.send(message.as_bytes()).await.map(drop),
            Link::Unix(socket) => socket.send(message.as_bytes()).await.map(drop),
            Link::Tcp(stream) => stream.write_all(format!("{} {message}", message.len()).as_bytes()).await,
        }
    }

    /// A receiver that went away takes what is written to it into nowhere: it has said so before.
    fn is_open(&self) -> io::Result<()> {
        let Link::Tcp(stream) = self else { return Ok(()) };
        match stream.try_read(&mut [0; 64]) {
            Ok(0) => Err(io::ErrorKind::ConnectionAborted.into()),
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }
}

struct Follower {
    /// What this process calls itself when it takes the lease.
    holder: String,
    origin: Origin,
    link: Option<(Sink, Link)>,
}

/// The receiver, if one is named, gets the next record, also when that is written at once. One that
/// has begun goes on where it is; `was_named`: where none is named any more, one would begin anew.
pub async fn begin(app: &App, was_named: bool) {
    let begun = match app.config().audit.syslog {
        Some(_) => app.read().sink_begin(NAME).await,
        None if was_named => app.read().sink_forget(NAME).await,
        None => Ok(()),
    };
    if let Err(error) = begun {
        tracing::warn!(%error, "where syslog begins could not be written down: it begins when the database answers");
    }
}

/// Follows the log for as long as the process lives.
pub async fn run(app: Arc<App>) {
    let host = tokio::fs::read_to_string("/proc/sys/kernel/hostname").await.unwrap_or_default();
    let origin = Origin { host: host.trim().to_owned(), process: std::process::id() };
    let mut follower = Follower { holder: new_id(), origin, link: None };
    let mut pause = TICK;
    loop {
        sleep(pause).await;
        let sink = app.config().audit.syslog.clone();
        let Some(sink) = sink.filter(|_| app.migrated.load(Ordering::SeqCst)) else { continue };
        match follower.step(&app, &sink).await {
            Ok(()) if pause > TICK => {
                tracing::info!("audit records reach syslog again");
                pause = TICK;
            }
            Ok(()) => {}
            Err(error) => {
                if pause == TICK {
                    tracing::warn!(%error, "audit records do not reach syslog; they are kept and sent later");
                }
                follower.link = None;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

impl Follower {
    /// Sends what is new.
    async fn step(&mut self, app: &App, sink: &Sink) -> Result<(), Failure> {
        let store = app.read();
        loop {
            let Some(lag) = store.sink_lag(NAME).await? else {
                store.sink_begin(NAME).await?;
                continue;
            };
            metrics::gauge!("moxxie_audit_syslog_lag").set(lag as f64);
            if lag <= 0 {
                return Ok(());
            }
            let now = app.clock.now();
            let Some(last) = store.sink_take(NAME, &self.holder, now, now + LEASE).await? else {
                return Ok(());
            };
            let records = store.audit_after(&AuditFilter::default(), last, BATCH).await?;
            let Some((first, newest)) = records.first().zip(records.last()) else { return Ok(()) };
            if first.seq > last + 1 {
                let lost = first.seq - last - 1;
                tracing::warn!(lost, "audit records were deleted before they could be sent to syslog");
            }
            let origin = self.origin.clone();
            let sending = async {
                let link = self.link(sink).await?;
                for record in &records {
                    let most = link.most();
                    link.send(&syslog_line(record, &origin, most)).await?;
                }
                link.is_open()
            };
            timeout(PATIENCE, sending).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            store.sink_sent(NAME, &self.holder, newest.seq).await?;
        }
    }

    async fn link(&mut self, sink: &Sink) -> io::Result<&mut Link> {
        // Another receiver by now, or one that hung up.
        self.link = self.link.take().filter(|(to, link)| to == sink && link.is_open().is_ok());
        if self.link.is_none() {
            self.link = Some((sink.clone(), Link::open(sink).await?));
        }
        self.link.as_mut().map(|(_, link)| link).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}
