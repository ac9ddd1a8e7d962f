//! The bytes of an upload: a file, or a part of one, that can be read again from any place.

use crate::cli::out::Format;
use crate::cli::progress::Bar;
use anyhow::Context as _;
use bytes::Bytes;
use futures_util::Stream;
use moxxie_core::asset::Digest;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Bytes that are read and sent at once.
const CHUNK: u64 = 256 * 1024;

/// Bytes whose digest and size are known.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    file: Arc<File>,
    start: u64,
    /// Their number.
    pub size: u64,
    /// Their digest.
    pub sha256: Digest,
}

/// How far the sending of a [`Source`] is.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    /// Bytes that were handed to the connection.
    pub sent: AtomicU64,
    /// Whether the file no longer holds what was measured.
    pub is_spoiled: AtomicBool,
}

impl Source {
    /// A file, measured first.
    pub fn open(path: &Path, format: Format) -> anyhow::Result<Source> {
        let context = || format!("cannot read {}", path.display());
        let file = File::open(path).with_context(context)?;
        let meta = file.metadata().with_context(context)?;
        if meta.is_dir() {
            anyhow::bail!("{} is a folder", path.display());
        }
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        let bar = Bar::new(format, &format!("checking {name}"), Some(meta.len()));
        let (sha256, size) = measure(&file, |done| bar.at(done)).with_context(context)?;
        Ok(Source { file: Arc::new(file), start: 0, size, sha256 })
    }

    /// A file whose digest and size somebody knows.
    pub fn known(path: &Path, sha256: Digest, size: u64) -> io::Result<Source> {
        Ok(Source::part(Arc::new(File::open(path)?), 0, size, sha256))
    }

    /// `size` bytes of a file from `start` on, whose digest somebody knows.
    pub fn part(file: Arc<File>, start: u64, size: u64, sha256: Digest) -> Source {
        Source { file, start, size, sha256 }
    }

    /// The bytes from an offset on.
    pub fn stream(
        &self,
        offset: u64,
        flow: Arc<Flow>,
        at: impl Fn(u64) + Send + Sync + 'static,
    ) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        let source = self.clone();
        let at = Arc::new(at);
        futures_util::stream::try_unfold(offset, move |offset| {
            let (source, flow, at) = (source.clone(), Arc::clone(&flow), Arc::clone(&at));
            async move {
                let n = CHUNK.min(source.size.saturating_sub(offset));
                if n == 0 {
                    return Ok(None);
                }
                let read = move || source.read(offset, n);
                let chunk = tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?;
                let chunk = chunk.inspect_err(|_| flow.is_spoiled.store(true, Ordering::Relaxed))?;
                flow.sent.fetch_add(n, Ordering::Relaxed);
                at(offset + n);
                Ok(Some((Bytes::from(chunk), offset + n)))
            }
        })
    }

    fn read(&self, offset: u64, n: u64) -> io::Result<Vec<u8>> {
        let mut chunk = vec![0; usize::try_from(n).map_err(io::Error::other)?];
        // Without moving the file's own place: a reader that was given up may still be at work.
        self.file.read_exact_at(&mut chunk, self.start.saturating_add(offset))?;
        Ok(chunk)
    }
}

/// Digest and size of what is read to its end; says after each part how much it was so far.
pub(crate) fn measure(mut file: impl io::Read, at: impl Fn(u64)) -> io::Result<(Digest, u64)> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; CHUNK as usize];
    let mut size = 0;
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            return Ok((Digest(hash.finalize().into()), size));
        }
        hash.update(&buffer[..n]);
        size += n as u64;
        at(size);
    }
}

/// Whether a file holds exactly these bytes.
pub(crate) fn holds(path: &Path, sha256: &Digest, size: u64) -> bool {
    let same_size = std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() == size);
    let measured = || measure(File::open(path)?.take(size + 1), |_| {});
    same_size && measured().is_ok_and(|found| found == (*sha256, size))
}
