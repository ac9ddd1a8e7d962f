//! Who is let in, against a model that is as simple as can be: one list of those inside, one of
//! those who wait, sorted anew at every question.
#![allow(clippy::unwrap_used, missing_docs)]

use moxxie_core::boot::wave::{Class, LONGEST_PAUSE, Limits, MOST, Turn, Waves, pause};
use moxxie_core::mac::MacAddr;
use moxxie_core::time::{Span, Timestamp};
use proptest::prelude::*;
use std::collections::BTreeMap;

const T0: Timestamp = Timestamp(1_700_000_000_000);

fn mac(n: u32) -> MacAddr {
    let [a, b, c, d] = n.to_be_bytes();
    MacAddr::new([0x52, 0x54, a, b, c, d]).unwrap()
}

fn boots(n: usize) -> Limits {
    Limits { boots: Some(n), bytes: None }
}

fn bytes(n: u64) -> Limits {
    Limits { boots: None, bytes: Some(n) }
}

fn place(turn: Turn) -> Option<(usize, usize)> {
    match turn {
        Turn::Admit => None,
        Turn::Wait { place, of, .. } => Some((place, of)),
    }
}

#[derive(Clone)]
struct Stands {
    mac: u32,
    class: Class,
    since: usize,
    need: u64,
    heard: Timestamp,
}

/// Inside: need, what is left, when it was heard, and until when hearing it counts.
#[derive(Default)]
struct Model {
    inside: BTreeMap<u32, (u64, u64, Timestamp, Timestamp)>,
    line: Vec<Stands>,
    asked: usize,
}

impl Model {
    fn sum(&self) -> u128 {
        self.inside.values().map(|(need, ..)| u128::from(*need)).sum()
    }

    fn tidy(&mut self, now: Timestamp) {
        self.inside.retain(|_, (_, _, heard, _)| now - *heard < Span::minutes(5));
        self.line.retain(|w| now - w.heard < Span::seconds(45));
    }

    fn ask(
        &mut self,
        limits: Limits,
        m: u32,
        class: Class,
        need: u64,
        now: Timestamp,
    ) -> Option<(usize, usize)> {
        self.tidy(now);
        if let Some(inside) = self.inside.get_mut(&m) {
            if inside.0 == need {
                (inside.1, inside.2) = (need, now.min(inside.3));
                return None;
            }
            self.inside.remove(&m);
        }
        self.asked += 1;
        let since = self.line.iter().find(|w| w.mac == m).map_or(self.asked, |w| w.since);
        self.line.retain(|w| w.mac != m);
        self.line.push(Stands { mac: m, class, since, need, heard: now });
        self.line.sort_by_key(|w| (w.class, w.since));
        let at = self.line.iter().position(|w| w.mac == m).unwrap();
        let wanted: u128 = self.line[..=at].iter().map(|w| u128::from(w.need)).sum();
        let fits = limits.bytes.is_none_or(|most| self.sum() + wanted <= most.into())
            && limits.boots.is_none_or(|most| self.inside.len() + at < most);
        if fits || (self.inside.is_empty() && at == 0) {
            self.line.remove(at);
            // A megabyte takes a second.
            let until = now + Span::minutes(5) + Span(i64::try_from(need / 1000).unwrap());
            self.inside.insert(m, (need, need, now, until));
            return None;
        }
        Some((at + 1, self.line.len()))
    }

    fn finished(&mut self, m: u32) {
        self.inside.remove(&m);
        self.line.retain(|w| w.mac != m);
    }

    fn fetched(&mut self, m: u32, size: u64, now: Timestamp) {
        if let Some((_, left, heard, until)) = self.inside.get_mut(&m) {
            (*left, *heard) = (left.saturating_sub(size), now.min(*until));
            if *left == 0 {
                self.inside.remove(&m);
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Ask(u32, Class, u64),
    Fetched(u32, u64),
    Heard(u32),
    Finished(u32),
    Later(i64),
}

fn class() -> impl Strategy<Value = Class> {
    prop_oneof![1 => Just(Class::First), 3 => Just(Class::Usual)]
}

fn need() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 1..60u64, 1 => 60..250u64, 1 => 400_000_000..900_000_000u64, 1 => Just(0), 1 => Just(u64::MAX)]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..12u32, class(), need()).prop_map(|(m, c, n)| Step::Ask(m, c, n)),
        2 => (0..12u32, need()).prop_map(|(m, n)| Step::Fetched(m, n)),
        1 => (0..12u32).prop_map(Step::Heard),
        2 => (0..12u32).prop_map(Step::Finished),
        3 => prop_oneof![4 => 0..9_000i64, 1 => 40_000..50_000i64, 1 => 290_000..310_000i64].prop_map(Step::Later),
    ];
    prop::collection::vec(step, 1..120)
}

