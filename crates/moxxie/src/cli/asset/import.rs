//! `moxxie asset import`: a file from a URL, or the bootable part of an installation image.

use super::source::Source;
use super::upload::Shelves;
use super::{digest, done, image, name_of, shelf};
use crate::cli::client::ClientError;
use crate::cli::out;
use crate::cli::progress::Bar;
use crate::cli::work;
use anyhow::bail;
use moxxie_core::asset::Digest;
use moxxie_core::name::{FileName, ProfileName};
use serde_json::{Value, json};
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use url::Url;

/// What to import.
#[derive(Debug, clap::Args)]
#[command(
    allow_missing_positional = true,
    after_help = "Examples:
  moxxie asset import ubuntu-24.04-live-server-amd64.iso
  moxxie asset import talos-cp https://example.org/vmlinuz --sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
  moxxie asset import https://example.org/x.iso --profile rescue --member boot/kernel=vmlinuz --member boot/rd.gz=initrd.gz

An image (*.iso, or anything with --member) is put on the shelf, its kernel and initrd are taken
out, and the profile's empty fields are filled in; without PROFILE a profile is made of its name."
)]
pub struct ImportArgs {
    /// The profile.
    profile: Option<ProfileName>,
    /// A URL that the server fetches, or a file to upload.
    source: Place,
    /// Its name on the server [default: its own].
    #[arg(long = "as", value_name = "NAME")]
    name: Option<FileName>,
    /// The SHA-256 that it must have [default: whatever comes is taken].
    #[arg(long, value_name = "HEX")]
    sha256: Option<Digest>,
    /// A SHA256SUMS file that names it.
    #[arg(long, value_name = "URL")]
    sha256sums: Option<Url>,
    /// The profile, in other words.
    #[arg(long = "profile", value_name = "NAME", conflicts_with = "profile")]
    into: Option<ProfileName>,
    /// Take this member out of the image; may be repeated [default: what is recognized].
    #[arg(long, value_name = "PATH=NAME")]
    member: Vec<Member>,
    /// Leave the fields of the profile alone.
    #[arg(long)]
    no_profile: bool,
}

/// Where it is.
#[derive(Debug, Clone)]
enum Place {
    Url(Url),
    File(PathBuf),
}

impl FromStr for Place {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once("://") {
            None if text.is_empty() => Err("a file or a URL".into()),
            None => Ok(Place::File(text.into())),
            Some((scheme, _)) if matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https") => {
                Url::parse(text).map(Place::Url).map_err(|e| e.to_string())
            }
            Some(_) => Err("only http:// and https:// are fetched; a file is named by its path".into()),
        }
    }
}

impl Place {
    fn own_name(&self) -> Option<&str> {
        match self {
            Place::Url(url) => url.path_segments()?.next_back(),
            Place::File(path) => path.file_name()?.to_str(),
        }
    }
}

/// A member of an image, and the name it gets.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub(super) struct Member {
    path: String,
    file: FileName,
}

impl FromStr for Member {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.rsplit_once('=') {
            Some((path, file)) if !path.is_empty() => Ok(Member {
                path: path.trim_start_matches('/').to_owned(),
                file: file.parse().map_err(|e| format!("{e}"))?,
            }),
            _ => Err("write PATH=NAME, such as casper/vmlinuz=vmlinuz".into()),
        }
    }
}

/// Runs `moxxie asset import`.
pub(super) async fn run(shelves: &Shelves<'_>, args: ImportArgs) -> anyhow::Result<()> {
    let usage = |text: &str| Err(ClientError::Usage(text.to_owned()).into());
    let own_name = args.source.own_name();
    let is_iso = |name: &str| name.to_ascii_lowercase().ends_with(".iso");
    let is_image = !args.member.is_empty()
        || own_name.is_some_and(is_iso)
        || args.name.as_ref().is_some_and(|name| is_iso(name.as_str()));
    let name = name_of(args.name.clone(), own_name)?;
    let profile = args.profile.as_ref().or(args.into.as_ref());
    if matches!(args.source, Place::File(_)) && args.sha256sums.is_some() {
        return usage("--sha256sums is for URLs: compare a file with --sha256");
    }
    if !is_image {
        if args.no_profile {
            return usage("--no-profile is for images: any other file leaves the profile alone");
        }
        let Some(profile) = profile else {
            return usage(
                "which profile is it for? write `moxxie asset import PROFILE SOURCE`; only an image makes a profile of its own",
            );
        };
        return one_file(shelves, profile, &name, &args).await;
    }
    let profile = match profile {
        Some(profile) => profile.clone(),
        None if args.no_profile => {
            return usage("--no-profile makes none: name the profile whose shelf the files go to");
        }
        None => image::profile_name(name.as_str()).ok_or_else(|| {
            ClientError::Usage(format!("{name}: no profile can be named after it: name one with --profile"))
        })?,
    };
    // A file that cannot be read should not leave a profile behind.
    let source = local(shelves, &args)?;
    let put = async { image_on_shelf(shelves, &profile, &name, &args, source.as_ref()).await };
    image::run(shelves, &profile, &name, &args.member, !args.no_profile, put).await
}

