//! Whether the time that a refusal takes tells how much of a guess was right: Welch's t of two
//! kinds of guesses, whose first byte is wrong and whose last byte is wrong, for boot tokens and
//! for the hashes of API tokens. |t| below 4.5 over 100,000 pairs is the usual sign that nothing
//! can be measured (as in dudect, Reparaz et al. 2017). A report and no test: a busy machine can
//! show anything.
//!
//! `cargo run --release -p moxxie-core --example token_timing`
#![allow(clippy::print_stdout, reason = "a report for whoever runs it")]

use moxxie_core::token::{PresentedToken, Purpose, SessionId, SiteKey, api_token, api_token_hash, mint};
use std::hint::black_box;
use std::time::Instant;
use subtle::ConstantTimeEq;

const PAIRS: usize = 100_000;

/// Nanoseconds that each kind took, turn by turn so that both meet the same disturbances.
fn measure(mut kinds: [impl FnMut() -> bool; 2]) -> f64 {
    let mut times = [Vec::with_capacity(PAIRS), Vec::with_capacity(PAIRS)];
    for _ in 0..PAIRS {
        for (kind, times) in kinds.iter_mut().zip(&mut times) {
            let started = Instant::now();
            black_box(kind());
            times.push(started.elapsed().as_nanos() as f64);
        }
    }
    // What was interrupted says nothing: the slowest tenth is left out.
    let [a, b] = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times.truncate(PAIRS * 9 / 10);
        let mean = times.iter().sum::<f64>() / times.len() as f64;
        let variance = times.iter().map(|t| (t - mean).powi(2)).sum::<f64>() / (times.len() - 1) as f64;
        (mean, variance / times.len() as f64)
    });
    println!("  first byte wrong {:.1} ns, last byte wrong {:.1} ns", a.0, b.0);
    (a.0 - b.0) / (a.1 + b.1).sqrt().max(f64::MIN_POSITIVE)
}

fn main() {
    let key = SiteKey::new([7; 32]);
    let good = mint(&key, SessionId([9; 16]), "a1", 1, Purpose::Config);
    // Of 43 digits the 23rd is the first that belongs to the signature alone, to its first byte; the
    // last carries four bits.
    let wrong = |at: usize| {
        let mut text = good.clone().into_bytes();
        text[at] = if text[at] == b'A' { b'E' } else { b'A' };
        String::from_utf8(text).ok().as_deref().and_then(PresentedToken::parse)
    };
    if let (Some(first), Some(last)) = (wrong(22), wrong(42)) {
        println!("boot tokens");
        let check = |token: PresentedToken| {
            let key = &key;
            move || black_box(&token).is_genuine(key, "a1", 1, Purpose::Config)
        };
        println!("  t = {:.2}", measure([check(first), check(last)]));
    }
    println!("hashes of API tokens");
    let hash = api_token_hash(&api_token([7; 32]));
    let other = |at: usize| {
        let mut text = hash.clone().into_bytes();
        text[at] = if text[at] == b'0' { b'1' } else { b'0' };
        let hash = &hash;
        move || bool::from(black_box(&text).as_slice().ct_eq(hash.as_bytes()))
    };
    println!("  t = {:.2}", measure([other(0), other(63)]));
}
