//! The menu for machines that nothing is decided about.

use super::local::from_disk;
use super::script::PAUSE;
use super::{Piece, Script, Text, Word};
use crate::profile::LocalBoot;

/// One profile on offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MenuItem {
    /// What the person reads.
    pub title: Text,
    /// The script to chain to.
    pub url: Word,
}

/// A menu.
#[derive(Debug, Clone, Copy)]
pub struct Menu<'a> {
    /// The title.
    pub title: &'a Text,
    /// What is known of the machine, one line each.
    pub machine_lines: &'a [Text],
    /// The profiles on offer.
    pub items: &'a [MenuItem],
    /// The menu URL with this machine's labels, to ask again.
    pub again: &'a Word,
    /// After so many milliseconds without a key the local disk boots. 0 waits for a person.
    pub timeout_ms: u32,
    /// How the local disk boots.
    pub local: LocalBoot,
}

/// Shows a menu. The first entry and the one taken after the time-out, on Escape and on any error
/// is the local disk. Labels and keys are generated; a person's text is only ever shown.
pub fn menu(menu: &Menu<'_>) -> String {
    let mut script = Script::new();
    script.fixed(":start").fixed("imgfree ||").line("menu -- ", &[Piece::Text(menu.title)]);
    for line in menu.machine_lines {
        script.line("item --gap -- ", &[Piece::Text(line)]);
    }
    script.fixed("item --gap").fixed("item --key l -- local Boot from the local disk");
    for (number, item) in (0u64..).zip(menu.items) {
        let title = [Piece::Fixed(" "), Piece::Text(&item.title)];
        let label = [Piece::Fixed("p"), Piece::Number(number)];
        // A key of one character stands for itself (parse_key in parseopt.c); there are nine.
        let key = [Piece::Number(number + 1), Piece::Fixed(" -- ")];
        let pieces: Vec<Piece<'_>> = if number < 9 {
            key.into_iter().chain(label).chain(title).collect()
        } else {
            label.into_iter().chain(title).collect()
        };
        script.line(if number < 9 { "item --key " } else { "item -- " }, &pieces);
    }
    script
        .fixed("item --gap")
        .fixed("item --key r -- retry Ask the server again")
        .fixed("item --key s -- shell iPXE shell");
    // menu_ui.c: without a time-out (or with 0) it waits for a key for ever.
    if menu.timeout_ms > 0 {
        let timeout = [Piece::Number(menu.timeout_ms.into()), Piece::Fixed(" selected || goto local")];
        script.line("choose --default local --timeout ", &timeout);
    } else {
        script.fixed("choose --default local selected || goto local");
    }
    // The setting holds one of the labels above, whatever the texts were.
    script.fixed("goto ${selected}");
    for (number, item) in (0u64..).zip(menu.items) {
        script.line(":p", &[Piece::Number(number)]);
        script
            .line("chain --replace --autofree -- ", &[Piece::Word(&item.url), Piece::Fixed(" || goto lost")]);
    }
    script
        .fixed(":retry")
        .line("chain --replace --autofree -- ", &[Piece::Word(menu.again), Piece::Fixed(" || goto lost")])
        .fixed(":lost")
        .fixed("set why ${errno}")
        .say(&[Piece::Fixed("Moxxie: the server gave no boot script: error ${why}")])
        .wait(PAUSE)
        .fixed("goto start")
        .fixed(":shell")
        .say(&[Piece::Fixed("Type exit to come back to the menu.")])
        .fixed("shell ||")
        .fixed("goto start")
        .fixed(":local");
    from_disk(&mut script, menu.local);
    script.finish()
}
