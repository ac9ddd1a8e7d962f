//! The bytes of all shelves, each file under its SHA-256 digest. Names are labels in the database
//! and never paths.
//!
//! One promise holds for every reader: bytes that do not have their digest are never handed out
//! whole. A folder on this disk is hashed at the first read after the start and whenever a file's
//! stat changed; what comes from S3 is hashed while it arrives, and its last byte waits for the
//! result.

mod alarm;
mod cache;
mod config;
mod fill;
mod index;
mod local;
mod s3;
mod scrub;
mod verify;
mod writer;

#[cfg(test)]
mod tests;

use moxxie_core::asset::Digest;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{broadcast, watch};

pub use alarm::Alarm;
pub use config::{AssetsConfig, Place, S3Env, Times};
pub use scrub::Pace;
pub use writer::{AssetWriter, Sealed};

use alarm::Alarms;
use cache::Cached;
use local::{Damage, LocalAssets};

/// Why a file could not be kept or read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AssetError {
    /// The disk is full.
    #[error("no space left for {}", .0.display())]
    NoSpace(PathBuf),
    /// The disk or the folder cannot be written; reading may go on.
    #[error("{} cannot be written: it is read-only for this service", .0.display())]
    ReadOnly(PathBuf),
    /// The bytes are not the ones announced.
    #[error("the file has SHA-256 {got}, expected {expected}")]
    Mismatch {
        /// As announced.
        expected: Digest,
        /// As received.
        got: Digest,
    },
    /// Where a file should be is a link, a folder or a device.
    #[error("{} is not a regular file", .0.display())]
    NotRegular(PathBuf),
    /// The database has a label for it, and the store has no such file.
    #[error("the bytes of {0} are missing")]
    Missing(Digest),
    /// What is stored is not what the digest says; it is kept aside and never sent.
    #[error("the bytes of {0} are damaged")]
    Damaged(Digest),
    /// It is being verified, which takes a while: ask again.
    #[error("the bytes of {0} are being verified; ask again")]
    Busy(Digest),
    /// The store does not answer, or too slowly.
    #[error("the asset store does not answer: {0}")]
    Away(String),
    /// The settings name a store that cannot be used.
    #[error("{0}")]
    Settings(String),
    /// Anything else that the system reports.
    #[error("{}: {error}", path.display())]
    Io {
        /// Of what.
        path: PathBuf,
        /// Why.
        error: Arc<io::Error>,
    },
}

/// What a failure to read means.
fn failed(path: &Path) -> impl FnOnce(io::Error) -> AssetError {
    let path = path.to_owned();
    move |error| match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => AssetError::NoSpace(path),
        _ => AssetError::Io { path, error: Arc::new(error) },
    }
}

/// What a failure to write means.
fn unwritten(path: &Path) -> impl FnOnce(io::Error) -> AssetError {
    let path = path.to_owned();
    move |error| match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => AssetError::ReadOnly(path),
        _ => failed(&path)(error),
    }
}

/// A lock whose holders never leave half of a change behind.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs file work where it may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AssetError> + Send + 'static,
) -> Result<T, AssetError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(_) => Err(AssetError::Away("this process is stopping".into())),
    }
}

/// A file that is ready to be sent: whole and verified, or on its way from a remote store.
#[derive(Debug, Clone)]
pub struct Readable {
    /// The bytes. While they arrive the file has its full length already, and what lies beyond
    /// [`Arriving::until`] must not be read.
    pub file: Arc<File>,
    /// Length of the whole file.
    pub size: u64,
    /// `None`: everything is there.
    pub arriving: Option<Arriving>,
}

/// How far a file is that arrives from a remote store.
#[derive(Debug, Clone)]
pub struct Arriving(watch::Receiver<Arrived>);

/// The state of an arrival.
#[derive(Debug, Clone)]
enum Arrived {
    /// Nothing yet: nobody may be promised anything.
    Waiting,
    /// So many bytes from the start may be read. Less than the size until the digest was checked.
    Bytes(u64),
    /// It will not become whole.
    Failed(AssetError),
}

impl Arriving {
    /// Waits until the byte at this offset is there; how many bytes from the start may be read.
    /// The last byte comes only once the digest of the whole file was found right.
    pub async fn until(&mut self, offset: u64) -> Result<u64, AssetError> {
        let waited = self
            .0
            .wait_for(|arrived| match arrived {
                Arrived::Waiting => false,
                Arrived::Bytes(there) => *there > offset,
                Arrived::Failed(_) => true,
            })
            .await;
        match waited.as_deref() {
            Ok(Arrived::Bytes(there)) => Ok(*there),
            Ok(Arrived::Failed(error)) => Err(error.clone()),
            Ok(Arrived::Waiting) | Err(_) => Err(AssetError::Away("the download was given up".into())),
        }
    }
}

/// An arrival that a test drives.
#[cfg(feature = "testing")]
#[derive(Debug)]
pub struct Arrival(watch::Sender<Arrived>);

