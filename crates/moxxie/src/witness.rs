//! What is seen but changes nothing: refused accesses, and secrets that an admin read. A bounded
//! queue and one writer bring it into the audit log. No request waits for that; what repeats is
//! counted, and there is a limit on all of it, so that nobody fills the log by knocking.

use crate::clock::Clock;
use ipnet::IpNet;
use moxxie_core::audit::AuditRecord;
use moxxie_core::boot::event::one_line;
use moxxie_core::time::{Span, Timestamp};
use moxxie_store::Store;
use serde_json::json;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

const QUEUE: usize = 4096;
/// What repeats within this time is one record of its first occurrence, and one of the others.
const FOLD: Span = Span::seconds(60);
/// Records in a minute, of everything together.
const MOST: u32 = 600;
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
    /// The token's name or `machine 52:54:…`, if that is known.
    pub who: Option<String>,
    /// What it was about; no query and no token is in it.
    pub target: String,
    /// Why, in words without secrets.
    pub why: String,
}

/// Something that was seen.
struct Sighting {
    at: Timestamp,
    action: &'static str,
    actor: String,
    target: String,
    peer: IpAddr,
    kind: Option<&'static str>,
    why: Option<String>,
    /// Sightings with the same key are one matter.
    key: String,
}

impl Sighting {
    fn record(&self, count: u64) -> AuditRecord {
        AuditRecord {
            seq: 0,
            at: self.at,
            actor: self.actor.clone(),
            action: self.action.into(),
            target: self.target.clone(),
            peer: Some(self.peer.to_string()),
            before: None,
            after: Some(match (self.kind, &self.why) {
                (Some(kind), Some(why)) => json!({"kind": kind, "why": why, "count": count}),
                _ => json!({"count": count}),
            }),
        }
    }
}

enum Note {
    Seen(Sighting),
    /// Write what there is, also of minutes that are not over, and answer.
    Flush(oneshot::Sender<()>),
}

/// The queue's entrance.
#[derive(Clone)]
pub struct Witness {
    queue: mpsc::Sender<Note>,
    /// Sightings for which the queue had no place.
    dropped: Arc<AtomicU64>,
    clock: Arc<Clock>,
}

impl Witness {
    /// A queue, and the task that has to be spawned for it.
    pub fn new(store: Arc<Store>, clock: Arc<Clock>) -> (Witness, impl Future<Output = ()> + Send) {
        let (queue, notes) = mpsc::channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let writer = write(store, clock.clone(), notes, dropped.clone());
        (Witness { queue, dropped, clock }, writer)
    }

    /// An access was refused.
    pub fn refused(&self, refusal: Refusal) {
        let Refusal { kind, peer, who, target, why } = refusal;
        metrics::counter!("moxxie_refused_total", "kind" => kind).increment(1);
        let peer = peer.to_canonical();
        let actor = who.unwrap_or_else(|| "unknown".into());
        self.push(Sighting {
            at: self.clock.now(),
            action: "access.refused",
            key: format!("{kind} {} {actor}", neighborhood(peer)),
            actor,
            target: one_line(&target, 200),
            peer,
            kind: Some(kind),
            why: Some(one_line(&why, 200)),
        });
    }

    /// Somebody was shown secrets: `secrets.read` or `config.preview`.
    pub fn shown(&self, action: &'static str, actor: &str, peer: IpAddr, target: String) {
        self.push(Sighting {
            at: self.clock.now(),
            action,
            key: format!("{action} {actor} {target}"),
            actor: actor.to_owned(),
            target,
            peer: peer.to_canonical(),
            kind: None,
            why: None,
        });
    }

