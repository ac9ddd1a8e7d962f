//! Files on S3, read through a bounded folder on this disk.

use super::alarm::Alarms;
use super::fill::Fill;
use super::index::Index;
use super::local::{Damage, LocalAssets};
use super::s3::Remote;
use super::writer::{Sealed, Temporary};
use super::{
    AssetError, AssetsConfig, Condition, Health, Pace, Readable, Times, blocking, failed, locked, unwritten,
};
use moxxie_core::asset::Digest;
use rustix::fs::{FallocateFlags, fallocate};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// The bucket and the folder.
#[derive(Debug)]
pub(super) struct Cached {
    pub remote: Remote,
    local: Arc<LocalAssets>,
    budget: u64,
    redirect: bool,
    pub times: Times,
    pub alarms: Alarms,
    pub index: Mutex<Index>,
    /// Files on their way from S3.
    pub fills: Mutex<HashMap<Digest, Fill>>,
    pub slots: Semaphore,
    /// Objects with wrong bytes, and until when they are not asked for again.
    pub refused: Mutex<HashMap<Digest, Instant>>,
    /// When S3 was last found to have an object.
    looked: Mutex<HashMap<Digest, Instant>>,
    /// Somebody waits for readers to end.
    evicting: AtomicBool,
}

impl Cached {
    /// Opens the folder and makes a client. S3 need not answer yet.
    pub async fn open(config: &AssetsConfig, alarms: Alarms) -> Result<Arc<Cached>, AssetError> {
        let local = Arc::new(LocalAssets::open(&config.cache_dir, Damage::Delete, config.times).await?);
        let kept = local.clone();
        let index = blocking(move || found(&kept)).await?;
        let cached = Arc::new(Cached {
            remote: Remote::new(config)?,
            local,
            budget: config.cache_bytes,
            redirect: config.redirect,
            times: config.times,
            alarms,
            index: Mutex::new(index),
            fills: Mutex::default(),
            slots: Semaphore::new(config.times.fills.max(1)),
            refused: Mutex::default(),
            looked: Mutex::default(),
            evicting: AtomicBool::new(false),
        });
        cached.make_room().await;
        Ok(cached)
    }

    pub fn local(&self) -> &Arc<LocalAssets> {
        &self.local
    }

    /// Stores a file on S3 and keeps a copy here.
    pub async fn publish(self: &Arc<Self>, sealed: Sealed) -> Result<(), AssetError> {
        self.remote.put(&sealed).await?;
        locked(&self.refused).remove(&sealed.digest);
        self.alarms.lift(&sealed.digest);
        let (digest, size) = (sealed.digest, sealed.size);
        let local = self.local.clone();
        let kept = blocking(move || local.adopt(sealed.temporary, &sealed.file, &digest)).await;
        match kept {
            Ok(()) => locked(&self.index).insert(digest, size),
            // It is on S3, and that is what counts.
            Err(error) => tracing::warn!(%error, sha256 = %digest, "no copy is kept in the cache"),
        }
        self.make_room().await;
        Ok(())
    }

    /// Opens the copy, or fetches one: whoever asks meanwhile reads what has arrived so far.
    pub async fn read(self: &Arc<Self>, digest: &Digest, size: u64) -> Result<Readable, AssetError> {
        // A file may come and go between two steps of this: then the steps are taken again. The
        // fetch is held so that the file it made is in use until it is opened.
        let mut _held = None;
        for _ in 0..3 {
            if locked(&self.refused).get(digest).is_some_and(|until| Instant::now() < *until) {
                return Err(AssetError::Damaged(*digest));
            }
            match self.local.open_verified(digest).await {
                Ok((file, found)) if found == size => {
                    let file = Arc::new(file);
                    locked(&self.index).touch(digest, size, &file);
                    return Ok(Readable { file, size, arriving: None });
                }
                // The bytes are right, so it is the label that lies.
                Ok(_) => return Err(AssetError::Damaged(*digest)),
                Err(error @ AssetError::Busy(_)) => return Err(error),
                Err(AssetError::Missing(_)) => {}
                Err(error) => {
                    tracing::warn!(%error, sha256 = %digest, "a cached copy is fetched again");
                    self.local.remove(digest).await?;
                    locked(&self.index).remove(digest);
                }
            }
            let fill = self.fill(digest, size);
            if let Some(readable) = fill.readable(digest, size).await? {
                return Ok(readable);
            }
            _held = Some(fill);
        }
        Err(AssetError::Busy(*digest))
    }

    /// What S3 says of the object.
    pub async fn condition(&self, digest: &Digest, size: u64) -> Result<Condition, AssetError> {
        if locked(&self.refused).get(digest).is_some_and(|until| Instant::now() < *until) {
            return Ok(Condition::Damaged);
        }
        Ok(match self.remote.size(digest).await? {
            Some(found) if found == size => Condition::Stored,
            Some(_) => Condition::Damaged,
            None => Condition::Missing,
        })
    }

