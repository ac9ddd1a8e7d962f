//! Open connections by peer. An IPv6 host owns its whole /64.

use moxxie_core::limit::client;
use std::collections::HashMap;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

/// Whose places a connection takes, and how many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    whose: IpAddr,
    most: usize,
}

impl Share {
    /// The peer's own: so many.
    pub fn of(peer: IpAddr, most: usize) -> Share {
        Share { whose: client(peer), most }
    }

    /// Those of all peers that are on no list, together: whatever they ask, they will be refused.
    pub fn of_strangers(most: usize) -> Share {
        Share { whose: IpAddr::V4(Ipv4Addr::UNSPECIFIED), most }
    }
}

/// The count for each peer.
#[derive(Default)]
pub(super) struct Peers {
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// One connection's place among those of its peer; given back when dropped.
pub(super) struct Seat {
    peers: Arc<Peers>,
    peer: IpAddr,
}

impl Peers {
    /// A place for one more connection out of this share, unless it is used up.
    pub fn seat(self: &Arc<Self>, Share { whose: peer, most }: Share) -> Option<Seat> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_addresses_or_prefixes() {
        let peers = Arc::new(Peers::default());
        let seat = |ip: &str| peers.seat(Share::of(ip.parse().unwrap(), 1));
        let held = [seat("10.0.0.1"), seat("fd00::1")];
        assert!(held.iter().all(Option::is_some));
        assert!(seat("::ffff:10.0.0.1").is_none(), "the same address");
        assert!(seat("fd00::2").is_none(), "the same /64");
        assert!(seat("10.0.0.2").is_some() && seat("fd00:0:0:1::1").is_some());
        drop(held);
        assert!(peers.open.lock().unwrap().is_empty());
    }

    #[test]
    fn strangers_share_and_take_nobody_elses_places() {
        let peers = Arc::new(Peers::default());
        let held: Vec<_> = (0..3).map(|_| peers.seat(Share::of_strangers(2))).collect();
        assert_eq!(held.iter().flatten().count(), 2, "whoever they are");
        assert!(peers.seat(Share::of("10.0.0.1".parse().unwrap(), 1)).is_some());
        drop(held);
        assert!(peers.seat(Share::of_strangers(2)).is_some());
    }
}
