//! `/api/v1/boot/firmware`: the loaders' shelf.

use super::assets::{asset_error, condition_name};
use super::incoming::Incoming;
use super::page::{Asked, Page, one};
use crate::app::App;
use crate::firmware::{NotKept, keep};
use crate::http::error::{ApiError, ApiResult, Problem};
use crate::http::extract::{Admin, Peer, Query, Viewer};
use crate::shelf;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use moxxie_core::asset::Digest;
use moxxie_core::boot::event::one_line;
use moxxie_core::loader::{LARGEST, Loader};
use moxxie_core::name::LoaderName;
use moxxie_core::time::Timestamp;
use moxxie_store::assets::Condition;
use serde::Serialize;
use std::sync::Arc;

/// A source is cut to so many characters.
const MAX_SOURCE: usize = 300;

/// A file that firmware fetches first.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[allow(missing_docs, reason = "explained by their names")]
pub struct LoaderView {
    #[schema(value_type = String)]
    pub file: LoaderName,
    /// `bios`, `x64`, `ia32`, `arm64`, `shim` or `other`.
    #[serde(rename = "for")]
    pub purpose: &'static str,
    pub size: i64,
    /// SHA-256 of its bytes; also the `ETag` it is served with.
    #[schema(value_type = String)]
    pub sha256: Digest,
    /// iPXE's version; null where the file does not say it.
    pub version: Option<String>,
    /// Where it came from.
    pub source: String,
    #[schema(value_type = String)]
    pub created_at: Timestamp,
    /// Where machines fetch it, below this server's address.
    pub path: String,
    /// `stored`; `damaged` or `missing`: upload it again; `unknown` while the store does not answer.
    pub condition: &'static str,
}

impl LoaderView {
    fn of(loader: Loader, condition: Option<Condition>) -> LoaderView {
        LoaderView {
            path: format!("/boot/firmware/{}", loader.name),
            file: loader.name,
            purpose: loader.purpose.as_str(),
            size: loader.size,
            sha256: loader.sha256,
            version: loader.version,
            source: loader.source,
            created_at: loader.created_at,
            condition: condition_name(condition),
        }
    }
}

/// Loaders, by name.
#[utoipa::path(get, path = "/api/v1/boot/firmware", tag = "profiles", security(("token" = ["viewer"])), params(
    ("limit" = Option<u32>, Query, description = "1 to 500, default 100"),
    ("cursor" = Option<String>, Query, description = "`next` of the part before"),
), responses((status = 200, description = "loaders", body = Page<LoaderView>)))]
pub async fn list(State(app): State<Arc<App>>, _: Viewer, query: Query) -> ApiResult<Json<Page<LoaderView>>> {
    let asked = Asked::of(&query, &[])?;
    let rows = app.read().loaders(asked.cursor.as_deref(), asked.rows()).await?;
    let page = asked.page(rows, |loader| loader.name.to_string());
    let mut items = Vec::with_capacity(page.items.len());
    for loader in page.items {
        let found = shelf::look_at(&app, &loader.sha256, loader.size).await;
        items.push(LoaderView::of(loader, found));
    }
    Ok(Json(Page { items, next: page.next }))
}

/// Put a loader on the shelf, or replace it. The body is the file, 16 MiB at most. A name that says
/// something else than the bytes is refused: `.efi` is an EFI program for the processor in its name
/// (x64 where it has none), `.kpxe`, `.pxe`, `.lkrn` and `.0` are none.
#[utoipa::path(put, path = "/api/v1/boot/firmware/{file}", tag = "profiles", security(("token" = ["admin"])),
    params(("file" = String, Path, description = "a-z, 0-9, '.', '_' and '-'"),
        ("source" = Option<String>, Query, description = "where it came from, for people"),
        ("X-Content-SHA256" = Option<String>, Header, description = "refused with 422 when the bytes differ")),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"), responses(
    (status = 201, description = "stored", body = LoaderView),
    (status = 413, description = "larger than 16 MiB", body = Problem),
    (status = 422, description = "a bad name, a name that does not fit the bytes, or another digest", body = Problem),
    (status = 507, description = "the disk is full", body = Problem),
))]
pub async fn put(
    State(app): State<Arc<App>>,
    Admin(actor): Admin,
    Peer(peer): Peer,
    Path(file): Path<String>,
    query: Query,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<Response> {
    let name: LoaderName = file.parse().map_err(|e| ApiError::field("/file", e))?;
    query.only(&["source"]).map_err(ApiError::bad_request)?;
    let source = one_line(one(&query, "source")?.unwrap_or_default(), MAX_SOURCE);
    let mut body = Incoming::new(&headers, body, LARGEST, too_large)?;
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next().await? {
        bytes.extend_from_slice(&chunk);
    }
    let by = app.by(actor.name, peer);
    let loader = keep(&app, name, bytes, body.expected, source, &by).await.map_err(|error| match error {
        NotKept::Name(why) => ApiError::field("/file", why),
        NotKept::Store(error) => error.into(),
        NotKept::Bytes(error) => asset_error(error),
    })?;
    Ok((StatusCode::CREATED, Json(LoaderView::of(loader, Some(Condition::Stored)))).into_response())
}

fn too_large(max: u64) -> ApiError {
    ApiError::too_large(format!("larger than {} MiB: no loader is", max / 1024 / 1024))
}

/// Take a loader off the shelf.
#[utoipa::path(delete, path = "/api/v1/boot/firmware/{file}", tag = "profiles", security(("token" = ["admin"])),
    params(("file" = String, Path)), responses(
    (status = 204, description = "removed"),
    (status = 404, description = "no such loader", body = Problem),
))]
pub async fn delete(
    State(app): State<Arc<App>>,
    Admin(actor): Admin,
    Peer(peer): Peer,
    Path(file): Path<String>,
) -> ApiResult<StatusCode> {
    let name: LoaderName = file.parse().map_err(|e| ApiError::field("/file", e))?;
    app.read().delete_loader(&name, &app.by(actor.name, peer)).await?;
    shelf::collect(&app).await;
    Ok(StatusCode::NO_CONTENT)
}
