//! `/api/v1/boot/profiles`.

pub mod check;
pub mod create;
pub mod delete;
pub mod get;
pub mod list;
pub mod update;
pub mod wire;

use crate::app::App;
use crate::http::error::{ApiError, ApiResult};
use moxxie_core::profile::Profile;

/// The profile of this name or id.
pub async fn find(app: &App, name_or_id: &str) -> ApiResult<Profile> {
    let found = app.read().profile(name_or_id).await?;
    found.ok_or_else(|| {
        ApiError::not_found(format!(
            "no profile {:?}; `moxxie profile list` shows them",
            // Some paste a token here.
            moxxie_core::boot::event::one_line(&crate::http::middleware::secret_path(name_or_id), 64)
        ))
    })
}
