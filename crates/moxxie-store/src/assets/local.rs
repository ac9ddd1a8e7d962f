//! The files on a local disk.
//!
//! A file is written beside its place, synced, and then renamed into it: what has a digest for a
//! name is complete. It is verified before it is handed out (`verify.rs`); one that is damaged is
//! kept aside under `quarantine/`. Links and devices are refused, because a service that reads
//! them for any machine on the network is a way out of the folder.

use super::alarm::Alarms;
use super::verify::{Stamp, Verifier};
use super::writer::{AssetWriter, Sealed, Temporary};
use super::{AssetError, Condition, Health, Times, blocking, failed, locked, unwritten};
use moxxie_core::asset::Digest;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// What becomes of a file whose bytes are wrong.
#[derive(Debug)]
pub(super) enum Damage {
    /// It is the only copy: it is kept aside and somebody is told.
    Quarantine(Alarms),
    /// It is a copy of what lies elsewhere.
    Delete,
}

/// The folder with the files.
#[derive(Debug)]
pub(super) struct LocalAssets {
    dir: PathBuf,
    pub(super) damage: Damage,
    pub(super) verifier: Verifier,
    pub(super) times: Times,
    /// Held while a name in `sha256` changes, so that nobody puts aside what was just published.
    pub(super) moving: Mutex<()>,
}

impl LocalAssets {
    /// Opens the folder and makes it when it is missing.
    pub async fn open(
        dir: impl Into<PathBuf>,
        damage: Damage,
        times: Times,
    ) -> Result<LocalAssets, AssetError> {
        let assets = LocalAssets {
            dir: dir.into(),
            damage,
            verifier: Verifier::default(),
            times,
            moving: Mutex::default(),
        };
        for dir in [assets.dir.clone(), assets.sha256(), assets.tmp()] {
            match blocking(move || make(&dir)).await {
                // A folder that cannot be written may still be read.
                Err(AssetError::ReadOnly(_)) if assets.sha256().is_dir() => {}
                made => made?,
            }
        }
        Ok(assets)
    }

    fn tmp(&self) -> PathBuf {
        self.dir.join("tmp")
    }

    pub fn sha256(&self) -> PathBuf {
        self.dir.join("sha256")
    }

    pub fn path(&self, digest: &Digest) -> PathBuf {
        let name = digest.to_string();
        self.sha256().join(&name[..2]).join(name)
    }

    pub fn aside(&self, digest: &Digest) -> PathBuf {
        self.dir.join("quarantine").join(digest.to_string())
    }

    /// Begins a file.
    pub async fn writer(&self) -> Result<AssetWriter, AssetError> {
        AssetWriter::begin(self.tmp()).await
    }

    /// A file that is deleted unless it is adopted. Blocks.
    pub fn temporary(&self) -> Result<(Temporary, File), AssetError> {
        Temporary::create(&self.tmp())
    }

