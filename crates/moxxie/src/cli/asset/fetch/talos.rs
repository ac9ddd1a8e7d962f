//! Talos Linux from an Image Factory: `GET /image/<schematic>/<version>/<asset>`, where the
//! assets are `kernel-<arch>`, `initramfs-<arch>.xz` and `cmdline-metal-<arch>` (Image Factory,
//! docs/api.md). The factory has no checksums for everybody, so the digests are those of what came.

use super::{Arch, Remote, below, fetch, read_back, web};
use crate::cli::asset::Shelves;
use crate::cli::client::ClientError;
use crate::cli::out;
use anyhow::{Context as _, bail};
use moxxie_core::name::ProfileName;
use serde_json::{Map, Value, json};
use std::str::FromStr;
use url::Url;

/// Without extensions or other changes.
const PLAIN: &str = "376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba";
/// Where a node finds its config.
const CONFIG: &str = "talos.config={{ moxxie.config_url }}";
/// No kernel takes a longer command line.
const LONGEST: u64 = 4096;

/// Which Talos.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  moxxie asset fetch talos --version v1.13.9
  moxxie asset fetch talos --version v1.13.9 --profile talos-cp --update-params

In a profile that exists the files are replaced, and with --update-params its arguments too.")]
pub struct TalosArgs {
    /// The version, such as v1.13.9.
    #[arg(long)]
    version: Version,
    /// The Image Factory's schematic, with extensions and the like [default: the plain one].
    #[arg(long, value_name = "ID", default_value = PLAIN, hide_default_value = true)]
    schematic: Schematic,
    /// The processor.
    #[arg(long, value_enum, default_value = "amd64")]
    arch: Arch,
    /// The Image Factory.
    #[arg(long, value_name = "URL", default_value = "https://factory.talos.dev", value_parser = web)]
    factory: Url,
    /// The profile [default: named after the version, such as talos-1-13-9].
    #[arg(long, value_name = "NAME")]
    profile: Option<ProfileName>,
    /// Bring the arguments of a profile that exists to this version too.
    #[arg(long)]
    update_params: bool,
}

/// `v1.13.9`, `v1.14.0-rc.1`.
#[derive(Debug, Clone)]
struct Version(String);

impl FromStr for Version {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text.strip_prefix('v').unwrap_or_default();
        let (numbers, suffix) = match rest.split_once('-') {
            Some((numbers, suffix)) => (numbers, Some(suffix)),
            None => (rest, None),
        };
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let is_suffix = |suffix: &str| {
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.';
            !suffix.is_empty() && suffix.bytes().all(plain)
        };
        let is_version = text.len() <= 40
            && numbers.split('.').count() == 3
            && numbers.split('.').all(is_number)
            && suffix.is_none_or(is_suffix);
        if is_version { Ok(Version(text.to_owned())) } else { Err("write a version such as v1.13.9") }
    }
}

/// The id of a schematic.
#[derive(Debug, Clone)]
struct Schematic(String);

impl FromStr for Schematic {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_id = text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if is_id { Ok(Schematic(text.to_owned())) } else { Err("a schematic's id has 64 hexadecimal digits") }
    }
}

impl TalosArgs {
    fn name(&self) -> Result<ProfileName, ClientError> {
        if let Some(name) = &self.profile {
            return Ok(name.clone());
        }
        let version = self.version.0.trim_start_matches('v').replace('.', "-");
        let name = format!("talos-{version}{}", self.arch.suffix());
        name.parse().map_err(|e| ClientError::Usage(format!("{name}: name a profile with --profile ({e})")))
    }

    fn files(&self) -> [Remote; 3] {
        let arch = self.arch.as_str();
        let remote = |file, asset: String| {
            let path = format!("image/{}/{}/{asset}", self.schematic.0, self.version.0);
            Remote { file, url: below(&self.factory, &path), sums: None }
        };
        [
            remote("vmlinuz", format!("kernel-{arch}")),
            remote("initramfs.xz", format!("initramfs-{arch}.xz")),
            remote("cmdline", format!("cmdline-metal-{arch}")),
        ]
    }
}

