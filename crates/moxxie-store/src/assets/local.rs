//! The files on a local disk.
//!
//! A file is written beside its place, synced, and then renamed into it: what has a digest for a
//! name is complete. Whoever may write into the folder is trusted with its contents; links and
//! devices in it are refused all the same, because a service that reads them for any machine on
//! the network is a way out of the folder.

use super::{AssetError, failed};
use moxxie_core::asset::Digest;
use sha2::{Digest as _, Sha256};
use std::fs::TryLockError;
use std::io;
use std::path::PathBuf;
use tokio::fs::{self, File, OpenOptions};
use tokio::io::AsyncWriteExt;

/// The folder with the files.
#[derive(Debug, Clone)]
pub(super) struct LocalAssets {
    dir: PathBuf,
}

impl LocalAssets {
    /// Opens the folder and makes it when it is missing.
    pub async fn open(dir: impl Into<PathBuf>) -> Result<LocalAssets, AssetError> {
        let assets = LocalAssets { dir: dir.into() };
        for dir in [assets.dir.clone(), assets.tmp(), assets.dir.join("sha256")] {
            let mut builder = fs::DirBuilder::new();
            builder.recursive(true).mode(0o700);
            builder.create(&dir).await.map_err(failed(&dir))?;
        }
        Ok(assets)
    }

    fn tmp(&self) -> PathBuf {
        self.dir.join("tmp")
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        let name = digest.to_string();
        self.dir.join("sha256").join(&name[..2]).join(name)
    }

    /// Begins a file.
    pub async fn writer(&self) -> Result<AssetWriter, AssetError> {
        // Version 7: time and 74 random bits; `create_new` would notice a second one.
        let path = self.tmp().join(uuid::Uuid::now_v7().simple().to_string());
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let file = options.open(&path).await.map_err(failed(&path))?;
        let temporary = Temporary { path, done: false };
        // Says that somebody lives who writes it, to a replica that starts on the same folder. The
        // system takes the lock back when this process ends, however it ends.
        let file = file.into_std().await;
        file.try_lock().map_err(|error| failed(&temporary.path)(error.into()))?;
        Ok(AssetWriter { temporary, file: File::from_std(file), hash: Sha256::new(), size: 0 })
    }

