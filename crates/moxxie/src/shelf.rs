//! Putting files on a profile's shelf and taking them off.

use crate::app::App;
use crate::http::api::v1::assets::asset_error;
use crate::http::error::{ApiError, ApiResult};
use moxxie_core::asset::{Asset, Digest};
use moxxie_core::audit::By;
use moxxie_core::name::FileName;
use moxxie_core::profile::Profile;
use moxxie_store::assets::{Condition, Sealed};

/// Publishes a file and writes its label.
pub async fn keep(app: &App, profile: &Profile, file: FileName, sealed: Sealed, by: &By) -> ApiResult<Asset> {
    let size = i64::try_from(sealed.size).map_err(|_| ApiError::too_large("larger than any disk"))?;
    let asset = Asset { file, sha256: sealed.digest, size, created_at: by.at };
    app.assets.publish(sealed).await.map_err(asset_error)?;
    let old = app.read().assets(&profile.id).await?.into_iter().find(|a| a.file == asset.file);
    app.write().put_asset(&profile.id, &asset, by).await?;
    if let Some(old) = old.filter(|o| o.sha256 != asset.sha256) {
        drop_unused(app, &old.sha256).await;
    }
    Ok(asset)
}

/// Deletes bytes that no label refers to. Running downloads keep theirs: the file stays open.
pub async fn drop_unused(app: &App, digest: &Digest) {
    match app.read().digest_in_use(digest).await {
        Ok(true) => {}
        Ok(false) => {
            if let Err(error) = app.assets.remove(digest).await {
                tracing::warn!(%error, sha256 = %digest, "unused bytes stay on the disk");
            }
        }
        Err(error) => tracing::warn!(%error, sha256 = %digest, "unused bytes stay on the disk"),
    }
}

/// Whether a file's bytes are there; what cannot be looked at counts as missing.
pub async fn condition(app: &App, asset: &Asset) -> Condition {
    let Ok(size) = u64::try_from(asset.size) else { return Condition::Missing };
    app.assets.condition(&asset.sha256, size).await.unwrap_or(Condition::Missing)
}
