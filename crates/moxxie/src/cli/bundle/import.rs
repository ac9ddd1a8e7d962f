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

    let announced: BTreeMap<String, (Digest, u64)> =
        manifest.blobs().iter().map(|(digest, entry)| (entry_name(digest), (*digest, entry.size))).collect();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::asset::Memory;
    use crate::cli::asset::fake::FakeShelf;
    use crate::cli::{Cli, Command};
    use clap::Parser as _;
    use sha2::{Digest as _, Sha256};

    async fn go(server: &str, args: &[&str]) -> anyhow::Result<()> {
        let all = [&["moxxie", "--server", server, "bundle"], args].concat();
        let cli = Cli::try_parse_from(all)?;
        let Command::Bundle(command) = cli.command else { panic!("not bundle") };
        crate::cli::bundle::run(&cli.options, command).await.map(drop)
    }

    fn hub() -> FakeShelf {
        let hub = FakeShelf::start();
        hub.state.lock().unwrap().profiles = vec![
            json!({"kind": "profile", "name": "p", "boot_params": "a"}),
            json!({"kind": "assignment", "mac_address": "52:54:00:12:34:56"}),
            json!({"kind": "profile", "name": "q", "boot_params": "b"}),
        ];
        hub.hold("p", "k", b"kernel");
        hub.hold("p", "i", &[5; 2000]);
        hub.hold("q", "k2", b"kernel");
        hub
    }

    #[tokio::test]
    async fn there_and_back_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("site.tar");
        let tar = path.to_str().unwrap();
        let hub = hub();
        go(&hub.url, &["export", tar]).await.unwrap();
        assert_eq!(
            hub.count("GET /api/v1/boot/profiles/p/assets/")
                + hub.count("GET /api/v1/boot/profiles/q/assets/"),
            2,
            "each once"
        );
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }

        let site = FakeShelf::start();
        go(&site.url, &["import", tar]).await.unwrap();
        assert_eq!(site.state.lock().unwrap().profiles.len(), 2, "no assignments");
        assert_eq!((site.bytes("p", "k"), site.bytes("p", "i").len()), (b"kernel".to_vec(), 2000));
        assert_eq!(site.bytes("q", "k2"), b"kernel");
        assert_eq!(site.count("PUT "), 2, "one only got another name");

        // Again: nothing is sent, no profile changed.
        go(&site.url, &["import", tar]).await.unwrap();
        assert_eq!((site.count("PUT "), site.count("POST /api/v1/boot/apply")), (2, 1));

        // A profile that says something else stays unless told otherwise.
        site.state.lock().unwrap().profiles[0]["boot_params"] = "mine".into();
        let error = go(&site.url, &["import", tar]).await.unwrap_err().to_string();
        assert!(error.contains("p (boot_params); --replace"), "{error}");
        assert_eq!(site.count("POST /api/v1/boot/apply"), 1);
        go(&site.url, &["import", tar, "--replace"]).await.unwrap();
        assert_eq!(site.state.lock().unwrap().profiles.iter().filter(|p| p["boot_params"] == "a").count(), 1);

        // Only some profiles.
        go(&hub.url, &["export", tar, "--profile", "q"]).await.unwrap();
        let other = FakeShelf::start();
        go(&other.url, &["import", tar]).await.unwrap();
        assert_eq!(other.state.lock().unwrap().labels.len(), 1);
        assert!(go(&hub.url, &["export", tar, "--profile", "nobody"]).await.is_err());
    }

    #[tokio::test]
    async fn large_files_of_a_bundle_can_be_resumed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("site.tar");
        let bytes: Vec<u8> = (0..300_000_u32).map(|n| (n / 7) as u8).collect();
        let hub = hub();
        hub.hold("p", "big", &bytes);
        go(&hub.url, &["export", path.to_str().unwrap()]).await.unwrap();
        let site = FakeShelf::start();
        site.state.lock().unwrap().cuts = [5, 100_000].into();
        let client = Client::new(&site.url, None).unwrap();
        let file = File::open(&path).unwrap();
        let (manifest, places) = check(&file, &Bar::new(Format::Json, "", None)).unwrap();
        let bundle = Bundle { manifest, file: Arc::new(file), places };
        let shelves = Shelves::hasty(&client, Memory::at(&dir.path().join("m")));
        bring(&shelves, &bundle, false).await.unwrap();
        assert!(site.bytes("p", "big") == bytes);
        assert_eq!(site.count("POST /api/v1/uploads"), 2, "this one and the one of 2000 bytes");
    }

    #[tokio::test]
    async fn wrong_bytes_make_no_bundle() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("site.tar");
        let hub = hub();
        let digest = Digest(Sha256::digest(b"kernel").into());
        hub.state.lock().unwrap().blobs.insert(digest, b"kernez".to_vec());
        let error = go(&hub.url, &["export", path.to_str().unwrap()]).await.unwrap_err();
        assert!(format!("{error:#}").contains("not those that were named"), "{error:#}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    /// An entry: kind, name, bytes, and the size that its header says.
    type Part<'a> = (u8, &'a str, &'a [u8], u64);

    fn tar(parts: &[Part<'_>]) -> Vec<u8> {
        let mut tar = Vec::new();
        for (kind, name, bytes, size) in parts {
            let mut header = tar::Header::new_gnu();
            // Past the checks of the library, as an attacker would.
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_size(*size);
            header.set_mode(0o600);
            header.set_entry_type(tar::EntryType::new(*kind));
            header.set_cksum();
            tar.extend_from_slice(header.as_bytes());
            tar.extend_from_slice(bytes);
            tar.resize(tar.len().next_multiple_of(512), 0);
        }
        tar.resize(tar.len() + 1024, 0);
        tar
    }

    #[test]
    fn hostile_bundles_are_refused_before_anything_is_sent() {
        let blob = b"kernel".as_slice();
        let digest = Digest(Sha256::digest(blob).into());
        let manifest = json!({"format": 1, "created_at": "", "profiles": [{"kind": "profile", "name": "p"}],
            "assets": [{"profile": "p", "file": "k", "sha256": digest, "size": 6}]})
        .to_string();
        let (list, name) = (manifest.as_bytes(), entry_name(&digest));
        let first: Part<'_> = (b'0', MANIFEST, list, list.len() as u64);
        let good: Part<'_> = (b'0', &name, blob, 6);
        let bar = Bar::new(Format::Json, "", None);
        let said = |bytes: &[u8]| match check(bytes, &bar) {
            Ok((manifest, places)) => format!("fine {} {}", manifest.assets.len(), places.len()),
            Err(error) => format!("{error:#}"),
        };
        assert_eq!(said(&tar(&[first, good])), "fine 1 1");

        let upper = name.to_uppercase();
        let dotted = format!("./{name}");
        let pax = b"12 size=999\n".as_slice();
        let long = vec![b'x'; 600];
        let cases: &[(&[Part<'_>], &str)] = &[
            (&[], "the file is empty"),
            (&[good, first], "does not begin with"),
            (&[(b'2', MANIFEST, b"", 0)], "no plain file"),
            (&[(b'0', MANIFEST, b"[]", 2)], "no bundle"),
            (&[(b'0', MANIFEST, b"{}", u64::MAX / 2)], "bytes"),
            (&[first], "lacks the bytes of p/k"),
            (&[first, good, good], "twice"),
            (&[first, first], "not in its list"),
            (&[first, (b'0', &name, b"kernez", 6)], "damaged"),
            (&[first, (b'0', &name, b"kernels", 7)], "7 bytes, not 6"),
            (&[first, (b'0', &name, b"kerne", 5)], "5 bytes, not 6"),
            (&[first, (b'0', &name, b"", u64::MAX - 100)], "size overflow"),
            (&[first, (b'0', "../../etc/passwd", blob, 6)], "not in its list"),
            (&[first, (b'0', "/etc/passwd", blob, 6)], "not in its list"),
            (&[first, (b'0', &upper, blob, 6)], "not in its list"),
            (&[first, (b'0', &dotted, blob, 6)], "not in its list"),
            (&[first, (b'1', &name, b"", 0)], "no plain file"),
            (&[first, (b'2', &name, b"", 0)], "no plain file"),
            (&[first, (b'3', &name, b"", 0)], "no plain file"),
            (&[first, (b'5', "sha256/", b"", 0)], "no plain file"),
            (&[first, (b'7', &name, blob, 6)], "no plain file"),
            (&[first, (b'S', &name, blob, 6)], "no plain file"),
            (&[first, (b'x', "PaxHeaders/k", pax, 12), good], "no plain file"),
            (&[first, (b'g', "pax_global_header", pax, 12), good], "no plain file"),
            (&[first, (b'L', "././@LongLink", &long, 600), good], "no plain file"),
            (&[(b'x', "PaxHeaders/k", pax, 12), first, good], "no plain file"),
        ];
        for (parts, expected) in cases {
            let error = said(&tar(parts));
            assert!(error.contains(expected), "{expected}: {error}");
        }

        // Cut off anywhere, or with a flipped bit anywhere: refused, or as good as before.
        let whole = tar(&[first, good]);
        let needed = whole.len() - 1024 - 506;
        for end in (0..needed).step_by(37) {
            assert!(!said(&whole[..end]).starts_with("fine"), "{end}");
        }
        for at in (0..whole.len()).step_by(11) {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x10;
            let _ = said(&flipped);
        }
        assert!(!said(b"\x1f\x8b\x08 a gzip file").starts_with("fine"));
    }

    #[test]
    fn what_is_read_is_kept() {
        let mut kept = Vec::new();
        let mut copied = Copied { from: b"some bytes".as_slice(), to: &mut kept };
        let mut read = Vec::new();
        copied.read_to_end(&mut read).unwrap();
        assert_eq!((read.as_slice(), kept.as_slice()), (b"some bytes".as_slice(), b"some bytes".as_slice()));
    }
}
