//! `moxxie firmware`: the loaders that firmware fetches first.

mod fetch;
mod gather;
mod gzip;

use crate::cli::ClientOptions;
use crate::cli::client::{Client, ClientError};
use crate::cli::out::{self, Column, Format};
use anyhow::{Context as _, bail};
use clap::Subcommand;
use gather::Picked;
use moxxie_core::asset::Digest;
use moxxie_core::loader::WANTED;
use moxxie_core::name::LoaderName;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const FIRMWARE: [&str; 4] = ["api", "v1", "boot", "firmware"];

/// Where distributions put them: Debian and Ubuntu, Fedora and SUSE, Debian's signed shim.
const PLACES: [&str; 3] = ["/usr/lib/ipxe", "/usr/share/ipxe", "/usr/lib/shim"];

const COLUMNS: &[Column] = &[
    ("FILE", "file"),
    ("FOR", "for"),
    ("SIZE", "size"),
    ("VERSION", "version"),
    ("CONDITION", "condition"),
    ("SOURCE", "source"),
    ("SHA-256", "sha256"),
];

/// What to do with loaders.
#[derive(Debug, Subcommand)]
pub enum FirmwareCommand {
    /// List the loaders, and which machines lack one.
    #[command(after_help = "Example:\n  moxxie firmware list")]
    List {
        /// At most so many.
        #[arg(long, value_name = "N")]
        limit: Option<usize>,
    },
    /// Take loaders from this machine: from the distribution's packages, or from what is named.
    #[command(after_help = "Example:
  moxxie firmware import
  moxxie firmware import ./ipxeboot.tar.gz
  moxxie firmware import ./build/ipxe.efi

Without PATH: /usr/lib/ipxe, /usr/share/ipxe and /usr/lib/shim of the machine that runs this. Out of
folders and archives come the loaders that are known, under the names that DHCP configurations give
them; a file keeps its own name.")]
    Import {
        /// Files, folders or release archives (.tar.gz, .tar).
        #[arg(value_name = "PATH")]
        paths: Vec<PathBuf>,
    },
    /// Download a release archive of iPXE and take its loaders.
    Fetch(fetch::FetchArgs),
    /// Remove a loader.
    #[command(after_help = "Example:\n  moxxie firmware delete ipxe-i386.efi")]
    Delete {
        /// Its name.
        name: LoaderName,
    },
}

