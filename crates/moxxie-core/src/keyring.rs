//! The site's keys: one that seals and signs now, and older ones that are still read with.

use crate::token::SiteKey;
use std::fmt;
use std::str::FromStr;

/// The name of a key: tells which one is meant, and nothing of the key itself. Eight hexadecimal
/// digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 4]);

impl KeyId {
    /// The name of this key.
    pub fn of(key: &SiteKey) -> KeyId {
        let [a, b, c, d, ..] = key.derive("key id");
        KeyId([a, b, c, d])
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for KeyId {
    type Err = NoKeyId;
    fn from_str(text: &str) -> Result<KeyId, NoKeyId> {
        // One spelling: ids are compared as texts where they are stored.
        if text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(NoKeyId);
        }
        let bytes = crate::mac::hex(text).ok_or(NoKeyId)?;
        bytes.try_into().map(KeyId).map_err(|_| NoKeyId)
    }
}

/// Not the name of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key's id has eight hexadecimal digits, lower case")]
pub struct NoKeyId;

/// The keys of a site. Replicas share them.
#[derive(Debug, Clone)]
pub struct Keyring {
    current: SiteKey,
    /// Newest first.
    older: Vec<SiteKey>,
}

impl Keyring {
    /// A ring that makes everything with `current` and still reads what the older ones made.
    pub fn new(current: SiteKey, older: Vec<SiteKey>) -> Keyring {
        Keyring { current, older }
    }

    /// Reads keys of 64 hexadecimal digits each, the current one first: one a line, or with commas
    /// between. Empty lines and lines that begin with `#` are left out.
    ///
    /// `None` without a key, and when anything is not a key: a ring must not lose one in silence.
    pub fn parse(text: &str) -> Option<Keyring> {
        let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
        let words = lines.flat_map(|line| line.split(',')).map(str::trim).filter(|word| !word.is_empty());
        let mut keys = words.map(SiteKey::from_hex).collect::<Option<Vec<SiteKey>>>()?.into_iter();
        Some(Keyring::new(keys.next()?, keys.collect()))
    }

    /// What is made now is made with this one.
    pub fn current(&self) -> &SiteKey {
        &self.current
    }

    /// Every key, the current one first.
    pub fn all(&self) -> impl Iterator<Item = &SiteKey> {
        std::iter::once(&self.current).chain(&self.older)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_is_read_whole_or_not_at_all() {
        let (a, b) = ("0a".repeat(32), "0b".repeat(32));
        let ids =
            |text: &str| -> Option<Vec<KeyId>> { Some(Keyring::parse(text)?.all().map(KeyId::of).collect()) };
        let of = |hex: &str| KeyId::of(&SiteKey::from_hex(hex).unwrap());
        let both = Some(vec![of(&a), of(&b)]);
        assert_eq!(ids(&format!("{a}\n")), Some(vec![of(&a)]));
        assert_eq!(ids(&format!("# new\n{a}\n\n  # old\n {b} \n")), both);
        assert_eq!(ids(&format!("{a},{b}")), both);
        for wrong in ["", "# nothing\n", "0a", &format!("{a}\ngarbage\n"), &format!("{a},{}", &b[1..])] {
            assert_eq!(ids(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_id_names_its_key_in_one_spelling() {
        let id = KeyId::of(&SiteKey::new([7; 32]));
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_ne!(id, KeyId::of(&SiteKey::new([8; 32])));
        for wrong in ["", "0123456", "012345678", "0123456g", "0123456A"] {
            assert_eq!(wrong.parse::<KeyId>(), Err(NoKeyId), "{wrong}");
        }
    }
}
