//! `moxxie serve`: runs the server.

use crate::config::Overrides;
use crate::serve::Secrets;
use moxxie_store::assets::S3Env;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// Flags of the server. What is not given comes from the config file.
#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    /// The config file [default: <data-dir>/moxxie.toml when it exists].
    #[arg(long, env = "MOXXIE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where to listen; port 0 picks a free one [default: 0.0.0.0:8080].
    #[arg(long, env = "MOXXIE_LISTEN", value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// Where everything is kept [default: ./moxxie-data].
    #[arg(long, env = "MOXXIE_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// The database: sqlite://PATH or postgres://… [default: sqlite://<data-dir>/moxxie.db].
    #[arg(long, env = "MOXXIE_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// Where assets are kept: file://DIR, or s3://BUCKET/PREFIX with the usual AWS_* variables [default: file://<data-dir>/assets].
    #[arg(long, env = "MOXXIE_ASSETS_URL", value_name = "URL")]
    pub assets_url: Option<String>,
    /// The address that boot scripts point to [default: the one each machine asked at].
    #[arg(long, env = "MOXXIE_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<String>,
    /// Where to listen with TLS besides; needs certificate and key.
    #[arg(long, env = "MOXXIE_TLS_LISTEN", value_name = "ADDR")]
    pub tls_listen: Option<SocketAddr>,
    /// The certificate chain, PEM.
    #[arg(long, env = "MOXXIE_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// Its private key, PEM.
    #[arg(long, env = "MOXXIE_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Where the API, its pages and /metrics are served, and nowhere else [default: everywhere].
    #[arg(long, env = "MOXXIE_ADMIN_LISTEN", value_name = "ADDR")]
    pub admin_listen: Option<SocketAddr>,
    /// Where to serve the loaders by TFTP; port 69 where none is given [default: nowhere].
    #[arg(long, env = "MOXXIE_TFTP", value_name = "ADDR", value_parser = crate::config::tftp::address)]
    pub tftp: Option<SocketAddr>,
}

impl ServeArgs {
    /// What is said here, with the environment of the store of assets.
    pub fn overrides(self) -> Overrides {
        Overrides {
            config: self.config,
            listen: self.listen,
            data_dir: self.data_dir,
            database_url: self.database_url,
            assets_url: self.assets_url,
            public_url: self.public_url,
            tls_listen: self.tls_listen,
            tls_cert: self.tls_cert,
            tls_key: self.tls_key,
            admin_listen: self.admin_listen,
            tftp: self.tftp,
            s3_env: S3Env(std::env::vars().filter(|(name, _)| name.starts_with("AWS_")).collect()),
        }
    }
}

/// Runs the server until it is told to stop.
pub async fn run(args: ServeArgs) -> anyhow::Result<ExitCode> {
    // These two are no flags: a command line can be read by every user of the machine.
    let secrets = Secrets {
        admin_token: std::env::var("MOXXIE_ADMIN_TOKEN").ok(),
        secret_key: std::env::var("MOXXIE_SECRET_KEY").ok(),
    };
    crate::serve::run(args.overrides(), secrets).await
}
