//! `moxxie bundle import`.
//!
//! The whole bundle is read once before anything is sent: what is not exactly what its list of
//! contents says is refused. Then the files are sent from where they lie in the bundle.

use super::export::profiles;
use super::{LARGEST_MANIFEST, MANIFEST, Manifest, entry_name};
use crate::cli::asset::{Shelves, Source, measure};
use crate::cli::backup;
use crate::cli::client::Client;
use crate::cli::out::{self, Format};
use crate::cli::progress::Bar;
use anyhow::{Context as _, bail, ensure};
use moxxie_core::asset::Digest;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What to bring.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  moxxie bundle import site.tar
  ssh hub cat site.tar | moxxie bundle import -

Files that the server has already are not sent again, so this can be repeated. What comes from
standard input is kept in $TMPDIR meanwhile.")]
pub struct ImportArgs {
    /// The bundle; '-' reads standard input.
    file: PathBuf,
    /// Profiles of the same name that differ become those of the bundle.
    #[arg(long)]
    replace: bool,
}

/// A bundle that was read and found good.
#[derive(Debug)]
struct Bundle {
    manifest: Manifest,
    file: Arc<File>,
    /// Where in the file the bytes of each digest begin.
    places: BTreeMap<Digest, u64>,
}

/// Runs `moxxie bundle import`.
pub(super) async fn run(client: &Client, format: Format, args: ImportArgs) -> anyhow::Result<()> {
    let bundle = match args.file == Path::new("-") {
        true => from_stdin(format)?,
        false => {
            let context = || format!("cannot read {}", args.file.display());
            let file = File::open(&args.file).with_context(context)?;
            let size = file.metadata().with_context(context)?.len();
            let bar = Bar::new(format, "checking the bundle", Some(size));
            let (manifest, places) = check(BufReader::new(&file), &bar).with_context(context)?;
            Bundle { manifest, file: Arc::new(file), places }
        }
    };
    bring(&Shelves::new(client, format), &bundle, args.replace).await
}

/// Reads standard input, and keeps it as far as it is good in a file that has no name.
fn from_stdin(format: Format) -> anyhow::Result<Bundle> {
    let path = std::env::temp_dir().join(format!("moxxie-bundle-{}", crate::clock::new_id()));
    let context = || format!("cannot keep standard input in {}", path.display());
    backup::private_file(&path).with_context(context)?;
    let opened = File::options().read(true).write(true).open(&path);
    std::fs::remove_file(&path).with_context(context)?;
    let file = opened.with_context(context)?;
    let bar = Bar::new(format, "reading the bundle", None);
    let copy = Copied { from: io::stdin().lock(), to: &file };
    let (manifest, places) = check(BufReader::new(copy), &bar).context("standard input")?;
    Ok(Bundle { manifest, file: Arc::new(file), places })
}

/// What is read from the one is written to the other.
struct Copied<R, W> {
    from: R,
    to: W,
}

impl<R: Read, W: Write> Read for Copied<R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.from.read(buffer)?;
        self.to.write_all(&buffer[..n])?;
        Ok(n)
    }
}

/// Reads a bundle to its end and says where everything is. Headers are taken as they are: what
/// would give the next entry another name, size or kind is an entry that nobody announced.
fn check(bundle: impl Read, bar: &Bar) -> anyhow::Result<(Manifest, BTreeMap<Digest, u64>)> {
    let mut archive = tar::Archive::new(bundle);
    let mut entries = archive.entries().context("this is no tar file")?.raw(true);
    let mut next = || -> anyhow::Result<Option<_>> {
        let Some(entry) = entries.next() else { return Ok(None) };
        let entry = entry.context("the tar file is damaged or cut off")?;
        let header = entry.header();
        let name = String::from_utf8_lossy(&header.path_bytes()).into_owned();
        ensure!(
            header.entry_type() == tar::EntryType::Regular,
            "{:?} is no plain file: nothing else belongs in a bundle",
            out::one_line(&name)
        );
        Ok(Some((name, entry)))
    };

    let (name, mut first) = next()?.context("the file is empty")?;
    ensure!(name == MANIFEST, "it does not begin with {MANIFEST}: this is no bundle");
    let size = first.header().entry_size()?;
    ensure!(size <= LARGEST_MANIFEST, "{MANIFEST} has {size} bytes");
    let mut text = Vec::new();
    first.read_to_end(&mut text)?;
    ensure!(text.len() as u64 == size, "the bundle is cut off");
    let manifest = Manifest::read(&text)?;

    let announced: BTreeMap<String, (Digest, u64)> = manifest
        .blobs()
        .iter()
        .map(|(digest, entry)| (entry_name(digest), (*digest, entry.size)))
        .collect();
    let mut places = BTreeMap::new();
    while let Some((name, entry)) = next()? {
        let Some((digest, size)) = announced.get(&name) else {
            bail!("{:?} is in the bundle, but not in its list of contents", out::one_line(&name));
        };
        let has = entry.header().entry_size()?;
        ensure!(has == *size, "{name} has {has} bytes, not {size} as announced");
        let start = entry.raw_file_position();
        ensure!(places.insert(*digest, start).is_none(), "{name} is in the bundle twice");
        let (found, read) = measure(entry, |done| bar.at(start + done))?;
        ensure!(read == *size, "the bundle is cut off in {name}");
        ensure!(found == *digest, "{name} is damaged: its SHA-256 is {found}");
    }
    if let Some(entry) = manifest.assets.iter().find(|entry| !places.contains_key(&entry.sha256)) {
        bail!("the bundle lacks the bytes of {}/{}", entry.profile, entry.file);
    }
    Ok((manifest, places))
}

