//! `moxxie approve`: the word of an operator who sees a machine's screen.

use crate::cli::ClientOptions;
use crate::cli::client::ClientError;
use crate::cli::out::{self, Column};
use anyhow::bail;
use moxxie_core::mac::MacAddr;
use reqwest::Method;
use serde_json::json;
use std::process::ExitCode;

const COLUMNS: &[Column] = &[
    ("MAC", "mac_address"),
    ("NODE", "node_name"),
    ("PROFILE", "boot_profile"),
    ("ADDRESS", "peer"),
    ("SERIAL", "serial"),
    ("UUID", "uuid"),
    ("SINCE", "asked_at"),
];

const APPROVALS: [&str; 4] = ["api", "v1", "boot", "approvals"];

/// Who, and how that is known.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  moxxie approve
  moxxie approve 0471
  moxxie approve 52:54:00:12:34:56 --code 0471")]
pub struct ApproveArgs {
    /// The code on the machine's screen, or its MAC address; neither: list who waits.
    #[arg(value_name = "CODE|MAC")]
    what: Option<String>,
    /// The code on its screen, when the MAC address was given.
    #[arg(long, value_name = "CODE", requires = "what", conflicts_with = "without_code")]
    code: Option<String>,
    /// Nobody sees its screen: for admins, and the audit log says so.
    #[arg(long, requires = "what")]
    without_code: bool,
}

/// Runs `moxxie approve`.
pub async fn run(options: &ClientOptions, args: ApproveArgs) -> anyhow::Result<ExitCode> {
    let client = options.client()?;
    let Some(what) = args.what else {
        let waiting = client.list(&APPROVALS, &[], None).await?;
        out::list(options.output, &waiting, COLUMNS)?;
        return Ok(ExitCode::SUCCESS);
    };
    let is_code = what.len() == 4 && what.bytes().all(|b| b.is_ascii_digit());
    let (mac, body) = match (is_code, args.code) {
        (true, Some(_)) => bail!("name the machine by its MAC address: moxxie approve MAC --code CODE"),
        (true, None) if args.without_code => {
            bail!("--without-code needs a MAC address: moxxie approve MAC --without-code")
        }
        (true, None) => (None, json!({ "code": what })),
        (false, Some(code)) => (Some(what.parse::<MacAddr>()?.to_string()), json!({ "code": code })),
        (false, None) if args.without_code => {
            (Some(what.parse::<MacAddr>()?.to_string()), json!({ "override": true }))
        }
        (false, None) => bail!("give the code on its screen: moxxie approve {what} --code CODE"),
    };
    let path = match &mac {
        Some(mac) => vec!["api", "v1", "boot", "assignments", mac, "approve"],
        None => APPROVALS.to_vec(),
    };
    let reply = client.call::<&str>(Method::POST, &path, &[], None, Some(&body)).await;
    let reply = reply.map_err(|error| hinted(error, mac.as_deref()))?;
    if !out::object(options.output, &reply.body)? {
        let text = |key: &str| out::cell(&reply.body[key]);
        out::line(format!(
            "{}  {}  approved: boots {} when it next asks",
            text("mac_address"),
            text("node_name"),
            text("boot_profile")
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The refusal of a wrong code with the machine and the next step: the code changes after a few
/// wrong ones.
fn hinted(error: ClientError, mac: Option<&str>) -> ClientError {
    let ClientError::Refused(mut problem) = error else { return error };
    if let (422, Some(mac)) = (problem.status, mac) {
        problem.hint = Some(format!(
            "look at the screen of {mac} again, its code may have changed; next step: moxxie approve {mac} --code CODE"
        ));
    }
    ClientError::Refused(problem)
}
