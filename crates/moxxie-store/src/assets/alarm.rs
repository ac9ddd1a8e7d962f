//! Findings that somebody has to act upon.

use super::locked;
use moxxie_core::asset::Digest;
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use tokio::sync::broadcast;

/// How many alarms wait for a slow listener. The log has them all.
const QUEUE: usize = 1024;

/// Bytes that are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    /// Of which file.
    pub digest: Digest,
    /// What was found, as half a sentence.
    pub what: String,
    /// The bytes are wrong, not just missing: whoever is being sent them must not get them all.
    pub wrong: bool,
}

/// Raises each finding once, until it is healed.
#[derive(Debug, Clone)]
pub(super) struct Alarms {
    heard: broadcast::Sender<Alarm>,
    raised: Arc<Mutex<HashSet<Digest>>>,
}

impl Alarms {
    pub fn new() -> Alarms {
        Alarms { heard: broadcast::channel(QUEUE).0, raised: Arc::default() }
    }

    pub fn hear(&self) -> broadcast::Receiver<Alarm> {
        self.heard.subscribe()
    }

    /// The bytes are gone.
    pub fn missing(&self, digest: &Digest, what: &str) {
        self.tell(digest, what.to_owned(), false);
    }

    /// The bytes are wrong.
    pub fn raise(&self, digest: &Digest, what: impl Into<String>) {
        self.tell(digest, what.into(), true);
    }

    fn tell(&self, digest: &Digest, what: String, wrong: bool) {
        if !locked(&self.raised).insert(*digest) {
            return;
        }
        tracing::error!(sha256 = %digest, "asset: {what}");
        // Nobody listens: it is in the log.
        let _ = self.heard.send(Alarm { digest: *digest, what, wrong });
    }

    /// The file is right again, or gone for good.
    pub fn lift(&self, digest: &Digest) {
        locked(&self.raised).remove(digest);
    }
}
