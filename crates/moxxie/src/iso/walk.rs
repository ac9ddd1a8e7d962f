//! From an image's bytes to its index: every folder once, within bounds.

use super::index::{Extent, Index, Member, Node};
use super::name::{self, MAX_PATH, Names};
use super::source::{Meter, Metered, ReadAt, SECTOR};
use super::{IsoError, shown};
use hadris_iso::file::EntryType;
use hadris_iso::sync::directory::DirectoryRef;
use hadris_iso::sync::read::{DirEntry, IsoImage};
use std::collections::{BTreeMap, HashSet};
use std::io;

/// What an image may have of everything. The DVDs of today's systems have less than a tenth of it.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Folders inside of each other.
    pub depth: usize,
    /// Files, folders and links.
    pub entries: usize,
    /// Bytes of all paths together: what an index holds in memory.
    pub paths: usize,
    /// Bytes of all folders together.
    pub folders: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { depth: 32, entries: 100_000, paths: 8 * 1024 * 1024, folders: 32 * 1024 * 1024 }
    }
}

/// Volume descriptors, of which an honest image has three or four.
const MAX_DESCRIPTORS: u64 = 64;

/// File types of POSIX (`PX`).
const TYPE: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;

/// Reads the index of an image of `size` bytes. Blocks; at worst for some tenths of a second.
pub fn read<S: ReadAt + ?Sized>(image: &S, size: u64) -> Result<Index, IsoError> {
    read_within(image, size, Limits::default())
}

/// The same with limits of the caller's.
pub fn read_within<S: ReadAt + ?Sized>(image: &S, size: u64, limits: Limits) -> Result<Index, IsoError> {
    let label = check_descriptors(image, size)?;
    let meter = Meter::new();
    let iso = IsoImage::open(Metered::new(image, size, meter.clone()))
        .map_err(|error| meter.why(error, "its head"))?;
    let (names, root) = choose(&iso)?;
    let mut walk = Walk { size, limits, names, nodes: BTreeMap::new(), paths: 0 };
    let (mut seen, mut bytes) = (HashSet::new(), 0);
    let mut folders = vec![(String::new(), root, 0)];
    while let Some((path, folder, depth)) = folders.pop() {
        let shown = shown(&format!("/{path}"));
        if !seen.insert(folder.extent.0) {
            return Err(IsoError::Circle(shown));
        }
        walk.extent(folder.extent.0, folder.size as u64, &shown)?;
        bytes += folder.size as u64;
        if depth > limits.depth {
            return Err(IsoError::TooMuch("folders inside of each other"));
        }
        if bytes > limits.folders {
            return Err(IsoError::TooMuch("bytes of folders"));
        }
        let handle = iso.open_dir(folder);
        let mut entries = handle.entries();
        loop {
            meter.next_entry();
            let Some(entry) = entries.next() else { break };
            let entry = entry.map_err(|error| meter.why(error, &shown))?;
            if let Some(below) = walk.enter(&path, &entry)? {
                meter.next_entry();
                let folder = entry.as_dir_ref(&iso).map_err(|error| meter.why(error, &shown))?;
                folders.push((below, folder, depth + 1));
            }
        }
    }
    let index = Index { label, any_case: names == Names::Plain, nodes: walk.nodes };
    index.check_overlaps()?;
    Ok(index)
}

/// Looks at the descriptors before the library does, which has one error for everything. Gives the
/// volume id.
fn check_descriptors<S: ReadAt + ?Sized>(image: &S, size: u64) -> Result<String, IsoError> {
    let mut label = None;
    for number in 16..16 + MAX_DESCRIPTORS {
        let mut sector = [0; SECTOR as usize];
        let first = number == 16;
        if (number + 1) * SECTOR > size {
            return Err(if first { IsoError::NotIso } else { IsoError::CutOff("its head".to_owned()) });
        }
        image.read_exact_at(&mut sector, number * SECTOR).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => IsoError::CutOff("its head".to_owned()),
            _ => IsoError::Disk(error.to_string()),
        })?;
        match (&sector[1..6], sector[0]) {
            (b"CD001", 255) => return label.ok_or_else(|| damaged("it has no primary volume descriptor")),
            (b"CD001", 1) if label.is_none() => label = Some(printable(&sector[40..72])),
            (b"CD001", _) => {}
            (b"BEA01" | b"NSR02" | b"NSR03" | b"TEA01", _) if label.is_none() => return Err(IsoError::Udf),
            _ if first => return Err(IsoError::NotIso),
            _ => return Err(damaged("its volume descriptors have no end")),
        }
    }
    Err(IsoError::TooMuch("volume descriptors"))
}

