//! Text for the people in front of a console.

use std::fmt;

/// A sentence that iPXE prints as it stands: printable ASCII, single blanks,
/// [`MAX_TEXT`] characters at most, and no word of it means anything to iPXE.
///
/// Anything can be made into a text. What iPXE or a console would not show, or would take for
/// syntax, is replaced by something that reads alike: consoles are code page 437 or a serial
/// line, where UTF-8 is noise and an escape character repaints the screen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Text(String);

/// What does not fit is cut and marked with `...`.
pub const MAX_TEXT: usize = 200;

impl Text {
    /// Makes the text harmless.
    pub fn new(text: impl AsRef<str>) -> Text {
        // Only so much is looked at: the rest could not be shown anyway.
        let plain: String = text.as_ref().chars().take(MAX_TEXT * 8).flat_map(spelled).collect();
        let mut out = String::new();
        for word in plain.split_ascii_whitespace() {
            let word = harmless(word, out.is_empty());
            if !out.is_empty() {
                out.push(' ');
            }
            out.push_str(&word);
        }
        if out.len() > MAX_TEXT {
            // All ASCII, so any index is a character's. With the dots behind it no part of a
            // harmless word is an operator or ends in a backslash.
            out.truncate(MAX_TEXT - 3);
            out.truncate(out.trim_end().len());
            out.push_str("...");
        }
        // script.c joins the next line to one that ends with a backslash.
        if out.ends_with('\\') {
            out.pop();
            out.push('/');
        }
        Text(out)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether nothing is left to show.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<T: AsRef<str>> From<T> for Text {
    fn from(text: T) -> Text {
        Text::new(text)
    }
}

/// A word that exec.c reads as plain text, wherever it stands (`first`: as the first of all).
fn harmless(word: &str, first: bool) -> String {
    let mut word = word.replace("${", "$ {");
    match word.as_str() {
        "||" => word = "| |".into(),
        "&&" => word = "& &".into(),
        ";" => word = ",".into(),
        _ => {}
    }
    if word.starts_with('#') || (first && word.starts_with('-')) {
        word.insert(0, '\'');
    }
    word
}

/// The ASCII spelling of a character.
fn spelled(c: char) -> std::vec::IntoIter<char> {
    let text = match c {
        ' '..='~' => return vec![c].into_iter(),
        '\n' | '\r' | '\t' | '\u{b}' | '\u{c}' => " ",
        // C0, DEL and C1 controls, soft hyphen, combining marks, zero-width and bidirectional
        // controls, variation selectors, byte order mark: not seen, so not spelled.
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{300}'..='\u{36f}' => "",
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => "",
        '\u{fe00}'..='\u{fe0f}' | '\u{feff}' => "",
        c if c.is_whitespace() => " ",
        'À'..='Å' | 'Ā' | 'Ă' | 'Ą' => "A",
        'à'..='å' | 'ā' | 'ă' | 'ą' => "a",
        'Æ' => "AE",
        'æ' => "ae",
        'Ç' | 'Ć' | 'Ĉ' | 'Ċ' | 'Č' => "C",
        'ç' | 'ć' | 'ĉ' | 'ċ' | 'č' => "c",
        'Ď' | 'Đ' | 'Ð' => "D",
        'ď' | 'đ' | 'ð' => "d",
        'È'..='Ë' | 'Ē' | 'Ĕ' | 'Ė' | 'Ę' | 'Ě' => "E",
        'è'..='ë' | 'ē' | 'ĕ' | 'ė' | 'ę' | 'ě' => "e",
        'Ĝ' | 'Ğ' | 'Ġ' | 'Ģ' => "G",
        'ĝ' | 'ğ' | 'ġ' | 'ģ' => "g",
        'Ì'..='Ï' | 'Ī' | 'Į' | 'İ' => "I",
        'ì'..='ï' | 'ī' | 'į' | 'ı' => "i",
        'Ł' | 'Ĺ' | 'Ļ' | 'Ľ' => "L",
        'ł' | 'ĺ' | 'ļ' | 'ľ' => "l",
        'Ñ' | 'Ń' | 'Ņ' | 'Ň' => "N",
        'ñ' | 'ń' | 'ņ' | 'ň' => "n",
        'Ò'..='Ö' | 'Ø' | 'Ō' | 'Ŏ' | 'Ő' => "O",
        'ò'..='ö' | 'ø' | 'ō' | 'ŏ' | 'ő' => "o",
        'Œ' => "OE",
        'œ' => "oe",
        'Ŕ' | 'Ř' => "R",
        'ŕ' | 'ř' => "r",
        'Ś' | 'Ş' | 'Š' | 'Ș' => "S",
        'ś' | 'ş' | 'š' | 'ș' => "s",
        'ß' => "ss",
        'Ţ' | 'Ť' | 'Ț' => "T",
        'ţ' | 'ť' | 'ț' => "t",
        'Þ' => "Th",
        'þ' => "th",
        'Ù'..='Ü' | 'Ū' | 'Ŭ' | 'Ů' | 'Ű' | 'Ų' => "U",
        'ù'..='ü' | 'ū' | 'ŭ' | 'ů' | 'ű' | 'ų' => "u",
        'Ý' | 'Ÿ' => "Y",
        'ý' | 'ÿ' => "y",
        'Ź' | 'Ż' | 'Ž' => "Z",
        'ź' | 'ż' | 'ž' => "z",
        '‐'..='―' | '−' => "-",
        '‘' | '’' | '‚' | '‹' | '›' => "'",
        '“' | '”' | '„' | '«' | '»' => "\"",
        '…' => "...",
        '•' | '·' => "*",
        '→' => "->",
        '×' => "x",
        '€' => "EUR",
        _ => "?",
    };
    text.chars().collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(t: &str) -> String {
        Text::new(t).to_string()
    }

    #[test]
    fn keeps_what_it_can() {
        assert_eq!(text("Talos 1.13 (control plane), rack 2"), "Talos 1.13 (control plane), rack 2");
        assert_eq!(text("Zürich – Straße „7“… Łódź"), "Zurich - Strasse \"7\"... Lodz");
        assert_eq!(text("  a\t\tb\r\nc  "), "a b c");
        assert_eq!(text("e\u{301}"), "e", "a combining mark");
        assert_eq!(text("\u{1f680} go"), "? go");
    }

    #[test]
    fn disarms_syntax() {
        assert_eq!(text("a\r\nshell"), "a shell");
        assert_eq!(text("${net0/password}"), "$ {net0/password}");
        assert_eq!(text("$${b} ${${c}}"), "$$ {b} $ {$ {c}}");
        assert_eq!(text("x || shell ; y && z"), "x | | shell , y & & z");
        assert_eq!(text("#1 is #2"), "'#1 is '#2");
        assert_eq!(text("--help -x"), "'--help -x");
        assert_eq!(text("C:\\"), "C:/");
        assert_eq!(text("a \\ b \\\\"), "a \\ b \\/");
        assert_eq!(text("\u{1b}[2J\u{202e}x\u{200b}y\u{7}"), "[2Jxy");
        assert_eq!(text("\u{0}\u{1b}"), "");
    }

    #[test]
    fn is_short() {
        let long = text(&"x".repeat(70_000));
        assert_eq!(long.len(), MAX_TEXT);
        assert!(long.ends_with("x..."));
        assert!(text(&"ab ".repeat(30_000)).len() <= MAX_TEXT);
        assert!(text(&"|| ".repeat(300)).len() <= MAX_TEXT);
    }
}
