//! What every handler may reach: one value, made once, passed by reference.

use crate::boots::Boots;
use crate::clock::Clock;
use crate::config::Config;
use crate::downloads::{self, Downloads};
use crate::events::EventSink;
use crate::firmware::Copies;
use crate::http::allowlist::Outside;
use crate::iso::Images;
use crate::limits::Limits;
use crate::server::Certificate;
use crate::snapshot::{Snapshots, Writing};
use crate::uploads::Uploads;
use crate::waves::Waves;
use crate::witness::{Refusal, Unrecorded, Witness};
use arc_swap::ArcSwap;
use metrics_exporter_prometheus::PrometheusHandle;
use moxxie_core::access::{Actor, Role};
use moxxie_core::audit::{AuditRecord, By};
use moxxie_core::boot::event::{BootEvent, EventKind};
use moxxie_core::keyring::Keyring;
use moxxie_core::mac::MacAddr;
use moxxie_store::Store;
use moxxie_store::assets::Assets;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The application.
pub struct App {
    /// The settings in force.
    config: ArcSwap<Config>,
    /// The address that was bound, for links when a request's `Host` has no port.
    pub port: u16,
    /// The database.
    store: Arc<Store>,
    /// The assets.
    pub assets: Assets,
    /// Files that arrive in parts.
    pub uploads: Uploads,
    /// What is in the images among them.
    pub images: Images,
    /// The loaders that are being sent.
    pub loaders: Copies,
    /// What menus are answered from.
    pub snapshots: Arc<Snapshots>,
    /// The way of boots into the database.
    pub boots: Boots,
    /// Whose turn it is to boot.
    pub waves: Waves,
    /// The way of boot events into the database.
    pub events: EventSink,
    /// The way of refused accesses and of reads of secrets into the audit log.
    pub witness: Witness,
    /// The downloads of assets that run.
    pub downloads: Downloads,
    /// Which refusals of strangers are logged.
    pub outside: Outside,
    /// Who has asked how often.
    pub limits: Limits,
    /// The time.
    pub clock: Arc<Clock>,
    /// SHA-256 of the first admin token, which works without the database.
    pub admin_hash: String,
    /// Renders `/metrics`.
    pub metrics: PrometheusHandle,
    /// Set by SIGTERM: `/readyz` says no, so that load balancers stop sending.
    pub draining: AtomicBool,
    /// Migrations are done.
    pub migrated: AtomicBool,
    /// What TLS listeners show.
    pub certificate: Arc<Certificate>,
    /// Held while the settings are replaced.
    pub reloading: tokio::sync::Mutex<()>,
}

/// The parts an [`App`] is made of.
pub struct Parts {
    /// The settings in force.
    pub config: Config,
    /// The port that was bound.
    pub port: u16,
    /// The database.
    pub store: Arc<Store>,
    /// The assets.
    pub assets: Assets,
    /// The time.
    pub clock: Arc<Clock>,
    /// SHA-256 of the first admin token.
    pub admin_hash: String,
}

impl App {
    /// Puts the parts together and starts the tasks that keep memory and logs up to date.
    pub fn start(parts: Parts) -> Arc<App> {
        let Parts { config, port, store, assets, clock, admin_hash } = parts;
        let (snapshots, keep) = Snapshots::new(store.clone());
        let (events, write) = EventSink::new(store.clone(), clock.clone(), config.unknown_machines);
        let (boots, start) = Boots::new(store.clone());
        let waves = Waves::new(config.waves, clock.clone());
        tokio::spawn(keep);
        tokio::spawn(start);
        tokio::spawn(write);
        let (witness, write) = Witness::new(store.clone(), clock.clone());
        tokio::spawn(write);
        let uploads = Uploads::new(config.data_dir.join("uploads"));
        let app = Arc::new(App {
            config: ArcSwap::from_pointee(config),
            uploads,
            port,
            store,
            assets,
            images: Images::default(),
            loaders: Copies::default(),
            snapshots,
            boots,
            waves,
            events,
            witness,
            downloads: Downloads::default(),
            outside: Outside::default(),
            limits: Limits::default(),
            clock,
            admin_hash,
            metrics: crate::telemetry::metrics(),
            draining: AtomicBool::new(false),
            migrated: AtomicBool::new(false),
            certificate: Arc::default(),
            reloading: tokio::sync::Mutex::default(),
        });
        downloads::report::ends(&app);
        tokio::spawn(downloads::report::keep_seats(Arc::downgrade(&app)));
        app
    }

