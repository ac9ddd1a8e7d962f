//! `moxxie explain`: what a machine would boot, and why.

use crate::cli::ClientOptions;
use crate::cli::out;
use moxxie_core::mac::MacAddr;
use reqwest::Method;
use serde_json::Value;
use std::process::ExitCode;

/// The machine, as it would describe itself.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  moxxie explain --mac 5254.0012.3456\n  moxxie explain --mac 52:54:00:12:34:56 --platform efi --arch x86_64"
)]
pub struct ExplainArgs {
    /// MAC address.
    #[arg(long)]
    mac: MacAddr,
    /// SMBIOS UUID.
    #[arg(long)]
    uuid: Option<String>,
    /// Serial number.
    #[arg(long)]
    serial: Option<String>,
    /// Asset tag.
    #[arg(long)]
    asset: Option<String>,
    /// Architecture, as iPXE's ${buildarch} names it: x86_64, i386, arm64.
    #[arg(long)]
    arch: Option<String>,
    /// Firmware, as iPXE's ${platform} names it: efi or pcbios.
    #[arg(long)]
    platform: Option<String>,
    /// Manufacturer.
    #[arg(long)]
    manufacturer: Option<String>,
    /// Product.
    #[arg(long)]
    product: Option<String>,
    /// The address it asks from.
    #[arg(long)]
    ip: Option<String>,
}

/// Runs `moxxie explain`.
pub async fn run(options: &ClientOptions, args: ExplainArgs) -> anyhow::Result<ExitCode> {
    let labels = [
        ("mac", Some(args.mac.to_string())),
        ("uuid", args.uuid),
        ("serial", args.serial),
        ("asset", args.asset),
        ("arch", args.arch),
        ("platform", args.platform),
        ("manufacturer", args.manufacturer),
        ("product", args.product),
        ("ip", args.ip),
    ];
    let query: Vec<(&str, String)> =
        labels.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    let path = ["api", "v1", "boot", "explain"];
    let reply = options.client()?.call(Method::GET, &path, &query, None, None).await?.body;
    if !out::object(options.output, &reply)? {
        out::text(&view(&reply))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The explanation for people: the decision in one line, then what follows from it, and last what
/// led to it. What the server does not say is left out.
fn view(reply: &Value) -> String {
    let mut lines = vec![headline(reply)];
    let decision = &reply["decision"];
    let items = |key: &str| reply[key].as_array().map(Vec::as_slice).unwrap_or_default();
    let said = [("reason", &decision["reason"]), ("next step", &decision["next_step"])];
    let warnings = items("warnings").iter().map(|warning| ("warning", warning));
    for (label, value) in said.into_iter().chain(warnings) {
        if !value.is_null() && value != "" {
            lines.push(format!("  {label}: {}", out::cell(value)));
        }
    }
    section(&mut lines, "Machine", machine(&reply["machine"]));
    section(&mut lines, "Kernel arguments", items("kernel_args").iter().map(argument));
    for (name, text) in reply["config"].as_object().into_iter().flatten() {
        let title = match name.as_str() {
            "" => "Config, secrets masked".to_owned(),
            name => format!("Config {}, secrets masked", out::one_line(name)),
        };
        let text = text.as_str().map_or_else(|| out::cell(text), str::to_owned);
        section(&mut lines, &title, text.lines().map(str::to_owned));
    }
    section(&mut lines, "Assets", items("assets").iter().map(asset));
    let lost = items("rules_lost")
        .iter()
        .map(|lost| format!("{}: {}", out::cell(&lost["rule"]), out::cell(&lost["why"])));
    let title = match decision["rule"].as_str() {
        Some(won) => format!("Rules that lost to {}", out::one_line(won)),
        None => "Rules that lost".to_owned(),
    };
    section(&mut lines, &title, lost);
    let script = reply["script"].as_str().unwrap_or_default();
    section(&mut lines, "Script", script.lines().map(str::to_owned));
    lines.join("\n")
}

/// What is known of the machine, first where it asks from.
fn machine(machine: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(ip) = machine["ip"].as_str() {
        let assumed = if machine["ip_assumed"] == true { " (assumed)" } else { "" };
        lines.push(format!("asks from: {}{assumed}", out::one_line(ip)));
    }
    for (key, value) in machine.as_object().into_iter().flatten() {
        if !matches!(key.as_str(), "ip" | "ip_assumed") && !value.is_null() {
            lines.push(format!("{key}: {}", out::cell(value)));
        }
    }
    lines
}

fn headline(reply: &Value) -> String {
    let machine = &reply["machine"];
    let mac = machine.get("mac").or_else(|| machine.get("mac_address")).unwrap_or(&Value::Null);
    let who = match &machine["node_name"] {
        Value::String(node) => format!("{} ({})", out::cell(mac), out::one_line(node)),
        _ => out::cell(mac),
    };
    let decision = &reply["decision"];
    let profile = out::cell(&decision["profile"]);
    let what = match decision["outcome"].as_str() {
        Some("boot") => format!("boots profile {profile}"),
        Some("boot-unassigned") => format!("is not assigned and boots profile {profile}"),
        Some("local") => "boots from its disk".into(),
        Some("menu") => "is shown the menu for unknown machines".into(),
        Some("identify") => "is asked who it is".into(),
        Some(other) => out::one_line(other),
        None => "no decision in the answer".into(),
    };
    format!("{who} {what}")
}

fn argument(argument: &Value) -> String {
    let (key, value) = match argument {
        Value::Array(pair) => (pair.first(), pair.get(1)),
        Value::Object(pair) => (pair.get("key"), pair.get("value")),
        other => (Some(other), None),
    };
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), out::one_line);
    match (key, value) {
        (Some(key), None | Some(Value::Null)) => text(key),
        (Some(key), Some(value)) => format!("{}={}", text(key), text(value)),
        _ => String::new(),
    }
}

