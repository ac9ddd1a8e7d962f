//! Which files were found to have their digest, and finding out.
//!
//! A file counts as verified as long as its stat is the one that it was hashed under. Whoever asks
//! for a file that is not waits for one hash of it, together with everybody else who asks.

use super::local::{Damage, LocalAssets, make};
use super::{AssetError, blocking, failed, locked, unwritten};
use moxxie_core::asset::Digest;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout};

/// How much is read at once.
pub(super) const CHUNK: usize = 1024 * 1024;
/// Files hashed at once: more would only take the disk from each other.
const AT_ONCE: usize = 2;

/// What stat(2) says of a file. Any change to its bytes changes it, but for what the disk does by
/// itself: that is found by the scrub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    file: (u64, u64),
    pub size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    pub fn of(meta: &Metadata) -> Stamp {
        Stamp {
            file: (meta.dev(), meta.ino()),
            size: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}

/// A file that was hashed.
#[derive(Debug, Clone, Copy)]
struct Known {
    stamp: Stamp,
    good: bool,
    at: Instant,
}

/// `None` until the verification ended.
type Ended = Option<Result<(), AssetError>>;

/// What is known of files, and the verifications under way.
#[derive(Debug)]
pub(super) struct Verifier {
    known: Mutex<HashMap<Digest, Known>>,
    running: Mutex<HashMap<Digest, watch::Receiver<Ended>>>,
    slots: Semaphore,
    /// Files hashed since the start, for those who wonder.
    pub hashed: AtomicU64,
}

impl Default for Verifier {
    fn default() -> Verifier {
        Verifier {
            known: Mutex::default(),
            running: Mutex::default(),
            slots: Semaphore::new(AT_ONCE),
            hashed: AtomicU64::new(0),
        }
    }
}

impl Verifier {
    /// Whether the file as it is now was hashed, and whether its digest was right.
    pub fn verdict(&self, digest: &Digest, stamp: &Stamp) -> Option<bool> {
        locked(&self.known).get(digest).filter(|known| known.stamp == *stamp).map(|known| known.good)
    }

    /// When the file was hashed last.
    pub fn verified_at(&self, digest: &Digest) -> Option<Instant> {
        locked(&self.known).get(digest).map(|known| known.at)
    }

    pub fn vouch(&self, digest: &Digest, stamp: Stamp, good: bool) {
        locked(&self.known).insert(*digest, Known { stamp, good, at: Instant::now() });
    }

    pub fn forget(&self, digest: &Digest) {
        locked(&self.known).remove(digest);
    }
}

impl LocalAssets {
    /// Opens the file with this digest, which is verified, and says how long it is.
    pub async fn open_verified(self: &Arc<Self>, digest: &Digest) -> Result<(File, u64), AssetError> {
        if let Some((file, stamp)) = self.glance(digest)
            && self.verifier.verdict(digest, &stamp) == Some(true)
        {
            return Ok((file, stamp.size));
        }
        // Once to find it unverified, once after that, and once more for somebody's new file.
        for _ in 0..3 {
            let (this, wanted) = (self.clone(), *digest);
            let (file, stamp) = blocking(move || this.look(&wanted)).await?;
            match self.verifier.verdict(digest, &stamp) {
                Some(true) => return Ok((file, stamp.size)),
                Some(false) => return Err(AssetError::Damaged(*digest)),
                None => self.verified(digest).await?,
            }
        }
        Err(AssetError::Busy(*digest))
    }

    /// Waits until the file is verified, which goes on when nobody waits any more.
    async fn verified(self: &Arc<Self>, digest: &Digest) -> Result<(), AssetError> {
        let mut ended = self.verification(digest);
        match timeout(self.times.verify, ended.wait_for(Option::is_some)).await {
            Ok(Ok(result)) => result.clone().unwrap_or(Ok(())),
            _ => Err(AssetError::Busy(*digest)),
        }
    }

    /// The verification of a file, begun unless it runs already.
    fn verification(self: &Arc<Self>, digest: &Digest) -> watch::Receiver<Ended> {
        let mut running = locked(&self.verifier.running);
        // One whose task is gone will never end.
        if let Some(ended) = running.get(digest).filter(|ended| ended.has_changed().is_ok()) {
            return ended.clone();
        }
        let (tell, ended) = watch::channel(None);
        running.insert(*digest, ended.clone());
        let (this, digest) = (self.clone(), *digest);
        tokio::spawn(async move {
            let _slot = this.verifier.slots.acquire().await;
            let hashing = this.clone();
            let result = blocking(move || hashing.hash(&digest)).await;
            locked(&this.verifier.running).remove(&digest);
            let _ = tell.send(Some(result));
        });
        ended
    }

    /// Hashes a file and draws the conclusion. Blocks.
    fn hash(&self, digest: &Digest) -> Result<(), AssetError> {
        self.verifier.hashed.fetch_add(1, Ordering::Relaxed);
        let (file, stamp) = self.look(digest)?;
        let mut hash = Sha256::new();
        let mut buffer = vec![0; CHUNK];
        let mut offset = 0;
        loop {
            match file.read_at(&mut buffer, offset) {
                Ok(0) => break,
                Ok(n) => {
                    hash.update(&buffer[..n]);
                    offset += n as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(&self.path(digest))(error)),
            }
        }
        self.conclude(digest, &file, stamp, Digest(hash.finalize().into()))
    }

    /// Notes what a hash of the open file came to, unless it changed meanwhile. Blocks.
    pub(super) fn conclude(
        &self,
        digest: &Digest,
        file: &File,
        before: Stamp,
        got: Digest,
    ) -> Result<(), AssetError> {
        let meta = file.metadata().map_err(failed(&self.path(digest)))?;
        let same_bytes = |now: &Stamp| now.file == before.file && now.modified == before.modified;
        let after = Stamp::of(&meta);
        if after.size != before.size || !same_bytes(&after) {
            return Err(AssetError::Busy(*digest));
        }
        let _moving = locked(&self.moving);
        let good = got == *digest;
        let here = fs::symlink_metadata(self.path(digest)).map(|meta| Stamp::of(&meta));
        if !here.is_ok_and(|here| here.file == before.file) {
            // Somebody removed or replaced it: this says nothing of what is there now.
            return Ok(());
        }
        self.verifier.vouch(digest, before, good);
        match &self.damage {
            Damage::Quarantine(alarms) if good => alarms.lift(digest),
            _ if good => {}
            Damage::Quarantine(alarms) => {
                let kept = match self.put_aside(digest) {
                    Ok(()) => format!("it is kept in {}", self.aside(digest).display()),
                    Err(error) => format!("it could not be moved aside: {error}"),
                };
                alarms.raise(digest, format!("the stored bytes are damaged; {kept}"));
            }
            Damage::Delete => {
                tracing::warn!(sha256 = %digest, "a cached copy was damaged and is deleted");
                let path = self.path(digest);
                fs::remove_file(&path).map_err(unwritten(&path))?;
                self.verifier.forget(digest);
            }
        }
        Ok(())
    }

    /// Moves a damaged file out of its place.
    fn put_aside(&self, digest: &Digest) -> Result<(), AssetError> {
        let aside = self.aside(digest);
        if let Some(dir) = aside.parent() {
            make(dir)?;
        }
        fs::rename(self.path(digest), &aside).map_err(unwritten(&aside))?;
        self.verifier.forget(digest);
        Ok(())
    }
}
