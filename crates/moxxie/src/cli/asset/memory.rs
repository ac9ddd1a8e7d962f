//! Uploads that were begun and not finished, so that the same command goes on with them.
//!
//! One small file of the user. It only saves time: whatever is wrong with it, the upload begins
//! anew.

use crate::cli::backup::write_private;
use moxxie_core::asset::Digest;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The oldest are forgotten beyond so many.
const KEPT: usize = 64;
/// A file that is larger was not written here.
const LARGEST: u64 = 1024 * 1024;

/// Where unfinished uploads are written down.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory {
    file: Option<PathBuf>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Notes {
    uploads: Vec<Note>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Note {
    server: String,
    sha256: Digest,
    id: String,
}

impl Memory {
    /// The memory of whoever runs this: `$XDG_STATE_HOME/moxxie/uploads.json`, or below
    /// `~/.local/state`. Without a home there is none.
    pub fn of_the_user() -> Memory {
        // A relative path is to be taken for none (XDG Base Directory Specification).
        let var = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let state = var("XDG_STATE_HOME").or_else(|| Some(var("HOME")?.join(".local/state")));
        Memory { file: state.map(|state| state.join("moxxie/uploads.json")) }
    }

    /// A memory in this file.
    #[cfg(test)]
    pub fn at(file: &std::path::Path) -> Memory {
        Memory { file: Some(file.to_owned()) }
    }

    /// The unfinished upload of these bytes to this server.
    pub fn find(&self, server: &str, sha256: &Digest) -> Option<String> {
        let notes = self.read();
        let note = notes.uploads.into_iter().find(|n| n.server == server && n.sha256 == *sha256)?;
        Some(note.id)
    }

    /// Writes an upload down, instead of any other of these bytes.
    pub fn keep(&self, server: &str, sha256: &Digest, id: &str) {
        let note = Note { server: server.to_owned(), sha256: *sha256, id: id.to_owned() };
        self.change(server, sha256, Some(note));
    }

    /// Nothing is left to do for these bytes.
    pub fn forget(&self, server: &str, sha256: &Digest) {
        if self.find(server, sha256).is_some() {
            self.change(server, sha256, None);
        }
    }

    fn read(&self) -> Notes {
        let read = || {
            let file = self.file.as_ref()?;
            if std::fs::metadata(file).ok()?.len() > LARGEST {
                return None;
            }
            serde_json::from_slice(&std::fs::read(file).ok()?).ok()
        };
        read().unwrap_or_default()
    }

    fn change(&self, server: &str, sha256: &Digest, note: Option<Note>) {
        let Some(file) = &self.file else { return };
        let mut notes = self.read();
        notes.uploads.retain(|n| n.server != server || n.sha256 != *sha256);
        notes.uploads.extend(note);
        let surplus = notes.uploads.len().saturating_sub(KEPT);
        notes.uploads.drain(..surplus);
        // What cannot be remembered is uploaded again: no reason to fail.
        if let (Some(dir), Ok(text)) = (file.parent(), serde_json::to_vec_pretty(&notes)) {
            let _ = std::fs::create_dir_all(dir).and_then(|()| write_private(file, &text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_and_forgets() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("state/moxxie/uploads.json");
        let memory = Memory::at(&file);
        let digest = |n| Digest([n; 32]);
        assert_eq!(memory.find("http://a", &digest(1)), None);
        memory.keep("http://a", &digest(1), "one");
        memory.keep("http://a", &digest(1), "two");
        memory.keep("http://b", &digest(1), "three");
        assert_eq!(memory.find("http://a", &digest(1)).as_deref(), Some("two"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        }
        memory.forget("http://a", &digest(1));
        assert_eq!(memory.find("http://a", &digest(1)), None);
        assert_eq!(memory.find("http://b", &digest(1)).as_deref(), Some("three"));
        for n in 0..=KEPT as u8 {
            memory.keep("http://a", &digest(n), "x");
        }
        assert_eq!(memory.read().uploads.len(), KEPT);
        assert_eq!(memory.find("http://b", &digest(1)), None, "the oldest");
    }

    #[test]
    fn what_is_wrong_with_the_file_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("uploads.json");
        std::fs::write(&file, "{\"uploads\": [{\"id\": 1}").unwrap();
        let memory = Memory::at(&file);
        assert_eq!(memory.find("http://a", &Digest([1; 32])), None);
        memory.keep("http://a", &Digest([1; 32]), "x");
        assert_eq!(memory.find("http://a", &Digest([1; 32])).as_deref(), Some("x"));
        // A folder stands in its way.
        let memory = Memory::at(dir.path());
        memory.keep("http://a", &Digest([1; 32]), "x");
        assert_eq!(memory.find("http://a", &Digest([1; 32])), None);
        Memory::default().keep("http://a", &Digest([1; 32]), "x");
    }
}
