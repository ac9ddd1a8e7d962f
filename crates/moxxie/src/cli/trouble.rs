//! `moxxie doctor ipxe-error` and `moxxie doctor symptom`: from tables in this program alone.

use crate::cli::out::{self, Format};
use crate::trouble::{ExplainedCode, SymptomItem, Troubleshooting};
use anyhow::bail;
use moxxie_core::trouble::{ipxe, pxe};
use serde_json::{Value, json};
use std::process::ExitCode;

/// The code.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  moxxie doctor ipxe-error 3e11623b\n  moxxie doctor ipxe-error https://ipxe.org/3e11623b\n  moxxie doctor ipxe-error PXE-E53"
)]
pub struct ErrorArgs {
    /// The code, or the line of the screen that it stands in.
    #[arg(required = true, value_name = "CODE")]
    code: Vec<String>,
}

/// What to look for.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  moxxie doctor symptom loads itself\n  moxxie doctor symptom PXE-E32")]
pub struct SymptomArgs {
    /// Words from the screen; all must match. Without any: everything.
    #[arg(value_name = "WORDS")]
    words: Vec<String>,
}

/// Runs `moxxie doctor ipxe-error`.
pub fn error(format: Format, args: &ErrorArgs) -> anyhow::Result<ExitCode> {
    let text = args.code.join(" ");
    // What firmware prints has no form in common with iPXE's codes, but for `E53` alone.
    let firmware: Vec<_> = pxe::find(&text).into_iter().flat_map(pxe::meanings).collect();
    let explained = match (ipxe::find(&text), ExplainedCode::pxe(&firmware)) {
        (None, Some(explained)) => explained,
        _ => ExplainedCode::ipxe(&ipxe::read(&text)?.decode()),
    };
    if !out::object(format, &serde_json::to_value(&explained)?)? {
        out::text(&code(&explained))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs `moxxie doctor symptom`.
pub fn symptom(format: Format, args: &SymptomArgs) -> anyhow::Result<ExitCode> {
    let found = Troubleshooting::about(&args.words.join(" "));
    if !out::object(format, &serde_json::to_value(&found)?)? {
        let parts = found.code.iter().map(code).chain(found.items.iter().map(item));
        out::text(&parts.collect::<Vec<_>>().join("\n\n"))?;
    }
    if found.items.is_empty() && found.code.is_none() {
        let nothing = "no symptom fits: try fewer words, or none to read all of them";
        bail!("{}", found.note.as_deref().unwrap_or(nothing));
    }
    Ok(ExitCode::SUCCESS)
}

/// A code for people: each meaning, then what its digits say.
fn code(explained: &ExplainedCode) -> String {
    let mut parts: Vec<String> = vec![];
    for meaning in &explained.meanings {
        let fields = json!({"cause": meaning.cause, "check": meaning.check, "fix": meaning.fix});
        parts.push(format!(
            "{} ({}): {}\n{}",
            explained.code,
            meaning.firmware,
            meaning.title,
            out::described(&fields, &["cause", "check", "fix"])
        ));
    }
    if let Some(digits) = &explained.parts {
        let place = match (digits.file, digits.subsystem) {
            (Some(file), Some(means)) => format!("{file} ({means})"),
            _ => "a file that is not known here".to_owned(),
        };
        let fields = json!({
            "kind": format!("{} ({})", digits.posix, digits.means),
            "in": place,
            "says": digits.named,
            "page": digits.page,
        });
        parts.push(out::described(&fields, &["kind", "in", "says", "page"]));
    }
    if !explained.symptoms.is_empty() {
        parts.push(format!("See also: moxxie doctor symptom {}", explained.code));
    }
    parts.join("\n\n")
}

fn item(item: &SymptomItem) -> String {
    let Ok(Value::Object(mut fields)) = serde_json::to_value(item) else { return String::new() };
    let title = out::cell(&fields.remove("title").unwrap_or_default());
    fields.retain(|key, _| matches!(key.as_str(), "seen" | "cause" | "check" | "fix"));
    if let Some(Value::Array(seen)) = fields.get("seen") {
        let seen: Vec<String> = seen.iter().map(out::cell).collect();
        fields.insert("seen".into(), seen.join(" | ").into());
    }
    format!("{title}\n{}", out::described(&Value::Object(fields), &["seen", "cause", "check", "fix"]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor;
    use crate::cli::{Cli, Command};
    use clap::Parser as _;

    async fn run(args: &[&str]) -> anyhow::Result<ExitCode> {
        let cli = Cli::try_parse_from([&["moxxie", "--output", "json", "doctor"], args].concat()).unwrap();
        let Command::Doctor(args) = cli.command else { panic!("not doctor") };
        // No server is there.
        doctor::run(&cli.options, args).await
    }

    #[tokio::test]
    async fn codes_that_cannot_be_read_are_refused_and_say_why() {
        for (args, want) in [
            (&["ipxe-error", "2c0de"][..], "all 8 digits"),
            (&["ipxe-error", "hello"], "no error code"),
            (&["ipxe-error", "ffffffff"], "is each digit right"),
            (&["symptom", "nonsense", "of", "nobody"], "fewer words"),
            (&["symptom", "ipxe.org/2c0de"], "all 8 digits"),
        ] {
            let error = run(args).await.unwrap_err().to_string();
            assert!(error.contains(want), "{args:?}: {error}");
        }
        for args in [
            &["ipxe-error", "Error", "0x3e11623b", "(http://ipxe.org/3e11623b)"][..],
            &["ipxe-error", "PXE-E53"],
            &["ipxe-error", "40ee119"],
            &["symptom"],
            &["symptom", "PXE-E18"],
        ] {
            run(args).await.unwrap_or_else(|error| panic!("{args:?}: {error}"));
        }
        assert!(Cli::try_parse_from(["moxxie", "doctor", "ipxe-error"]).is_err());
    }

    #[test]
    fn people_read_from_top_to_bottom() {
        let decoded = ipxe::read("3e11623b").unwrap().decode();
        let text = code(&ExplainedCode::ipxe(&decoded));
        assert!(text.starts_with("3e11623b (iPXE): No name server\ncause  "), "{text}");
        assert!(text.contains("says  No DNS servers available"), "{text}");
        assert!(text.contains("https://ipxe.org/err/3e1162"), "{text}");
        let found = Troubleshooting::about("loads itself");
        let text = item(&found.items[0]);
        assert!(text.starts_with("iPXE starts, loads itself") && text.contains("\nfix    "), "{text}");
    }
}
