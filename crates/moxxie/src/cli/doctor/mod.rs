//! `moxxie doctor`: what can be checked from here, one line each, with the next step.

mod data_dir;
pub mod dhcp;
mod own_words;
mod server;

use crate::cli::client::{Client, ClientError};
use crate::cli::trouble;
use crate::cli::{ClientOptions, FAILED, out};
use clap::{Args, Subcommand};
use data_dir::data_dir;
use own_words::own_words;
use reqwest::Method;
use serde_json::{Value, json};
use server::server;
use std::borrow::Cow;
use std::process::ExitCode;
use std::time::Duration;

/// How long one answer may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What to look at; without a command, the server.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Something else than the server.
    #[command(subcommand)]
    command: Option<DoctorCommand>,
    /// The machines' network, such as 10.0.0.0/24: are they let in, and is there a way to them?
    #[arg(long, value_name = "NETWORK")]
    subnet: Option<String>,
}

/// What else can be looked at.
#[derive(Debug, Subcommand)]
pub enum DoctorCommand {
    /// Ask the network's DHCP servers what they would make each kind of machine boot.
    Dhcp(dhcp::DhcpArgs),
    /// What an error code of iPXE or PXE firmware means. Needs no server.
    IpxeError(trouble::ErrorArgs),
    /// Why a machine does not boot, by what its screen says. Needs no server.
    Symptom(trouble::SymptomArgs),
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Check {
    name: Cow<'static, str>,
    outcome: Outcome,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Ok,
    Fail,
    /// It could not be checked from here, which is no fault.
    Skipped,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Fail => "FAIL",
            Outcome::Skipped => "--",
        }
    }
}

fn check(name: &'static str, outcome: Outcome, text: impl Into<String>) -> Check {
    Check { name: name.into(), outcome, text: text.into() }
}

/// Asks the API once: a server that wants to be asked again later is what a doctor tells.
async fn ask(client: &Client, path: &[&str], query: &[(&str, &str)]) -> Result<Value, ClientError> {
    let request = client.authorized(Method::GET, path, query)?.timeout(TIMEOUT);
    let response = client.send_once(request).await?;
    response.json().await.map_err(|_| ClientError::Broken {
        server: client.server().to_owned(),
        cause: "the answer is no JSON, or broke off; is this a moxxie server?".to_owned(),
    })
}

/// Runs `moxxie doctor`.
pub async fn run(options: &ClientOptions, args: DoctorArgs) -> anyhow::Result<ExitCode> {
    // Where a subnet says nothing it is not passed over: somebody thinks that it does.
    if args.command.is_some() && args.subnet.is_some() {
        let why = "--subnet is for `moxxie doctor` alone: leave it out here";
        return Err(ClientError::Usage(why.to_owned()).into());
    }
    match args.command {
        Some(DoctorCommand::Dhcp(args)) => dhcp::run(options, &args).await,
        Some(DoctorCommand::IpxeError(args)) => trouble::error(options.output, &args),
        Some(DoctorCommand::Symptom(args)) => trouble::symptom(options.output, &args),
        None => check_server(options, args.subnet.as_deref()).await,
    }
}

async fn check_server(options: &ClientOptions, subnet: Option<&str>) -> anyhow::Result<ExitCode> {
    let client = options.client()?;
    let mut checks = server(&client).await;
    // What it says of itself is for who may read, so only where no token was refused.
    if checks.iter().any(|check| check.name == "token" && check.outcome != Outcome::Fail) {
        checks.extend(own_words(&client, subnet).await);
    }
    checks.extend(data_dir(options.data_dir()));
    let list: Vec<Value> = checks
        .iter()
        .map(|c| json!({"check": c.name, "outcome": c.outcome.as_str(), "text": c.text}))
        .collect();
    if !out::object(options.output, &json!({ "items": list }))? {
        for check in &checks {
            out::line(format!(
                "{:<4}  {:<9}  {}",
                check.outcome.as_str(),
                check.name,
                out::one_line(&check.text)
            ))?;
        }
    }
    let failed = checks.iter().any(|check| check.outcome == Outcome::Fail);
    Ok(if failed { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser as _;

    #[tokio::test]
    async fn a_subnet_is_never_passed_over() {
        for command in [&["dhcp", "--interface", "none"][..], &["ipxe-error", "3e11623b"], &["symptom"]] {
            let args =
                [&["moxxie", "doctor", "--subnet", "10.0.0.0/24", "--output", "json"], command].concat();
            let cli = Cli::try_parse_from(args).unwrap();
            let Command::Doctor(args) = cli.command else { panic!("not doctor") };
            let error = run(&cli.options, args).await.unwrap_err().to_string();
            assert!(error.contains("--subnet"), "{error}");
        }
    }
}
