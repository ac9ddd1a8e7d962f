//! `moxxie bundle`: profiles and their files as one tar file, for sites that reach nothing else.
//!
//! The first entry, `moxxie-bundle.json`, says what the others are; each of them is called
//! `sha256/<digest>` and is there once. Nothing else is in it, and nothing else is taken.

mod export;
mod import;

use crate::cli::ClientOptions;
use crate::cli::backup::Entry;
use anyhow::{Context as _, bail, ensure};
use clap::Subcommand;
use moxxie_core::asset::Digest;
use moxxie_core::name::ProfileName;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

/// The name of the first entry.
const MANIFEST: &str = "moxxie-bundle.json";
/// The form that is written and read here.
const FORMAT: u32 = 1;
/// The largest list of contents that is read, in bytes.
const LARGEST_MANIFEST: u64 = 64 * 1024 * 1024;

/// What to do with bundles.
#[derive(Debug, Subcommand)]
pub enum BundleCommand {
    /// Write profiles and their files to one file.
    Export(export::ExportArgs),
    /// Bring a bundle's profiles and files to this server.
    Import(import::ImportArgs),
}

/// Runs `moxxie bundle …`.
pub async fn run(options: &ClientOptions, command: BundleCommand) -> anyhow::Result<ExitCode> {
    let client = options.client()?;
    match command {
        BundleCommand::Export(args) => export::run(&client, options.output, args).await?,
        BundleCommand::Import(args) => import::run(&client, options.output, args).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What a bundle holds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    format: u32,
    /// RFC 3339.
    created_at: String,
    /// As `moxxie export` has them.
    profiles: Vec<Value>,
    assets: Vec<Entry>,
}

impl Manifest {
    /// Reads a list of contents and refuses one that contradicts itself.
    fn read(bytes: &[u8]) -> anyhow::Result<Manifest> {
        let value: Value =
            serde_json::from_slice(bytes).with_context(|| format!("{MANIFEST} is not JSON"))?;
        match value["format"].as_u64() {
            Some(1) => {}
            Some(newer) => bail!("the bundle has format {newer}: it needs a newer moxxie"),
            None => bail!("{MANIFEST} names no format: this is no bundle"),
        }
        let manifest: Manifest =
            serde_json::from_value(value).with_context(|| format!("{MANIFEST} is damaged"))?;
        let mut names = BTreeSet::new();
        for profile in &manifest.profiles {
            let name: ProfileName = serde_json::from_value(profile["name"].clone())
                .with_context(|| format!("{MANIFEST}: a profile has no proper name"))?;
            ensure!(profile["kind"] == "profile", "{MANIFEST}: {name} is no profile");
            ensure!(names.insert(name.clone()), "{MANIFEST}: profile {name} stands twice in it");
        }
        let mut files = BTreeSet::new();
        let mut sizes = BTreeMap::new();
        for Entry { profile, file, sha256, size } in &manifest.assets {
            let said = format!("{MANIFEST}: {profile}/{file}");
            ensure!(names.contains(profile), "{said}: there is no such profile in it");
            ensure!(files.insert((profile, file)), "{said} stands twice in it");
            ensure!((1..=i64::MAX as u64).contains(size), "{said} has {size} bytes");
            ensure!(*sizes.entry(*sha256).or_insert(*size) == *size, "{said} has two sizes");
        }
        Ok(manifest)
    }

    /// The entries behind the first, and what size they have.
    fn blobs(&self) -> BTreeMap<Digest, &Entry> {
        self.assets.iter().map(|entry| (entry.sha256, entry)).collect()
    }
}

/// The name of the entry with these bytes.
fn entry_name(digest: &Digest) -> String {
    format!("sha256/{digest}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(manifest: Value) -> String {
        Manifest::read(manifest.to_string().as_bytes()).err().map_or("fine".into(), |e| format!("{e:#}"))
    }

    #[test]
    fn contents_that_contradict_themselves() {
        let asset = |file: &str, digit: &str, size: i64| json!({"profile": "p", "file": file, "sha256": digit.repeat(64), "size": size});
        let manifest = |profiles: Value, assets: Value| {
            read(json!({"format": 1, "created_at": "", "profiles": profiles, "assets": assets}))
        };
        let p = json!([{"kind": "profile", "name": "p"}]);
        assert_eq!(manifest(p.clone(), json!([asset("a", "1", 5), asset("b", "1", 5)])), "fine");
        for (profiles, assets, said) in [
            (json!([]), json!([asset("a", "1", 5)]), "no such profile"),
            (json!([{"kind": "profile", "name": "../p"}]), json!([]), "no proper name"),
            (json!([{"kind": "assignment", "name": "p"}]), json!([]), "is no profile"),
            (json!([p[0], p[0]]), json!([]), "profile p stands twice"),
            (p.clone(), json!([asset("a", "1", 5), asset("a", "2", 5)]), "p/a stands twice"),
            (p.clone(), json!([asset("a", "1", 5), asset("b", "1", 6)]), "two sizes"),
            (p.clone(), json!([asset("a", "1", 0)]), "has 0 bytes"),
            (p.clone(), json!([asset("a", "1", -1)]), "damaged"),
            (p.clone(), json!([asset("../a", "1", 1)]), "damaged"),
            (p.clone(), json!([asset("a", "x", 1)]), "damaged"),
        ] {
            let error = manifest(profiles, assets);
            assert!(error.contains(said), "{said}: {error}");
        }
        assert!(read(json!({"format": 2})).contains("newer moxxie"));
        assert!(read(json!({})).contains("no bundle"));
        assert!(Manifest::read(b"{").is_err());
    }
}