    fn push(&self, sighting: Sighting) {
        if self.queue.try_send(Note::Seen(sighting)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until everything seen before is written, at most this long.
    pub async fn flush(&self, at_most: Duration) {
        let (answer, answered) = oneshot::channel();
        let wait = async {
            if self.queue.send(Note::Flush(answer)).await.is_ok() {
                let _ = answered.await;
            }
        };
        let _ = tokio::time::timeout(at_most, wait).await;
    }
}

/// Addresses of one host or its neighbors, a /24 or a /64: whoever has a network has all of them.
pub(crate) fn neighborhood(peer: IpAddr) -> IpNet {
    let length = if peer.is_ipv4() { 24 } else { 64 };
    IpNet::new(peer, length).map_or(IpNet::from(peer), |net| net.trunc())
}

async fn write(
    store: Arc<Store>,
    clock: Arc<Clock>,
    mut notes: mpsc::Receiver<Note>,
    dropped: Arc<AtomicU64>,
) {
    let mut folder = Folder::default();
    let mut batch = Vec::new();
    let mut pending: Vec<AuditRecord> = Vec::new();
    loop {
        batch.clear();
        let ended = matches!(tokio::time::timeout(TICK, notes.recv_many(&mut batch, QUEUE)).await, Ok(0));
        let mut flushed = Vec::new();
        for note in batch.drain(..) {
            match note {
                Note::Seen(sighting) => folder.take(sighting, &mut pending),
                Note::Flush(answer) => flushed.push(answer),
            }
        }
        folder.left_out += dropped.swap(0, Ordering::Relaxed);
        folder.sweep(clock.now(), ended || !flushed.is_empty(), &mut pending);
        if !pending.is_empty() {
            match store.append_audits(&pending).await {
                Ok(()) => pending.clear(),
                Err(error) => {
                    tracing::warn!(%error, records = pending.len(), "refused accesses were not written yet");
                    let surplus = pending.len().saturating_sub(PENDING);
                    folder.left_out += pending.drain(..surplus).count() as u64;
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

/// Folds what repeats, and keeps to the limit.
#[derive(Default)]
struct Folder {
    /// What was written within the last minute, and how often it came again. Never more than were
    /// written in two minutes.
    again: HashMap<String, Again>,
    minute: Timestamp,
    written: u32,
    left_out: u64,
}

struct Again {
    since: Timestamp,
    last: Option<Sighting>,
    count: u64,
}

impl Folder {
    fn take(&mut self, sighting: Sighting, out: &mut Vec<AuditRecord>) {
        self.turn(sighting.at, false, out);
        if self.again.get(&sighting.key).is_some_and(|again| sighting.at - again.since >= FOLD) {
            self.close(&sighting.key.clone(), out);
        }
        match self.again.get_mut(&sighting.key) {
            Some(again) => {
                again.count += 1;
                again.last = Some(sighting);
            }
            None if self.written >= MOST => self.left_out += 1,
            None => {
                let again = Again { since: sighting.at, last: None, count: 0 };
                self.again.insert(sighting.key.clone(), again);
                self.written += 1;
                out.push(sighting.record(1));
            }
        }
    }

    /// Ends what is older than a minute, or everything.
    fn sweep(&mut self, now: Timestamp, all: bool, out: &mut Vec<AuditRecord>) {
        let over = |again: &Again| all || now - again.since >= FOLD;
        let keys: Vec<String> =
            self.again.iter().filter(|(_, again)| over(again)).map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.close(&key, out);
        }
        self.turn(now, all, out);
    }

    fn close(&mut self, key: &str, out: &mut Vec<AuditRecord>) {
        if let Some(Again { last: Some(last), count, .. }) = self.again.remove(key) {
            // Of at most as many as were written: needs no limit of its own.
            out.push(last.record(count));
        }
    }

    fn turn(&mut self, now: Timestamp, all: bool, out: &mut Vec<AuditRecord>) {
        if now - self.minute < FOLD && !all {
            return;
        }
        (self.minute, self.written) = (now, if all { self.written } else { 0 });
        let left_out = std::mem::take(&mut self.left_out);
        if left_out > 0 {
            metrics::counter!("moxxie_audit_left_out_total").increment(left_out);
            out.push(AuditRecord {
                seq: 0,
                at: now,
                actor: "system".into(),
                action: "access.left_out".into(),
                target: "audit log".into(),
                peer: None,
                before: None,
                after: Some(json!({"count": left_out})),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sighting(at: i64, key: &str) -> Sighting {
        Sighting {
            at: Timestamp(1_000_000_000 + at),
            action: "access.refused",
            actor: "unknown".into(),
            target: key.into(),
            peer: IpAddr::from([10, 0, 0, 1]),
            kind: Some("api"),
            why: Some("no token".into()),
            key: key.into(),
        }
    }

    fn counts(out: &[AuditRecord]) -> Vec<i64> {
        out.iter().map(|r| r.after.as_ref().and_then(|a| a["count"].as_i64()).unwrap()).collect()
    }

    #[test]
    fn what_repeats_is_one_record_and_a_count() {
        let (mut folder, mut out) = (Folder::default(), Vec::new());
        for n in 0..100 {
            folder.take(sighting(n, "a"), &mut out);
        }
        assert_eq!(counts(&out), [1], "the first is written at once");
        folder.sweep(Timestamp(1_000_059_000), false, &mut out);
        assert_eq!(out.len(), 1);
        folder.sweep(Timestamp(1_000_060_000), false, &mut out);
        assert_eq!(counts(&out), [1, 99]);
        folder.take(sighting(60_001, "a"), &mut out);
        folder.take(sighting(60_002, "b"), &mut out);
        folder.take(sighting(125_000, "a"), &mut out);
        assert_eq!(counts(&out), [1, 99, 1, 1, 1], "a new minute begins");
    }

    #[test]
    fn there_is_a_limit_on_all_of_it() {
        let (mut folder, mut out) = (Folder::default(), Vec::new());
        for n in 0..5000 {
            folder.take(sighting(1, &n.to_string()), &mut out);
        }
        assert_eq!((out.len(), folder.again.len()), (MOST as usize, MOST as usize));
        folder.sweep(Timestamp(1_000_061_000), false, &mut out);
        assert_eq!(out.len(), MOST as usize + 1);
        assert_eq!(
            (out.last().unwrap().action.as_str(), counts(&out).pop()),
            ("access.left_out", Some(4400))
        );
        assert!(folder.again.is_empty());
        folder.take(sighting(62_000, "x"), &mut out);
        assert_eq!(out.len(), MOST as usize + 2);
    }

    #[test]
    fn neighbors_are_one() {
        assert_eq!(neighborhood("10.1.2.3".parse().unwrap()).to_string(), "10.1.2.0/24");
        assert_eq!(neighborhood("2001:db8:1:2:3::4".parse().unwrap()).to_string(), "2001:db8:1:2::/64");
    }
}
