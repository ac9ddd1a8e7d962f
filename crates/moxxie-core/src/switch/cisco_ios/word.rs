//! What may stand in an IOS command.

use super::super::{Name, NameError, Problem, quotable};
use std::fmt;

/// One word of a command: IOS has no escapes, and `?` opens the help even inside a pasted line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word(String);

impl Word {
    pub(super) fn new(key: &'static str, text: &str) -> Result<Word, Problem> {
        let wrong = |c: char| c == ' ' || c == '?' || c == '|';
        if text.is_empty() || !quotable(text) || text.contains(wrong) || text.starts_with('!') {
            return Err(Problem::new(key, format!("{text:?} cannot be one word of an IOS command")));
        }
        Ok(Word(text.to_owned()))
    }

    /// An interface, whose number may stand apart from its type: `GigabitEthernet 1/0/1`.
    pub(super) fn interface(key: &'static str, name: &Name) -> Result<Word, Problem> {
        let text = name.as_str();
        let joined = text.split_once(' ').filter(|(kind, number)| {
            kind.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-')
                && number.starts_with(|c: char| c.is_ascii_digit())
        });
        match joined {
            Some((kind, number)) => Word::new(key, &format!("{kind}{number}")),
            None => Word::new(key, name.word().map_err(|error: NameError| Problem::new(key, error))?),
        }
    }

    pub(super) fn is_svi(&self) -> bool {
        let lower = self.0.to_ascii_lowercase();
        lower.strip_prefix("vlan").is_some_and(|id| !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit()))
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// What is accepted comes back as the same single word when a line is split as IOS does.
        #[test]
        fn a_word_stays_one_word(text in ".{0,40}") {
            if let Ok(word) = Word::new("pool", &text) {
                let line = format!(" bootfile {word}");
                prop_assert_eq!(line.split([' ', '\t']).filter(|w| !w.is_empty()).collect::<Vec<_>>(), ["bootfile", text.as_str()]);
                prop_assert!(!line.contains(['?', '\n', '\r', '"']));
            }
        }

        #[test]
        fn plain_words_are_accepted(text in "[A-Za-z0-9][A-Za-z0-9./:_-]{0,40}") {
            prop_assert_eq!(Word::new("pool", &text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn interfaces() {
        let read = |text: &str| Word::interface("interface", &text.parse().unwrap()).map(|w| w.to_string());
        assert_eq!(read("GigabitEthernet 1/0/1").unwrap(), "GigabitEthernet1/0/1");
        assert_eq!(read("Te1/1/1").unwrap(), "Te1/1/1");
        for bad in ["range Gi1/0/1 - 24", "Gi 1/0/1 - 24", "no switchport"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        let svi = |text: &str| Word::interface("interface", &text.parse().unwrap()).unwrap().is_svi();
        assert!(svi("Vlan10") && svi("vlan 10") && !svi("Vlan") && !svi("Gi1/0/1"));
    }
}
