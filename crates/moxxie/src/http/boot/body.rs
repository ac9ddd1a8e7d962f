//! The bytes of an asset as the body of an answer: in windows onto the file, each of which is in
//! memory before it is sent, so that `sendfile(2)` never makes everybody wait for a disk.

use crate::downloads::Download;
use crate::server::Windows;
use axum::body::Body;
use bytes::Bytes;
use futures_util::stream::try_unfold;
use moxxie_store::assets::{Arriving, Readable};
use rustix::fs::Advice;
use rustix::io::ReadWriteFlags;
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Shorter answers are read into memory: making a mapping costs more.
const MAPPED: u64 = 64 * 1024;
/// The first window is small, so that the first bytes of a file on a slow disk go out soon.
const FIRST: u64 = 1024 * 1024;
/// The others.
const WINDOW: u64 = 8 * 1024 * 1024;
/// Bytes read at once where the answer cannot be mapped.
const CHUNK: u64 = 256 * 1024;
/// The kernel reads less than this ahead of what it is asked for, whatever it is asked for.
const STRIDE: u64 = 128 * 1024;

/// `length` bytes from `first` on. `windows` are those of the connection; without them the bytes
/// are copied.
pub fn body(
    readable: Readable,
    first: u64,
    length: u64,
    download: Arc<Download>,
    windows: Option<Arc<Windows>>,
) -> Body {
    let Readable { file, arriving, .. } = readable;
    let mapped = match (&windows, usize::try_from(length)) {
        // A file that cannot be mapped is copied.
        (Some(windows), Ok(bytes)) if length >= MAPPED && windows.maps_files() => {
            windows.file(&file, first, bytes, &download).ok()
        }
        _ => None,
    };
    let sending = Sending {
        file,
        arriving,
        at: first,
        first,
        end: first + length,
        window: FIRST,
        mapped,
        download,
        windows,
    };
    Body::from_stream(try_unfold(sending, Sending::next))
}

struct Sending {
    file: Arc<File>,
    arriving: Option<Arriving>,
    /// Offset of the next byte, between these two.
    at: u64,
    first: u64,
    end: u64,
    /// How far the next window reaches.
    window: u64,
    mapped: Option<Bytes>,
    download: Arc<Download>,
    windows: Option<Arc<Windows>>,
}

impl Sending {
    /// The next window; an error cuts the connection.
    async fn next(mut self) -> io::Result<Option<(Bytes, Sending)>> {
        if self.at >= self.end {
            return Ok(None);
        }
        if self.download.is_condemned() {
            return Err(io::Error::other("the file was found damaged"));
        }
        let mut there = self.end;
        if let Some(arriving) = &mut self.arriving {
            there = there.min(arriving.until(self.at).await.map_err(io::Error::other)?);
        }
        let window = self.at..there.min(self.at + self.window);
        let bytes = match &self.mapped {
            Some(mapped) => {
                in_memory(&self.file, window.clone(), self.end).await?;
                let inside = |offset: u64| usize::try_from(offset - self.first).map_err(io::Error::other);
                mapped.slice(inside(window.start)?..inside(window.end)?)
            }
            None => {
                let window = window.start..window.end.min(window.start + CHUNK);
                let bytes = read(&self.file, window).await?;
                match &self.windows {
                    Some(windows) => windows.memory(bytes, &self.download),
                    None => {
                        // No socket of ours below: what is handed over is all that is known.
                        if self.download.sent(bytes.len() as u64) {
                            self.download.arrived();
                        }
                        bytes.into()
                    }
                }
            }
        };
        self.at += bytes.len() as u64;
        self.window = WINDOW;
        if self.at >= self.end {
            // The slices live on their own from here.
            self.mapped = None;
        }
        Ok(Some((bytes, self)))
    }
}

/// Sees to it that these bytes are in the page cache. `end`: how far the file will be read.
async fn in_memory(file: &Arc<File>, window: Range<u64>, end: u64) -> io::Result<()> {
    if is_in_memory(file, window.start) && is_in_memory(file, window.end - 1) {
        return Ok(());
    }
    let file = file.clone();
    blocking(move || {
        // The next window as well: the disk works on it while this one is sent.
        let ahead = end.min(window.end + WINDOW);
        for at in (window.start..ahead).step_by(STRIDE as usize) {
            // Advice only; reading works without it.
            let _ = rustix::fs::fadvise(&*file, at, NonZeroU64::new(STRIDE), Advice::WillNeed);
        }
        let last = window.end - 1;
        for at in window.step_by(STRIDE as usize).chain([last]) {
            file.read_exact_at(&mut [0], at)?;
        }
        Ok(())
    })
    .await
}

/// Whether this byte can be read without waiting (`RWF_NOWAIT`, preadv2(2)). A file system that
/// cannot tell counts as a slow one.
fn is_in_memory(file: &File, at: u64) -> bool {
    let mut byte = [0];
    rustix::io::preadv2(file, &mut [IoSliceMut::new(&mut byte)], at, ReadWriteFlags::NOWAIT).is_ok()
}

/// Reads these bytes, at once if they are in memory.
async fn read(file: &Arc<File>, window: Range<u64>) -> io::Result<Vec<u8>> {
    let length = usize::try_from(window.end - window.start).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    let now =
        rustix::io::preadv2(file, &mut [IoSliceMut::new(&mut bytes)], window.start, ReadWriteFlags::NOWAIT);
    if now == Ok(length) {
        return Ok(bytes);
    }
    let file = file.clone();
    blocking(move || file.read_exact_at(&mut bytes, window.start).map(|()| bytes)).await
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::downloads::{About, Downloads, Role};
    use http_body_util::BodyExt;
    use moxxie_core::asset::Digest;
    use moxxie_core::time::Timestamp;
    use std::io::Write;
    use tokio::sync::OnceCell;

    /// Nothing sends these bodies by the file: what is copied out of them is the same.
    #[tokio::test]
    async fn every_way_has_the_same_bytes_warm_or_cold() {
        let bytes: Vec<u8> = (0..(FIRST + WINDOW + 70_001)).map(|n| (n * 7 % 251) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        file.sync_all().unwrap();
        let (file, size) = (Arc::new(file), bytes.len() as u64);
        let parts = [(0, size), (FIRST - 3, 10), (1, MAPPED - 1), (4095, MAPPED), (size - 100_000, 100_000)];
        let downloads = Downloads::default();
        for (first, length) in parts {
            for windows in [None, Some(Arc::<Windows>::default())] {
                rustix::fs::fadvise(&*file, 0, None, Advice::DontNeed).unwrap();
                let readable = Readable { file: file.clone(), size, arriving: None };
                let download = downloads.begin(About {
                    profile: "p".parse().unwrap(),
                    file: "file".parse().unwrap(),
                    role: Role::Other,
                    sha256: Digest([7; 32]),
                    first,
                    length,
                    whole: false,
                    peer: [127, 0, 0, 1].into(),
                    started_at: Timestamp(0),
                    machine: OnceCell::new(),
                });
                let body = body(readable, first, length, download, windows.clone());
                let got = body.collect().await.unwrap().to_bytes();
                let range = first as usize..(first + length) as usize;
                assert!(got == bytes[range], "{first}+{length}: other bytes");
                assert!(windows.is_none_or(|windows| {
                    drop(got);
                    windows.is_empty()
                }));
                assert!(downloads.running().is_empty());
            }
        }
    }
}
