//! The first start: a folder, a key, a token and an explained config, all private to this user.

use anyhow::{Context, Result, bail};
use moxxie_core::token::{SiteKey, api_token};
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

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

/// The site's key: from the environment, else from the folder, else new.
pub fn site_key(dir: &Path, from_env: Option<&str>) -> Result<SiteKey> {
    if let Some(text) = from_env {
        return SiteKey::from_hex(text).context("MOXXIE_SECRET_KEY must be 64 hexadecimal digits");
    }
    let path = dir.join("secret-key");
    let text =
        read_or_create(&path, || crate::clock::random::<32>().iter().map(|b| format!("{b:02x}")).collect())?
            .0;
    // A key that cannot be read must never be replaced by a new one in silence: stored secrets
    // and tokens that are out would be lost.
    SiteKey::from_hex(&text).with_context(|| {
        format!("{} must hold 64 hexadecimal digits; restore it from where you keep it", path.display())
    })
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
    match fs::read_to_string(path) {
        Ok(text) => {
            let mode = fs::metadata(path).map(|m| m.permissions().mode() & 0o077).unwrap_or(0);
            if mode != 0 && !path.ends_with("moxxie.toml") {
                tracing::warn!(file = %path.display(), "other users can read this file; run: chmod 600 {}", path.display());
            }
            Ok((text, false))
        }
        Err(e) if e.kind() == ErrorKind::NotFound => {
            let text = make();
            // Written beside and renamed: a crash never leaves half a key.
            let temp = path.with_extension("new");
            let write = || -> std::io::Result<()> {
                let _ = fs::remove_file(&temp);
                let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temp)?;
                writeln!(file, "{}", text.trim_end())?;
                file.sync_all()?;
                fs::rename(&temp, path)
            };
            write().with_context(|| format!("cannot write {}", path.display()))?;
            Ok((text, true))
        }
        Err(e) => Err(e).with_context(|| format!("cannot read {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_private_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (token, new) = admin_token(dir.path(), None).unwrap();
        assert!(new);
        assert_eq!(admin_token(dir.path(), None).unwrap(), (token, false));
        site_key(dir.path(), None).unwrap();
        for name in ["admin-token", "secret-key"] {
            let mode = fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn a_damaged_key_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("secret-key"), "garbage").unwrap();
        assert!(site_key(dir.path(), None).is_err());
        assert_eq!(fs::read_to_string(dir.path().join("secret-key")).unwrap(), "garbage");
        assert!(site_key(dir.path(), Some("00")).is_err());
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
