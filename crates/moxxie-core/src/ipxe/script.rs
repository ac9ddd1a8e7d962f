//! The builder every script is made with.

use super::{Text, Word};

/// How often a script asks for a file before it gives up.
pub const TRIES: u32 = 3;
/// Seconds between those tries.
pub const PAUSE: u32 = 5;
/// No line is longer than this, not counting the URLs in it and a kernel's command line. iPXE
/// has no limit of its own but takes very long over very long lines.
pub const MAX_LINE: usize = 1024;

/// A part of a line.
#[derive(Debug, Clone, Copy)]
pub enum Piece<'a> {
    /// A literal of this crate. The only piece that may hold `${…}`, options and operators.
    Fixed(&'static str),
    /// A word that was checked.
    Word(&'a Word),
    /// A text that was made harmless.
    Text(&'a Text),
    /// At most 64 characters of a word, with everything but letters, digits and `. _ -` replaced:
    /// for the value of a query parameter, which iPXE before November 2021 does not protect.
    Slug(&'a Word),
    /// A number.
    Number(u64),
}

/// A script under construction: `#!ipxe`, then lines that begin with a literal.
///
/// There is no way to put a plain string into it.
#[derive(Debug, Clone)]
pub struct Script(String);

impl Script {
    /// The first line. script.c runs nothing that does not begin with these bytes.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Script {
        Script("#!ipxe\n".into())
    }

    /// A line that is the same for every machine.
    pub fn fixed(&mut self, line: &'static str) -> &mut Script {
        self.line(line, &[])
    }

    /// A line that begins with `start`. `start` must be a whole command with `--` or an argument
    /// behind it when the first piece is a word in the place of an argument, so that a word with
    /// a leading `-` stays an argument.
    pub fn line(&mut self, start: &'static str, pieces: &[Piece<'_>]) -> &mut Script {
        self.0.push_str(start);
        for piece in pieces {
            match piece {
                Piece::Fixed(text) => self.0.push_str(text),
                Piece::Word(word) => self.0.push_str(word.as_str()),
                Piece::Text(text) => self.0.push_str(text.as_str()),
                Piece::Slug(word) => self.0.extend(word.as_str().chars().take(64).map(unreserved)),
                Piece::Number(number) => self.0.push_str(&number.to_string()),
            }
        }
        // A blank at the end (an empty text) is nothing to iPXE; it only looks untidy.
        while self.0.ends_with(' ') {
            self.0.pop();
        }
        self.0.push('\n');
        self
    }

    /// `echo` with a text of any content. `--` ends echo's options.
    pub fn say(&mut self, pieces: &[Piece<'_>]) -> &mut Script {
        self.line("echo -- ", pieces)
    }

    /// Waits. A key press (Ctrl-C) ends `sleep` with an error (exec.c), which must not end the
    /// script: hence `||`.
    pub fn wait(&mut self, seconds: u32) -> &mut Script {
        self.line("sleep ", &[Piece::Number(seconds.into()), Piece::Fixed(" ||")])
    }

    /// Counts a failed try in the setting `try`; after the last one goes on at the next line,
    /// before that waits and jumps back. Uses only commands that every build has. The reason must
    /// already be in another setting: a false `iseq` overwrites `${errno}` (execv in exec.c).
    pub(super) fn count_try(
        &mut self,
        give_up: &[Piece<'_>],
        again: &[Piece<'_>],
        pause: u32,
    ) -> &mut Script {
        self.count_tries(TRIES, give_up, again, pause)
    }

    /// The same with another number of tries.
    pub(super) fn count_tries(
        &mut self,
        tries: u32,
        give_up: &[Piece<'_>],
        again: &[Piece<'_>],
        pause: u32,
    ) -> &mut Script {
        // Downward order, so that one pass counts one step.
        let mut goto = vec![Piece::Number(tries.into()), Piece::Fixed(" && goto ")];
        goto.extend_from_slice(give_up);
        goto.push(Piece::Fixed(" ||"));
        self.line("iseq ${try} ", &goto);
        for step in (1..tries).rev() {
            let (from, to) = (Piece::Number(step.into()), Piece::Number((step + 1).into()));
            self.line("iseq ${try} ", &[from, Piece::Fixed(" && set try "), to, Piece::Fixed(" ||")]);
        }
        self.wait(pause).line("goto ", again)
    }

    /// The finished text.
    pub fn finish(self) -> String {
        self.0
    }
}

fn unreserved(c: char) -> char {
    if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' }
}
