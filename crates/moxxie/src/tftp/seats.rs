//! Which transfers run, and how many of whom.

use moxxie_core::limit::client;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Transfers in all. Each has a socket and holds its file.
const ALL: usize = 256;
/// Of one network: an IPv6 host may own a /64, and a VLAN full of machines may be one.
const OF_NETWORK: usize = 128;
/// Of one address. Firmware has one, now and then a second that begins before the first has ended.
const OF_ADDRESS: usize = 8;

/// Why there is no seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// The same request again, whose answer is on its way: that is sent again by itself.
    Repeated,
    /// The client has too many transfers.
    Address,
    /// All together are too many.
    All,
}

/// The transfers that run.
#[derive(Default)]
pub(super) struct Seats {
    taken: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    next: u64,
    by_id: HashMap<u64, Entry>,
}

struct Entry {
    peer: SocketAddr,
    /// The datagram, until the client was heard.
    request: Option<Vec<u8>>,
}

/// One transfer's place; given back when dropped.
pub(super) struct Seat {
    seats: Arc<Seats>,
    id: u64,
}

impl Seats {
    fn held(&self) -> MutexGuard<'_, Running> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for the transfer that this request asks for.
    pub fn enter(self: &Arc<Self>, peer: SocketAddr, request: &[u8]) -> Result<Seat, Taken> {
        let mut running = self.held();
        let entries = || running.by_id.values();
        if entries().any(|e| e.peer == peer && e.request.as_deref() == Some(request)) {
            return Err(Taken::Repeated);
        }
        let network = client(peer.ip());
        if entries().filter(|e| e.peer.ip() == peer.ip()).count() >= OF_ADDRESS
            || entries().filter(|e| client(e.peer.ip()) == network).count() >= OF_NETWORK
        {
            return Err(Taken::Address);
        }
        if running.by_id.len() >= ALL {
            return Err(Taken::All);
        }
        let id = running.next;
        running.next += 1;
        running.by_id.insert(id, Entry { peer, request: Some(request.to_vec()) });
        Ok(Seat { seats: self.clone(), id })
    }
}

impl Seat {
    /// The client has answered: from now on the same request is a new one, of a machine that was
    /// switched off and on, and whose ROM uses the same port each time.
    pub fn heard(&self) {
        if let Some(entry) = self.seats.held().by_id.get_mut(&self.id) {
            entry.request = None;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.held().by_id.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_same_request_is_served_once_until_it_is_heard() {
        let seats = Arc::new(Seats::default());
        let enter = |port: &str, request: &[u8]| seats.enter(peer(&format!("10.0.0.9:{port}")), request);
        let seat = enter("2070", b"a").ok().unwrap();
        assert_eq!(enter("2070", b"a").err(), Some(Taken::Repeated));
        assert!(enter("2070", b"b").is_ok() && enter("2071", b"a").is_ok());
        seat.heard();
        assert!(enter("2070", b"a").is_ok(), "the machine began again");
        drop(seat);
        assert!(seats.held().by_id.is_empty());
    }

    #[test]
    fn nobody_takes_every_place() {
        let seats = Arc::new(Seats::default());
        let many = |ips: Vec<String>| -> Vec<Seat> {
            ips.iter().filter_map(|ip| seats.enter(peer(&format!("{ip}:1")), ip.as_bytes()).ok()).collect()
        };
        let one: Vec<Seat> =
            (0..20).filter_map(|n| seats.enter(peer(&format!("10.0.0.9:{n}")), b"x").ok()).collect();
        assert_eq!(one.len(), OF_ADDRESS);
        let network = many((0..300).map(|n| format!("[fd00::{n:x}]")).collect());
        assert_eq!(network.len(), OF_NETWORK);
        let rest = many((0..300).map(|n| format!("10.1.{}.{}", n / 256, n % 256)).collect());
        assert_eq!(one.len() + network.len() + rest.len(), ALL);
        assert_eq!(seats.enter(peer("10.9.9.9:1"), b"x").err(), Some(Taken::All));
    }
}
