//! `moxxie serve`: from settings to a running server.

use crate::app::{App, Parts};
use crate::cli::FAILED;
use crate::clock::{Clock, random};
use crate::config::{Config, Overrides};
use crate::firstrun::SiteKeys;
use crate::http::extract::{Door, Serves};
use crate::server::{Listening, Loaded};
use crate::{firstrun, http, reload, scrub, server, shelf, syslog, telemetry, tftp};
use anyhow::{Context, Result};
use moxxie_core::audit::By;
use moxxie_core::keyring::KeyId;
use moxxie_core::time::{Span, Timestamp};
use moxxie_core::token::api_token_hash;
use moxxie_store::assets::{AssetError, Assets, Place};
use moxxie_store::{Store, StoreError};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;

/// Exit code when the database belongs to a newer version.
const NEWER_SCHEMA: u8 = 3;
/// How often windows are settled, old rows removed and unused bytes deleted.
const HOUSEKEEPING: Duration = Duration::from_secs(30);

/// What the environment says beside the flags.
#[derive(Default)]
pub struct Secrets {
    /// `MOXXIE_ADMIN_TOKEN`
    pub admin_token: Option<String>,
    /// `MOXXIE_SECRET_KEY`
    pub secret_key: Option<String>,
}

/// Runs the server until it is told to stop.
pub async fn run(given: Overrides, secrets: Secrets) -> Result<ExitCode> {
    let config = Config::load(given)?;
    let _logs = telemetry::logs(&config.log_level, config.log_json)?;
    firstrun::data_dir(&config.data_dir)?;
    let _lock = firstrun::lock(&config.data_dir)?;
    firstrun::config_template(&config.data_dir)?;
    let loaded = certificate(&config)?;
    let keys = Arc::new(firstrun::site_keys(&config.data_dir, secrets.secret_key.as_deref())?);
    let assets = Assets::open(config.assets.clone())
        .await
        .with_context(|| format!("the assets' folder {}", config.assets_dir.display()))?;
    match assets.sweep_tmp().await {
        // What is read-only can be read.
        Err(error @ AssetError::ReadOnly(_)) => tracing::warn!(%error, "new assets cannot be stored"),
        swept => drop(swept.context("cannot sweep the assets' folder")?),
    }

    let store = Arc::new(Store::open(&config.database_url, keys.ring.clone(), random).await?);
    let first_try = prepare(&store, &keys).await;
    if let Err(error) = &first_try
        && let Some(code) = error.ends_it(store.is_sqlite())
    {
        crate::cli::out::note(format!("moxxie: {error}"));
        return Ok(ExitCode::from(code));
    }

    let (main, address) = bind(config.listen)?;
    let tls = config.doors.tls.map(bind).transpose()?;
    let admin = config.doors.admin.map(bind).transpose()?;
    let admin_tls = config.doors.admin_tls;
    let loaders = config.tftp.listen.map(tftp::Listener::bind).transpose()?;
    // Made only now that it will be shown: a start that fails before this leaves it to the next.
    let (admin_token, new_token) = firstrun::admin_token(&config.data_dir, secrets.admin_token)?;
    let app = App::start(Parts {
        config,
        port: address.port(),
        store: store.clone(),
        assets,
        clock: Arc::new(Clock::default()),
        admin_hash: api_token_hash(&admin_token),
    });
    let (stop, stopped) = watch::channel(false);
    match first_try {
        Ok(()) => {
            if store.is_sqlite() {
                store.drop_arrivals().await?;
            }
            app.migrated.store(true, Ordering::SeqCst);
            syslog::begin(&app, false).await;
            app.audit_system("server.start", &format!("server {address}"), started()).await;
        }
        Err(error) => {
            tracing::warn!(%error, "the database does not answer; trying again until it does");
            tokio::spawn(prepare_later(app.clone(), store.clone(), keys, address));
        }
    }
    // The first look, so that the first machine need not wait for it.
    app.snapshots.look().await;
    tokio::spawn(housekeeping(app.clone()));
    tokio::spawn(collecting(app.clone()));
    if let Some(dir) = app.config().watch.clone() {
        tokio::spawn(crate::watch::run(app.clone(), dir));
    }
    scrub::start(&app);
    tokio::spawn(syslog::run(app.clone()));
    tokio::spawn(server::signals(app.clone(), stop));
    tokio::spawn(reload::on_hangup(app.clone()));
    let mut speaks = None;
    if let Some(loaded) = loaded {
        app.certificate.show(loaded);
        speaks = Some(server::tls_settings(app.certificate.clone()).context("TLS cannot be spoken")?);
        tokio::spawn(reload::watch_certificate(app.clone()));
    }
    let serves = if admin.is_some() { Serves::Machines } else { Serves::Everybody };
    let _ = crate::cli::out::line(format!("moxxie listening on http://{address}"));
    let door = Door { port: address.port(), tls: false, serves };
    let mut listeners = vec![Listening { listener: main, door, tls: None }];
    if let Some((listener, address)) = tls {
        let _ = crate::cli::out::line(format!("moxxie TLS listening on https://{address}"));
        let door = Door { port: address.port(), tls: true, serves };
        listeners.push(Listening { listener, door, tls: speaks.clone() });
    }
    if let Some((listener, address)) = admin {
        let scheme = if admin_tls { "https" } else { "http" };
        let _ = crate::cli::out::line(format!("moxxie admin listening on {scheme}://{address}"));
        // Links that it shows lead to the main listener.
        let door = Door { port: app.port, tls: admin_tls, serves: Serves::People };
        listeners.push(Listening { listener, door, tls: speaks.filter(|_| admin_tls) });
    }
    let loaders = loaders.map(|listener| {
        let _ = crate::cli::out::line(format!("moxxie TFTP listening on tftp://{}", listener.address()));
        let source = Arc::new(tftp::Loaders(app.clone()));
        let served = tokio::spawn(tftp::serve(listener, app.clone(), source, stopped.clone()));
        tokio::spawn(async move {
            if let Err(error) = served.await {
                tracing::error!(%error, "no loaders by TFTP any more: a bug in moxxie; restart the server");
            }
        })
    });
    if new_token {
        let _ = crate::cli::out::line(format!(
            "admin token (shown once; kept in {}): {admin_token}",
            app.config().data_dir.join("admin-token").display()
        ));
    }
    tracing::info!(version = env!("CARGO_PKG_VERSION"), %address, "ready");
    server::serve(listeners, http::router::router(app.clone()), app.clone(), stopped).await;
    if let Some(loaders) = loaders {
        let _ = loaders.await;
    }
    app.events.flush(Duration::from_secs(5)).await;
    app.witness.flush(Duration::from_secs(5)).await;
    app.audit_system("server.stop", &format!("server {address}"), None).await;
    store.close().await;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// The certificate, when a listener speaks TLS. One that cannot be used refuses the start, but for
/// an expired one: a clock that is wrong must not keep machines from booting.
fn certificate(config: &Config) -> Result<Option<Loaded>> {
    let Some(files) = config.doors.files.as_ref().filter(|_| config.doors.needs_certificate()) else {
        return Ok(None);
    };
    let loaded = Loaded::read(files).context("TLS has no certificate")?;
    if let Err(error) = loaded.valid(Clock::default().now()) {
        tracing::warn!(%error, "clients will not accept the certificate");
    }
    Ok(Some(loaded))
}

/// A listener and the address it was given.
fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr)> {
    let listener = listen(address).with_context(|| format!("cannot listen on {address}"))?;
    let address = listener.local_addr().context("the listener has no address")?;
    Ok((listener, address))
}

