//! Manual approval: a machine waits at its screen until an operator has read the code there.
//!
//! The code is made from who asks and from where, so two machines that ask in one name show two
//! codes, and an approval is for the one whose screen was read. Nothing of it is secret for long:
//! what protects it is that wrong guesses are few ([`MOST_WRONG`]).

use crate::boot::claims::BootClaims;
use crate::boot::decide::Known;
use crate::keyed::{self, Mac};
use crate::machine::{MachineUuid, Serial};
use crate::site::Site;
use crate::time::{Span, Timestamp};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::str::FromStr;

/// Whether somebody has to be there when a machine boots its profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Approval {
    /// The open window is enough.
    #[default]
    Auto,
    /// An operator approves each boot by the code on the machine's screen.
    Manual,
}

impl Approval {
    /// The spelling in JSON and in the database.
    pub fn as_str(&self) -> &'static str {
        match self {
            Approval::Auto => "auto",
            Approval::Manual => "manual",
        }
    }

    /// What holds for this machine: its own word, or its profile's.
    pub fn of(known: &Known) -> Approval {
        known.assignment.spec.approval.unwrap_or(known.shelf.profile.spec.approval)
    }
}

impl FromStr for Approval {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        [Approval::Auto, Approval::Manual].into_iter().find(|a| a.as_str() == text).ok_or(())
    }
}

/// The use that the codes' key is derived for ([`crate::token::SiteKey::derive`]).
pub const KEY: &str = "approval";
/// Machines that may wait in the name of one assignment, each with a code. Further ones wait for a
/// place of their own.
pub const MOST_WAITING: usize = 4;
/// Wrong codes until all machines that wait show new ones.
pub const MOST_WRONG: i64 = 5;
/// Wrong codes in one window, whatever codes were shown: beyond that none counts.
pub const MOST_WRONG_AT_ALL: i64 = 15;
/// Somebody else may have the place of a machine that has not asked for this long.
const STALE: Span = Span::seconds(60);
/// The code of a machine that lost its place is known for this long.
const REMEMBERED: Span = Span::minutes(10);
/// A waiting machine is written down again after this long.
const NOTED: Span = Span::seconds(30);
/// A machine that has not asked for this long waits no more.
const GONE: Span = Span::minutes(2);

/// Who asks, as far as anybody can tell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Asker {
    /// The UUID it sent, the same for both byte orders.
    pub uuid: Option<MachineUuid>,
    /// The serial number it sent.
    pub serial: Option<Serial>,
    /// The network that its token would be good for.
    pub network: IpNet,
}

impl Asker {
    /// The one behind a request.
    pub fn new(claims: &BootClaims, peer: IpAddr, site: &Site) -> Asker {
        Asker {
            uuid: claims.uuid.map(|uuid| uuid.key()),
            serial: claims.serial.clone(),
            network: site.token_network(peer),
        }
    }

    /// The four digits on its screen. `key` is the site key's own for this use; `counter` makes
    /// others after too many wrong ones.
    pub fn code(&self, key: &[u8; 32], assignment: &str, generation: i64, counter: i64) -> String {
        let mut mac = keyed::hmac(key);
        let uuid = self.uuid.map(|uuid| uuid.to_string()).unwrap_or_default();
        let serial = self.serial.as_ref().map_or("", Serial::as_str);
        // None of the parts can hold a line break.
        let network = self.network;
        mac.update(format!("{assignment}\n{generation}\n{counter}\n{uuid}\n{serial}\n{network}").as_bytes());
        let [a, b, c, d, e, f, g, h, ..]: [u8; 32] = mac.finalize().into_bytes().into();
        format!("{:04}", u64::from_be_bytes([a, b, c, d, e, f, g, h]) % 10_000)
    }
}

/// Whether this asker shows what is pinned of the machine.
pub fn is_pinned(known: &Known, asker: &Asker) -> bool {
    let spec = &known.assignment.spec;
    let uuid = matches!((spec.uuid, asker.uuid), (Some(pinned), Some(sent)) if pinned.same_machine(&sent));
    uuid || spec.serial.is_some() && spec.serial == asker.serial
}

/// A machine that waits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Waiting {
    /// Who.
    pub asker: Asker,
    /// The UUID in the byte order that it sent.
    #[serde(default)]
    pub uuid: Option<MachineUuid>,
    /// The address it last asked from.
    pub ip: IpAddr,
    /// When it first asked.
    pub asked_at: Timestamp,
    /// When it last asked, to half a minute.
    pub seen_at: Timestamp,
}

/// An operator's approval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Approved {
    /// Of whom.
    pub asker: Asker,
    /// When.
    pub at: Timestamp,
    /// It may be started until then.
    pub until: Timestamp,
}

