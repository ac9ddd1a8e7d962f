//! One file on its way from S3 into the cache, for however many ask for it.
//!
//! The fetch is a task of its own: it goes on when the machine that asked first goes away. What
//! arrives is hashed as it is written; readers follow behind, and get the last byte only once the
//! digest was right and the file is in its place.

use super::cache::Cached;
use super::s3::{away, silent};
use super::verify::CHUNK;
use super::writer::Temporary;
use super::{Arrived, Arriving, AssetError, Readable, blocking, locked, unwritten};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use moxxie_core::asset::Digest;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// How often one file is asked for again from where it broke off.
const RESUMES: u32 = 5;
/// How long bytes are gathered before they are written, if there are fewer than a whole chunk.
const GATHER: Duration = Duration::from_millis(50);

/// A fetch that runs, as its readers see it.
#[derive(Debug, Clone)]
pub(super) struct Fill {
    size: u64,
    state: watch::Receiver<Arrived>,
    made: Arc<Made>,
}

/// What a fetch and its readers share.
#[derive(Debug, Default)]
struct Made {
    /// Where it is written, once it is.
    path: OnceLock<PathBuf>,
    /// The file, in use until all who waited for its end have opened it.
    whole: OnceLock<Arc<File>>,
    /// Who follows behind.
    readers: Mutex<Vec<Weak<File>>>,
}

impl Fill {
    /// Waits for the first bytes, so that nobody is promised a file that does not come. `None`
    /// when the file was moved meanwhile: look again where files are.
    pub async fn readable(&self, digest: &Digest, size: u64) -> Result<Option<Readable>, AssetError> {
        if self.size != size {
            return Err(AssetError::Damaged(*digest));
        }
        let mut state = self.state.clone();
        let there = match state.wait_for(|state| !matches!(state, Arrived::Waiting)).await.as_deref() {
            Ok(Arrived::Bytes(there)) => *there,
            Ok(Arrived::Failed(error)) => return Err(error.clone()),
            Ok(Arrived::Waiting) | Err(_) => return Err(AssetError::Busy(*digest)),
        };
        let Some(path) = self.made.path.get().filter(|_| there < size).cloned() else { return Ok(None) };
        let opened = blocking(move || match File::open(&path) {
            Ok(file) => Ok(Some(Arc::new(file))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(super::failed(&path)(error)),
        });
        let Some(file) = opened.await? else { return Ok(None) };
        locked(&self.made.readers).push(Arc::downgrade(&file));
        Ok(Some(Readable { file, size, arriving: Some(Arriving(state)) }))
    }
}

impl Cached {
    /// The fetch of a file, begun unless it runs already.
    pub fn fill(self: &Arc<Self>, digest: &Digest, size: u64) -> Fill {
        let mut fills = locked(&self.fills);
        // One whose task is gone will never end.
        if let Some(fill) = fills.get(digest).filter(|fill| fill.state.has_changed().is_ok()) {
            return fill.clone();
        }
        let (tell, state) = watch::channel(Arrived::Waiting);
        let fill = Fill { size, state, made: Arc::default() };
        fills.insert(*digest, fill.clone());
        let (this, digest, made) = (self.clone(), *digest, fill.made.clone());
        tokio::spawn(async move {
            let fetched = this.fetch(&digest, size, &made, &tell).await;
            if matches!(fetched, Err(AssetError::Damaged(_))) {
                locked(&this.refused).insert(digest, Instant::now() + this.times.refuse);
                this.alarms.raise(&digest, "the object on S3 does not have the bytes of its digest");
            }
            // First gone, then told: whoever hears of it looks at the file or begins anew.
            locked(&this.fills).remove(&digest);
            tell.send_replace(match fetched {
                Ok(()) => Arrived::Bytes(size),
                Err(error) => Arrived::Failed(error),
            });
            drop(made);
            this.make_room().await;
        });
        fill
    }

