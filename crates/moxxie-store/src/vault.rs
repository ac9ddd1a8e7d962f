//! What stands in sealed columns: made when a row is written, opened when it is read.
//!
//! Columns are sealed whole. Picking secrets out of them would need to know which values are
//! secret, and what is left would tell how a site is built.

use crate::db::to_json;
use crate::error::{Result, StoreError};
use moxxie_core::keyring::{KeyId, Keyring};
use moxxie_core::seal::{Place, SealError, SealNonce, Sealer, is_sealed};

/// Seals and opens, with the site's keys.
pub(crate) struct Vault {
    sealer: Sealer,
    nonce: fn() -> SealNonce,
}

impl Vault {
    pub(crate) fn new(keys: &Keyring, nonce: fn() -> SealNonce) -> Vault {
        Vault { sealer: Sealer::new(keys), nonce }
    }

    /// The key that seals now.
    pub(crate) fn current(&self) -> KeyId {
        self.sealer.current()
    }

    pub(crate) fn has(&self, id: KeyId) -> bool {
        self.sealer.has(id)
    }

    pub(crate) fn ids(&self) -> Vec<KeyId> {
        self.sealer.ids().collect()
    }

    /// For a column of text.
    pub(crate) fn seal(&self, place: Place<'_>, text: &str) -> Result<String> {
        self.seal_with(place, text, (self.nonce)())
    }

    /// The same letters every time: the cipher allows it, and shows no more than that.
    pub(crate) fn seal_evenly(&self, place: Place<'_>, text: &str) -> Result<String> {
        self.seal_with(place, text, SealNonce::default())
    }

    fn seal_with(&self, place: Place<'_>, text: &str, nonce: SealNonce) -> Result<String> {
        self.sealer.seal(place, text, nonce).map_err(|error| StoreError::Corrupt(error.to_string()))
    }

    /// For a column of JSON, in which a sealed value stands as a string.
    pub(crate) fn seal_json<T: serde::Serialize>(&self, place: Place<'_>, value: &T) -> Result<String> {
        self.seal(place, &to_json(value)?).map(|sealed| format!("\"{sealed}\""))
    }

    /// What stands in a column of either kind. What an older version wrote is not sealed, and comes
    /// back as it is.
    pub(crate) fn open(&self, place: Place<'_>, stored: &str) -> Result<String> {
        let text = stored.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(stored);
        if !is_sealed(text) {
            return Ok(stored.to_owned());
        }
        self.unseal(place, text).map_err(|error| match error {
            SealError::WrongKey { wanted, have } => StoreError::WrongKey { wanted, have },
            SealError::Damaged => {
                let Place { table, column, row } = place;
                StoreError::Corrupt(format!(
                    "column {column} of {table} {row} does not open: it was damaged, or moved from another row"
                ))
            }
        })
    }

    /// A sealed text, wherever it stood.
    pub(crate) fn unseal(&self, place: Place<'_>, text: &str) -> Result<String, SealError> {
        self.sealer.open(place, text)
    }
}
