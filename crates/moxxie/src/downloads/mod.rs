//! Every download of an asset that runs, and how it ended.
//!
//! A [`Download`] lives as long as anybody may still send bytes of it: the body, its slices in
//! hyper's queue, the socket that waits for the last acknowledgment. Dropping the last of them is
//! its end.

pub mod booted;
pub mod report;

use moxxie_core::asset::Digest;
use moxxie_core::mac::MacAddr;
use moxxie_core::name::{FileName, ProfileName};
use moxxie_core::time::Timestamp;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, Weak};
use std::time::Duration;
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::Instant;

/// Bytes in the last whole second or two make the rate.
const SAMPLE: Duration = Duration::from_secs(1);

/// What a file is to the profile it was fetched from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Its kernel.
    Kernel,
    /// One of its initrds.
    Initrd,
    /// Anything else.
    Other,
}

/// What was asked for, and by whom.
#[derive(Debug)]
pub struct About {
    /// The profile in the URL.
    pub profile: ProfileName,
    /// The file in the URL.
    pub file: FileName,
    /// What that file is to the profile.
    pub role: Role,
    /// The digest of the whole file.
    pub sha256: Digest,
    /// Offset of the first byte.
    pub first: u64,
    /// Bytes from there.
    pub length: u64,
    /// The answer is the whole file (status 200), not a range of it.
    pub whole: bool,
    /// The address that asks.
    pub peer: IpAddr,
    /// When.
    pub started_at: Timestamp,
    /// The machine at that address; unset until it was looked for.
    pub machine: OnceCell<Option<MacAddr>>,
}

/// How a download ended.
#[derive(Debug)]
pub struct Ended {
    /// What it was.
    pub about: Arc<About>,
    /// Bytes that reached the client, as far as is known.
    pub sent: u64,
    /// The client has every byte that it asked for.
    pub complete: bool,
    /// From the request to the last byte, or to the end.
    pub took: Duration,
}

impl Ended {
    /// The client has the whole file.
    pub fn whole(&self) -> bool {
        self.complete && self.about.whole
    }

    /// The machine, when it is known by now.
    pub fn machine(&self) -> Option<MacAddr> {
        self.about.machine.get().copied().flatten()
    }
}

type Hook = Box<dyn Fn(&Arc<Ended>) + Send + Sync>;

/// The downloads of this process.
#[derive(Default)]
pub struct Downloads {
    shared: Arc<Shared>,
    /// Which machines were sent where.
    pub booted: booted::Booted,
    looks: Looks,
}

/// Looks into the database for the machine behind a download. A few at a time: each holds tens of
/// kilobytes while it waits, and hundreds of downloads may begin in one moment.
struct Looks(Semaphore);

impl Default for Looks {
    fn default() -> Looks {
        Looks(Semaphore::new(4))
    }
}

#[derive(Default)]
struct Shared {
    running: Mutex<BTreeMap<u64, Weak<Download>>>,
    number: AtomicU64,
    hooks: RwLock<Vec<Hook>>,
    /// Made by the first download: the recorder has to be there before.
    bytes: OnceLock<metrics::Counter>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Weak<Download>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Downloads {
    /// Calls this at the end of every download. It must not block.
    pub fn on_end(&self, hook: impl Fn(&Arc<Ended>) + Send + Sync + 'static) {
        self.shared.hooks.write().unwrap_or_else(PoisonError::into_inner).push(Box::new(hook));
    }

    /// A download begins.
    pub fn begin(&self, about: About) -> Arc<Download> {
        if let Some(machine) = self.booted.machine(about.peer, &about.profile, about.started_at) {
            // A cell that was just made is empty.
            let _ = about.machine.set(Some(machine));
        }
        let id = self.shared.number.fetch_add(1, Ordering::Relaxed) + 1;
        let begun = Instant::now();
        let download = Arc::new(Download {
            id,
            about: Arc::new(about),
            begun,
            sent: AtomicU64::new(0),
            lacks: AtomicU64::new(0),
            accepted: OnceLock::new(),
            arrived: OnceLock::new(),
            samples: Mutex::new([(begun, 0); 2]),
            counted: AtomicBool::new(false),
            condemned: AtomicBool::new(false),
            shared: self.shared.clone(),
        });
        self.shared.lock().insert(id, Arc::downgrade(&download));
        metrics::gauge!("moxxie_downloads_running").increment(1.0);
        download
    }

    /// These bytes were found wrong: downloads of them are cut before they are whole.
    pub fn condemn(&self, digest: &Digest) {
        for download in self.running().iter().filter(|download| download.about.sha256 == *digest) {
            download.condemned.store(true, Ordering::Relaxed);
        }
    }

    /// Those that run, oldest first.
    pub fn running(&self) -> Vec<Arc<Download>> {
        // Only collected under the lock: dropping one takes the lock again.
        self.shared.lock().values().filter_map(Weak::upgrade).collect()
    }
}

/// One that runs.
pub struct Download {
    /// Counts up from 1 since the process started.
    pub id: u64,
    /// What it is.
    pub about: Arc<About>,
    begun: Instant,
    /// Bytes that the kernel accepted.
    sent: AtomicU64,
    /// Of those, bytes that did not arrive when the connection ended.
    lacks: AtomicU64,
    /// When the kernel accepted the last byte.
    accepted: OnceLock<Duration>,
    /// How long it took until the client had the last byte.
    arrived: OnceLock<Duration>,
    /// The last two moments that the rate is measured from.
    samples: Mutex<[(Instant, u64); 2]>,
    counted: AtomicBool,
    condemned: AtomicBool,
    shared: Arc<Shared>,
}

impl Download {
    /// The kernel accepted this many bytes more. Whether they were the last ones.
    pub fn sent(&self, bytes: u64) -> bool {
        let sent = self.sent.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.shared.bytes.get_or_init(|| metrics::counter!("moxxie_asset_bytes_total")).increment(bytes);
        self.sample(Instant::now(), sent);
        if sent < self.about.length {
            return false;
        }
        self.accepted.get_or_init(|| self.begun.elapsed());
        !self.counted.swap(true, Ordering::Relaxed)
    }

