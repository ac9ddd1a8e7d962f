//! `moxxie backup`: saves the whole site to a directory.

use crate::cli::ClientOptions;
use crate::cli::asset::holds;
use crate::cli::audit;
use crate::cli::client::{Client, STALL};
use crate::cli::out::{self, Format};
use crate::cli::progress::Bar;
use anyhow::{Context as _, bail};
use moxxie_core::asset::Digest;
use moxxie_core::name::{FileName, ProfileName};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio::time::timeout;

/// The file that holds everything but the assets' bytes.
pub(crate) const FILE: &str = "moxxie-backup.json";
/// The audit log beside it, for reading: `moxxie audit verify --file` checks it.
const LOG: &str = "audit.jsonl";

/// Where to.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  moxxie backup /srv/backup/moxxie

The audit log goes into audit.jsonl beside it, for `moxxie audit verify --file`; a restore leaves it alone.

Templates and parameters in it are sealed with the site's key, which is not in it: without
<data-dir>/secret-key nobody can restore it. Keep a copy of that file, and not with the backups.")]
pub struct BackupArgs {
    /// The directory; assets that are there already are not fetched again.
    dir: PathBuf,
    /// Leave out the bytes of kernels, initrds and other files.
    #[arg(long)]
    without_assets: bool,
}

/// A file of a profile, as backups and bundles name it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    pub profile: ProfileName,
    pub file: FileName,
    pub sha256: Digest,
    pub size: u64,
}

/// The files that a backup names. Nothing that is not a name or a digest gets past here, so that
/// no path is made of anything else.
pub(crate) fn entries(backup: &Value) -> anyhow::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for profile in backup["profiles"].as_array().into_iter().flatten() {
        let assets = profile["assets"].as_array().into_iter().flatten();
        for asset in assets {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let entry = || -> anyhow::Result<Entry> {
                Ok(Entry {
                    profile: text(&profile["name"]).parse()?,
                    file: text(&asset["file"]).parse()?,
                    sha256: text(&asset["sha256"]).parse().map_err(anyhow::Error::msg)?,
                    size: asset["size"].as_u64().context("a size is missing")?,
                })
            };
            entries.push(entry().context("the backup names an asset that cannot be")?);
        }
    }
    Ok(entries)
}

/// Where the bytes with this digest are kept.
pub(crate) fn blob(dir: &Path, digest: &Digest) -> PathBuf {
    dir.join("blobs").join(digest.to_string())
}

/// Whether the bytes with this digest are kept, whole and unharmed.
pub(crate) fn has_blob(dir: &Path, entry: &Entry) -> bool {
    holds(&blob(dir, &entry.sha256), &entry.sha256, entry.size)
}