/// Runs `moxxie asset fetch talos`.
pub(super) async fn run(shelves: &Shelves<'_>, args: TalosArgs) -> anyhow::Result<()> {
    let name = args.name()?;
    let version = args.version.0.as_str();
    let profile = json!({
        "name": name, "profile_type": "talos",
        "description": format!("Talos Linux {version} ({})", args.arch.as_str()),
        "kernel_path": "vmlinuz", "initrd_path": "initramfs.xz", "boot_params": CONFIG,
        "params": {"talos_version": version},
    });
    let fetched = fetch(shelves, &name, profile, &args.files()).await?;
    let cmdline = match read_back(shelves.client, name.as_str(), &fetched.items[2], LONGEST).await {
        Ok(bytes) => Some(check(&bytes).context("cmdline: the factory's arguments are not used")?),
        // Boot routes may be closed to people. Moxxie knows most of these arguments anyhow.
        Err(error) if matches!(error.downcast_ref(), Some(ClientError::Refused(_))) => {
            out::note(format!(
                "the factory's arguments cannot be read back ({error:#}): Moxxie's own are used"
            ));
            None
        }
        Err(error) => return Err(error),
    };
    let mut next = Vec::new();
    let before = &fetched.before;
    // A profile that was just made, now or by a command that was interrupted.
    let is_open = matches!(before["boot_params"].as_str(), Some("" | CONFIG));
    let is_old = !fetched.is_new && before["params"]["talos_version"] != version;
    if args.update_params || is_open {
        fetched.update(shelves.client, fields(before, version, cmdline)).await?;
    } else if is_old {
        next.push(format!(
            "boot_params and params.talos_version are those of {}: --update-params brings them to {version}",
            out::cell(&before["params"]["talos_version"])
        ));
    }
    if before["config_template"].is_null() {
        next.push(format!(
            "next step: moxxie profile update {name} --config-template @controlplane.yaml (without a machine config its nodes wait for one)"
        ));
    }
    fetched.report(shelves, &next)
}

/// What of a profile depends on the version.
fn fields(before: &Value, version: &str, cmdline: Option<String>) -> Map<String, Value> {
    let args = match cmdline {
        Some(cmdline) if cmdline.split(' ').any(|arg| arg.starts_with("talos.config=")) => cmdline,
        Some(cmdline) => format!("{cmdline} {CONFIG}"),
        None => CONFIG.to_owned(),
    };
    let mut params = before["params"].as_object().cloned().unwrap_or_default();
    params.insert("talos_version".into(), version.into());
    [("boot_params".to_owned(), Value::from(args)), ("params".to_owned(), Value::Object(params))]
        .into_iter()
        .collect()
}

