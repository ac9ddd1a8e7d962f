//! The indexes of the images that were asked for lately.

use super::{Index, IsoError};
use moxxie_core::asset::Digest;
use std::collections::VecDeque;
use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OnceCell, Semaphore};

/// Indexes in memory; each has at most some ten MiB, an honest one less than one.
const HELD: usize = 8;
/// Images that are looked through at once.
const AT_ONCE: usize = 2;

/// What was found in an image. That it is refused is worth remembering as well.
type Found = Arc<OnceCell<Result<Arc<Index>, IsoError>>>;

/// Indexes by digest, the one asked for last in front. Each image is looked through once, however
/// many ask for it at the same time.
#[derive(Debug)]
pub struct Images {
    held: Mutex<VecDeque<(Digest, Found)>>,
    turns: Arc<Semaphore>,
}

impl Default for Images {
    fn default() -> Images {
        Images { held: Mutex::default(), turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

impl Images {
    /// The index of the image with this digest, out of this file of `size` bytes, which has to be
    /// there as a whole.
    pub async fn index(&self, digest: &Digest, file: &Arc<File>, size: u64) -> Result<Arc<Index>, IsoError> {
        let stopped = || IsoError::Disk("the reader stopped".to_owned());
        let found = self.slot(digest);
        let index = found.get_or_try_init(|| async {
            let turn = self.turns.clone().acquire_owned().await.map_err(|_| stopped())?;
            let file = file.clone();
            // A caller that goes away does not stop the work, so the turn goes with it.
            let read = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                super::read(&*file, size)
            });
            match read.await.map_err(|_| stopped())? {
                // Says nothing about the image: the next one tries again.
                Err(IsoError::Disk(why)) => Err(IsoError::Disk(why)),
                known => Ok(known.map(Arc::new)),
            }
        });
        index.await?.clone()
    }

    fn slot(&self, digest: &Digest) -> Found {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let found = held.iter().position(|(known, _)| known == digest).and_then(|at| held.remove(at));
        let (digest, slot) = found.unwrap_or_else(|| (*digest, Found::default()));
        held.push_front((digest, slot.clone()));
        held.truncate(HELD);
        slot
    }
}
