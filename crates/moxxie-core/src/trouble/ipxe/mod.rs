//! Error codes of iPXE, explained without a network.
//!
//! iPXE prints `https://ipxe.org/` and eight digits. They are (`src/include/errno.h`): bits 24 to 30
//! the kind of error by POSIX's names, 13 to 23 the source file, 8 to 12 the cause among those of
//! that file, and 0 to 7 a number of the platform, which differs between BIOS and UEFI for the same
//! error and is left out of every comparison.

mod advice;
mod causes;
mod files;
mod parse;
mod posix;

pub use files::{Area, SourceFile};
pub use parse::{Unreadable, find, read};

use advice::advice;
use causes::CAUSES;

/// An error code. The lowest byte is unknown for the six digits of a page of iPXE's wiki.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrorCode {
    bits: u32,
    whole: bool,
}

/// What an error code says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// The code.
    pub code: ErrorCode,
    /// In one line, what it is.
    pub title: String,
    /// Why it happens.
    pub cause: String,
    /// What to run or look at.
    pub check: &'static str,
    /// What to do.
    pub fix: &'static str,
    /// POSIX's name and meaning for the kind of error.
    pub kind: (&'static str, &'static str),
    /// Where in iPXE it comes from; `None` for a number that no version read here gave out.
    pub file: Option<SourceFile>,
    /// iPXE's words for exactly this error, where it has some.
    pub named: Option<&'static str>,
    /// Symptoms to read on with, by their `id`.
    pub symptoms: &'static [&'static str],
}

impl ErrorCode {
    /// A code of eight digits. Every code of iPXE has a kind, and bit 31 is never set.
    pub fn new(bits: u32) -> Option<ErrorCode> {
        posix::posix(bits).filter(|_| bits >> 31 == 0).map(|_| ErrorCode { bits, whole: true })
    }

    /// A code of six digits, as in the addresses of iPXE's wiki: without the platform's byte.
    fn short(digits: u32) -> Option<ErrorCode> {
        ErrorCode::new(digits.checked_mul(0x100)?).map(|code| ErrorCode { whole: false, ..code })
    }

    /// Without the platform's byte: what two builds have in common.
    pub fn masked(self) -> u32 {
        self.bits & 0x7fff_ff00
    }

    /// Number of the cause within file and kind; 0 is no cause in particular.
    pub fn cause(self) -> u32 {
        (self.bits >> 8) & 0x1f
    }

    /// The platform's number, when the code has all eight digits.
    pub fn platform(self) -> Option<u8> {
        self.whole.then_some((self.bits & 0xff) as u8)
    }

    /// The six digits that iPXE's own wiki has a page for.
    pub fn page(self) -> String {
        format!("{:06x}", self.bits >> 8)
    }

    /// Says what it means.
    pub fn decode(self) -> Decoded {
        let kind = posix::posix(self.bits).unwrap_or(("", "an error of an unknown kind"));
        let file = files::file(self.bits);
        let named = CAUSES.iter().find(|(code, _)| *code == self.masked()).map(|(_, text)| *text);
        let place = file.map_or("a part of iPXE that is not known here", |file| file.subsystem());
        let said = named.unwrap_or(kind.1);
        match advice(self.masked()) {
            Some(row) => Decoded {
                code: self,
                // A general row says less than the place it happened at.
                title: match file.is_some() && row.bits == advice::KIND {
                    true => format!("{}: {place}", row.title),
                    false => row.title.to_owned(),
                },
                cause: row.cause.to_owned(),
                check: row.check,
                fix: row.fix,
                kind,
                file,
                named,
                symptoms: row.symptoms,
            },
            None => Decoded {
                code: self,
                title: format!("{said}: {place}"),
                cause: match named {
                    Some(text) => format!("iPXE says \"{text}\" ({}, {}) about {place}.", kind.0, kind.1),
                    None => format!("iPXE met {} ({}) in {place}.", kind.0, kind.1),
                },
                check: general(file).0,
                fix: general(file).1,
                kind,
                file,
                named,
                symptoms: &[],
            },
        }
    }
}

impl std::fmt::Display for ErrorCode {
    /// Eight digits as iPXE prints them, or six.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.whole {
            true => write!(f, "{:08x}", self.bits),
            false => f.write_str(&self.page()),
        }
    }
}

/// Check and fix for what has no row of its own.
fn general(file: Option<SourceFile>) -> (&'static str, &'static str) {
    match file.map(|file| file.area) {
        Some(Area::Driver) => (
            "Run `ifstat` at the iPXE prompt: are there errors, is the link up?",
            "Try the loader that uses the firmware's driver (snponly.efi, undionly.kpxe), or a newer iPXE.",
        ),
        Some(Area::Net) => (
            "Run `ifstat`, `route` and `ping ADDRESS` at the iPXE prompt, and the same URL with curl from the same VLAN.",
            "Mend the first of these that fails: link, address, gateway, server.",
        ),
        Some(Area::Image) => (
            "Run `imgstat` at the iPXE prompt: are name and size of each file what they should be?",
            "Give a file for this firmware and processor, and the whole of it.",
        ),
        _ => (
            "Read the lines above the error: they name the command or file that failed.",
            "Mend that. The error's page on ipxe.org may know more.",
        ),
    }
}

/// The codes with advice of their own, by number: for the page of the docs. A cause of 0 stands for
/// every cause of the same kind and file.
pub fn advised() -> Vec<Decoded> {
    decode_all(advice::ADVICE.iter().filter(|row| row.bits != advice::KIND).map(|row| row.code))
}

/// The codes that iPXE has words for, by number: for the page of the docs.
pub fn named() -> Vec<Decoded> {
    decode_all(CAUSES.iter().map(|(code, _)| *code))
}

fn decode_all(codes: impl Iterator<Item = u32>) -> Vec<Decoded> {
    let mut codes: Vec<u32> = codes.collect();
    codes.sort_unstable();
    codes.into_iter().filter_map(|code| ErrorCode::short(code >> 8)).map(ErrorCode::decode).collect()
}

#[cfg(test)]
mod tests;
