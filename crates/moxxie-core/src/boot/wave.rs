//! Waves, not stampedes: whose turn it is to fetch kernel and initrd, and who waits.
//!
//! A house with two limits: bytes that are being fetched, and machines that fetch them. Whoever is
//! admitted holds what it needs until it is done. Whoever waits stands in one line: machines that
//! go first before all others, and within each class by when they first asked. A machine is let
//! in when there is room for it *and* for everybody ahead of it, so nobody overtakes, however
//! small, and a large one is not starved; and it need not wait until those ahead have asked again
//! to hear that it is their turn. An empty house admits the first in line even if it needs more
//! than the whole limit.
//!
//! Nothing here knows a clock: `now` is an argument and never goes back.

use crate::mac::MacAddr;
use crate::time::{Span, Timestamp};
use std::collections::{BTreeMap, VecDeque};

/// Machines that are remembered as waiting, and that may be admitted at once. Those beyond wait
/// without a place of their own: they are let in when nobody who has one would lose by it.
pub const MOST: usize = 100_000;
/// The longest pause between two askings, in seconds.
pub const LONGEST_PAUSE: u32 = 15;
/// The shortest.
const SHORTEST_PAUSE: u32 = 5;
/// Who has not asked for three pauses has gone away, and loses its place.
const PATIENCE: Span = Span::seconds(3 * LONGEST_PAUSE as i64);
/// An admitted machine of which nothing was heard for so long holds nothing any more.
const SILENCE: Span = Span::minutes(5);
/// Nobody holds a seat for longer than it takes to fetch its need this slowly, in bytes a
/// millisecond (1 MB/s), and twice the silence: a download that crawls goes on, but not as everybody's
/// matter.
const CRAWL: u64 = 1000;
/// How many admissions the forecast looks back upon.
const RECENT: usize = 16;

/// What may be under way at once. `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Bytes that admitted machines need, in sum.
    pub bytes: Option<u64>,
    /// Admitted machines.
    pub boots: Option<usize>,
}

impl Limits {
    /// Whether there is nothing to wait for.
    pub fn is_unlimited(&self) -> bool {
        self.bytes.is_none() && self.boots.is_none()
    }

    fn hold(&self, load: Load) -> bool {
        let boots = self.boots.unwrap_or(MOST).min(MOST);
        self.bytes.is_none_or(|most| load.bytes <= most.into()) && load.boots <= boots
    }
}

/// Which line a machine stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Others wait for what it serves: control planes.
    First,
    /// Every other machine.
    Usual,
}

/// The answer to a machine that asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It may boot now.
    Admit,
    /// Not yet.
    Wait {
        /// Its place in the line, from 1.
        place: usize,
        /// How many wait, itself included.
        of: usize,
        /// How long it will be, going by the last admissions; unknown before the first.
        about: Option<Span>,
    },
}

/// What machines hold together. Sums of sizes cannot overflow in 128 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Load {
    bytes: u128,
    boots: usize,
}

impl Load {
    fn and(self, need: u64) -> Load {
        Load { bytes: self.bytes + u128::from(need), boots: self.boots + 1 }
    }
}

/// An admitted machine.
#[derive(Debug)]
struct Seat {
    need: u64,
    /// What it has not fetched yet.
    left: u64,
    heard: Timestamp,
    /// Nothing that is heard later keeps it.
    until: Timestamp,
}

/// A waiting machine.
#[derive(Debug)]
struct Waiter {
    mac: MacAddr,
    /// Grows with each machine that asks for the first time: the order in a line.
    ticket: u64,
    need: u64,
    heard: Timestamp,
}

/// Who is in, and who waits.
#[derive(Debug)]
pub struct Waves {
    limits: Limits,
    seats: BTreeMap<MacAddr, Seat>,
    /// The sum over `seats`.
    load: Load,
    /// One line for each class, each in the order of tickets.
    lines: [Vec<Waiter>; 2],
    /// Where each waiting machine stands.
    tickets: BTreeMap<MacAddr, (Class, u64)>,
    next_ticket: u64,
    /// Nobody can have gone silent before this.
    look_again: Timestamp,
    /// When the line formed, then when those who had waited were admitted; oldest first.
    recent: VecDeque<Timestamp>,
}

impl Waves {
    /// An empty house.
    pub fn new(limits: Limits) -> Waves {
        Waves {
            limits,
            seats: BTreeMap::new(),
            load: Load::default(),
            lines: [Vec::new(), Vec::new()],
            tickets: BTreeMap::new(),
            next_ticket: 0,
            look_again: Timestamp(i64::MAX),
            recent: VecDeque::new(),
        }
    }

    /// Other limits from now on. Who is admitted stays so, also beyond them; who waits keeps its
    /// place.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Admitted machines.
    pub fn admitted(&self) -> usize {
        self.load.boots
    }

    /// Waiting machines, as far as they are remembered.
    pub fn waiting(&self) -> usize {
        self.tickets.len()
    }

    /// What admitted machines need, in bytes.
    pub fn bytes(&self) -> u128 {
        self.load.bytes
    }

