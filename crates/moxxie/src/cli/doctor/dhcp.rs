//! `moxxie doctor dhcp`: what the DHCP servers of a network would make each kind of machine boot.

use crate::cli::{ClientOptions, FAILED, out};
use crate::clock;
use crate::dhcp::clients::{CLIENTS, Client, by_name};
use crate::dhcp::probe::{Plan, probe};
use crate::dhcp::report;
use crate::dhcp::verdict::{Severity, judge};
use clap::Args;
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::Duration;

/// Whom to ask, and how.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  moxxie doctor dhcp --interface eth0
  moxxie doctor dhcp --interface eth0 --seconds 10 --client bios --client x64 --client ipxe-x64

Sends DHCPDISCOVERs as firmware would, from made-up MAC addresses, and takes no lease; servers
may hold an address for each of them for some minutes. Needs root, or CAP_NET_BIND_SERVICE and
CAP_NET_RAW. Exits with 1 when something keeps machines from booting.")]
pub struct DhcpArgs {
    /// The interface in the machines' network.
    #[arg(long, value_name = "NAME")]
    interface: String,
    /// How long to wait for answers.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// Ask as this client only; may be given again [default: all twelve].
    #[arg(long = "client", value_name = "CLIENT", value_parser = client)]
    clients: Vec<&'static Client>,
    /// iPXE brings its script along, embedded or as autoexec.ipxe: DHCP need not tell it one.
    #[arg(long)]
    embedded: bool,
}

fn client(name: &str) -> Result<&'static Client, String> {
    by_name(name).ok_or_else(|| format!("one of {}", CLIENTS.each_ref().map(|client| client.name).join(", ")))
}

/// Runs `moxxie doctor dhcp`.
pub async fn run(options: &ClientOptions, args: &DhcpArgs) -> anyhow::Result<ExitCode> {
    let clients = match args.clients.is_empty() {
        true => CLIENTS.iter().collect(),
        false => args.clients.clone(),
    };
    let time = Duration::from_secs(args.seconds);
    let plan = Plan { interface: args.interface.clone(), clients, time };
    let all = probe(&plan, clock::random).await?;
    let findings = judge(&all, args.embedded);
    let value = report::value(&plan.interface, &all, &findings);
    if !out::object(options.output, &value)? {
        out::text(&drawn(&value))?;
        out::note(format!(
            "note: these are names, nothing was fetched. Answers were awaited for {} s; a server that pings an address before it offers it, one client after the other, needs more: --seconds 40 finds a second one of these",
            args.seconds
        ));
    }
    let failed = findings.iter().any(|finding| finding.severity == Severity::Error);
    Ok(if failed { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
}

/// A row for each client, then the findings.
fn drawn(report: &Value) -> String {
    let none = Vec::new();
    let list = |key: &str| report[key].as_array().unwrap_or(&none);
    let rows: Vec<Value> = list("clients")
        .iter()
        .map(|client| {
            json!({"client": client["client"], "servers": client["servers"], "address": client["address"],
                "loads": client["load"]["url"], "verdict": client["verdict"]})
        })
        .collect();
    let columns = [
        ("CLIENT", "client"),
        ("SERVERS", "servers"),
        ("ADDRESS", "address"),
        ("LOADS", "loads"),
        ("VERDICT", "verdict"),
    ];
    let mut text = out::table(&rows, &columns);
    for finding in list("findings") {
        let cell = |key: &str| out::cell(&finding[key]);
        let (severity, symptom, clients) = (cell("severity"), cell("symptom"), cell("clients"));
        let (cause, next) = (cell("cause"), cell("next"));
        text.push_str(&format!("\n{severity}: {symptom} ({clients})\n  {cause}\n  next: {next}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_for_people() {
        let report = json!({
            "clients": [
                {"client": "x64", "servers": ["10.0.0.1", "10.0.0.2"], "address": "10.0.0.9",
                 "load": {"url": "tftp://10.0.0.1/ipxe\u{1b}.efi"}, "verdict": "two-servers"},
                {"client": "plain", "servers": [], "address": null, "load": null, "verdict": "ok"},
            ],
            "findings": [{"severity": "error", "symptom": "two-servers", "clients": ["x64"],
                "cause": "two DHCP servers answer", "next": "turn one off"}],
        });
        assert_eq!(
            drawn(&report),
            "CLIENT  SERVERS             ADDRESS   LOADS                      VERDICT
x64     10.0.0.1, 10.0.0.2  10.0.0.9  tftp://10.0.0.1/ipxe\u{fffd}.efi  two-servers
plain   -                   -         -                          ok

error: two-servers (x64)
  two DHCP servers answer
  next: turn one off
"
        );
    }

    #[test]
    fn clients_are_chosen_by_name() {
        assert_eq!(client("http-arm64").unwrap().arch, 19);
        assert!(client("nes").unwrap_err().contains("ipxe-arm64"));
    }
}