    async fn fetch(
        self: &Arc<Self>,
        digest: &Digest,
        size: u64,
        made: &Made,
        tell: &watch::Sender<Arrived>,
    ) -> Result<(), AssetError> {
        let begin = Instant::now() + self.times.first_byte;
        let slot = timeout_at(begin, self.slots.acquire()).await;
        let _slot =
            slot.map_err(|_| AssetError::Away("too many files are fetched from S3 at once".into()))?;
        // Another fetch may have ended after the reader looked and before this one was begun.
        let (local, wanted) = (self.local().clone(), *digest);
        if blocking(move || Ok(local.look(&wanted).is_ok())).await? {
            return Ok(());
        }
        let mut source = Source::open(self, digest, size, 0, begin).await?;
        let first = source.gather(begin, size, Duration::ZERO).await?;

        let _room = Reserved::new(self, size);
        self.make_room().await;
        if !self.has_room(size) {
            return Err(AssetError::Busy(*digest));
        }
        let (temporary, file) = self.place(size).await?;
        let _ = made.path.set(temporary.path.clone());
        let mut part = Part { temporary, file, hash: Sha256::new(), there: 0 };
        part = part.write(first).await?;
        let mut broken = 0;
        while part.there < size {
            // The last byte waits for the digest.
            tell.send_replace(Arrived::Bytes(part.there.min(size - 1)));
            let silence = Instant::now() + self.times.silence;
            match source.gather(silence, size - part.there, GATHER).await {
                Ok(bytes) => part = part.write(bytes).await?,
                Err(Broken::Silent) => return Err(silent(self.times.silence)),
                Err(Broken::TooLong) => return Err(AssetError::Damaged(*digest)),
                Err(Broken::Off(error)) => {
                    broken += 1;
                    if broken > RESUMES {
                        return Err(error);
                    }
                    tracing::debug!(%error, offset = part.there, sha256 = %digest, "a download from S3 goes on");
                    tokio::time::sleep(self.times.resume * 2_u32.pow(broken - 1)).await;
                    let silence = Instant::now() + self.times.silence;
                    match Source::open(self, digest, size, part.there, silence).await {
                        Ok(next) => source = next,
                        Err(AssetError::Away(_)) if broken < RESUMES => source = Source::broken(),
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        let got = Digest(part.hash.finalize().into());
        if got != *digest {
            return Err(AssetError::Damaged(*digest));
        }
        let (local, digest, file) = (self.local().clone(), *digest, part.file.clone());
        blocking(move || local.adopt(part.temporary, &part.file, &digest)).await?;
        let readers = std::mem::take(&mut *locked(&made.readers));
        let mut index = locked(&self.index);
        index.touch(&digest, size, &file);
        index.follow(&digest, readers);
        let _ = made.whole.set(file);
        Ok(())
    }
}

/// Room in the cache for a file that is being fetched.
struct Reserved(Arc<Cached>, u64);

impl Reserved {
    fn new(cached: &Arc<Cached>, size: u64) -> Reserved {
        locked(&cached.index).reserve(size);
        Reserved(cached.clone(), size)
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        locked(&self.0.index).release(self.1);
    }
}

/// Why a body ended before its end.
enum Broken {
    Silent,
    TooLong,
    Off(AssetError),
}

impl From<Broken> for AssetError {
    /// Before the first byte.
    fn from(broken: Broken) -> AssetError {
        match broken {
            Broken::Silent => AssetError::Away("S3 sent no byte in time".into()),
            Broken::TooLong => AssetError::Away("S3 sent more than it announced".into()),
            Broken::Off(error) => error,
        }
    }
}

/// The bytes that S3 sends.
struct Source(BoxStream<'static, object_store::Result<Bytes>>);

impl Source {
    async fn open(
        cached: &Cached,
        digest: &Digest,
        size: u64,
        offset: u64,
        until: Instant,
    ) -> Result<Source, AssetError> {
        let answer = timeout_at(until, cached.remote.get(digest, offset)).await;
        let answer = answer.map_err(|_| AssetError::Away("S3 sent no answer in time".into()))??;
        if answer.meta.size != size {
            return Err(AssetError::Damaged(*digest));
        }
        Ok(Source(answer.into_stream()))
    }

    /// One that has nothing.
    fn broken() -> Source {
        Source(futures_util::stream::empty().boxed())
    }

    /// The next bytes: at most what is missing, at least one unless nothing is missing.
    async fn gather(&mut self, until: Instant, missing: u64, linger: Duration) -> Result<Vec<u8>, Broken> {
        let mut bytes: Vec<u8> = Vec::new();
        if missing == 0 {
            return Ok(bytes);
        }
        let mut patience = timeout_at(until, self.0.next()).await.map_err(|_| Broken::Silent)?;
        let enough = Instant::now() + linger;
        loop {
            match patience {
                Some(Ok(chunk)) => bytes.extend_from_slice(&chunk),
                // What came before is worth keeping.
                Some(Err(_)) | None if !bytes.is_empty() => return Ok(bytes),
                Some(Err(error)) => return Err(Broken::Off(away(&error))),
                None => return Err(Broken::Off(AssetError::Away("S3 ended in the middle of a file".into()))),
            }
            if bytes.len() as u64 > missing {
                return Err(Broken::TooLong);
            }
            if bytes.len() >= CHUNK || bytes.len() as u64 == missing {
                return Ok(bytes);
            }
            match timeout_at(enough, self.0.next()).await {
                Ok(next) => patience = next,
                Err(_) => return Ok(bytes),
            }
        }
    }
}

/// The file as far as it is written.
struct Part {
    temporary: Temporary,
    file: Arc<File>,
    hash: Sha256,
    there: u64,
}

impl Part {
    async fn write(mut self, bytes: Vec<u8>) -> Result<Part, AssetError> {
        blocking(move || {
            self.file.write_all_at(&bytes, self.there).map_err(unwritten(&self.temporary.path))?;
            self.hash.update(&bytes);
            self.there += bytes.len() as u64;
            Ok(self)
        })
        .await
    }
}
