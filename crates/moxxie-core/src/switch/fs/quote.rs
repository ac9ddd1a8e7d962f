//! What may stand in a command of an FS switch. None of the families documents an escape: `?` opens
//! help, `!` begins a remark, `|` filters, a quote swallows the rest of the line. So nothing is
//! quoted; a text either goes as it is or is refused.

use crate::switch::Vlan;
use std::fmt;

/// Why a text cannot stand in a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} cannot stand in a command of an FS switch: {why}")]
pub struct Unquotable {
    text: String,
    why: &'static str,
}

impl Unquotable {
    fn new(text: &str, why: &'static str) -> Unquotable {
        Unquotable { text: text.chars().take(80).collect(), why }
    }
}

/// One argument: 1 to 127 bytes (the room for a boot file's name in a DHCP header), letters, digits
/// and `. _ / : @ + -`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Word(String);

impl Word {
    /// Takes any text that is one argument, and refuses the rest.
    pub fn new(text: &str) -> Result<Word, Unquotable> {
        if !(1..=127).contains(&text.len()) {
            return Err(Unquotable::new(text, "an argument has 1 to 127 bytes"));
        }
        if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return Err(Unquotable::new(text, "it does not begin with a letter or digit"));
        }
        if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._/:@+-".contains(&b)) {
            return Err(Unquotable::new(text, "no quoting is documented for these switches"));
        }
        Ok(Word(text.to_owned()))
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of an interface: one word, or a word and a number such as `TenGigabitEthernet 0/1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    kind: Word,
    number: Option<Word>,
}

impl Port {
    /// Takes any text that is one interface, and refuses the rest, such as a range.
    pub fn new(text: &str) -> Result<Port, Unquotable> {
        let Some((kind, number)) = text.split_once(' ') else {
            return Ok(Port { kind: Word::new(text)?, number: None });
        };
        if !number.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(Unquotable::new(text, "an interface is a word, or a word and a number"));
        }
        Ok(Port { kind: Word::new(kind)?, number: Some(Word::new(number)?) })
    }

    /// The name in lower case without the space, to compare it.
    pub fn key(&self) -> String {
        self.to_string().replace(' ', "").to_ascii_lowercase()
    }

    /// The VLAN, when this is a VLAN's interface and no port.
    pub fn vlan(&self) -> Option<u16> {
        self.key().strip_prefix("vlan")?.parse::<Vlan>().ok().map(Vlan::id)
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        match &self.number {
            Some(number) => write!(f, " {number}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// How such a command line is read, written from the other side: what the switch makes of the
    /// keys that are typed. `None` where a key does more than type.
    fn read(line: &str) -> Option<Vec<String>> {
        let mut words = Vec::new();
        let mut word = String::new();
        for c in line.chars() {
            match c {
                // Help, a filter, a new command, the literal key, a shell's and a history's characters.
                '?' | '|' | ';' | '\\' | '^' | '"' | '\'' | '`' | '$' | '#' | '&' | '<' | '>' => return None,
                c if c.is_control() || !c.is_ascii() => return None,
                '!' => break,
                ' ' if word.is_empty() => {}
                ' ' => words.push(std::mem::take(&mut word)),
                c => word.push(c),
            }
        }
        if !word.is_empty() {
            words.push(word);
        }
        Some(words)
    }

    proptest! {
        #[test]
        fn a_word_arrives_as_one_argument(text in any::<String>()) {
            if let Ok(word) = Word::new(&text) {
                prop_assert_eq!(read(&format!("bootfile {word}")), Some(vec!["bootfile".to_owned(), text]));
            }
        }

        #[test]
        fn hostile_words_are_refused_and_harmless_ones_taken(
            before in "[a-z0-9][a-z0-9._/:@+-]{0,20}",
            wrong in "[^a-zA-Z0-9._/:@+-]",
            after in "[a-z0-9._/:@+-]{0,20}",
        ) {
            let harmless = format!("{before}{after}");
            prop_assert_eq!(
                read(&format!("bootfile {}", Word::new(&harmless).unwrap())),
                Some(vec!["bootfile".to_owned(), harmless])
            );
            let hostile = format!("{before}{wrong}{after}");
            prop_assert!(Word::new(&hostile).is_err());
        }

        #[test]
        fn a_port_arrives_as_typed(text in "[ -~]{0,30}") {
            if let Ok(port) = Port::new(&text) {
                let words = read(&format!("interface {port}")).unwrap();
                prop_assert!(words.len() <= 3 && words[1..].join(" ") == text);
            }
        }
    }

    #[test]
    fn ports() {
        for good in
            ["TenGigabitEthernet 0/1", "ethernet 1/1", "g0/1", "eth-0-1", "AggregatePort 1", "VLAN 10"]
        {
            assert_eq!(Port::new(good).unwrap().to_string(), good);
        }
        for bad in ["", " g0/1", "range g0/1 2", "range gigabit", "g0/1 ", "g0/1,2", "g0/1-?", "a 1 2"] {
            assert!(Port::new(bad).is_err(), "{bad:?}");
        }
        assert_eq!(Port::new("VLAN 10").unwrap().vlan(), Some(10));
        assert_eq!(Port::new("ethernet 1/1").unwrap().vlan(), None);
    }
}
