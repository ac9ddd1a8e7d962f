//! The PXE-E codes that firmware prints. BIOS boot ROMs and UEFI use some numbers for different
//! things, so a code may have two meanings.

mod codes;

use super::symptoms::symptom;
pub use codes::CODES;

/// One meaning of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PxeCode {
    /// Letter and two digits: `E53`.
    pub number: &'static str,
    /// Whose meaning this is: `BIOS` or `UEFI`.
    pub firmware: &'static str,
    /// The text behind the code, as firmware prints it.
    pub text: &'static str,
    /// Why it happens.
    pub cause: &'static str,
    next: Next,
}

/// How it goes on: with a symptom, or with advice of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    See(&'static str),
    Do((&'static str, &'static str)),
}

impl PxeCode {
    /// The code as firmware prints it: `PXE-E53`.
    pub fn code(&self) -> String {
        format!("PXE-{}", self.number)
    }

    /// The symptom to read on with.
    pub fn symptom(&self) -> Option<&'static str> {
        match self.next {
            Next::See(id) => Some(id),
            Next::Do(_) => None,
        }
    }

    /// What to run or look at.
    pub fn check(&self) -> &'static str {
        self.advice().0
    }

    /// What to do.
    pub fn fix(&self) -> &'static str {
        self.advice().1
    }

    fn advice(&self) -> (&'static str, &'static str) {
        match self.next {
            // A test sees to it that every name is one.
            Next::See(id) => symptom(id).map_or(("", ""), |symptom| (symptom.check, symptom.fix)),
            Next::Do(advice) => advice,
        }
    }
}

/// The meanings of a number such as `E53`, in any case; empty for one that nobody prints.
pub fn meanings(number: &str) -> impl Iterator<Item = &'static PxeCode> + '_ {
    CODES.iter().filter(move |code| code.number.eq_ignore_ascii_case(number))
}

/// The number of the code in a text: `PXE-E53`, `pxe e53`, `PXEE53`, or `E53` alone as a word.
pub fn find(text: &str) -> Option<&'static str> {
    let upper = text.to_ascii_uppercase();
    let words = upper.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words
        .map(|word| word.strip_prefix("PXE").unwrap_or(word))
        .find_map(|word| Some(meanings(word).next()?.number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_an_answer() {
        let mut seen = std::collections::BTreeSet::new();
        for code in CODES {
            assert!(seen.insert((code.number, code.firmware)), "{} stands twice", code.code());
            assert!(code.number.len() == 3 && !code.number.contains(|c: char| c.is_ascii_lowercase()));
            for text in [code.text, code.cause, code.check(), code.fix()] {
                assert!(!text.is_empty(), "{}", code.code());
            }
            assert!(code.symptom().is_none_or(|id| symptom(id).is_some()), "{}", code.code());
        }
    }

    #[test]
    fn codes_in_texts() {
        for text in
            ["PXE-E53", "pxe e53", "pxe-e53: No boot filename received", "PXEE53", "E53", "x (PXE-E53)"]
        {
            assert_eq!(find(text), Some("E53"), "{text}");
        }
        for text in ["", "PXE", "PXE-E5", "PXE-E533", "E54x", "hello", "E02", "µ"] {
            assert_eq!(find(text), None, "{text}");
        }
        // One number, two meanings.
        let firmware: Vec<&str> = meanings("e21").map(|code| code.firmware).collect();
        assert_eq!(firmware, ["BIOS", "UEFI"]);
    }
}
