//! What is known of every machine, in memory: menus are answered from here, and go on being
//! answered for machines that boot their disk while the database is away.
//!
//! A menu is only answered from memory when the memory is known to be as new as the request.
//! On PostgreSQL each request waits for a look at the database's version that began after the
//! request arrived; one look serves all requests that wait, so 500 machines that ask at once cost
//! two small queries. On SQLite this process is the only writer, so it knows by itself whether
//! anything changed, and looks at the file once a second for changes from outside.

use arc_swap::ArcSwapOption;
use moxxie_core::boot::claims::BootClaims;
use moxxie_core::boot::decide::{BootView, Known, Shelf};
use moxxie_core::mac::MacAddr;
use moxxie_core::machine::MachineUuid;
use moxxie_core::name::ProfileName;
use moxxie_store::{Loaded, Store, Version};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc, oneshot};

/// A database that has not answered within this is taken for down.
const PATIENCE: Duration = Duration::from_secs(2);
/// After a failure, requests are answered as "down" for this long without asking again.
const BACK_OFF: Duration = Duration::from_millis(500);
/// How often the database is looked at when nobody asks.
const IDLE_LOOK: Duration = Duration::from_secs(1);

/// Profiles and assignments as of one version.
#[derive(Default)]
pub struct Snapshot {
    version: Version,
    by_mac: HashMap<MacAddr, Arc<Known>>,
    by_uuid: HashMap<MachineUuid, Arc<Known>>,
    by_id: HashMap<String, Arc<Known>>,
    shelves: HashMap<String, Arc<Shelf>>,
    by_name: HashMap<ProfileName, Arc<Shelf>>,
    offered: Vec<Arc<Shelf>>,
}

impl Snapshot {
    /// What bears on these claims.
    pub fn view(&self, claims: &BootClaims, asked: Option<&ProfileName>) -> BootView {
        let mut by_mac: Vec<Arc<Known>> = Vec::new();
        for known in claims.macs().filter_map(|mac| self.by_mac.get(&mac)) {
            if !by_mac.iter().any(|k| k.assignment.id == known.assignment.id) {
                by_mac.push(known.clone());
            }
        }
        BootView {
            by_mac,
            by_uuid: claims.uuid.and_then(|uuid| self.by_uuid.get(&uuid.key())).cloned(),
            offered: self.offered.clone(),
            asked: asked.and_then(|name| self.by_name.get(name)).cloned(),
        }
    }

    /// The machine that these claims find, by the first of them that finds one.
    pub fn machine(&self, claims: &BootClaims) -> Option<MacAddr> {
        let known = claims
            .macs()
            .find_map(|mac| self.by_mac.get(&mac))
            .or_else(|| self.by_uuid.get(&claims.uuid?.key()))?;
        Some(known.assignment.spec.mac_address)
    }

    /// The assignment of a MAC, for naming a machine in an event.
    pub fn known(&self, mac: MacAddr) -> Option<&Arc<Known>> {
        self.by_mac.get(&mac)
    }

    /// A profile's shelf.
    pub fn shelf(&self, name: &ProfileName) -> Option<&Arc<Shelf>> {
        self.by_name.get(name)
    }

    /// All shelves, in no order.
    pub fn shelves(&self) -> impl Iterator<Item = &Arc<Shelf>> {
        self.shelves.values()
    }

    /// Number of assignments.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// The snapshot after a load: a new one, or this one with single assignments replaced.
    fn with(&self, loaded: Loaded) -> Snapshot {
        let whole = loaded.version.full != self.version.full || self.version == Version::default();
        let mut next = if whole {
            let mut next = Snapshot::default();
            for shelf in loaded.shelves {
                if shelf.profile.spec.menu {
                    next.offered.push(shelf.clone());
                }
                next.by_name.insert(shelf.profile.spec.name.clone(), shelf.clone());
                next.shelves.insert(shelf.profile.id.clone(), shelf);
            }
            next.offered.sort_by(|a, b| a.profile.spec.name.cmp(&b.profile.spec.name));
            next
        } else {
            Snapshot {
                version: self.version,
                by_mac: self.by_mac.clone(),
                by_uuid: self.by_uuid.clone(),
                by_id: self.by_id.clone(),
                shelves: self.shelves.clone(),
                by_name: self.by_name.clone(),
                offered: self.offered.clone(),
            }
        };
        next.version = loaded.version;
        // All old keys first: two machines may have exchanged an address.
        for assignment in &loaded.assignments {
            if let Some(old) = next.by_id.remove(&assignment.id) {
                for mac in old.assignment.macs() {
                    next.by_mac.remove(&mac);
                }
                if let Some(uuid) = old.assignment.spec.uuid {
                    next.by_uuid.remove(&uuid.key());
                }
            }
        }
        for assignment in loaded.assignments {
            let Some(shelf) = next.shelves.get(&assignment.spec.boot_profile_id).cloned() else {
                // The foreign key forbids this. Leaving it out would mean "unknown machine",
                // whose answer is the local disk too.
                tracing::error!(assignment = %assignment.id, "an assignment names a profile that does not exist");
                continue;
            };
            let known = Arc::new(Known { assignment, shelf });
            for mac in known.assignment.macs() {
                next.by_mac.insert(mac, known.clone());
            }
            if let Some(uuid) = known.assignment.spec.uuid {
                next.by_uuid.insert(uuid.key(), known.clone());
            }
            next.by_id.insert(known.assignment.id.clone(), known);
        }
        next
    }
}

