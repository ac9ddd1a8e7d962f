//! "Not without somebody": a machine waits for an operator.

use super::wait::come_back;
use super::{Piece, Script, Text, Word};
use crate::profile::LocalBoot;

/// A machine that waits for an operator.
#[derive(Debug, Clone)]
pub struct Held<'a> {
    /// Who waits, for what.
    pub who: &'a Text,
    /// Seconds until it asks again.
    pub seconds: u32,
    /// Where it asks again, with all it said of itself.
    pub again: &'a Word,
    /// How it reaches its disk when the server does not come back.
    pub local: LocalBoot,
}

/// Shows the code that an operator has to give, and asks again until that is done. Every asking is
/// a new script in this one's place, so it may go on for as long as the window is open.
pub fn approve(held: &Held<'_>, code: &Text) -> String {
    let mut script = Script::new();
    script
        .say(&[Piece::Fixed("Moxxie: "), Piece::Text(held.who)])
        .say(&[Piece::Fixed("Waiting for approval. The code of this machine is "), Piece::Text(code)])
        .say(&[Piece::Fixed("Next: an operator runs  moxxie approve "), Piece::Text(code)]);
    come_back(&mut script, ".", held.seconds, held.again, held.local);
    script.finish()
}

/// Says why the machine is quarantined, and asks again until it is not.
pub fn frozen(held: &Held<'_>, why: &Text, next: &Text) -> String {
    let mut script = Script::new();
    script
        .say(&[Piece::Fixed("Moxxie: "), Piece::Text(held.who)])
        .say(&[Piece::Fixed("Reason: "), Piece::Text(why)])
        .say(&[Piece::Fixed("Next: "), Piece::Text(next)]);
    come_back(&mut script, ".", held.seconds, held.again, held.local);
    script.finish()
}