/// Who waits for approval in one window, and who has it. Every new window begins with none.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Asking {
    /// Goes up when the codes change.
    pub counter: i64,
    /// Wrong codes since then.
    pub wrong: i64,
    /// Wrong codes in this window.
    pub wrong_at_all: i64,
    /// Who waits.
    pub waiting: Vec<Waiting>,
    /// Who lost its place last, the last one at the end.
    pub displaced: Vec<Waiting>,
    /// Who may be started.
    pub approved: Option<Approved>,
    /// Why the machine was quarantined by itself ([`crate::boot::rival::Contention::Freeze`]).
    pub frozen: Option<String>,
}

impl Asking {
    /// Whether this asker may be started now.
    pub fn approves(&self, asker: &Asker, now: Timestamp) -> bool {
        self.approved.as_ref().is_some_and(|a| a.asker == *asker && now < a.until)
    }

    /// Whether this asker is among those that wait.
    pub fn knows(&self, asker: &Asker) -> bool {
        self.waiting.iter().any(|w| w.asker == *asker)
    }

    /// With this one among those that wait; `None` when that is written down already, or when there is
    /// no place for it. Whoever came first keeps its place while it asks, and one address has one place;
    /// those that show what is pinned (`pinned`) go before all others.
    pub fn asked(&self, new: Waiting, pinned: impl Fn(&Asker) -> bool) -> Option<Asking> {
        let now = new.seen_at;
        let mut next = self.clone();
        let others = || self.waiting.iter().filter(|w| w.asker != new.asker);
        if let Some(waiting) = next.waiting.iter_mut().find(|w| w.asker == new.asker) {
            // An address that another one has the place of.
            let taken = others().any(|w| w.ip == new.ip && now < w.seen_at + STALE);
            if taken || (waiting.ip == new.ip && now < waiting.seen_at + NOTED) {
                return None;
            }
            *waiting = Waiting { asked_at: waiting.asked_at, ..new };
            return Some(next);
        }
        let one = pinned(&new.asker);
        let yields = |w: &Waiting| match pinned(&w.asker) {
            true => now >= w.seen_at + GONE,
            false => one || now >= w.seen_at + STALE,
        };
        let full = self.waiting.len() >= MOST_WAITING;
        let leaves = match self.waiting.iter().position(|w| w.ip == new.ip) {
            Some(at) => Some(at),
            None if full => (0..self.waiting.len())
                .filter(|at| yields(&self.waiting[*at]))
                .min_by_key(|at| (pinned(&self.waiting[*at].asker), self.waiting[*at].seen_at)),
            None => {
                next.waiting.push(new);
                return Some(next);
            }
        }?;
        if !yields(&self.waiting[leaves]) {
            return None;
        }
        let left = std::mem::replace(&mut next.waiting[leaves], new);
        next.displaced.retain(|w| w.asker != left.asker);
        next.displaced.push(left);
        if next.displaced.len() > MOST_WAITING {
            next.displaced.remove(0);
        }
        Some(next)
    }

    /// Those that showed a code not long ago and have lost their place since.
    pub fn displaced_lately(&self, now: Timestamp) -> impl Iterator<Item = &Waiting> {
        self.displaced.iter().filter(move |w| now < w.seen_at + REMEMBERED && !self.knows(&w.asker))
    }

    /// Whether codes are worth nothing any more in this window.
    pub fn is_guessed_at(&self) -> bool {
        self.wrong_at_all >= MOST_WRONG_AT_ALL
    }

    /// Those that still ask.
    pub fn waiting_now(&self, now: Timestamp) -> impl Iterator<Item = &Waiting> {
        self.waiting.iter().filter(move |w| now < w.seen_at + GONE)
    }

    /// With an approval of this one; it waits no more. An earlier approval is over.
    pub fn given(&self, asker: &Asker, now: Timestamp, until: Timestamp) -> Asking {
        let mut next = Asking { wrong: 0, ..self.clone() };
        next.waiting.retain(|w| w.asker != *asker);
        next.approved = Some(Approved { asker: asker.clone(), at: now, until });
        next
    }