    /// The settings in force: one request reads them once and keeps to them.
    pub fn config(&self) -> Arc<Config> {
        self.config.load_full()
    }

    /// Puts other settings in force, for what begins from now on.
    pub fn set_config(&self, config: Config) {
        self.config.store(Arc::new(config));
    }

    /// The site's keys: boot tokens are signed with the current one and believed of any.
    pub fn keys(&self) -> &Keyring {
        self.store.keys()
    }

    /// The database, for reading.
    pub fn read(&self) -> &Store {
        &self.store
    }

    /// The database, for changes to profiles and assignments. The snapshot is told, also when
    /// the request is cut off in the middle.
    pub fn write(&self) -> Write<'_> {
        Write { store: &self.store, _told: self.snapshots.writing() }
    }

    /// Who does something now.
    pub fn by(&self, actor: impl Into<String>, peer: IpAddr) -> By {
        By { actor: actor.into(), peer: Some(peer.to_canonical().to_string()), at: self.clock.now() }
    }

    /// Somebody was refused: goes into the audit log, folded and bounded; waits for nothing.
    pub fn refused(&self, refusal: Refusal) {
        self.witness.refused(refusal);
    }

    /// Somebody is about to be shown `full`. That is on record first if it is an admin and a viewer,
    /// who would be shown `masked`, would see less.
    pub async fn shown<T: serde::Serialize>(
        &self,
        (actor, peer): (&Actor, IpAddr),
        target: impl FnOnce() -> String,
        full: &T,
        masked: impl FnOnce() -> T,
    ) -> Result<(), Unrecorded> {
        let json = |value: &T| serde_json::to_value(value).unwrap_or_default();
        if actor.role == Role::Admin && json(full) != json(&masked()) {
            self.witness.shown("secrets.read", &actor.name, peer, target()).await?;
        }
        Ok(())
    }

    /// Writes down what the server did by itself, such as its start. A failure is a line in the
    /// log: it keeps the server from nothing.
    pub async fn audit_system(&self, action: &str, target: &str, after: Option<serde_json::Value>) {
        let By { actor, peer, at } = By::system(self.clock.now());
        let (action, target) = (action.to_owned(), target.to_owned());
        let record = AuditRecord { seq: 0, at, actor, action, target, peer, before: None, after };
        if let Err(error) = self.store.append_audit(&record).await {
            tracing::warn!(%error, action = record.action, "an audit record was not written");
        }
    }

    /// An event about a machine, named as far as it is known.
    pub fn event(
        &self,
        kind: EventKind,
        mac: Option<MacAddr>,
        peer: Option<IpAddr>,
        message: &str,
    ) -> BootEvent {
        let snapshot = self.snapshots.current();
        let known = mac.and_then(|mac| snapshot.as_ref().and_then(|s| s.known(mac)));
        BootEvent {
            id: 0,
            at: self.clock.now(),
            kind,
            mac_address: mac,
            node_name: known.map(|k| k.assignment.spec.node_name.to_string()),
            boot_profile: known.map(|k| k.shelf.profile.spec.name.to_string()),
            peer: peer.map(|p| p.to_canonical().to_string()),
            message: moxxie_core::boot::event::one_line(message, 1024),
            count: 1,
        }
    }
}

/// The database while something is being changed.
pub struct Write<'a> {
    store: &'a Store,
    _told: Writing<'a>,
}

impl std::ops::Deref for Write<'_> {
    type Target = Store;
    fn deref(&self) -> &Store {
        self.store
    }
}
