//! One word of an iPXE script.

use std::fmt;

/// One word that iPXE reads as exactly these bytes: it neither ends the command, nor starts
/// another, nor expands to something else.
///
/// A word may begin with `-` or `:` (the Debian installer needs an argument `---`). Those mean
/// something to iPXE only at the start of a line (a label, `src/image/script.c`) or before a
/// command's first argument (an option, `src/core/getopt.c`), and [`super::Script`] puts a word
/// in neither place: every line begins with a literal of this crate, and `--` or a literal
/// argument stands before the first word that is not part of one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Word(String);

/// A longer word is refused: x86 kernels read 2047 bytes of command line in all.
pub const MAX_WORD: usize = 2048;

/// Why a text is not a word. The messages name the offending thing for the person who wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WordError {
    /// Nothing at all.
    #[error("is empty")]
    Empty,
    /// More than [`MAX_WORD`] bytes.
    #[error("has {0} bytes; iPXE gets at most {MAX_WORD} in one word")]
    TooLong(usize),
    /// A blank: iPXE has no quotes, so this would be two words.
    #[error("{} contains a blank; iPXE has no quotes, so write it as separate words or as %20", Shown(.0))]
    Blank(String),
    /// A control character.
    #[error("{} contains the control character {}", Shown(.text), .character.escape_default())]
    Control {
        /// The whole text.
        text: String,
        /// The first such character in it.
        character: char,
    },
    /// A character outside ASCII.
    #[error("{} contains {} (U+{:04X}); iPXE gets ASCII only", Shown(.text), .character.escape_debug(), u32::from(*.character))]
    NotAscii {
        /// The whole text.
        text: String,
        /// The first such character in it.
        character: char,
    },
    /// `${`: iPXE would put a setting of the machine in its place.
    #[error("{} contains ${{, which iPXE would replace by a setting", Shown(.0))]
    Expansion(String),
    /// `||`, `&&` or `;`.
    #[error("{0} separates commands in iPXE")]
    Operator(String),
    /// `#` at the beginning: iPXE would ignore the rest of the line.
    #[error("{} begins with #, which starts a comment in iPXE", Shown(.0))]
    Comment(String),
    /// `\` at the end: iPXE would join the next line.
    #[error("{} ends with a backslash, which continues a line in iPXE", Shown(.0))]
    Continuation(String),
    /// `#` inside a URL: everything from there on would not be sent.
    #[error("{} contains #, which ends a URL; write %23", Shown(.0))]
    Fragment(String),
    /// Not `http://` or `https://` with something behind it.
    #[error("{} is not an http:// or https:// URL", Shown(.0))]
    NotUrl(String),
}

/// The beginning of a text in quotes, with everything unprintable escaped.
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 60;
        let start: String = self.0.chars().take(MOST).flat_map(char::escape_default).collect();
        let rest = if self.0.chars().nth(MOST).is_some() { "…" } else { "" };
        write!(f, "\"{start}{rest}\"")
    }
}

impl Word {
    /// Checks the text; nothing is changed in it.
    pub fn new(text: impl Into<String>) -> Result<Word, WordError> {
        let text = text.into();
        if text.is_empty() {
            return Err(WordError::Empty);
        }
        if text.len() > MAX_WORD {
            return Err(WordError::TooLong(text.len()));
        }
        // 0x21..=0x7e; everything else is named by what it is.
        if let Some(character) = text.chars().find(|c| !c.is_ascii_graphic()) {
            return Err(match character {
                ' ' => WordError::Blank(text),
                c if c.is_control() => WordError::Control { text, character },
                _ => WordError::NotAscii { text, character },
            });
        }
        if text.contains("${") {
            return Err(WordError::Expansion(text));
        }
        if matches!(text.as_str(), "||" | "&&" | ";") {
            return Err(WordError::Operator(text));
        }
        if text.starts_with('#') {
            return Err(WordError::Comment(text));
        }
        if text.ends_with('\\') {
            return Err(WordError::Continuation(text));
        }
        Ok(Word(text))
    }

    /// Checks a URL that a machine is to fetch: a word, `http://` or `https://`, and without `#`
    /// (iPXE sends nothing from there on, so a query behind it would be lost).
    pub fn url(text: impl Into<String>) -> Result<Word, WordError> {
        let word = Word::new(text)?;
        let rest = word.0.strip_prefix("http://").or_else(|| word.0.strip_prefix("https://"));
        if rest.is_none_or(|r| r.is_empty() || r.starts_with('/')) {
            return Err(WordError::NotUrl(word.0));
        }
        if word.0.contains('#') {
            return Err(WordError::Fragment(word.0));
        }
        Ok(word)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl serde::Serialize for Word {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_kernels_need() {
        for good in [
            "---",
            "-x",
            ":boot",
            "quiet",
            "slab_nomerge=",
            "ds=nocloud;s=http://h/a/",
            "a&&b",
            "x#y",
            "console=ttyS0,115200",
            "nwipe_options=\"--method=zero",
            "a$",
            "{b}",
            "$x",
            "a\\b",
            "~",
            "!",
        ] {
            assert_eq!(Word::new(good).map(|w| w.to_string()).as_deref(), Ok(good));
        }
        assert!(Word::new("x".repeat(MAX_WORD)).is_ok());
    }

    #[test]
    fn refusals_name_the_thing_readably() {
        let cases = [
            ("", "is empty"),
            ("a b", "\"a b\" contains a blank"),
            ("a\nset x y", "control character \\n"),
            ("a\r", "control character \\r"),
            ("a\tb", "control character \\t"),
            ("a\0", "control character \\u{0}"),
            ("\u{1b}[2J", "\"\\u{1b}[2J\" contains the control character \\u{1b}"),
            ("\u{7f}", "control character \\u{7f}"),
            ("a\u{202e}b", "\\u{202e} (U+202E)"),
            ("caf\u{e9}", "(U+00E9)"),
            ("foo${net0/password}", "${"),
            ("$${b}", "${"),
            ("||", "separates commands"),
            ("&&", "separates commands"),
            (";", "separates commands"),
            ("#x", "begins with #"),
            ("x\\", "backslash"),
        ];
        for (text, part) in cases {
            let message = Word::new(text).unwrap_err().to_string();
            assert!(message.contains(part), "{text:?}: {message}");
            let readable = message.chars().all(|c| c == '…' || c == ' ' || c.is_ascii_graphic() || c == 'é');
            assert!(readable, "{message:?}");
        }
        let long = Word::new("x".repeat(70_000)).unwrap_err().to_string();
        assert!(long.contains("70000") && long.len() < 100);
        assert!(Word::new(format!("{} ", "x".repeat(2000))).unwrap_err().to_string().len() < 200);
    }

    #[test]
    fn urls() {
        assert!(Word::url("http://10.0.0.1:8080/boot/menu.ipxe?mac=a&uuid=b").is_ok());
        assert!(Word::url("https://[fd00::1]/x").is_ok());
        for bad in ["ftp://h/", "h/x", "http://", "http:///x", "-x", "http://h/#a", "http://h/ x"] {
            assert!(Word::url(bad).is_err(), "{bad}");
        }
    }
}
