//! Secrets at rest: texts that only somebody with the site's key can read, and only in the place
//! that they were sealed for.
//!
//! AES-256-GCM-SIV (RFC 8452). It forgives a nonce that is drawn twice, as a machine that was
//! cloned may draw it: that shows whether two values are equal, and nothing else.

use crate::keyring::{KeyId, Keyring};
use crate::token::SiteKey;
use aes_gcm_siv::aead::{Aead, KeyInit, Payload};
use aes_gcm_siv::{Aes256GcmSiv, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Random bytes that every sealing needs anew.
pub type SealNonce = [u8; NONCE];

const NONCE: usize = 12;
/// What sealed texts begin with.
pub const PREFIX: &str = "mxs1.";

/// Where a value stands. It opens in this place only, so nobody can move it into another row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// The kind of thing that it belongs to, as a table's name.
    pub table: &'a str,
    /// Which value of that thing, as a column's name.
    pub column: &'a str,
    /// Which thing.
    pub row: &'a str,
}

impl Place<'_> {
    /// Lengths in front keep two names from running into each other.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"moxxie sealed 1".to_vec();
        for name in [self.table, self.column, self.row] {
            bytes.extend((name.len() as u64).to_be_bytes());
            bytes.extend(name.as_bytes());
        }
        bytes
    }
}

/// Why a sealed text does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// It was sealed with a key that is not at hand.
    #[error("sealed with the key {wanted}; at hand: {}", list(have))]
    WrongKey {
        /// The key that it needs.
        wanted: KeyId,
        /// Those that there are.
        have: Vec<KeyId>,
    },
    /// It was changed, cut off, or moved from another place.
    #[error("damaged, or moved here from another place")]
    Damaged,
}

/// Ids as people list them.
pub fn list(ids: &[KeyId]) -> String {
    let texts: Vec<String> = ids.iter().map(KeyId::to_string).collect();
    texts.join(", ")
}

/// Seals with the current key of a ring, opens with any of them.
#[derive(Clone)]
pub struct Sealer {
    current: (KeyId, Aes256GcmSiv),
    older: Vec<(KeyId, Aes256GcmSiv)>,
}

impl Sealer {
    /// With these keys.
    pub fn new(keys: &Keyring) -> Sealer {
        let cipher = |key: &SiteKey| (KeyId::of(key), Aes256GcmSiv::new(&key.derive("seal").into()));
        Sealer { current: cipher(keys.current()), older: keys.all().skip(1).map(cipher).collect() }
    }

    fn all(&self) -> impl Iterator<Item = &(KeyId, Aes256GcmSiv)> {
        std::iter::once(&self.current).chain(&self.older)
    }

    /// The keys at hand, the current one first.
    pub fn ids(&self) -> impl Iterator<Item = KeyId> {
        self.all().map(|(id, _)| *id)
    }

    /// Whether what this key sealed can be read.
    pub fn has(&self, id: KeyId) -> bool {
        self.ids().any(|mine| mine == id)
    }

    /// The key that seals now.
    pub fn current(&self) -> KeyId {
        self.current.0
    }

