//! `GET|HEAD /boot/firmware/{file}`: what firmware fetches first.

use super::asset::unreadable;
use super::reply;
use super::send::Asked;
use crate::app::App;
use crate::firmware::{Loader, OpenError, is_script, open, open_for};
use crate::http::error::BootError;
use crate::http::extract::Door;
use crate::http::links::Links;
use crate::http::middleware::secret_path;
use crate::http::range::{Part, part};
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// A loader, or the first script of iPXE: `autoexec.ipxe`, `embed.ipxe`.
#[utoipa::path(get, path = "/boot/firmware/{file}", tag = "boot", params(
    ("file" = String, Path, description = "as `GET /api/v1/boot/firmware` lists it; also autoexec.ipxe, embed.ipxe"),
), responses(
    (status = 200, description = "the bytes; ETag is their SHA-256"),
    (status = 206, description = "one range of them"),
    (status = 304, description = "the client has them"),
    (status = 404, description = "no such file"),
    (status = 416, description = "the range lies outside"),
    (status = 429, description = "asked too often: ask again after Retry-After seconds"),
    (status = 503, description = "ask again after Retry-After seconds"),
))]
pub async fn firmware(
    State(app): State<Arc<App>>,
    Path(file): Path<String>,
    door: Door,
    asked: Asked,
) -> Result<Response, BootError> {
    let found = if is_script(&file) {
        let public = app.config().public_url.clone();
        let links = Links::of(public.as_deref(), &asked.headers, door);
        let links = links.map_err(|e| BootError::bad_request(format!("moxxie: {e}")))?;
        open_for(&app, &file, &links).await
    } else {
        open(&app, &file).await
    };
    let found = found.map_err(|error| {
        tracing::warn!(%error, file = %secret_path(&file), "a loader cannot be sent");
        refused(error)
    })?;
    let Some(loader) = found else {
        let file = secret_path(&file);
        return Err(BootError::not_found(format!("moxxie: no loader {file}: run `moxxie firmware import`")));
    };
    Ok(send(&asked, loader))
}

fn refused(error: OpenError) -> BootError {
    match error {
        OpenError::Store(error) => error.into(),
        OpenError::Bytes(error) => unreadable(&error),
        OpenError::Address(_) => BootError::bad_request("moxxie: bad address of this server"),
    }
}

fn send(asked: &Asked, loader: Loader) -> Response {
    // A script of one's own among them: each is short, and none is kept.
    if loader.name.ends_with(".ipxe")
        && let Ok(text) = String::from_utf8(loader.bytes.to_vec())
    {
        return reply::script(text);
    }
    let size = loader.size;
    let (status, from, length) = match part(&asked.headers, &loader.etag, size) {
        Part::Whole => (StatusCode::OK, 0, size),
        Part::Bytes { first, last } => (StatusCode::PARTIAL_CONTENT, first, last - first + 1),
        Part::NotModified => (StatusCode::NOT_MODIFIED, 0, 0),
        Part::Outside => (StatusCode::RANGE_NOT_SATISFIABLE, 0, 0),
    };
    let sends = matches!(status, StatusCode::OK | StatusCode::PARTIAL_CONTENT);
    let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(loader.bytes.len());
    let body = match sends && asked.method != Method::HEAD {
        true => Body::from(loader.bytes.slice(at(from)..at(from.saturating_add(length)))),
        false => Body::empty(),
    };
    let mut response = (status, body).into_response();
    let out = response.headers_mut();
    out.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static(loader.content_type));
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Hexadecimal digits, numbers and quotes are always valid in a header.
    let mut add = |name, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            out.insert(name, value);
        }
    };
    add(header::ETAG, loader.etag);
    if sends {
        add(header::CONTENT_LENGTH, length.to_string());
    }
    match status {
        StatusCode::PARTIAL_CONTENT => {
            add(header::CONTENT_RANGE, format!("bytes {from}-{}/{size}", from + length - 1));
        }
        StatusCode::RANGE_NOT_SATISFIABLE => add(header::CONTENT_RANGE, format!("bytes */{size}")),
        _ => {}
    }
    response
}
