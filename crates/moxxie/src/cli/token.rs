//! `moxxie token`: API tokens.

use crate::cli::ClientOptions;
use crate::cli::out::{self, Column, Format};
use crate::cli::when::{self, When};
use clap::Subcommand;
use moxxie_core::time::{Span, Timestamp};
use reqwest::Method;
use serde_json::{Value, json};
use std::process::ExitCode;

const TOKENS: [&str; 3] = ["api", "v1", "tokens"];

const COLUMNS: &[Column] = &[
    ("ID", "id"),
    ("NAME", "name"),
    ("ROLE", "role"),
    ("CREATED", "created_at"),
    ("EXPIRES", "expires"),
    ("LAST USED", "last_used_at"),
];

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Create a token and print it, this once.
    #[command(after_help = "Example:\n  moxxie token create ci --role operator --expires 30d > ci.token")]
    Create {
        /// What it is for.
        name: String,
        /// viewer reads; operator also assigns, arms and uploads; admin does everything.
        #[arg(long, value_parser = ["viewer", "operator", "admin"])]
        role: String,
        /// When it ends: 30d, or 2026-12-31T00:00:00Z [default: never].
        #[arg(long, value_name = "WHEN")]
        expires: Option<When>,
    },
    /// List tokens, without their secrets.
    #[command(after_help = "Example:\n  moxxie token list")]
    List {
        /// At most so many.
        #[arg(long, value_name = "N")]
        limit: Option<usize>,
    },
    /// Make a token worthless at once.
    #[command(after_help = "Example:\n  moxxie token revoke 0198c7d2-1111-7000-8000-000000000001")]
    Revoke {
        /// Its id, from `moxxie token list`.
        id: String,
    },
}

/// Runs `moxxie token …`.
pub async fn run(options: &ClientOptions, command: TokenCommand) -> anyhow::Result<ExitCode> {
    let client = options.client()?;
    match command {
        TokenCommand::Create { name, role, expires } => {
            let expires = expires.map(|when| when.after(when::now()).to_string());
            let body = json!({ "name": name, "role": role, "expires_at": expires });
            let made = client.call::<&str>(Method::POST, &TOKENS, &[], None, Some(&body)).await?.body;
            if options.output == Format::Table {
                // The secret alone on standard output, so that it can be piped to where it belongs.
                out::line(out::cell(&made["token"]))?;
            } else {
                out::object(options.output, &made)?;
            }
            out::note(format!(
                "token {name} ({role}), id {}, {}. The secret is shown this once: keep it now.",
                out::cell(&made["id"]),
                expires.map_or("never expires".into(), |at| format!("expires {at}")),
            ));
        }
        TokenCommand::List { limit } => {
            let mut items = client.list(&TOKENS, &[], limit).await?;
            let ending = match options.output {
                Format::Table => mark_expiry(&mut items, when::now()),
                _ => vec![],
            };
            out::list(options.output, &items, COLUMNS)?;
            if !ending.is_empty() {
                out::note(format!(
                    "expired or about to: {}. Create a successor, then revoke the old one.",
                    ending.join(", ")
                ));
            }
        }
        TokenCommand::Revoke { id } => {
            let path = ["api", "v1", "tokens", &id];
            let answer = client.call::<&str>(Method::DELETE, &path, &[], None, None).await?.body;
            out::line(format!("token {id}: revoked"))?;
            if let Some(detail) = answer["detail"].as_str() {
                out::note(detail);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// So close to its end a token is worth a remark.
const SOON: Span = Span::days(7);

/// Gives each token a word on its end, for the table. Returns the names of those that have ended
/// or soon will.
fn mark_expiry(items: &mut [Value], now: Timestamp) -> Vec<String> {
    let mut ending = Vec::new();
    for item in items {
        let end = item["expires_at"].as_str().and_then(Timestamp::parse);
        if end.is_some_and(|end| end <= now + SOON) {
            ending.push(out::cell(&item["name"]));
        }
        item["expires"] = Value::from(match end {
            None => "never".to_owned(),
            Some(end) if end <= now => "expired".to_owned(),
            Some(end) => format!("in {}", rough(end - now)),
        });
    }
    ending
}

/// A length of time in its largest whole unit.
fn rough(span: Span) -> String {
    let minutes = span.0 / 60_000;
    let (count, unit) = match minutes {
        0 => return "less than a minute".into(),
        1..60 => (minutes, "minute"),
        60..1440 => (minutes / 60, "hour"),
        _ => (minutes / 1440, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fake::{Answer, Fake};
    use crate::cli::{Cli, Command};
    use clap::Parser as _;

    async fn go(fake: &Fake, args: &[&str]) -> anyhow::Result<ExitCode> {
        let all = [&["moxxie", "--server", &fake.url, "--token", "t", "token"], args].concat();
        let cli = Cli::try_parse_from(all)?;
        let Command::Token(command) = cli.command else { panic!("not token") };
        run(&cli.options, command).await
    }

    #[test]
    fn the_end_of_a_token_is_said_in_words() {
        let now = Timestamp::parse("2026-03-01T12:00:00Z").unwrap();
        let end = |text: &str| json!({"name": text, "expires_at": if text.is_empty() { Value::Null } else { text.into() }});
        let mut items: Vec<Value> = [
            "",
            "2026-03-01T12:00:00Z",
            "2026-03-01T12:00:30Z",
            "2026-03-01T12:01:00Z",
            "2026-03-01T15:59:00Z",
            "2026-03-05T11:00:00Z",
            "2026-03-08T12:00:00Z",
            "2026-03-31T12:00:00Z",
        ]
        .map(end)
        .into();
        let ending = mark_expiry(&mut items, now);
        let words: Vec<&str> = items.iter().map(|i| i["expires"].as_str().unwrap()).collect();
        assert_eq!(
            words,
            [
                "never",
                "expired",
                "in less than a minute",
                "in 1 minute",
                "in 3 hours",
                "in 3 days",
                "in 7 days",
                "in 30 days"
            ]
        );
        assert_eq!(ending.len(), 6, "all but never and in 30 days: {ending:?}");
    }

    #[tokio::test]
    async fn a_token_is_created_with_an_end_and_revoked_with_a_remark() {
        let fake = Fake::start(vec![
            Answer::json(201, json!({"id": "1", "token": "mox_x"})),
            Answer::json(201, json!({"id": "2", "token": "mox_y"})),
            Answer::json(200, json!({"detail": "this was yours"})),
        ]);
        let before = when::now();
        go(&fake, &["create", "ci", "--role", "operator", "--expires", "30d"]).await.unwrap();
        let sent = fake.request().json();
        let end = Timestamp::parse(sent["expires_at"].as_str().unwrap()).unwrap();
        assert!(end >= before + Span::days(30) && end <= when::now() + Span::days(30), "{sent}");
        assert_eq!((&sent["name"], &sent["role"]), (&json!("ci"), &json!("operator")));
        go(&fake, &["create", "ci2", "--role", "viewer"]).await.unwrap();
        assert_eq!(fake.request().json()["expires_at"], Value::Null);
        go(&fake, &["revoke", "2"]).await.unwrap();
        assert_eq!(fake.request().line(), "DELETE /api/v1/tokens/2");
        assert!(go(&fake, &["create", "ci", "--role", "root"]).await.is_err());
    }
}