    /// `mxs1.KEYID.BASE64`, the last part being base64url(nonce ‖ sealed text ‖ tag).
    pub fn seal(&self, place: Place<'_>, text: &str, nonce: SealNonce) -> Result<String, SealError> {
        let (id, cipher) = &self.current;
        let payload = Payload { msg: text.as_bytes(), aad: &place.bytes() };
        // Fails for more than 64 GiB only.
        let sealed = cipher.encrypt(&Nonce::from(nonce), payload).map_err(|_| SealError::Damaged)?;
        let bytes = [&nonce[..], &sealed].concat();
        Ok(format!("{PREFIX}{id}.{}", URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// What was sealed for this place. WrongKey names the key that is missing.
    pub fn open(&self, place: Place<'_>, sealed: &str) -> Result<String, SealError> {
        let rest = sealed.strip_prefix(PREFIX).ok_or(SealError::Damaged)?;
        let (id, text) = rest.split_once('.').ok_or(SealError::Damaged)?;
        let wanted: KeyId = id.parse().map_err(|_| SealError::Damaged)?;
        let found = self.all().find(|(id, _)| *id == wanted);
        let Some((_, cipher)) = found else {
            return Err(SealError::WrongKey { wanted, have: self.ids().collect() });
        };
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| SealError::Damaged)?;
        let (nonce, body) = bytes.split_first_chunk::<NONCE>().ok_or(SealError::Damaged)?;
        let payload = Payload { msg: body, aad: &place.bytes() };
        let plain = cipher.decrypt(&Nonce::from(*nonce), payload).map_err(|_| SealError::Damaged)?;
        String::from_utf8(plain).map_err(|_| SealError::Damaged)
    }
}

/// Whether this is a sealed text, of whatever key.
pub fn is_sealed(text: &str) -> bool {
    text.starts_with(PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HERE: Place<'static> = Place { table: "boot_profiles", column: "params", row: "p1" };

    fn sealer(current: u8, older: &[u8]) -> Sealer {
        let older = older.iter().map(|n| SiteKey::new([*n; 32])).collect();
        Sealer::new(&Keyring::new(SiteKey::new([current; 32]), older))
    }

    #[test]
    fn a_text_opens_with_its_key_in_its_place() {
        let old = sealer(1, &[]);
        let sealed = old.seal(HERE, "horse battery", [9; 12]).unwrap();
        assert!(sealed.starts_with(&format!("mxs1.{}.", old.current())), "{sealed}");
        assert!(is_sealed(&sealed) && !sealed.contains("horse"));
        assert_eq!(old.open(HERE, &sealed).unwrap(), "horse battery");
        assert_eq!(sealer(2, &[1]).open(HERE, &sealed).unwrap(), "horse battery");
        for elsewhere in [
            Place { table: "node_boot_assignments", ..HERE },
            Place { column: "boot_params", ..HERE },
            Place { row: "p2", ..HERE },
            // The same letters, cut at another place.
            Place { column: "paramsp", row: "1", ..HERE },
        ] {
            assert_eq!(old.open(elsewhere, &sealed), Err(SealError::Damaged), "{elsewhere:?}");
        }
    }

    #[test]
    fn a_missing_key_is_named() {
        let sealed = sealer(1, &[]).seal(HERE, "x", [0; 12]).unwrap();
        let other = sealer(2, &[3]);
        let error = other.open(HERE, &sealed).unwrap_err();
        let have: Vec<KeyId> = other.ids().collect();
        assert_eq!(error, SealError::WrongKey { wanted: sealer(1, &[]).current(), have: have.clone() });
        let text = error.to_string();
        assert!(
            text.contains(&sealer(1, &[]).current().to_string()) && text.contains(&list(&have)),
            "{text}"
        );
    }

    #[test]
    fn every_single_change_is_noticed() {
        let sealer = sealer(1, &[]);
        let sealed = sealer.seal(HERE, "secret", [5; 12]).unwrap();
        for i in 0..sealed.len() {
            for c in ['A', 'b', '0', '-', '.', '=', ' '] {
                let mut changed: Vec<char> = sealed.chars().collect();
                if std::mem::replace(&mut changed[i], c) != c {
                    let changed: String = changed.into_iter().collect();
                    assert!(sealer.open(HERE, &changed).is_err(), "{changed}");
                }
            }
            assert!(sealer.open(HERE, &sealed[..i]).is_err());
        }
    }

    /// The form is stored: it may not change without another prefix.
    #[test]
    fn the_form_is_fixed() {
        let sealed = sealer(7, &[]).seal(HERE, "{}", [1; 12]).unwrap();
        assert_eq!(sealed, "mxs1.c0cafc30.AQEBAQEBAQEBAQEB0O-MhTHIwEddsHfpplNbJDpu");
    }

    proptest! {
        #[test]
        fn any_text_comes_back(text in ".{0,300}", nonce: [u8; 12]) {
            let sealer = sealer(1, &[]);
            let sealed = sealer.seal(HERE, &text, nonce).unwrap();
            // It stands in a JSON string, a line and a comma-separated list as it is.
            prop_assert!(sealed.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)));
            prop_assert_eq!(sealer.open(HERE, &sealed).unwrap(), text);
        }

        #[test]
        fn garbage_is_refused(text in ".{0,80}") {
            prop_assert!(sealer(1, &[]).open(HERE, &text).is_err());
            let text = format!("mxs1.{text}");
            prop_assert!(sealer(1, &[]).open(HERE, &text).is_err());
        }
    }
}
