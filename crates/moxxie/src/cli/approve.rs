//! `moxxie approve`: the word of an operator who sees a machine's screen.

use crate::cli::ClientOptions;
use crate::cli::client::ClientError;
use crate::cli::out::{self, Column};
use anyhow::bail;
use moxxie_core::mac::MacAddr;
use reqwest::Method;
use serde_json::{Value, json};
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
    let waiting = client.list(&["api", "v1", "boot", "approvals"], &[], None).await?;
    let Some(what) = args.what else {
        out::list(options.output, &waiting, COLUMNS)?;
        return Ok(ExitCode::SUCCESS);
    };
    let is_code = what.len() == 4 && what.bytes().all(|b| b.is_ascii_digit());
    let (mac, body) = match (is_code, args.code) {
        (true, Some(_)) => bail!("name the machine by its MAC address: moxxie approve MAC --code CODE"),
        (true, None) if args.without_code => {
            bail!("--without-code needs a MAC address: moxxie approve MAC --without-code")
        }
        (true, None) => (the_only(&waiting, &what)?, json!({ "code": what })),
        (false, Some(code)) => (what.parse::<MacAddr>()?.to_string(), json!({ "code": code })),
        (false, None) if args.without_code => {
            (what.parse::<MacAddr>()?.to_string(), json!({ "override": true }))
        }
        (false, None) => bail!("give the code on its screen: moxxie approve {what} --code CODE"),
    };
    let path = ["api", "v1", "boot", "assignments", &mac, "approve"];
    let reply = client
        .call::<&str>(Method::POST, &path, &[], None, Some(&body))
        .await
        .map_err(|error| hinted(error, &mac))?;
    if !out::object(options.output, &reply.body)? {
        let text = |key: &str| out::cell(&reply.body[key]);
        out::line(format!(
            "{mac}  {}  approved: boots {} when it next asks",
            text("node_name"),
            text("boot_profile")
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The refusal of a wrong code with the machine and the next step: the code changes after a few
/// wrong ones.
fn hinted(error: ClientError, mac: &str) -> ClientError {
    let ClientError::Refused(mut problem) = error else { return error };
    if problem.status == 422 {
        problem.hint = Some(format!(
            "look at the screen of {mac} again, its code may have changed; next step: moxxie approve {mac} --code CODE"
        ));
    }
    ClientError::Refused(problem)
}

/// The one machine that waits. A wrong guess counts against the machine it is made for, so a code
/// is not tried on one after the other.
fn the_only(waiting: &[Value], code: &str) -> anyhow::Result<String> {
    let mut macs: Vec<&str> = waiting.iter().filter_map(|w| w["mac_address"].as_str()).collect();
    macs.sort_unstable();
    macs.dedup();
    match macs.as_slice() {
        [one] => Ok((*one).to_owned()),
        [] => bail!("no machine waits for approval"),
        many => bail!(
            "{} machines wait ({}): say which one shows it: moxxie approve MAC --code {code}",
            many.len(),
            many.join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fake::{Answer, Fake};
    use crate::cli::{Cli, Command};
    use clap::Parser as _;

    #[tokio::test]
    async fn a_wrong_code_names_the_machine_and_the_next_step() {
        let wrong = json!({"title": "Invalid", "detail": "code: is not the code on its screen",
            "errors": [{"pointer": "/code", "message": "is not the code on its screen"}]});
        let waits = json!({"items": [{"mac_address": "52:54:00:12:34:56"}], "next": null});
        let fake = Fake::start(vec![Answer::json(200, waits), Answer::json(422, wrong)]);
        let cli = Cli::try_parse_from(["moxxie", "--server", &fake.url, "approve", "0471"]).unwrap();
        let Command::Approve(args) = cli.command else { panic!("not approve") };
        let error = run(&cli.options, args).await.unwrap_err().to_string();
        assert!(error.ends_with("moxxie approve 52:54:00:12:34:56 --code CODE"), "{error}");
    }

    #[test]
    fn a_code_alone_is_for_the_one_that_waits() {
        let waits = |mac: &str| json!({ "mac_address": mac });
        assert!(the_only(&[], "0471").unwrap_err().to_string().contains("no machine waits"));
        assert_eq!(the_only(&[waits("a"), waits("a")], "0471").unwrap(), "a");
        let error = the_only(&[waits("a"), waits("b")], "0471").unwrap_err().to_string();
        assert!(error.contains("moxxie approve MAC --code 0471"), "{error}");
    }
}