fn asset(asset: &Value) -> String {
    let name = asset.get("file").filter(|file| !file.is_null()).unwrap_or(&asset["url"]);
    let mut line = format!("{}: ", out::cell(name));
    line.push_str(match (asset["exists"].as_bool(), asset["condition"].as_str()) {
        (Some(true), _) => "there",
        (Some(false), Some("damaged")) => "DAMAGED",
        (Some(false), _) => "MISSING",
        (None, _) => "not checked",
    });
    if let Some(size) = asset["size"].as_u64() {
        line.push_str(&format!(", {}", out::size(size)));
    }
    if let Some(digest) = asset["sha256"].as_str() {
        line.push_str(&format!(", sha256 {}", out::one_line(digest)));
    }
    line
}

fn section(lines: &mut Vec<String>, title: &str, body: impl IntoIterator<Item = String>) {
    let mut body = body.into_iter().peekable();
    if body.peek().is_some() {
        lines.push(String::new());
        lines.push(format!("{title}:"));
        lines.extend(body.map(|line| format!("  {line}").trim_end().to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_decision_comes_first() {
        let reply = json!({
            "machine": {"mac": "52:54:00:12:34:56", "node_name": "cp-1", "uuid": null,
                        "ip": "10.0.0.1", "ip_assumed": true},
            "decision": {"outcome": "boot", "rule": "armed", "reason": "its window is open",
                         "next_step": "power it on", "profile": "talos-cp"},
            "rules_lost": [{"rule": "protected", "why": "not protected"}],
            "script": "#!ipxe\nkernel x\n", "kernel_args": [["console", "ttyS0"], ["quiet", null], "ro"],
            "config": {"": "a: 1\ntoken: ********\n"},
            "assets": [{"file": "vmlinuz", "exists": true, "size": 2048, "sha256": "abc"},
                       {"file": null, "url": "http://x/y", "exists": null},
                       {"file": "gone", "exists": false}],
            "warnings": ["no initrd"]
        });
        assert_eq!(
            view(&reply),
            "52:54:00:12:34:56 (cp-1) boots profile talos-cp
  reason: its window is open
  next step: power it on
  warning: no initrd

Machine:
  asks from: 10.0.0.1 (assumed)
  mac: 52:54:00:12:34:56
  node_name: cp-1

Kernel arguments:
  console=ttyS0
  quiet
  ro

Config, secrets masked:
  a: 1
  token: ********

Assets:
  vmlinuz: there, 2.0 KiB, sha256 abc
  http://x/y: not checked
  gone: MISSING

Rules that lost to armed:
  protected: not protected

Script:
  #!ipxe
  kernel x"
        );
        assert_eq!(view(&json!({})), "- no decision in the answer");
        assert_eq!(
            view(&json!({"machine": {"mac": "m", "ip": "10.0.0.1", "ip_assumed": false},
                         "decision": {"outcome": "local", "next_step": ""}, "script": null})),
            "m boots from its disk\n\nMachine:\n  asks from: 10.0.0.1\n  mac: m"
        );
    }
}
