//! Machines that wait: for their turn, for an operator, for a server that is away.

use super::{ALL_LOCAL, Flaky, again, clients, dead};
use moxxie_core::ipxe::interpreter::{Client, Outcome, Reply};
use moxxie_core::ipxe::{Held, Text, WAITING_TRIES, Wait, approve, frozen, wait};
use moxxie_core::profile::LocalBoot;

pub(crate) fn a_wait(local: LocalBoot, about: Option<u64>) -> String {
    let (who, again) = (Text::new("cp-1 (52:54:00:12:34:56) boots talos-cp"), again());
    wait(&Wait { who: &who, place: 3, of: 12, about, seconds: 7, again: &again, local })
}

/// The screens of a machine that waits for an operator.
pub(crate) fn held(screen: &str) -> String {
    let (who, again) = (Text::new("cp-1 (52:54:00:12:34:56) boots talos-cp"), again());
    let held = Held { who: &who, seconds: 8, again: &again, local: LocalBoot::Auto };
    let why =
        Text::new("it is quarantined: two machines ask as cp-1: 10.0.0.9, which boots now, and 10.0.1.9");
    match screen {
        "approve" => approve(&held, &Text::new("0471")),
        _ => {
            frozen(&held, &why, &Text::new("moxxie assignment update 52:54:00:12:34:56 --quarantined=false"))
        }
    }
}

#[test]
fn a_held_machine_says_why_and_asks_until_it_is_let_go() {
    for (_, client) in clients() {
        for (screen, says) in [("approve", "moxxie approve 0471"), ("frozen", "two machines ask as cp-1")] {
            let mut asked = 0;
            let run = Client { steps: 100_000, ..client.clone() }.run(held(screen), &mut |_: &str| {
                asked += 1;
                Reply::text(if asked < 225 { held(screen) } else { "#!ipxe\nexit 7\n".into() })
            });
            assert_eq!((run.outcome.clone(), run.slept), (Outcome::Exit(7), 225 * 8), "half an hour");
            assert!(run.screen().contains(says), "{}", run.screen());
            let dead = client.run(held(screen), &mut Flaky::new(99));
            assert_eq!(dead.fetched.len(), WAITING_TRIES as usize);
            assert!(matches!(dead.outcome, Outcome::Sanboot(0x80) | Outcome::Exit(1)));
        }
    }
}

#[test]
fn waiting_tells_the_place_and_asks_again() {
    for (_, client) in clients() {
        for failures in 0..WAITING_TRIES as usize {
            let run = client.run(a_wait(LocalBoot::Auto, Some(40)), &mut Flaky::new(failures));
            assert_eq!(run.outcome, Outcome::Exit(7), "the script that was fetched runs");
            assert_eq!(run.fetched, vec![again().as_str(); failures + 1]);
            assert_eq!(run.slept, 7 + 40 * failures as u64);
            assert_eq!(run.output[0], "Moxxie: cp-1 (52:54:00:12:34:56) boots talos-cp");
            assert_eq!(run.output[1], "Waiting: place 3 of 12, about 40 s");
        }
    }
    let told = |about| Client::bios().run(a_wait(LocalBoot::Auto, about), &mut dead).output[1].clone();
    assert_eq!(told(None), "Waiting: place 3 of 12");
    assert_eq!(told(Some(0)), "Waiting: place 3 of 12, about 1 s");
    assert_eq!(told(Some(121)), "Waiting: place 3 of 12, about 3 min");
}

#[test]
fn waiting_ends_at_the_disk_only_after_ten_failures_in_a_row() {
    for how in ALL_LOCAL {
        for (name, client) in clients() {
            let garbage =
                client.run(a_wait(how, None), &mut Flaky { failures: 99, garbage: true, ..Flaky::default() });
            for run in [client.run(a_wait(how, None), &mut Flaky::new(99)), garbage] {
                assert_eq!(run.fetched.len(), 10);
                assert_eq!(run.slept, 7 + 9 * 40 + 5);
                let disk = match (how, name) {
                    (LocalBoot::Exit, _) => Outcome::Exit(0),
                    (LocalBoot::Auto, "efi") | (LocalBoot::NotFound, _) => Outcome::Exit(1),
                    _ => Outcome::Sanboot(0x80),
                };
                assert_eq!(run.outcome, disk, "{how:?} {name}");
                assert!(run.screen().contains("try 10 of 10"), "{}", run.screen());
            }
        }
    }
}

/// Hundreds of answers one after the other: each takes the place of the one before, and a success
/// starts the count of failures anew.
#[test]
fn a_long_wait_leaves_nothing_behind() {
    let script = a_wait(LocalBoot::Auto, Some(40));
    let mut asked = 0;
    let run = Client { steps: 100_000, ..Client::bios() }.run(&script, &mut |_: &str| {
        asked += 1;
        match asked {
            2000.. => Reply::text("#!ipxe\nexit 7\n"),
            // The server is away for nine tries out of ten.
            n if n % 10 != 0 => Reply::server_error(),
            _ => Reply::text(script.clone()),
        }
    });
    assert_eq!(run.outcome, Outcome::Exit(7));
    assert_eq!(run.fetched.len(), 2000);
    assert!(run.images.len() <= 1, "{:?}", run.images);
}
