//! Uploads under way: files that arrive in as many parts as their sender's connection needs, in
//! `<data-dir>/uploads`. Each is two files: `ID`, the bytes so far, and `ID.json`, what was said
//! of them. How much has arrived is the length of the first, so a cut or a `kill -9` loses only
//! what had not been written.

use crate::clock::new_id;
use moxxie_core::asset::Digest;
use moxxie_core::time::{Span, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::TryLockError;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use tokio::fs::{self, File, OpenOptions};
use tokio::io::{AsyncSeekExt, AsyncWriteExt};

/// Unfinished uploads at most.
pub const MOST: usize = 64;
/// An upload is given up so long after its last byte.
const PATIENCE: Span = Span::hours(24);
/// How often a running upload notes that it lives.
const NOTED: Span = Span::minutes(30);

/// The name of an upload, a UUID: the only text that becomes a path here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadId(String);

impl FromStr for UploadId {
    type Err = UploadError;
    fn from_str(text: &str) -> Result<UploadId, UploadError> {
        // Printed again and compared, because UUIDs have more than one spelling.
        let uuid = uuid::Uuid::try_parse(text).map_err(|_| UploadError::Unknown)?;
        let id = uuid.hyphenated().to_string();
        if id == text { Ok(UploadId(id)) } else { Err(UploadError::Unknown) }
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why an upload does not go on.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// There is none with this name, or not any more.
    #[error("no such upload; it is given up 24 hours after its last byte")]
    Unknown,
    /// Another request is working on it.
    #[error("another request is writing to this upload")]
    Busy,
    /// The bytes do not go where the sender thinks.
    #[error("the upload stands at offset {0}")]
    Offset(u64),
    /// More bytes than announced.
    #[error("these are more than the {0} bytes that were announced")]
    TooLong(u64),
    /// As many as there may be.
    #[error("{MOST} uploads are unfinished: finish or delete one of them")]
    TooMany,
    /// The disk is full.
    #[error("the disk is full")]
    NoSpace,
    /// Anything else that the system reports.
    #[error("{}: {error}", path.display())]
    Io {
        /// Of what.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> UploadError {
    let path = path.to_owned();
    move |error| match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => UploadError::NoSpace,
        _ => UploadError::Io { path, error },
    }
}

/// What is kept of an upload beside its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    size: u64,
    sha256: Option<Digest>,
    touched_at: Timestamp,
}

/// How far an upload is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Its name.
    pub id: UploadId,
    /// Length of the whole file, as announced.
    pub size: u64,
    /// SHA-256 of the whole file, as announced.
    pub sha256: Option<Digest>,
    /// So many bytes have arrived.
    pub offset: u64,
    /// When it is given up.
    pub expires_at: Timestamp,
}

/// The folder of the uploads. Clones share it.
#[derive(Debug, Clone)]
pub struct Uploads {
    dir: PathBuf,
    /// Held while uploads are made, counted or swept.
    folder: Arc<tokio::sync::Mutex<()>>,
}

impl Uploads {
    /// In this folder, which is made with the first upload.
    pub fn new(dir: PathBuf) -> Uploads {
        Uploads { dir, folder: Arc::default() }
    }

    fn data(&self, id: &UploadId) -> PathBuf {
        self.dir.join(&id.0)
    }

    fn note(&self, id: &UploadId) -> PathBuf {
        self.dir.join(format!("{id}.json"))
    }

