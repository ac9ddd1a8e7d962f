//! `moxxie export`: profiles and assignments as files that `apply` reads.

use crate::cli::ClientOptions;
use crate::cli::out::{self, Format};
use crate::cli::yaml;
use anyhow::{Context as _, bail};
use std::path::PathBuf;
use std::process::ExitCode;

/// Where to.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  moxxie export -o site.yaml\n  moxxie apply -f site.yaml --dry-run")]
pub struct ExportArgs {
    /// Write to this file [default: standard output].
    #[arg(short = 'o', long = "to", value_name = "FILE")]
    to: Option<PathBuf>,
}

/// Runs `moxxie export`.
pub async fn run(options: &ClientOptions, args: ExportArgs) -> anyhow::Result<ExitCode> {
    let reply = options.client()?.get(&["api", "v1", "boot", "export"]).await?.body;
    let Some(items) = reply["items"].as_array() else {
        bail!("the server's answer has no items");
    };
    let text = match options.output {
        Format::Json => format!("{reply:#}\n"),
        Format::Table | Format::Yaml => yaml::write_all(items),
    };
    match args.to {
        Some(path) => {
            crate::cli::backup::write_private(&path, text.as_bytes())
                .with_context(|| format!("cannot write {}", path.display()))?;
            out::note(format!("{}: {} items", path.display(), items.len()));
        }
        None => out::text(&text)?,
    }
    Ok(ExitCode::SUCCESS)
}
