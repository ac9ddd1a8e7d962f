//! From what somebody sees to what it means.

use super::ipxe::{self, Decoded, Unreadable};
use super::pxe::{self, PxeCode};
use super::symptoms::{Symptom, all, symptom};

/// Longest query that is looked at, in characters. What is behind it does not count.
pub const MAX_QUERY: usize = 200;

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hit {
    /// The query has an error code of iPXE in it.
    Ipxe(Decoded),
    /// The query has what should be an error code of iPXE, and cannot be read.
    Unreadable(Unreadable),
    /// The query has a code of PXE firmware in it; one hit for each meaning.
    Pxe(&'static PxeCode),
    /// A symptom.
    Symptom(&'static Symptom),
}

/// Looks for codes and words. A code is answered first, then by the symptoms it belongs to; the
/// words around it do not count. Without a code all words must match, in any case. An empty query
/// gives every symptom.
pub fn search(query: &str) -> Vec<Hit> {
    let query: String = query.chars().take(MAX_QUERY).collect::<String>().to_lowercase();
    let codes = codes(&query);
    if codes.is_empty() {
        return by_words(&query);
    }
    let mut ids: Vec<&str> = vec![];
    for code in &codes {
        match code {
            Hit::Ipxe(decoded) => {
                ids.extend(decoded.symptoms);
                let page = decoded.code.page();
                // What stands on a screen may be a longer or a shorter form of the code.
                let seen = |word: &str| word.len() >= 5 && page.starts_with(&word.to_ascii_lowercase());
                ids.extend(all().filter(|s| s.seen.iter().any(|word| seen(word))).map(|s| s.id));
            }
            Hit::Pxe(code) => ids.extend(code.symptom()),
            Hit::Unreadable(_) | Hit::Symptom(_) => {}
        }
    }
    let mut hits = codes;
    for id in ids {
        let found = symptom(id).map(Hit::Symptom).filter(|hit| !hits.contains(hit));
        hits.extend(found);
    }
    hits
}

fn codes(query: &str) -> Vec<Hit> {
    match ipxe::find(query) {
        Some(Ok(code)) => vec![Hit::Ipxe(code.decode())],
        Some(Err(why)) => vec![Hit::Unreadable(why)],
        None => pxe::find(query).into_iter().flat_map(pxe::meanings).map(Hit::Pxe).collect(),
    }
}

fn by_words(query: &str) -> Vec<Hit> {
    // A form sends a blank as `+`.
    let words: Vec<&str> = query
        .split(|c: char| c.is_whitespace() || c == '+')
        .map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()))
        .filter(|word| !word.is_empty())
        .collect();
    let mut found: Vec<(u32, &Symptom)> =
        all().filter_map(|symptom| Some((weigh(symptom, &words)?, symptom))).collect();
    // Stable: equal ones stay in the order of a boot.
    found.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
    found.into_iter().map(|(_, symptom)| Hit::Symptom(symptom)).collect()
}

/// How well a symptom fits; `None` when a word is nowhere in it.
fn weigh(symptom: &Symptom, words: &[&str]) -> Option<u32> {
    let title = symptom.title.to_lowercase();
    let seen = symptom.seen.join("\n").to_lowercase();
    let rest = [symptom.cause, symptom.check, symptom.fix].join("\n").to_lowercase();
    let of = |word: &&str| match () {
        () if title.contains(*word) => Some(8),
        () if seen.contains(*word) => Some(6),
        () if symptom.id.contains(*word) => Some(4),
        () if symptom.vendors.iter().any(|vendor| vendor.contains(*word)) => Some(3),
        () if rest.contains(*word) => Some(1),
        () => None,
    };
    words.iter().map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::switch::DIALECTS;
    use crate::trouble::for_dialect;
    use proptest::prelude::*;

    fn ids(query: &str) -> Vec<&'static str> {
        let symptoms = search(query).into_iter().filter_map(|hit| match hit {
            Hit::Symptom(symptom) => Some(symptom.id),
            _ => None,
        });
        symptoms.collect()
    }

    #[test]
    fn symptoms_are_whole() {
        let mut names = std::collections::BTreeSet::new();
        for symptom in all() {
            assert!(names.insert(symptom.id), "{} stands twice", symptom.id);
            let is_slug = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(symptom.id.chars().all(is_slug), "{}", symptom.id);
            for text in [symptom.title, symptom.cause, symptom.check, symptom.fix] {
                assert!(!text.trim().is_empty(), "{}", symptom.id);
            }
            assert!(!symptom.seen.is_empty() && !symptom.sources.is_empty(), "{}", symptom.id);
            let sentences = [symptom.cause, symptom.check, symptom.fix];
            assert!(sentences.iter().all(|text| text.ends_with(['.', '?'])), "{}", symptom.id);
        }
        assert_eq!(names.len(), 33);
    }

    #[test]
    fn guides_have_their_own() {
        let known: Vec<&str> = DIALECTS.iter().map(|dialect| dialect.name()).collect();
        for symptom in all() {
            assert!(symptom.vendors.iter().all(|vendor| known.contains(vendor)), "{}", symptom.id);
        }
        assert!(for_dialect("fs").any(|symptom| symptom.id == "fs-relay-stopped"));
        assert_eq!(for_dialect("nobody").count(), 0);
    }

    #[test]
    fn nothing_asked_is_everything() {
        for query in ["", "   ", "+", "?!"] {
            assert_eq!(ids(query).len(), 33, "{query:?}");
        }
    }

    #[test]
    fn all_words_must_match_and_titles_come_first() {
        assert_eq!(ids("spanning tree simple SWITCH"), ["managed-switch-only"]);
        assert_eq!(ids("spanning nonsense"), [""; 0]);
        assert_eq!(ids("loads+itself"), ["ipxe-loop"]);
        assert_eq!(ids("\"Security Violation\"")[0], "secure-boot");
        let tftp = ids("tftp");
        assert!(tftp.len() > 4 && tftp[0] == "pxe-e32", "{tftp:?}");
        assert!(ids("mikrotik").len() > 5);
    }

    #[test]
    fn codes_are_answered_first() {
        let hits = search("Error 0x3e11623b (http://ipxe.org/3e11623b)");
        assert!(matches!(&hits[0], Hit::Ipxe(decoded) if decoded.title == "No name server"));
        assert_eq!(ids("3e11623b"), ["dns"]);
        let hits = search("PXE-E23: Client received TFTP error from server");
        assert!(matches!((&hits[0], &hits[1]), (Hit::Pxe(bios), Hit::Pxe(uefi))
            if bios.firmware == "BIOS" && uefi.firmware == "UEFI"));
        assert_eq!(ids("PXE-E23"), ["tftp-not-found"]);
        assert!(matches!(search("ipxe.org/2c0de")[..], [Hit::Unreadable(_)]));
    }

    /// Every word on a screen that a symptom names finds it again.
    #[test]
    fn what_is_seen_is_found() {
        for symptom in all() {
            for seen in symptom.seen {
                assert!(ids(seen).contains(&symptom.id), "{seen:?} does not find {}", symptom.id);
            }
        }
    }

    proptest! {
        #[test]
        fn no_query_makes_it_panic(query in "\\PC{0,300}") {
            search(&query);
        }

        #[test]
        fn queries_have_an_end(word in "[a-z ]{0,20}") {
            let long = format!("{word}{}{word}", " ".repeat(MAX_QUERY));
            prop_assert_eq!(search(&long), search(&word));
        }
    }
}
