//! `moxxie asset`: kernels, initrds and other files of a profile.

mod downloads;
#[cfg(test)]
pub(crate) mod fake;
mod fetch;
mod image;
mod import;
mod memory;
mod source;
mod upload;

#[cfg(test)]
pub(crate) use memory::Memory;
pub(crate) use source::{Source, holds, measure};
pub(crate) use upload::Shelves;

use crate::cli::ClientOptions;
use crate::cli::client::ClientError;
use crate::cli::out::{self, Column, Format};
use anyhow::Context as _;
use clap::Subcommand;
use moxxie_core::asset::Digest;
use moxxie_core::name::{FileName, ProfileName};
use reqwest::Method;
use serde_json::Value;
use std::path::PathBuf;
use std::process::ExitCode;

const COLUMNS: &[Column] = &[
    ("FILE", "file"),
    ("SIZE", "size"),
    ("CONDITION", "condition"),
    ("SHA-256", "sha256"),
    ("CREATED", "created_at"),
];

/// What to do with assets.
#[derive(Debug, Subcommand)]
pub enum AssetCommand {
    /// List a profile's files.
    #[command(after_help = "Example:\n  moxxie asset list talos-cp")]
    List {
        /// The profile.
        profile: ProfileName,
        /// At most so many.
        #[arg(long, value_name = "N")]
        limit: Option<usize>,
    },
    /// Upload a file; what is there under its name is replaced.
    #[command(after_help = "Example:\n  moxxie asset upload talos-cp ./vmlinuz-amd64 --as vmlinuz")]
    Upload {
        /// The profile.
        profile: ProfileName,
        /// The file.
        file: PathBuf,
        /// Its name on the server [default: its own].
        #[arg(long = "as", value_name = "NAME")]
        name: Option<FileName>,
    },
    /// Fetch a file from a URL, or take what boots out of an installation image.
    Import(import::ImportArgs),
    /// Fetch the network boot files that a system's makers publish.
    #[command(subcommand)]
    Fetch(fetch::FetchCommand),
    /// Downloads that run now.
    Downloads(downloads::DownloadsArgs),
    /// Remove a file.
    #[command(after_help = "Example:\n  moxxie asset delete talos-cp vmlinuz")]
    Delete {
        /// The profile.
        profile: ProfileName,
        /// The file's name.
        name: FileName,
    },
}

/// Runs `moxxie asset …`.
pub async fn run(options: &ClientOptions, command: AssetCommand) -> anyhow::Result<ExitCode> {
    let client = options.client()?;
    let shelves = Shelves::new(&client, options.output);
    match command {
        AssetCommand::List { profile, limit } => {
            let items = client.list(&shelf(profile.as_str()), &[], limit).await?;
            out::list(options.output, &items, COLUMNS)?;
        }
        AssetCommand::Upload { profile, file, name } => {
            let name = name_of(name, file.file_name().and_then(|name| name.to_str()))?;
            let source = Source::open(&file, options.output)?;
            let view = shelves.put(profile.as_str(), name.as_str(), &source).await?;
            done(options.output, profile.as_str(), name.as_str(), &view, Some(&source))?;
        }
        AssetCommand::Import(args) => import::run(&shelves, args).await?,
        AssetCommand::Fetch(command) => fetch::run(&shelves, command).await?,
        AssetCommand::Downloads(args) => downloads::run(&client, options.output, args).await?,
        AssetCommand::Delete { profile, name } => {
            let path = file_path(profile.as_str(), name.as_str());
            client.call::<&str>(Method::DELETE, &path, &[], None, None).await?;
            out::line(format!("{profile}/{name}: deleted"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The path of a profile's assets.
pub(crate) fn shelf(profile: &str) -> [&str; 6] {
    ["api", "v1", "boot", "profiles", profile, "assets"]
}

fn file_path<'a>(profile: &'a str, file: &'a str) -> [&'a str; 7] {
    ["api", "v1", "boot", "profiles", profile, "assets", file]
}

/// The name a file shall have on the server: the one given, else its own.
fn name_of(given: Option<FileName>, own: Option<&str>) -> Result<FileName, ClientError> {
    let own = own.unwrap_or_default();
    given.map_or_else(
        || own.parse().map_err(|e| ClientError::Usage(format!("{own:?}: give it a name with --as ({e})"))),
        Ok,
    )
}

/// Says what is on the shelf now: the API's view of it, or the line for people.
fn done(
    format: Format,
    profile: &str,
    name: &str,
    view: &Value,
    source: Option<&Source>,
) -> anyhow::Result<()> {
    if !out::object(format, view)? {
        out::line(sentence(profile, name, view, source)?)?;
    }
    Ok(())
}

/// `talos-cp/vmlinuz  sha256 e3b0…  18874368 bytes (18.0 MiB)`
fn sentence(profile: &str, name: &str, view: &Value, source: Option<&Source>) -> anyhow::Result<String> {
    let digest = match source {
        Some(source) => source.sha256,
        None => digest(view)?,
    };
    let bytes = source.map(|source| source.size).or(view["size"].as_u64());
    let bytes = bytes.map_or(String::new(), |n| format!("  {n} bytes ({})", out::size(n)));
    Ok(format!("{profile}/{name}  sha256 {digest}{bytes}"))
}

/// The digest of a file, as the server says.
fn digest(view: &Value) -> anyhow::Result<Digest> {
    let digest = view["sha256"].as_str().and_then(|digest| digest.parse().ok());
    digest.context("the server does not say which bytes it stored")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::cli::fake::{Answer, Fake};
    use crate::cli::{Cli, Command};
    use clap::Parser as _;
    use serde_json::json;
    use sha2::{Digest as _, Sha256};

    pub(crate) async fn go(server: &str, args: &[&str]) -> anyhow::Result<ExitCode> {
        let all = [&["moxxie", "--server", server, "asset"], args].concat();
        let cli = Cli::try_parse_from(all)?;
        let Command::Asset(command) = cli.command else { panic!("not asset") };
        run(&cli.options, command).await
    }

    #[tokio::test]
    async fn small_uploads_stream_with_length_and_digest_and_start_over_when_busy() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("vmlinuz");
        let bytes: Vec<u8> = (0..700_000_u32).map(|n| n as u8).collect();
        std::fs::write(&file, &bytes).unwrap();
        let fake = Fake::start(vec![
            Answer::json(503, Value::Null).with("Retry-After: 0"),
            Answer::json(201, json!({"file": "k"})),
        ]);
        go(&fake.url, &["upload", "p", file.to_str().unwrap(), "--as", "k"]).await.unwrap();
        fake.request();
        let request = fake.request();
        assert_eq!(request.line(), "PUT /api/v1/boot/profiles/p/assets/k");
        assert!(request.body == bytes);
        let head = request.head.to_ascii_lowercase();
        assert!(head.contains("content-length: 700000\r\n") && !head.contains("chunked"), "{head}");
        let digest = Digest(Sha256::digest(&bytes).into());
        assert!(head.contains(&format!("x-content-sha256: {digest}\r\n")), "{head}");
        assert!(go(&fake.url, &["upload", "p", "/nonexistent/vmlinuz"]).await.is_err());
        assert!(go(&fake.url, &["upload", "p", dir.path().to_str().unwrap(), "--as", "k"]).await.is_err());
        assert_eq!(fake.count(), 2);
    }
}
