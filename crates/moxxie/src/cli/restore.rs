//! `moxxie restore`: replaces the whole site by a backup.

use crate::cli::ClientOptions;
use crate::cli::asset::{Shelves, Source};
use crate::cli::backup::{self, Entry, FILE};
use crate::cli::out;
use anyhow::{Context as _, bail};
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::Value;
use std::io::{self, BufRead as _, IsTerminal as _};
use std::path::PathBuf;
use std::process::ExitCode;

/// Where from.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  moxxie restore /srv/backup/moxxie --yes

Every restored machine is disarmed: it boots from its disk until `moxxie assignment arm`.")]
pub struct RestoreArgs {
    /// The directory that `moxxie backup` wrote.
    dir: PathBuf,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// Do not upload kernels, initrds and other files.
    #[arg(long)]
    without_assets: bool,
    /// Restore also what no Moxxie signed: you vouch for every line of the file.
    ///
    /// Needed for backups of older versions and for changed ones. Whoever could write the file then
    /// says what machines boot, which profiles count as harmless, and whose API tokens work. The
    /// audit log says that it was done.
    #[arg(long)]
    unsigned: bool,
}

/// Runs `moxxie restore`.
pub async fn run(options: &ClientOptions, args: RestoreArgs) -> anyhow::Result<ExitCode> {
    let dir = args.dir.as_path();
    let bytes =
        std::fs::read(dir.join(FILE)).with_context(|| format!("cannot read {}", dir.join(FILE).display()))?;
    let backup: Value = serde_json::from_slice(&bytes).with_context(|| format!("{FILE} is not a backup"))?;
    let entries = backup::entries(&backup)?;
    if !args.without_assets {
        let missing: Vec<String> = entries
            .iter()
            .filter(|entry| !backup::has_blob(dir, entry))
            .map(|entry| format!("{}/{}", entry.profile, entry.file))
            .collect();
        if !missing.is_empty() {
            bail!(
                "the backup lacks the bytes of {}; restore the rest with --without-assets",
                missing.join(", ")
            );
        }
    }

    let client = options.client()?;
    let path = |name| ["api", "v1", "boot", name];
    let there = [
        ("profiles", client.list(&path("profiles"), &[], None).await?.len()),
        ("assignments", client.list(&path("assignments"), &[], None).await?.len()),
    ];
    for (key, now) in there {
        let then = backup[key].as_array().map_or(0, Vec::len);
        let verb = if args.yes { "are" } else { "would be" };
        out::note(format!("{now} {key} at {} {verb} replaced by {then} of the backup", client.server()));
    }
    if args.unsigned {
        out::note(UNSIGNED);
    }
    if !args.yes {
        out::note("API tokens too; every machine is disarmed");
        if !io::stdin().is_terminal() {
            bail!("nothing was changed; to go on: {}", again(&args));
        }
        if !confirmed()? {
            bail!("nothing was changed");
        }
    }

    let query: &[(&str, &str)] = if args.unsigned { &[("unsigned", "true")] } else { &[] };
    let response = client
        .send(|| {
            Ok(client
                .authorized(Method::POST, &["api", "v1", "restore"], query)?
                .header(CONTENT_TYPE, "application/json")
                .body(bytes.clone()))
        })
        .await?;
    let reply: Value = response.json().await.unwrap_or_default();
    let raised: Vec<&str> =
        reply["raised_destructive"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !raised.is_empty() {
        let names = raised.join(", ");
        out::note(format!(
            "can erase disks by its words, and counts as destructive again: {names}; an admin can lower that anew"
        ));
    }
    let shelves = Shelves::new(&client, options.output);
    let mut uploaded = 0;
    for entry in entries.iter().filter(|entry| !args.without_assets && lacks(&reply, entry)) {
        let (profile, name) = (entry.profile.as_str(), entry.file.as_str());
        let blob = Source::known(&backup::blob(dir, &entry.sha256), entry.sha256, entry.size)?;
        shelves.put(profile, name, &blob).await.map_err(|error| {
            let next = match error.status() {
                Some(401) => {
                    "; the site has the tokens of the backup again: repeat this with --token and one of those"
                }
                _ => "; repeat this to upload what is missing",
            };
            anyhow::anyhow!("all but assets is restored, asset {profile}/{name} is not{next}\n  {error}")
        })?;
        uploaded += 1;
    }
    let assignments = backup["assignments"].as_array().into_iter().flatten();
    let always = assignments.filter(|a| a["spec"]["boot_policy"] == "always").count();
    let but = match always {
        0 => String::new(),
        n => format!(
            " {n} had the policy always and have once now: `moxxie assignment update MAC --policy always` sets it again."
        ),
    };
    out::line(format!(
        "restored; {uploaded} of {} assets uploaded. All machines are disarmed: they boot from their disks until `moxxie assignment arm`.{but}",
        entries.len()
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// What the flag means.
const UNSIGNED: &str = "--unsigned: nobody but you vouches for this file. Whoever could write it says what machines boot, \
                        which profiles count as harmless, and whose API tokens work";

/// Whether the restored server lacks an asset's bytes. One that does not say gets all of them.
fn lacks(reply: &Value, entry: &Entry) -> bool {
    let Some(missing) = reply["missing_assets"].as_array() else { return true };
    missing
        .iter()
        .any(|asset| asset["profile"] == entry.profile.as_str() && asset["file"] == entry.file.as_str())
}

/// The same command, not asking.
fn again(args: &RestoreArgs) -> String {
    let mut rest = String::new();
    for (given, flag) in [(args.without_assets, " --without-assets"), (args.unsigned, " --unsigned")] {
        rest += if given { flag } else { "" };
    }
    format!("moxxie restore {} --yes{rest}", args.dir.display())
}

/// Whether the person at the terminal says so.
fn confirmed() -> anyhow::Result<bool> {
    out::note("Type yes to go on:");
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim() == "yes")
}
