//! `moxxie serve`: from settings to a running server.

use crate::app::{App, Parts};
use crate::clock::Clock;
use crate::config::{Config, Overrides};
use crate::http::extract::{Door, Serves};
use crate::server::{Listening, Loaded};
use crate::{firstrun, http, reload, scrub, server, shelf, telemetry};
use anyhow::{Context, Result};
use moxxie_core::audit::By;
use moxxie_core::keyring::Keyring;
use moxxie_core::time::{Span, Timestamp};
use moxxie_core::token::api_token_hash;
use moxxie_store::assets::{AssetError, Assets, Place};
use moxxie_store::{Store, StoreError};
use std::net::SocketAddr;
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
    let key = firstrun::site_key(&config.data_dir, secrets.secret_key.as_deref())?;
    let assets = Assets::open(config.assets.clone())
        .await
        .with_context(|| format!("the assets' folder {}", config.assets_dir.display()))?;
    match assets.sweep_tmp().await {
        // What is read-only can be read.
        Err(error @ AssetError::ReadOnly(_)) => tracing::warn!(%error, "new assets cannot be stored"),
        swept => drop(swept.context("cannot sweep the assets' folder")?),
    }

    let store = Arc::new(Store::open(&config.database_url, Keyring::new(key.clone(), vec![])).await?);
    // A schema of a newer version must not be touched, and is worth an exit code of its own.
    let first_try = store.migrate().await;
    if let Err(error @ StoreError::NewerSchema { .. }) = &first_try {
        crate::cli::out::note(error.to_string());
        return Ok(ExitCode::from(NEWER_SCHEMA));
    }
    if store.is_sqlite() {
        first_try.as_ref().map_err(|e| anyhow::anyhow!("{e}"))?;
    }

    let (main, address) = bind(config.listen)?;
    let tls = config.doors.tls.map(bind).transpose()?;
    let admin = config.doors.admin.map(bind).transpose()?;
    let admin_tls = config.doors.admin_tls;
    // Made only now that it will be shown: a start that fails before this leaves it to the next.
    let (admin_token, new_token) = firstrun::admin_token(&config.data_dir, secrets.admin_token)?;
    let app = App::start(Parts {
        config,
        port: address.port(),
        store: store.clone(),
        assets,
        clock: Arc::new(Clock::default()),
        key,
        admin_hash: api_token_hash(&admin_token),
    });
    let (stop, stopped) = watch::channel(false);
    match first_try {
        Ok(()) => {
            if store.is_sqlite() {
                store.drop_arrivals().await?;
            }
            app.migrated.store(true, Ordering::SeqCst);
            app.audit_system("server.start", &format!("server {address}"), started()).await;
        }
        Err(error) => {
            tracing::warn!(%error, "the database does not answer; trying again until it does");
            tokio::spawn(migrate_later(app.clone(), store.clone(), address));
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
    tokio::spawn(crate::syslog::run(app.clone()));
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
    if new_token {
        let _ = crate::cli::out::line(format!(
            "admin token (shown once; kept in {}): {admin_token}",
            app.config().data_dir.join("admin-token").display()
        ));
    }
    tracing::info!(version = env!("CARGO_PKG_VERSION"), %address, "ready");
    server::serve(listeners, http::router::router(app.clone()), app.clone(), stopped).await;
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

/// Migrates on a thread of its own: sqlx's migrator gives a future that cannot move between
/// threads, which a spawned task must.
async fn migrate(store: Arc<Store>) -> moxxie_store::Result<()> {
    let runtime = tokio::runtime::Handle::current();
    let done = tokio::task::spawn_blocking(move || runtime.block_on(store.migrate())).await;
    done.unwrap_or_else(|_| Err(StoreError::Unavailable("the migration was cut off".into())))
}

/// Goes on trying until the database is there.
async fn migrate_later(app: Arc<App>, store: Arc<Store>, address: SocketAddr) {
    let mut pause = Duration::from_millis(500);
    loop {
        tokio::time::sleep(pause).await;
        match migrate(store.clone()).await {
            Ok(()) => {
                app.migrated.store(true, Ordering::SeqCst);
                tracing::info!("the database is there");
                app.audit_system("server.start", &format!("server {address}"), started()).await;
                return;
            }
            Err(error @ StoreError::NewerSchema { .. }) => {
                crate::cli::out::note(error.to_string());
                std::process::exit(NEWER_SCHEMA.into());
            }
            Err(error) => {
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
