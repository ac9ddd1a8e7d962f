//! `moxxie token`: API tokens.

use crate::cli::ClientOptions;
use crate::cli::out::{self, Column, Format};
use crate::cli::when::{self, When};
use clap::Subcommand;
use reqwest::Method;
use serde_json::json;
use std::process::ExitCode;

const TOKENS: [&str; 3] = ["api", "v1", "tokens"];

const COLUMNS: &[Column] = &[
    ("ID", "id"),
    ("NAME", "name"),
    ("ROLE", "role"),
    ("CREATED", "created_at"),
    ("EXPIRES", "expires_at"),
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
            let items = client.list(&TOKENS, &[], limit).await?;
            out::list(options.output, &items, COLUMNS)?;
        }
        TokenCommand::Revoke { id } => {
            let path = ["api", "v1", "tokens", &id];
            client.call::<&str>(Method::DELETE, &path, &[], None, None).await?;
            out::line(format!("token {id}: revoked"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
