//! Putting files on a profile's shelf, taking them off, and deleting bytes that nothing needs.

use crate::app::App;
use crate::http::api::v1::assets::asset_error;
use crate::http::error::{ApiError, ApiResult};
use moxxie_core::asset::{Asset, Digest};
use moxxie_core::audit::By;
use moxxie_core::name::FileName;
use moxxie_core::profile::Profile;
use moxxie_core::time::Span;
use moxxie_store::assets::{AssetError, Condition, Readable, Sealed};
use moxxie_store::{Arrival, StoreError};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long bytes may stay without a label while somebody publishes them.
const ARRIVAL: Span = Span::hours(24);
/// How long a byte store may take to do what it gave no answer to.
const AFTERMATH: Span = Span::minutes(10);
/// Between two questions whether bytes are deleted by now, and how often it is asked.
const PAUSE: Duration = Duration::from_millis(200);
const PAUSES: u32 = 50;
/// So long a request waits for the deletion of what it made useless; the deletion goes on.
const PROMPT: Duration = Duration::from_secs(5);
/// How long a request waits for a whole file that comes from a remote store; the fetch goes on.
const WHOLE: Duration = Duration::from_secs(20);
/// So many unused digests are looked up at once.
const BATCH: u32 = 100;

/// Publishes a file and writes its label. Goes on to its end when the caller is cut off.
pub async fn keep(
    app: &Arc<App>,
    profile: &Profile,
    file: FileName,
    sealed: Sealed,
    by: &By,
) -> ApiResult<Asset> {
    let size = i64::try_from(sealed.size).map_err(|_| ApiError::too_large("larger than any disk"))?;
    let asset = Asset { file, sha256: sealed.digest, size, created_at: by.at };
    let (app, profile_id, by) = (app.clone(), profile.id.clone(), by.clone());
    to_its_end(async move {
        let arrival = arrive(&app, &asset.sha256, asset.size).await?;
        if let Err(error) = app.assets.publish(sealed).await {
            // Its last word may have been lost on the way, and the bytes still become visible.
            abandon(&app, &arrival, AFTERMATH).await;
            return Err(asset_error(error));
        }
        label(&app, &profile_id, asset, &arrival, &by).await
    })
    .await
}

/// Writes a label on bytes that are in the store already; 422 on `/sha256` when they are not.
pub async fn link(
    app: &Arc<App>,
    profile: &Profile,
    file: FileName,
    digest: Digest,
    by: &By,
) -> ApiResult<Asset> {
    let missing =
        || ApiError::field("/sha256", "the store does not have these bytes whole: upload the file itself");
    let size = app.read().asset_size(&digest).await?.ok_or_else(missing)?;
    let asset = Asset { file, sha256: digest, size, created_at: by.at };
    let (app, profile_id, by) = (app.clone(), profile.id.clone(), by.clone());
    to_its_end(async move {
        let arrival = arrive(&app, &asset.sha256, asset.size).await?;
        // Asked only now that nobody can take them away any more.
        match verified(&app, &digest, size.unsigned_abs()).await {
            Ok(Condition::Stored) => label(&app, &profile_id, asset, &arrival, &by).await,
            Ok(_) => {
                abandon(&app, &arrival, Span(0)).await;
                Err(missing())
            }
            Err(error) => {
                abandon(&app, &arrival, Span(0)).await;
                Err(asset_error(error))
            }
        }
    })
    .await
}

/// Whether the bytes are there and right: a store may have lost some without knowing.
async fn verified(app: &App, digest: &Digest, size: u64) -> Result<Condition, AssetError> {
    let read = async {
        let mut readable = app.assets.read(digest, size).await?;
        match &mut readable.arriving {
            Some(arriving) => arriving.until(size.saturating_sub(1)).await.map(drop),
            None => Ok(()),
        }
    };
    match read.await {
        Ok(()) => Ok(Condition::Stored),
        Err(AssetError::Damaged(_)) => Ok(Condition::Damaged),
        Err(AssetError::Missing(_)) => Ok(Condition::Missing),
        Err(error) => Err(error),
    }
}

/// Keeps collectors away from bytes that will be published and labeled.
pub(crate) async fn arrive(app: &App, digest: &Digest, size: i64) -> Result<Arrival, StoreError> {
    patiently(|| async {
        let now = app.clock.now();
        app.read().arrive(digest, size, now, now + ARRIVAL).await
    })
    .await
}

