//! Reading stored files anew, slowly: the one way to find what a disk lost by itself.

use super::local::LocalAssets;
use super::verify::CHUNK;
use super::{AssetError, Assets, Condition, Kept, blocking, failed};
use futures_util::future::BoxFuture;
use moxxie_core::asset::Digest;
use rustix::fs::{Advice, fadvise};
use rustix::io::{ReadWriteFlags, preadv2};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use tokio::time::Instant;

/// Waits as long as reading so many bytes may take.
pub type Pace = dyn Fn(u64) -> BoxFuture<'static, ()> + Send + Sync;

impl Assets {
    /// When this file was last known to be right; `None` when not since the start.
    pub fn verified_at(&self, digest: &Digest) -> Option<Instant> {
        match &self.kept {
            Kept::Folder(local) => local.verifier.verified_at(digest),
            Kept::S3(cached) => cached.looked_at(digest),
        }
    }

    /// Reads a file anew at this pace. What is wrong is kept aside and raises an alarm. Of what is
    /// on S3, the copy on this disk is read and S3 is asked whether it has the object.
    pub async fn scrub(&self, digest: &Digest, size: u64, pace: &Pace) -> Result<Condition, AssetError> {
        let found = match &self.kept {
            Kept::Folder(local) => local.scrub(digest, pace).await,
            Kept::S3(cached) => cached.scrub(digest, size, pace).await,
        };
        match &found {
            Ok(Condition::Missing) => self.alarms.missing(digest, "the stored bytes are missing"),
            Err(error @ (AssetError::Io { .. } | AssetError::NotRegular(_))) => {
                self.alarms.raise(digest, format!("the stored bytes cannot be read: {error}"));
            }
            _ => {}
        }
        found
    }
}

impl LocalAssets {
    /// Reads a file anew and says what it found.
    pub(super) async fn scrub(
        self: &Arc<Self>,
        digest: &Digest,
        pace: &Pace,
    ) -> Result<Condition, AssetError> {
        let (this, digest) = (self.clone(), *digest);
        let looked = blocking(move || {
            let (file, stamp) = this.look(&digest)?;
            // Without reading ahead: what is read ahead would look as if somebody used it.
            let _ = fadvise(&file, 0, None, Advice::Random);
            Ok((Arc::new(file), stamp))
        });
        let (file, stamp) = match looked.await {
            Err(AssetError::Missing(_)) => return Ok(Condition::Missing),
            Err(AssetError::Damaged(_)) => return Ok(Condition::Damaged),
            looked => looked?,
        };
        let mut work = (Sha256::new(), vec![0; CHUNK]);
        let mut offset = 0;
        loop {
            let (file, path) = (file.clone(), self.path(&digest));
            let (n, next) = blocking(move || {
                let (mut hash, mut buffer) = work;
                let n = read(&file, &mut buffer, offset).map_err(failed(&path))?;
                hash.update(&buffer[..n]);
                Ok((n as u64, (hash, buffer)))
            })
            .await?;
            work = next;
            if n == 0 {
                break;
            }
            offset += n;
            pace(n).await;
        }
        let this = self.clone();
        blocking(move || {
            let got = Digest(work.0.finalize().into());
            this.conclude(&digest, &file, stamp, got)?;
            Ok(if got == digest { Condition::Stored } else { Condition::Damaged })
        })
        .await
    }
}

/// Reads a part of a file and leaves the page cache as it was: what was not in it goes again, so
/// that the scrub never pushes out what machines are downloading. Blocks.
fn read(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    // File systems that cannot say what is cached are read as if nothing were.
    let cached = preadv2(file, &mut [IoSliceMut::new(buffer)], offset, ReadWriteFlags::NOWAIT).unwrap_or(0);
    let mut there = cached;
    while there < buffer.len() {
        match file.read_at(&mut buffer[there..], offset + there as u64) {
            Ok(0) => break,
            Ok(n) => there += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    if let Some(read) = NonZeroU64::new((there - cached) as u64) {
        let _ = fadvise(file, offset + cached as u64, Some(read), Advice::DontNeed);
    }
    Ok(there)
}
