//! Refusals that repeat, and the limits on their records.

use ipnet::IpNet;
use moxxie_core::audit::AuditRecord;
use moxxie_core::mac::MacAddr;
use moxxie_core::time::{Span, Timestamp};
use serde_json::json;
use std::collections::HashMap;
use std::net::IpAddr;

/// What repeats within this time is one record of its first occurrence, and one of the others.
pub const FOLD: Span = Span::minutes(1);
/// New records in a minute, of each of the two budgets: 120 of both.
const MOST: u32 = 60;
/// The same of one neighborhood: 20 of both.
const MOST_OF_ONE: u32 = 10;
/// Records in a day (UTC), of each budget: 20,000 of both.
const MOST_A_DAY: u32 = 10_000;
/// Neighborhoods that are counted while they are left out.
const COUNTED: usize = 1024;
/// Neighborhoods that are named.
const NAMED: usize = 5;

/// Refusals that share limits. People knock at the API, machines and whoever looks like one at the
/// rest: neither hides what the other does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Budget {
    Api,
    Rest,
}

/// A refusal that was seen.
pub struct Sighting {
    pub at: Timestamp,
    pub actor: String,
    pub machine: Option<MacAddr>,
    pub target: String,
    pub peer: IpAddr,
    pub kind: &'static str,
    pub why: String,
}

