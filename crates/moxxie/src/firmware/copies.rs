//! One copy of each loader in memory, however many machines fetch it: whoever sends one holds it,
//! and it goes with the last of them.

use crate::app::App;
use crate::shelf;
use bytes::Bytes;
use moxxie_core::asset::Digest;
use moxxie_store::assets::AssetError;
use std::collections::HashMap;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::OnceCell;

/// The bytes, once somebody has read them.
type Copy = OnceCell<Box<[u8]>>;

/// The copies that are in use.
#[derive(Default)]
pub struct Copies(Mutex<HashMap<Digest, Weak<Copy>>>);

impl Copies {
    fn of(&self, digest: &Digest) -> Arc<Copy> {
        let mut copies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(copy) = copies.get(digest).and_then(Weak::upgrade) {
            return copy;
        }
        copies.retain(|_, copy| copy.strong_count() > 0);
        let copy = Arc::default();
        copies.insert(*digest, Arc::downgrade(&copy));
        copy
    }
}

/// A copy in use.
struct Held(Arc<Copy>);

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        self.0.get().map_or(&[], |bytes| bytes)
    }
}

/// All of a file, verified. Those who want it at once read it once.
pub(super) async fn whole(app: &App, digest: &Digest, size: u64) -> Result<Bytes, AssetError> {
    let copy = app.loaders.of(digest);
    copy.get_or_try_init(|| read(app, digest, size)).await?;
    Ok(Bytes::from_owner(Held(copy)))
}

async fn read(app: &App, digest: &Digest, size: u64) -> Result<Box<[u8]>, AssetError> {
    let mut readable = app.assets.read(digest, size).await?;
    shelf::whole(&mut readable).await?;
    let read = tokio::task::spawn_blocking(move || {
        let mut bytes = vec![0; usize::try_from(readable.size).unwrap_or_default()];
        readable.file.read_exact_at(&mut bytes, 0).map(|()| bytes.into_boxed_slice())
    });
    let read = read.await.map_err(|_| AssetError::Away("this process is stopping".into()))?;
    read.map_err(|error| AssetError::Away(error.to_string()))
}
