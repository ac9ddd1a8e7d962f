//! Who has asked how often, and how much is being worked on: `moxxie_core::limit` with locks.
//!
//! **Guesses at tokens.** Whether a token is good stands in the database, so each guess costs a
//! look there. An address has ten failures a minute, and all addresses together have some; who has
//! used them up is still answered when
//! * the token was good lately here, or was made here: [`Limits::good`] remembers those; or a
//!   config's token bears the right signature of the machine in its URL, which memory can tell;
//! * or a small budget of looks, of the address and of all, has some left.
//!
//! So whoever guesses behind the same NAT cannot keep a machine from its config or a person from
//! the API, and guesses reach the database a few times a minute. Failures are counted when they
//! have failed: requests of one address that run side by side may exceed the allowance by their
//! number, which the connections of an address limit.

use crate::clock::random;
use crate::config::limits::Limits as Settings;
use moxxie_core::limit::{Bucket, Rate, Table, client};
use moxxie_core::mac::MacAddr;
use std::collections::{HashSet, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Clients and machines that are told apart: 1 MiB each.
const CLIENTS: usize = 64 * 1024;
/// API tokens that are told apart.
const TOKENS: usize = 4096;
/// Tokens that were good lately: those of a large wave of boots.
const GOOD: usize = 16 * 1024;
/// Failures of all addresses a second, and at once, before each further look has to be paid for.
const ALL_FAILURES: (u32, u32) = (50, 500);
/// Looks a minute, and at once, of an address that has used up its failures.
const LOOKS: (u32, u32) = (10, 5);
/// The same of all such addresses, a second.
const ALL_LOOKS: (u32, u32) = (20, 100);

/// What names a token without being one: a session's id, or the hash of an API token.
pub type TokenName = [u8; 16];

/// The counts.
pub struct Limits {
    boot: Mutex<Table>,
    tftp: Mutex<Table>,
    machine: Mutex<Table>,
    failures: Mutex<Table>,
    looks: Mutex<Table>,
    api: Mutex<Table>,
    all_failures: Mutex<Bucket>,
    all_looks: Mutex<Bucket>,
    good: Mutex<Recent>,
    /// Requests on boot routes that are worked on.
    pub boot_room: Room,
    /// The same of the API.
    pub api_room: Room,
}

impl Default for Limits {
    fn default() -> Limits {
        let table = |keys| Mutex::new(Table::new(keys, random()));
        Limits {
            boot: table(CLIENTS),
            tftp: table(CLIENTS),
            machine: table(CLIENTS),
            failures: table(CLIENTS),
            looks: table(CLIENTS),
            api: table(TOKENS),
            all_failures: Mutex::default(),
            all_looks: Mutex::default(),
            good: Mutex::default(),
            boot_room: Room::default(),
            api_room: Room::default(),
        }
    }
}

impl Limits {
    /// Counts a request on a boot route; whether it may go on. `now` is [`crate::clock::Clock::steady`].
    pub fn boot(&self, settings: &Settings, peer: IpAddr, now: Duration) -> bool {
        settings.boot.is_none_or(|rate| held(&self.boot).take(&key(peer), rate, now).is_ok())
    }

    /// The same for TFTP, counted apart: nothing vouches for the sender of a datagram, so that forged
    /// ones would use up what a machine has for its boot.
    pub fn tftp(&self, settings: &Settings, peer: IpAddr, now: Duration) -> bool {
        settings.boot.is_none_or(|rate| held(&self.tftp).take(&key(peer), rate, now).is_ok())
    }

    /// Counts a script for a machine; whether it may be made. A MAC address is anybody's claim, so
    /// it counts together with the address it is claimed from: nobody elsewhere can use up what a
    /// machine has.
    pub fn machine(&self, settings: &Settings, mac: MacAddr, peer: IpAddr, now: Duration) -> bool {
        let mut name = key(peer);
        name.extend(mac.to_string().bytes());
        settings.machine.is_none_or(|rate| held(&self.machine).take(&name, rate, now).is_ok())
    }

    /// Counts an API request of a token; whether it may go on.
    pub fn api(&self, settings: &Settings, token: &str, now: Duration) -> bool {
        settings.api.is_none_or(|rate| held(&self.api).take(token.as_bytes(), rate, now).is_ok())
    }

    /// Whether the database may be asked about this token.
    pub fn may_look(&self, settings: &Settings, peer: IpAddr, token: &TokenName, now: Duration) -> bool {
        let Some(failures) = settings.failures else { return true };
        let key = key(peer);
        let address_may = held(&self.failures).wait(&key, failures, now).is_none();
        let all_may = rate(ALL_FAILURES, 1).is_none_or(|r| held(&self.all_failures).wait(r, now).is_none());
        if (address_may && all_may) || self.is_good(token) {
            return true;
        }
        rate(LOOKS, 60).is_none_or(|r| held(&self.looks).take(&key, r, now).is_ok())
            && rate(ALL_LOOKS, 1).is_none_or(|r| held(&self.all_looks).take(r, now).is_ok())
    }

    /// A token was refused, or was none.
    pub fn failed(&self, settings: &Settings, peer: IpAddr, now: Duration) {
        let Some(failures) = settings.failures else { return };
        // Who owes a whole burst already owes no more by this.
        let _ = held(&self.failures).take(&key(peer), failures, now);
        let _ = rate(ALL_FAILURES, 1).map(|rate| held(&self.all_failures).take(rate, now));
    }

    /// Whether this token was good lately.
    pub fn is_good(&self, token: &TokenName) -> bool {
        held(&self.good).has(token)
    }

    /// A token was made here, or found to be good.
    pub fn good(&self, token: TokenName) {
        held(&self.good).note(token);
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn rate((count, burst): (u32, u32), seconds: u64) -> Option<Rate> {
    Rate::new(count, Duration::from_secs(seconds), burst)
}

fn key(peer: IpAddr) -> Vec<u8> {
    match client(peer) {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// The last so many tokens.
#[derive(Default)]
struct Recent {
    order: VecDeque<TokenName>,
    known: HashSet<TokenName>,
}

impl Recent {
    fn note(&mut self, token: TokenName) {
        if !self.known.insert(token) {
            return;
        }
        self.order.push_back(token);
        if self.order.len() > GOOD
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    fn has(&self, token: &TokenName) -> bool {
        self.known.contains(token)
    }
}

/// How many requests are inside.
#[derive(Clone, Default)]
pub struct Room(Arc<AtomicUsize>);

/// One request's place; given back when dropped.
pub struct Place(Room);

impl Room {
    /// A place, unless so many are inside; 0: no limit.
    pub fn enter(&self, most: usize) -> Option<Place> {
        let next = |inside: usize| (most == 0 || inside < most).then_some(inside + 1);
        let entered = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next);
        entered.is_ok().then(|| Place(self.clone()))
    }

    /// A place for a request like any other: the last quarter is kept for those that must not be
    /// turned away, which [`Room::enter`] gives it to.
    pub fn enter_unreserved(&self, most: usize) -> Option<Place> {
        // At least one, for a limit of 1 as well.
        self.enter(if most == 0 { 0 } else { (most - most / 4).max(1) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::Limits as File;

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 9));

    fn settings() -> Settings {
        Settings::from_file(&File::default()).unwrap()
    }

    #[test]
    fn guesses_end_and_good_tokens_pass() {
        let (limits, settings) = (Limits::default(), settings());
        limits.good([1; 16]);
        let guess = |n: u32, peer: IpAddr, now: Duration| {
            let mut token = [0; 16];
            token[..4].copy_from_slice(&n.to_be_bytes());
            let may = limits.may_look(&settings, peer, &token, now);
            if may {
                limits.failed(&settings, peer, now);
            }
            may
        };
        let now = Duration::from_secs(100);
        let looks = (0..10_000).filter(|n| guess(*n, PEER, now)).count();
        assert_eq!(looks, 10 + 5);
        assert!(limits.may_look(&settings, PEER, &[1; 16], now), "it was good lately");
        let hour = |s: u64| now + Duration::from_secs(s);
        // A hundred guesses a minute.
        let looks = (0..6000).filter(|n| guess(*n, PEER, hour(u64::from(*n) * 3 / 5))).count();
        assert!(looks <= 20 * 60 + 15, "{looks} looks in an hour");
        // However many addresses guess, all of them together have a budget.
        let at = |n: u32| IpAddr::from(std::net::Ipv4Addr::from_bits(0x0a00_0000 + n));
        let looks = (0..5000).filter(|n| guess(*n, at(*n), hour(4000))).count();
        assert!(looks <= 500 + 100, "{looks} looks in a moment");
    }

    #[test]
    fn the_last_quarter_is_kept() {
        let room = Room::default();
        let ordinary: Vec<Place> = std::iter::from_fn(|| room.enter_unreserved(8)).collect();
        let armed: Vec<Place> = std::iter::from_fn(|| room.enter(8)).collect();
        assert_eq!((ordinary.len(), armed.len()), (6, 2));
        drop(ordinary);
        assert!(room.enter_unreserved(8).is_some());
        assert!((0..100).all(|_| room.enter_unreserved(0).is_some()), "no limit");
        assert!(Room::default().enter_unreserved(1).is_some());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut recent = Recent::default();
        for n in 0..(GOOD as u64 + 10) {
            let mut token = [0; 16];
            token[..8].copy_from_slice(&n.to_be_bytes());
            recent.note(token);
            recent.note(token);
        }
        assert_eq!((recent.order.len(), recent.known.len()), (GOOD, GOOD));
        assert!(!recent.has(&[0; 16]));
    }
}
