//! `moxxie asset fetch`: network boot files from where their makers publish them, and the profile
//! that boots them. The server does the fetching.

mod debian;
mod talos;

use super::import::From;
use super::sentence;
use super::upload::Shelves;
use crate::cli::client::Client;
use crate::cli::out;
use crate::cli::profile;
use anyhow::Context as _;
use clap::{Subcommand, ValueEnum};
use moxxie_core::asset::Digest;
use moxxie_core::name::ProfileName;
use reqwest::Method;
use serde_json::{Map, Value, json};
use url::Url;

/// Whose files.
#[derive(Debug, Subcommand)]
pub enum FetchCommand {
    /// Talos Linux, from an Image Factory.
    Talos(talos::TalosArgs),
    /// Debian's installer, from a mirror; checked against the mirror's SHA256SUMS.
    Debian(debian::DebianArgs),
}

/// The processors that these systems run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Arch {
    /// 64-bit x86.
    Amd64,
    /// 64-bit ARM.
    Arm64,
}

impl Arch {
    fn as_str(self) -> &'static str {
        match self {
            Arch::Amd64 => "amd64",
            Arch::Arm64 => "arm64",
        }
    }

    /// What a profile's name ends in.
    fn suffix(self) -> &'static str {
        match self {
            Arch::Amd64 => "",
            Arch::Arm64 => "-arm64",
        }
    }
}

/// Runs `moxxie asset fetch …`.
pub(super) async fn run(shelves: &Shelves<'_>, command: FetchCommand) -> anyhow::Result<()> {
    match command {
        FetchCommand::Talos(args) => talos::run(shelves, args).await,
        FetchCommand::Debian(args) => debian::run(shelves, args).await,
    }
}

/// A file to fetch, and the name it gets.
#[derive(Debug)]
struct Remote {
    file: &'static str,
    url: Url,
    sums: Option<Url>,
}

/// A URL below another one. The parts are known to be plain words.
fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    let path = format!("{}/{path}", base.path().trim_end_matches('/'));
    url.set_path(&path);
    url.set_query(None);
    url.set_fragment(None);
    url
}

/// An http(s) URL, as clap reads it.
fn web(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|e| e.to_string())?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        _ => Err("an http:// or https:// URL".into()),
    }
}

/// A profile whose files are fetched.
#[derive(Debug)]
struct Fetched {
    name: ProfileName,
    is_new: bool,
    /// What the profile said before, with its version.
    before: Value,
    etag: Option<String>,
    /// The API's view of each file.
    items: Vec<Value>,
}

/// Fetches the files; the profile is made when it is missing.
async fn fetch(
    shelves: &Shelves<'_>,
    name: &ProfileName,
    profile: Value,
    files: &[Remote],
) -> anyhow::Result<Fetched> {
    let client = shelves.client;
    let there = match client.get(&profile::path(name.as_str())).await {
        Ok(reply) => Some(reply),
        Err(error) if error.status() == Some(404) => None,
        Err(error) => return Err(error.into()),
    };
    let is_new = there.is_none();
    let reply = match there {
        Some(reply) => reply,
        None => client.call::<&str>(Method::POST, &profile::PROFILES, &[], None, Some(&profile)).await?,
    };
    let mut items = Vec::new();
    for remote in files {
        let from = From { url: &remote.url, sha256: None, sha256sums: remote.sums.as_ref() };
        match from.fetch(shelves, name.as_str(), remote.file).await {
            Ok(item) => items.push(item),
            Err(error) => {
                // Most likely there is no such version: nobody asked for an empty profile.
                if is_new && items.is_empty() {
                    let path = profile::path(name.as_str());
                    let etag = reply.etag.as_deref();
                    let _ = client.call::<&str>(Method::DELETE, &path, &[], etag, None).await;
                }
                return Err(error.context(format!("{} was not fetched", remote.url)));
            }
        }
    }
    Ok(Fetched { name: name.clone(), is_new, before: reply.body, etag: reply.etag, items })
}

