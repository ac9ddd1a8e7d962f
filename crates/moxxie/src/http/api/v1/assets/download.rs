//! `GET /api/v1/boot/profiles/{name}/assets/{file}`

use crate::app::App;
use crate::http::api::v1::profiles;
use crate::http::boot::{asset, send::Asked};
use crate::http::error::{ApiError, ApiResult, Problem};
use crate::http::extract::Viewer;
use axum::extract::{Path, State};
use axum::response::Response;
use std::sync::Arc;

/// The bytes of a file of a profile, for people and backups: machines have a route of their own.
/// `ETag` is their SHA-256.
#[utoipa::path(get, path = "/api/v1/boot/profiles/{name}/assets/{file}", tag = "profiles", security(("token" = ["viewer"])),
    params(("name" = String, Path), ("file" = String, Path)), responses(
    (status = 200, description = "the bytes"),
    (status = 206, description = "one range of them"),
    (status = 304, description = "the client has them"),
    (status = 404, description = "no such file", body = Problem),
))]
pub async fn download(
    State(app): State<Arc<App>>,
    _: Viewer,
    Path((name, file)): Path<(String, String)>,
    asked: Asked,
) -> ApiResult<Response> {
    let file = file.parse().map_err(|e| ApiError::field("/file", e))?;
    let profile = profiles::find(&app, &name).await?;
    Ok(asset::serve(app, profile.spec.name, file, asked, false).await?)
}
