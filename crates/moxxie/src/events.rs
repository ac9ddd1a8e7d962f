//! The way of boot events into the database: a bounded queue and one writer. A machine never
//! waits for the log; when the queue is full, events are dropped and counted.

use crate::clock::Clock;
use moxxie_core::boot::event::{BootEvent, EventKind};
use moxxie_core::mac::MacAddr;
use moxxie_core::machine::MachineSeen;
use moxxie_core::time::{Span, Timestamp};
use moxxie_store::Store;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

const QUEUE: usize = 65_536;
/// How many notes go into one transaction.
const BATCH: usize = 4096;
/// The same answer to the same machine within this time is folded into one event.
const FOLD: Span = Span::seconds(60);
/// Different messages of one kind about one machine within that time. The client has a say in
/// some messages, and must not fill the log by asking for something else each time.
const DISTINCT: usize = 6;
/// Machines whose last events are remembered for folding.
const FOLD_MEMORY: usize = 20_000;

/// Something to write down.
pub enum Note {
    /// An event, and what the machine said of itself.
    Event(BootEvent, Option<Box<MachineSeen>>),
    /// A machine whose event is written already.
    Seen(Option<Box<MachineSeen>>),
    /// Answer once everything before this is written.
    Flush(tokio::sync::oneshot::Sender<()>),
}

/// The queue's entrance.
#[derive(Clone)]
pub struct EventSink {
    queue: mpsc::Sender<Note>,
    written: watch::Receiver<u64>,
    /// Machines that nobody assigned, at most.
    unknown_machines: Arc<AtomicU32>,
}

impl EventSink {
    /// A queue, and the task that has to be spawned for it.
    pub fn new(
        store: Arc<Store>,
        clock: Arc<Clock>,
        unknown_machines: u32,
    ) -> (EventSink, impl Future<Output = ()> + Send) {
        let (queue, notes) = mpsc::channel(QUEUE);
        let (told, written) = watch::channel(0);
        let unknown_machines = Arc::new(AtomicU32::new(unknown_machines));
        let writer = write(store, clock, unknown_machines.clone(), notes, told);
        (EventSink { queue, written, unknown_machines }, writer)
    }

    /// Remembers so many machines that nobody assigned from now on.
    pub fn remember(&self, unknown_machines: u32) {
        self.unknown_machines.store(unknown_machines, Ordering::Relaxed);
    }

    /// Puts an event into the queue, or counts it as dropped.
    pub fn push(&self, event: BootEvent, machine: Option<MachineSeen>) {
        metrics::counter!("moxxie_boot_events_total", "kind" => event.kind.as_str()).increment(1);
        if self.queue.try_send(Note::Event(event, machine.map(Box::new))).is_err() {
            metrics::counter!("moxxie_boot_events_dropped_total").increment(1);
        }
    }

    /// Counts an event that a transaction has written, and remembers the machine.
    pub fn written_already(&self, kind: EventKind, machine: Option<MachineSeen>) {
        metrics::counter!("moxxie_boot_events_total", "kind" => kind.as_str()).increment(1);
        // Lost in a full queue, the machine is seen when it next asks.
        let _ = self.queue.try_send(Note::Seen(machine.map(Box::new)));
    }

    /// Waits until everything pushed before is written, at most this long.
    pub async fn flush(&self, at_most: Duration) {
        let (answer, answered) = tokio::sync::oneshot::channel();
        let wait = async {
            if self.queue.send(Note::Flush(answer)).await.is_ok() {
                let _ = answered.await;
            }
        };
        let _ = tokio::time::timeout(at_most, wait).await;
    }

    /// Changes whenever events were written, for streams.
    pub fn written(&self) -> watch::Receiver<u64> {
        self.written.clone()
    }
}

async fn write(
    store: Arc<Store>,
    clock: Arc<Clock>,
    unknown_machines: Arc<AtomicU32>,
    mut notes: mpsc::Receiver<Note>,
    told: watch::Sender<u64>,
) {
    let mut folder = Folder::default();
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        batch.clear();
        if notes.recv_many(&mut batch, BATCH).await == 0 {
            return;
        }
        let mut events = Vec::new();
        let mut machines: HashMap<MacAddr, MachineSeen> = HashMap::new();
        let mut flushed = Vec::new();
        let mut elsewhere = false;
        for note in batch.drain(..) {
            match note {
                Note::Event(event, machine) => {
                    remember(&mut machines, machine);
                    folder.take(event, &mut events);
                }
                Note::Seen(machine) => {
                    remember(&mut machines, machine);
                    elsewhere = true;
                }
                Note::Flush(answer) => flushed.push(answer),
            }
        }
        folder.forget(clock.now());
        if !machines.is_empty() {
            let machines: Vec<MachineSeen> = machines.into_values().collect();
            let most = unknown_machines.load(Ordering::Relaxed);
            if let Err(error) = store.record_machines(&machines, most).await {
                tracing::warn!(%error, lost = machines.len(), "machines seen were not written");
            }
        }
        if !events.is_empty() {
            match store.record_events(&events).await {
                Ok(()) => told.send_modify(|n| *n += 1),
                Err(error) => {
                    let lost = events.len() as u64;
                    metrics::counter!("moxxie_boot_events_dropped_total").increment(lost);
                    tracing::warn!(%error, lost, "boot events were not written");
                }
            }
        }
        if elsewhere {
            told.send_modify(|n| *n += 1);
        }
        for answer in flushed {
            let _ = answer.send(());
        }
        // A short rest lets a burst gather into few transactions.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn remember(machines: &mut HashMap<MacAddr, MachineSeen>, machine: Option<Box<MachineSeen>>) {
    if let Some(machine) = machine {
        let known = machines.remove(&machine.mac_address);
        machines.insert(machine.mac_address, machine.after(known));
    }
}

