//! `moxxie bundle export`.

use super::{FORMAT, MANIFEST, Manifest, entry_name};
use crate::cli::asset::shelf;
use crate::cli::backup::{self, Entry};
use crate::cli::client::Client;
use crate::cli::out::{self, Format};
use crate::cli::progress::Bar;
use crate::cli::when;
use anyhow::{Context as _, bail, ensure};
use moxxie_core::name::ProfileName;
use moxxie_core::secret::MASK;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The unit of a tar file, in bytes.
const BLOCK: usize = 512;

/// What to write.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  moxxie bundle export site.tar --profile talos-cp --profile talos-worker

With an admin's token it holds templates and parameters, secrets among them: keep it like a key.")]
pub struct ExportArgs {
    /// The file to write.
    file: PathBuf,
    /// This profile; may be repeated [default: all].
    #[arg(long, value_name = "NAME")]
    profile: Vec<ProfileName>,
}

/// Runs `moxxie bundle export`.
pub(super) async fn run(client: &Client, format: Format, args: ExportArgs) -> anyhow::Result<()> {
    let manifest = contents(client, &args.profile).await?;
    let mut part = args.file.clone().into_os_string();
    part.push(".part");
    let part = PathBuf::from(part);
    let written = write(client, format, &manifest, &part).await;
    let bytes = match written {
        Ok(bytes) => bytes,
        Err(error) => {
            let _ = fs::remove_file(&part);
            return Err(error);
        }
    };
    fs::rename(&part, &args.file).with_context(|| format!("cannot write {}", args.file.display()))?;
    if manifest.profiles.iter().any(|profile| profile.to_string().contains(MASK)) {
        out::note(
            "secrets are masked in it: only an admin's token exports profiles that can be imported again",
        );
    }
    let (profiles, blobs) = (manifest.profiles.len(), manifest.blobs().len());
    let answer = json!({"file": args.file, "profiles": profiles, "assets": manifest.assets, "bytes": bytes});
    if !out::object(format, &answer)? {
        out::line(format!(
            "{}: {profiles} profiles, {} files ({blobs} different, all verified), {}\nnext step: moxxie bundle import FILE --server URL-OF-THE-OTHER-SITE",
            args.file.display(),
            manifest.assets.len(),
            out::size(bytes),
        ))?;
    }
    Ok(())
}

/// What the bundle shall hold.
async fn contents(client: &Client, wanted: &[ProfileName]) -> anyhow::Result<Manifest> {
    let mut profiles = profiles(client).await?;
    for name in wanted {
        ensure!(
            profiles.iter().any(|profile| profile["name"] == name.as_str()),
            "there is no profile {name}"
        );
    }
    if !wanted.is_empty() {
        profiles.retain(|profile| wanted.iter().any(|name| profile["name"] == name.as_str()));
    }
    let mut assets = Vec::new();
    for profile in &profiles {
        let name = profile["name"].as_str().unwrap_or_default();
        for mut asset in client.list(&shelf(name), &[], None).await? {
            let entry = json!({"profile": name, "file": asset["file"].take(), "sha256": asset["sha256"].take(),
                "size": asset["size"].take()});
            let entry: Entry = serde_json::from_value(entry)
                .with_context(|| format!("the server names a file of {name} that cannot be"))?;
            assets.push(entry);
        }
    }
    let manifest = Manifest { format: FORMAT, created_at: when::now().to_string(), profiles, assets };
    Ok(manifest)
}

/// The server's profiles, as `moxxie export` has them.
pub(super) async fn profiles(client: &Client) -> anyhow::Result<Vec<Value>> {
    let mut reply = client.get(&["api", "v1", "boot", "export"]).await?.body;
    let Value::Array(mut items) = reply["items"].take() else { bail!("the server's answer has no items") };
    items.retain(|item| item["kind"] == "profile");
    Ok(items)
}

/// Writes the tar file; its length.
async fn write(client: &Client, format: Format, manifest: &Manifest, path: &Path) -> anyhow::Result<u64> {
    let context = || format!("cannot write {}", path.display());
    let mut file = backup::private_file(path).with_context(context)?;
    let text = serde_json::to_vec_pretty(manifest)?;
    begin(&mut file, MANIFEST, text.len() as u64).with_context(context)?;
    file.write_all(&text).with_context(context)?;
    end(&mut file, text.len() as u64).with_context(context)?;
    for entry in manifest.blobs().values() {
        let what = format!("{}/{}", entry.profile, entry.file);
        let bar = Bar::new(format, &format!("fetching {what}"), Some(entry.size));
        begin(&mut file, &entry_name(&entry.sha256), entry.size).with_context(context)?;
        backup::download(client, entry, &mut file, &bar).await.with_context(|| format!("asset {what}"))?;
        end(&mut file, entry.size).with_context(context)?;
    }
    // Two empty blocks are the end.
    file.write_all(&[0; 2 * BLOCK]).with_context(context)?;
    file.sync_all().with_context(context)?;
    Ok(file.metadata().with_context(context)?.len())
}

fn begin(file: &mut File, name: &str, size: u64) -> std::io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_path(name)?;
    header.set_size(size);
    header.set_mode(0o600);
    header.set_mtime(0);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_cksum();
    file.write_all(header.as_bytes())
}

/// Fills the last block of an entry.
fn end(file: &mut File, size: u64) -> std::io::Result<()> {
    let rest = (size % BLOCK as u64) as usize;
    file.write_all(&[0; BLOCK][..(BLOCK - rest) % BLOCK])
}
