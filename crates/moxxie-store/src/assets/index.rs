//! What lies in the cache, and what goes when room is needed.

use moxxie_core::asset::Digest;
use std::collections::HashMap;
use std::fs::File;
use std::sync::{Arc, Weak};

/// The files of the cache.
#[derive(Debug, Default)]
pub(super) struct Index {
    entries: HashMap<Digest, Entry>,
    /// Grows with every use.
    clock: u64,
    /// Bytes of all entries.
    sum: u64,
    /// Bytes that are being fetched.
    coming: u64,
}

/// One file.
#[derive(Debug)]
struct Entry {
    size: u64,
    used: u64,
    readers: Vec<Weak<File>>,
}

impl Entry {
    fn in_use(&self) -> bool {
        self.readers.iter().any(|reader| reader.strong_count() > 0)
    }
}

impl Index {
    /// A file that is there, and is the one used last.
    pub fn insert(&mut self, digest: Digest, size: u64) {
        self.clock += 1;
        let used = self.clock;
        let entry = self.entries.entry(digest).or_insert(Entry { size: 0, used, readers: Vec::new() });
        self.sum = self.sum - entry.size + size;
        (entry.size, entry.used) = (size, used);
    }

    /// Somebody reads a file. It is in use until this handle, and all that were made of it, are
    /// gone.
    pub fn touch(&mut self, digest: &Digest, size: u64, reader: &Arc<File>) {
        self.insert(*digest, size);
        if let Some(entry) = self.entries.get_mut(digest) {
            entry.readers.retain(|reader| reader.strong_count() > 0);
            entry.readers.push(Arc::downgrade(reader));
        }
    }

    /// These read it too: they began before it was whole.
    pub fn follow(&mut self, digest: &Digest, readers: Vec<Weak<File>>) {
        if let Some(entry) = self.entries.get_mut(digest) {
            entry.readers.extend(readers);
        }
    }

    /// A file that is gone.
    pub fn remove(&mut self, digest: &Digest) {
        if let Some(entry) = self.entries.remove(digest) {
            self.sum -= entry.size;
        }
    }

    /// So many bytes begin to be fetched.
    pub fn reserve(&mut self, size: u64) {
        self.coming += size;
    }

    /// They came, or will not.
    pub fn release(&mut self, size: u64) {
        self.coming = self.coming.saturating_sub(size);
    }

    /// Takes the least recently used files off the list until the rest fits. What is being read
    /// stays.
    pub fn evict(&mut self, budget: u64) -> Vec<Digest> {
        let mut gone = Vec::new();
        while self.over(budget) {
            let idle = self.entries.iter().filter(|(_, entry)| !entry.in_use());
            let Some(oldest) = idle.min_by_key(|(_, entry)| entry.used).map(|(digest, _)| *digest) else {
                break;
            };
            self.remove(&oldest);
            gone.push(oldest);
        }
        gone
    }

    /// The same, until there are so many bytes less.
    pub fn give_way(&mut self, bytes: u64) -> Vec<Digest> {
        let budget = self.sum.saturating_add(self.coming).saturating_sub(bytes);
        self.evict(budget)
    }

    /// Whether there is more than fits.
    pub fn over(&self, budget: u64) -> bool {
        self.sum.saturating_add(self.coming) > budget
    }

    /// Whether nothing else is there or comes than a file of this size that comes.
    pub fn alone(&self, size: u64) -> bool {
        self.sum == 0 && self.coming <= size
    }

    /// Bytes of all files.
    #[cfg(test)]
    pub fn sum(&self) -> u64 {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_goes_first_and_readers_keep_theirs() {
        let digest = |n: u8| Digest([n; 32]);
        let mut index = Index::default();
        let file = Arc::new(File::open("/dev/null").unwrap());
        for n in 1..=4 {
            index.insert(digest(n), 10);
        }
        index.touch(&digest(1), 10, &file);
        let other = Arc::new(File::open("/dev/null").unwrap());
        index.touch(&digest(2), 10, &other);
        assert_eq!(index.sum(), 40);
        assert!(index.evict(40).is_empty());
        assert_eq!(index.evict(30), [digest(3)]);
        index.reserve(10);
        assert_eq!(index.evict(30), [digest(4)]);
        // Both others are being read.
        assert!(index.evict(0).is_empty());
        drop(file);
        assert_eq!(index.evict(0), [digest(1)]);
        index.release(10);
        assert!(!index.over(10));
        drop(other);
        assert_eq!(index.evict(0), [digest(2)]);
        assert_eq!(index.sum(), 0);
    }
}