    /// Reads the copy anew, if there is one, and asks S3 whether it has the object.
    pub async fn scrub(&self, digest: &Digest, size: u64, pace: &Pace) -> Result<Condition, AssetError> {
        // What is found wrong here is deleted, and fetched again when somebody asks for it.
        if let Err(error) = self.local.scrub(digest, pace).await {
            tracing::warn!(%error, sha256 = %digest, "a cached copy cannot be read");
        }
        let found = self.condition(digest, size).await?;
        match found {
            Condition::Damaged => self.alarms.raise(digest, "the object on S3 has another length"),
            Condition::Stored | Condition::Missing => {}
        }
        locked(&self.looked).insert(*digest, Instant::now());
        Ok(found)
    }

    /// When S3 was last asked for the object.
    pub fn looked_at(&self, digest: &Digest) -> Option<Instant> {
        locked(&self.looked).get(digest).copied()
    }

    /// Deletes the object and the copy.
    pub async fn remove(&self, digest: &Digest) -> Result<(), AssetError> {
        self.remote.delete(digest).await?;
        self.alarms.lift(digest);
        locked(&self.looked).remove(digest);
        locked(&self.refused).remove(digest);
        self.local.remove(digest).await?;
        locked(&self.index).remove(digest);
        Ok(())
    }

    /// A URL that opens the object, where machines may be sent there.
    pub async fn redirect(&self, digest: &Digest, ttl: Duration) -> Result<Option<String>, AssetError> {
        match self.redirect {
            true => self.remote.sign(digest, ttl).await.map(Some),
            false => Ok(None),
        }
    }

    /// Whether S3 answers. Without the folder nothing can be fetched, so it must be writable too.
    pub async fn check(&self) -> Result<Health, AssetError> {
        self.remote.check().await?;
        let health = self.local.check().await?;
        match health.writable {
            Err(error @ AssetError::ReadOnly(_)) => Err(error),
            _ => Ok(health),
        }
    }

    /// Deletes what nobody reads until the rest fits. When it cannot, it is tried again once
    /// readers have gone.
    pub async fn make_room(self: &Arc<Self>) {
        self.evict().await;
        if !locked(&self.index).over(self.budget) || self.evicting.swap(true, Ordering::SeqCst) {
            return;
        }
        let this = Arc::downgrade(self);
        let pause = self.times.evict;
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(pause).await;
                let Some(this) = this.upgrade() else { return };
                this.evict().await;
                if locked(&this.index).over(this.budget) {
                    continue;
                }
                this.evicting.store(false, Ordering::SeqCst);
                // Somebody may have looked between the two.
                if !locked(&this.index).over(this.budget) || this.evicting.swap(true, Ordering::SeqCst) {
                    return;
                }
            }
        });
    }

    /// Whether a file that is about to be fetched fits beside those in use. One alone always does.
    pub fn has_room(&self, size: u64) -> bool {
        let index = locked(&self.index);
        !index.over(self.budget) || index.alone(size)
    }

    /// A file of this length to fetch into. The disk says now that it is full, not in the middle of
    /// a download; where it is smaller than the budget, what was used least recently gives way.
    pub async fn place(&self, size: u64) -> Result<(Temporary, Arc<File>), AssetError> {
        let place = async || {
            let local = self.local.clone();
            blocking(move || allocate(&local, size)).await
        };
        match place().await {
            Err(AssetError::NoSpace(_)) => {
                tracing::warn!("the disk of the asset cache is full below its limit: lower assets.cache_mib");
                let gone = locked(&self.index).give_way(size);
                self.delete(gone).await;
                place().await
            }
            placed => placed,
        }
    }

    async fn evict(&self) {
        let gone = locked(&self.index).evict(self.budget);
        self.delete(gone).await;
    }

    async fn delete(&self, gone: Vec<Digest>) {
        for digest in gone {
            if let Err(error) = self.local.remove(&digest).await {
                tracing::warn!(%error, "a cached copy cannot be deleted");
            }
        }
    }
}

/// A file with room for so many bytes. Blocks.
fn allocate(local: &LocalAssets, size: u64) -> Result<(Temporary, Arc<File>), AssetError> {
    let (temporary, file) = local.temporary()?;
    let reserved = if size > 0 { fallocate(&file, FallocateFlags::empty(), 0, size) } else { Ok(()) };
    match reserved {
        Err(rustix::io::Errno::OPNOTSUPP) => file.set_len(size),
        other => other.map_err(io::Error::from),
    }
    .map_err(unwritten(&temporary.path))?;
    Ok((temporary, Arc::new(file)))
}

/// What the folder holds from before, the most recently used last. Blocks.
fn found(local: &LocalAssets) -> Result<Index, AssetError> {
    let sha256 = local.sha256();
    let mut files = Vec::new();
    for dir in fs::read_dir(&sha256).map_err(failed(&sha256))?.flatten() {
        let Ok(entries) = fs::read_dir(dir.path()) else { continue };
        for entry in entries.flatten() {
            let digest = entry.file_name().to_str().and_then(|name| name.parse::<Digest>().ok());
            if let (Some(digest), Ok(meta)) = (digest, entry.metadata()) {
                files.push((meta.atime().max(meta.mtime()), digest, meta.len()));
            }
        }
    }
    files.sort_unstable();
    let mut index = Index::default();
    for (_, digest, size) in files {
        index.insert(digest, size);
    }
    Ok(index)
}
