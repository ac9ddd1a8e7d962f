use super::*;
use proptest::prelude::*;
use std::collections::HashMap;

const SEED: [u8; 16] = [7; 16];

fn rate() -> Rate {
    Rate::per_second(10, 5).unwrap()
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

#[test]
fn a_burst_passes_and_then_the_rate() {
    let mut bucket = Bucket::default();
    let passed =
        |bucket: &mut Bucket, at: u64| (0..100).filter(|_| bucket.take(rate(), ms(at)).is_ok()).count();
    assert_eq!(passed(&mut bucket, 1000), 5, "the burst");
    assert_eq!(bucket.wait(rate(), ms(1000)), Some(ms(100)));
    assert_eq!(passed(&mut bucket, 1099), 0);
    assert_eq!(passed(&mut bucket, 1100), 1);
    assert_eq!(passed(&mut bucket, 1400), 3);
    assert_eq!(passed(&mut bucket, 100_000), 5, "no more than a burst is saved up");
}

#[test]
fn nothing_is_no_limit_and_a_burst_is_at_least_one() {
    assert_eq!(Rate::per_second(0, 5), None);
    let mut bucket = Bucket::default();
    let one = Rate::per_minute(1, 0).unwrap();
    assert!(bucket.take(one, ms(0)).is_ok());
    assert_eq!(bucket.take(one, ms(0)), Err(Duration::from_secs(60)));
}

#[test]
fn a_milder_rate_holds_at_once() {
    let mut bucket = Bucket::default();
    let strict = Rate::per_minute(1, 10).unwrap();
    while bucket.take(strict, ms(0)).is_ok() {}
    // Ten minutes of debt under the old rate.
    assert_eq!(bucket.wait(rate(), ms(0)), Some(ms(100)));
}

#[test]
fn clients_are_addresses_or_prefixes() {
    let same = |a: &str, b: &str| client(a.parse().unwrap()) == client(b.parse().unwrap());
    assert!(same("::ffff:10.0.0.1", "10.0.0.1") && same("fd00::1", "fd00::ffff:2"));
    assert!(!same("10.0.0.1", "10.0.0.2") && !same("fd00::1", "fd00:0:0:1::1"));
}

proptest! {
    /// The promise of the table, in its smallest form: one set, and more keys than places that
    /// push each other out all the time.
    #[test]
    fn nobody_is_let_through_more_often_than_the_rate(
        requests in prop::collection::vec((0_u8..30, 0_u64..40), 1..600),
    ) {
        let mut table = Table::new(WAYS, SEED);
        let mut passed: HashMap<u8, Vec<u64>> = HashMap::new();
        let mut now = 0;
        for (key, pause) in requests {
            now += pause;
            if table.take(&[key], rate(), ms(now)).is_ok() {
                passed.entry(key).or_default().push(now);
            }
        }
        prop_assert_eq!(table.places.len(), WAYS);
        // In every stretch from one passed request to a later one.
        for times in passed.values() {
            for (first, from) in times.iter().enumerate() {
                for (last, to) in times.iter().enumerate().skip(first) {
                    let most = 5 + (to - from) / 100;
                    prop_assert!((last - first + 1) as u64 <= most, "{} from {from} to {to}", last - first + 1);
                }
            }
        }
    }

    /// While there is room nobody pays for others.
    #[test]
    fn who_asks_seldom_is_never_refused(keys in prop::collection::vec(0_u8..8, 1..300)) {
        let mut table = Table::new(WAYS, SEED);
        let mut last: HashMap<u8, u64> = HashMap::new();
        for (n, key) in keys.into_iter().enumerate() {
            let now = n as u64 * 25;
            let rested = last.get(&key).is_none_or(|before| now - before >= 100);
            if rested {
                prop_assert!(table.take(&[key], rate(), ms(now)).is_ok());
                last.insert(key, now);
            }
        }
    }
}

#[test]
fn a_million_clients_take_no_memory_and_free_nobody() {
    let mut table = Table::new(4096, SEED);
    let (places, capacity) = (table.places.len(), table.places.capacity());
    let slow = Rate::per_minute(10, 10).unwrap();
    let mut guesser = 0;
    // A million, because that many are promised; it takes some seconds without optimization.
    // A thousand strangers a millisecond for a second, and the one who guesses among them.
    for n in 0..1_000_000_u32 {
        let _ = table.take(&n.to_be_bytes(), slow, ms(u64::from(n / 1000)));
        if n % 1000 == 0 && table.take(b"guesser", slow, ms(u64::from(n / 1000))).is_ok() {
            guesser += 1;
        }
    }
    assert!(guesser <= 10, "{guesser} of a burst of 10");
    assert_eq!((table.places.len(), table.places.capacity()), (places, capacity));
    assert_eq!(std::mem::size_of::<Place>(), 16);
}