/// A factory's command line, as arguments with one space between them. It becomes a template, so
/// nothing in it may mean anything there.
fn check(bytes: &[u8]) -> anyhow::Result<String> {
    let text = std::str::from_utf8(bytes).context("it is no text")?.trim();
    if text.is_empty() || !text.bytes().all(|b| matches!(b, b' '..=b'~')) {
        bail!("it is not one line of plain text");
    }
    if let Some(sign) = ["{{", "{%", "{#", "${"].into_iter().find(|sign| text.contains(sign)) {
        bail!("it has {sign} in it");
    }
    Ok(text.split(' ').filter(|arg| !arg.is_empty()).collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::asset::tests::go;
    use crate::cli::fake::{Answer, Fake};
    use moxxie_core::asset::Digest;
    use sha2::{Digest as _, Sha256};

    fn view(file: &str, bytes: &[u8]) -> Value {
        let sha256 = Digest(Sha256::digest(bytes).into()).to_string();
        json!({"file": file, "sha256": sha256, "size": bytes.len()})
    }

    fn files(cmdline: &[u8]) -> [Answer; 4] {
        [
            Answer::json(201, view("vmlinuz", b"k")),
            Answer::json(201, view("initramfs.xz", b"i")),
            Answer::json(201, view("cmdline", cmdline)),
            Answer::bytes(cmdline),
        ]
    }

    const ARGS: &[u8] = b"talos.platform=metal console=tty0  slab_nomerge= pti=on\n";

    #[tokio::test]
    async fn a_version_becomes_a_profile() {
        let made = json!({"boot_params": CONFIG, "params": {"talos_version": "v1.13.9"}});
        let mut answers = vec![Answer::json(404, json!({})), Answer::json(201, made).with("ETag: \"1\"")];
        answers.extend(files(ARGS));
        answers.push(Answer::json(200, json!({})));
        let fake = Fake::start(answers);
        go(&fake.url, &["fetch", "talos", "--version", "v1.13.9", "--factory", "http://f.example/base/"])
            .await
            .unwrap();
        assert_eq!(fake.request().line(), "GET /api/v1/boot/profiles/talos-1-13-9");
        let create = fake.request().json();
        assert_eq!((&create["profile_type"], &create["name"]), (&json!("talos"), &json!("talos-1-13-9")));
        for (file, asset) in [
            ("vmlinuz", "kernel-amd64"),
            ("initramfs.xz", "initramfs-amd64.xz"),
            ("cmdline", "cmdline-metal-amd64"),
        ] {
            let request = fake.request();
            assert_eq!(request.line(), "POST /api/v1/boot/profiles/talos-1-13-9/assets");
            let url = format!("http://f.example/base/image/{PLAIN}/v1.13.9/{asset}");
            assert_eq!(request.json(), json!({"url": url, "sha256": null, "file": file}));
        }
        assert_eq!(fake.request().line(), "GET /api/v1/boot/profiles/talos-1-13-9/assets/cmdline");
        let patch = fake.request();
        assert!(patch.head.contains("if-match: \"1\"\r\n"), "{}", patch.head);
        assert_eq!(
            patch.json(),
            json!({"boot_params": format!("talos.platform=metal console=tty0 slab_nomerge= pti=on {CONFIG}")})
        );
    }

    #[tokio::test]
    async fn a_bump_replaces_the_files_only() {
        let mine = json!({"boot_params": "console=ttyS0", "params": {"talos_version": "v1.12.0", "x": 1},
            "config_template": "a"});
        let bump = |extra: &'static [&'static str]| {
            let mut answers = vec![Answer::json(200, mine.clone()).with("ETag: \"7\"")];
            answers.extend(files(b"a talos.config=http://x/y"));
            answers.push(Answer::json(200, json!({})));
            let fake = Fake::start(answers);
            let url = fake.url.clone();
            async move {
                let args = ["fetch", "talos", "--version", "v1.13.9", "--profile", "cp", "--arch", "arm64"];
                go(&url, &[&args, extra].concat()).await.unwrap();
                fake
            }
        };
        let fake = bump(&[]).await;
        assert_eq!(fake.count(), 5, "the profile is not touched");
        fake.request();
        assert!(fake.request().json()["url"].as_str().unwrap().ends_with("/kernel-arm64"));
        let fake = bump(&["--update-params"]).await;
        (0..5).for_each(|_| drop(fake.request()));
        assert_eq!(
            fake.request().json(),
            json!({"boot_params": "a talos.config=http://x/y", "params": {"talos_version": "v1.13.9"}})
        );
    }

    #[tokio::test]
    async fn no_such_version_leaves_no_profile() {
        let fake = Fake::start(vec![
            Answer::json(404, json!({})),
            Answer::json(201, json!({})).with("ETag: \"1\""),
            Answer::json(502, json!({"title": "Bad Gateway", "detail": "the server answered 404"})),
            Answer::json(204, Value::Null),
        ]);
        let error = go(&fake.url, &["fetch", "talos", "--version", "v9.9.9"]).await.unwrap_err();
        assert!(format!("{error:#}").contains("kernel-amd64 was not fetched: Bad Gateway"), "{error:#}");
        (0..3).for_each(|_| drop(fake.request()));
        assert_eq!(fake.request().line(), "DELETE /api/v1/boot/profiles/talos-9-9-9");
    }

    #[test]
    fn a_command_line_is_only_that() {
        assert_eq!(check(b" a  b=c \n").unwrap(), "a b=c");
        for bad in [
            &b"a\nb"[..],
            b"",
            b"\n",
            b"a={{ params.x }}",
            b"{% if %}",
            b"{# #}",
            b"${x}",
            b"\xff",
            b"\xc3\xa4",
        ] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
    }

    #[tokio::test]
    async fn versions_and_schematics() {
        for good in ["v1.13.9", "v1.14.0-rc.1", "v1.0.0-alpha.0"] {
            assert!(good.parse::<Version>().is_ok(), "{good}");
        }
        let long = format!("v1.0.0-{}", "a".repeat(40));
        for bad in [
            "1.13.9",
            "v1.13",
            "v1.13.9.1",
            "v1.13.9-",
            "v1.13.x",
            "v1.13.9/..",
            "v1..9",
            "vv1.1.1",
            "",
            &long,
        ] {
            assert!(bad.parse::<Version>().is_err(), "{bad}");
        }
        assert!(PLAIN.parse::<Schematic>().is_ok());
        assert!(PLAIN.to_uppercase().parse::<Schematic>().is_err() && "ab".parse::<Schematic>().is_err());
        let dead = "http://127.0.0.1:1";
        for args in [&["--version", "1.13.9"][..], &[], &["--version", "v1.1.1", "--factory", "ftp://x"]] {
            let error = go(dead, &[&["fetch", "talos"], args].concat()).await.unwrap_err();
            assert!(error.downcast_ref::<clap::Error>().is_some(), "{error}");
        }
    }
}
