//! Files under way: written beside their place, and moved into it when they are whole.

use super::{AssetError, blocking, unwritten};
use moxxie_core::asset::Digest;
use sha2::{Digest as _, Sha256};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

/// A file that is deleted unless it was moved to its place.
#[derive(Debug)]
pub(super) struct Temporary {
    pub path: PathBuf,
    pub done: bool,
}

impl Temporary {
    /// Makes one in this folder.
    pub fn create(dir: &Path) -> Result<(Temporary, std::fs::File), AssetError> {
        // Version 7: time and 74 random bits; `create_new` would notice a second one.
        let path = dir.join(uuid::Uuid::now_v7().simple().to_string());
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        let file = options.open(&path).map_err(unwritten(&path))?;
        let temporary = Temporary { path, done: false };
        // Says that somebody lives who writes it, to a replica that starts on the same folder. The
        // system takes the lock back when this process ends, however it ends.
        file.try_lock().map_err(|error| unwritten(&temporary.path)(error.into()))?;
        Ok((temporary, file))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.done {
            // One unlink; nothing to do about a failure but sweep at the next start.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// A file under way. Dropping it deletes what was written.
#[derive(Debug)]
pub struct AssetWriter {
    temporary: Temporary,
    file: File,
    hash: Sha256,
    size: u64,
}

impl AssetWriter {
    pub(super) async fn begin(dir: PathBuf) -> Result<AssetWriter, AssetError> {
        let (temporary, file) = blocking(move || Temporary::create(&dir)).await?;
        Ok(AssetWriter { temporary, file: File::from_std(file), hash: Sha256::new(), size: 0 })
    }

    /// Adds bytes.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), AssetError> {
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
        self.file.write_all(bytes).await.map_err(unwritten(&self.temporary.path))
    }

    /// How many bytes were added.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Makes sure that what was added so far was taken by the disk.
    pub(super) async fn flush(&mut self) -> Result<(), AssetError> {
        self.file.flush().await.map_err(unwritten(&self.temporary.path))
    }

    /// Ends the file: its bytes are safe on disk and their digest is known, but nobody sees them
    /// before they are published.
    pub async fn seal(mut self, expected: Option<Digest>) -> Result<Sealed, AssetError> {
        let digest = Digest(self.hash.finalize_reset().into());
        if let Some(expected) = expected.filter(|expected| *expected != digest) {
            return Err(AssetError::Mismatch { expected, got: digest });
        }
        // Also brings out errors of writes that were accepted and then failed.
        self.flush().await?;
        self.file.sync_all().await.map_err(unwritten(&self.temporary.path))?;
        let file = self.file.into_std().await;
        Ok(Sealed { temporary: self.temporary, file, digest, size: self.size })
    }
}

/// A complete file that waits to be published. Dropping it deletes it.
#[derive(Debug)]
pub struct Sealed {
    pub(super) temporary: Temporary,
    /// Held also so that no sweep takes the file: it is locked.
    pub(super) file: std::fs::File,
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// How many bytes.
    pub size: u64,
}
