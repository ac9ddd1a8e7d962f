//! Which bytes of a connection's answers lie in files, known by their addresses in memory.
//!
//! hyper takes a body as slices of memory and cannot be told to call `sendfile(2)`. So a body
//! hands it slices of a mapped file, and the [socket](super::socket), which is given the same
//! slices to write, finds the file here. Nothing ever reads the mapping, unless a slice is not
//! recognized; then its bytes are copied, and are the same.

use crate::downloads::Download;
use bytes::Bytes;
use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The windows of one connection. A request carries it in its extensions to whoever answers it.
#[derive(Default)]
pub struct Windows {
    open: Mutex<Vec<Window>>,
    /// Every byte is read by this process.
    copied: bool,
}

/// A stretch of memory that belongs to a download.
struct Window {
    address: usize,
    length: usize,
    /// The file behind it and the offset of its first byte there. `None`: it is ordinary memory.
    file: Option<(Arc<File>, u64)>,
    download: Arc<Download>,
}

/// What lies at an address.
pub(super) struct Hit {
    /// Bytes from the address to the end of its window.
    pub length: usize,
    /// The file, and the offset of the address in it.
    pub file: Option<(Arc<File>, u64)>,
    /// What the bytes are counted for.
    pub download: Arc<Download>,
}

impl Windows {
    /// Windows of a connection that cannot send files: under TLS.
    pub fn copied() -> Windows {
        Windows { copied: true, ..Windows::default() }
    }

    /// Whether files are worth mapping. A mapping that is read, and not only named to the kernel,
    /// would turn an error of the disk into the end of the process (SIGBUS).
    pub fn maps_files(&self) -> bool {
        !self.copied
    }

    /// Maps `length` bytes of a file from `offset` on. The window is open until the last slice of
    /// the answer is dropped. Errors are those of `mmap(2)`.
    #[allow(unsafe_code)]
    pub fn file(
        self: &Arc<Self>,
        file: &Arc<File>,
        offset: u64,
        length: usize,
        download: &Arc<Download>,
    ) -> io::Result<Bytes> {
        // SAFETY: the mapping must not change while it is read as `&[u8]`. Assets are never
        // modified: they are written under another name and renamed, and one that arrives is only
        // handed out as far as it was written.
        let map = unsafe { memmap2::MmapOptions::new().offset(offset).len(length).map(&**file)? };
        Ok(self.open(map, Some((file.clone(), offset)), download))
    }

    /// Counts these bytes for a download when they are sent.
    pub fn memory(self: &Arc<Self>, bytes: Vec<u8>, download: &Arc<Download>) -> Bytes {
        self.open(bytes, None, download)
    }

    fn open<M: AsRef<[u8]> + Send + 'static>(
        self: &Arc<Self>,
        memory: M,
        file: Option<(Arc<File>, u64)>,
        download: &Arc<Download>,
    ) -> Bytes {
        let bytes = memory.as_ref();
        let (address, length) = (bytes.as_ptr().addr(), bytes.len());
        self.lock().push(Window { address, length, file, download: download.clone() });
        Bytes::from_owner(Opened { place: Place { windows: self.clone(), address }, memory })
    }

    /// The window that this address lies in.
    pub(super) fn find(&self, address: usize) -> Option<Hit> {
        let open = self.lock();
        let window = open.iter().find(|w| (w.address..w.address + w.length).contains(&address))?;
        let inside = address - window.address;
        Some(Hit {
            length: window.length - inside,
            file: window.file.as_ref().map(|(file, offset)| (file.clone(), offset + inside as u64)),
            download: window.download.clone(),
        })
    }

    /// The downloads that have bytes to send.
    pub(super) fn downloads(&self) -> Vec<Arc<Download>> {
        self.lock().iter().map(|window| window.download.clone()).collect()
    }

    /// Whether nothing is open.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Window>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The memory of a window. The place goes first: an address must not be known here any more when
/// it is given to somebody else.
struct Opened<M> {
    #[expect(dead_code, reason = "it does its work when it is dropped")]
    place: Place,
    memory: M,
}

impl<M: AsRef<[u8]>> AsRef<[u8]> for Opened<M> {
    fn as_ref(&self) -> &[u8] {
        self.memory.as_ref()
    }
}

struct Place {
    windows: Arc<Windows>,
    address: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        let closed = {
            let mut open = self.windows.lock();
            open.iter().position(|w| w.address == self.address).map(|at| open.swap_remove(at))
        };
        // Outside the lock: it may be the end of its download.
        drop(closed);
    }
}
