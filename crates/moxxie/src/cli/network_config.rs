//! `moxxie network-config`: what the site's switch or router needs.

use crate::cli::ClientOptions;
use crate::cli::out;
use anyhow::bail;
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
        Some((key, value)) if !key.is_empty() && key != "vendor" => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write key=value"),
    }
}

/// Runs `moxxie network-config`.
pub async fn run(options: &ClientOptions, args: NetworkConfigArgs) -> anyhow::Result<ExitCode> {
    let mut query = vec![("vendor", args.vendor)];
    query.extend(args.parameters.iter().map(|(key, value)| (key.as_str(), value.clone())));
    let path = ["api", "v1", "boot", "network-config"];
    match options.client()?.text(&path, &query).await {
        Ok(text) => out::text(&text)?,
        Err(error) if error.status() == Some(404) => bail!(
            "this server has no network-config yet; docs/first-boot.md says what a switch or router needs"
        ),
        Err(error) => return Err(error.into()),
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fake::{Answer, Fake};
    use crate::cli::{Cli, Command};
    use clap::Parser as _;
    use serde_json::json;

    #[tokio::test]
    async fn a_server_without_it_is_no_riddle() {
        let fake = Fake::start(vec![
            Answer::json(404, json!({"title": "Not Found", "detail": "no such URL"})),
            Answer::json(422, json!({"title": "Invalid"})),
        ]);
        let go = async || {
            let cli =
                Cli::try_parse_from(["moxxie", "--server", &fake.url, "network-config", "x", "a=b"]).unwrap();
            let Command::NetworkConfig(args) = cli.command else { panic!("not network-config") };
            run(&cli.options, args).await.unwrap_err().to_string()
        };
        assert!(go().await.starts_with("this server has no network-config yet"));
        assert_eq!(go().await, "Invalid (422)");
        assert_eq!(fake.request().line(), "GET /api/v1/boot/network-config?vendor=x&a=b");
    }
}
