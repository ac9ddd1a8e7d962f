//! Settings and certificate, read again while the server runs.
//!
//! What is read is checked as a whole before any of it is applied: a file that cannot be used
//! leaves everything as it was. What takes effect does so for what begins from then on.

use crate::app::App;
use crate::config::ConfigError;
use crate::config::access::{AccessConfig, Came, locks_out};
use crate::http::extract::Peer;
use crate::{syslog, telemetry};
use axum::http::HeaderMap;
use moxxie_core::audit::{AuditRecord, By};
use moxxie_store::StoreError;
use serde_json::json;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// How often the files of the certificate are looked at.
const LOOK: Duration = Duration::from_secs(30);

/// What a reload did. Names of keys only: a value may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Reloaded {
    /// Keys whose new values are in force.
    pub changed: Vec<String>,
    /// Keys whose new values wait for a restart.
    pub needs_restart: Vec<String>,
    /// What was left as it was, and why, such as a certificate that cannot be used.
    pub warnings: Vec<String>,
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The settings cannot be used.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// The log's filter cannot be used.
    #[error("{0}")]
    Log(String),
    /// The new settings would shut out who asked for them.
    #[error("{0}")]
    LockOut(String),
    /// The audit record could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Who wants the settings read again.
#[derive(Debug, Clone, Copy)]
pub enum Author<'a> {
    /// A caller of the API: must not lock itself out.
    Caller(&'a Asker),
    /// Who may signal this process: is obeyed also while the database is away.
    Signal,
}

/// How a caller came here.
#[derive(Debug)]
pub struct Asker {
    /// The other end of its connection.
    pub socket: IpAddr,
    /// What proxies said of it, among others.
    pub headers: HeaderMap,
    /// It came by the listener for people.
    pub by_own_door: bool,
}

impl Asker {
    /// The way it would have come with these settings.
    fn came(&self, access: &AccessConfig) -> Came {
        let client = Peer::behind(self.socket, &self.headers, &access.trusted_proxies);
        Came { socket: self.socket, client: client.ok().map(|peer| peer.0), by_own_door: self.by_own_door }
    }
}

/// Reads settings and certificate again. What went wrong is in the log and the metrics, too.
pub async fn run(app: &App, author: Author<'_>, by: By) -> Result<Reloaded, ReloadError> {
    // One after the other: each compares with what the one before left.
    let _one = app.reloading.lock().await;
    let result = apply(app, author, by).await;
    metrics::gauge!("moxxie_config_reload_failed").set(if result.is_ok() { 0.0 } else { 1.0 });
    match &result {
        Ok(done) => {
            metrics::gauge!("moxxie_config_reload_last_success").set(app.clock.now().0 as f64 / 1000.0);
            tracing::info!(changed = ?done.changed, needs_restart = ?done.needs_restart, "settings read again");
        }
        Err(error) => tracing::error!(%error, "the settings were not replaced: those before stay"),
    }
    result
}

async fn apply(app: &App, author: Author<'_>, by: By) -> Result<Reloaded, ReloadError> {
    let running = app.config();
    let next = running.again()?;
    telemetry::check_level(&next.log_level).map_err(|error| ReloadError::Log(error.to_string()))?;
    if let Author::Caller(asker) = author
        && let Some(why) = locks_out(&running.access, &next.access, asker.came(&next.access))
    {
        return Err(ReloadError::LockOut(why));
    }
    let (changed, needs_restart) = running.changes(&next);
    let mut done = Reloaded { changed, needs_restart, warnings: vec![] };
    let record = AuditRecord {
        seq: 0,
        at: by.at,
        actor: by.actor,
        action: "config.reload".into(),
        target: "config".into(),
        peer: by.peer,
        before: None,
        after: Some(json!({"changed": done.changed, "needs_restart": done.needs_restart})),
    };
    match (app.read().append_audit(&record).await, author) {
        (Err(error), Author::Signal) => tracing::warn!(%error, "the reload is not in the audit log"),
        (written, _) => written?,
    }
    let next = next.keeping(&running);
    if app.certificate.is_shown()
        && let Some(files) = &next.doors.files
        && let Err(error) = app.certificate.replace(files, app.clock.now())
    {
        done.warnings.push(format!("{error}; the certificate before is shown on"));
    }
    if next.log_level != running.log_level {
        telemetry::set_level(&next.log_level);
    }
    app.waves.set_limits(next.waves);
    app.events.remember(next.unknown_machines);
    app.set_config(next);
    syslog::begin(app, running.audit.syslog.is_some()).await;
    Ok(done)
}

/// Reads everything again at each SIGHUP.
pub async fn on_hangup(app: Arc<App>) -> std::io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    while hangup.recv().await.is_some() {
        let by = By { actor: "SIGHUP".into(), peer: None, at: app.clock.now() };
        // The log has it.
        let _ = run(&app, Author::Signal, by).await;
    }
    Ok(())
}

/// Shows another certificate when its files have changed.
pub async fn watch_certificate(app: Arc<App>) {
    loop {
        tokio::time::sleep(LOOK).await;
        if let Some(files) = &app.config().doors.files {
            // The log has it.
            let _ = app.certificate.look(files, app.clock.now());
        }
    }
}
