//! What is seen but changes nothing: secrets that an admin read, and refused accesses.
//!
//! A read of secrets is on record before it is answered. No refusal waits for its record: a bounded
//! queue and one writer bring it into the audit log, what repeats is counted (`fold`), and there are
//! limits on all of it, so that nobody fills the log by knocking.

pub(crate) mod fold;

use crate::clock::Clock;
use fold::{Budget, FOLD, Folder, Sighting};
use moxxie_core::audit::AuditRecord;
use moxxie_core::boot::event::one_line;
use moxxie_core::mac::MacAddr;
use moxxie_core::time::Timestamp;
use moxxie_store::{Store, StoreError};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Refusals of each budget that wait for the writer.
const QUEUE: usize = 2048;
/// Records that wait for a database that does not answer.
const PENDING: usize = 2000;
/// How often the writer looks for minutes that are over.
const TICK: Duration = Duration::from_secs(1);

/// An access that was refused.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// What refused it, such as `api`, `network`, `config`, `report` or `limit`.
    pub kind: &'static str,
    /// Where it came from.
    pub peer: IpAddr,
    /// The token's name, if it is a good one. Never what the asker merely said.
    pub who: Option<String>,
    /// The machine that it asked as, if that is an assigned one. Anybody can say so.
    pub machine: Option<MacAddr>,
    /// What it was about; no query and no token is in it.
    pub target: String,
    /// Why, in words without secrets.
    pub why: String,
}

/// Secrets were about to be shown, and the record of that could not be written.
#[derive(Debug, thiserror::Error)]
#[error(
    "the audit log cannot be written, and without a record no secrets are shown: see /readyz and the server's log, then try again"
)]
pub struct Unrecorded(#[source] StoreError);

enum Note {
    Seen(Sighting),
    /// Write what there is, also of minutes that are not over, and answer.
    Flush(oneshot::Sender<()>),
}

/// Who was shown what: actor, action and target.
type Read = (String, &'static str, String);

/// The way into the audit log for what changes nothing.
#[derive(Clone)]
pub struct Witness {
    store: Arc<Store>,
    /// Refusals of the API. They have a queue of their own, as they have a budget.
    api: mpsc::Sender<Note>,
    /// All others.
    rest: mpsc::Sender<Note>,
    /// Sightings for which the queue had no place.
    dropped: Arc<AtomicU64>,
    /// When the newest record of a read was made, of the last minute.
    reads: Arc<Mutex<HashMap<Read, Timestamp>>>,
    clock: Arc<Clock>,
}

impl Witness {
    /// The queues, and the task that has to be spawned for them.
    pub fn new(store: Arc<Store>, clock: Arc<Clock>) -> (Witness, impl Future<Output = ()> + Send) {
        let (api, api_notes) = mpsc::channel(QUEUE);
        let (rest, rest_notes) = mpsc::channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let writer = write(store.clone(), clock.clone(), [api_notes, rest_notes], dropped.clone());
        (Witness { store, api, rest, dropped, reads: Arc::default(), clock }, writer)
    }

    /// An access was refused.
    pub fn refused(&self, refusal: Refusal) {
        let Refusal { kind, peer, who, machine, target, why } = refusal;
        metrics::counter!("moxxie_refused_total", "kind" => kind).increment(1);
        let sighting = Sighting {
            at: self.clock.now(),
            actor: who.unwrap_or_else(|| "unknown".into()),
            machine,
            target: one_line(&target, 200),
            peer: peer.to_canonical(),
            kind,
            why: one_line(&why, 200),
        };
        let queue = match sighting.budget() {
            Budget::Api => &self.api,
            Budget::Rest => &self.rest,
        };
        if queue.try_send(Note::Seen(sighting)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Somebody is about to be shown secrets: `secrets.read` or `config.preview`. Returns when that
    /// is on record. The same read again within a minute is the same matter.
    ///
    /// # Errors
    ///
    /// The record is not written: then nothing may be shown.
    pub async fn shown(
        &self,
        action: &'static str,
        actor: &str,
        peer: IpAddr,
        target: String,
    ) -> Result<(), Unrecorded> {
        let now = self.clock.now();
        let read = (actor.to_owned(), action, target);
        if self.reads().get(&read).is_some_and(|at| is_fresh(*at, now)) {
            return Ok(());
        }
        let record = AuditRecord {
            seq: 0,
            at: now,
            actor: read.0.clone(),
            action: action.into(),
            target: read.2.clone(),
            peer: Some(peer.to_canonical().to_string()),
            before: None,
            after: None,
        };
        self.store.append_audit(&record).await.map_err(|error| {
            tracing::error!(%error, action, "secrets were not shown: the audit log cannot be written");
            Unrecorded(error)
        })?;
        let mut reads = self.reads();
        reads.retain(|_, at| is_fresh(*at, now));
        reads.insert(read, now);
        Ok(())
    }

    fn reads(&self) -> std::sync::MutexGuard<'_, HashMap<Read, Timestamp>> {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until every refusal seen before is written, at most this long.
    pub async fn flush(&self, at_most: Duration) {
        let (answer, answered) = oneshot::channel();
        let wait = async {
            if self.rest.send(Note::Flush(answer)).await.is_ok() {
                let _ = answered.await;
            }
        };
        let _ = tokio::time::timeout(at_most, wait).await;
    }
}

/// Also a record of the future is none: a clock may have gone back.
fn is_fresh(at: Timestamp, now: Timestamp) -> bool {
    (0..FOLD.0).contains(&(now - at).0)
}

async fn write(
    store: Arc<Store>,
    clock: Arc<Clock>,
    [mut api, mut rest]: [mpsc::Receiver<Note>; 2],
    dropped: Arc<AtomicU64>,
) {
    let mut folder = Folder::default();
    let (mut batch, mut others) = (Vec::new(), Vec::new());
    let mut pending: Vec<AuditRecord> = Vec::new();
    loop {
        let ended = tokio::select! {
            count = api.recv_many(&mut batch, QUEUE) => count == 0,
            count = rest.recv_many(&mut others, QUEUE) => count == 0,
            () = tokio::time::sleep(TICK) => false,
        };
        // Both to where they are now: a flush is for what came before it in either.
        for queue in [&mut api, &mut rest] {
            others.extend(std::iter::from_fn(|| queue.try_recv().ok()).take(QUEUE));
        }
        let mut flushed = Vec::new();
        for note in batch.drain(..).chain(others.drain(..)) {
            match note {
                Note::Seen(sighting) => folder.take(sighting, &mut pending),
                Note::Flush(answer) => flushed.push(answer),
            }
        }
        folder.leave_out(dropped.swap(0, Ordering::Relaxed), None);
        folder.sweep(clock.now(), ended || !flushed.is_empty(), &mut pending);
        if !pending.is_empty() {
            match store.append_audits(&pending).await {
                Ok(()) => pending.clear(),
                Err(error) => {
                    tracing::warn!(%error, records = pending.len(), "refused accesses were not written yet");
                    let surplus = pending.len().saturating_sub(PENDING);
                    folder.leave_out(pending.drain(..surplus).count() as u64, None);
                }
            }
        }
        for answer in flushed {
            let _ = answer.send(());
        }
        if ended {
            return;
        }
    }
}
