//! One transfer: what is sent when the client says something, and when it is silent.
//!
//! **Duplicates.** Without windows, an acknowledgment that says nothing new is ignored: answering
//! it would send every further block twice (the Sorcerer's Apprentice, RFC 1123, 4.2.3.1). With
//! windows it is how a client says that the first block of a window is missing (RFC 7440), but
//! EDK2 also sends one for each block that it did not expect. So it moves the transfer back once,
//! and then not again until two windows came through: duplicates die out, and for a loss that is
//! overlooked there is the timer.
//!
//! **What one request may cause.** A request can be sent in anybody's name. Until the client was
//! heard, all it gets is the answer to its options, or one block of 512 bytes, at most four times.

use super::packet::{self, Asked, BLOCK, Heard, Request};
use std::time::Duration;

/// How often something is sent again before the client counts as gone.
const TRIES: u32 = 5;
/// The same before it was heard: who lost the answer asks again by itself.
const TRIES_UNHEARD: u32 = 3;
/// Longest wait, unless the client asked for another one.
const LONGEST_WAIT: Duration = Duration::from_secs(8);

/// What a server grants at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes in a block, when the client wants to agree on more than 512.
    pub block: u16,
    /// Blocks in a window.
    pub window: u16,
}

/// A running transfer.
#[derive(Debug, Clone)]
pub struct Transfer {
    /// Bytes of the file.
    size: u64,
    block: u64,
    window: u64,
    /// What the client wants to wait.
    wait: Option<Duration>,
    /// The answer to its options, until that is acknowledged.
    opening: Option<Vec<u8>>,
    asked_size: bool,
    /// Blocks that the client has.
    acked: u64,
    /// The last block that was sent.
    sent: u64,
    heard: bool,
    /// How often the same was sent again.
    tries: u32,
    /// Windows that have to come through until a duplicate may move the transfer back.
    calm: u8,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// The client sent this to the port of the transfer.
    Datagram(&'a [u8]),
    /// [`Transfer::wait`] is over.
    Silence,
}

/// What to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Go on waiting, no longer than before.
    Wait,
    /// Send these, then wait anew.
    Send(Vec<Out>),
    /// It is over.
    End(End),
}

/// A packet to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Out {
    /// As it is.
    Packet(Vec<u8>),
    /// A block: the bytes of the file from `from` up to `to`, which it does not contain.
    Data {
        /// Its number on the wire.
        number: u16,
        /// The first byte.
        from: u64,
        /// The byte behind the last one.
        to: u64,
    },
}

/// How a transfer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The client has acknowledged everything.
    Complete,
    /// Everything was sent; the client went away without acknowledging the last of it, as some
    /// ROMs do.
    Unconfirmed,
    /// It only wanted to know the size, as EDK2 does first.
    SizeOnly,
    /// It ended the transfer, with a code and a text.
    Aborted(u16, String),
    /// It answered no more.
    Silent,
}

impl Transfer {
    /// A transfer of so many bytes, as the client wants it, within the limits.
    pub fn new(request: &Request, size: u64, limits: Limits) -> Transfer {
        let mut transfer = Transfer {
            size,
            block: u64::from(BLOCK),
            window: 1,
            wait: None,
            opening: None,
            asked_size: false,
            acked: 0,
            sent: 0,
            heard: false,
            tries: 0,
            calm: 0,
        };
        let agreed: Vec<(&str, u64)> =
            request.options.iter().map(|asked| (asked.name(), transfer.agree(*asked, limits))).collect();
        // With nothing to agree on the first block is the answer (RFC 2347).
        transfer.opening = (!agreed.is_empty()).then(|| packet::options(&agreed));
        transfer
    }

    fn agree(&mut self, asked: Asked, limits: Limits) -> u64 {
        match asked {
            Asked::BlockSize(bytes) => {
                self.block = u64::from(bytes.min(limits.block).max(8));
                self.block
            }
            Asked::Size => {
                self.asked_size = true;
                self.size
            }
            Asked::Timeout(seconds) => {
                self.wait = Some(Duration::from_secs(u64::from(seconds)));
                u64::from(seconds)
            }
            Asked::Window(blocks) => {
                self.window = u64::from(blocks.min(limits.window).max(1));
                self.window
            }
        }
    }