/// Writes the label; the bytes are there.
async fn label(
    app: &Arc<App>,
    profile_id: &str,
    asset: Asset,
    arrival: &Arrival,
    by: &By,
) -> ApiResult<Asset> {
    match app.write().put_asset(profile_id, &asset, arrival, by).await {
        Ok(old) => {
            if old.is_some_and(|old| old.sha256 != asset.sha256) {
                collect(app).await;
            }
            Ok(asset)
        }
        Err(error) => {
            abandon(app, arrival, Span(0)).await;
            Err(error.into())
        }
    }
}

/// Nobody will label these bytes: they may be collected after this time.
pub(crate) async fn abandon(app: &App, arrival: &Arrival, after: Span) {
    if let Err(error) = app.read().abandon(arrival, app.clock.now() + after).await {
        tracing::warn!(%error, sha256 = %arrival.sha256, "unused bytes stay in the store for a day");
    }
}

/// Deletes the bytes that nothing refers to. For every request that takes labels away, after its
/// transaction: waits while that goes quickly. Running downloads keep their bytes.
pub async fn collect(app: &Arc<App>) {
    let app = app.clone();
    let sweeping = tokio::spawn(async move { sweep(&app).await });
    tokio::time::timeout(PROMPT, sweeping).await.ok();
}

/// The same, for the housekeeping.
pub async fn sweep(app: &App) {
    loop {
        let now = app.clock.now();
        let unused = match app.read().unused(now, BATCH).await {
            Ok(unused) => unused,
            Err(error) => return tracing::debug!(%error, "unused bytes wait for the database"),
        };
        for digest in &unused {
            match app.read().collect(&app.assets, digest, now).await {
                Ok(true) => tracing::info!(sha256 = %digest, "deleted bytes that nothing refers to"),
                Ok(false) => {}
                // The next one would fare no better; the housekeeping comes back.
                Err(error) => {
                    return tracing::warn!(%error, sha256 = %digest, "unused bytes stay in the store");
                }
            }
        }
        if unused.len() < BATCH as usize {
            return;
        }
    }
}

/// Asks again while bytes are being deleted, which takes a moment, for ten seconds.
pub async fn patiently<T, F>(mut ask: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    for _ in 0..PAUSES {
        match ask().await {
            Err(StoreError::Busy) => tokio::time::sleep(PAUSE).await,
            done => return done,
        }
    }
    ask().await
}

/// Runs something to its end, also when the caller is dropped.
pub(crate) async fn to_its_end<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    match tokio::spawn(work).await.map_err(tokio::task::JoinError::try_into_panic) {
        Ok(done) => done,
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        // The runtime ends, and this task with it.
        Err(Err(_)) => std::future::pending().await,
    }
}

/// Whether a file's bytes are there; `None` when the store cannot tell now.
pub async fn look(app: &App, asset: &Asset) -> Option<Condition> {
    look_at(app, &asset.sha256, asset.size).await
}

/// The same for bytes under any label.
pub async fn look_at(app: &App, digest: &Digest, size: i64) -> Option<Condition> {
    match app.assets.condition(digest, u64::try_from(size).ok()?).await {
        Ok(found) => Some(found),
        Err(AssetError::NotRegular(_)) => Some(Condition::Missing),
        Err(error) => {
            tracing::debug!(%error, sha256 = %digest, "an asset could not be looked at");
            None
        }
    }
}

/// Waits until all of a file is here and verified, but not longer than a client would.
pub(crate) async fn whole(readable: &mut Readable) -> Result<(), AssetError> {
    if let Some(arriving) = &mut readable.arriving {
        let last = readable.size.saturating_sub(1);
        let waited = tokio::time::timeout(WHOLE, arriving.until(last)).await;
        waited.map_err(|_| AssetError::Away("the file is still on its way".into()))??;
        readable.arriving = None;
    }
    Ok(())
}

/// Says how many files in the folder are unknown to the database, as those of a folder that was
/// copied here. They are left alone: nobody deletes what it does not know.
pub async fn report_strangers(app: &App, folder: &Path) {
    let folder = folder.join("sha256");
    // First the files, then the rows: a row is there before its file.
    let found = tokio::task::spawn_blocking(move || digests_in(&folder)).await.unwrap_or_default();
    let Ok(known) = app.read().all_bytes().await else { return };
    let strangers = found.iter().filter(|digest| !known.contains(digest)).count();
    if strangers > 0 {
        tracing::info!(
            strangers,
            "files in the assets' folder that the database does not know; they are left alone"
        );
    }
}

fn digests_in(folder: &Path) -> Vec<Digest> {
    let names = |dir: &Path| std::fs::read_dir(dir).into_iter().flatten().flatten();
    let files = names(folder).flat_map(|dir| names(&dir.path()));
    files.filter_map(|file| file.file_name().to_str()?.parse().ok()).collect()
}