    /// Begins an upload.
    pub async fn create(
        &self,
        size: u64,
        sha256: Option<Digest>,
        now: Timestamp,
    ) -> Result<Upload, UploadError> {
        let _folder = self.folder.lock().await;
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&self.dir).await.map_err(failed(&self.dir))?;
        if self.ids().await?.len() >= MOST {
            return Err(UploadError::TooMany);
        }
        let id = UploadId(new_id());
        let data = self.data(&id);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600).open(&data).await.map_err(failed(&data))?;
        let note = Note { size, sha256, touched_at: now };
        if let Err(error) = self.write_note(&id, &note).await {
            self.forget(&id).await;
            return Err(error);
        }
        Ok(upload(id, &note, 0))
    }

    /// How far an upload is.
    pub async fn get(&self, id: &UploadId, now: Timestamp) -> Result<Upload, UploadError> {
        let note = self.read_note(id).await?.filter(|note| now < note.touched_at + PATIENCE);
        let note = note.ok_or(UploadError::Unknown)?;
        let data = self.data(id);
        match fs::metadata(&data).await {
            Ok(meta) => Ok(upload(id.clone(), &note, meta.len())),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(UploadError::Unknown),
            Err(error) => Err(failed(&data)(error)),
        }
    }

    /// Takes an upload for one request; others are told that it is busy until this is dropped and
    /// its last write is done.
    pub async fn hold(&self, id: &UploadId, now: Timestamp) -> Result<Held, UploadError> {
        self.get(id, now).await?;
        let data = self.data(id);
        let mut options = OpenOptions::new();
        let file = match options.read(true).append(true).open(&data).await {
            Ok(file) => file.into_std().await,
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(UploadError::Unknown),
            Err(error) => return Err(failed(&data)(error)),
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(UploadError::Busy),
            Err(TryLockError::Error(error)) => return Err(failed(&data)(error)),
        }
        // Again, under the lock: who held it may have finished or deleted the upload.
        let upload = self.get(id, now).await?;
        Ok(Held { uploads: self.clone(), upload, file: File::from_std(file) })
    }

    /// Deletes what was given up, and what a crash left half made. What is being written stays.
    pub async fn sweep(&self, now: Timestamp) -> Result<u64, UploadError> {
        let _folder = self.folder.lock().await;
        let mut swept = 0;
        for id in self.ids().await? {
            let alive =
                matches!(self.read_note(&id).await, Ok(Some(note)) if now < note.touched_at + PATIENCE);
            if !alive && !self.is_locked(&id).await {
                self.forget(&id).await;
                swept += 1;
            }
        }
        Ok(swept)
    }

    async fn is_locked(&self, id: &UploadId) -> bool {
        match File::open(self.data(id)).await {
            Ok(file) => matches!(file.into_std().await.try_lock(), Err(TryLockError::WouldBlock)),
            Err(_) => false,
        }
    }

    /// Every name that stands in the folder, with or without the other of its two files.
    async fn ids(&self) -> Result<Vec<UploadId>, UploadError> {
        let mut entries = match fs::read_dir(&self.dir).await {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(vec![]),
            Err(error) => return Err(failed(&self.dir)(error)),
        };
        let mut ids = Vec::new();
        while let Some(entry) = entries.next_entry().await.map_err(failed(&self.dir))? {
            let name = entry.file_name();
            let stem = name.to_str().and_then(|name| name.split('.').next()).unwrap_or("");
            if let Ok(id) = stem.parse::<UploadId>()
                && !ids.contains(&id)
            {
                ids.push(id);
            }
        }
        Ok(ids)
    }

    async fn read_note(&self, id: &UploadId) -> Result<Option<Note>, UploadError> {
        let path = self.note(id);
        match fs::read(&path).await {
            // Written whole or not at all, so what cannot be read is not ours.
            Ok(text) => Ok(serde_json::from_slice(&text).ok()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&path)(error)),
        }
    }

    async fn write_note(&self, id: &UploadId, note: &Note) -> Result<(), UploadError> {
        let path = self.note(id);
        let new = self.dir.join(format!("{id}.new"));
        let text = serde_json::to_vec(note).map_err(|e| failed(&path)(e.into()))?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&new).await.map_err(failed(&new))?;
        file.write_all(&text).await.map_err(failed(&new))?;
        file.flush().await.map_err(failed(&new))?;
        fs::rename(&new, &path).await.map_err(failed(&path))
    }

    async fn forget(&self, id: &UploadId) {
        // The note last: an upload without one is swept, one without bytes would look begun.
        for path in [self.data(id), self.dir.join(format!("{id}.new")), self.note(id)] {
            match fs::remove_file(&path).await {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    tracing::warn!(%error, file = %path.display(), "an upload's file stays");
                }
                _ => {}
            }
        }
    }
}

fn upload(id: UploadId, note: &Note, offset: u64) -> Upload {
    Upload { id, size: note.size, sha256: note.sha256, offset, expires_at: note.touched_at + PATIENCE }
}

/// An upload in the hands of one request.
#[derive(Debug)]
pub struct Held {
    uploads: Uploads,
    upload: Upload,
    file: File,
}

impl Held {
    /// How far it is.
    pub fn upload(&self) -> &Upload {
        &self.upload
    }

    /// Notes that bytes arrive, now and then.
    pub async fn touch(&mut self, now: Timestamp) -> Result<(), UploadError> {
        let Upload { size, sha256, expires_at, .. } = self.upload;
        if now + PATIENCE - expires_at >= NOTED {
            self.uploads.write_note(&self.upload.id, &Note { size, sha256, touched_at: now }).await?;
            self.upload.expires_at = now + PATIENCE;
        }
        Ok(())
    }

    /// Adds bytes at the end. They are in the file once [`Held::settle`] says so.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), UploadError> {
        let Upload { size, offset, .. } = self.upload;
        if bytes.len() as u64 > size.saturating_sub(offset) {
            return Err(UploadError::TooLong(size));
        }
        let path = self.uploads.data(&self.upload.id);
        self.file.write_all(bytes).await.map_err(failed(&path))?;
        self.upload.offset += bytes.len() as u64;
        Ok(())
    }

    /// Waits for what was written; a whole file is safe on disk afterwards. Where the upload stands.
    pub async fn settle(&mut self, now: Timestamp) -> Result<&Upload, UploadError> {
        let path = self.uploads.data(&self.upload.id);
        let written = self.file.flush().await;
        // Also after an error: what is in the file is what counts.
        self.upload.offset = self.file.metadata().await.map_err(failed(&path))?.len();
        written.map_err(failed(&path))?;
        if self.upload.offset == self.upload.size {
            self.file.sync_all().await.map_err(failed(&path))?;
        }
        let Upload { size, sha256, .. } = self.upload;
        self.uploads.write_note(&self.upload.id, &Note { size, sha256, touched_at: now }).await?;
        self.upload.expires_at = now + PATIENCE;
        Ok(&self.upload)
    }

    /// The whole file, from its first byte. It stays held as long as `self` lives.
    pub async fn whole(&mut self) -> Result<std::fs::File, UploadError> {
        let Upload { size, offset, .. } = self.upload;
        if offset != size {
            return Err(UploadError::Offset(offset));
        }
        let path = self.uploads.data(&self.upload.id);
        self.file.rewind().await.map_err(failed(&path))?;
        let file = self.file.try_clone().await.map_err(failed(&path))?;
        Ok(file.into_std().await)
    }

    /// Deletes it.
    pub async fn delete(self) {
        self.uploads.forget(&self.upload.id).await;
    }
}

#[cfg(test)]
mod tests;