impl Fetched {
    /// Changes these fields of the profile, as far as they differ.
    async fn update(&self, client: &Client, fields: Map<String, Value>) -> anyhow::Result<()> {
        let patch = crate::cli::input::patch_fields(&self.before, fields);
        if patch.as_object().is_some_and(|patch| !patch.is_empty()) {
            let path = profile::path(self.name.as_str());
            let etag = self.etag.as_deref();
            client
                .call::<&str>(Method::PATCH, &path, &[], etag, Some(&patch))
                .await
                .with_context(|| format!("the files are there, but profile {} is not changed", self.name))?;
        }
        Ok(())
    }

    /// What to do when the profile boots other files than those that were fetched.
    fn other_files(&self) -> Option<String> {
        let [kernel, initrd] = [&self.items.first()?["file"], &self.items.get(1)?["file"]];
        if self.before["kernel_path"] == *kernel && self.before["initrd_path"] == *initrd {
            return None;
        }
        let name = &self.name;
        let (kernel, initrd) = (out::cell(kernel), out::cell(initrd));
        Some(format!(
            "it boots other files; next step: moxxie profile update {name} --kernel {kernel} --initrd {initrd}"
        ))
    }

    /// Says what is there now and what comes next.
    fn report(&self, shelves: &Shelves<'_>, next: &[String]) -> anyhow::Result<()> {
        let answer = json!({"profile": self.name, "created": self.is_new, "items": self.items});
        if out::object(shelves.format, &answer)? {
            return Ok(());
        }
        for item in &self.items {
            out::line(sentence(self.name.as_str(), &out::cell(&item["file"]), item, None)?)?;
        }
        let what = if self.is_new { "created" } else { "its files are replaced" };
        out::line(format!("profile {}: {what}", self.name))?;
        self.other_files().iter().chain(next).try_for_each(out::line)?;
        out::line(format!("next step: moxxie assignment create MAC NODE {}", self.name))?;
        Ok(())
    }
}

/// Reads a small file back from the shelf and checks it against its digest.
async fn read_back(client: &Client, profile: &str, item: &Value, largest: u64) -> anyhow::Result<Vec<u8>> {
    let file = item["file"].as_str().unwrap_or_default();
    let size = item["size"].as_u64().unwrap_or(u64::MAX);
    if size > largest {
        anyhow::bail!("{file} has {size} bytes: at most {largest} are expected");
    }
    let path = ["api", "v1", "boot", "profiles", profile, "assets", file];
    let mut response = client.send(|| client.authorized::<&str>(Method::GET, &path, &[])).await?;
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| client.broken(e))? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() as u64 > size {
            break;
        }
    }
    let (digest, _) = super::measure(bytes.as_slice(), |_| {})?;
    let expected: Digest = super::digest(item)?;
    anyhow::ensure!(digest == expected, "{file}: the server sent other bytes than those it fetched");
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_that_boots_other_files_is_told() {
        let fetched = |before: Value| Fetched {
            name: "p".parse().unwrap(),
            is_new: false,
            before,
            etag: None,
            items: vec![
                json!({"file": "vmlinuz"}),
                json!({"file": "initramfs.xz"}),
                json!({"file": "cmdline"}),
            ],
        };
        let same = json!({"kernel_path": "vmlinuz", "initrd_path": "initramfs.xz"});
        assert_eq!(fetched(same).other_files(), None);
        let said =
            fetched(json!({"kernel_path": "vmlinuz-amd64", "initrd_path": "initramfs.xz"})).other_files();
        assert!(said.unwrap().ends_with("moxxie profile update p --kernel vmlinuz --initrd initramfs.xz"));
    }

    #[test]
    fn urls_below_others() {
        let at = |base: &str| below(&base.parse().unwrap(), "a/b").to_string();
        assert_eq!(at("http://x.example"), "http://x.example/a/b");
        assert_eq!(at("http://x.example:8/c/?q=1#f"), "http://x.example:8/c/a/b");
        for bad in ["ftp://x", "x", "http:", "file:///etc/passwd"] {
            assert!(web(bad).is_err(), "{bad}");
        }
    }
}
