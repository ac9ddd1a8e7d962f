//! `moxxie audit`: what people and tokens did.

use crate::cli::ClientOptions;
use crate::cli::out::{self, Column};
use std::process::ExitCode;

const COLUMNS: &[Column] =
    &[("AT", "at"), ("WHO", "actor"), ("ACTION", "action"), ("WHAT", "target"), ("FROM", "peer")];

/// Which records.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  moxxie audit --limit 20")]
pub struct AuditArgs {
    /// At most so many; 0 for all.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
}

/// Runs `moxxie audit`.
pub async fn run(options: &ClientOptions, args: AuditArgs) -> anyhow::Result<ExitCode> {
    let limit = Some(args.limit).filter(|limit| *limit > 0);
    let items = options.client()?.list(&["api", "v1", "audit"], &[], limit).await?;
    out::list(options.output, &items, COLUMNS)?;
    Ok(ExitCode::SUCCESS)
}
