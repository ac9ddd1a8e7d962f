//! How long a client may let the server wait for it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// The least that a client has to take while bytes wait for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// In each such stretch of time …
    pub time: Duration,
    /// … it has to acknowledge so many bytes.
    pub bytes: u64,
}

/// Watches one client. What counts is what it acknowledged: the kernel accepts megabytes that a
/// slow client has not taken, and for a slow link calls the socket writable only now and then.
pub(super) struct Patience {
    pace: Pace,
    /// Made by the first wait, and used again by later ones.
    timer: Option<Pin<Box<Sleep>>>,
    /// Bytes acknowledged when the stretch began; `None` while nothing waits.
    since: Option<u64>,
}

impl Patience {
    pub fn new(pace: Pace) -> Patience {
        Patience { pace, timer: None, since: None }
    }

    /// Called while bytes wait. Ready: the client was too slow.
    pub fn poll_spent(&mut self, cx: &mut Context<'_>, acknowledged: impl Fn() -> u64) -> Poll<()> {
        loop {
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(Instant::now())));
            let since = *self.since.get_or_insert_with(|| {
                timer.as_mut().reset(Instant::now() + self.pace.time);
                acknowledged()
            });
            ready!(timer.as_mut().poll(cx));
            if acknowledged().saturating_sub(since) < self.pace.bytes {
                return Poll::Ready(());
            }
            self.since = None;
        }
    }

    /// Nothing waits any more.
    pub fn rest(&mut self) {
        self.since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::future::poll_fn;

    #[tokio::test]
    async fn who_keeps_the_pace_is_waited_for() {
        let mut patience = Patience::new(Pace { time: Duration::from_millis(5), bytes: 100 });
        let looks = Cell::new(0);
        // Looked at twice in each stretch: 100 bytes more each time, until nothing comes.
        let taken = || {
            looks.set(looks.get() + 1);
            looks.get().min(20) * 100
        };
        poll_fn(|cx| patience.poll_spent(cx, taken)).await;
        assert_eq!(looks.get(), 22, "ten stretches with progress, one without");
        // A rest begins anew.
        patience.rest();
        poll_fn(|cx| patience.poll_spent(cx, taken)).await;
        assert_eq!(looks.get(), 24);
    }
}
