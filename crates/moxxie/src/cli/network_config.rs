//! `moxxie network-config`: what the site's switch, router or DHCP server needs, and how what runs
//! there differs from it.

use crate::cli::ClientOptions;
use crate::cli::{FAILED, out};
use anyhow::{Context as _, bail};
use moxxie_core::switch::{self, DIALECTS, Dialect, Difference, KEYS};
use reqwest::Method;
use serde_json::{Value, json};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Largest running configuration, in bytes.
const LARGEST: u64 = 16 << 20;

/// Which vendor, and its parameters.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  moxxie network-config
  moxxie network-config mikrotik subnet=10.0.0.0/24 interface=bridge1
  moxxie network-config kea leases=static > kea-dhcp4.conf
  moxxie network-config fs --companion dnsmasq.conf
  moxxie network-config mikrotik --undo
  moxxie network-config mikrotik --compare export.rsc")]
pub struct NetworkConfigArgs {
    /// mikrotik, fs, dnsmasq, kea, …; without it, they are listed.
    vendor: Option<String>,
    /// Parameters, such as subnet=10.0.0.0/24; the server fills in what is left out.
    #[arg(value_name = "KEY=VALUE", value_parser = pair)]
    parameters: Vec<(String, String)>,
    /// Print what takes the configuration away again.
    #[arg(long, conflicts_with = "compare")]
    undo: bool,
    /// Print a file that belongs beside it, such as the DHCP server's that a switch relays to.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["undo", "compare"])]
    companion: Option<String>,
    /// Say how this running configuration differs (RouterOS: /export; others: show running-config). `-` reads standard input.
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
}

fn pair(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() && !matches!(key, "vendor" | "format") => {
            Ok((key.to_owned(), value.to_owned()))
        }
        _ => Err("write key=value, such as subnet=10.0.0.0/24"),
    }
}

