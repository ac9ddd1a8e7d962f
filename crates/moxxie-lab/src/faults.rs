//! What can go wrong between a client and its store.

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use http_body_util::BodyExt;
use hyper::body::Frame;
use std::io;
use std::time::Duration;

/// What goes wrong from now on. The default is nothing.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// Connections are closed at once, also those that are open.
    pub down: bool,
    /// Every request is answered with 503 SlowDown.
    pub slow_down: bool,
    /// Every answer waits this long.
    pub delay: Option<Duration>,
    /// Bodies come this slowly.
    pub bytes_per_second: Option<u64>,
    /// One bit of the byte at this offset of an object is wrong.
    pub flip: Option<u64>,
    /// Bodies break off after so many bytes.
    pub cut: Option<u64>,
    /// So many bodies are cut; `None`: all.
    pub cuts: Option<u64>,
    /// Bodies fall silent for ever after so many bytes.
    pub stall: Option<u64>,
}

/// A body on its way to the client.
struct Passage<F> {
    body: s3s::Body,
    faults: Faults,
    /// Where in the object the body begins.
    base: u64,
    /// Bytes that were passed on.
    passed: u64,
    /// What came and was not passed on yet.
    held: Bytes,
    /// Bytes whose time was not waited for yet.
    owed: u64,
    count: F,
}

/// Passes a body on, with the faults of the moment it began. `base` is where in the object it
/// begins; `count` hears of every byte.
pub fn pass(
    body: s3s::Body,
    faults: Faults,
    base: u64,
    count: impl Fn(u64) + Send + 'static,
) -> impl Stream<Item = io::Result<Frame<Bytes>>> + Send {
    let passage = Passage { body, faults, base, passed: 0, held: Bytes::new(), owed: 0, count };
    stream::unfold(Some(passage), |passage| async move {
        let mut passage = passage?;
        match passage.next().await {
            Some(Ok(bytes)) => Some((Ok(Frame::data(bytes)), Some(passage))),
            Some(Err(error)) => Some((Err(error), None)),
            None => None,
        }
    })
}

impl<F: Fn(u64)> Passage<F> {
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        while self.held.is_empty() {
            match self.body.frame().await? {
                Ok(frame) => self.held = frame.into_data().unwrap_or_default(),
                Err(error) => return Some(Err(io::Error::other(error))),
            }
        }
        let mut most = self.held.len() as u64;
        if let Some(rate) = self.faults.bytes_per_second {
            // At most a hundredth of a second's worth at once.
            most = most.min((rate / 100).max(1));
            self.owed += most;
            if self.owed >= (rate / 100).max(1) {
                tokio::time::sleep(Duration::from_secs_f64(self.owed as f64 / rate as f64)).await;
                self.owed = 0;
            }
        }
        for end in [self.faults.cut, self.faults.stall].into_iter().flatten() {
            most = most.min(end - self.passed);
        }
        if most == 0 {
            if self.faults.stall.is_some() {
                std::future::pending::<()>().await;
            }
            return Some(Err(io::Error::other("cut")));
        }
        let mut bytes = self.held.split_to(most as usize).to_vec();
        let first = self.base + self.passed;
        if let Some(at) = self.faults.flip.filter(|at| (first..first + most).contains(at)) {
            bytes[(at - first) as usize] ^= 1;
        }
        self.passed += most;
        (self.count)(most);
        Some(Ok(bytes.into()))
    }
}
