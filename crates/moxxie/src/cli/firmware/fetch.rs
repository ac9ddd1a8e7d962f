//! `moxxie firmware fetch`: a release archive from where its makers publish it. This program
//! downloads it, not the server.

use super::gather::{self, LARGEST_ARCHIVE, Picked};
use crate::cli::client::{ClientError, STALL};
use crate::cli::out::{self, Format};
use crate::cli::progress::Bar;
use anyhow::{Context as _, ensure};
use moxxie_core::asset::Digest;
use reqwest::redirect::Policy;
use sha2::{Digest as _, Sha256};
use std::time::Duration;
use url::Url;

/// iPXE 2.0.0, the first release with binaries. Its digest as several public projects have pinned
/// it independently of each other; iPXE itself publishes none.
const RELEASE: &str = "https://github.com/ipxe/ipxe/releases/download/v2.0.0/ipxeboot.tar.gz";
const RELEASE_SHA256: &str = "01a526d4cc791fc30362259c609d6c506cc64a7bdff51b9a5eb788354e17eee1";
/// GitHub leads to another host once.
const REDIRECTS: usize = 5;

/// From where.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  moxxie firmware fetch
  moxxie firmware fetch --url https://boot.example/ipxeboot.tar.gz --sha256 01a526d4cc791fc30362259c609d6c506cc64a7bdff51b9a5eb788354e17eee1

Without --url: iPXE 2.0.0, checked against a digest in this program. Where this machine has no way
out, download it elsewhere and give the file to `moxxie firmware import`.")]
pub struct FetchArgs {
    /// The archive [default: iPXE 2.0.0 on GitHub].
    #[arg(long, value_name = "URL")]
    url: Option<Url>,
    /// What the archive's SHA-256 must be; needed with http://.
    #[arg(long, value_name = "HEX")]
    sha256: Option<Digest>,
}

/// Downloads an archive and takes the loaders out.
pub(super) async fn fetch(format: Format, args: FetchArgs) -> anyhow::Result<Vec<Picked>> {
    let usage = |why: &str| ClientError::Usage(why.to_owned());
    let (url, wanted) = match (args.url, args.sha256) {
        (None, wanted) => {
            let pinned = RELEASE_SHA256.parse().map_err(usage)?;
            (Url::parse(RELEASE)?, Some(wanted.unwrap_or(pinned)))
        }
        (Some(url), wanted) => (url, wanted),
    };
    match url.scheme() {
        "https" => {}
        "http" if wanted.is_some() => {}
        "http" => {
            return Err(
                usage("--url: http:// needs --sha256, or anybody on the way decides what boots").into()
            );
        }
        _ => return Err(usage("--url: an https:// or http:// URL").into()),
    }
    let shown = without_secrets(&url);
    let bytes = download(format, url, &shown).await.with_context(|| format!("{shown} was not fetched"))?;
    let found = Digest(Sha256::digest(&bytes).into());
    match wanted {
        Some(wanted) => {
            ensure!(wanted == found, "{shown} has SHA-256 {found}, not {wanted}: nothing was imported")
        }
        None => out::note(format!("{shown} has SHA-256 {found}; give it with --sha256 the next time")),
    }
    gather::archive(&bytes, &shown)
}

async fn download(format: Format, url: Url, shown: &str) -> anyhow::Result<Vec<u8>> {
    let secure = url.scheme() == "https";
    let policy = Policy::custom(move |attempt| {
        if attempt.previous().len() > REDIRECTS {
            attempt.error("too many redirects")
        } else if secure && attempt.url().scheme() != "https" {
            attempt.error("it leads from https:// to http://")
        } else {
            attempt.follow()
        }
    });
    let client = reqwest::Client::builder()
        .user_agent(concat!("moxxie/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(10))
        .read_timeout(STALL)
        .redirect(policy)
        .build()?;
    let told = |error: reqwest::Error| error.without_url();
    let mut response = client.get(url).send().await.and_then(|r| r.error_for_status()).map_err(told)?;
    let total = response.content_length();
    let bar = Bar::new(format, &format!("fetching {shown}"), total);
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(told)? {
        bytes.extend_from_slice(&chunk);
        ensure!(bytes.len() as u64 <= LARGEST_ARCHIVE, "more than {} MiB", LARGEST_ARCHIVE / 1024 / 1024);
        bar.at(bytes.len() as u64);
    }
    Ok(bytes)
}

/// As it may be shown and kept: without password and query.
fn without_secrets(url: &Url) -> String {
    let mut url = url.clone();
    // A URL that cannot have them has none.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_is_pinned() {
        assert!(RELEASE_SHA256.parse::<Digest>().is_ok());
        assert_eq!(Url::parse(RELEASE).unwrap().scheme(), "https");
    }

    #[test]
    fn a_url_is_shown_without_secrets() {
        let url = Url::parse("https://user:hunter2@h/x/a.tar.gz?token=hunter2#hunter2").unwrap();
        assert_eq!(without_secrets(&url), "https://h/x/a.tar.gz");
    }
}
