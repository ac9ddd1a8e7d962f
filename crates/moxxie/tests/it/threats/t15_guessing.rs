//! T15: tokens cannot be guessed: not by trying, and not by measuring.

use crate::util::recipes::talos;
use crate::util::{Machine, Site};
use moxxie::config::file;
use moxxie::config::limits::Limits as Settings;
use moxxie::limits::Limits;
use moxxie_core::time::Span;
use moxxie_core::token::{PresentedToken, Purpose, SessionId, SiteKey, mint};
use serde_json::json;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

const MAC: &str = "52:54:00:00:00:15";

/// Text that looks like a token, different for each number.
fn guess(n: u64) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut state = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let digits = (0..42).map(|_| {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(DIGITS[(state >> 32) as usize % 64])
    });
    // The last digit of 43 carries four bits.
    digits.chain(['A']).collect()
}

/// A million guesses at one machine's token within a minute, from a thousand addresses. The limits
/// let a few of them through to the database, and none is right although the guesser knows half of
/// it, the session's id. Takes some seconds: a million of anything does, without optimization.
#[test]
fn t15_a_million_guesses_are_in_vain_and_cost_little() {
    let (key, session) = (SiteKey::new([7; 32]), SessionId([9; 16]));
    let text = mint(&key, session, "a1", 1, Purpose::Config);
    let good = PresentedToken::parse(&text).unwrap();
    assert!(good.is_genuine(&key, "a1", 1, Purpose::Config));
    let settings = Settings::from_file(&file::Limits::default()).unwrap();
    let limits = Limits::default();
    let mut looks = 0_u32;
    for n in 0..1_000_000_u32 {
        let now = Duration::from_micros(u64::from(n) * 60);
        let peer = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + n % 1000));
        // The session it names: none that was good lately.
        let mut name = [0; 16];
        name[..4].copy_from_slice(&n.to_be_bytes());
        if !limits.may_look(&settings, peer, &name, now) {
            continue;
        }
        looks += 1;
        let guess = format!("{}{}", &text[..22], &guess(n.into())[22..]);
        let token = PresentedToken::parse(&guess).unwrap();
        assert_eq!(token.session, session);
        assert!(!token.is_genuine(&key, "a1", 1, Purpose::Config), "guess {n}");
        limits.failed(&settings, peer, now);
    }
    // All addresses together: 50 failures and 20 further looks a second.
    assert!(looks <= 60 * 70 + 600, "{looks} looks");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t15_guessers_are_told_to_wait_and_those_beside_them_are_not() {
    // Guesses that come slowly enough for the other limit, although the clock stands.
    let site = Site::with("[limits]\nfailures_per_minute = 10\nboot_per_second = 0\n").await;
    site.profile(talos("cp")).await;
    site.assign(MAC, "cp-1", "cp", json!({})).await;
    let viewer = site.viewer().await.to_owned();
    // Behind one NAT: a machine that boots, a person, and somebody who guesses.
    let machine = Machine::bios(MAC).from("10.0.0.5");
    let config = machine.boot(&site).arg("talos.config");
    site.anonymous("GET", "/api/v1/boot/machines").token(&viewer).send().await.is(200);
    let mut looked = 0;
    for n in 0..2000 {
        let token = guess(n);
        let call = match n % 3 {
            0 => site.boot(&format!("/boot/configs/cp/{MAC}?t={token}")).await,
            1 => site.boot(&format!("/boot/report?t={token}&stage=installed")).await,
            _ => {
                let answer =
                    site.anonymous("GET", "/api/v1/tokens").token(&format!("mox_{token}")).send().await;
                answer.problem(answer.status);
                answer
            }
        };
        match call.status {
            401 | 403 => looked += 1,
            429 => {
                let seconds: u64 = call.header("retry-after").parse().unwrap();
                assert!((2..=10).contains(&seconds), "{seconds}");
            }
            other => panic!("{}: {other}", call.what),
        }
    }
    // Ten failures, and the budget of five for who has used them up.
    assert_eq!(looked, 15);
    // A new token of the API waits for the budget; who is known does not.
    let fresh = site.new_token("fresh", "viewer").await;
    site.anonymous("GET", "/api/v1/boot/machines").token(&fresh).send().await.is(429);
    site.anonymous("GET", "/api/v1/boot/machines").token(&viewer).send().await.is(200);
    let delivered = machine.fetch(&site, &config).await.is(200).text();
    let report = delivered.split_whitespace().find(|word| word.contains("/boot/report?t=")).unwrap();
    machine.fetch(&site, &format!("{report}&stage=installed")).await.is(204);
    assert_eq!(site.state(MAC).await, "installed");
    site.push(Span::minutes(1));
    site.anonymous("GET", "/api/v1/boot/machines").token(&fresh).send().await.is(200);
}
