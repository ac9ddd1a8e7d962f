//! What is in an image.

use super::{IsoError, shown};
use std::collections::{BTreeMap, VecDeque};

/// Links that one path may lead over.
const MAX_LINKS: usize = 8;

/// A run of bytes of the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Extent {
    /// Offset in the image.
    pub first: u64,
    /// Bytes, at least 1.
    pub length: u64,
}

/// A regular file of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Bytes.
    pub size: u64,
    /// Where they lie, in order. Runs that touch are one; an empty file has none.
    pub extents: Box<[Extent]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    File(Member),
    Folder,
    Link(Box<str>),
}

/// Why a path leads to no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FindError {
    /// Nothing has this path.
    #[error("the image has no such file")]
    Missing,
    /// It is a folder.
    #[error("it is a folder, not a file")]
    Folder,
    /// A link leads out of the image, in circles, or nowhere.
    #[error("it is a link that leads to no file of the image")]
    Link,
}

/// Every file of an image by its path, without a slash in front.
#[derive(Debug)]
pub struct Index {
    /// The volume id, printable ASCII.
    pub label: String,
    /// Whether paths are found in any case.
    pub(super) any_case: bool,
    pub(super) nodes: BTreeMap<Box<str>, Node>,
}

impl Index {
    /// The file of this path. Links are followed as long as they stay inside of the image.
    pub fn find(&self, path: &str) -> Result<&Member, FindError> {
        if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(FindError::Missing);
        }
        let path = if self.any_case { path.to_ascii_lowercase() } else { path.to_owned() };
        let mut links = 0;
        let lost = |links: usize| if links > 0 { FindError::Link } else { FindError::Missing };
        let mut rest: VecDeque<String> = path.split('/').map(str::to_owned).collect();
        let mut done: Vec<String> = Vec::new();
        while let Some(part) = rest.pop_front() {
            match part.as_str() {
                // Out of the target of a link.
                "" | "." => continue,
                ".." => {
                    done.pop().ok_or(FindError::Link)?;
                    continue;
                }
                _ => {}
            }
            done.push(part);
            match self.nodes.get(done.join("/").as_str()) {
                Some(Node::Folder) => {}
                Some(Node::File(member)) if rest.is_empty() => return Ok(member),
                Some(Node::Link(target)) if links < MAX_LINKS && !target.starts_with('/') => {
                    links += 1;
                    done.pop();
                    for part in target.rsplit('/') {
                        rest.push_front(part.to_owned());
                    }
                }
                Some(Node::Link(_)) => return Err(FindError::Link),
                Some(Node::File(_)) | None => return Err(lost(links)),
            }
        }
        Err(FindError::Folder)
    }

    /// All regular files.
    pub fn files(&self) -> impl Iterator<Item = (&str, &Member)> {
        self.nodes.iter().filter_map(|(path, node)| match node {
            Node::File(member) => Some((&**path, member)),
            _ => None,
        })
    }

    /// Files may lie on each other entirely, as hard links do, but not in part.
    pub(super) fn check_overlaps(&self) -> Result<(), IsoError> {
        let mut all: Vec<(Extent, &str)> =
            self.files().flat_map(|(path, member)| member.extents.iter().map(move |e| (*e, path))).collect();
        all.sort_unstable();
        for pair in all.windows(2) {
            let [(a, one), (b, other)] = pair else { continue };
            let apart = a.first + a.length <= b.first;
            let same = a == b && one != other;
            if !apart && !same {
                return Err(IsoError::Overlap(shown(one), shown(other)));
            }
        }
        Ok(())
    }
}
