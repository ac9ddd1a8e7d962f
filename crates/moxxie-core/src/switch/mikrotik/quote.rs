//! RouterOS strings: every dynamic text of a script passes one of these two types.

use crate::switch::{NameError, quotable};
use std::fmt;

/// A text as a RouterOS string, with its quotes, in the escapes that versions 6 and 7 share: version
/// 6 reads a bare `?` as a call for help, and `$` begins a variable, so both are written by their
/// codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouterString(String);

impl RouterString {
    /// Quotes printable ASCII, tabs and line breaks; refuses the rest, which consoles cut or drop.
    pub fn new(text: &str) -> Result<RouterString, NameError> {
        let mut quoted = String::with_capacity(text.len() + 2);
        quoted.push('"');
        for c in text.chars() {
            match c {
                '"' => quoted.push_str("\\\""),
                '\\' => quoted.push_str("\\\\"),
                '\n' => quoted.push_str("\\n"),
                '\r' => quoted.push_str("\\r"),
                '\t' => quoted.push_str("\\t"),
                '$' => quoted.push_str("\\24"),
                '?' => quoted.push_str("\\3F"),
                ' '..='~' => quoted.push(c),
                _ => return Err(NameError(format!("{c:?} cannot stand in a RouterOS string"))),
            }
        }
        quoted.push('"');
        Ok(RouterString(quoted))
    }
}

impl fmt::Display for RouterString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The value of a DHCP option that is sent as text. RouterOS has a language of its own in there:
/// `'10.0.0.1'` would become four bytes, `$(…)` a variable, so the text stands in `s'…'` and has
/// nothing in it that could end that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionText(RouterString);

impl OptionText {
    /// The longest option, in bytes (RFC 2132: one byte of length).
    pub const MAX: usize = 255;

    /// Quotes a text of 1 to 255 characters; refuses what [`quotable`] does not let through.
    pub fn new(text: &str) -> Result<OptionText, NameError> {
        if !(1..=Self::MAX).contains(&text.len()) || !quotable(text) {
            return Err(NameError(format!("{text:?} cannot be the value of a DHCP option")));
        }
        RouterString::new(&format!("s'{text}'")).map(OptionText)
    }
}

impl fmt::Display for OptionText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads a string as RouterOS documents it; shares nothing with the code above or the reader.
    fn unquoted(text: &str) -> Option<String> {
        let mut bytes = text.strip_prefix('"')?.strip_suffix('"')?.bytes();
        let mut out = Vec::new();
        while let Some(byte) = bytes.next() {
            out.push(match byte {
                b'"' | b'$' | b'?' => return None,
                b'\\' => match bytes.next()? {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    c @ (b'"' | b'\\') => c,
                    high => {
                        let digits = [high, bytes.next()?];
                        let upper = |b: &u8| b.is_ascii_digit() || (b'A'..=b'F').contains(b);
                        if !digits.iter().all(upper) {
                            return None;
                        }
                        u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
                    }
                },
                other => other,
            });
        }
        String::from_utf8(out).ok()
    }

    #[test]
    fn strings() {
        let shown = |text: &str| RouterString::new(text).unwrap().to_string();
        assert_eq!(shown("VLAN 10"), "\"VLAN 10\"");
        assert_eq!(shown("a\"b\\c$d?e"), "\"a\\\"b\\\\c\\24d\\3Fe\"");
        assert_eq!(OptionText::new("ipxe.efi").unwrap().to_string(), "\"s'ipxe.efi'\"");
        for bad in ["", "a'b", "$(HOSTNAME)", "a\"", "a\\", "a\nb", "\u{e9}", &"x".repeat(256)] {
            assert!(OptionText::new(bad).is_err(), "{bad:?}");
        }
        assert!(RouterString::new("a\0b").is_err());
    }

    proptest! {
        #[test]
        fn every_string_reads_back(text in "[ -~\n\r\t]{0,80}") {
            let quoted = RouterString::new(&text).unwrap().to_string();
            prop_assert!(quoted.bytes().all(|b| (0x20..0x7f).contains(&b)), "{}", quoted);
            let back = unquoted(&quoted);
            prop_assert_eq!(back.as_deref(), Some(text.as_str()));
        }

        #[test]
        fn any_text_is_quoted_or_refused(text in ".{0,40}") {
            if let Ok(quoted) = RouterString::new(&text) {
                prop_assert_eq!(unquoted(&quoted.to_string()), Some(text.clone()));
            }
            if let Ok(quoted) = OptionText::new(&text) {
                prop_assert_eq!(unquoted(&quoted.to_string()), Some(format!("s'{text}'")));
            }
        }
    }
}