fn damaged(why: &str) -> IsoError {
    IsoError::Damaged(why.to_owned())
}

fn printable(bytes: &[u8]) -> String {
    let text: String = bytes.iter().map(|b| *b as char).filter(|c| matches!(c, ' '..='~')).collect();
    text.trim().to_owned()
}

/// The tree with the best names.
fn choose<D: hadris_iso::sync::Read + hadris_iso::sync::Seek>(
    iso: &IsoImage<D>,
) -> Result<(Names, DirectoryRef), IsoError> {
    let roots = || iso.root_dirs().iter();
    let joliet = roots().filter(|root| matches!(root.entry_type(), EntryType::Joliet { .. }));
    let primary = roots().find(|root| matches!(root.entry_type(), EntryType::Level1 { .. }));
    let (names, root) = match (iso.supports_rrip(), joliet.max_by_key(|root| root.entry_type())) {
        (false, Some(joliet)) => (Names::Joliet, Some(joliet)),
        (true, _) => (Names::RockRidge, primary),
        (false, None) => (Names::Plain, primary),
    };
    let root = root.ok_or_else(|| damaged("it has no root folder"))?;
    Ok((names, root.dir_ref()))
}

struct Walk {
    size: u64,
    limits: Limits,
    names: Names,
    nodes: BTreeMap<Box<str>, Node>,
    /// Bytes of all paths.
    paths: usize,
}

impl Walk {
    /// Takes an entry in. A folder's path comes back, because it is to be read as well.
    fn enter(&mut self, folder: &str, entry: &DirEntry) -> Result<Option<String>, IsoError> {
        if entry.is_special() {
            return Ok(None);
        }
        let Some(name) = name::of(entry, self.names, folder)? else { return Ok(None) };
        let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        let link = entry.rrip.as_ref().and_then(|rrip| rrip.symlink_target.as_deref());
        let mode = entry.rrip.as_ref().and_then(|rrip| Some(rrip.posix_attributes?.file_mode.read()));
        self.paths += path.len() + link.map_or(0, str::len);
        if path.len() > MAX_PATH || link.is_some_and(|target| target.len() > MAX_PATH) {
            return Err(IsoError::TooMuch("bytes in one path"));
        }
        if self.nodes.len() == self.limits.entries {
            return Err(IsoError::TooMuch("files"));
        }
        if self.paths > self.limits.paths {
            return Err(IsoError::TooMuch("bytes of paths"));
        }
        let node = match link {
            _ if entry.is_directory() => Node::Folder,
            Some(target) => Node::Link(target.into()),
            // Devices, pipes and sockets are nothing that could be read.
            None if mode.is_some_and(|mode| mode & TYPE != REGULAR) => return Ok(None),
            None => Node::File(self.member(entry, &path)?),
        };
        let below = matches!(node, Node::Folder).then(|| path.clone());
        if self.nodes.insert(path.into(), node).is_some() {
            return Err(IsoError::Name(format!(
                "two files of {:?} have one name",
                shown(&format!("/{folder}"))
            )));
        }
        Ok(below)
    }

    fn member(&self, entry: &DirEntry, path: &str) -> Result<Member, IsoError> {
        let mut extents: Vec<Extent> = Vec::new();
        for part in entry.extents().filter(|part| part.length > 0) {
            let next = self.extent(part.sector.0, part.length.into(), path)?;
            match extents.last_mut() {
                Some(last) if last.first + last.length == next.first => last.length += next.length,
                _ => extents.push(next),
            }
        }
        Ok(Member { size: extents.iter().map(|e| e.length).sum(), extents: extents.into() })
    }

    /// A run of bytes, which lies inside of the image.
    fn extent(&self, sector: usize, length: u64, path: &str) -> Result<Extent, IsoError> {
        let first = (sector as u64).checked_mul(SECTOR);
        let end = first.and_then(|first| first.checked_add(length));
        match (first, end) {
            (Some(first), Some(end)) if end <= self.size => Ok(Extent { first, length }),
            _ => Err(IsoError::CutOff(shown(path))),
        }
    }
}