/// A snapshot, and whether it is known to be as new as the request.
pub struct Look {
    /// `None` while the database has never answered since the start.
    pub snapshot: Option<Arc<Snapshot>>,
    /// The database answered after the request arrived.
    pub fresh: bool,
}

/// Keeps the snapshot up to date.
pub struct Snapshots {
    store: Arc<Store>,
    current: ArcSwapOption<Snapshot>,
    ask: mpsc::Sender<oneshot::Sender<bool>>,
    /// Rung after each write.
    wake: Notify,
    /// Writes by this process that have ended, ever.
    written: AtomicU64,
    /// How many of them the snapshot is known to hold.
    held: AtomicU64,
    /// Writers under way in this process.
    writing: AtomicI64,
    /// The last look succeeded.
    up: AtomicBool,
}

/// Announces a write by this process, from before it begins until after it ends, however it ends.
pub struct Writing<'a>(&'a Snapshots);

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.written.fetch_add(1, Ordering::SeqCst);
        self.0.writing.fetch_sub(1, Ordering::SeqCst);
        // Memory follows at once: should the database go away next, it knows this write.
        self.0.wake.notify_one();
    }
}

impl Snapshots {
    /// A keeper, and the task that has to be spawned for it.
    pub fn new(store: Arc<Store>) -> (Arc<Snapshots>, impl Future<Output = ()> + Send) {
        let (ask, asked) = mpsc::channel(16 * 1024);
        let keeper = Arc::new(Snapshots {
            store,
            current: ArcSwapOption::empty(),
            ask,
            wake: Notify::new(),
            written: AtomicU64::new(0),
            held: AtomicU64::new(0),
            writing: AtomicI64::new(0),
            up: AtomicBool::new(false),
        });
        (keeper.clone(), keep(keeper, asked))
    }

    /// The snapshot for a request that arrives now.
    pub async fn look(&self) -> Look {
        // In this order: a writer is counted as ended before it is no longer under way.
        if self.store.is_sqlite()
            && self.up.load(Ordering::SeqCst)
            && self.writing.load(Ordering::SeqCst) == 0
            && self.written.load(Ordering::SeqCst) == self.held.load(Ordering::SeqCst)
        {
            return Look { snapshot: self.current.load_full(), fresh: true };
        }
        let (answer, answered) = oneshot::channel();
        // A full queue means that the database is not keeping up: as good as down.
        let fresh = self.ask.try_send(answer).is_ok() && answered.await.unwrap_or(false);
        Look { snapshot: self.current.load_full(), fresh }
    }

    /// The snapshot as it is, for naming things.
    pub fn current(&self) -> Option<Arc<Snapshot>> {
        self.current.load_full()
    }

    /// Announces a write.
    pub fn writing(&self) -> Writing<'_> {
        self.writing.fetch_add(1, Ordering::SeqCst);
        Writing(self)
    }

    /// One look at the database. The writes that it is sure to see are counted before it and
    /// vouched for after it: a request in between must not take the old memory for the new.
    async fn refresh(&self) -> Result<(), String> {
        let written = self.written.load(Ordering::SeqCst);
        let result = tokio::time::timeout(PATIENCE, self.reload()).await;
        match result {
            Ok(Ok(())) => {
                self.held.store(written, Ordering::SeqCst);
                Ok(())
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
        }
    }

    async fn reload(&self) -> moxxie_store::Result<()> {
        let current = self.current.load_full();
        let version = self.store.version().await?;
        let known = current.as_ref().map(|s| s.version);
        if known == Some(version) {
            return Ok(());
        }
        let started = Instant::now();
        let loaded = self.store.load(known).await?;
        let next = match &current {
            Some(snapshot) => snapshot.with(loaded),
            None => Snapshot::default().with(loaded),
        };
        tracing::debug!(
            version = next.version.version,
            machines = next.len(),
            elapsed_ms = started.elapsed().as_millis() as u64,
            "snapshot renewed"
        );
        self.current.store(Some(Arc::new(next)));
        Ok(())
    }
}

async fn keep(keeper: Arc<Snapshots>, mut asked: mpsc::Receiver<oneshot::Sender<bool>>) {
    let mut waiting = Vec::new();
    let mut failed_at: Option<Instant> = None;
    loop {
        // Wake for a request, after a write, or to look by ourselves.
        tokio::select! {
            received = asked.recv_many(&mut waiting, 4096) => if received == 0 { return },
            () = keeper.wake.notified() => {}
            () = tokio::time::sleep(IDLE_LOOK) => {}
        }
        let resting = failed_at.is_some_and(|at| at.elapsed() < BACK_OFF);
        let fresh = if resting {
            false
        } else {
            match keeper.refresh().await {
                Ok(()) => {
                    if failed_at.take().is_some() {
                        tracing::info!("the database answers again");
                    }
                    true
                }
                Err(error) => {
                    metrics::counter!("moxxie_database_failures_total").increment(1);
                    if failed_at.is_none() {
                        let meanwhile = match keeper.current().is_some() {
                            true => "machines known to boot their disk still do, armed ones are told to wait",
                            false => "every machine is sent to its disk until it answers",
                        };
                        tracing::warn!(%error, "the database does not answer; {meanwhile}");
                    }
                    failed_at = Some(Instant::now());
                    false
                }
            }
        };
        keeper.up.store(fresh, Ordering::SeqCst);
        metrics::gauge!("moxxie_database_up").set(if fresh { 1.0 } else { 0.0 });
        for answer in waiting.drain(..) {
            // A request that went away needs no answer.
            let _ = answer.send(fresh);
        }
    }
}
