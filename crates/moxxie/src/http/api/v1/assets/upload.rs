//! `PUT /api/v1/boot/profiles/{name}/assets/{file}`: a file in one request.

use super::{AssetView, asset_error, too_large};
use crate::app::App;
use crate::http::api::v1::incoming::Incoming;
use crate::http::api::v1::profiles;
use crate::http::error::{ApiError, ApiResult, Problem};
use crate::http::extract::{Operator, Peer};
use crate::shelf;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use moxxie_core::name::FileName;
use std::sync::Arc;

/// Upload a file. The body is the file; it is visible once it has arrived in full.
#[utoipa::path(put, path = "/api/v1/boot/profiles/{name}/assets/{file}", tag = "profiles", security(("token" = ["operator"])),
    params(("name" = String, Path), ("file" = String, Path),
        ("X-Content-SHA256" = Option<String>, Header, description = "refused with 422 when the bytes differ")),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"), responses(
    (status = 201, description = "stored", body = AssetView),
    (status = 413, description = "larger than limits.asset_mib", body = Problem),
    (status = 422, description = "a bad name, an empty body or another digest", body = Problem),
    (status = 507, description = "the disk is full", body = Problem),
))]
pub async fn upload(
    State(app): State<Arc<App>>,
    Operator(actor): Operator,
    Peer(peer): Peer,
    Path((name, file)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<Response> {
    let file: FileName = file.parse().map_err(|e| ApiError::field("/file", e))?;
    let mut body = Incoming::new(&headers, body, app.config().max_asset_bytes, too_large)?;
    let profile = profiles::find(&app, &name).await?;
    let mut writer = app.assets.writer().await.map_err(asset_error)?;
    while let Some(chunk) = body.next().await? {
        writer.write(&chunk).await.map_err(asset_error)?;
    }
    if body.size == 0 {
        return Err(ApiError::field("/file", "is empty: an asset has at least one byte"));
    }
    let sealed = writer.seal(body.expected).await.map_err(asset_error)?;
    let asset = shelf::keep(&app, &profile, file, sealed, &app.by(actor.name, peer)).await?;
    Ok((StatusCode::CREATED, Json(AssetView::of(&profile, asset))).into_response())
}
