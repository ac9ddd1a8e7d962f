//! The site's keys: one that seals and signs now, and older ones that are still read with.

use crate::token::SiteKey;

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

    /// What is made now is made with this one.
    pub fn current(&self) -> &SiteKey {
        &self.current
    }

    /// Every key, the current one first.
    pub fn all(&self) -> impl Iterator<Item = &SiteKey> {
        std::iter::once(&self.current).chain(&self.older)
    }
}