/// What the server has to hear of the bundle's profiles.
#[derive(Debug, Default, PartialEq)]
struct Plan<'a> {
    new: Vec<&'a Value>,
    changed: Vec<(&'a Value, Vec<String>)>,
}

fn plan<'a>(bundle: &'a [Value], there: &[Value]) -> Plan<'a> {
    let mut plan = Plan::default();
    for profile in bundle {
        match there.iter().find(|there| there["name"] == profile["name"]) {
            None => plan.new.push(profile),
            Some(there) if there == profile => {}
            Some(there) => {
                let keys = |value: &Value| value.as_object().cloned().unwrap_or_default();
                let (mine, its) = (keys(profile), keys(there));
                let mut differ: Vec<String> =
                    mine.keys().chain(its.keys()).filter(|k| mine.get(*k) != its.get(*k)).cloned().collect();
                differ.sort();
                differ.dedup();
                plan.changed.push((profile, differ));
            }
        }
    }
    plan
}

/// Brings a bundle's profiles and files to the server.
async fn bring(shelves: &Shelves<'_>, bundle: &Bundle, replace: bool) -> anyhow::Result<()> {
    let client = shelves.client;
    let there = profiles(client).await?;
    let plan = plan(&bundle.manifest.profiles, &there);
    if !replace && !plan.changed.is_empty() {
        let list: Vec<String> = plan
            .changed
            .iter()
            .map(|(profile, fields)| format!("{} ({})", out::cell(&profile["name"]), fields.join(", ")))
            .collect();
        bail!(
            "nothing was changed: these profiles say something else here: {}; --replace takes the bundle's",
            list.join("; ")
        );
    }
    // New profiles first, as files need a shelf; changed ones last, when their files are there.
    apply(client, &plan.new).await?;
    let (mut sent, mut had) = (0_usize, 0_usize);
    for entry in &bundle.manifest.assets {
        let (profile, file) = (entry.profile.as_str(), entry.file.as_str());
        let place = bundle.places.get(&entry.sha256).copied().context("a place is missing")?;
        let source = Source::part(Arc::clone(&bundle.file), place, entry.size, entry.sha256);
        let not_stored = || format!("{profile}/{file} was not stored; repeat this to go on");
        match shelves.label(profile, file, &source).await.with_context(not_stored)? {
            Some(_) => had += 1,
            None => {
                shelves.send(profile, file, &source).await.with_context(not_stored)?;
                sent += 1;
            }
        }
    }
    let changed: Vec<&Value> = plan.changed.iter().map(|(profile, _)| *profile).collect();
    apply(client, &changed).await?;
    let same = bundle.manifest.profiles.len() - plan.new.len() - changed.len();
    let answer = json!({
        "profiles": {"created": plan.new.len(), "replaced": changed.len(), "unchanged": same},
        "files": {"sent": sent, "there": had},
    });
    if !out::object(shelves.format, &answer)? {
        out::line(format!(
            "profiles: {} created, {} replaced, {same} unchanged; files: {sent} sent, {had} known to the server already",
            plan.new.len(),
            changed.len(),
        ))?;
    }
    Ok(())
}

async fn apply(client: &Client, profiles: &[&Value]) -> anyhow::Result<()> {
    if !profiles.is_empty() {
        let body = json!({ "items": profiles });
        client.call::<&str>(Method::POST, &["api", "v1", "boot", "apply"], &[], None, Some(&body)).await?;
    }
    Ok(())
}