    /// After a wrong code: the [`MOST_WRONG`]th makes every code worthless.
    pub fn missed(&self) -> Asking {
        let next = Asking { wrong_at_all: self.wrong_at_all.saturating_add(1), ..self.clone() };
        match self.wrong + 1 {
            MOST_WRONG.. => Asking { wrong: 0, counter: self.counter + 1, ..next },
            wrong => Asking { wrong, ..next },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asker(serial: &str, network: &str) -> Asker {
        Asker { uuid: None, serial: Serial::known(serial), network: network.parse().unwrap() }
    }

    #[test]
    fn a_code_is_of_one_asker_in_one_window() {
        let one = asker("A1", "10.0.0.0/24");
        let code = one.code(&[7; 32], "a", 1, 0);
        assert!(code.len() == 4 && code.bytes().all(|b| b.is_ascii_digit()), "{code}");
        assert_eq!(code, one.code(&[7; 32], "a", 1, 0), "every replica shows the same");
        let uuid = "4c4c4544-004b-3510-8051-b4c04f4c4d31".parse().ok();
        let others = [
            Asker { uuid, ..one.clone() }.code(&[7; 32], "a", 1, 0),
            asker("A2", "10.0.0.0/24").code(&[7; 32], "a", 1, 0),
            asker("A1", "10.0.1.0/24").code(&[7; 32], "a", 1, 0),
            one.code(&[7; 32], "b", 1, 0),
            one.code(&[7; 32], "a", 2, 0),
            one.code(&[7; 32], "a", 1, 1),
            one.code(&[8; 32], "a", 1, 0),
        ];
        assert!(others.iter().all(|other| *other != code), "{code} {others:?}");
        // No more alike than chance makes four digits: about one in ten thousand.
        let two = asker("A1", "10.0.1.0/24");
        let same = (0..10_000).filter(|n| one.code(&[7; 32], "a", *n, 0) == two.code(&[7; 32], "a", *n, 0));
        assert!(same.count() < 10);
    }

    fn waits(serial: &str, ip: u8, at: i64) -> Waiting {
        let (asker, at) = (asker(serial, "10.0.0.0/24"), Timestamp(at));
        Waiting { asker, uuid: None, ip: IpAddr::from([10, 0, 0, ip]), asked_at: at, seen_at: at }
    }

    #[test]
    fn whoever_came_first_keeps_its_place() {
        let none = |_: &Asker| false;
        let mut asking = Asking::default();
        for n in 0..4 {
            asking = asking.asked(waits(&format!("S{n}"), n, 0), none).unwrap();
        }
        // The line is full, and one address has one place.
        assert_eq!(asking.asked(waits("S9", 9, 59_999), none), None);
        assert_eq!(
            Asking::default().asked(waits("S1", 1, 0), none).unwrap().asked(waits("S2", 1, 9), none),
            None
        );
        // Nobody holds two places by asking for both from one address.
        assert_eq!(asking.asked(waits("S1", 0, 40_000), none), None);
        // The machine itself finds a place, and keeps it.
        let own = |asker: &Asker| asker.serial == Serial::known("OWN1");
        let with = asking.asked(waits("OWN1", 7, 10), own).unwrap();
        assert!(with.knows(&waits("OWN1", 7, 0).asker) && with.waiting.len() == MOST_WAITING);
        assert_eq!(with.displaced_lately(Timestamp(20)).count(), 1);
        assert_eq!(with.displaced_lately(Timestamp(600_000)).count(), 0);
        let mut with = with;
        for n in 10..30 {
            with = with.asked(waits(&format!("S{n}"), n, 100_000), own).unwrap_or(with);
        }
        assert!(with.knows(&waits("OWN1", 7, 0).asker) && with.displaced.len() <= MOST_WAITING);
        // A place that nobody asks from is free.
        let later = asking.asked(waits("S9", 9, 60_000), none).unwrap();
        assert!(later.knows(&waits("S9", 9, 0).asker) && later.waiting.len() == MOST_WAITING);
    }

    #[test]
    fn few_guesses_are_free() {
        let none = |_: &Asker| false;
        let last = asker("S19", "10.0.0.0/24");
        let mut asking = Asking::default().asked(waits("S19", 9, 19), none).unwrap();
        assert_eq!(asking.asked(waits("S19", 9, 29_000), none), None);
        assert!(asking.asked(waits("S19", 9, 30_019), none).is_some());
        assert_eq!(asking.waiting_now(Timestamp(120_018)).count(), 1);

        for wrong in 1..MOST_WRONG {
            asking = asking.missed();
            assert_eq!((asking.wrong, asking.counter), (wrong, 0));
        }
        asking = asking.missed();
        assert_eq!((asking.wrong, asking.counter), (0, 1));
        for n in 5..MOST_WRONG_AT_ALL {
            assert!(!asking.is_guessed_at(), "{n}");
            asking = asking.missed();
        }
        assert!(asking.is_guessed_at() && asking.counter == 3);

        let given = asking.given(&last, Timestamp(5), Timestamp(9));
        assert!(given.approves(&last, Timestamp(8)) && !given.approves(&last, Timestamp(9)));
        assert!(!given.approves(&asker("S18", "10.0.0.0/24"), Timestamp(8)) && !given.knows(&last));
        let text = serde_json::to_string(&given).unwrap();
        assert_eq!(serde_json::from_str::<Asking>(&text).unwrap().approved.unwrap().asker, last);
    }
}
