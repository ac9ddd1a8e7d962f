//! `GET|HEAD /boot/assets/{profile}/{file}`: the bytes.

use super::body::body;
use crate::app::App;
use crate::downloads::{About, Role, report};
use crate::http::error::BootError;
use crate::http::extract::Peer;
use crate::http::middleware::secret_path;
use crate::http::range::{Part, part};
use crate::server::Windows;
use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use moxxie_core::asset::Asset;
use moxxie_core::name::{FileName, ProfileName};
use moxxie_core::profile::{ProfileSpec, Source};
use moxxie_store::assets::AssetError;
use std::sync::Arc;
use tokio::sync::OnceCell;

/// Seconds until a store that is busy or away is worth another try.
const SOON: u64 = 3;
/// Seconds until an operator may have mended a file.
const MENDED: u64 = 30;

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
    Peer(peer): Peer,
    windows: Option<Extension<Arc<Windows>>>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, BootError> {
    let bad = |_| BootError::bad_request("moxxie: bad profile or file name");
    let profile: ProfileName = profile.parse().map_err(bad)?;
    let file: FileName = file.parse().map_err(bad)?;
    let found = find(&app, &profile, &file).await?;
    let Some((asset, role)) = found else {
        let file = secret_path(file.as_str());
        return Err(BootError::not_found(format!("moxxie: profile {profile} has no file {file}")));
    };
    let size = u64::try_from(asset.size).unwrap_or(0);
    let readable = app.assets.read(&asset.sha256, size).await.map_err(|error| {
        tracing::error!(%profile, %file, %error, "an asset cannot be read");
        unreadable(&error)
    })?;
    let etag = format!("\"{}\"", asset.sha256);
    let (status, first, length) = match part(&headers, &etag, size) {
        Part::Whole => (StatusCode::OK, 0, size),
        Part::Bytes { first, last } => (StatusCode::PARTIAL_CONTENT, first, last - first + 1),
        Part::NotModified => (StatusCode::NOT_MODIFIED, 0, 0),
        Part::Outside => (StatusCode::RANGE_NOT_SATISFIABLE, 0, 0),
    };
    let body = match status {
        StatusCode::OK | StatusCode::PARTIAL_CONTENT if method != Method::HEAD && length > 0 => {
            let download = app.downloads.begin(About {
                profile,
                file,
                role,
                sha256: asset.sha256,
                first,
                length,
                whole: status == StatusCode::OK,
                peer,
                started_at: app.clock.now(),
                machine: OnceCell::new(),
            });
            report::identify(&app, &download.about);
            body(readable, first, length, download, windows.map(|Extension(windows)| windows))
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

/// What a machine is told when the bytes cannot be had: why in one line, and when to ask again.
fn unreadable(error: &AssetError) -> BootError {
    let (line, wait) = match error {
        // Somebody planted it. Waiting would not mend that, and iPXE would wait for ever.
        AssetError::NotRegular(_) => return BootError::not_found("moxxie: asset is no file, see log"),
        AssetError::Missing(_) => ("moxxie: asset missing on disk", MENDED),
        AssetError::Damaged(_) => ("moxxie: asset damaged, see log", MENDED),
        AssetError::Io { .. } => ("moxxie: asset unreadable, see log", SOON),
        _ => ("moxxie: asset not ready, wait", SOON),
    };
    BootError { retry_after: Some(wait), ..BootError::later(line) }
}

/// What this file is to its profile.
fn role(spec: &ProfileSpec, file: &FileName) -> Role {
    let is = |source: &Source| matches!(source, Source::Asset(asset) if asset == file);
    match spec {
        _ if spec.kernel_path.as_ref().is_some_and(is) => Role::Kernel,
        _ if spec.initrd_path.iter().chain(&spec.extra_initrds).any(is) => Role::Initrd,
        _ => Role::Other,
    }
}

/// Looks the label up: in memory, so that downloads go on while the database is away.
async fn find(app: &App, profile: &ProfileName, file: &FileName) -> Result<Option<(Asset, Role)>, BootError> {
    let look = app.snapshots.look().await;
    match look.snapshot {
        Some(snapshot) => {
            let shelf = snapshot.shelf(profile);
            let asset = shelf.and_then(|shelf| {
                let asset = shelf.assets.iter().find(|a| a.file == *file)?;
                Some((asset.clone(), role(&shelf.profile.spec, file)))
            });
            match asset {
                // Old memory may miss a new file; an outage is never "no such file".
                None if !look.fresh => Err(BootError::later("moxxie: database away, wait")),
                found => Ok(found),
            }
        }
        None => Err(BootError::later("moxxie: database away, wait")),
    }
}
