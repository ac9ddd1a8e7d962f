//! Which machine asks from which address. The URL of an asset does not say who fetches it, so
//! the gate notes whom it sent where.

use moxxie_core::mac::MacAddr;
use moxxie_core::name::ProfileName;
use moxxie_core::time::{Span, Timestamp};
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// Addresses that are remembered at most.
const ADDRESSES: usize = 10_000;
/// Machines behind one address: more are behind a gateway and cannot be told apart anyway.
const MACHINES: usize = 16;
/// How long a boot script may still be at work.
pub const RECENT: Span = Span::seconds(4 * 60 * 60);

/// Scripts that were handed out, by address.
#[derive(Default)]
pub struct Booted {
    by_address: Mutex<HashMap<IpAddr, VecDeque<Boot>>>,
}

struct Boot {
    machine: MacAddr,
    profile: ProfileName,
    at: Timestamp,
}

impl Booted {
    /// This machine was given the script that boots this profile.
    pub fn note(&self, peer: IpAddr, machine: MacAddr, profile: &ProfileName, at: Timestamp) {
        let peer = peer.to_canonical();
        let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if by_address.len() >= ADDRESSES && !by_address.contains_key(&peer) {
            by_address.retain(|_, boots| boots.back().is_some_and(|boot| at - boot.at < RECENT));
            if by_address.len() >= ADDRESSES {
                // The database knows it too.
                return;
            }
        }
        let boots = by_address.entry(peer).or_default();
        boots.retain(|boot| at - boot.at < RECENT && (boot.machine != machine || boot.profile != *profile));
        if boots.len() >= MACHINES {
            boots.pop_front();
        }
        boots.push_back(Boot { machine, profile: profile.clone(), at });
    }

    /// The one machine that boots this profile from this address. `None` when there is none, or
    /// several.
    pub fn machine(&self, peer: IpAddr, profile: &ProfileName, now: Timestamp) -> Option<MacAddr> {
        let by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let boots = by_address.get(&peer.to_canonical())?;
        let mut found =
            boots.iter().filter(|boot| boot.profile == *profile && now - boot.at < RECENT).map(|b| b.machine);
        found.next().filter(|_| found.next().is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_machine_is_known_and_two_are_not() {
        let booted = Booted::default();
        let ip = |n: u8| IpAddr::from([10, 0, 0, n]);
        let mac = |n: u8| -> MacAddr { format!("52:54:00:00:00:{n:02x}").parse().unwrap() };
        let (a, b): (ProfileName, ProfileName) = ("a".parse().unwrap(), "b".parse().unwrap());
        let now = Timestamp(0);
        booted.note(ip(1), mac(1), &a, now);
        booted.note(ip(1), mac(1), &a, now);
        booted.note(ip(1), mac(2), &b, now);
        let mapped = "::ffff:10.0.0.1".parse().unwrap();
        assert_eq!(booted.machine(mapped, &a, now), Some(mac(1)));
        assert_eq!(booted.machine(ip(1), &b, now), Some(mac(2)));
        assert_eq!(booted.machine(ip(2), &a, now), None);
        booted.note(ip(1), mac(3), &a, now);
        assert_eq!(booted.machine(ip(1), &a, now), None);
        // After its time the one is forgotten, and the other is alone.
        let later = now + RECENT;
        booted.note(ip(1), mac(3), &a, later);
        assert_eq!(booted.machine(ip(1), &a, later), Some(mac(3)));
        assert_eq!(booted.machine(ip(1), &b, later), None);
    }

    #[test]
    fn memory_is_bounded() {
        let booted = Booted::default();
        let (p, now): (ProfileName, _) = ("p".parse().unwrap(), Timestamp(0));
        let mac: MacAddr = "52:54:00:00:00:01".parse().unwrap();
        for n in 0..ADDRESSES as u32 + 10 {
            booted.note(IpAddr::V4((0x0a00_0000 + n).into()), mac, &p, now);
        }
        for n in 0..100u8 {
            booted.note([10, 0, 0, 0].into(), format!("52:54:00:00:01:{n:02x}").parse().unwrap(), &p, now);
        }
        let held = booted.by_address.lock().unwrap();
        assert_eq!(held.len(), ADDRESSES);
        assert_eq!(held[&IpAddr::from([10, 0, 0, 0])].len(), MACHINES);
        drop(held);
        let later = now + RECENT;
        booted.note([10, 9, 9, 9].into(), mac, &p, later);
        assert_eq!(booted.machine([10, 9, 9, 9].into(), &p, later), Some(mac));
    }
}