fn started() -> Option<serde_json::Value> {
    Some(serde_json::json!({"version": env!("CARGO_PKG_VERSION")}))
}

/// The listener. Machines that power on together all connect in one moment, and whoever finds no
/// place in the queue is ignored for a second: the usual 128 places are too few.
fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    // The kernel lowers it to net.core.somaxconn.
    socket.listen(4096)
}

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
enum Unready {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(
        "{} is missing, and the database is sealed with the key {wanted}: restore the file from where you \
         keep it, or set MOXXIE_SECRET_KEY; nothing was changed", file.display()
    )]
    NoKey { file: PathBuf, wanted: KeyId },
    #[error("{0:#}")]
    Key(anyhow::Error),
}

impl Unready {
    /// The exit code, unless it may be better later.
    fn ends_it(&self, sqlite: bool) -> Option<u8> {
        match self {
            Unready::Store(StoreError::NewerSchema { .. }) => Some(NEWER_SCHEMA),
            Unready::Store(StoreError::WrongKey { .. } | StoreError::RetiredKey(_)) => Some(FAILED),
            Unready::NoKey { .. } | Unready::Key(_) => Some(FAILED),
            // A file does not come back by itself.
            Unready::Store(_) => sqlite.then_some(FAILED),
        }
    }
}

/// Makes the database ready. A new key is written down between the look whether the database
/// needs another one and the first thing that is sealed with it.
async fn prepare(store: &Store, keys: &SiteKeys) -> Result<(), Unready> {
    if let Some(file) = keys.missing() {
        if let Some(wanted) = store.sealed_with().await?.first() {
            return Err(Unready::NoKey { file: file.to_owned(), wanted: *wanted });
        }
        keys.keep().map_err(Unready::Key)?;
    }
    Ok(store.migrate().await?)
}

