//! `/api/v1/boot/profiles/{name}/assets`

pub mod add;
pub mod download;
pub mod list;
pub mod remove;
pub mod upload;

use crate::http::error::ApiError;
use moxxie_core::asset::{Asset, Digest};
use moxxie_core::name::FileName;
use moxxie_core::profile::Profile;
use moxxie_core::time::Timestamp;
use moxxie_store::assets::{AssetError, Condition};
use serde::Serialize;

/// A file on a profile's shelf.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[allow(missing_docs, reason = "explained by their names")]
pub struct AssetView {
    #[schema(value_type = String)]
    pub file: FileName,
    /// SHA-256 of its bytes; also the `ETag` it is served with.
    #[schema(value_type = String)]
    pub sha256: Digest,
    pub size: i64,
    #[schema(value_type = String)]
    pub created_at: Timestamp,
    /// Where machines fetch it, below this server's address.
    pub path: String,
    /// `stored`; `damaged` or `missing`: upload it again; `unknown` while the store does not answer.
    pub condition: &'static str,
}

impl AssetView {
    /// A file that was just put on the shelf, as the API shows it.
    pub fn of(profile: &Profile, asset: Asset) -> AssetView {
        let path = format!("/boot/assets/{}/{}", profile.spec.name, asset.file);
        AssetView {
            file: asset.file,
            sha256: asset.sha256,
            size: asset.size,
            created_at: asset.created_at,
            path,
            condition: condition_name(Some(Condition::Stored)),
        }
    }
}

/// What a look at the bytes came to, in the API's words.
pub fn condition_name(found: Option<Condition>) -> &'static str {
    match found {
        Some(Condition::Stored) => "stored",
        Some(Condition::Damaged) => "damaged",
        Some(Condition::Missing) => "missing",
        None => "unknown",
    }
}

/// The refusal of a file with more than so many bytes.
pub fn too_large(max: u64) -> ApiError {
    ApiError::too_large(format!("larger than {} MiB (limits.asset_mib)", max / 1024 / 1024))
}

/// What went wrong on the assets' disk, in the API's words.
pub fn asset_error(error: AssetError) -> ApiError {
    match error {
        AssetError::NoSpace { .. } => ApiError::full("the assets' disk is full: nothing was stored"),
        AssetError::ReadOnly(_) => ApiError::full("the assets' folder is read-only: nothing was stored"),
        AssetError::Mismatch { expected, got } => ApiError::field(
            "/sha256",
            format!("the bytes have SHA-256 {got}, not {expected}: nothing was stored"),
        ),
        error @ AssetError::Away(_) => {
            tracing::error!(%error, "nothing was stored");
            let next = "nothing was stored; see /readyz, then try again";
            ApiError::unavailable(format!("the asset store does not answer: {next}"))
        }
        error => {
            tracing::error!(%error, "the assets' folder");
            ApiError::unavailable("the assets' folder cannot be used; see /readyz and the log")
        }
    }
}