    /// Opens the file with this digest as it is, unverified. Blocks.
    pub fn look(&self, digest: &Digest) -> Result<(File, Stamp), AssetError> {
        let path = self.path(digest);
        let mut options = OpenOptions::new();
        // Not through a link, and without waiting for the other end of a pipe.
        options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        let file = match options.open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let kept = fs::symlink_metadata(self.aside(digest)).is_ok();
                return Err(if kept { AssetError::Damaged(*digest) } else { AssetError::Missing(*digest) });
            }
            Err(error) if matches!(error.raw_os_error(), Some(libc::ELOOP | libc::ENXIO)) => {
                return Err(AssetError::NotRegular(path));
            }
            Err(error) => return Err(failed(&path)(error)),
        };
        let meta = file.metadata().map_err(failed(&path))?;
        if !meta.is_file() {
            return Err(AssetError::NotRegular(path));
        }
        Ok((file, Stamp::of(&meta)))
    }

    /// The same without ever waiting for a disk: `None` where that is not possible, or where there
    /// is more to say. Five hundred downloads that begin at once would otherwise each wait for a
    /// thread to get its turn beside those that send.
    pub fn glance(&self, digest: &Digest) -> Option<(File, Stamp)> {
        use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        // `RESOLVE_CACHED`, openat2(2): fails if a part of the path is not in memory.
        let file = openat2(CWD, self.path(digest), flags, Mode::empty(), ResolveFlags::CACHED).ok()?;
        let file = File::from(file);
        let meta = file.metadata().ok().filter(|meta| meta.is_file())?;
        Some((file, Stamp::of(&meta)))
    }

    /// Puts a sealed file under its digest. The same bytes a second time are the same file.
    pub async fn publish(self: &Arc<Self>, sealed: Sealed) -> Result<(), AssetError> {
        let this = self.clone();
        blocking(move || {
            let Sealed { temporary, file, digest, .. } = sealed;
            this.adopt(temporary, &file, &digest)?;
            // The names are in the folders, and the folders have to be on disk as well.
            let to = this.path(&digest);
            for dir in [to.parent().unwrap_or(&this.dir), &this.sha256()] {
                File::open(dir).and_then(|dir| dir.sync_all()).map_err(unwritten(dir))?;
            }
            Ok(())
        })
        .await
    }

    /// Moves a file, whose bytes were hashed while they were written, to its place. Blocks.
    pub fn adopt(&self, mut from: Temporary, file: &File, digest: &Digest) -> Result<(), AssetError> {
        let to = self.path(digest);
        make(to.parent().unwrap_or(&self.dir))?;
        let _moving = locked(&self.moving);
        fs::rename(&from.path, &to).map_err(unwritten(&to))?;
        from.done = true;
        // Taken from the open file: the name may already mean another one.
        let meta = file.metadata().map_err(failed(&to))?;
        self.verifier.vouch(digest, Stamp::of(&meta), true);
        if let Damage::Quarantine(alarms) = &self.damage {
            alarms.lift(digest);
            // A file that was damaged is whole again. When this fails it does no harm: it counts
            // only while the place is empty.
            let _ = fs::remove_file(self.aside(digest));
        }
        Ok(())
    }

    /// What a look says of the file.
    pub async fn condition(self: &Arc<Self>, digest: &Digest, size: u64) -> Result<Condition, AssetError> {
        let (this, digest) = (self.clone(), *digest);
        blocking(move || {
            Ok(match this.look(&digest) {
                Ok((_, stamp)) if this.verifier.verdict(&digest, &stamp) == Some(false) => Condition::Damaged,
                Ok((_, stamp)) if stamp.size == size => Condition::Stored,
                Ok(_) | Err(AssetError::Damaged(_)) => Condition::Damaged,
                Err(AssetError::Missing(_)) => Condition::Missing,
                Err(error) => return Err(error),
            })
        })
        .await
    }

    /// Deletes the file with this digest, if there is one, also one that was kept aside. Downloads
    /// that have it open go on.
    pub async fn remove(self: &Arc<Self>, digest: &Digest) -> Result<(), AssetError> {
        let (this, digest) = (self.clone(), *digest);
        blocking(move || {
            let _moving = locked(&this.moving);
            this.verifier.forget(&digest);
            if let Damage::Quarantine(alarms) = &this.damage {
                alarms.lift(&digest);
            }
            for path in [this.path(&digest), this.aside(&digest)] {
                match fs::remove_file(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(unwritten(&path)(error));
                    }
                    _ => {}
                }
            }
            Ok(())
        })
        .await
    }

    /// Deletes what a process that was killed left half written; how many files. What another
    /// process is writing is locked and stays.
    pub async fn sweep_tmp(&self) -> Result<u64, AssetError> {
        let dir = self.tmp();
        blocking(move || {
            let mut swept = 0;
            for entry in fs::read_dir(&dir).map_err(failed(&dir))? {
                let path = entry.map_err(failed(&dir))?.path();
                let mut options = OpenOptions::new();
                options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
                // What cannot be opened is no file of ours, and goes as well.
                let writer =
                    options.open(&path).is_ok_and(|f| matches!(f.try_lock(), Err(TryLockError::WouldBlock)));
                if writer {
                    continue;
                }
                match fs::remove_file(&path) {
                    Ok(()) => swept += 1,
                    // Its writer was faster.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(unwritten(&path)(error)),
                }
            }
            Ok(swept)
        })
        .await
    }

    /// Whether files can be read, and whether they can be written.
    pub async fn check(&self) -> Result<Health, AssetError> {
        let sha256 = self.sha256();
        blocking(move || fs::read_dir(&sha256).map(drop).map_err(failed(&sha256))).await?;
        let write = async {
            let mut writer = self.writer().await?;
            writer.write(b"moxxie").await?;
            writer.flush().await
        };
        Ok(Health { writable: write.await })
    }
}

/// Makes a folder that only this service may look into. Blocks.
pub(super) fn make(dir: &Path) -> Result<(), AssetError> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(unwritten(dir))
}
