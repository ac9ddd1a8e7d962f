//! Sends the questions and waits for the answers.
//!
//! Nothing here takes an address from a server: DISCOVERs go out, and REQUESTs only to port 4011,
//! where PXE servers hand out file names and no leases.

use super::clients::{Client, boot_request, discover};
use super::interface::{InterfaceError, address_of};
use super::offer::Offer;
use super::verdict::Seen;
use super::{CLIENT_PORT, PROXY_PORT, SERVER_PORT};
use dhcproto::error::EncodeError;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, setsockopt, socket, sockopt};
use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::AsRawFd as _;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep_until, timeout_at};

/// How long a boot server has for its answer, at least.
const BOOT_SERVER_TIME: Duration = Duration::from_secs(1);
/// The longest datagram that is read, in bytes.
const LONGEST: usize = 4096;
/// More answers than this are not kept for one client.
const MOST: usize = 32;

/// Why nothing could be asked.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The interface will not do.
    #[error(transparent)]
    Interface(#[from] InterfaceError),
    /// The program may not.
    #[error(
        "not permitted to use port 68 on {0}: run this as root, or give the program CAP_NET_BIND_SERVICE and CAP_NET_RAW"
    )]
    Permission(String),
    /// Another program has the port for itself.
    #[error("port 68 is taken: stop the DHCP client of this host for a moment, or use another host")]
    Taken,
    /// A packet could not be written.
    #[error("a question could not be written")]
    Encode(#[from] EncodeError),
    /// Anything else that the network says.
    #[error("the network refuses: {0}")]
    Io(#[from] io::Error),
}

/// Whom to ask, and how long to wait.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The interface that questions go out of.
    pub interface: String,
    /// The clients to play.
    pub clients: Vec<&'static Client>,
    /// How long to listen for answers.
    pub time: Duration,
}

/// One client's transaction.
struct Talk {
    seen: Seen,
    xid: u32,
}

/// Asks, and returns what each client got. `chance` makes MAC addresses and transaction numbers.
pub async fn probe(plan: &Plan, mut chance: impl FnMut() -> [u8; 9]) -> Result<Vec<Seen>, ProbeError> {
    let own = address_of(&plan.interface)?;
    let socket = open(&plan.interface)?;
    let mut talks: Vec<Talk> = plan.clients.iter().map(|client| talk(client, chance())).collect();
    let started = Instant::now();
    let mut deadline = started + plan.time;
    let again = started + plan.time / 2;
    let mut asked_again = false;
    ask(&socket, &talks).await?;
    let mut buffer = vec![0; LONGEST];
    // The clock is looked at each time: a flood of packets must not keep it going.
    while Instant::now() < deadline {
        let until = if asked_again { deadline } else { again };
        let received = match timeout_at(until, socket.recv_from(&mut buffer)).await {
            Ok(received) => received,
            // Half the time is over: once more, as a packet may be lost.
            Err(_) if !asked_again => {
                asked_again = true;
                ask(&socket, &talks).await?;
                continue;
            }
            Err(_) => break,
        };
        let (length, from) = match received {
            Ok(received) => received,
            // A boot server's host has no such port: told about the packet before.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => continue,
            Err(error) => return Err(error.into()),
        };
        let SocketAddr::V4(from) = from else { continue };
        let Some((question, offer)) = Offer::read(*from.ip(), &buffer[..length]) else { continue };
        let asker = |talk: &&mut Talk| talk.xid == question.xid && talk.seen.mac == question.mac;
        let Some(Talk { seen, xid }) = talks.iter_mut().find(asker) else { continue };
        let is_known = |o: &Offer| (o.role, o.server()) == (offer.role, offer.server());
        if seen.offers.len() >= MOST || seen.offers.iter().any(is_known) {
            continue;
        }
        if let Some(server) = offer.asks_next(seen.client).filter(|server| !seen.asked.contains(server)) {
            let request = boot_request(seen.client, seen.mac, *xid, own, offer.menu_item())?;
            // A server that cannot be reached is one that does not answer: the verdict says so.
            let _ = socket.send_to(&request, SocketAddrV4::new(server, PROXY_PORT)).await;
            seen.asked.push(server);
            // Only while others are waited for, too: nobody can make this wait for ever.
            if Instant::now() < started + plan.time {
                deadline = deadline.max(Instant::now() + BOOT_SERVER_TIME);
            }
        }
        seen.offers.push(offer);
    }
    Ok(talks.into_iter().map(|talk| talk.seen).collect())
}

fn talk(client: &'static Client, chance: [u8; 9]) -> Talk {
    let [a, b, c, d, e, rest @ ..] = chance;
    // Locally administered, one machine's (IEEE 802): nobody's card has it.
    let seen = Seen { client, mac: [0x02, a, b, c, d, e], offers: Vec::new(), asked: Vec::new() };
    Talk { seen, xid: u32::from_be_bytes(rest) }
}

/// A DISCOVER for everybody who has no answer yet, a moment apart: some servers look at one at a time.
async fn ask(socket: &UdpSocket, talks: &[Talk]) -> Result<(), ProbeError> {
    let everybody = SocketAddrV4::new(Ipv4Addr::BROADCAST, SERVER_PORT);
    for talk in talks.iter().filter(|talk| talk.seen.offers.is_empty()) {
        let packet = discover(talk.seen.client, talk.seen.mac, talk.xid)?;
        socket.send_to(&packet, everybody).await?;
        sleep_until(Instant::now() + Duration::from_millis(5)).await;
    }
    Ok(())
}

/// A socket on port 68 of this interface, beside the host's own DHCP client.
fn open(interface: &str) -> Result<UdpSocket, ProbeError> {
    let refused = |error: nix::Error| match error {
        nix::Error::EACCES | nix::Error::EPERM => ProbeError::Permission(interface.to_owned()),
        nix::Error::EADDRINUSE => ProbeError::Taken,
        error => ProbeError::Io(error.into()),
    };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Inet, SockType::Datagram, flags, None).map_err(refused)?;
    setsockopt(&fd, sockopt::ReuseAddr, &true).map_err(refused)?;
    setsockopt(&fd, sockopt::Broadcast, &true).map_err(refused)?;
    setsockopt(&fd, sockopt::BindToDevice, &OsString::from(interface)).map_err(refused)?;
    let port = SockaddrIn::from(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, CLIENT_PORT));
    bind(fd.as_raw_fd(), &port).map_err(refused)?;
    Ok(UdpSocket::from_std(std::net::UdpSocket::from(fd))?)
}
