//! `/api/v1/uploads`: large files in as many requests as it takes. A complete upload becomes a
//! file with `POST /api/v1/boot/profiles/{name}/assets`.

use super::assets::too_large;
use super::incoming::SILENCE;
use crate::app::App;
use crate::http::error::{ApiError, ApiResult, Problem};
use crate::http::extract::{JsonBody, Operator, is_too_slow, typed};
use crate::uploads::{Held, Upload, UploadError, UploadId};
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use moxxie_core::asset::Digest;
use moxxie_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A file that will arrive in parts.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UploadInput {
    /// Its length in bytes.
    pub size: u64,
    /// What its SHA-256 must be.
    #[schema(value_type = Option<String>)]
    pub sha256: Option<Digest>,
}

/// How far an upload is.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct UploadView {
    /// Its name.
    pub id: String,
    /// Length of the whole file in bytes.
    pub size: u64,
    /// So many bytes are here; the next part begins there.
    pub offset: u64,
    /// As announced.
    #[schema(value_type = Option<String>)]
    pub sha256: Option<Digest>,
    /// When it is deleted unless more bytes arrive.
    #[schema(value_type = String)]
    pub expires_at: Timestamp,
}

impl From<&Upload> for UploadView {
    fn from(upload: &Upload) -> UploadView {
        let Upload { size, sha256, offset, expires_at, .. } = *upload;
        UploadView { id: upload.id.to_string(), size, offset, sha256, expires_at }
    }
}

/// Announce a file. Kept by this replica alone, until 24 hours after its last byte.
#[utoipa::path(post, path = "/api/v1/uploads", tag = "profiles", security(("token" = ["operator"])),
    request_body = UploadInput, responses(
    (status = 201, description = "begun; its URL is in Location", body = UploadView),
    (status = 409, description = "too many unfinished uploads", body = Problem),
    (status = 413, description = "larger than limits.asset_mib", body = Problem),
    (status = 507, description = "the disk is full", body = Problem),
))]
pub async fn create(
    State(app): State<Arc<App>>,
    _: Operator,
    JsonBody(body): JsonBody,
) -> ApiResult<Response> {
    let input: UploadInput = typed(body)?;
    if input.size == 0 {
        return Err(ApiError::field("/size", "is 0: an asset has at least one byte"));
    }
    if input.size > app.config().max_asset_bytes {
        return Err(too_large(app.config().max_asset_bytes));
    }
    let upload = app.uploads.create(input.size, input.sha256, app.clock.now()).await.map_err(refused)?;
    let mut response = (StatusCode::CREATED, Json(UploadView::from(&upload))).into_response();
    if let Ok(place) = HeaderValue::try_from(format!("/api/v1/uploads/{}", upload.id)) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    Ok(response)
}

/// How far an upload is.
#[utoipa::path(get, path = "/api/v1/uploads/{id}", tag = "profiles", security(("token" = ["operator"])),
    params(("id" = String, Path)), responses(
    (status = 200, description = "its offset", body = UploadView),
    (status = 404, description = "unknown here, or given up: begin anew", body = Problem),
))]
pub async fn get(
    State(app): State<Arc<App>>,
    _: Operator,
    Path(name): Path<String>,
) -> ApiResult<Json<UploadView>> {
    let id = name.parse().map_err(refused)?;
    let upload = app.uploads.get(&id, app.clock.now()).await.map_err(refused)?;
    Ok(Json(UploadView::from(&upload)))
}

/// Send the bytes from an offset on, as many as one request carries. What arrived before a cut
/// is kept: ask for the offset and go on there.
#[utoipa::path(patch, path = "/api/v1/uploads/{id}", tag = "profiles", security(("token" = ["operator"])),
    params(("id" = String, Path), ("Upload-Offset" = u64, Header, description = "where the body begins in the file")),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"), responses(
    (status = 200, description = "how far it is now", body = UploadView),
    (status = 404, description = "unknown here, or given up: begin anew", body = Problem),
    (status = 408, description = "nothing came for a minute; what had come is kept", body = Problem),
    (status = 409, description = "it stands at another offset, or another request is writing", body = Problem),
    (status = 413, description = "more bytes than announced", body = Problem),
    (status = 507, description = "the disk is full; what fitted is kept", body = Problem),
))]
pub async fn append(
    State(app): State<Arc<App>>,
    _: Operator,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<Json<UploadView>> {
    let id = name.parse().map_err(refused)?;
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(ApiError::unsupported_media("send the bytes without Content-Encoding"));
    }
    let number = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    let offset = number("upload-offset").ok_or_else(|| {
        ApiError::bad_request("send Upload-Offset: the place of the first byte in the file")
    })?;
    let mut held = app.uploads.hold(&id, app.clock.now()).await.map_err(refused)?;
    let upload = held.upload();
    if upload.offset != offset {
        return Err(refused(UploadError::Offset(upload.offset)));
    }
    if number("content-length").is_some_and(|n| n > upload.size - upload.offset) {
        return Err(refused(UploadError::TooLong(upload.size)));
    }
    let received = receive(&app, &mut held, body).await;
    // Whatever ended it: what has come is kept, and counted from the file itself.
    let settled = held.settle(app.clock.now()).await.map(UploadView::from).map_err(refused);
    received.and(settled).map(Json)
}

async fn receive(app: &App, held: &mut Held, mut body: Body) -> ApiResult<()> {
    loop {
        let frame = tokio::time::timeout(SILENCE, body.frame())
            .await
            .map_err(|_| ApiError::timeout("the upload fell silent; what has come is kept"))?;
        let Some(frame) = frame else { return Ok(()) };
        let frame = frame.map_err(|error| match is_too_slow(&error) {
            true => ApiError::timeout("the upload came too slowly; what has come is kept"),
            false => ApiError::bad_request("the upload was cut off; what has come is kept"),
        })?;
        if let Ok(chunk) = frame.into_data() {
            held.write(&chunk).await.map_err(refused)?;
            held.touch(app.clock.now()).await.map_err(refused)?;
        }
    }
}

/// Give an upload up.
#[utoipa::path(delete, path = "/api/v1/uploads/{id}", tag = "profiles", security(("token" = ["operator"])),
    params(("id" = String, Path)), responses(
    (status = 204, description = "deleted"),
    (status = 404, description = "no such upload", body = Problem),
    (status = 409, description = "another request is writing", body = Problem),
))]
pub async fn delete(
    State(app): State<Arc<App>>,
    _: Operator,
    Path(name): Path<String>,
) -> ApiResult<StatusCode> {
    let id = name.parse().map_err(refused)?;
    let held = app.uploads.hold(&id, app.clock.now()).await.map_err(refused)?;
    held.delete().await;
    Ok(StatusCode::NO_CONTENT)
}

/// The name of an upload in a field.
pub fn id(text: &str, pointer: &str) -> ApiResult<UploadId> {
    text.parse().map_err(|_| ApiError::field(pointer, "is not the id of an upload"))
}

/// What is wrong with an upload, in the API's words.
pub fn refused(error: UploadError) -> ApiError {
    match error {
        UploadError::Unknown => ApiError::not_found(error),
        UploadError::Busy | UploadError::Offset(_) | UploadError::TooMany => ApiError::conflict(error),
        UploadError::TooLong(_) => ApiError::too_large(error),
        UploadError::NoSpace => {
            ApiError::full("the data folder's disk is full: free some space and go on, what has come is kept")
        }
        UploadError::Io { .. } => {
            tracing::error!(%error, "the uploads' folder");
            ApiError::unavailable("the uploads' folder cannot be used; the log says why")
        }
    }
}
