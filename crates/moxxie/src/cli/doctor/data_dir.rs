//! What a data directory of this machine lets others read.

use super::{Check, Outcome, check};
use std::path::Path;

/// Whether only its owner can read what a local data directory keeps.
pub(super) fn data_dir(dir: &Path) -> Option<Check> {
    if !dir.is_dir() {
        return None;
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let open = |path: &Path, bits: u32| {
            std::fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & bits != 0)
        };
        // Behind a closed door the files' own modes do not matter, but keys are kept shut anyway.
        let keys = ["admin-token", "secret-key"];
        let rest: &[&str] =
            if open(dir, 0o011) { &["moxxie.db", "moxxie.db-wal", "moxxie.db-shm"] } else { &[] };
        let wrong: Vec<String> = keys
            .iter()
            .chain(rest)
            .map(|name| dir.join(name))
            .filter(|path| open(path, 0o077))
            .map(|path| path.display().to_string())
            .collect();
        if !wrong.is_empty() {
            let wrong = wrong.join(" ");
            let text = format!("others can read what is secret: chmod 600 {wrong}");
            return Some(check("data-dir", Outcome::Fail, text));
        }
    }
    Some(check("data-dir", Outcome::Ok, format!("{}: only its owner reads the keys", dir.display())))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn keys_that_others_can_read() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("secret-key");
        std::fs::write(&key, "x").unwrap();
        let mode = |mode| std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
        mode(0o644);
        assert_eq!(data_dir(dir.path()).unwrap().outcome, Outcome::Fail);
        mode(0o600);
        assert_eq!(data_dir(dir.path()).unwrap().outcome, Outcome::Ok);
        assert_eq!(data_dir(&dir.path().join("none")), None);
    }
}
