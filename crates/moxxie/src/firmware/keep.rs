//! Putting a loader on the shelf.

use crate::app::App;
use crate::shelf::{abandon, arrive, collect, to_its_end};
use moxxie_core::asset::Digest;
use moxxie_core::audit::By;
use moxxie_core::loader::{Loader, NotAsNamed, inspect};
use moxxie_core::name::LoaderName;
use moxxie_core::time::Span;
use moxxie_store::StoreError;
use moxxie_store::assets::AssetError;
use std::sync::Arc;

/// How long a byte store may take to do what it gave no answer to.
const AFTERMATH: Span = Span::minutes(10);

/// Why a loader was not kept.
#[derive(Debug, thiserror::Error)]
pub enum NotKept {
    /// Its name says something else than its bytes.
    #[error(transparent)]
    Name(#[from] NotAsNamed),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The byte store.
    #[error(transparent)]
    Bytes(#[from] AssetError),
}

/// Checks a file, publishes its bytes and writes its label; what had the name before loses it. Goes
/// on to its end when the caller is cut off.
pub async fn keep(
    app: &Arc<App>,
    name: LoaderName,
    bytes: Vec<u8>,
    expected: Option<Digest>,
    source: String,
    by: &By,
) -> Result<Loader, NotKept> {
    // It looks for a version in all of the bytes.
    let inspected = tokio::task::spawn_blocking(move || (inspect(&name, &bytes), name, bytes)).await;
    let (found, name, bytes) = inspected.map_err(|_| AssetError::Away("this process is stopping".into()))?;
    let found = found?;
    let mut writer = app.assets.writer().await?;
    writer.write(&bytes).await?;
    drop(bytes);
    let sealed = writer.seal(expected).await?;
    let loader = Loader {
        name,
        sha256: sealed.digest,
        size: i64::try_from(sealed.size).unwrap_or(i64::MAX),
        purpose: found.purpose,
        source,
        version: found.version,
        created_at: by.at,
    };
    let (app, by) = (app.clone(), by.clone());
    to_its_end(async move {
        let arrival = arrive(&app, &loader.sha256, loader.size).await?;
        if let Err(error) = app.assets.publish(sealed).await {
            // Its last word may have been lost on the way, and the bytes still become visible.
            abandon(&app, &arrival, AFTERMATH).await;
            return Err(error.into());
        }
        match app.read().put_loader(&loader, &arrival, &by).await {
            Ok(old) => {
                if old.is_some_and(|old| old.sha256 != loader.sha256) {
                    collect(&app).await;
                }
                Ok(loader)
            }
            Err(error) => {
                abandon(&app, &arrival, Span(0)).await;
                Err(error.into())
            }
        }
    })
    .await
}