fn limits() -> impl Strategy<Value = Limits> {
    (prop::option::of(1..200u64), prop::option::of(1..6usize))
        .prop_map(|(bytes, boots)| Limits { bytes, boots })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    /// Answers, limits and order are the model's, whatever happens.
    #[test]
    fn does_what_the_model_does(limits in limits(), steps in steps()) {
        let (mut waves, mut model, mut now) = (Waves::new(limits), Model::default(), T0);
        for step in steps {
            match step {
                Step::Ask(m, class, need) => {
                    let said = place(waves.ask(mac(m), class, need, now));
                    prop_assert_eq!(said, model.ask(limits, m, class, need, now), "{:?}", step);
                    let one = waves.admitted() == 1;
                    prop_assert!(one || limits.bytes.is_none_or(|most| waves.bytes() <= most.into()));
                    prop_assert!(one || limits.boots.is_none_or(|most| waves.admitted() <= most));
                }
                Step::Fetched(m, size) => {
                    waves.fetched(mac(m), size, now);
                    model.fetched(m, size, now);
                }
                Step::Heard(m) => {
                    waves.heard(mac(m), now);
                    if let Some((_, _, heard, until)) = model.inside.get_mut(&m) {
                        *heard = now.min(*until);
                    }
                }
                Step::Finished(m) => {
                    waves.finished(mac(m));
                    model.finished(m);
                }
                Step::Later(ms) => now = now + Span(ms),
            }
            waves.forget(now);
            model.tidy(now);
            let inside = (waves.admitted(), waves.bytes(), waves.waiting());
            prop_assert_eq!(inside, (model.inside.len(), model.sum(), model.line.len()), "{:?}", step);
        }
    }

    /// Whoever keeps asking gets in, when those inside finish: also the largest.
    #[test]
    fn everybody_boots_in_the_end(
        limits in limits(), machines in prop::collection::vec((class(), need(), 0..=255u8), 1..40), takes in 1..60i64,
    ) {
        let mut waves = Waves::new(limits);
        // When each asks next, and when those inside are done.
        let mut asks: BTreeMap<usize, Timestamp> = (0..machines.len()).map(|n| (n, T0)).collect();
        let mut inside: BTreeMap<usize, Timestamp> = BTreeMap::new();
        let mut questions = 0;
        while !asks.is_empty() {
            questions += 1;
            prop_assert!(questions < 40_000, "{} of {} still wait", asks.len(), machines.len());
            let (&n, &now) = asks.iter().min_by_key(|(n, at)| (**at, **n)).unwrap();
            for (m, _) in inside.extract_if(.., |_, done| *done <= now) {
                waves.finished(mac(m as u32));
            }
            let (class, need, jitter) = machines[n];
            match waves.ask(mac(n as u32), class, need, now) {
                Turn::Admit => {
                    asks.remove(&n);
                    inside.insert(n, now + Span::seconds(takes));
                }
                Turn::Wait { place, of, about } => {
                    prop_assert!(place >= 1 && place <= of && of <= machines.len());
                    prop_assert!(about.is_none_or(|span| span.0 >= 0));
                    asks.insert(n, now + Span::seconds(pause(place, jitter).into()));
                }
            }
        }
    }

    #[test]
    fn a_pause_is_neither_short_nor_long(place in any::<usize>(), jitter in any::<u8>()) {
        let seconds = pause(place, jitter);
        prop_assert!((5..=LONGEST_PAUSE).contains(&seconds));
        prop_assert!(pause(1, jitter) <= 9 && pause(1, jitter) <= seconds);
    }
}