async fn one_file(
    shelves: &Shelves<'_>,
    profile: &ProfileName,
    name: &FileName,
    args: &ImportArgs,
) -> anyhow::Result<()> {
    let source = local(shelves, args)?;
    let view = image_on_shelf(shelves, profile, name, args, source.as_ref()).await?;
    done(shelves.format, profile.as_str(), name.as_str(), &view, source.as_ref())?;
    if source.is_none() && args.sha256.is_none() && args.sha256sums.is_none() {
        out::note(format!(
            "nothing said which bytes to expect: compare this digest with the publisher's, and next time pass --sha256 {}",
            digest(&view)?
        ));
    }
    Ok(())
}

/// The file to upload, measured and compared; `None` for a URL.
fn local(shelves: &Shelves<'_>, args: &ImportArgs) -> anyhow::Result<Option<Source>> {
    let Place::File(path) = &args.source else { return Ok(None) };
    let source = Source::open(path, shelves.format)?;
    match args.sha256 {
        Some(wanted) if wanted != source.sha256 => {
            bail!("{} has the SHA-256 {}, not {wanted}: nothing was sent", path.display(), source.sha256)
        }
        _ => Ok(Some(source)),
    }
}

async fn image_on_shelf(
    shelves: &Shelves<'_>,
    profile: &ProfileName,
    name: &FileName,
    args: &ImportArgs,
    source: Option<&Source>,
) -> anyhow::Result<Value> {
    let view = match (source, &args.source) {
        (Some(source), _) => shelves.put(profile.as_str(), name.as_str(), source).await?,
        (None, Place::Url(url)) => {
            let from = From { url, sha256: args.sha256, sha256sums: args.sha256sums.as_ref() };
            from.fetch(shelves, profile.as_str(), name.as_str()).await?
        }
        (None, Place::File(path)) => bail!("{} was not read", path.display()),
    };
    Ok(view)
}

/// A file that the server fetches.
#[derive(Debug)]
pub(super) struct From<'a> {
    pub url: &'a Url,
    pub sha256: Option<Digest>,
    pub sha256sums: Option<&'a Url>,
}

impl From<'_> {
    /// Lets the server fetch it; the API's view of it.
    pub async fn fetch(&self, shelves: &Shelves<'_>, profile: &str, name: &str) -> anyhow::Result<Value> {
        let mut body = json!({ "url": self.url.as_str(), "sha256": self.sha256, "file": name });
        if let Some(sums) = self.sha256sums {
            body["sha256sums_url"] = sums.as_str().into();
        }
        let bar = Bar::new(shelves.format, &format!("fetching {name}"), None);
        let view = work::post(shelves.client, &shelf(profile), &body, &bar).await.map_err(hinted)?;
        // Whoever is told that a file arrived wants to know which one.
        digest(&view)?;
        Ok(view)
    }
}