    /// Opens the file with this digest and says how long it is; `None` when there is none.
    pub async fn open_asset(&self, digest: &Digest) -> Result<Option<(File, u64)>, AssetError> {
        let path = self.path(digest);
        let mut options = OpenOptions::new();
        // Not through a link, and without waiting for the other end of a pipe.
        options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        let file = match options.open(&path).await {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error)
                if error.raw_os_error() == Some(libc::ELOOP) || error.raw_os_error() == Some(libc::ENXIO) =>
            {
                return Err(AssetError::NotRegular(path));
            }
            Err(error) => return Err(failed(&path)(error)),
        };
        let meta = file.metadata().await.map_err(failed(&path))?;
        if !meta.is_file() {
            return Err(AssetError::NotRegular(path));
        }
        Ok(Some((file, meta.len())))
    }

    /// Moves a sealed file to its place.
    pub async fn publish(&self, mut sealed: Sealed) -> Result<(), AssetError> {
        let to = self.path(&sealed.digest);
        let dir = to.parent().unwrap_or(&self.dir).to_owned();
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(&dir).await.map_err(failed(&dir))?;
        fs::rename(&sealed.temporary.path, &to).await.map_err(failed(&to))?;
        sealed.temporary.done = true;
        // The names are in the folders, and the folders have to be on disk as well.
        for dir in [dir.as_path(), &self.dir.join("sha256")] {
            let handle = File::open(dir).await.map_err(failed(dir))?;
            handle.sync_all().await.map_err(failed(dir))?;
        }
        Ok(())
    }

    /// Deletes the file with this digest, if there is one. Downloads that have it open go on.
    pub async fn remove(&self, digest: &Digest) -> Result<(), AssetError> {
        let path = self.path(digest);
        match fs::remove_file(&path).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&path)(error)),
            _ => Ok(()),
        }
    }

    /// Deletes what a process that was killed left half written; how many files. What another
    /// process is writing is locked and stays.
    pub async fn sweep_tmp(&self) -> Result<u64, AssetError> {
        let dir = self.tmp();
        let mut entries = fs::read_dir(&dir).await.map_err(failed(&dir))?;
        let mut swept = 0;
        while let Some(entry) = entries.next_entry().await.map_err(failed(&dir))? {
            let path = entry.path();
            let mut options = OpenOptions::new();
            options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
            let open = match options.open(&path).await {
                Ok(file) => Some(file.into_std().await),
                Err(_) => None,
            };
            // What cannot be opened is no file of ours, and goes as well.
            if open.is_some_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock))) {
                continue;
            }
            match fs::remove_file(&path).await {
                Ok(()) => swept += 1,
                // Its writer was faster.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(&path)(error)),
            }
        }
        Ok(swept)
    }

    /// Whether files can be read and written now.
    pub async fn check(&self) -> Result<(), AssetError> {
        let sha256 = self.dir.join("sha256");
        fs::read_dir(&sha256).await.map(drop).map_err(failed(&sha256))?;
        let mut writer = self.writer().await?;
        writer.write(b"moxxie").await?;
        writer.file.flush().await.map_err(failed(&writer.temporary.path))
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

/// A file that is deleted unless it was moved to its place.
#[derive(Debug)]
struct Temporary {
    path: PathBuf,
    done: bool,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.done {
            // One unlink; nothing to do about a failure but sweep at the next start.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl AssetWriter {
    /// Adds bytes.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), AssetError> {
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
        self.file.write_all(bytes).await.map_err(failed(&self.temporary.path))
    }

    /// How many bytes were added.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Ends the file: its bytes are safe on disk and their digest is known, but nobody sees them
    /// before they are published.
    pub async fn seal(mut self, expected: Option<Digest>) -> Result<Sealed, AssetError> {
        let digest = Digest(self.hash.finalize_reset().into());
        if let Some(expected) = expected.filter(|expected| *expected != digest) {
            return Err(AssetError::Mismatch { expected, got: digest });
        }
        // Also brings out errors of writes that were accepted and then failed.
        self.file.flush().await.map_err(failed(&self.temporary.path))?;
        self.file.sync_all().await.map_err(failed(&self.temporary.path))?;
        Ok(Sealed { temporary: self.temporary, _lock: self.file, digest, size: self.size })
    }
}

/// A complete file that waits to be published. Dropping it deletes it.
#[derive(Debug)]
pub struct Sealed {
    temporary: Temporary,
    /// Held so that no sweep takes the file.
    _lock: File,
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// How many bytes.
    pub size: u64,
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;
    use tokio::io::AsyncReadExt;

    async fn shelf() -> (tempfile::TempDir, LocalAssets) {
        let dir = tempfile::tempdir().unwrap();
        let assets = LocalAssets::open(dir.path().join("assets")).await.unwrap();
        (dir, assets)
    }

    async fn put(assets: &LocalAssets, bytes: &[u8]) -> Digest {
        let mut writer = assets.writer().await.unwrap();
        for chunk in bytes.chunks(3) {
            writer.write(chunk).await.unwrap();
        }
        let sealed = writer.seal(None).await.unwrap();
        assert_eq!(sealed.size, bytes.len() as u64);
        let digest = sealed.digest;
        assets.publish(sealed).await.unwrap();
        digest
    }

    fn left_behind(assets: &LocalAssets) -> usize {
        std::fs::read_dir(assets.tmp()).unwrap().count()
    }

    #[tokio::test]
    async fn what_goes_in_comes_out_under_its_digest() {
        let (_dir, assets) = shelf().await;
        let digest = put(&assets, b"kernel").await;
        assert_eq!(digest, put(&assets, b"kernel").await, "the same bytes again");
        assert_eq!(digest, Digest(Sha256::digest(b"kernel").into()));
        let (mut file, size) = assets.open_asset(&digest).await.unwrap().unwrap();
        assert_eq!(size, 6);
        // A download goes on when the file is deleted under it.
        assets.remove(&digest).await.unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "kernel");
        assert!(assets.open_asset(&digest).await.unwrap().is_none());
        assets.remove(&digest).await.unwrap();
        assert_eq!(left_behind(&assets), 0);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let digest = put(&assets, b"").await;
        assert_eq!(mode(&assets.path(&digest)), 0o600);
        assert_eq!(mode(assets.path(&digest).parent().unwrap()), 0o700);
    }

    #[tokio::test]
    async fn wrong_or_unfinished_uploads_leave_nothing() {
        let (_dir, assets) = shelf().await;
        let mut writer = assets.writer().await.unwrap();
        writer.write(b"kernel").await.unwrap();
        let expected = Some(Digest([7; 32]));
        assert!(matches!(writer.seal(expected).await, Err(AssetError::Mismatch { .. })));
        let mut writer = assets.writer().await.unwrap();
        writer.write(b"half").await.unwrap();
        drop(writer);
        assert_eq!(left_behind(&assets), 0);
        std::fs::write(assets.tmp().join("orphan"), b"x").unwrap();
        symlink("/nowhere", assets.tmp().join("link")).unwrap();
        let mut writer = assets.writer().await.unwrap();
        writer.write(b"under way").await.unwrap();
        assert_eq!(assets.sweep_tmp().await.unwrap(), 2);
        assert_eq!(left_behind(&assets), 1);
        assets.publish(writer.seal(None).await.unwrap()).await.unwrap();
        assert_eq!(left_behind(&assets), 0);
    }

    #[tokio::test]
    async fn links_pipes_and_folders_are_refused() {
        let (dir, assets) = shelf().await;
        let digest = put(&assets, b"kernel").await;
        let path = assets.path(&digest);
        let secret = dir.path().join("secret");
        std::fs::write(&secret, b"secret").unwrap();
        std::fs::remove_file(&path).unwrap();
        symlink(&secret, &path).unwrap();
        assert!(matches!(assets.open_asset(&digest).await, Err(AssetError::NotRegular(_))));
        std::fs::remove_file(&path).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        assert!(matches!(assets.open_asset(&digest).await, Err(AssetError::NotRegular(_))));
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(matches!(assets.open_asset(&digest).await, Err(AssetError::NotRegular(_))));
    }

    #[tokio::test]
    async fn readiness_notices_a_folder_that_went_away() {
        let (dir, assets) = shelf().await;
        assets.check().await.unwrap();
        assert_eq!(left_behind(&assets), 0);
        std::fs::remove_dir_all(dir.path().join("assets")).unwrap();
        assert!(matches!(assets.check().await, Err(AssetError::Io { .. })));
    }
}
