//! The bodies of requests: whether they were read to their end, and whether they come at all.

use super::patience::{Pace, Patience};
use axum::BoxError;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

/// A body whose client sends too little for too long.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the client sent too little for too long")]
pub struct TooSlow;

/// A body that notes when it was given up before its end: the client may still be sending.
pub(super) struct Received {
    incoming: Incoming,
    ended: bool,
    unread: Arc<AtomicBool>,
    patience: Patience,
    /// Bytes so far.
    bytes: u64,
}

impl Received {
    pub fn new(incoming: Incoming, unread: Arc<AtomicBool>, pace: Pace) -> Received {
        Received { incoming, ended: false, unread, patience: Patience::new(pace), bytes: 0 }
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        match Pin::new(&mut this.incoming).poll_frame(cx) {
            Poll::Ready(frame) => {
                this.ended |= frame.is_none();
                if let Some(Ok(frame)) = &frame {
                    this.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                }
                Poll::Ready(frame.map(|frame| frame.map_err(BoxError::from)))
            }
            // Only who is waited for can be slow: while the handler writes to a disk nobody asks.
            Poll::Pending => {
                let bytes = this.bytes;
                this.patience.poll_spent(cx, || bytes).map(|()| Some(Err(TooSlow.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        if !self.ended && !self.incoming.is_end_stream() {
            self.unread.store(true, Ordering::Relaxed);
        }
    }
}
