//! How often: rates, and who has used up how much of theirs, in memory of a fixed size.
//!
//! A rate is kept as GCRA (ITU-T I.371), the token bucket with one number for each key: the moment
//! when its allowance is whole again. A request moves it on by one interval and is refused while
//! it lies a burst or more ahead.
//!
//! A [`Table`] has a fixed number of places, eight in each set, and a key's set is found by a hash
//! with a secret seed, so nobody can aim at a set. A newcomer in a full set takes the place of
//! whoever owes least, *and that debt* (as in Space-Saving, Metwally et al. 2005): the least
//! debt in a set never shrinks by a change of places, so no key's debt is ever forgotten. Hence
//! the bound: **no key is let through more than burst + rate × time times, however many others
//! ask**. The price is paid by newcomers, and only while more keys than there are places owe
//! something at the same moment: they share the least debt of their set.

use sha2::{Digest, Sha256};
use std::net::{IpAddr, Ipv6Addr};
use std::ops::Range;
use std::time::Duration;

/// Places in one set.
const WAYS: usize = 8;

/// How often something may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Microseconds that one request uses up; never 0.
    every: u64,
    /// Requests that may come at once.
    burst: u32,
}

impl Rate {
    /// So many in each stretch of time, and so many at once (at least 1). `None`, no limit, for 0.
    pub fn new(count: u32, per: Duration, burst: u32) -> Option<Rate> {
        if count == 0 {
            return None;
        }
        Some(Rate { every: (micros(per) / u64::from(count)).max(1), burst: burst.max(1) })
    }

    /// So many a second.
    pub fn per_second(count: u32, burst: u32) -> Option<Rate> {
        Rate::new(count, Duration::from_secs(1), burst)
    }

    /// So many a minute.
    pub fn per_minute(count: u32, burst: u32) -> Option<Rate> {
        Rate::new(count, Duration::from_secs(60), burst)
    }

    /// Microseconds of debt that a key may have: a whole burst.
    fn most(self) -> u64 {
        self.every.saturating_mul(u64::from(self.burst))
    }
}

/// One allowance.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bucket {
    /// When it is whole again, in microseconds of the caller's time.
    whole: u64,
}

impl Bucket {
    /// How long the next request has to wait; `None` when it may come now. `now` is any time that
    /// does not go back.
    pub fn wait(&self, rate: Rate, now: Duration) -> Option<Duration> {
        let debt = self.debt(rate, micros(now));
        let free = rate.most() - rate.every;
        (debt > free).then(|| Duration::from_micros(debt - free))
    }

    /// Takes one request off the allowance, or says how long to wait.
    pub fn take(&mut self, rate: Rate, now: Duration) -> Result<(), Duration> {
        match self.wait(rate, now) {
            Some(wait) => Err(wait),
            None => {
                let now = micros(now);
                self.whole = now.saturating_add(self.debt(rate, now)).saturating_add(rate.every);
                Ok(())
            }
        }
    }

    /// A debt of before the rate was made milder is not asked for in full.
    fn debt(&self, rate: Rate, now: u64) -> u64 {
        self.whole.saturating_sub(now).min(rate.most())
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Place {
    /// Of the key; 0 while nobody has had the place.
    tag: u64,
    bucket: Bucket,
}

/// The allowances of many keys, all for the same rate.
pub struct Table {
    seed: [u8; 16],
    places: Vec<Place>,
}

impl Table {
    /// Room for about so many keys at 16 bytes each, and never more. `seed` is random and secret.
    pub fn new(keys: usize, seed: [u8; 16]) -> Table {
        let sets = keys.div_ceil(WAYS).max(1);
        Table { seed, places: vec![Place::default(); sets * WAYS] }
    }

    /// Takes one request of this key off its allowance, or says how long to wait.
    pub fn take(&mut self, key: &[u8], rate: Rate, now: Duration) -> Result<(), Duration> {
        let (at, tag) = self.place(key);
        let place = &mut self.places[at];
        place.bucket.take(rate, now)?;
        place.tag = tag;
        Ok(())
    }

    /// How long the next request of this key has to wait; `None` when it may come now.
    pub fn wait(&self, key: &[u8], rate: Rate, now: Duration) -> Option<Duration> {
        let (at, _) = self.place(key);
        self.places[at].bucket.wait(rate, now)
    }

    /// The key's place, or else the one that a newcomer takes over: of whoever owes least.
    fn place(&self, key: &[u8]) -> (usize, u64) {
        let (set, tag) = self.set(key);
        let places = &self.places[set.clone()];
        let own = places.iter().position(|place| place.tag == tag);
        let least =
            || places.iter().enumerate().min_by_key(|(_, place)| place.bucket.whole).map(|(at, _)| at);
        (set.start + own.or_else(least).unwrap_or(0), tag)
    }

    fn set(&self, key: &[u8]) -> (Range<usize>, u64) {
        let mut hash = Sha256::new();
        hash.update(self.seed);
        hash.update(key);
        let hash: [u8; 32] = hash.finalize().into();
        let [set, tag] = [0, 8].map(|at| {
            let mut word = [0; 8];
            word.copy_from_slice(&hash[at..at + 8]);
            u64::from_le_bytes(word)
        });
        let sets = (self.places.len() / WAYS).max(1);
        let set = usize::try_from(set % sets as u64).unwrap_or(0);
        (set * WAYS..(set + 1) * WAYS, tag | 1)
    }
}

/// The address that a client is counted under: an IPv6 host owns its whole /64 and takes another
/// address from it whenever it likes.
pub fn client(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