    /// The first packets.
    pub fn start(&mut self) -> Vec<Out> {
        self.next()
    }

    /// What to do about an event.
    pub fn step(&mut self, event: Event<'_>) -> Step {
        let heard = match event {
            Event::Silence => return self.silence(),
            Event::Datagram(datagram) => Heard::parse(datagram),
        };
        match heard {
            Heard::Noise => Step::Wait,
            Heard::Error(..) if self.opening.is_some() && self.asked_size => Step::End(End::SizeOnly),
            Heard::Error(code, text) => Step::End(End::Aborted(code, text)),
            Heard::Ack(number) => self.ack(number),
        }
    }

    /// How long to wait for the client after something was sent.
    pub fn wait(&self) -> Duration {
        let growing = Duration::from_secs(1 << self.tries.min(8)).min(LONGEST_WAIT);
        match self.wait {
            None => growing,
            // Nobody holds a place for long with one packet.
            Some(wait) if !self.heard => wait.min(LONGEST_WAIT),
            Some(wait) => wait,
        }
    }

    /// Whether the client has answered: that it is there at all is not known before.
    pub fn heard(&self) -> bool {
        self.heard
    }

    /// Bytes that the client has acknowledged.
    pub fn bytes(&self) -> u64 {
        (self.acked * self.block).min(self.size)
    }

    /// Whether something is being sent again.
    pub fn repeats(&self) -> bool {
        self.tries > 0
    }

    /// How it ended if the client cannot be reached any more.
    pub fn gone(&self) -> End {
        match self.heard && self.sent == self.blocks() {
            true => End::Unconfirmed,
            false => End::Silent,
        }
    }

    /// A file ends with a block that is not full, if need be an empty one.
    fn blocks(&self) -> u64 {
        self.size / self.block + 1
    }

    fn silence(&mut self) -> Step {
        if self.tries >= if self.heard { TRIES } else { TRIES_UNHEARD } {
            return Step::End(self.gone());
        }
        self.tries += 1;
        self.calm = 2;
        Step::Send(self.next())
    }

    fn ack(&mut self, number: u16) -> Step {
        if self.opening.is_some() {
            if number != 0 {
                return Step::Wait;
            }
            self.opening = None;
            return self.progress(0);
        }
        // Numbers go round after 65535. A window is far smaller than that, so there is one block
        // under way at most that is meant.
        let ahead = u64::from(number.wrapping_sub(low(self.acked)));
        match ahead {
            0 if self.window > 1 && self.calm == 0 && self.sent > self.acked => {
                self.calm = 2;
                Step::Send(self.next())
            }
            0 => Step::Wait,
            _ if ahead <= self.sent - self.acked => self.progress(ahead),
            _ => Step::Wait,
        }
    }

    fn progress(&mut self, blocks: u64) -> Step {
        self.acked += blocks;
        self.heard = true;
        self.tries = 0;
        self.calm = self.calm.saturating_sub(1);
        match self.acked == self.blocks() {
            true => Step::End(End::Complete),
            false => Step::Send(self.next()),
        }
    }

    /// What the client has to get now: the answer to its options, or a window from what it has.
    fn next(&mut self) -> Vec<Out> {
        if let Some(opening) = &self.opening {
            return vec![Out::Packet(opening.clone())];
        }
        let last = (self.acked + self.window).min(self.blocks());
        self.sent = self.sent.max(last);
        let data = |block: u64| Out::Data {
            number: low(block),
            from: ((block - 1) * self.block).min(self.size),
            to: (block * self.block).min(self.size),
        };
        (self.acked + 1..=last).map(data).collect()
    }
}

/// A block's number on the wire.
#[allow(clippy::cast_possible_truncation, reason = "that is what goes round")]
fn low(block: u64) -> u16 {
    block as u16
}
