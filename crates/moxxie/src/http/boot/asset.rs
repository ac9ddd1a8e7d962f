//! `GET|HEAD /boot/assets/{profile}/{file}`: the bytes.

use crate::app::App;
use crate::http::error::BootError;
use crate::http::middleware::secret_path;
use crate::http::range::{Part, part};
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::TryStreamExt;
use moxxie_core::asset::Asset;
use moxxie_core::name::{FileName, ProfileName};
use moxxie_store::assets::AssetError;
use std::io::SeekFrom;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

/// Bytes read from the disk at once; what one download holds in memory.
const CHUNK: usize = 256 * 1024;

/// One file of a profile's shelf.
#[utoipa::path(get, path = "/boot/assets/{profile}/{file}", tag = "boot", params(
    ("profile" = String, Path), ("file" = String, Path),
), responses(
    (status = 200, description = "the bytes; ETag is their SHA-256"),
    (status = 206, description = "one range of them"),
    (status = 304, description = "the client has them"),
    (status = 404, description = "no such file"),
    (status = 416, description = "the range lies outside"),
))]
pub async fn asset(
    State(app): State<Arc<App>>,
    Path((profile, file)): Path<(String, String)>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, BootError> {
    let bad = |_| BootError::bad_request("moxxie: bad profile or file name");
    let profile: ProfileName = profile.parse().map_err(bad)?;
    let file: FileName = file.parse().map_err(bad)?;
    let found = find(&app, &profile, &file).await?;
    let Some(asset) = found else {
        let file = secret_path(file.as_str());
        return Err(BootError::not_found(format!("moxxie: profile {profile} has no file {file}")));
    };
    let size = u64::try_from(asset.size).unwrap_or(0);
    let readable = app.assets.read(&asset.sha256, size).await.map_err(|error| {
        tracing::error!(%profile, %file, %error, "an asset cannot be read");
        match error {
            // Somebody planted it. Waiting would not mend that, and iPXE would wait for ever.
            AssetError::NotRegular(_) => BootError::not_found("moxxie: asset is no file, see log"),
            AssetError::Missing(_) => BootError::later("moxxie: asset missing on disk"),
            AssetError::Damaged(_) => BootError::later("moxxie: asset damaged, see log"),
            _ => BootError::later("moxxie: asset unreadable, see log"),
        }
    })?;
    let etag = format!("\"{}\"", asset.sha256);
    let (status, first, length) = match part(&headers, &etag, size) {
        Part::Whole => (StatusCode::OK, 0, size),
        Part::Bytes { first, last } => (StatusCode::PARTIAL_CONTENT, first, last - first + 1),
        Part::NotModified => (StatusCode::NOT_MODIFIED, 0, 0),
        Part::Outside => (StatusCode::RANGE_NOT_SATISFIABLE, 0, 0),
    };
    let body = match status {
        StatusCode::OK | StatusCode::PARTIAL_CONTENT if method != Method::HEAD => {
            let file = readable.file.try_clone().map_err(|_| BootError::later("moxxie: disk error"))?;
            let mut handle = tokio::fs::File::from_std(file);
            if first > 0 {
                handle
                    .seek(SeekFrom::Start(first))
                    .await
                    .map_err(|_| BootError::later("moxxie: disk error"))?;
            }
            let sent = metrics::counter!("moxxie_asset_bytes_total");
            let stream = ReaderStream::with_capacity(handle.take(length), CHUNK)
                .inspect_ok(move |chunk| sent.increment(chunk.len() as u64));
            Body::from_stream(stream)
        }
        _ => Body::empty(),
    };
    let mut response = (status, body).into_response();
    let out = response.headers_mut();
    // Hexadecimal digits and quotes are always a valid header value.
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        out.insert(header::ETAG, etag);
    }
    out.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    match status {
        StatusCode::OK => {
            out.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        StatusCode::PARTIAL_CONTENT => {
            out.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
            if let Ok(range) = HeaderValue::from_str(&format!("bytes {first}-{}/{size}", first + length - 1))
            {
                out.insert(header::CONTENT_RANGE, range);
            }
        }
        StatusCode::RANGE_NOT_SATISFIABLE => {
            if let Ok(range) = HeaderValue::from_str(&format!("bytes */{size}")) {
                out.insert(header::CONTENT_RANGE, range);
            }
        }
        _ => {}
    }
    Ok(response)
}

/// Looks the label up: in memory, so that downloads go on while the database is away.
pub(super) async fn find(
    app: &App,
    profile: &ProfileName,
    file: &FileName,
) -> Result<Option<Asset>, BootError> {
    let look = app.snapshots.look().await;
    match look.snapshot {
        Some(snapshot) => {
            let shelf = snapshot.shelf(profile);
            let asset = shelf.and_then(|s| s.assets.iter().find(|a| a.file == *file)).cloned();
            match asset {
                // Old memory may miss a new file; an outage is never "no such file".
                None if !look.fresh => Err(BootError::later("moxxie: database away, wait")),
                found => Ok(found),
            }
        }
        None => Err(BootError::later("moxxie: database away, wait")),
    }
}
