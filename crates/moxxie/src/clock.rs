//! The clock and the dice, so that nothing else reads them and tests can hold both.

use moxxie_core::time::{Span, Timestamp};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The time of this site. It never goes back, so that a clock that jumps cannot reopen a window
/// that has closed, and it follows the database's clock where there is one, so that replicas agree.
#[derive(Debug, Default)]
pub struct Clock {
    /// What to add to the system's clock, in ms.
    offset: AtomicI64,
    /// The latest time given out.
    floor: AtomicI64,
    /// When [`Clock::steady`] was first asked for.
    started: OnceLock<Instant>,
    /// Tests stop the system's clock.
    stopped: Option<AtomicI64>,
}

impl Clock {
    /// A clock that stands at this time until it is pushed.
    pub fn stopped_at(time: Timestamp) -> Clock {
        Clock { stopped: Some(AtomicI64::new(time.0)), ..Clock::default() }
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        let system = match &self.stopped {
            Some(time) => time.load(Ordering::SeqCst),
            None => system_ms(),
        };
        let now = system.saturating_add(self.offset.load(Ordering::Relaxed));
        Timestamp(self.floor.fetch_max(now, Ordering::SeqCst).max(now))
    }

    /// Time that only passes: since some moment, and whatever becomes of the system's clock or the
    /// database's. For rates; a clock that was set back must not make everybody wait.
    pub fn steady(&self) -> Duration {
        match &self.stopped {
            Some(time) => Duration::from_millis(time.load(Ordering::SeqCst).unsigned_abs()),
            None => self.started.get_or_init(Instant::now).elapsed(),
        }
    }

    /// Takes over the database's clock.
    pub fn follow(&self, database: Timestamp) {
        if self.stopped.is_none() {
            self.offset.store(database.0.saturating_sub(system_ms()), Ordering::Relaxed);
        }
    }

    /// Moves a stopped clock.
    pub fn push(&self, by: Span) {
        if let Some(time) = &self.stopped {
            time.fetch_add(by.0, Ordering::SeqCst);
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "the one place that reads the system's clock")]
fn system_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|d| i64::try_from(d.as_millis()).ok())
        .unwrap_or(0)
}

/// Random bytes from the operating system.
pub fn random<const N: usize>() -> [u8; N] {
    rand::random()
}

/// A new id: a UUIDv7, which sorts by time.
pub fn new_id() -> String {
    uuid::Uuid::now_v7().to_string()
}
