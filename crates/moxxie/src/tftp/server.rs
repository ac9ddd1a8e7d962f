//! Requests in, files out: who may, how many at once, and what the log says.

use super::listener::{Asked, Listener, answerable, answering, is_gone};
use super::seats::{Seat, Seats, Taken};
use super::source::Source;
use crate::app::App;
use crate::http::middleware::secret_path;
use crate::witness::Refusal;
use bytes::Bytes;
use moxxie_core::tftp::packet::{self, Code, Refused, Request};
use moxxie_core::tftp::{End, Event, Limits, Out, Step, Transfer};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::TaskTracker;

/// Time for a whole transfer. A loader has about a MiB; whoever needs longer holds a place.
const LONGEST: Duration = Duration::from_secs(600);
/// Time to find a file. Firmware asks for half a minute or so, then gives up.
const FIND: Duration = Duration::from_secs(15);
/// Blocks in a window at most. EDK2 asks for 4; more at once overruns the buffers of small NICs.
const WINDOW: u16 = 16;

/// Serves until `stop` says so, then lets running transfers finish within the drain time.
pub async fn serve(
    mut listener: Listener,
    app: Arc<App>,
    source: Arc<dyn Source>,
    mut stop: watch::Receiver<bool>,
) {
    let server = Server { app, source, seats: Arc::default(), tracker: TaskTracker::new() };
    loop {
        let asked = tokio::select! {
            asked = listener.next() => asked,
            // The guard on the value is not held on to.
            _ = async { stop.wait_for(|stopped| *stopped).await.map(drop) } => break,
        };
        match asked {
            Ok(asked) => server.asked(asked),
            Err(error) => {
                tracing::warn!(%error, "cannot read TFTP requests");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
    drop(listener);
    server.tracker.close();
    if timeout(server.app.config().shutdown_drain, server.tracker.wait()).await.is_err() {
        tracing::warn!(cut = server.tracker.len(), "drain time is over; cutting TFTP transfers off");
    }
}

struct Server {
    app: Arc<App>,
    source: Arc<dyn Source>,
    seats: Arc<Seats>,
    tracker: TaskTracker,
}

impl Server {
    /// Begins a transfer, or refuses it. Whoever is one too many gets no answer: firmware asks
    /// again by itself, and would give up after an error.
    fn asked(&self, asked: Asked) {
        let Asked { peer, local, .. } = asked;
        if !answerable(&asked) {
            return refused("unanswerable");
        }
        let config = self.app.config();
        if !config.access.allow.contains(peer.ip()) {
            return self.outside(&asked);
        }
        let request = Request::parse(&asked.datagram);
        if matches!(request, Err(Refused::NoRequest)) {
            return refused("no_request");
        }
        if !self.app.limits.tftp(&config.limits, peer.ip(), self.app.clock.steady()) {
            metrics::counter!("moxxie_limited_total", "what" => "tftp").increment(1);
            return refused("rate");
        }
        let request = match request {
            Ok(request) => request,
            Err(Refused::NoRequest) => return,
            Err(Refused::With(code, why)) => {
                tracing::debug!(peer = %peer.ip(), why, "TFTP: refused");
                refused("bad_request");
                return tell(&asked, code, why);
            }
        };
        let seat = match self.seats.enter(peer, &asked.datagram) {
            Ok(seat) => seat,
            Err(Taken::Repeated) => return refused("repeated"),
            Err(taken) => {
                tracing::debug!(%peer, ?taken, "TFTP: too many transfers");
                metrics::counter!("moxxie_limited_total", "what" => "tftp_transfers").increment(1);
                return refused("transfers");
            }
        };
        let socket = match answering(local, peer).and_then(UdpSocket::from_std) {
            Ok(socket) => socket,
            Err(error) => {
                tracing::warn!(%error, %local, "TFTP: cannot open a socket for an answer");
                return refused("socket");
            }
        };
        let limits = Limits { block: config.tftp.max_block_size, window: WINDOW };
        let source = self.source.clone();
        self.tracker.spawn(async move {
            let conversation = Conversation { socket, peer, seat };
            conversation.run(request, local, &*source, limits).await;
        });
    }

    /// A network that is not allowed: the first of it each minute is told so, and logged. Not all:
    /// the address of a stranger may be anybody's. The audit log folds them by itself.
    fn outside(&self, asked: &Asked) {
        let peer = asked.peer.ip();
        metrics::counter!("moxxie_outside_allowlist_total", "list" => "boot").increment(1);
        refused("outside");
        let request = Request::parse(&asked.datagram);
        self.app.refused(Refusal {
            kind: "network",
            peer,
            who: None,
            machine: None,
            target: match &request {
                Ok(request) => format!("TFTP {}", secret_path(request.name.as_str())),
                Err(_) => "TFTP".to_owned(),
            },
            why: "network not allowed".to_owned(),
        });
        if let Some(left_out) = self.app.outside.note(peer, self.app.clock.now()) {
            tracing::warn!(%peer, left_out, "TFTP: refused: the address is not in access.allow");
            if request != Err(Refused::NoRequest) {
                tell(asked, Code::Access, "network not allowed");
            }
        }
    }
}

fn refused(why: &'static str) {
    metrics::counter!("moxxie_tftp_refused_total", "why" => why).increment(1);
}

/// Answers with an error and nothing else. One that is lost is sent again when it is asked again.
fn tell(asked: &Asked, code: Code, text: &str) {
    let sent = answering(asked.local, asked.peer).and_then(|socket| socket.send(&packet::error(code, text)));
    if let Err(error) = sent {
        tracing::debug!(%error, peer = %asked.peer, "TFTP: a refusal was not sent");
    }
}

/// A client, and the socket that it is answered from.
struct Conversation {
    socket: UdpSocket,
    peer: SocketAddr,
    seat: Seat,
}

impl Conversation {
    async fn run(self, request: Request, local: SocketAddr, source: &dyn Source, limits: Limits) {
        let peer = self.peer.ip();
        let file = request.name.as_str();
        let found = timeout(FIND, source.open(file, local)).await;
        let why = match found {
            Ok(Ok(Some(bytes))) => return self.transfer(&request, bytes, limits).await,
            Ok(Ok(None)) => {
                tracing::info!(%peer, file, "TFTP: no such file");
                refused("not_found");
                return self.error(Code::NotFound, "file not found; see: moxxie firmware list").await;
            }
            Ok(Err(outage)) => outage.to_string(),
            Err(_) => "it took too long".to_owned(),
        };
        tracing::warn!(%peer, file, why, "TFTP: the file cannot be read now");
        refused("outage");
        self.error(Code::Other, "try again").await;
    }

    async fn error(&self, code: Code, text: &str) {
        self.send(&packet::error(code, text)).await.unwrap_or_default();
    }

    async fn transfer(&self, request: &Request, bytes: Bytes, limits: Limits) {
        let mut transfer = Transfer::new(request, bytes.len() as u64, limits);
        self.seat.answered();
        let driven = tokio::select! {
            driven = timeout(LONGEST, self.drive(&mut transfer, &bytes)) => Some(driven),
            () = self.seat.given_up() => None,
        };
        let (outcome, why) = match driven {
            Some(Ok(End::Complete)) => ("complete", String::new()),
            Some(Ok(End::Unconfirmed)) => ("unconfirmed", String::new()),
            Some(Ok(End::SizeOnly)) => ("size_only", String::new()),
            Some(Ok(End::Silent)) => ("silent", "the client answers no more".into()),
            Some(Ok(End::Aborted(code, text))) => ("aborted", format!("error {code} of the client: {text}")),
            // Nobody was there yet. No word of it: whoever asks again is answered.
            None => ("gave_way", String::new()),
            Some(Err(_)) => {
                self.error(Code::Other, "it took too long").await;
                ("too_long", format!("it took longer than {} minutes", LONGEST.as_secs() / 60))
            }
        };
        metrics::counter!("moxxie_tftp_transfers_total", "outcome" => outcome).increment(1);
        metrics::counter!("moxxie_tftp_bytes_total").increment(transfer.bytes());
        let (peer, file, bytes) = (self.peer.ip(), &request.name, transfer.bytes());
        match outcome {
            "size_only" | "gave_way" => tracing::debug!(%peer, file, outcome, "TFTP"),
            "complete" | "unconfirmed" => tracing::info!(%peer, file, bytes, outcome, "TFTP"),
            _ => tracing::warn!(%peer, file, bytes, outcome, why, "TFTP"),
        }
    }

    /// Until the end of the transfer.
    async fn drive(&self, transfer: &mut Transfer, bytes: &Bytes) -> End {
        let mut buffer = [0; 1024];
        let mut out = transfer.start();
        loop {
            for packet in out {
                let sent = match packet {
                    Out::Packet(packet) => self.send(&packet).await,
                    Out::Data { number, from, to } => {
                        self.send(&packet::data(number, part(bytes, from, to))).await
                    }
                };
                if sent.is_err_and(|error| is_gone(&error)) {
                    return transfer.gone();
                }
            }
            let until = Instant::now() + transfer.wait();
            out = loop {
                let event = match timeout_at(until, self.socket.recv(&mut buffer)).await {
                    Err(_) => Event::Silence,
                    Ok(Ok(length)) => Event::Datagram(buffer.get(..length).unwrap_or(&buffer)),
                    Ok(Err(error)) if is_gone(&error) => return transfer.gone(),
                    // Of the way, and maybe over soon: the next silence tries again.
                    Ok(Err(error)) => {
                        tracing::debug!(%error, peer = %self.peer, "TFTP: cannot receive");
                        tokio::time::sleep_until(until).await;
                        Event::Silence
                    }
                };
                match transfer.step(event) {
                    Step::Wait => {}
                    Step::End(end) => return end,
                    Step::Send(next) => break next,
                }
            };
            if transfer.heard() {
                self.seat.heard();
            }
            if transfer.repeats() {
                metrics::counter!("moxxie_tftp_repeats_total").increment(1);
            }
        }
    }

    /// Sends a packet. One that cannot be sent is as good as one that was lost, unless the client
    /// is gone.
    async fn send(&self, packet: &[u8]) -> io::Result<()> {
        let sent = self.socket.send(packet).await.map(drop);
        sent.inspect_err(|error| tracing::debug!(%error, peer = %self.peer, "TFTP: cannot send"))
    }
}

fn part(bytes: &Bytes, from: u64, to: u64) -> &[u8] {
    let index = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    bytes.get(index(from)..index(to)).unwrap_or_default()
}