/// Runs `moxxie firmware …`.
pub async fn run(options: &ClientOptions, command: FirmwareCommand) -> anyhow::Result<ExitCode> {
    let client = options.client()?;
    match command {
        FirmwareCommand::List { limit } => {
            let items = client.list(&FIRMWARE, &[], limit).await?;
            // Of a part of the list nobody can say what is lacking.
            let lacking = if limit.is_none() { lacking(&items) } else { Vec::new() };
            list(options.output, &items, &lacking)?;
        }
        FirmwareCommand::Import { paths } => {
            let picked = tokio::task::spawn_blocking(move || found(&paths, &PLACES)).await??;
            put_all(&client, options.output, picked).await?;
        }
        FirmwareCommand::Fetch(args) => {
            let picked = fetch::fetch(options.output, args).await?;
            put_all(&client, options.output, picked).await?;
        }
        FirmwareCommand::Delete { name } => {
            client.call::<&str>(Method::DELETE, &path(&name), &[], None, None).await?;
            out::line(format!("{name}: deleted"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn path(name: &LoaderName) -> [&str; 5] {
    let [a, b, c, d] = FIRMWARE;
    [a, b, c, d, name.as_str()]
}

/// The machines that DHCP would send to a file that is not there.
fn lacking(items: &[Value]) -> Vec<Value> {
    let is_there = |file: &str| items.iter().any(|item| item["file"] == file);
    let lacking = WANTED.iter().filter(|(_, file, _)| !is_there(file));
    lacking
        .map(|(purpose, file, machines)| json!({ "for": purpose, "file": file, "machines": machines }))
        .collect()
}

fn list(format: Format, items: &[Value], lacking: &[Value]) -> anyhow::Result<()> {
    if out::object(format, &json!({ "items": items, "lacking": lacking }))? {
        return Ok(());
    }
    out::text(&out::table(items, COLUMNS))?;
    for kind in lacking {
        let [purpose, file, machines] = ["for", "file", "machines"].map(|key| out::cell(&kind[key]));
        out::line(format!("{purpose}: no {file}; {machines} cannot boot"))?;
    }
    if !lacking.is_empty() {
        out::note("next step: moxxie firmware import, or moxxie firmware fetch");
    }
    Ok(())
}

/// The loaders in what was named, else those in the distribution's places.
fn found(paths: &[PathBuf], places: &[&str]) -> anyhow::Result<Vec<Picked>> {
    let mut all: Vec<Picked> = Vec::new();
    for path in paths {
        for new in gather::named(path)? {
            if let Some(there) = all.iter().find(|there| there.name == new.name && there.bytes != new.bytes) {
                bail!("two files would be {}: {} and {}", new.name, there.source, new.source);
            }
            all.push(new);
        }
    }
    if paths.is_empty() {
        for place in places {
            all.extend(gather::folder(Path::new(place))?);
        }
    }
    if all.is_empty() {
        bail!(
            "no loader in {}: install the package ipxe (Fedora: ipxe-bootimgs-x86, ipxe-bootimgs-aarch64), \
             name a file, folder or archive, or run `moxxie firmware fetch`",
            places.join(", ")
        );
    }
    // The first place that has one wins.
    let mut seen = BTreeSet::new();
    all.retain(|new| seen.insert(new.name.clone()));
    Ok(all)
}

/// Puts loaders on the server's shelf, and says of each what became of it as it happens: one that
/// is refused does not take back those before it.
async fn put_all(client: &Client, format: Format, picked: Vec<Picked>) -> anyhow::Result<()> {
    let mut views = Vec::new();
    let done = put_each(client, picked, |view, line| {
        views.push(view);
        if format == Format::Table { out::line(line) } else { Ok(()) }
    })
    .await;
    if done.is_ok() || !views.is_empty() {
        out::object(format, &json!({ "items": views }))?;
    }
    done
}

/// One after the other, until one is refused. Those that are there already are not sent again.
async fn put_each(
    client: &Client,
    picked: Vec<Picked>,
    mut tell: impl FnMut(Value, String) -> io::Result<()>,
) -> anyhow::Result<()> {
    let there = client.list(&FIRMWARE, &[], None).await?;
    for new in picked {
        let digest = Digest(Sha256::digest(&new.bytes).into());
        let old = there.iter().find(|item| item["file"] == new.name.as_str());
        let same = old.filter(|item| item["sha256"] == digest.to_string() && item["condition"] == "stored");
        let (view, what) = match (same, old) {
            (Some(same), _) => (same.clone(), "is there already"),
            (None, old) => {
                let not_stored = || format!("{} ({}) was not stored", new.name, new.source);
                let view = put(client, &new, digest).await.with_context(not_stored)?;
                (view, if old.is_some() { "replaced" } else { "stored" })
            }
        };
        let version = view["version"].as_str().map_or(String::new(), |text| format!("  iPXE {text}"));
        let size = out::size(new.bytes.len() as u64);
        let line = format!("{}  {}{version}  {size}  {what}", new.name, out::cell(&view["for"]));
        tell(view, line)?;
    }
    Ok(())
}

async fn put(client: &Client, new: &Picked, digest: Digest) -> Result<Value, ClientError> {
    let query = [("source", new.source.as_str())];
    let response = client
        .send(|| {
            let request = client.authorized(Method::PUT, &path(&new.name), &query)?;
            let request = request.header("X-Content-SHA256", digest.to_string());
            Ok(request.header(CONTENT_TYPE, "application/octet-stream").body(new.bytes.clone()))
        })
        .await?;
    Ok(response.json().await.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::gather::tests::{BIOS, pe, release};
    use super::gzip::tests::packed;
    use super::*;
    use crate::cli::fake::{Answer, Fake};
    use crate::cli::{Cli, Command};
    use clap::Parser as _;

    async fn go(server: &str, args: &[&str]) -> anyhow::Result<ExitCode> {
        let all = [&["moxxie", "--server", server, "firmware"], args].concat();
        let cli = Cli::try_parse_from(all)?;
        let Command::Firmware(command) = cli.command else { panic!("not firmware") };
        run(&cli.options, command).await
    }

    fn nothing() -> Answer {
        Answer::json(200, json!({"items": [], "next": null}))
    }

    fn stored() -> Answer {
        Answer::json(201, json!({"for": "x64", "version": "2.0.0"}))
    }

    #[tokio::test]
    async fn import_sends_what_is_new() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path.display().to_string()
        };
        let (x64, bios) = (file("ipxe.efi", &pe(0x8664, 1)), file("undionly.kpxe", BIOS));
        let digest = Digest(Sha256::digest(BIOS).into());
        let there = json!({"file": "undionly.kpxe", "sha256": digest, "condition": "stored"});
        let fake = Fake::start(vec![
            Answer::json(200, json!({"items": [there], "next": null})),
            Answer::json(503, Value::Null).with("Retry-After: 0"),
            stored(),
        ]);
        go(&fake.url, &["import", &x64, &bios]).await.unwrap();
        assert_eq!(fake.request().line(), "GET /api/v1/boot/firmware?limit=500");
        fake.request();
        let request = fake.request();
        assert!(
            request.line().starts_with("PUT /api/v1/boot/firmware/ipxe.efi?source=%2F"),
            "{}",
            request.line()
        );
        assert!(request.head.to_ascii_lowercase().contains("x-content-sha256: "));
        assert_eq!(request.body, pe(0x8664, 1));
        assert_eq!(fake.count(), 3, "the other one is there");
    }

    #[tokio::test]
    async fn a_refused_name_ends_the_import_with_its_reason() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ipxe.efi");
        std::fs::write(&path, pe(0xaa64, 1)).unwrap();
        let why = json!({"title": "Unprocessable", "errors": [{"pointer": "/file", "message": "name it ipxe-arm64.efi"}]});
        let fake = Fake::start(vec![nothing(), Answer::json(422, why)]);
        let error = go(&fake.url, &["import", path.to_str().unwrap()]).await.unwrap_err();
        assert!(format!("{error:#}").contains("name it ipxe-arm64.efi"), "{error:#}");
    }

    #[tokio::test]
    async fn what_was_stored_is_told_although_the_next_is_refused() {
        let fake = Fake::start(vec![nothing(), stored(), Answer::json(507, Value::Null)]);
        let client = Client::new(&fake.url, None).unwrap();
        let loader = |name: &str, bytes: Vec<u8>| Picked {
            name: name.parse().unwrap(),
            bytes,
            source: "a test".to_owned(),
        };
        let picked = vec![loader("ipxe.efi", pe(0x8664, 1)), loader("undionly.kpxe", BIOS.to_vec())];
        let mut told = Vec::new();
        let done = put_each(&client, picked, |_, line| {
            told.push(line);
            Ok(())
        });
        let error = format!("{:#}", done.await.unwrap_err());
        assert!(error.starts_with("undionly.kpxe (a test) was not stored"), "{error}");
        assert_eq!(told, ["ipxe.efi  x64  iPXE 2.0.0  256 B  stored"]);
    }

    #[tokio::test]
    async fn fetch_takes_an_archive_whose_digest_is_right() {
        let archive = packed(&release());
        let digest = Digest(Sha256::digest(&archive).into()).to_string();
        let origin =
            Fake::start(vec![Answer::bytes(&archive), Answer::bytes(&archive), Answer::text(404, "no")]);
        let server = Fake::start((0..11).map(|n| if n == 0 { nothing() } else { stored() }).collect());
        let url = format!("{}/v9/ipxeboot.tar.gz?sig=hunter2", origin.url);
        let error = go(&server.url, &["fetch", "--url", &url]).await.unwrap_err();
        assert!(error.to_string().contains("needs --sha256"), "{error}");
        go(&server.url, &["fetch", "--url", &url, "--sha256", &digest]).await.unwrap();
        assert_eq!(server.count(), 11, "ten loaders");
        server.request();
        let request = server.request();
        assert!(request.line().contains("v9%2Fipxeboot.tar.gz%3A%20ipxeboot%2F"), "{}", request.line());
        assert!(!request.head.contains("hunter2"));
        let other = "0".repeat(64);
        let error = go(&server.url, &["fetch", "--url", &url, "--sha256", &other]).await.unwrap_err();
        assert!(error.to_string().contains("nothing was imported"), "{error}");
        let error = go(&server.url, &["fetch", "--url", &url, "--sha256", &digest]).await.unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains("404") && !error.contains("hunter2"), "{error}");
        assert_eq!(server.count(), 11);
    }

    #[test]
    fn who_lacks_a_loader_is_said() {
        let items = [json!({"file": "ipxe.efi"}), json!({"file": "undionly.kpxe"})];
        let lacking = lacking(&items);
        let files: Vec<&str> = lacking.iter().filter_map(|kind| kind["file"].as_str()).collect();
        assert_eq!(files, ["ipxe-i386.efi", "ipxe-arm64.efi"]);
        assert_eq!(lacking[1]["machines"], "UEFI arm64 machines");
    }

    #[test]
    fn the_distributions_places_are_looked_at_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let place = |name: &str, more: u8| {
            let folder = dir.path().join(name);
            std::fs::create_dir(&folder).unwrap();
            std::fs::write(folder.join("ipxe.efi"), pe(0x8664, more)).unwrap();
            folder.display().to_string()
        };
        let (one, two) = (place("one", 1), place("two", 2));
        let picked = found(&[], &["/nowhere", &one, &two]).unwrap();
        assert_eq!((picked.len(), picked[0].bytes[0xff]), (1, 1));
        let error = found(&[], &["/nowhere"]).unwrap_err().to_string();
        assert!(error.contains("moxxie firmware fetch"), "{error}");
        let both = [PathBuf::from(one), PathBuf::from(two)];
        assert!(found(&both, &[]).unwrap_err().to_string().contains("two files would be ipxe.efi"));
    }
}
