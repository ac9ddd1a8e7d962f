//! Debian's installer from a mirror: the netboot files below `dists/<suite>/main/installer-<arch>`,
//! which the mirror's own `SHA256SUMS` lists.

use super::{Arch, Remote, below, fetch, web};
use crate::cli::asset::Shelves;
use crate::cli::client::ClientError;
use moxxie_core::name::ProfileName;
use serde_json::json;
use std::str::FromStr;
use url::Url;

/// Which Debian.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  moxxie asset fetch debian --suite bookworm")]
pub struct DebianArgs {
    /// The release, such as bookworm.
    #[arg(long)]
    suite: Suite,
    /// The processor.
    #[arg(long, value_enum, default_value = "amd64")]
    arch: Arch,
    /// The mirror.
    #[arg(long, value_name = "URL", default_value = "https://deb.debian.org/debian", value_parser = web)]
    mirror: Url,
    /// The profile [default: named after the release, such as debian-bookworm].
    #[arg(long, value_name = "NAME")]
    profile: Option<ProfileName>,
    /// The graphical installer.
    #[arg(long)]
    gtk: bool,
}

/// A release's name.
#[derive(Debug, Clone)]
struct Suite(String);

impl FromStr for Suite {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let is_suite = (1..=40).contains(&text.len()) && text.bytes().all(plain) && !text.starts_with('-');
        if is_suite { Ok(Suite(text.to_owned())) } else { Err("write a release such as bookworm") }
    }
}

impl DebianArgs {
    fn name(&self) -> Result<ProfileName, ClientError> {
        if let Some(name) = &self.profile {
            return Ok(name.clone());
        }
        let gtk = if self.gtk { "-gtk" } else { "" };
        let name = format!("debian-{}{gtk}{}", self.suite.0, self.arch.suffix());
        name.parse().map_err(|e| ClientError::Usage(format!("{name}: name a profile with --profile ({e})")))
    }

    fn files(&self) -> [Remote; 2] {
        let arch = self.arch.as_str();
        let images = format!("dists/{}/main/installer-{arch}/current/images", self.suite.0);
        let netboot = if self.gtk { "netboot/gtk" } else { "netboot" };
        let remote = |file| Remote {
            file,
            url: below(&self.mirror, &format!("{images}/{netboot}/debian-installer/{arch}/{file}")),
            sums: Some(below(&self.mirror, &format!("{images}/SHA256SUMS"))),
        };
        [remote("linux"), remote("initrd.gz")]
    }
}

/// Runs `moxxie asset fetch debian`.
pub(super) async fn run(shelves: &Shelves<'_>, args: DebianArgs) -> anyhow::Result<()> {
    let name = args.name()?;
    let profile = json!({
        "name": name, "profile_type": "debian",
        "description": format!("Debian {} installer ({})", args.suite.0, args.arch.as_str()),
        "kernel_path": "linux", "initrd_path": "initrd.gz",
        // What stands behind the dashes goes to the installed system too.
        "boot_params": "--- quiet",
    });
    let fetched = fetch(shelves, &name, profile, &args.files()).await?;
    let mut next = Vec::new();
    if fetched.before["config_template"].is_null() {
        next.push(format!(
            "next step: moxxie profile update {name} --config-template @preseed.cfg (without a preseed file the installer asks at the console)"
        ));
    }
    fetched.report(shelves, &next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::asset::tests::go;
    use crate::cli::fake::{Answer, Fake};

    #[tokio::test]
    async fn the_files_and_their_sums() {
        for (extra, name, folder, arch) in [
            (&[][..], "debian-bookworm", "netboot", "amd64"),
            (&["--gtk", "--arch", "arm64"][..], "debian-bookworm-gtk-arm64", "netboot/gtk", "arm64"),
        ] {
            let view = |file: &str| json!({"file": file, "sha256": "ab".repeat(32), "size": 1});
            let fake = Fake::start(vec![
                Answer::json(404, json!({})),
                Answer::json(201, json!({})),
                Answer::json(201, view("linux")),
                Answer::json(201, view("initrd.gz")),
            ]);
            let args = ["fetch", "debian", "--suite", "bookworm", "--mirror", "http://m.example/debian"];
            go(&fake.url, &[&args, extra].concat()).await.unwrap();
            fake.request();
            let create = fake.request().json();
            assert_eq!(create["name"], name);
            assert_eq!(create["boot_params"], "--- quiet");
            let images =
                format!("http://m.example/debian/dists/bookworm/main/installer-{arch}/current/images");
            for file in ["linux", "initrd.gz"] {
                let request = fake.request();
                assert_eq!(request.line(), format!("POST /api/v1/boot/profiles/{name}/assets"));
                assert_eq!(
                    request.json(),
                    json!({"url": format!("{images}/{folder}/debian-installer/{arch}/{file}"), "sha256": null,
                        "sha256sums_url": format!("{images}/SHA256SUMS"), "file": file})
                );
            }
            assert_eq!(fake.count(), 4);
        }
    }

    #[test]
    fn suites() {
        for good in ["bookworm", "stable", "trixie", "bookworm-updates"] {
            assert!(good.parse::<Suite>().is_ok(), "{good}");
        }
        for bad in ["", "..", "a/b", "Bookworm", "-x", "a b", "a?b"] {
            assert!(bad.parse::<Suite>().is_err(), "{bad}");
        }
    }
}
