//! `/api/v1/boot/profiles/{name}/assets`

use super::page::{Asked, Page};
use super::profiles;
use crate::app::App;
use crate::http::error::{ApiError, ApiResult, Problem};
use crate::http::extract::{JsonBody, Operator, Peer, Query, Viewer, typed};
use crate::import;
use crate::shelf;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use moxxie_core::asset::{Asset, Digest};
use moxxie_core::name::FileName;
use moxxie_core::profile::Profile;
use moxxie_core::time::Timestamp;
use moxxie_store::assets::AssetError;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// An upload that sends nothing for this long is given up.
const SILENCE: Duration = Duration::from_secs(60);

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
}

fn view(profile: &Profile, asset: Asset) -> AssetView {
    let path = format!("/boot/assets/{}/{}", profile.spec.name, asset.file);
    AssetView { file: asset.file, sha256: asset.sha256, size: asset.size, created_at: asset.created_at, path }
}

/// The files of a profile.
#[utoipa::path(get, path = "/api/v1/boot/profiles/{name}/assets", tag = "profiles", security(("token" = ["viewer"])),
    params(("name" = String, Path, description = "its name or id")), responses(
    (status = 200, description = "its files; always one part", body = Page<AssetView>),
))]
pub async fn list(
    State(app): State<Arc<App>>,
    _: Viewer,
    Path(name): Path<String>,
    query: Query,
) -> ApiResult<Json<Page<AssetView>>> {
    let asked = Asked::of(&query, &[])?;
    let profile = profiles::find(&app, &name).await?;
    let mut assets = app.read().assets(&profile.id).await?;
    // A profile has a handful of files, so the part is cut here.
    assets.sort_by(|a, b| a.file.cmp(&b.file));
    let after = asked.cursor.as_deref().unwrap_or("");
    assets.retain(|a| a.file.as_str() > after);
    let page = asked.page(assets, |a| a.file.to_string());
    Ok(Json(page.map(|a| view(&profile, a))))
}

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
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(ApiError::unsupported_media("send the file without Content-Encoding"));
    }
    let expected = match headers.get("x-content-sha256") {
        None => None,
        Some(text) => {
            let digest = text.to_str().unwrap_or("").parse();
            Some(digest.map_err(|e| ApiError::field("/X-Content-SHA256", e))?)
        }
    };
    let max = app.config.max_asset_bytes;
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|n| n > max) {
        return Err(too_large(max));
    }
    let profile = profiles::find(&app, &name).await?;
    let mut writer = app.assets.writer().await.map_err(asset_error)?;
    let mut body = body;
    let mut size = 0_u64;
    loop {
        let frame = tokio::time::timeout(SILENCE, body.frame())
            .await
            .map_err(|_| ApiError::bad_request("the upload fell silent"))?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|_| ApiError::bad_request("the upload was cut off"))?;
        if let Ok(chunk) = frame.into_data() {
            size += chunk.len() as u64;
            if size > max {
                return Err(too_large(max));
            }
            writer.write(&chunk).await.map_err(asset_error)?;
        }
    }
    if size == 0 {
        return Err(ApiError::field("/file", "is empty: an asset has at least one byte"));
    }
    let sealed = writer.seal(expected).await.map_err(asset_error)?;
    let asset = shelf::keep(&app, &profile, file, sealed, &app.by(actor.name, peer)).await?;
    Ok((StatusCode::CREATED, Json(view(&profile, asset))).into_response())
}

/// A file to fetch from another server.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportInput {
    /// `http://` or `https://`.
    pub url: String,
    /// What its SHA-256 must be.
    #[schema(value_type = Option<String>)]
    pub sha256: Option<Digest>,
    /// Its name here; the last part of the URL when left out.
    #[schema(value_type = Option<String>)]
    pub file: Option<FileName>,
}

/// Import a file by URL. Private addresses only where `import.allow` lists them.
#[utoipa::path(post, path = "/api/v1/boot/profiles/{name}/assets", tag = "profiles", security(("token" = ["operator"])),
    params(("name" = String, Path)), request_body = ImportInput, responses(
    (status = 201, description = "stored", body = AssetView),
    (status = 422, description = "a URL that is not allowed, or another digest", body = Problem),
    (status = 502, description = "the other server did not deliver", body = Problem),
))]
pub async fn import(
    State(app): State<Arc<App>>,
    Operator(actor): Operator,
    Peer(peer): Peer,
    Path(name): Path<String>,
    JsonBody(body): JsonBody,
) -> ApiResult<Response> {
    let input: ImportInput = typed(body)?;
    let profile = profiles::find(&app, &name).await?;
    let file = match input.file {
        Some(file) => file,
        None => {
            let path = input.url.split(['?', '#']).next().unwrap_or("");
            let last = path.rsplit('/').next().unwrap_or("");
            last.parse()
                .map_err(|e| ApiError::field("/file", format!("the URL ends in no usable name: {e}")))?
        }
    };
    let sealed = import::fetch(&app, &input.url, input.sha256).await?;
    let asset = shelf::keep(&app, &profile, file, sealed, &app.by(actor.name, peer)).await?;
    Ok((StatusCode::CREATED, Json(view(&profile, asset))).into_response())
}

/// Remove a file from a profile.
#[utoipa::path(delete, path = "/api/v1/boot/profiles/{name}/assets/{file}", tag = "profiles", security(("token" = ["operator"])),
    params(("name" = String, Path), ("file" = String, Path)), responses(
    (status = 204, description = "removed"),
    (status = 404, description = "no such file", body = Problem),
))]
pub async fn remove(
    State(app): State<Arc<App>>,
    Operator(actor): Operator,
    Peer(peer): Peer,
    Path((name, file)): Path<(String, String)>,
) -> ApiResult<StatusCode> {
    let file: FileName = file.parse().map_err(|e| ApiError::field("/file", e))?;
    let profile = profiles::find(&app, &name).await?;
    let removed = app.write().delete_asset(&profile.id, &file, &app.by(actor.name, peer)).await?;
    shelf::drop_unused(&app, &removed.sha256).await;
    Ok(StatusCode::NO_CONTENT)
}

fn too_large(max: u64) -> ApiError {
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
        error => {
            tracing::error!(%error, "the assets' folder");
            ApiError::unavailable("the assets' folder cannot be used; see /readyz and the log")
        }
    }
}
