//! `moxxie network-config`: what the site's switch or router needs.

use crate::cli::ClientOptions;
use crate::cli::out;
use std::process::ExitCode;

/// Which dialect, and its parameters.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  moxxie network-config mikrotik interface=bridge1")]
pub struct NetworkConfigArgs {
    /// The vendor: mikrotik, …
    vendor: String,
    /// Parameters of the vendor's page in the docs.
    #[arg(value_name = "KEY=VALUE", value_parser = pair)]
    parameters: Vec<(String, String)>,
}

fn pair(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() && key != "vendor" => {
            Ok((key.to_owned(), value.to_owned()))
        }
        _ => Err("write key=value"),
    }
}

/// Runs `moxxie network-config`.
pub async fn run(options: &ClientOptions, args: NetworkConfigArgs) -> anyhow::Result<ExitCode> {
    let mut query = vec![("vendor", args.vendor)];
    query.extend(args.parameters.iter().map(|(key, value)| (key.as_str(), value.clone())));
    let text = options.client()?.text(&["api", "v1", "boot", "network-config"], &query).await?;
    out::text(&text)?;
    Ok(ExitCode::SUCCESS)
}
