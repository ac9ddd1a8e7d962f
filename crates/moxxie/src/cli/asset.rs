//! `moxxie asset`: kernels, initrds and other files of a profile.

use crate::cli::ClientOptions;
use crate::cli::client::{Client, ClientError, Reply};
use crate::cli::out::{self, Column};
use anyhow::Context as _;
use clap::Subcommand;
use futures_util::StreamExt as _;
use moxxie_core::asset::Digest;
use moxxie_core::name::{FileName, ProfileName};
use reqwest::Method;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio_util::io::ReaderStream;

const COLUMNS: &[Column] =
    &[("FILE", "file"), ("SIZE", "size"), ("SHA-256", "sha256"), ("CREATED", "created_at")];

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
    /// Let the server fetch a file from a URL.
    #[command(
        after_help = "Example:\n  moxxie asset import talos-cp https://example.org/vmlinuz --sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )]
    Import {
        /// The profile.
        profile: ProfileName,
        /// Where it is.
        url: url::Url,
        /// The SHA-256 that it must have [default: whatever comes is taken].
        #[arg(long, value_name = "HEX")]
        sha256: Option<Digest>,
        /// Its name on the server [default: the last part of the URL].
        #[arg(long = "as", value_name = "NAME")]
        name: Option<FileName>,
    },
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
    match command {
        AssetCommand::List { profile, limit } => {
            let items = client.list(&shelf(profile.as_str()), &[], limit).await?;
            out::list(options.output, &items, COLUMNS)?;
        }
        AssetCommand::Upload { profile, file, name } => {
            let name = match name {
                Some(name) => name,
                None => file
                    .file_name()
                    .and_then(|name| name.to_str())
                    .unwrap_or_default()
                    .parse()
                    .with_context(|| format!("{}: give it a name with --as", file.display()))?,
            };
            let (digest, size) = measure(&file)?;
            let reply = upload(&client, profile.as_str(), name.as_str(), &file, digest, size).await?;
            done(options, &reply.body, &format!("{profile}/{name}"), digest, Some(size))?;
        }
        AssetCommand::Import { profile, url, sha256, name } => {
            let name: FileName = match name {
                Some(name) => name,
                None => url
                    .path_segments()
                    .and_then(Iterator::last)
                    .unwrap_or_default()
                    .parse()
                    .with_context(|| format!("{url}: give it a name with --as"))?,
            };
            let wanted = sha256.map(|digest| digest.to_string());
            let body = json!({ "url": url.as_str(), "sha256": wanted, "file": name.as_str() });
            let path = shelf(profile.as_str());
            // The server answers when it has the file, which takes as long as it takes.
            let response =
                client.send(|| Ok(client.authorized::<&str>(Method::POST, &path, &[])?.json(&body))).await?;
            let made: Value = response.json().await.unwrap_or_default();
            let got = made["sha256"].as_str().and_then(|digest| digest.parse().ok()).or(sha256);
            let got: Digest = got.context("the server does not say which bytes it stored")?;
            done(options, &made, &format!("{profile}/{name}"), got, made["size"].as_u64())?;
            if sha256.is_none() {
                out::note(format!(
                    "nothing said which bytes to expect: compare this digest with the publisher's, and next time pass --sha256 {got}"
                ));
            }
        }
        AssetCommand::Delete { profile, name } => {
            let path = file_path(profile.as_str(), name.as_str());
            client.call::<&str>(Method::DELETE, &path, &[], None, None).await?;
            out::line(format!("{profile}/{name}: deleted"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The path of a profile's assets.
fn shelf(profile: &str) -> [&str; 6] {
    ["api", "v1", "boot", "profiles", profile, "assets"]
}

fn file_path<'a>(profile: &'a str, file: &'a str) -> [&'a str; 7] {
    ["api", "v1", "boot", "profiles", profile, "assets", file]
}

fn done(
    options: &ClientOptions,
    made: &Value,
    name: &str,
    digest: Digest,
    bytes: Option<u64>,
) -> anyhow::Result<()> {
    if !out::object(options.output, made)? {
        let bytes = bytes.map_or(String::new(), |n| format!("  {n} bytes ({})", out::size(n)));
        out::line(format!("{name}  sha256 {digest}{bytes}"))?;
    }
    Ok(())
}

/// Digest and size of a file.
pub(crate) fn measure(path: &Path) -> anyhow::Result<(Digest, u64)> {
    let context = || format!("cannot read {}", path.display());
    let mut file = File::open(path).with_context(context)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut size = 0;
    loop {
        let n = file.read(&mut buffer).with_context(context)?;
        if n == 0 {
            return Ok((Digest(hash.finalize().into()), size));
        }
        hash.update(&buffer[..n]);
        size += n as u64;
    }
}

/// Uploads a file whose digest and size are known; the server refuses anything else.
pub(crate) async fn upload(
    client: &Client,
    profile: &str,
    name: &str,
    file: &Path,
    digest: Digest,
    size: u64,
) -> Result<Reply, ClientError> {
    let path = file_path(profile, name);
    let response = client
        .send(|| {
            let source = File::open(file)
                .map_err(|e| ClientError::Usage(format!("cannot read {}: {e}", file.display())))?;
            let mut progress = out::Progress::new(name, size);
            let mut sent = 0;
            let chunks = ReaderStream::with_capacity(tokio::fs::File::from_std(source), 256 * 1024).inspect(
                move |chunk| {
                    sent += chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
                    progress.at(sent);
                },
            );
            Ok(client
                .authorized::<&str>(Method::PUT, &path, &[])?
                .header(CONTENT_TYPE, "application/octet-stream")
                .header(CONTENT_LENGTH, size)
                .header("X-Content-SHA256", digest.to_string())
                .body(reqwest::Body::wrap_stream(chunks)))
        })
        .await?;
    Ok(Reply { body: response.json().await.unwrap_or_default(), etag: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fake::{Answer, Fake};
    use crate::cli::{Cli, Command};
    use clap::Parser as _;

    async fn go(fake: &Fake, args: &[&str]) -> anyhow::Result<ExitCode> {
        let all = [&["moxxie", "--server", &fake.url, "asset"], args].concat();
        let cli = Cli::try_parse_from(all)?;
        let Command::Asset(command) = cli.command else { panic!("not asset") };
        run(&cli.options, command).await
    }

    #[tokio::test]
    async fn uploads_stream_with_length_and_digest_and_start_over_when_busy() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("vmlinuz");
        let bytes: Vec<u8> = (0..700_000_u32).map(|n| n as u8).collect();
        std::fs::write(&file, &bytes).unwrap();
        let fake = Fake::start(vec![
            Answer::json(503, Value::Null).with("Retry-After: 0"),
            Answer::json(201, json!({"file": "k"})),
        ]);
        go(&fake, &["upload", "p", file.to_str().unwrap(), "--as", "k"]).await.unwrap();
        fake.request();
        let request = fake.request();
        assert_eq!(request.line(), "PUT /api/v1/boot/profiles/p/assets/k");
        assert!(request.body == bytes);
        let head = request.head.to_ascii_lowercase();
        assert!(head.contains("content-length: 700000\r\n") && !head.contains("chunked"), "{head}");
        let digest = Digest(Sha256::digest(&bytes).into());
        assert!(head.contains(&format!("x-content-sha256: {digest}\r\n")), "{head}");
    }

    #[tokio::test]
    async fn imports_name_the_file() {
        let digest = "ab".repeat(32);
        let fake = Fake::start(vec![
            Answer::json(201, json!({"size": 5})),
            Answer::json(201, json!({"size": 5, "sha256": digest})),
            Answer::json(201, json!({"size": 5})),
        ]);
        go(&fake, &["import", "p", "https://x.example/a/vmlinuz?v=1", "--sha256", &digest]).await.unwrap();
        assert_eq!(
            fake.request().json(),
            json!({"url": "https://x.example/a/vmlinuz?v=1", "sha256": digest, "file": "vmlinuz"})
        );
        // Without a digest the server's word counts, and there has to be one.
        go(&fake, &["import", "p", "https://x.example/vmlinuz"]).await.unwrap();
        assert_eq!(fake.request().json()["sha256"], Value::Null);
        assert!(go(&fake, &["import", "p", "https://x.example/vmlinuz"]).await.is_err());
        assert!(go(&fake, &["import", "p", "https://x.example/", "--sha256", &digest]).await.is_err());
        assert!(go(&fake, &["import", "p", "https://x.example/k", "--sha256", "abc"]).await.is_err());
        assert!(go(&fake, &["upload", "p", "/nonexistent/vmlinuz"]).await.is_err());
    }
}
