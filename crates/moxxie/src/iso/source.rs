//! The bytes of an image, read through a meter.

use super::IsoError;
use std::cell::{Cell, RefCell};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::rc::Rc;

/// Bytes of a sector.
pub(super) const SECTOR: u64 = 2048;
/// Bytes that may be taken from the disk for one image: a quarter of a second's work.
const WORK: u64 = 512 * 1024 * 1024;
/// Bytes that one entry of a folder may make us read. An honest one has less than a sector, and a
/// continuation of a few hundred bytes.
const ENTRY: u64 = 64 * 1024;

/// Bytes that can be read from any offset without moving anything.
pub trait ReadAt {
    /// Reads some bytes from this offset; 0 at the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Fills the buffer, or fails with `UnexpectedEof`.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read_at(&mut buffer[filled..], offset + filled as u64) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl ReadAt for std::fs::File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, offset)
    }
}

impl ReadAt for [u8] {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.get(offset..)).unwrap_or(&[]);
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }
}

/// What reading may still cost, and why it was stopped. Shared with the reader that is inside of
/// the library.
#[derive(Debug)]
pub(super) struct Meter {
    work: Cell<u64>,
    entry: Cell<u64>,
    stopped: RefCell<Option<IsoError>>,
}

impl Meter {
    pub fn new() -> Rc<Meter> {
        Rc::new(Meter { work: Cell::new(WORK), entry: Cell::new(WORK), stopped: RefCell::new(None) })
    }

    /// One entry begins.
    pub fn next_entry(&self) {
        self.entry.set(ENTRY);
    }

    fn charge(&self, bytes: u64) -> Result<(), IsoError> {
        let less = |left: &Cell<u64>, what| match left.get().checked_sub(bytes) {
            Some(rest) => {
                left.set(rest);
                Ok(())
            }
            None => Err(IsoError::TooMuch(what)),
        };
        less(&self.entry, "bytes of names for one file")?;
        less(&self.work, "bytes of folders")
    }

    /// Why the library failed at reading `what`: our own reason, or what it says.
    pub fn why(&self, error: impl std::fmt::Display, what: &str) -> IsoError {
        match self.stopped.take() {
            Some(IsoError::CutOff(_)) => IsoError::CutOff(what.to_owned()),
            Some(stopped) => stopped,
            None => IsoError::Damaged(format!("{what}: {error}")),
        }
    }
}

/// A reader with one sector in memory: names are read a few bytes at a time.
pub(super) struct Metered<'i, S: ?Sized> {
    image: &'i S,
    size: u64,
    at: u64,
    /// The sector's number.
    held: Option<u64>,
    sector: Vec<u8>,
    meter: Rc<Meter>,
}

impl<'i, S: ReadAt + ?Sized> Metered<'i, S> {
    pub fn new(image: &'i S, size: u64, meter: Rc<Meter>) -> Metered<'i, S> {
        Metered { image, size, at: 0, held: None, sector: Vec::new(), meter }
    }

    fn stop(&self, error: IsoError) -> io::Error {
        *self.meter.stopped.borrow_mut() = Some(error);
        io::ErrorKind::InvalidData.into()
    }
}

impl<S: ReadAt + ?Sized> Read for Metered<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.size {
            return Err(self.stop(IsoError::CutOff(String::new())));
        }
        let number = self.at / SECTOR;
        if self.held != Some(number) {
            let start = number * SECTOR;
            let length = SECTOR.min(self.size - start);
            self.meter.charge(length).map_err(|error| self.stop(error))?;
            self.held = None;
            self.sector.resize(length as usize, 0);
            if let Err(error) = self.image.read_exact_at(&mut self.sector, start) {
                return Err(self.stop(IsoError::Disk(error.to_string())));
            }
            self.held = Some(number);
        }
        let rest = &self.sector[(self.at % SECTOR) as usize..];
        let length = rest.len().min(buffer.len());
        // A read that is answered from memory is work as well.
        self.meter.charge(length.max(1) as u64).map_err(|error| self.stop(error))?;
        let rest = &self.sector[(self.at % SECTOR) as usize..];
        buffer[..length].copy_from_slice(&rest[..length]);
        self.at += length as u64;
        Ok(length)
    }
}

impl<S: ReadAt + ?Sized> Seek for Metered<'_, S> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.size.checked_add_signed(by),
        };
        self.at = target.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
