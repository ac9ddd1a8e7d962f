//! Error codes in what people type and paste.

use super::ErrorCode;

/// Why a text is no error code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Digits are missing.
    #[error(
        "{0} is too short to be read: give all 8 digits of the code, with the zeros it begins with; they stand behind ipxe.org/ on the screen"
    )]
    Short(String),
    /// Too many digits.
    #[error("{0} has more than 8 digits: give the 8 digits that stand behind ipxe.org/ on the screen")]
    Long(String),
    /// Eight digits that no iPXE prints.
    #[error("{0} is no error code of iPXE: is each digit right?")]
    Unknown(String),
    /// No digits at all.
    #[error(
        "no error code in this: give the 8 digits that stand behind ipxe.org/ on the screen, such as 3e11623b"
    )]
    None,
}

/// Reads a code that somebody says is one: `3e11623b`, `0x3e11623b`, `https://ipxe.org/3e11623b`,
/// `ipxe.org/err/3e1162`, also with other text around it.
pub fn read(text: &str) -> Result<ErrorCode, Unreadable> {
    if let Some(found) = find(text) {
        return found;
    }
    let mut words = text.split(|c: char| !c.is_ascii_alphanumeric());
    let digits = |word: &&str| !word.is_empty() && word.chars().all(|c| c.is_ascii_hexdigit());
    words.find(digits).map_or(Err(Unreadable::None), code)
}

/// The code in a text that may have none. Bare digits count when there are six or eight and one of
/// them is no letter: "facade" is a word. What follows `0x` or `ipxe.org/` is always taken for one.
pub fn find(text: &str) -> Option<Result<ErrorCode, Unreadable>> {
    let lower = text.to_ascii_lowercase();
    for prefix in ["ipxe.org/err/", "ipxe.org/", "0x"] {
        for (at, _) in lower.match_indices(prefix) {
            let behind = &lower[at + prefix.len()..];
            let end = behind.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(behind.len());
            let word = &behind[..end];
            if !word.is_empty() && word.chars().all(|c| c.is_ascii_hexdigit()) {
                return Some(code(word));
            }
        }
    }
    lower
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| matches!(word.len(), 6 | 8) && word.chars().all(|c| c.is_ascii_hexdigit()))
        .filter(|word| word.chars().any(|c| c.is_ascii_digit()))
        // Six digits alone may be a date or the end of a MAC address: the file has to exist.
        .find_map(|word| code(word).ok().filter(|code| code.decode().file.is_some()))
        .map(Ok)
}

/// Hexadecimal digits as a code. iPXE prints `${errno}` without the zeros it begins with: seven
/// digits are eight with a zero before them. Six are those of the wiki.
fn code(digits: &str) -> Result<ErrorCode, Unreadable> {
    let unknown = || Unreadable::Unknown(digits.to_owned());
    match digits.len() {
        0 => Err(Unreadable::None),
        1..=5 => Err(Unreadable::Short(digits.to_owned())),
        9.. => Err(Unreadable::Long(digits.chars().take(16).collect())),
        length => {
            let number = u32::from_str_radix(digits, 16).map_err(|_| unknown())?;
            let code = if length == 6 { ErrorCode::short(number) } else { ErrorCode::new(number) };
            code.ok_or_else(unknown)
        }
    }
}