/// Runs `moxxie backup`.
pub async fn run(options: &ClientOptions, args: BackupArgs) -> anyhow::Result<ExitCode> {
    let client = options.client()?;
    let dir = args.dir.as_path();
    let made = || format!("cannot make the directory {}", dir.display());
    let response =
        client.send(|| client.authorized::<&str>(Method::GET, &["api", "v1", "backup"], &[])).await?;
    let bytes = response.bytes().await.map_err(|e| client.broken(e))?;
    let backup: Value = serde_json::from_slice(&bytes).context("the server's answer is not JSON")?;
    let entries = entries(&backup)?;
    private_dir(dir).with_context(made)?;
    // The bytes as they came: nothing of the backup passes through this program's numbers.
    write_private(&dir.join(FILE), &bytes)
        .with_context(|| format!("cannot write {}", dir.join(FILE).display()))?;
    save_log(&client, dir).await.with_context(|| format!("cannot save {}", dir.join(LOG).display()))?;
    let mut fetched = 0;
    let blobs: BTreeMap<Digest, &Entry> = entries.iter().map(|e| (e.sha256, e)).collect();
    if !args.without_assets {
        private_dir(&dir.join("blobs")).with_context(made)?;
        for entry in blobs.values() {
            if !has_blob(dir, entry) {
                fetch(&client, options.output, dir, entry)
                    .await
                    .with_context(|| format!("asset {}/{}", entry.profile, entry.file))?;
                fetched += 1;
            }
        }
    }
    let count = |key: &str| backup[key].as_array().map_or(0, Vec::len);
    let assets = match args.without_assets {
        true => format!("{} assets left out", blobs.len()),
        false => format!("{} assets ({fetched} fetched, all verified)", blobs.len()),
    };
    out::line(format!(
        "{}: {} profiles, {} assignments, {assets}, the audit log in {LOG}",
        dir.display(),
        count("profiles"),
        count("assignments"),
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the audit log as it comes; only a whole one gets its name.
async fn save_log(client: &Client, dir: &Path) -> anyhow::Result<()> {
    let part = dir.join(LOG).with_extension("part");
    let mut file = private_file(&part)?;
    if let Err(error) = audit::export(client, &[], &mut file).await {
        drop(file);
        fs::remove_file(&part)?;
        return Err(error);
    }
    file.sync_all()?;
    Ok(fs::rename(part, dir.join(LOG))?)
}

/// Fetches one asset; only whole and right ones get their name.
async fn fetch(client: &Client, format: Format, dir: &Path, entry: &Entry) -> anyhow::Result<()> {
    let target = blob(dir, &entry.sha256);
    let part = target.with_extension("part");
    let mut file = private_file(&part)?;
    let bar = Bar::new(format, &format!("fetching {}/{}", entry.profile, entry.file), Some(entry.size));
    if let Err(error) = download(client, entry, &mut file, &bar).await {
        drop(file);
        fs::remove_file(&part)?;
        return Err(error);
    }
    file.sync_all()?;
    fs::rename(&part, &target)?;
    Ok(())
}

/// Writes the bytes of an asset to a file and verifies them on the way.
pub(crate) async fn download(
    client: &Client,
    entry: &Entry,
    file: &mut File,
    bar: &Bar,
) -> anyhow::Result<()> {
    // Not the machines' route: people may be kept from that.
    let (profile, name) = (entry.profile.as_str(), entry.file.as_str());
    let path = ["api", "v1", "boot", "profiles", profile, "assets", name];
    let mut response = client.send(|| client.authorized::<&str>(Method::GET, &path, &[])).await?;
    let mut hash = Sha256::new();
    let mut size = 0;
    while let Some(chunk) = timeout(STALL, response.chunk())
        .await
        .context("the transfer stands still")?
        .map_err(|e| client.broken(e))?
    {
        size += chunk.len() as u64;
        if size > entry.size {
            break;
        }
        hash.update(&chunk);
        file.write_all(&chunk)?;
        bar.at(size);
    }
    let digest = Digest(hash.finalize().into());
    if (digest, size) != (entry.sha256, entry.size) {
        bail!("the bytes are not those that were named: {size} of {} bytes, sha256 {digest}", entry.size);
    }
    Ok(())
}

/// Makes a directory that only its owner can enter.
fn private_dir(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// A new file that only its owner can read.
pub(crate) fn private_file(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path)
}

/// Writes a file that only its owner can read, all of it or nothing.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let mut file = private_file(&part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(part, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fake::{Answer, Fake};
    use crate::cli::{Cli, Command};
    use clap::Parser as _;
    use serde_json::json;

    async fn go(fake: &Fake, args: &[&str]) -> anyhow::Result<ExitCode> {
        let all = [&["moxxie", "--token", "t", "--server", &fake.url], args].concat();
        let cli = Cli::try_parse_from(all)?;
        match cli.command {
            Command::Backup(args) => run(&cli.options, args).await,
            Command::Restore(args) => crate::cli::restore::run(&cli.options, args).await,
            _ => panic!("not backup"),
        }
    }

    fn site(bytes: &[u8]) -> Value {
        let sha256 = Digest(Sha256::digest(bytes).into()).to_string();
        let asset = |file: &str| json!({"file": file, "sha256": sha256, "size": bytes.len()});
        json!({"profiles": [{"name": "p", "assets": [asset("k"), asset("k2")]}], "assignments": []})
    }

    #[tokio::test]
    async fn there_and_back_again() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("b");
        let path = dir.to_str().unwrap();
        let bytes = b"kernel bytes";
        let site = site(bytes);
        let fake = Fake::start(vec![
            Answer::json(200, site.clone()),
            Answer::bytes(b"{\"seq\":1}\n"),
            Answer::bytes(bytes),
            Answer::json(200, site.clone()),
            Answer::bytes(b"{\"seq\":1}\n{\"seq\":2}\n"),
            // restore: what is there, the restore itself, one upload.
            Answer::json(200, json!({"items": [], "next": null})),
            Answer::json(200, json!({"items": [1, 2], "next": null})),
            Answer::json(200, json!({"missing_assets": [{"profile": "p", "file": "k2"}]})),
            Answer::json(201, json!({})),
        ]);
        go(&fake, &["backup", path]).await.unwrap();
        assert_eq!(fake.request().line(), "GET /api/v1/backup");
        let log = fake.request();
        assert_eq!(log.line(), "GET /api/v1/audit");
        assert!(log.head.contains("application/x-ndjson"), "{}", log.head);
        let download = fake.request();
        assert_eq!(download.line(), "GET /api/v1/boot/profiles/p/assets/k2");
        assert!(download.head.contains("authorization"), "people need a token where machines need none");
        // The second time nothing is fetched.
        go(&fake, &["backup", path]).await.unwrap();
        fake.request();
        fake.request();
        assert_eq!(fs::read_to_string(dir.join(LOG)).unwrap(), "{\"seq\":1}\n{\"seq\":2}\n");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(&dir), 0o700);
            assert_eq!(mode(&dir.join(FILE)), 0o600);
            assert_eq!(mode(&dir.join(LOG)), 0o600);
        }
        go(&fake, &["restore", path, "--yes", "--unsigned"]).await.unwrap();
        fake.request();
        fake.request();
        let restore = fake.request();
        assert_eq!(restore.line(), "POST /api/v1/restore?unsigned=true");
        assert_eq!(restore.json(), site);
        let upload = fake.request();
        assert_eq!(upload.line(), "PUT /api/v1/boot/profiles/p/assets/k2");
        assert_eq!(upload.body, bytes);
        assert_eq!(fake.count(), 9);
    }

    #[tokio::test]
    async fn wrong_bytes_and_wrong_names_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_str().unwrap();
        for wrong in [b"kernel bytez".as_slice(), b"kernel", b"kernel bytes and more"] {
            let fake = Fake::start(vec![
                Answer::json(200, site(b"kernel bytes")),
                Answer::bytes(b""),
                Answer::bytes(wrong),
            ]);
            let error = go(&fake, &["backup", path]).await.unwrap_err();
            assert!(format!("{error:#}").contains("not those that were named"), "{error:#}");
            assert_eq!(fs::read_dir(dir.path().join("blobs")).unwrap().count(), 0);
        }
        for (key, value) in [("file", "../x"), ("sha256", "../x")] {
            let mut bad = site(b"x");
            bad["profiles"][0]["assets"][0][key] = value.into();
            let fake = Fake::start(vec![Answer::json(200, bad)]);
            assert!(go(&fake, &["backup", path]).await.is_err());
        }
    }

    #[tokio::test]
    async fn restore_asks_first_and_misses_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_str().unwrap();
        let empty = || Answer::json(200, json!({"items": [], "next": null}));
        let fake = Fake::start(vec![empty(), empty()]);
        assert!(go(&fake, &["restore", path, "--yes"]).await.is_err(), "no backup there");
        fs::write(dir.path().join(FILE), site(b"x").to_string()).unwrap();
        let error = go(&fake, &["restore", path, "--yes"]).await.unwrap_err();
        assert!(format!("{error:#}").contains("--without-assets"), "{error:#}");
        assert_eq!(fake.count(), 0, "nothing is replaced when something is missing");
        use std::io::IsTerminal as _;
        if !std::io::stdin().is_terminal() {
            let error = go(&fake, &["restore", path, "--without-assets"]).await.unwrap_err().to_string();
            assert!(error.starts_with("nothing was changed; to go on: moxxie restore "), "{error}");
            assert!(error.ends_with(" --yes --without-assets"), "{error}");
            assert_eq!(fake.count(), 2, "it only looked");
        }
    }
}
