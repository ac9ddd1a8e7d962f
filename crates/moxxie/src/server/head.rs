//! How long a request's head may be on its way. hyper gives an idle connection and a head the same
//! time together, and iPXE needs a long one for the first: so whoever sends a byte of a head now
//! and then could hold a connection that long each time.

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep};

/// Whether a connection's request is being answered.
pub(super) type Busy = Arc<AtomicBool>;

/// Watches what is read from one connection.
pub(super) struct Head {
    busy: Busy,
    /// From the first byte of a head on.
    within: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    /// A head has begun and was not read to its end.
    begun: bool,
}

impl Head {
    pub fn new(within: Duration) -> Head {
        Head { busy: Busy::default(), within, timer: None, begun: false }
    }

    /// Where [`Answering`] says that a head has ended.
    pub fn busy(&self) -> Busy {
        self.busy.clone()
    }

    /// Bytes were read.
    pub fn arrived(&mut self) {
        if self.busy.load(Ordering::Relaxed) {
            // Of a body, or of the next head, which begins for us when this request is answered.
            self.begun = false;
        } else if !self.begun {
            self.begun = true;
            let end = Instant::now() + self.within;
            match &mut self.timer {
                Some(timer) => timer.as_mut().reset(end),
                None => self.timer = Some(Box::pin(sleep(self.within))),
            }
        }
    }

    /// Called when there is nothing to read. Ready: the head takes too long.
    pub fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.busy.load(Ordering::Relaxed) {
            self.begun = false;
        }
        match &mut self.timer {
            Some(timer) if self.begun => timer.as_mut().poll(cx),
            _ => Poll::Pending,
        }
    }
}

/// One request, from the end of its head to the last byte of its answer.
pub(super) struct Answering(Busy);

impl Answering {
    pub fn begin(busy: &Busy) -> Answering {
        busy.store(true, Ordering::Relaxed);
        Answering(busy.clone())
    }

    /// The body of its answer.
    pub fn with(self, body: Body) -> Answer {
        Answer { body, _answering: self }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// The body of an answer, which hyper drops when it has taken all of it.
pub(super) struct Answer {
    body: Body,
    _answering: Answering,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        HttpBody::size_hint(&self.body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    async fn is_late(head: &mut Head) -> bool {
        poll_fn(|cx| Poll::Ready(head.poll_late(cx).is_ready())).await
    }

    #[tokio::test]
    async fn a_head_has_its_time_from_its_first_byte_to_its_request() {
        let mut head = Head::new(Duration::from_millis(1));
        let busy = head.busy();
        for _ in 0..3 {
            assert!(!is_late(&mut head).await, "an idle connection has hyper's time");
            head.arrived();
            let answering = Answering::begin(&busy);
            head.arrived();
            assert!(!is_late(&mut head).await, "a body has its own time");
            drop(answering.with(Body::empty()));
        }
        head.arrived();
        poll_fn(|cx| head.poll_late(cx)).await;
        head.arrived();
        assert!(is_late(&mut head).await, "one more byte does not wind it up");
    }
}