    /// A machine asks whether it may boot. One that is admitted already is admitted again, and is
    /// taken to begin anew: firmware asks more than once.
    pub fn ask(&mut self, mac: MacAddr, class: Class, need: u64, now: Timestamp) -> Turn {
        self.forget(now);
        self.look_again = self.look_again.min(now + PATIENCE);
        match self.seats.get_mut(&mac) {
            Some(seat) if seat.need == need => {
                (seat.left, seat.heard) = (need, now.min(seat.until));
                return Turn::Admit;
            }
            // Its profile has changed, and with it what it asks for.
            Some(_) => self.finished(mac),
            None => {}
        }
        let waited = self.tickets.get(&mac).copied();
        if waited.is_some_and(|(before, _)| before != class) {
            // It changes lines and keeps its ticket.
            self.leave(mac);
        }
        let ticket = waited.map_or(self.next_ticket, |(_, ticket)| ticket);
        let index = self.line(class).partition_point(|w| w.ticket < ticket);
        if self.has_room(class, index, need) {
            if waited.is_some() {
                self.leave(mac);
                self.remember_admission(now);
            }
            self.load = self.load.and(need);
            let crawl = Span(i64::try_from(need / CRAWL).unwrap_or(i64::MAX / 4));
            let until = now + SILENCE + crawl;
            self.seats.insert(mac, Seat { need, left: need, heard: now, until });
            return Turn::Admit;
        }
        self.stand(Waiter { mac, ticket, need, heard: now }, class, index);
        let place = self.before(class).len() + index + 1;
        Turn::Wait { place, of: self.waiting().max(place), about: self.forecast(place, now) }
    }

    /// Something was heard of an admitted machine: bytes went out to it, or it reported.
    pub fn heard(&mut self, mac: MacAddr, now: Timestamp) {
        if let Some(seat) = self.seats.get_mut(&mac) {
            seat.heard = now.min(seat.until);
        }
    }

    /// The last byte of a file of `bytes` bytes went out to a machine. When these add up to what
    /// it needs, it is done.
    pub fn fetched(&mut self, mac: MacAddr, bytes: u64, now: Timestamp) {
        let Some(seat) = self.seats.get_mut(&mac) else { return };
        seat.heard = now.min(seat.until);
        seat.left = seat.left.saturating_sub(bytes);
        if seat.left == 0 {
            self.finished(mac);
        }
    }

    /// A machine is done, or will not come: it holds nothing any more, and no place.
    pub fn finished(&mut self, mac: MacAddr) {
        if let Some(seat) = self.seats.remove(&mac) {
            self.load.bytes -= u128::from(seat.need);
            self.load.boots -= 1;
        }
        self.leave(mac);
    }

    /// Forgets machines that have gone silent. Every `ask` does.
    pub fn forget(&mut self, now: Timestamp) {
        if now < self.look_again {
            return;
        }
        let mut next = i64::MAX;
        let mut stays = |heard: Timestamp, limit: Span| {
            let stays = now - heard < limit;
            if stays {
                next = next.min((heard + limit).0);
            }
            stays
        };
        self.seats.retain(|_, seat| stays(seat.heard, SILENCE));
        for line in &mut self.lines {
            line.retain(|waiter| {
                let stays = stays(waiter.heard, PATIENCE);
                if !stays {
                    self.tickets.remove(&waiter.mac);
                }
                stays
            });
        }
        self.look_again = Timestamp(next);
        self.load = self.seats.values().fold(Load::default(), |load, seat| load.and(seat.need));
    }

    fn line(&self, class: Class) -> &[Waiter] {
        &self.lines[class as usize]
    }

    /// The line that goes before the line of this class.
    fn before(&self, class: Class) -> &[Waiter] {
        match class {
            Class::First => &[],
            Class::Usual => self.line(Class::First),
        }
    }

    /// Whether there is room for everybody ahead of this place and for the machine itself.
    fn has_room(&self, class: Class, index: usize, need: u64) -> bool {
        let mut ahead = self.before(class).iter().chain(&self.line(class)[..index]).peekable();
        if self.seats.is_empty() && ahead.peek().is_none() {
            return true;
        }
        let mut load = self.load;
        for waiter in ahead {
            load = load.and(waiter.need);
            // The first who has to wait ends the look: a long line costs no more than a short one.
            if !self.limits.hold(load) {
                return false;
            }
        }
        self.limits.hold(load.and(need))
    }

    /// Puts a machine in its place, or renews what is known of it there.
    fn stand(&mut self, waiter: Waiter, class: Class, index: usize) {
        if self.tickets.contains_key(&waiter.mac) {
            self.lines[class as usize][index] = waiter;
            return;
        }
        if self.waiting() >= MOST {
            return;
        }
        if self.waiting() == 0 {
            self.recent = VecDeque::from([waiter.heard]);
        }
        self.next_ticket = self.next_ticket.max(waiter.ticket + 1);
        self.tickets.insert(waiter.mac, (class, waiter.ticket));
        self.lines[class as usize].insert(index, waiter);
    }

    /// Takes a machine out of its line.
    fn leave(&mut self, mac: MacAddr) {
        let Some((class, ticket)) = self.tickets.remove(&mac) else { return };
        let line = &mut self.lines[class as usize];
        if let Ok(index) = line.binary_search_by_key(&ticket, |w| w.ticket) {
            line.remove(index);
        }
    }

    fn remember_admission(&mut self, now: Timestamp) {
        self.recent.push_back(now);
        while self.recent.len() > RECENT + 1 {
            self.recent.pop_front();
        }
    }

    /// A place, times what one admission took of late.
    fn forecast(&self, place: usize, now: Timestamp) -> Option<Span> {
        let admissions = i64::try_from(self.recent.len()).ok()? - 1;
        let elapsed = (now - *self.recent.front()?).0;
        if admissions < 1 || elapsed < 1 {
            return None;
        }
        Some(Span(elapsed.saturating_mul(i64::try_from(place).ok()?) / admissions))
    }
}

/// Seconds after which a machine in this place asks again: 5 to 15, a little more for those far
/// behind, and never all at once. `jitter` is any number.
pub fn pause(place: usize, jitter: u8) -> u32 {
    let far = u32::try_from(place.saturating_sub(1) / 4).unwrap_or(u32::MAX).min(6);
    (SHORTEST_PAUSE + far + u32::from(jitter % 5)).min(LONGEST_PAUSE)
}
