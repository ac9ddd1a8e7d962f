//! Names in an image: how they are written, and which are refused.

use super::{IsoError, shown};
use hadris_iso::sync::read::DirEntry;

/// Longest name of a file or folder in bytes, as on Linux.
const MAX_NAME: usize = 255;
/// Longest path in bytes.
pub(super) const MAX_PATH: usize = 1024;

/// Which of an image's names are read. Of several, the first of this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// POSIX names beside the plain ones.
    RockRidge,
    /// A second tree of folders with names in UTF-16.
    Joliet,
    /// Capital letters and a version: read as Linux shows them, in lower case and without it.
    Plain,
}

/// The name of an entry; `None` when it is not text, and the entry is left out.
pub(super) fn of(entry: &DirEntry, names: Names, folder: &str) -> Result<Option<String>, IsoError> {
    let name = match names {
        Names::RockRidge => match entry.rrip.as_ref().and_then(|r| r.alternate_name.clone()) {
            // The library writes this for bytes that are no UTF-8.
            Some(name) if name.contains(char::REPLACEMENT_CHARACTER) => None,
            Some(name) => Some(name),
            None => plain(entry.record.name()),
        },
        Names::Joliet => joliet(entry.record.name()),
        Names::Plain => plain(entry.record.name()),
    };
    match name {
        Some(name) => check(&name, folder).map(|()| Some(name)),
        None => Ok(None),
    }
}

fn check(name: &str, folder: &str) -> Result<(), IsoError> {
    let why = match name {
        "" => "it is empty",
        "." | ".." => "it leads out of its folder",
        name if name.contains(['/', '\\']) => "it is a path",
        name if name.contains(|c: char| c.is_control()) => "it has control characters",
        name if name.len() > MAX_NAME => "it is too long",
        _ => return Ok(()),
    };
    Err(IsoError::Name(format!("{:?} in {:?}: {why}", shown(name), shown(&format!("/{folder}")))))
}

/// `VMLINUZ.;1` is `vmlinuz`.
fn plain(raw: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(raw).ok()?;
    let text = without_version(text);
    let text = text.strip_suffix('.').filter(|stem| !stem.is_empty()).unwrap_or(text);
    Some(text.to_ascii_lowercase())
}

fn joliet(raw: &[u8]) -> Option<String> {
    let (pairs, rest) = raw.as_chunks::<2>();
    let units = pairs.iter().map(|pair| u16::from_be_bytes(*pair));
    let text: String = char::decode_utf16(units).collect::<Result<_, _>>().ok()?;
    rest.is_empty().then(|| without_version(&text).to_owned())
}

fn without_version(name: &str) -> &str {
    match name.rsplit_once(';') {
        Some((stem, version)) if !stem.is_empty() && version.bytes().all(|b| b.is_ascii_digit()) => stem,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_lose_version_and_case() {
        for (raw, want) in [
            ("VMLINUZ.;1", "vmlinuz"),
            ("INITRD.IMG;1", "initrd.img"),
            ("CASPER", "casper"),
            ("A;B;2", "a;b"),
            (";1", ";1"),
            (".;1", "."),
        ] {
            assert_eq!(plain(raw.as_bytes()).as_deref(), Some(want), "{raw}");
        }
        assert_eq!(plain(b"\xff"), None);
        let wide: Vec<u8> = "Ünï.img;1".encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(joliet(&wide).as_deref(), Some("Ünï.img"));
        assert_eq!(joliet(b"\0a\0"), None);
        assert_eq!(joliet(b"\xd8\x00"), None, "half of a character");
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        let long = "x".repeat(256);
        for bad in ["", ".", "..", "../x", "/etc/passwd", "a/b", "a\\b", "a\0b", "a\nb", "\u{1b}[2J", &long] {
            assert!(matches!(check(bad, "casper"), Err(IsoError::Name(_))), "{bad:?}");
        }
        for good in ["vmlinuz", "...", " x ", "ü", "%2e%2e", "con", &long[1..]] {
            assert_eq!(check(good, ""), Ok(()), "{good:?}");
        }
        let error = check("a\n../../b", "x").unwrap_err().to_string();
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}
