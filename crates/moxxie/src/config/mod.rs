//! Settings: flag over environment over file over default.

pub mod access;
mod audit;
mod change;
pub mod file;
pub mod limits;
mod listen;
mod risk;
mod shown;
pub mod tftp;

pub use access::AccessConfig;
pub use audit::{Audit, Sink};
pub use change::RESTART;
pub use file::{ConfigError, FileConfig, TEMPLATE};
pub use listen::{CertFiles, Listen};
pub use tftp::Tftp;

use moxxie_core::boot::wave;
use moxxie_core::net::Networks;
use moxxie_core::site::Site;
use moxxie_store::assets::{AssetsConfig, Place, S3Env};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What the command line and the environment say. `None` where they say nothing.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--config`.
    pub config: Option<PathBuf>,
    /// `--listen`.
    pub listen: Option<SocketAddr>,
    /// `--data-dir`.
    pub data_dir: Option<PathBuf>,
    /// `--database-url`.
    pub database_url: Option<String>,
    /// `--assets-url`.
    pub assets_url: Option<String>,
    /// `--public-url`.
    pub public_url: Option<String>,
    /// `--tls-listen`.
    pub tls_listen: Option<SocketAddr>,
    /// `--tls-cert`.
    pub tls_cert: Option<PathBuf>,
    /// `--tls-key`.
    pub tls_key: Option<PathBuf>,
    /// `--admin-listen`.
    pub admin_listen: Option<SocketAddr>,
    /// `--tftp`.
    pub tftp: Option<SocketAddr>,
    /// The `AWS_*` variables.
    pub s3_env: S3Env,
}

/// The settings in force.
#[derive(Clone)]
pub struct Config {
    /// What was given beside the file: a reload gives it again.
    given: Overrides,
    /// What the file says, by key.
    written: serde_json::Map<String, serde_json::Value>,
    /// Where to listen.
    pub listen: SocketAddr,
    /// The further listeners.
    pub doors: Listen,
    /// Whether and how loaders are served by TFTP.
    pub tftp: Tftp,
    /// Where first-run files, and the embedded database and assets, live.
    pub data_dir: PathBuf,
    /// The database. May hold a password: never logged.
    pub database_url: String,
    /// Where the assets are.
    pub assets: AssetsConfig,
    /// The folder of the assets on this machine: all of them, or the cache of those on S3.
    pub assets_dir: PathBuf,
    /// How fast stored files are read anew, in bytes a second; 0: not at all.
    pub scrub_rate: u64,
    /// Links in scripts begin with this; the request's own `Host` when unset.
    pub public_url: Option<String>,
    /// Who may ask.
    pub access: Arc<AccessConfig>,
    /// Networks that assets may be imported from although they are private.
    pub import_allow: Networks,
    /// Files that appear below this folder are put on shelves.
    pub watch: Option<PathBuf>,
    /// What decisions and templates depend on.
    pub site: Site,
    /// How many days events are kept.
    pub event_days: i64,
    /// How many events are kept.
    pub event_rows: u32,
    /// What becomes of audit records.
    pub audit: Audit,
    /// How many machines that nobody assigned are remembered.
    pub unknown_machines: u32,
    /// How much may be booting at once.
    pub waves: wave::Limits,
    /// How often, and how much at once.
    pub limits: limits::Limits,
    /// Largest asset in bytes.
    pub max_asset_bytes: u64,
    /// After SIGTERM, how long `/readyz` says no before the listener closes.
    pub shutdown_grace: Duration,
    /// After that, how long running downloads may go on.
    pub shutdown_drain: Duration,
    /// Logs as JSON lines.
    pub log_json: bool,
    /// Log filter, such as `info` or `moxxie=debug`.
    pub log_level: String,
}

impl Config {
    /// Reads the same layers again.
    pub fn again(&self) -> Result<Config, ConfigError> {
        Config::load(self.given.clone())
    }

    /// The file that these settings come from, whether it is there or not.
    pub fn path(&self) -> PathBuf {
        self.given.config.clone().unwrap_or_else(|| self.data_dir.join("moxxie.toml"))
    }

    /// Puts the layers together.
    pub fn load(given: Overrides) -> Result<Config, ConfigError> {
        let again = given.clone();
        let data_dir = given.data_dir.clone().unwrap_or_else(|| PathBuf::from("./moxxie-data"));
        let (path, required) = match &given.config {
            Some(path) => (path.clone(), true),
            None => (data_dir.join("moxxie.toml"), false),
        };
        let mut file = FileConfig::read(&path, required)?;
        let bad =
            |key: &str, why: String| ConfigError::Value { path: path.clone(), key: key.to_owned(), why };

        let written = change::keys(&file);
        let doors = Listen::of(&file.tls, &file.admin, &given).map_err(|(key, why)| bad(key, why))?;
        let tftp = Tftp::of(&file.tftp, given.tftp).map_err(|(key, why)| bad(key, why))?;
        let listen = match (given.listen, file.listen) {
            (Some(addr), _) => addr,
            (None, Some(text)) => {
                text.parse().map_err(|_| bad("listen", "it is not an address such as 0.0.0.0:8080".into()))?
            }
            (None, None) => SocketAddr::from(([0, 0, 0, 0], 8080)),
        };
        let database_url = given
            .database_url
            .or(file.database_url)
            .unwrap_or_else(|| format!("sqlite://{}", data_dir.join("moxxie.db").display()));
        let assets_url = given.assets_url.or(file.assets_url);
        let place = match assets_url.as_deref().map(Place::parse) {
            None => Place::Folder(data_dir.join("assets")),
            Some(place) => place.map_err(|why| bad("assets_url", why))?,
        };
        let public_url = match given.public_url.or(file.public_url) {
            Some(url) => Some(check_public_url(&url).map_err(|why| bad("public_url", why))?),
            None => None,
        };

        let mut site = Site::default();
        if let Some(params) = file.params {
            site.params = params;
        }
        let provisioning = file.access.provisioning.take();
        let access = AccessConfig::from_file(file.access).map_err(|(key, why)| bad(key, why))?;
        site.provisioning = match provisioning {
            Some(texts) => networks(&texts).map_err(|why| bad("access.provisioning", why))?,
            None => access.allow.clone(),
        };
        let import_allow =
            networks(&file.import.allow.unwrap_or_default()).map_err(|why| bad("import.allow", why))?;
        if let Some(text) = file.boot.local_boot {
            site.local_boot = text
                .parse()
                .map_err(|()| bad("boot.local_boot", "one of auto, exit, sanboot, 404".into()))?;
        }
        let positive = |key: &str, value: Option<i64>, default: i64, most: i64| match value {
            None => Ok(default),
            Some(n) if (1..=most).contains(&n) => Ok(n),
            Some(n) => Err(bad(key, format!("{n} is not between 1 and {most}"))),
        };
        use moxxie_core::time::Span;
        site.arm_window = Span::hours(positive("boot.arm_hours", file.boot.arm_hours, 168, 8760)?);
        site.boot_window =
            Span::minutes(positive("boot.window_minutes", file.boot.window_minutes, 240, 10080)?);
        site.settle = Span::minutes(positive("boot.settle_minutes", file.boot.settle_minutes, 30, 10080)?);
        let v4 = positive("boot.token_prefix_v4", file.boot.token_prefix_v4, 24, 32)?;
        let v6 = positive("boot.token_prefix_v6", file.boot.token_prefix_v6, 64, 128)?;
        site.token_prefix_v4 = u8::try_from(v4).unwrap_or(24);
        site.token_prefix_v6 = u8::try_from(v6).unwrap_or(64);

        let audit = Audit::from_file(&file.audit).map_err(|(key, why)| bad(key, why))?;
        let seconds = |n: i64| Duration::from_secs(n.unsigned_abs());
        let most = 1_000_000;
        let unknown = positive("limits.unknown_machines", file.limits.unknown_machines, 10_000, most)?;
        let rows = positive("limits.event_rows", file.limits.event_rows, 200_000, 100_000_000)?;
        let cache_mib = positive("assets.cache_mib", file.assets.cache_mib, 20 * 1024, 1_000_000_000)?;
        let scrub_mib = match file.assets.scrub_mib_per_second {
            Some(0) => 0,
            other => positive("assets.scrub_mib_per_second", other, 20, most)?,
        };
        const MIB: u64 = 1024 * 1024;
        let assets = AssetsConfig {
            place,
            cache_dir: data_dir.join("asset-cache"),
            cache_bytes: cache_mib.unsigned_abs() * MIB,
            redirect: file.assets.redirect.unwrap_or(false),
            env: given.s3_env,
            times: Default::default(),
        };
        let max_mib = positive("limits.asset_mib", file.limits.asset_mib, 16 * 1024, most)?;
        // 0 says "no limit", as no line does.
        let limit = |key: &str, value: Option<i64>| match value {
            None | Some(0) => Ok(None),
            Some(n) => u64::try_from(n).map(Some).map_err(|_| bad(key, format!("{n} is less than 0"))),
        };
        let waves = wave::Limits {
            bytes: limit("limits.asset_bytes_in_flight", file.limits.asset_bytes_in_flight)?,
            boots: limit("limits.boots_in_flight", file.limits.boots_in_flight)?
                .map(|n| usize::try_from(n).unwrap_or(usize::MAX)),
        };
        Ok(Config {
            given: again,
            written,
            listen,
            doors,
            tftp,
            audit,
            database_url,
            assets_dir: assets.dir().to_owned(),
            assets,
            scrub_rate: scrub_mib.unsigned_abs() * MIB,
            public_url,
            access: Arc::new(access),
            import_allow,
            watch: match file.assets.watch {
                None => None,
                Some(text) if Path::new(&text).is_absolute() => Some(PathBuf::from(text)),
                Some(_) => return Err(bad("assets.watch", "it is not a path that begins with /".into())),
            },
            site,
            event_days: positive("limits.event_days", file.limits.event_days, 90, 36_500)?,
            event_rows: u32::try_from(rows).unwrap_or(200_000),
            unknown_machines: u32::try_from(unknown).unwrap_or(10_000),
            waves,
            limits: limits::Limits::from_file(&file.limits).map_err(|(key, why)| bad(key, why))?,
            max_asset_bytes: max_mib.unsigned_abs() * MIB,
            shutdown_grace: match file.shutdown.grace_seconds {
                Some(0) => Duration::ZERO,
                other => seconds(positive("shutdown.grace_seconds", other, 1, 600)?),
            },
            shutdown_drain: seconds(positive(
                "shutdown.drain_seconds",
                file.shutdown.drain_seconds,
                300,
                3600,
            )?),
            log_json: match file.log.format.as_deref() {
                None | Some("text") => false,
                Some("json") => true,
                Some(_) => return Err(bad("log.format", "one of text, json".into())),
            },
            log_level: file.log.level.unwrap_or_else(|| "info".into()),
            data_dir,
        })
    }
}

fn networks(texts: &[String]) -> Result<Networks, String> {
    Networks::read(texts).map_err(|why| why.to_string())
}

fn check_public_url(text: &str) -> Result<String, String> {
    let wanted = "it must be http://HOST[:PORT] or https://HOST[:PORT], with no query";
    let url = url::Url::parse(text).map_err(|e| format!("{e}; {wanted}"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!("it holds a user name or a password; {wanted}"));
    }
    let plain = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.query().is_none()
        && url.fragment().is_none();
    let text = url.as_str().trim_end_matches('/').to_owned();
    if plain && moxxie_core::ipxe::Word::new(text.as_str()).is_ok() {
        Ok(text)
    } else {
        Err(wanted.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_urls() {
        assert_eq!(check_public_url("http://10.0.0.1:8080/").as_deref(), Ok("http://10.0.0.1:8080"));
        for bad in ["10.0.0.1:8080", "ftp://x", "http://u:p@x", "http://x/?q", "http://x/#f", ""] {
            assert!(check_public_url(bad).is_err(), "{bad}");
        }
        for bad in [
            "http://u:canary@h",
            "http://canary@h",
            "http://u:canary@h:x",
            "canary",
            "ftp://canary",
            "http://h/?canary",
        ] {
            let error = check_public_url(bad).unwrap_err();
            assert!(!error.contains("canary"), "{error}");
        }
    }

    #[test]
    fn zero_and_nothing_are_no_limit() {
        let dir = tempfile::tempdir().unwrap();
        let limits = |toml: &str| {
            std::fs::write(dir.path().join("moxxie.toml"), toml).unwrap();
            let given = Overrides { data_dir: Some(dir.path().to_owned()), ..Overrides::default() };
            Config::load(given).map(|config| config.waves).map_err(|e| e.to_string())
        };
        let none = wave::Limits::default();
        assert_eq!(limits(""), Ok(none));
        assert_eq!(limits("[limits]\nboots_in_flight = 0\nasset_bytes_in_flight = 0\n"), Ok(none));
        let both = limits("[limits]\nboots_in_flight = 20\nasset_bytes_in_flight = 3000000000\n");
        assert_eq!(both, Ok(wave::Limits { boots: Some(20), bytes: Some(3_000_000_000) }));
        let error = limits("[limits]\nboots_in_flight = -1\n").unwrap_err();
        assert!(error.contains("limits.boots_in_flight: -1 is less than 0"), "{error}");
    }

    #[test]
    fn assets_are_in_the_data_folder_or_where_the_url_says() {
        let dir = tempfile::tempdir().unwrap();
        let load = |url: Option<&str>, toml: &str| {
            std::fs::write(dir.path().join("moxxie.toml"), toml).unwrap();
            let url = url.map(str::to_owned);
            Config::load(Overrides {
                data_dir: Some(dir.path().into()),
                assets_url: url,
                ..Overrides::default()
            })
        };
        let config = load(None, "").unwrap();
        assert_eq!(config.assets_dir, dir.path().join("assets"));
        assert_eq!(config.scrub_rate, 20 * 1024 * 1024);
        let toml =
            "assets_url = \"s3://b/p\"\n[assets]\ncache_mib = 1\nredirect = true\nscrub_mib_per_second = 0";
        let config = load(None, toml).unwrap();
        assert_eq!(config.assets.place, Place::S3 { bucket: "b".into(), prefix: "p".into() });
        assert_eq!(
            (config.assets.cache_bytes, config.assets.redirect, config.scrub_rate),
            (1024 * 1024, true, 0)
        );
        assert_eq!(config.assets_dir, dir.path().join("asset-cache"));
        assert_eq!(load(Some("file:///a"), toml).unwrap().assets_dir, PathBuf::from("/a"));
        for (url, toml) in [(Some("s3://k:canary@b"), ""), (None, "[assets]\ncache_mib = 0")] {
            let error = load(url, toml).err().unwrap().to_string();
            assert!(error.contains("assets") && !error.contains("canary"), "{error}");
        }
    }
}
