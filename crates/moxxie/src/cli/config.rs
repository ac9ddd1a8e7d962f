//! `moxxie config`: what a server's settings say, before and while they apply.

use crate::cli::serve::ServeArgs;
use crate::cli::{ClientOptions, out, when};
use crate::config::Config;
use crate::server::Loaded;
use crate::telemetry;
use anyhow::Result;
use clap::Subcommand;
use reqwest::Method;
use serde_json::{Value, json};
use std::process::ExitCode;

/// What to do with the settings.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Read the settings as `serve` would, and say what is wrong or risky. Starts nothing.
    #[command(after_help = "Example:\n  moxxie config check --config /etc/moxxie.toml")]
    Check {
        /// As for `serve`.
        #[command(flatten)]
        settings: Box<ServeArgs>,
    },
    /// Print every setting as `serve` would have it, with passwords masked.
    #[command(after_help = "Example:\n  moxxie config show --data-dir /var/lib/moxxie")]
    Show {
        /// As for `serve`.
        #[command(flatten)]
        settings: Box<ServeArgs>,
    },
    /// Make the server read its settings and its certificate again.
    #[command(after_help = "Example:\n  moxxie config reload")]
    Reload,
}

/// Runs `moxxie config …`.
pub async fn run(options: &ClientOptions, command: ConfigCommand) -> Result<ExitCode> {
    match command {
        ConfigCommand::Check { settings } => check(options, *settings),
        ConfigCommand::Show { settings } => show(options, *settings),
        ConfigCommand::Reload => reload(options).await,
    }
}

fn check(options: &ClientOptions, settings: ServeArgs) -> Result<ExitCode> {
    let config = Config::load(settings.overrides())?;
    telemetry::check_level(&config.log_level)?;
    let mut warnings = config.risks();
    if let Some(files) = &config.doors.files
        && let Err(expired) = Loaded::read(files)?.valid(when::now())
    {
        warnings.push(format!("tls.cert: {expired}"));
    }
    if !out::object(options.output, &json!({ "warnings": warnings }))? {
        for warning in &warnings {
            out::line(format!("warning: {warning}"))?;
        }
        out::line(format!("{}: it can be used", config.path().display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(options: &ClientOptions, settings: ServeArgs) -> Result<ExitCode> {
    let settings = Config::load(settings.overrides())?.settings();
    if out::object(options.output, &json!({ "items": settings }))? {
        return Ok(ExitCode::SUCCESS);
    }
    for setting in settings {
        let value = match setting.value {
            Value::Null => String::new(),
            value => format!("{value}  "),
        };
        out::line(format!("{} = {value}# {}", setting.key, setting.from))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn reload(options: &ClientOptions) -> Result<ExitCode> {
    let client = options.client()?;
    let done =
        client.call::<&str>(Method::POST, &["api", "v1", "config", "reload"], &[], None, None).await?.body;
    if out::object(options.output, &done)? {
        return Ok(ExitCode::SUCCESS);
    }
    let keys = |name: &str| -> Vec<&str> {
        done[name].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    };
    let list = |name: &str| match keys(name).join(", ") {
        none if none.is_empty() => "nothing".to_owned(),
        some => some,
    };
    out::line(format!("changed: {}", list("changed")))?;
    if !keys("needs_restart").is_empty() {
        out::line(format!("needs a restart: {}", list("needs_restart")))?;
    }
    for warning in keys("warnings") {
        out::line(format!("warning: {}", out::one_line(warning)))?;
    }
    Ok(ExitCode::SUCCESS)
}
