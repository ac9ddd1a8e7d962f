//! The first start: a folder, a key, a token and an explained config, all private to this user.

use anyhow::{Context, Result, bail};
use moxxie_core::keyring::Keyring;
use moxxie_core::token::api_token;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Makes the data folder if needed.
pub fn data_dir(dir: &Path) -> Result<()> {
    match fs::DirBuilder::new().recursive(true).mode(0o700).create(dir) {
        Ok(()) => Ok(()),
        Err(e) => Err(e).with_context(|| format!("cannot create the data folder {}", dir.display())),
    }
}

/// Takes the folder's lock, so that two servers never share one embedded database. The lock
/// lives as long as the returned file.
pub fn lock(dir: &Path) -> Result<fs::File> {
    let path = dir.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => bail!(
            "another moxxie serves from {}: stop it, or give this one its own --data-dir",
            dir.display()
        ),
        Err(fs::TryLockError::Error(e)) => Err(e).with_context(|| format!("cannot lock {}", path.display())),
    }
}

/// The site's keys, and whether they are on the disk yet.
pub struct SiteKeys {
    /// The current one first.
    pub ring: Keyring,
    /// A key that was made just now, and the file that it belongs into.
    new: Option<(PathBuf, String)>,
}

/// The file of a data folder that holds the site's keys, one a line, the current one first.
pub const KEY_FILE: &str = "secret-key";

/// The site's keys: from the environment (`NEW,OLD`), else from the folder, else one that is new
/// and not written yet: a database may be there that needs another one.
pub fn site_keys(dir: &Path, from_env: Option<&str>) -> Result<SiteKeys> {
    if let Some(text) = from_env {
        let ring = Keyring::parse(text).context(
            "MOXXIE_SECRET_KEY must be 64 hexadecimal digits, or several keys with commas between",
        )?;
        return Ok(SiteKeys { ring, new: None });
    }
    let path = dir.join(KEY_FILE);
    let (text, new) = match read_private(&path)? {
        Some(text) => (text, None),
        None => {
            let text = new_key();
            (text.clone(), Some((path.clone(), text)))
        }
    };
    // A key that cannot be read must never be replaced by a new one in silence: stored secrets
    // and tokens that are out would be lost.
    let ring = Keyring::parse(&text).with_context(|| {
        format!(
            "{} must hold 64 hexadecimal digits on each line; restore it from where you keep it",
            path.display()
        )
    })?;
    Ok(SiteKeys { ring, new })
}

/// A key as the file holds it.
pub fn new_key() -> String {
    crate::clock::random::<32>().iter().map(|b| format!("{b:02x}")).collect()
}

impl SiteKeys {
    /// The file that was missing, as long as the new key is not in it.
    pub fn missing(&self) -> Option<&Path> {
        self.new.as_ref().map(|(path, _)| path.as_path()).filter(|path| !path.exists())
    }

    /// Writes a new key down, before anything is sealed with it.
    pub fn keep(&self) -> Result<()> {
        match &self.new {
            Some((path, text)) => read_or_create(path, || text.clone()).map(|_| ()),
            None => Ok(()),
        }
    }
}

/// The first admin token: from the environment, else from the folder, else new. The flag says
/// whether it was made just now and should be shown.
pub fn admin_token(dir: &Path, from_env: Option<String>) -> Result<(String, bool)> {
    match from_env {
        Some(token) if token.trim().len() >= 16 => Ok((token.trim().to_owned(), false)),
        Some(_) => bail!("MOXXIE_ADMIN_TOKEN must have at least 16 characters"),
        None => {
            let (text, new) = read_or_create(&dir.join("admin-token"), || api_token(crate::clock::random()))?;
            let token = text.trim().to_owned();
            if token.len() < 16 {
                bail!("{} is damaged; delete it to have a new one made", dir.join("admin-token").display());
            }
            Ok((token, new))
        }
    }
}

/// Leaves the explained config behind, unless there is one.
pub fn config_template(dir: &Path) -> Result<()> {
    read_or_create(&dir.join("moxxie.toml"), || crate::config::TEMPLATE.to_owned()).map(|_| ())
}

/// Reads a private file, or makes it. Whether it was made.
fn read_or_create(path: &Path, make: impl FnOnce() -> String) -> Result<(String, bool)> {
    if let Some(text) = read_private(path)? {
        return Ok((text, false));
    }
    let text = make();
    replace(path, &text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok((text, true))
}

/// Writes a private file beside and renames it: a crash never leaves half a key.
pub fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let temp = path.with_extension("new");
    let _ = fs::remove_file(&temp);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temp)?;
    writeln!(file, "{}", text.trim_end())?;
    file.sync_all()?;
    fs::rename(&temp, path)?;
    // What is sealed next must not outlive the name of its key.
    match path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        Some(dir) => fs::File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}

/// Reads a private file, if it is there.
fn read_private(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => {
            let mode = fs::metadata(path).map(|m| m.permissions().mode() & 0o077).unwrap_or(0);
            if mode != 0 && !path.ends_with("moxxie.toml") {
                tracing::warn!(file = %path.display(), "other users can read this file; run: chmod 600 {}", path.display());
            }
            Ok(Some(text))
        }
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e).with_context(|| format!("cannot read {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use moxxie_core::keyring::KeyId;

    #[test]
    fn files_are_private_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (token, new) = admin_token(dir.path(), None).unwrap();
        assert!(new);
        assert_eq!(admin_token(dir.path(), None).unwrap(), (token, false));
        let keys = site_keys(dir.path(), None).unwrap();
        assert!(
            keys.missing().is_some() && !dir.path().join("secret-key").exists(),
            "not before it is needed"
        );
        keys.keep().unwrap();
        assert!(keys.missing().is_none());
        let kept = site_keys(dir.path(), None).unwrap();
        assert_eq!(KeyId::of(kept.ring.current()), KeyId::of(keys.ring.current()));
        for name in ["admin-token", "secret-key"] {
            let mode = fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn a_damaged_key_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("secret-key"), "garbage").unwrap();
        assert!(site_keys(dir.path(), None).is_err());
        assert_eq!(fs::read_to_string(dir.path().join("secret-key")).unwrap(), "garbage");
        assert!(site_keys(dir.path(), Some("00")).is_err());
    }

    #[test]
    fn one_server_per_folder() {
        let dir = tempfile::tempdir().unwrap();
        let held = lock(dir.path()).unwrap();
        assert!(lock(dir.path()).is_err());
        drop(held);
        assert!(lock(dir.path()).is_ok());
    }
}
