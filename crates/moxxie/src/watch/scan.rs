//! What lies in the watch folder. Links are never followed: whoever may write there could
//! otherwise have any file of this machine served to the network.

use moxxie_core::time::Timestamp;
use rustix::fs::{Mode, OFlags, openat};
use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Files that are looked at, at most.
const MOST: usize = 10_000;
/// Ends of names that programs give to what they have not finished.
const UNFINISHED: [&str; 4] = [".part", ".tmp", ".crdownload", ".filepart"];

/// A file below the folder.
#[derive(Debug, Clone)]
pub struct Found {
    /// The folder it is in.
    pub profile: OsString,
    /// Its name.
    pub name: OsString,
    /// Both, below the watch folder.
    pub path: PathBuf,
    /// As it is now.
    pub stamp: Stamp,
}

/// What changes when a file does. The time of the last change of its inode is part of it: a copy
/// that keeps the time of the original (`cp -p`, rsync) cannot hide by that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stamp {
    device: u64,
    inode: u64,
    /// Length in bytes.
    pub size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// Of an open file, or one that was looked at.
    pub fn of(meta: &Metadata) -> Stamp {
        Stamp {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }

    /// When it was last changed, by the file system's clock.
    pub fn changed_at(&self) -> Timestamp {
        let (seconds, nanos) = self.modified.max(self.changed);
        Timestamp(seconds.saturating_mul(1000).saturating_add(nanos.div_euclid(1_000_000) + 1))
    }
}

/// The files of all profiles, in no order.
pub fn scan(dir: &Path) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    for profile in std::fs::read_dir(dir)? {
        let profile = profile?;
        // Of the entry itself, not of what a link leads to.
        if is_hidden(&profile.file_name()) || !profile.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let files = match std::fs::read_dir(profile.path()) {
            Ok(files) => files,
            Err(error) => {
                tracing::debug!(folder = ?profile.path(), %error, "cannot be read");
                continue;
            }
        };
        for file in files.flatten() {
            let name = file.file_name();
            if is_hidden(&name) || is_unfinished(&name) {
                continue;
            }
            let Ok(meta) = file.metadata() else { continue };
            if !meta.is_file() {
                continue;
            }
            if found.len() == MOST {
                tracing::warn!(folder = ?dir, "more than {MOST} files in the watch folder: the others are left out");
                return Ok(found);
            }
            let path = PathBuf::from(profile.file_name()).join(&name);
            found.push(Found { profile: profile.file_name(), name, path, stamp: Stamp::of(&meta) });
        }
    }
    Ok(found)
}

fn is_hidden(name: &std::ffi::OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

fn is_unfinished(name: &std::ffi::OsStr) -> bool {
    let name = name.to_string_lossy().to_ascii_lowercase();
    UNFINISHED.iter().any(|end| name.ends_with(end))
}

/// Opens a file that was found, if it is still that file.
pub fn open(dir: &Path, found: &Found) -> io::Result<File> {
    // Step by step, so that neither step can have become a link in between; without waiting for
    // the other end of a pipe.
    let step = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let root = File::open(dir)?;
    let profile = openat(&root, &found.profile, step | OFlags::DIRECTORY, Mode::empty())?;
    let file = openat(&profile, &found.name, step | OFlags::NONBLOCK | OFlags::NOCTTY, Mode::empty())?;
    let file = File::from(file);
    let meta = file.metadata()?;
    match meta.is_file() && Stamp::of(&meta) == found.stamp {
        true => Ok(file),
        false => Err(io::Error::other("it has changed")),
    }
}
