//! `moxxie secrets`: the keys that stored secrets are sealed with.

use crate::cli::ClientOptions;
use crate::cli::out::{self, Column, Format};
use crate::cli::progress::Bar;
use crate::cli::work;
use crate::firstrun::{KEY_FILE, new_key, replace};
use anyhow::{Context as _, bail};
use clap::Subcommand;
use moxxie_core::keyring::{KeyId, Keyring};
use moxxie_core::token::SiteKey;
use serde_json::{Value, json};
use std::path::Path;
use std::process::ExitCode;

const COLUMNS: &[Column] = &[
    ("KEY", "id"),
    ("CURRENT", "current"),
    ("SERVER HAS IT", "at_hand"),
    ("PROFILES", "profiles"),
    ("ASSIGNMENTS", "assignments"),
    ("OPEN BOOTS", "open_sessions"),
    ("RETIRED", "retired_at"),
    ("MAY BE REMOVED", "removable"),
];

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub enum SecretsCommand {
    /// Which keys are in use, and which are not needed any more.
    #[command(after_help = "Example:\n  moxxie secrets status")]
    Status,
    /// Write a new key into the secret-key file of this machine's data directory.
    #[command(after_help = "Example:
  moxxie secrets rotate
  moxxie secrets rotate --stage
  moxxie secrets rotate --to 1a2b3c4d

One server: rotate, restart it, `moxxie secrets reseal`. Once `moxxie secrets status` says that the
old key may be removed, delete its line.

Replicas must all know a key before one of them seals with it, so they take two rounds:
  1. rotate --stage on one; copy its secret-key file to the others; restart one after the other.
  2. rotate --to KEY on each; restart one after the other; then `moxxie secrets reseal` once.
With MOXXIE_SECRET_KEY the rounds are OLD,NEW and then NEW,OLD.")]
    Rotate {
        /// Add the new key below the current one: it is read with, and not used yet.
        #[arg(long, conflicts_with = "to")]
        stage: bool,
        /// Make no key; make this one, which is in the file, the current one.
        #[arg(long, value_name = "KEY")]
        to: Option<KeyId>,
    },
    /// Seal everything anew with the current key, and retire the others.
    #[command(after_help = "Example:\n  moxxie secrets reseal

It may be broken off and run again at any time.")]
    Reseal,
}