/// Sightings with the same key are one matter. Nothing in it is the asker's choice.
type Key = (&'static str, IpNet, String);

impl Sighting {
    pub fn budget(&self) -> Budget {
        if self.kind == "api" { Budget::Api } else { Budget::Rest }
    }

    fn key(&self) -> Key {
        (self.kind, neighborhood(self.peer), self.actor.clone())
    }

    fn record(&self, count: u64) -> AuditRecord {
        let mut after = json!({"kind": self.kind, "why": self.why, "count": count});
        if let Some(mac) = self.machine {
            after["machine"] = mac.to_string().into();
        }
        AuditRecord {
            seq: 0,
            at: self.at,
            actor: self.actor.clone(),
            action: "access.refused".into(),
            target: self.target.clone(),
            peer: Some(self.peer.to_string()),
            before: None,
            after: Some(after),
        }
    }
}

/// Addresses of one host or its neighbors: whoever has a network has all of them.
pub(crate) fn neighborhood(peer: IpAddr) -> IpNet {
    let length = if peer.is_ipv4() { 24 } else { 64 };
    IpNet::new(peer, length).map_or(IpNet::from(peer), |net| net.trunc())
}

/// Folds what repeats, and keeps to the limits.
#[derive(Default)]
pub struct Folder {
    /// What was written within the last minute, and how often it came again. Never more than were
    /// written in two minutes.
    again: HashMap<Key, Again>,
    minute: Timestamp,
    /// New records of this minute.
    written: HashMap<Budget, u32>,
    /// The same by neighborhood. Never more than were written.
    of_one: HashMap<(Budget, IpNet), u32>,
    day: i64,
    /// Records of this day.
    today: HashMap<Budget, u32>,
    left_out: u64,
    by_net: HashMap<IpNet, u64>,
}

struct Again {
    since: Timestamp,
    last: Option<Sighting>,
    count: u64,
}

impl Folder {
    pub fn take(&mut self, sighting: Sighting, out: &mut Vec<AuditRecord>) {
        self.turn(sighting.at, out);
        let key = sighting.key();
        if self.again.get(&key).is_some_and(|again| sighting.at - again.since >= FOLD) {
            self.close(&key, out);
        }
        if let Some(again) = self.again.get_mut(&key) {
            again.count += 1;
            again.last = Some(sighting);
        } else if self.has_room(sighting.budget(), key.1) {
            out.push(sighting.record(1));
            self.again.insert(key, Again { since: sighting.at, last: None, count: 0 });
        } else {
            self.leave_out(1, Some(key.1));
        }
    }

    /// Takes a place for a new record, if there is one.
    fn has_room(&mut self, budget: Budget, net: IpNet) -> bool {
        let of = |count: Option<&u32>| count.copied().unwrap_or(0);
        if of(self.written.get(&budget)) >= MOST
            || of(self.of_one.get(&(budget, net))) >= MOST_OF_ONE
            || !self.has_day(budget)
        {
            return false;
        }
        *self.written.entry(budget).or_default() += 1;
        *self.of_one.entry((budget, net)).or_default() += 1;
        true
    }

    /// Takes a place of this day, if there is one.
    fn has_day(&mut self, budget: Budget) -> bool {
        let today = self.today.entry(budget).or_default();
        let room = *today < MOST_A_DAY;
        *today += u32::from(room);
        room
    }

    /// So many get no record.
    pub fn leave_out(&mut self, count: u64, net: Option<IpNet>) {
        self.left_out += count;
        let Some(net) = net else { return };
        if let Some(known) = self.by_net.get_mut(&net) {
            *known += count;
        } else if self.by_net.len() < COUNTED {
            self.by_net.insert(net, count);
        } else {
            // Whoever knocks often stays, whoever came once goes (Misra and Gries, 1982).
            self.by_net.retain(|_, known| {
                *known -= 1;
                *known > 0
            });
        }
    }

    /// Ends what is older than a minute, or everything.
    pub fn sweep(&mut self, now: Timestamp, all: bool, out: &mut Vec<AuditRecord>) {
        let over = |again: &Again| all || now - again.since >= FOLD;
        let keys: Vec<Key> =
            self.again.iter().filter(|(_, again)| over(again)).map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.close(&key, out);
        }
        self.turn(now, out);
        if all {
            self.tell(now, out);
        }
    }

    fn close(&mut self, key: &Key, out: &mut Vec<AuditRecord>) {
        if let Some(Again { last: Some(last), count, .. }) = self.again.remove(key) {
            // Of at most as many as were written: needs no limit by the minute.
            match self.has_day(last.budget()) {
                true => out.push(last.record(count)),
                false => self.leave_out(count, Some(key.1)),
            }
        }
    }

    /// Begins a minute and a day, when they are over.
    fn turn(&mut self, now: Timestamp, out: &mut Vec<AuditRecord>) {
        if now - self.minute < FOLD {
            return;
        }
        self.minute = now;
        self.written.clear();
        self.of_one.clear();
        let day = now.0.div_euclid(Span::hours(24).0);
        if day != self.day {
            self.day = day;
            self.today.clear();
        }
        self.tell(now, out);
    }

    /// Says what was left out.
    fn tell(&mut self, now: Timestamp, out: &mut Vec<AuditRecord>) {
        let left_out = std::mem::take(&mut self.left_out);
        let mut nets: Vec<(IpNet, u64)> = self.by_net.drain().collect();
        if left_out == 0 {
            return;
        }
        metrics::counter!("moxxie_audit_left_out_total").increment(left_out);
        nets.sort_unstable_by_key(|(net, count)| (std::cmp::Reverse(*count), *net));
        let most: Vec<_> =
            nets.iter().take(NAMED).map(|(net, count)| json!({"network": net, "count": count})).collect();
        out.push(AuditRecord {
            seq: 0,
            at: now,
            actor: "system".into(),
            action: "access.left_out".into(),
            target: "audit log".into(),
            peer: None,
            before: None,
            after: Some(json!({"count": left_out, "most": most})),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A day begins here.
    const START: i64 = 86_400_000 * 20_000;

    fn sighting(at: i64, kind: &'static str, peer: [u8; 4], actor: &str) -> Sighting {
        Sighting {
            at: Timestamp(START + at),
            actor: actor.into(),
            machine: None,
            target: "config".into(),
            peer: IpAddr::from(peer),
            kind,
            why: "no token".into(),
        }
    }

    fn counts(out: &[AuditRecord]) -> Vec<i64> {
        out.iter().map(|r| r.after.as_ref().and_then(|a| a["count"].as_i64()).unwrap()).collect()
    }

    fn of(out: &[AuditRecord], kind: &str) -> usize {
        out.iter().filter(|r| r.after.as_ref().is_some_and(|a| a["kind"] == kind)).count()
    }

    #[test]
    fn what_repeats_is_one_record_and_a_count() {
        let (mut folder, mut out) = (Folder::default(), Vec::new());
        let a = |at: i64| sighting(at, "api", [10, 0, 0, at as u8], "a");
        for n in 0..100 {
            folder.take(a(n), &mut out);
        }
        assert_eq!(counts(&out), [1], "the first is written at once");
        folder.sweep(Timestamp(START + 59_000), false, &mut out);
        assert_eq!(out.len(), 1);
        folder.sweep(Timestamp(START + 60_000), false, &mut out);
        assert_eq!(counts(&out), [1, 99]);
        folder.take(a(60_001), &mut out);
        folder.take(sighting(60_002, "api", [10, 0, 0, 1], "b"), &mut out);
        folder.take(a(125_000), &mut out);
        assert_eq!(counts(&out), [1, 99, 1, 1, 1], "a new minute begins");
    }

    #[test]
    fn a_machine_that_was_named_makes_no_matter_of_its_own() {
        let (mut folder, mut out) = (Folder::default(), Vec::new());
        for n in 0..200 {
            let machine = format!("02:00:00:00:00:{n:02x}").parse().ok();
            folder.take(Sighting { machine, ..sighting(1, "config", [10, 0, 0, 1], "unknown") }, &mut out);
        }
        assert_eq!(counts(&out), [1]);
        assert_eq!(out[0].after.as_ref().unwrap()["machine"], "02:00:00:00:00:00");
    }

    #[test]
    fn no_kind_and_no_neighborhood_takes_the_room_of_others() {
        let (mut folder, mut out) = (Folder::default(), Vec::new());
        for n in 0..100 {
            folder.take(sighting(1, "config", [10, 0, 0, 1], &n.to_string()), &mut out);
        }
        assert_eq!(out.len(), MOST_OF_ONE as usize);
        for n in 0..5000_u16 {
            let [a, b] = n.to_be_bytes();
            folder.take(sighting(2, "config", [10, 1 + a, b, 1], "unknown"), &mut out);
        }
        assert_eq!(of(&out, "config"), MOST as usize);
        for n in 0..100 {
            folder.take(sighting(3, "api", [10, 0, n, 1], "unknown"), &mut out);
        }
        assert_eq!(of(&out, "api"), MOST as usize);
        folder.sweep(Timestamp(START + 61_000), false, &mut out);
        let last = out.last().unwrap();
        let after = last.after.as_ref().unwrap();
        assert_eq!((last.action.as_str(), after["count"].as_u64()), ("access.left_out", Some(5080)));
        let most = after["most"].as_array().unwrap();
        assert_eq!((most.len(), &most[0]["network"]), (NAMED, &json!("10.0.0.0/24")), "{after}");
        assert!(folder.again.is_empty() && folder.by_net.is_empty());
        folder.take(sighting(62_000, "config", [10, 0, 0, 1], "x"), &mut out);
        assert_eq!(out.last().unwrap().action, "access.refused", "a new minute");
    }

    #[test]
    fn a_day_has_an_end() {
        let (mut folder, mut out) = (Folder::default(), Vec::new());
        for minute in 0..300_i64 {
            for n in 0..70 {
                folder.take(sighting(minute * 60_000, "api", [10, minute as u8, n, 1], "unknown"), &mut out);
            }
        }
        assert_eq!(of(&out, "api"), MOST_A_DAY as usize);
        folder.take(sighting(300 * 60_000, "config", [10, 0, 0, 1], "unknown"), &mut out);
        assert_eq!(of(&out, "config"), 1, "the others have days of their own");
        folder.take(sighting(86_400_000, "api", [10, 0, 0, 1], "unknown"), &mut out);
        assert_eq!(of(&out, "api"), MOST_A_DAY as usize + 1, "the next day");
    }

    #[test]
    fn neighbors_are_one() {
        assert_eq!(neighborhood("10.1.2.3".parse().unwrap()).to_string(), "10.1.2.0/24");
        assert_eq!(neighborhood("2001:db8:1:2:3::4".parse().unwrap()).to_string(), "2001:db8:1:2::/64");
    }
}