/// Adds the line of the configuration that lets the server fetch from a private address.
fn hinted(mut error: ClientError) -> ClientError {
    if let ClientError::Refused(problem) = &mut error {
        let mut texts = vec![problem.detail.as_str()];
        texts.extend(problem.errors.iter().map(|error| error.message.as_str()));
        if let Some(text) = texts.iter().find(|text| text.contains("import.allow")) {
            let word = |word: &str| word.trim_matches([',', ';', ':', '.', '(', ')', '[', ']']).parse().ok();
            let network = match text.split_whitespace().find_map(word) {
                Some(IpAddr::V4(ip)) => format!("{ip}/32"),
                Some(IpAddr::V6(ip)) => format!("{ip}/128"),
                None => "10.0.0.0/8".to_owned(),
            };
            problem.hint = Some(format!(
                "if you trust it, set this under [import] in the server's moxxie.toml and start it again:\n    allow = [\"{network}\"]"
            ));
        }
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::asset::tests::go;
    use crate::cli::client::Problem;
    use crate::cli::fake::{Answer, Fake};

    #[tokio::test]
    async fn imports_name_the_file() {
        let digest = "ab".repeat(32);
        let url = "https://x.example/a/vmlinuz?v=1";
        let fake = Fake::start(vec![
            Answer::json(201, json!({"size": 5, "sha256": digest})),
            Answer::json(201, json!({"size": 5, "sha256": digest})),
            Answer::json(201, json!({"size": 5, "sha256": digest})),
            Answer::json(201, json!({"size": 5})),
        ]);
        go(&fake.url, &["import", "p", url, "--sha256", &digest]).await.unwrap();
        let request = fake.request();
        assert_eq!(request.line(), "POST /api/v1/boot/profiles/p/assets");
        assert_eq!(request.json(), json!({"url": url, "sha256": digest, "file": "vmlinuz"}));
        let sums = "https://x.example/SHA256SUMS";
        go(&fake.url, &["import", url, "--profile", "p", "--sha256sums", sums]).await.unwrap();
        assert_eq!(
            fake.request().json(),
            json!({"url": url, "sha256": null, "sha256sums_url": sums, "file": "vmlinuz"})
        );
        // Without a digest the server's word counts, and there has to be one.
        go(&fake.url, &["import", "p", "https://x.example/vmlinuz"]).await.unwrap();
        assert_eq!(fake.request().json()["sha256"], Value::Null);
        assert!(go(&fake.url, &["import", "p", "https://x.example/vmlinuz"]).await.is_err());
        assert_eq!(fake.count(), 4);
    }

    #[tokio::test]
    async fn wrong_usage_asks_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("k");
        std::fs::write(&file, "x").unwrap();
        let file = file.to_str().unwrap();
        let sums = "https://x.example/S";
        let wrong: &[&[&str]] = &[
            &["import"],
            &["import", "p", "https://x.example/"],
            &["import", "p", "https://x.example/k", "--sha256", "abc"],
            &["import", "https://x.example/k"],
            &["import", file],
            &["import", "p", "ftp://x.example/k"],
            &["import", "p", file, "--profile", "q"],
            &["import", "p", file, "--sha256sums", sums],
            &["import", "p", file, "--no-profile"],
            &["import", "https://x.example/x.iso", "--no-profile"],
            &["import", "https://x.example/x.iso", "--member", "x"],
            &["import", "https://x.example/x.iso", "--member", "a=../x"],
            &["import", "https://x.example/..iso"],
        ];
        for args in wrong {
            let error = go("http://127.0.0.1:1", args).await.unwrap_err();
            let is_usage = error.downcast_ref::<clap::Error>().is_some()
                || matches!(error.downcast_ref(), Some(ClientError::Usage(_)));
            assert!(is_usage, "{args:?}: {error:#}");
        }
        let error =
            go("http://127.0.0.1:1", &["import", "p", file, "--sha256", &"0".repeat(64)]).await.unwrap_err();
        assert!(error.to_string().contains("nothing was sent"), "{error}");
    }

    #[test]
    fn private_addresses_name_the_line_to_add() {
        let hint = |message: &str| {
            let problem = json!({"status": 422, "detail": message});
            hinted(ClientError::Refused(Box::new(Problem::of(&problem)))).to_string()
        };
        let said = hint(
            "mirror.lan is at 10.0.0.5, which is not a public address: list its network under import.allow",
        );
        assert!(said.ends_with("start it again:\n    allow = [\"10.0.0.5/32\"]"), "{said}");
        assert!(hint("x is at fd00::1: import.allow").contains("fd00::1/128"));
        assert!(!hint("the server answered 404").contains("allow"));
    }

    #[test]
    fn members_have_a_path_and_a_name() {
        let member: Member = "/a=b/c=vmlinuz".parse().unwrap();
        assert_eq!(serde_json::to_value(&member).unwrap(), json!({"path": "a=b/c", "file": "vmlinuz"}));
        assert!("=x".parse::<Member>().is_err());
    }
}