/// Runs `moxxie network-config`.
pub async fn run(options: &ClientOptions, args: NetworkConfigArgs) -> anyhow::Result<ExitCode> {
    let Some(vendor) = args.vendor else {
        if args.undo || args.compare.is_some() || args.companion.is_some() {
            bail!("name the vendor: moxxie network-config mikrotik …");
        }
        list(options)?;
        return Ok(ExitCode::SUCCESS);
    };
    // Before the server is asked: a file that cannot be read is the quicker answer.
    let running = args.compare.as_deref().map(read).transpose()?;
    let mut query = vec![("vendor", vendor.as_str()), ("format", "json")];
    query.extend(args.parameters.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    let path = ["api", "v1", "boot", "network-config"];
    let reply = options.client()?.call(Method::GET, &path, &query, None, None).await?.body;
    if let Some(running) = running {
        return compare(options, &vendor, &reply, &running);
    }
    // They are about the script: an undo needs none of it.
    let warnings = if args.undo { &Value::Null } else { &reply["warnings"] };
    for warning in warnings.as_array().into_iter().flatten().filter_map(Value::as_str) {
        out::note(format!("note: {}", out::one_line(warning)));
    }
    if out::object(options.output, &reply)? {
        return Ok(ExitCode::SUCCESS);
    }
    let companions = reply["companions"].as_array().map_or(&[][..], Vec::as_slice);
    let names = || companions.iter().filter_map(|file| file["name"].as_str()).collect::<Vec<_>>().join(", ");
    let (what, text) = match &args.companion {
        Some(name) => {
            let Some(file) = companions.iter().find(|file| file["name"] == **name) else {
                match names().as_str() {
                    "" => bail!("nothing belongs beside this configuration"),
                    names => bail!("no {name} belongs beside this configuration; there are: {names}"),
                }
            };
            ("companion", &file["script"])
        }
        None if args.undo => ("undo", &reply["undo"]),
        None => ("script", &reply["script"]),
    };
    out::text(text.as_str().with_context(|| format!("the server's answer has no {what}"))?)?;
    if what == "script" && !companions.is_empty() {
        out::note(format!("note: with it goes: {} (--companion NAME prints it)", out::one_line(&names())));
    }
    Ok(ExitCode::SUCCESS)
}

/// A running configuration. Comments in it may be in any encoding, and say nothing here.
fn read(path: &Path) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    let read = match path == Path::new("-") {
        true => std::io::stdin().lock().take(LARGEST + 1).read_to_end(&mut bytes),
        false => File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes)),
    };
    read.with_context(|| format!("cannot read {}", path.display()))?;
    if bytes.len() as u64 > LARGEST {
        bail!("{}: larger than {} MiB, which no configuration is", path.display(), LARGEST >> 20);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn compare(options: &ClientOptions, vendor: &str, reply: &Value, running: &str) -> anyhow::Result<ExitCode> {
    let wanted = reply["script"].as_str().context("the server's answer has no script")?;
    let dialect = switch::find(vendor)
        .with_context(|| format!("this program does not know {vendor}; use the server's version"))?;
    let Some(differences) = dialect.compare(wanted, running) else {
        let can = DIALECTS.iter().filter_map(|d| Some(format!("{} ({})", d.name(), d.compared()?)));
        bail!("this configuration cannot be compared; these can: {}", can.collect::<Vec<_>>().join(", "));
    };
    let items: Vec<Value> = differences.iter().map(|d| json!(d)).collect();
    if !out::object(options.output, &json!({ "items": items }))? {
        match differences.is_empty() {
            true => out::line("no difference: it runs what Moxxie would write")?,
            false => out::text(&differences.iter().map(told).collect::<String>())?,
        }
    }
    Ok(if differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

fn told(difference: &Difference) -> String {
    let kind = json!(difference.kind);
    let mut text = format!("{:<8} {}\n", kind.as_str().unwrap_or(""), out::one_line(&difference.what));
    for (word, value) in
        [("wanted", &difference.wanted), ("found", &difference.found), ("fix", &difference.fix)]
    {
        if !value.is_empty() {
            text += &format!("         {word}: {}\n", out::one_line(value));
        }
    }
    text
}

/// The vendors, from this program's own table: no server is asked.
fn list(options: &ClientOptions) -> anyhow::Result<()> {
    let items: Vec<Value> = DIALECTS.iter().map(|dialect| listed(*dialect)).collect();
    if out::object(options.output, &json!({ "items": items }))? {
        return Ok(());
    }
    out::list(
        options.output,
        &items,
        &[("VENDOR", "vendor"), ("FOR", "title"), ("GIVES", "summary"), ("CHOOSE", "choose")],
    )?;
    out::line("\nParameters (KEY=VALUE; what is left out, the server fills in):")?;
    for (key, meaning) in KEYS {
        out::line(format!("  {key:<12} {meaning}"))?;
    }
    Ok(())
}

fn listed(dialect: &dyn Dialect) -> Value {
    let choices: Vec<String> = dialect
        .choices()
        .iter()
        .map(|choice| {
            let values: Vec<&str> = choice.values.iter().map(|(value, _)| *value).collect();
            format!("{}={}", choice.key, values.join("|"))
        })
        .collect();
    json!({
        "vendor": dialect.name(),
        "title": dialect.title(),
        "summary": dialect.summary(),
        "choose": choices.join(" "),
        "parameters": dialect.reads(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fake::{Answer, Fake};
    use crate::cli::{Cli, Command};
    use clap::Parser as _;

    async fn go(url: &str, args: &[&str]) -> anyhow::Result<ExitCode> {
        let command = ["moxxie", "--server", url, "--token", "t", "network-config"];
        let cli = Cli::try_parse_from(command.iter().chain(args))?;
        let Command::NetworkConfig(args) = cli.command else { panic!("not network-config") };
        run(&cli.options, args).await
    }

    #[tokio::test]
    async fn a_script_and_a_refusal() {
        let fake = Fake::start(vec![
            Answer::json(200, json!({"script": "x\n", "undo": "y\n", "warnings": ["careful"]})),
            Answer::json(
                422,
                json!({"title": "Invalid", "detail": "one field", "errors": [{"pointer": "/vlan", "message": "a VLAN is a number"}]}),
            ),
        ]);
        assert!(go(&fake.url, &["dnsmasq", "vlan=5"]).await.is_ok());
        assert_eq!(
            fake.request().line(),
            "GET /api/v1/boot/network-config?vendor=dnsmasq&format=json&vlan=5"
        );
        let refused = go(&fake.url, &["dnsmasq", "vlan=x"]).await.unwrap_err().to_string();
        assert!(refused.contains("a VLAN is a number"), "{refused}");
    }

    #[tokio::test]
    async fn what_belongs_beside_it() {
        let answer = || {
            let file = json!({"name": "dnsmasq.conf", "script": "port=0\n"});
            Answer::json(200, json!({"script": "x\n", "undo": "y\n", "warnings": [], "companions": [file]}))
        };
        let fake = Fake::start(vec![answer(), answer(), answer()]);
        assert!(go(&fake.url, &["fs"]).await.is_ok());
        assert!(go(&fake.url, &["fs", "--companion", "dnsmasq.conf"]).await.is_ok());
        let none = go(&fake.url, &["fs", "--companion", "kea.conf"]).await.unwrap_err().to_string();
        assert!(none.ends_with("there are: dnsmasq.conf"), "{none}");
    }

    #[tokio::test]
    async fn what_needs_no_server() {
        // Nobody listens there.
        let nowhere = "http://127.0.0.1:1";
        assert!(go(nowhere, &[]).await.is_ok());
        assert!(go(nowhere, &["--undo"]).await.is_err());
        for wrong in ["x", "=x", "vendor=kea", "format=json"] {
            assert!(go(nowhere, &["dnsmasq", wrong]).await.is_err(), "{wrong}");
        }
        let missing = go(nowhere, &["mikrotik", "--compare", "/nowhere/export.rsc"]).await.unwrap_err();
        assert!(missing.to_string().contains("cannot read /nowhere/export.rsc"), "{missing}");
    }
}