/// Folds what repeats: a machine in a boot loop asks every few seconds for ever, and its log
/// should say so once a minute.
#[derive(Default)]
struct Folder {
    minutes: HashMap<(Option<MacAddr>, EventKind), Minute>,
}

/// How many messages of this kind a minute may hold.
fn distinct(kind: EventKind) -> usize {
    // Two machines that ask in turn: one alarm, whichever of them it names first.
    if kind == EventKind::BootContention { 1 } else { DISTINCT }
}

/// What one machine was told in one way, since the first event that was written.
struct Minute {
    since: Timestamp,
    /// The messages that were written, and how often each came again.
    written: Vec<(String, i64)>,
    /// Events with yet other messages.
    left_out: i64,
}

impl Minute {
    fn begin(event: &BootEvent) -> Minute {
        Minute { since: event.at, written: vec![(event.message.clone(), 0)], left_out: 0 }
    }
}

impl Folder {
    fn take(&mut self, mut event: BootEvent, out: &mut Vec<BootEvent>) {
        // Only answers that change nothing are folded; steps of an install all stand.
        let repeats = matches!(
            event.kind,
            EventKind::Local
                | EventKind::BootWaiting
                | EventKind::BootContention
                | EventKind::ApprovalAsked
                | EventKind::ApprovalRefused
                | EventKind::BootLimited
                | EventKind::MenuUnknown
                | EventKind::ReinstallSuppressed
                | EventKind::IdentityConflict
                | EventKind::ConfigRefused
                | EventKind::BootError
                | EventKind::KernelFetched
                | EventKind::InitrdFetched
                | EventKind::DownloadAborted
        );
        if !repeats {
            out.push(event);
            return;
        }
        let key = (event.mac_address, event.kind);
        let Some(minute) = self.minutes.get_mut(&key) else {
            if self.minutes.len() < FOLD_MEMORY {
                self.minutes.insert(key, Minute::begin(&event));
            }
            out.push(event);
            return;
        };
        let again = minute.written.iter_mut().find(|(message, _)| *message == event.message);
        if event.at - minute.since >= FOLD {
            let next = Minute::begin(&event);
            event.count += again.map_or(0, |(_, count)| *count);
            if minute.left_out > 0 {
                event.message += &format!(" ({} other events were left out)", minute.left_out);
            }
            *minute = next;
            out.push(event);
        } else if let Some((_, count)) = again {
            *count += 1;
        } else if minute.written.len() < distinct(event.kind) {
            minute.written.push((event.message.clone(), 0));
            out.push(event);
        } else {
            minute.left_out += 1;
        }
    }

    fn forget(&mut self, now: Timestamp) {
        if self.minutes.len() >= FOLD_MEMORY / 2 {
            self.minutes.retain(|_, minute| now - minute.since < FOLD);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(at: i64, kind: EventKind, message: &str) -> BootEvent {
        BootEvent {
            id: 0,
            at: Timestamp(at),
            kind,
            mac_address: "52:54:00:00:00:01".parse().ok(),
            node_name: None,
            boot_profile: None,
            peer: None,
            message: message.into(),
            count: 1,
        }
    }

    #[test]
    fn repeats_are_folded_and_counted_but_steps_are_not() {
        let mut folder = Folder::default();
        let mut out = Vec::new();
        for second in 0..70 {
            folder.take(event(second * 1000, EventKind::Local, "not armed"), &mut out);
        }
        assert_eq!(out.len(), 2);
        assert_eq!(out[1].count, 60);
        for second in 0..3 {
            folder.take(event(second, EventKind::Boot, "armed"), &mut out);
        }
        assert_eq!(out.len(), 5);
        folder.take(event(71_000, EventKind::Local, "something else"), &mut out);
        assert_eq!(out.len(), 6);
    }

    #[test]
    fn messages_that_the_client_chooses_do_not_fill_the_log() {
        let mut folder = Folder::default();
        let mut out = Vec::new();
        for n in 0..1000 {
            folder.take(event(n, EventKind::BootError, &format!("no profile {n}")), &mut out);
            folder.take(event(n, EventKind::Local, "not armed"), &mut out);
        }
        assert_eq!(out.len(), DISTINCT + 1);
        folder.take(event(60_000, EventKind::BootError, "no profile 5000"), &mut out);
        assert_eq!(out.len(), DISTINCT + 2);
        assert_eq!(out[DISTINCT + 1].message, "no profile 5000 (994 other events were left out)");
        // What alternates is folded too.
        out.clear();
        for n in 0..20 {
            folder.take(event(200_000 + n, EventKind::ConfigRefused, ["a", "b"][n as usize % 2]), &mut out);
        }
        assert_eq!(out.len(), 2);
    }
}
