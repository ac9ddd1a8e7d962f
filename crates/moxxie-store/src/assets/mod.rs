//! The bytes of all shelves, each file under its SHA-256 digest. Names are labels in the database
//! and never paths.

mod local;

use moxxie_core::asset::Digest;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::watch;

use local::LocalAssets;
pub use local::{AssetWriter, Sealed};

/// Why a file could not be kept or read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AssetError {
    /// The disk is full.
    #[error("no space left for {}", .0.display())]
    NoSpace(PathBuf),
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
    /// The store does not answer, or too slowly.
    #[error("the asset store does not answer: {0}")]
    Away(String),
    /// Anything else that the system reports.
    #[error("{}: {error}", path.display())]
    Io {
        /// Of what.
        path: PathBuf,
        /// Why.
        error: Arc<io::Error>,
    },
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> AssetError {
    let path = path.to_owned();
    move |error| match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => AssetError::NoSpace(path),
        _ => AssetError::Io { path, error: Arc::new(error) },
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
#[cfg_attr(
    not(feature = "testing"),
    expect(dead_code, reason = "a folder on this disk has nothing to wait for")
)]
#[derive(Debug, Clone)]
enum Arrived {
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
                Arrived::Bytes(there) => *there > offset,
                Arrived::Failed(_) => true,
            })
            .await;
        match waited.as_deref() {
            Ok(Arrived::Bytes(there)) => Ok(*there),
            Ok(Arrived::Failed(error)) => Err(error.clone()),
            Err(_) => Err(AssetError::Away("the download was given up".into())),
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
    local: LocalAssets,
}

impl Assets {
    /// Opens a folder and makes it when it is missing.
    pub async fn open(dir: impl Into<PathBuf>) -> Result<Assets, AssetError> {
        Ok(Assets { local: LocalAssets::open(dir).await? })
    }

    /// Begins a file.
    pub async fn writer(&self) -> Result<AssetWriter, AssetError> {
        self.local.writer().await
    }

    /// Puts a sealed file under its digest, where it is visible and complete at once. The same
    /// bytes a second time are the same file.
    pub async fn publish(&self, sealed: Sealed) -> Result<(), AssetError> {
        self.local.publish(sealed).await
    }

    /// Opens the file with this digest for sending.
    pub async fn read(&self, digest: &Digest, size: u64) -> Result<Readable, AssetError> {
        let (file, found) = self.local.open_asset(digest).await?.ok_or(AssetError::Missing(*digest))?;
        if found != size {
            return Err(AssetError::Damaged(*digest));
        }
        Ok(Readable { file: Arc::new(file.into_std().await), size, arriving: None })
    }

    /// Looks whether the file is there.
    pub async fn condition(&self, digest: &Digest, size: u64) -> Result<Condition, AssetError> {
        Ok(match self.local.open_asset(digest).await? {
            Some((_, found)) if found == size => Condition::Stored,
            Some(_) => Condition::Damaged,
            None => Condition::Missing,
        })
    }

    /// Deletes the file with this digest, if there is one. Downloads that have it open go on.
    pub async fn remove(&self, digest: &Digest) -> Result<(), AssetError> {
        self.local.remove(digest).await
    }

    /// Deletes what a process that was killed left half written; how many files.
    pub async fn sweep_tmp(&self) -> Result<u64, AssetError> {
        self.local.sweep_tmp().await
    }

    /// Whether files can be read and written now.
    pub async fn check(&self) -> Result<(), AssetError> {
        self.local.check().await
    }
}
