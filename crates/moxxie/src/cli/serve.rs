//! `moxxie serve`: runs the server.

use std::path::PathBuf;
use std::process::ExitCode;

/// Flags of the server. What is not given comes from the config file.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  moxxie serve\n  moxxie serve --listen 10.0.0.5:80 --data-dir /var/lib/moxxie")]
pub struct ServeArgs {
    /// The config file [default: <data-dir>/moxxie.toml when it exists].
    #[arg(long, env = "MOXXIE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where to listen; port 0 picks a free one [default: 0.0.0.0:8080].
    #[arg(long, env = "MOXXIE_LISTEN", value_name = "ADDR")]
    pub listen: Option<String>,
    /// Where everything is kept [default: ./moxxie-data].
    #[arg(long, env = "MOXXIE_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// The database: sqlite://PATH or postgres://… [default: sqlite://<data-dir>/moxxie.db].
    #[arg(long, env = "MOXXIE_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// Where assets are kept: file://DIR or s3://bucket/prefix [default: file://<data-dir>/assets].
    #[arg(long, env = "MOXXIE_ASSETS_URL", value_name = "URL")]
    pub assets_url: Option<String>,
    /// The address that boot scripts point to [default: the one each machine asked at].
    #[arg(long, env = "MOXXIE_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<String>,
}

/// Runs the server until it is told to stop.
pub async fn run(_args: ServeArgs) -> anyhow::Result<ExitCode> {
    anyhow::bail!("this build has no server")
}