#[test]
fn control_planes_first_then_first_come() {
    let mut waves = Waves::new(boots(1));
    assert_eq!(waves.ask(mac(0), Class::Usual, 1, T0), Turn::Admit);
    for n in [5, 3, 4] {
        waves.ask(mac(n), Class::Usual, 1, T0);
    }
    assert_eq!(place(waves.ask(mac(9), Class::First, 1, T0)), Some((1, 4)));
    assert_eq!(place(waves.ask(mac(8), Class::First, 1, T0)), Some((2, 5)));
    assert_eq!(place(waves.ask(mac(5), Class::Usual, 1, T0)), Some((3, 5)), "its place is kept");
    let class = |n| if n > 5 { Class::First } else { Class::Usual };
    let order = [9, 8, 5, 3, 4];
    let mut inside = 0;
    for (turn, next) in order.into_iter().enumerate() {
        waves.finished(mac(inside));
        for later in order[turn + 1..].iter().rev() {
            assert!(place(waves.ask(mac(*later), class(*later), 1, T0)).is_some(), "{later} before {next}");
        }
        assert_eq!(waves.ask(mac(next), class(next), 1, T0), Turn::Admit);
        inside = next;
    }
}

#[test]
fn a_small_one_does_not_starve_a_large_one() {
    let mut waves = Waves::new(bytes(100));
    waves.ask(mac(1), Class::Usual, 60, T0);
    assert_eq!(place(waves.ask(mac(2), Class::Usual, 80, T0)), Some((1, 1)));
    assert_eq!(
        place(waves.ask(mac(3), Class::Usual, 10, T0)),
        Some((2, 2)),
        "there is room, but not for both"
    );
    waves.finished(mac(1));
    assert_eq!(waves.ask(mac(3), Class::Usual, 10, T0), Turn::Admit, "80 and 10 fit");
    assert_eq!(place(waves.ask(mac(4), Class::Usual, 15, T0)), Some((2, 2)), "80, 10 and 15 do not");
    assert_eq!(waves.ask(mac(2), Class::Usual, 80, T0), Turn::Admit);
    assert_eq!(waves.bytes(), 90);
}

#[test]
fn an_empty_house_takes_even_what_is_too_large() {
    let mut waves = Waves::new(bytes(100));
    assert_eq!(waves.ask(mac(1), Class::Usual, u64::MAX, T0), Turn::Admit);
    assert!(place(waves.ask(mac(2), Class::Usual, 1, T0)).is_some());
    assert!(place(waves.ask(mac(3), Class::Usual, u64::MAX, T0)).is_some());
    waves.finished(mac(1));
    waves.ask(mac(2), Class::Usual, 1, T0);
    assert!(place(waves.ask(mac(3), Class::Usual, u64::MAX, T0)).is_some(), "not beside another");
    waves.finished(mac(2));
    assert_eq!(waves.ask(mac(3), Class::Usual, u64::MAX, T0), Turn::Admit);
}

#[test]
fn asking_again_is_harmless_and_begins_anew() {
    let mut waves = Waves::new(bytes(100));
    waves.ask(mac(1), Class::Usual, 60, T0);
    waves.fetched(mac(1), 50, T0);
    assert_eq!(waves.ask(mac(1), Class::Usual, 60, T0), Turn::Admit);
    assert_eq!((waves.admitted(), waves.bytes()), (1, 60));
    waves.fetched(mac(1), 50, T0);
    assert_eq!(waves.bytes(), 60, "the first try does not count");
    waves.fetched(mac(1), 10, T0);
    assert_eq!(waves.admitted(), 0);
    // What comes late, or for somebody unknown, changes nothing.
    waves.fetched(mac(1), 10, T0);
    waves.heard(mac(7), T0);
    waves.finished(mac(7));
    assert_eq!((waves.admitted(), waves.bytes(), waves.waiting()), (0, 0, 0));
}

#[test]
fn silence_ends_a_seat_and_a_place() {
    let mut waves = Waves::new(boots(1));
    waves.ask(mac(1), Class::Usual, 1, T0);
    waves.ask(mac(2), Class::Usual, 1, T0);
    let asks = |waves: &mut Waves, n, seconds| {
        place(waves.ask(mac(n), Class::Usual, 1, T0 + Span::seconds(seconds)))
    };
    assert_eq!(asks(&mut waves, 3, 44), Some((2, 2)));
    assert_eq!(asks(&mut waves, 3, 45), Some((1, 1)), "2 has not asked for 45 seconds");
    assert_eq!(asks(&mut waves, 2, 46), Some((2, 2)), "and begins anew");
    waves.heard(mac(1), T0 + Span::seconds(100));
    for at in [80, 120, 160, 200, 240, 280, 320, 360, 399] {
        assert_eq!(asks(&mut waves, 3, at), Some((1, if at < 91 { 2 } else { 1 })), "{at}");
    }
    assert_eq!(asks(&mut waves, 3, 400), None, "five minutes after the last sign of 1");
}