    /// The client acknowledged the last byte.
    pub fn arrived(&self) {
        let _ = self.arrived.set(self.begun.elapsed());
    }

    /// The last byte was sent, and nothing was heard of the client since: a machine that starts its
    /// kernel says no more. The silence is not counted.
    pub fn left(&self) {
        let _ = self.arrived.set(self.accepted.get().copied().unwrap_or_else(|| self.begun.elapsed()));
    }

    /// The connection ended while this many bytes were on their way.
    pub fn lacks(&self, bytes: u64) {
        self.lacks.store(bytes, Ordering::Relaxed);
    }

    /// Whether its bytes were found wrong meanwhile.
    pub fn is_condemned(&self) -> bool {
        self.condemned.load(Ordering::Relaxed)
    }

    /// Bytes that the kernel accepted until now.
    pub fn so_far(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    fn sample(&self, now: Instant, sent: u64) {
        if let Ok(mut samples) = self.samples.try_lock()
            && now - samples[1].0 >= SAMPLE
        {
            *samples = [samples[1], (now, sent)];
        }
    }

    /// Bytes a second, over the last seconds.
    pub fn rate(&self, now: Instant) -> u64 {
        let [(at, then), _] = *self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        rate(self.so_far().saturating_sub(then), now - at)
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        self.shared.lock().remove(&self.id);
        metrics::gauge!("moxxie_downloads_running").decrement(1.0);
        let (arrived, sent) = (self.arrived.get().copied(), self.so_far());
        let ended = Arc::new(Ended {
            about: self.about.clone(),
            sent: sent.saturating_sub(self.lacks.load(Ordering::Relaxed)),
            complete: arrived.is_some() && !self.is_condemned(),
            took: arrived.unwrap_or_else(|| self.begun.elapsed()),
        });
        for hook in self.shared.hooks.read().unwrap_or_else(PoisonError::into_inner).iter() {
            hook(&ended);
        }
    }
}

/// Bytes a second.
fn rate(bytes: u64, time: Duration) -> u64 {
    // Less than a millisecond is not measured.
    let ms = time.as_millis().max(1);
    u64::try_from(u128::from(bytes) * 1000 / ms).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(length: u64) -> About {
        About {
            profile: "p".parse().unwrap(),
            file: "vmlinuz".parse().unwrap(),
            role: Role::Kernel,
            sha256: Digest([7; 32]),
            first: 0,
            length,
            whole: true,
            peer: "10.0.0.1".parse().unwrap(),
            started_at: Timestamp(0),
            machine: OnceCell::new(),
        }
    }

    #[test]
    fn the_last_owner_ends_it_once() {
        let downloads = Downloads::default();
        let (tell, told) = std::sync::mpsc::channel();
        downloads.on_end(move |ended| tell.send(ended.clone()).unwrap());
        let download = downloads.begin(about(3_000));
        let slice = download.clone();
        assert!(!download.sent(2_000));
        drop(download);
        assert_eq!(downloads.running()[0].so_far(), 2_000);
        assert!(slice.sent(1_000) && !slice.sent(0), "the last byte once");
        slice.arrived();
        assert!(told.try_recv().is_err());
        drop(slice);
        let ended = told.recv().unwrap();
        assert!(ended.whole() && ended.sent == 3_000);
        assert!(downloads.running().is_empty());

        let cut = downloads.begin(about(3_000));
        cut.sent(2_000);
        cut.lacks(500);
        drop(cut);
        let ended = told.recv().unwrap();
        assert!(!ended.complete && ended.sent == 1_500);
    }

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let download = Downloads::default().begin(about(1_000_000));
        let second = |n| download.begun + Duration::from_secs(n);
        for n in 1..=10 {
            let sent = download.sent.fetch_add(n * 100, Ordering::Relaxed) + n * 100;
            download.sample(second(n), sent);
        }
        assert_eq!(download.rate(second(10)), 1_000);
        assert_eq!(download.rate(second(14)), 200, "a stall shows");
    }
}
