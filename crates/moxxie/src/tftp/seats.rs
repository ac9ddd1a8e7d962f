//! Which transfers run, and how many of whom.
//!
//! The sender of a datagram may be forged. Whoever was answered and has not been heard yet holds a
//! place only as long as nobody else needs it.

use moxxie_core::limit::client;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Transfers in all. Each has a socket and holds its file.
pub const ALL: usize = 256;
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
    /// The oldest first.
    by_id: BTreeMap<u64, Entry>,
}

struct Entry {
    peer: SocketAddr,
    state: State,
    given_up: Arc<Notify>,
}

enum State {
    /// The file is looked for. What takes long then is no fault of the client, and of those that
    /// ask again meanwhile none would ever be served if they pushed each other out.
    Asked(Vec<u8>),
    /// The first answer is on its way.
    Answered(Vec<u8>),
    /// The client has answered.
    Heard,
}

impl Entry {
    /// The datagram, until the client was heard.
    fn request(&self) -> Option<&[u8]> {
        match &self.state {
            State::Asked(request) | State::Answered(request) => Some(request),
            State::Heard => None,
        }
    }
}

impl Running {
    /// Whether there is room for one more beside these: the oldest that may be nobody gives way.
    fn room(&mut self, most: usize, beside: impl Fn(&Entry) -> bool) -> bool {
        if self.by_id.values().filter(|entry| beside(entry)).count() < most {
            return true;
        }
        let gives_way = |entry: &Entry| beside(entry) && matches!(entry.state, State::Answered(_));
        let oldest = self.by_id.iter().find(|(_, entry)| gives_way(entry)).map(|(id, _)| *id);
        let entry = oldest.and_then(|id| self.by_id.remove(&id));
        entry.map(|entry| entry.given_up.notify_one()).is_some()
    }
}

/// One transfer's place; given back when dropped.
pub(super) struct Seat {
    seats: Arc<Seats>,
    id: u64,
    given_up: Arc<Notify>,
}

impl Seats {
    fn held(&self) -> MutexGuard<'_, Running> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for the transfer that this request asks for.
    pub fn enter(self: &Arc<Self>, peer: SocketAddr, request: &[u8]) -> Result<Seat, Taken> {
        let mut running = self.held();
        if running.by_id.values().any(|e| e.peer == peer && e.request() == Some(request)) {
            return Err(Taken::Repeated);
        }
        let network = client(peer.ip());
        if !running.room(OF_ADDRESS, |e| e.peer.ip() == peer.ip())
            || !running.room(OF_NETWORK, |e| client(e.peer.ip()) == network)
        {
            return Err(Taken::Address);
        }
        if !running.room(ALL, |_| true) {
            return Err(Taken::All);
        }
        let id = running.next;
        running.next += 1;
        let given_up = Arc::new(Notify::new());
        let state = State::Asked(request.to_vec());
        running.by_id.insert(id, Entry { peer, state, given_up: given_up.clone() });
        metrics::gauge!("moxxie_tftp_running").increment(1.0);
        Ok(Seat { seats: self.clone(), id, given_up })
    }
}

impl Seat {
    /// The file was found, and the client is answered.
    pub fn answered(&self) {
        if let Some(entry) = self.seats.held().by_id.get_mut(&self.id)
            && let State::Asked(request) = &mut entry.state
        {
            entry.state = State::Answered(std::mem::take(request));
        }
    }

    /// The client has answered: from now on the same request is a new one, of a machine that was
    /// switched off and on, and whose ROM uses the same port each time.
    pub fn heard(&self) {
        if let Some(entry) = self.seats.held().by_id.get_mut(&self.id) {
            entry.state = State::Heard;
        }
    }

    /// Returns when the place was given to somebody else.
    pub async fn given_up(&self) {
        self.given_up.notified().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.held().by_id.remove(&self.id);
        metrics::gauge!("moxxie_tftp_running").decrement(1.0);
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

    #[tokio::test]
    async fn who_is_never_heard_gives_way_the_oldest_first() {
        let seats = Arc::new(Seats::default());
        let enter = |n: usize| seats.enter(peer(&format!("10.0.{}.{}:1", n / 256, n % 256)), b"x");
        let forged: Vec<Seat> = (0..ALL).map(|n| enter(n).ok().unwrap()).collect();
        assert_eq!(enter(ALL).err(), Some(Taken::All), "their files are looked for");
        forged.iter().skip(1).for_each(Seat::answered);
        forged[1].heard();
        let newest = enter(ALL).ok().unwrap();
        forged[2].given_up().await;
        newest.answered();
        newest.heard();
        for n in 0..2 * ALL {
            // Each flies out again as the next of them comes.
            enter(1000 + n).ok().unwrap().answered();
        }
        let held = |seat: &Seat| seats.held().by_id.contains_key(&seat.id);
        assert!(held(&forged[0]) && held(&forged[1]) && !held(&forged[2]) && held(&newest));
        // The same within one address and one network.
        for ips in [
            ["10.9.9.9"; 20].map(str::to_owned).to_vec(),
            (0..200).map(|n| format!("[fd00::{n:x}]")).collect(),
        ] {
            let mut kept = Vec::new();
            for (n, ip) in ips.iter().enumerate() {
                let seat = seats.enter(peer(&format!("{ip}:{}", n + 1)), b"x").ok().unwrap();
                seat.answered();
                kept.push(seat);
            }
            assert!(held(kept.last().unwrap()) && !held(&kept[0]), "{}", ips[0]);
        }
    }
}