/// The same on a thread of its own: sqlx's migrator gives a future that cannot move between
/// threads, which a spawned task must.
async fn prepare_aside(store: Arc<Store>, keys: Arc<SiteKeys>) -> Result<(), Unready> {
    let runtime = tokio::runtime::Handle::current();
    let done = tokio::task::spawn_blocking(move || runtime.block_on(prepare(&store, &keys))).await;
    done.unwrap_or_else(|_| Err(StoreError::Unavailable("the migration was cut off".into()).into()))
}

/// Goes on trying until the database is there.
async fn prepare_later(app: Arc<App>, store: Arc<Store>, keys: Arc<SiteKeys>, address: SocketAddr) {
    let mut pause = Duration::from_millis(500);
    loop {
        tokio::time::sleep(pause).await;
        match prepare_aside(store.clone(), keys.clone()).await {
            Ok(()) => {
                app.migrated.store(true, Ordering::SeqCst);
                tracing::info!("the database is there");
                syslog::begin(&app, false).await;
                app.audit_system("server.start", &format!("server {address}"), started()).await;
                return;
            }
            Err(error) => {
                if let Some(code) = error.ends_it(store.is_sqlite()) {
                    crate::cli::out::note(format!("moxxie: {error}"));
                    std::process::exit(code.into());
                }
                tracing::debug!(%error, "the database still does not answer");
                pause = (pause * 2).min(Duration::from_secs(5));
            }
        }
    }
}

/// Closes windows whose time is over, follows the database's clock, removes what is old.
async fn housekeeping(app: Arc<App>) {
    loop {
        if let Err(error) = app.uploads.sweep(app.clock.now()).await {
            tracing::warn!(%error, "uploads that were given up were not removed");
        }
        if app.migrated.load(Ordering::SeqCst) {
            tidy(&app).await;
        }
        tokio::time::sleep(HOUSEKEEPING).await;
    }
}

/// Deletes bytes that nothing refers to. Beside the housekeeping: a slow store of assets must not
/// keep windows open.
async fn collecting(app: Arc<App>) {
    let mut reported = false;
    loop {
        if app.migrated.load(Ordering::SeqCst) {
            if !std::mem::replace(&mut reported, true) {
                // Copies of what is on S3 are strangers to nobody: the cache forgets them by itself.
                if let Place::Folder(dir) = &app.config().assets.place {
                    shelf::report_strangers(&app, dir).await;
                }
            }
            shelf::sweep(&app).await;
        }
        tokio::time::sleep(HOUSEKEEPING).await;
    }
}

async fn tidy(app: &App) {
    match app.read().ping().await {
        Ok(Some(time)) => app.clock.follow(time),
        Ok(None) => {}
        Err(error) => {
            tracing::debug!(%error, "housekeeping waits for the database");
            return;
        }
    }
    let now = app.clock.now();
    if let Err(error) = app.write().settle(&app.config().site, now).await {
        tracing::warn!(%error, "windows were not settled");
    }
    let events_before = now + Span(-Span::days(app.config().event_days).0);
    // A slow install may report for a week after its window.
    let sessions_before = now + Span(-Span::days(7).0);
    if let Err(error) = app.read().prune(events_before, app.config().event_rows, sessions_before).await {
        tracing::warn!(%error, "old rows were not removed");
    }
    if let Some(days) = app.config().audit.days {
        // Whole days, so that the record of this is written once a day and not twice a minute.
        let today = now.0 - now.0.rem_euclid(Span::days(1).0);
        let before = Timestamp(today - Span::days(days).0);
        if let Err(error) = app.read().prune_audit(before, &By::system(now)).await {
            tracing::warn!(%error, "old audit records were not removed");
        }
    }
}