#[test]
fn the_forecast_follows_the_last_admissions() {
    let mut waves = Waves::new(boots(1));
    waves.ask(mac(0), Class::Usual, 1, T0);
    let about = |turn| match turn {
        Turn::Wait { about, .. } => about,
        Turn::Admit => panic!("admitted"),
    };
    for n in 1..40 {
        assert_eq!(about(waves.ask(mac(n), Class::Usual, 1, T0)), None, "nobody who waited was admitted yet");
    }
    for n in 1..30u32 {
        let now = T0 + Span::seconds(i64::from(n) * 10);
        waves.finished(mac(n - 1));
        assert_eq!(waves.ask(mac(n), Class::Usual, 1, now), Turn::Admit);
        for other in n + 1..40 {
            let told = about(waves.ask(mac(other), Class::Usual, 1, now));
            assert_eq!(told, Some(Span::seconds(i64::from(other - n) * 10)), "one every ten seconds");
        }
    }
    let late = T0 + Span::seconds(330);
    assert!(about(waves.ask(mac(30), Class::Usual, 1, late)) > Some(Span::seconds(10)), "it stalls");
}

#[test]
fn a_machine_that_changes_class_keeps_its_ticket() {
    let mut waves = Waves::new(boots(1));
    for n in 0..4 {
        waves.ask(mac(n), Class::Usual, 1, T0);
    }
    assert_eq!(place(waves.ask(mac(3), Class::First, 1, T0)), Some((1, 3)));
    assert_eq!(place(waves.ask(mac(3), Class::Usual, 1, T0)), Some((3, 3)), "as if nothing had been");
    assert_eq!(place(waves.ask(mac(2), Class::First, 1, T0)), Some((1, 3)));
    assert_eq!(place(waves.ask(mac(1), Class::First, 1, T0)), Some((1, 3)), "it asked before 2");
}

#[test]
fn memory_is_bounded() {
    let mut waves = Waves::new(boots(1));
    let most = u32::try_from(MOST).unwrap();
    for n in 0..most + 50 {
        waves.ask(mac(n), Class::Usual, u64::MAX, T0);
    }
    assert_eq!((waves.admitted(), waves.waiting()), (1, MOST));
    assert_eq!(place(waves.ask(mac(most + 49), Class::Usual, 1, T0)), Some((MOST + 1, MOST + 1)));
    assert_eq!(place(waves.ask(mac(most - 1), Class::Usual, 1, T0)), Some((MOST - 1, MOST)));
    // Without a limit on machines there is one all the same.
    let mut waves = Waves::new(bytes(u64::MAX));
    for n in 0..most + 50 {
        waves.ask(mac(n), Class::Usual, 1, T0);
    }
    assert_eq!((waves.admitted(), waves.waiting()), (MOST, 50));
    // Time forgets everybody.
    waves.forget(T0 + Span::minutes(5));
    assert_eq!((waves.admitted(), waves.bytes(), waves.waiting()), (0, 0, 0));
}

#[test]
fn other_limits_take_nobodys_seat_and_nobodys_place() {
    let mut waves = Waves::new(boots(2));
    let ask = |waves: &mut Waves, n: u32| place(waves.ask(mac(n), Class::Usual, 1, T0));
    assert_eq!([1, 2, 3, 4].map(|n| ask(&mut waves, n)), [None, None, Some((1, 1)), Some((2, 2))]);
    waves.set_limits(boots(1));
    assert_eq!(waves.admitted(), 2);
    waves.finished(mac(1));
    assert_eq!([2, 3, 4].map(|n| ask(&mut waves, n)), [None, Some((1, 2)), Some((2, 2))]);
    waves.set_limits(boots(3));
    assert_eq!([4, 3].map(|n| ask(&mut waves, n)), [None, None]);
}