#[cfg(feature = "testing")]
impl Arrival {
    /// Nothing is there yet.
    pub fn begin() -> (Arrival, Arriving) {
        let (arrival, arriving) = watch::channel(Arrived::Bytes(0));
        (Arrival(arrival), Arriving(arriving))
    }

    /// So many bytes from the start may be read.
    pub fn there(&self, bytes: u64) {
        self.0.send_replace(Arrived::Bytes(bytes));
    }

    /// It will not become whole.
    pub fn fail(&self, error: AssetError) {
        self.0.send_replace(Arrived::Failed(error));
    }
}

/// What a look at the store says of a file, without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// It is there.
    Stored,
    /// It was found damaged and is kept aside: upload it again.
    Damaged,
    /// It is not there.
    Missing,
}

/// The store. Cloning it is cheap.
#[derive(Debug, Clone)]
pub struct Assets {
    kept: Kept,
    alarms: Alarms,
}

/// Where the bytes are.
#[derive(Debug, Clone)]
enum Kept {
    Folder(Arc<LocalAssets>),
    S3(Arc<Cached>),
}

impl Assets {
    /// Opens the store: a folder is made when it is missing; S3 need not answer yet.
    pub async fn open(config: impl Into<AssetsConfig>) -> Result<Assets, AssetError> {
        let config = config.into();
        let alarms = Alarms::new();
        let kept = match &config.place {
            Place::Folder(dir) => {
                let damage = Damage::Quarantine(alarms.clone());
                Kept::Folder(Arc::new(LocalAssets::open(dir, damage, config.times).await?))
            }
            Place::S3 { .. } => Kept::S3(Cached::open(&config, alarms.clone()).await?),
        };
        Ok(Assets { kept, alarms })
    }

    /// The folder on this disk: all files, or those that S3 was asked for.
    fn local(&self) -> &Arc<LocalAssets> {
        match &self.kept {
            Kept::Folder(local) => local,
            Kept::S3(cached) => cached.local(),
        }
    }

    /// Begins a file.
    pub async fn writer(&self) -> Result<AssetWriter, AssetError> {
        self.local().writer().await
    }

    /// Puts a sealed file under its digest, where it is visible and complete at once. The same
    /// bytes a second time are the same file, and heal one that was damaged.
    pub async fn publish(&self, sealed: Sealed) -> Result<(), AssetError> {
        match &self.kept {
            Kept::Folder(local) => local.publish(sealed).await,
            Kept::S3(cached) => cached.publish(sealed).await,
        }
    }

    /// Opens the file with this digest for sending. Each call gives a file position of its own.
    pub async fn read(&self, digest: &Digest, size: u64) -> Result<Readable, AssetError> {
        match &self.kept {
            Kept::Folder(local) => {
                let (file, found) = local.open_verified(digest).await?;
                if found != size {
                    // The bytes are right, so it is the label that lies.
                    return Err(AssetError::Damaged(*digest));
                }
                Ok(Readable { file: Arc::new(file), size, arriving: None })
            }
            // A large future, which every request would carry along.
            Kept::S3(cached) => Box::pin(cached.read(digest, size)).await,
        }
    }

    /// Looks whether the file is there, without reading it.
    pub async fn condition(&self, digest: &Digest, size: u64) -> Result<Condition, AssetError> {
        match &self.kept {
            Kept::Folder(local) => local.condition(digest, size).await,
            Kept::S3(cached) => Box::pin(cached.condition(digest, size)).await,
        }
    }

    /// Deletes the file with this digest, if there is one. Downloads that have it open go on.
    pub async fn remove(&self, digest: &Digest) -> Result<(), AssetError> {
        match &self.kept {
            Kept::Folder(local) => local.remove(digest).await,
            Kept::S3(cached) => cached.remove(digest).await,
        }
    }

    /// A URL that opens this file at the remote store for as long as `ttl`; `None` where machines
    /// are not to be sent there.
    pub async fn redirect(&self, digest: &Digest, ttl: Duration) -> Result<Option<String>, AssetError> {
        match &self.kept {
            Kept::Folder(_) => Ok(None),
            Kept::S3(cached) => Box::pin(cached.redirect(digest, ttl)).await,
        }
    }

    /// Deletes what a process that was killed left half written; how many files.
    pub async fn sweep_tmp(&self) -> Result<u64, AssetError> {
        self.local().sweep_tmp().await
    }

    /// An error when files cannot be read now; else whether new ones can be kept.
    pub async fn check(&self) -> Result<Health, AssetError> {
        match &self.kept {
            Kept::Folder(local) => local.check().await,
            Kept::S3(cached) => cached.check().await,
        }
    }

    /// What is found damaged or missing from now on, each finding once.
    pub fn alarms(&self) -> broadcast::Receiver<Alarm> {
        self.alarms.hear()
    }
}

/// A store whose files can be read.
#[derive(Debug)]
pub struct Health {
    /// Why new files cannot be kept, if so.
    pub writable: Result<(), AssetError>,
}