/// Runs `moxxie secrets …`.
pub async fn run(options: &ClientOptions, command: SecretsCommand) -> anyhow::Result<ExitCode> {
    match command {
        SecretsCommand::Status => status(options).await?,
        SecretsCommand::Rotate { stage, to } => rotate(options.data_dir(), stage, to)?,
        SecretsCommand::Reseal => reseal(options).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn status(options: &ClientOptions) -> anyhow::Result<()> {
    let status = options.client()?.get(&["api", "v1", "secrets"]).await?.body;
    if out::object(options.output, &status)? {
        return Ok(());
    }
    let keys = status["keys"].as_array().cloned().unwrap_or_default();
    out::list(Format::Table, &keys, COLUMNS)?;
    if let Some(waits) = waiting(options.data_dir(), &status) {
        out::note(waits);
    }
    if let Some(rows) = status["unsealed_rows"].as_i64().filter(|rows| *rows > 0) {
        out::note(format!("{rows} rows are not sealed; to seal them: moxxie secrets reseal"));
    }
    Ok(())
}

async fn reseal(options: &ClientOptions) -> anyhow::Result<()> {
    let client = options.client()?;
    let status = client.get(&["api", "v1", "secrets"]).await?.body;
    if let Some(waits) = waiting(options.data_dir(), &status) {
        bail!("nothing was sealed: {waits}");
    }
    let bar = Bar::new(options.output, "sealing", None);
    let done = work::post(&client, &["api", "v1", "secrets", "reseal"], &json!({}), &bar).await?;
    drop(bar);
    if !out::object(options.output, &done)? {
        let list = |key: &str| -> Vec<String> {
            done[key].as_array().into_iter().flatten().map(out::cell).collect()
        };
        out::line(format!("{} rows sealed anew with the key {}", done["rows"], out::cell(&done["key"])))?;
        for id in list("retired") {
            out::line(format!("the key {id} is retired; when its line may go: moxxie secrets status"))?;
        }
        for row in list("unreadable") {
            out::note(row);
        }
    }
    match done["unreadable"].as_array().map_or(0, Vec::len) {
        0 => Ok(()),
        rows => bail!("{rows} rows do not open, and no key was retired: write them anew or delete them"),
    }
}

/// What to do first when this machine's key file begins with another key than the server seals
/// with: it was written after the server started. A file that does not hold the server's key at
/// all belongs to another server, and says nothing about this one.
fn waiting(dir: &Path, status: &Value) -> Option<String> {
    let path = dir.join(KEY_FILE);
    let ring = Keyring::parse(&std::fs::read_to_string(&path).ok()?)?;
    let keys = status["keys"].as_array()?;
    let in_use = keys.iter().find(|key| key["current"] == true)?["id"].as_str()?;
    let first = KeyId::of(ring.current()).to_string();
    let holds = ring.all().any(|key| KeyId::of(key).to_string() == in_use);
    (first != in_use && holds).then(|| {
        format!(
            "{} begins with the key {first}, and the server still seals with {in_use}: restart the server, then: moxxie secrets reseal",
            path.display()
        )
    })
}

fn rotate(dir: &Path, stage: bool, to: Option<KeyId>) -> anyhow::Result<()> {
    let path = dir.join(KEY_FILE);
    let text = std::fs::read_to_string(&path).with_context(|| {
        format!(
            "cannot read {}: run this where the server's data directory is (--data-dir); keys in \
             MOXXIE_SECRET_KEY are changed where that is set: openssl rand -hex 32",
            path.display()
        )
    })?;
    if Keyring::parse(&text).is_none() {
        bail!("{} does not hold keys only; nothing was changed", path.display());
    }
    let (text, said) = match to {
        Some(id) => {
            let text =
                promoted(&text, id).with_context(|| format!("there is no key {id} in {}", path.display()))?;
            (text, format!("{id} is the current key after a restart; then: moxxie secrets reseal"))
        }
        None => {
            let key = new_key();
            let id = KeyId::of(&SiteKey::from_hex(&key).context("a new key cannot be read")?);
            let text = added(&text, &key, id, stage);
            let next = match stage {
                true => format!(
                    "copy the file to every replica and restart them; then: moxxie secrets rotate --to {id}"
                ),
                false => "restart the server; then: moxxie secrets reseal".into(),
            };
            (text, format!("new key {id}: {next}"))
        }
    };
    replace(&path, &text).with_context(|| format!("cannot write {}", path.display()))?;
    out::line(said)?;
    out::note(format!("keep a copy of {} elsewhere, and not with the backups", path.display()));
    Ok(())
}

fn key_of(line: &str) -> Option<KeyId> {
    SiteKey::from_hex(line).map(|key| KeyId::of(&key))
}

/// The file with one more key: as its first, or staged as its second.
fn added(text: &str, key: &str, id: KeyId, stage: bool) -> String {
    let new = [format!("# key {id}"), key.to_owned()];
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let first = lines.iter().position(|line| key_of(line).is_some());
    let at = if stage { first.map_or(lines.len(), |first| first + 1) } else { 0 };
    lines.splice(at..at, new);
    lines.join("\n")
}

/// The file with this key first, its comment with it; `None` when it is not there.
fn promoted(text: &str, id: KeyId) -> Option<String> {
    let mut lines: Vec<&str> = text.lines().collect();
    let at = lines.iter().position(|line| key_of(line) == Some(id))?;
    let from = if at > 0 && lines[at - 1].trim_start().starts_with("# key ") { at - 1 } else { at };
    let moved: Vec<&str> = lines.drain(from..=at).collect();
    lines.splice(0..0, moved);
    Some(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn ids(path: &Path) -> Vec<KeyId> {
        let ring = Keyring::parse(&std::fs::read_to_string(path).unwrap()).unwrap();
        ring.all().map(KeyId::of).collect()
    }

    #[test]
    fn a_new_key_comes_first_or_waits() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(KEY_FILE);
        assert!(rotate(dir.path(), false, None).is_err(), "no key is made where there is none");
        std::fs::write(&path, "0a".repeat(32)).unwrap();
        let first = ids(&path)[0];
        rotate(dir.path(), false, None).unwrap();
        let second = ids(&path)[0];
        assert_eq!(ids(&path), [second, first]);
        rotate(dir.path(), true, None).unwrap();
        let staged = ids(&path)[1];
        assert_eq!(ids(&path), [second, staged, first]);
        rotate(dir.path(), false, Some(staged)).unwrap();
        assert_eq!(ids(&path), [staged, second, first]);
        assert!(rotate(dir.path(), false, Some(KeyId::of(&SiteKey::new([1; 32])))).is_err());
        assert_eq!(ids(&path), [staged, second, first]);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        // Each line is told from the others by the comment above it.
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with(&format!("# key {staged}\n")), "{text}");
    }

    #[test]
    fn a_new_key_waits_for_the_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(KEY_FILE);
        let server = |id: KeyId| json!({"keys": [{"id": id.to_string(), "current": true}]});
        std::fs::write(&path, "0a".repeat(32)).unwrap();
        let old = ids(&path)[0];
        assert_eq!(waiting(dir.path(), &server(old)), None);
        rotate(dir.path(), true, None).unwrap();
        assert_eq!(waiting(dir.path(), &server(old)), None, "a staged key waits for its turn");
        rotate(dir.path(), false, None).unwrap();
        let waits = waiting(dir.path(), &server(old)).unwrap();
        assert!(waits.contains("restart the server") && waits.contains(&old.to_string()), "{waits}");
        assert_eq!(waiting(dir.path(), &server(ids(&path)[0])), None, "after the restart");
        let other = KeyId::of(&SiteKey::new([1; 32]));
        assert_eq!(waiting(dir.path(), &server(other)), None, "another server's folder");
        assert_eq!(waiting(&dir.path().join("none"), &server(old)), None);
    }

    #[test]
    fn a_file_that_is_not_understood_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(KEY_FILE);
        std::fs::write(&path, "garbage").unwrap();
        assert!(rotate(dir.path(), false, None).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "garbage");
    }
}
