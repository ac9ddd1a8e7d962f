//! "Not yet": a machine waits for its turn to boot.

use super::local::from_disk;
use super::script::PAUSE;
use super::{Piece, Script, Text, Word};
use crate::profile::LocalBoot;

/// How often a waiting machine asks a server that does not answer before it boots its disk. With
/// the pauses between them, a server may be restarted meanwhile.
pub const WAITING_TRIES: u32 = 10;
/// Seconds between them: all together outlast a server that lets downloads finish before it starts
/// anew (five minutes, `shutdown.drain_seconds`).
const RESTART: u32 = 40;

/// A machine's place in the line.
#[derive(Debug, Clone)]
pub struct Wait<'a> {
    /// Who waits, for what.
    pub who: &'a Text,
    /// Its place, from 1.
    pub place: u64,
    /// How many wait.
    pub of: u64,
    /// How long it will be, in seconds, if that can be said.
    pub about: Option<u64>,
    /// Seconds until it asks again.
    pub seconds: u32,
    /// Where it asks again, with all it said of itself.
    pub again: &'a Word,
    /// How it reaches its disk when the server does not come back.
    pub local: LocalBoot,
}

/// Says which place it has, waits, and asks again. The new answer takes this script's place
/// (`--replace` is a tail call), so a machine may wait for hours without growing its stack. Only
/// when the server fails [`WAITING_TRIES`] times in a row does it boot from its own disk.
pub fn wait(wait: &Wait<'_>) -> String {
    let about = match wait.about {
        None => Text::default(),
        Some(seconds) if seconds < 120 => Text::new(format!(", about {} s", seconds.max(1))),
        Some(seconds) => Text::new(format!(", about {} min", seconds.div_ceil(60))),
    };
    let mut script = Script::new();
    script.say(&[Piece::Fixed("Moxxie: "), Piece::Text(wait.who)]).say(&[
        Piece::Fixed("Waiting: place "),
        Piece::Number(wait.place),
        Piece::Fixed(" of "),
        Piece::Number(wait.of),
        Piece::Text(&about),
    ]);
    come_back(&mut script, "; nothing has to be done here.", wait.seconds, wait.again, wait.local);
    script.finish()
}

/// The rest of a script that waits: a pause, the question again, and the disk when nobody answers.
/// `calm` ends the sentence that says so.
pub(super) fn come_back(
    script: &mut Script,
    calm: &'static str,
    seconds: u32,
    again: &Word,
    local: LocalBoot,
) {
    let tries = Piece::Number(WAITING_TRIES.into());
    script
        .say(&[
            Piece::Fixed("Asking again in "),
            Piece::Number(seconds.into()),
            Piece::Fixed(" seconds"),
            Piece::Fixed(calm),
        ])
        .wait(seconds)
        .fixed("set try 1")
        .fixed(":ask")
        .line("chain --replace --autofree -- ", &[Piece::Word(again), Piece::Fixed(" ||")])
        .fixed("set why ${errno}")
        .say(&[Piece::Fixed("Moxxie: no usable answer (error ${why}), try ${try} of "), tries])
        .count_tries(WAITING_TRIES, &[Piece::Fixed("failed")], &[Piece::Fixed("ask")], RESTART)
        .fixed(":failed")
        .say(&[Piece::Fixed("Moxxie: the server has not answered for "), tries, Piece::Fixed(" tries.")])
        .say(&[Piece::Fixed("Next: this machine boots from its own disk.")])
        .wait(PAUSE);
    from_disk(script, local);
}
