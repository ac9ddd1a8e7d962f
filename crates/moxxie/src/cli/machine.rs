//! `moxxie machine`: every machine that asked, assigned or not.

use crate::cli::ClientOptions;
use crate::cli::out::{self, Column};
use clap::Subcommand;
use std::process::ExitCode;

const COLUMNS: &[Column] = &[
    ("MAC", "mac_address"),
    ("NODE", "node_name"),
    ("PROFILE", "boot_profile"),
    ("LAST SEEN", "last_seen_at"),
    ("ANSWER", "last_answer"),
    ("ADDRESS", "ip"),
    ("ARCH", "arch"),
    ("MANUFACTURER", "manufacturer"),
    ("PRODUCT", "product"),
    ("SERIAL", "serial"),
    ("UUID", "uuid"),
];

/// What to do with machines.
#[derive(Debug, Subcommand)]
pub enum MachineCommand {
    /// List machines, the last seen first. What they say of themselves is not verified.
    #[command(after_help = "Example:\n  moxxie machine list --limit 20")]
    List {
        /// At most so many.
        #[arg(long, value_name = "N")]
        limit: Option<usize>,
    },
}

/// Runs `moxxie machine …`.
pub async fn run(options: &ClientOptions, command: MachineCommand) -> anyhow::Result<ExitCode> {
    let MachineCommand::List { limit } = command;
    let client = options.client()?;
    let items = client.list(&["api", "v1", "boot", "machines"], &[], limit).await?;
    out::list(options.output, &items, COLUMNS)?;
    Ok(ExitCode::SUCCESS)
}
