//! `GET|HEAD /boot/assets/{profile}/{file}`: the bytes.

use super::send::{Asked, Piece, send};
use crate::app::App;
use crate::downloads::Role;
use crate::http::error::BootError;
use crate::http::middleware::secret_path;
use crate::http::range::{Part, part};
use crate::shelf;
use axum::extract::{Path, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use moxxie_core::asset::Asset;
use moxxie_core::name::{FileName, ProfileName};
use moxxie_core::profile::{ProfileSpec, Source};
use moxxie_store::assets::{AssetError, Condition};
use std::sync::Arc;
use std::time::Duration;

/// Seconds until a store that is busy or away is worth another try.
const SOON: u64 = 3;
/// Seconds until an operator may have mended a file.
const MENDED: u64 = 30;
/// How long a machine may take to follow to a remote store.
const ELSEWHERE: Duration = Duration::from_secs(600);

/// One file of a profile's shelf.
#[utoipa::path(get, path = "/boot/assets/{profile}/{file}", tag = "boot", params(
    ("profile" = String, Path), ("file" = String, Path),
), responses(
    (status = 200, description = "the bytes; ETag is their SHA-256"),
    (status = 206, description = "one range of them"),
    (status = 302, description = "a signed URL of the bytes on S3, with assets.redirect"),
    (status = 304, description = "the client has them"),
    (status = 404, description = "no such file"),
    (status = 416, description = "the range lies outside"),
    (status = 429, description = "asked too often: ask again after Retry-After seconds"),
))]
pub async fn asset(
    State(app): State<Arc<App>>,
    Path((profile, file)): Path<(String, String)>,
    asked: Asked,
) -> Result<Response, BootError> {
    let bad = |_| BootError::bad_request("moxxie: bad profile or file name");
    serve(app, profile.parse().map_err(bad)?, file.parse().map_err(bad)?, asked, true).await
}

/// The same for whoever may have it. `for_machine`: the answer may lead to a remote store, and its
/// end is an event of somebody's boot.
pub(in crate::http) async fn serve(
    app: Arc<App>,
    profile: ProfileName,
    file: FileName,
    asked: Asked,
    for_machine: bool,
) -> Result<Response, BootError> {
    let found = find(&app, &profile, &file).await?;
    let Some((asset, role)) = found else {
        let file = secret_path(file.as_str());
        return Err(BootError::not_found(format!("moxxie: profile {profile} has no file {file}")));
    };
    let unreadable = |error: AssetError| {
        tracing::error!(%profile, %file, %error, "an asset cannot be read");
        unreadable(&error)
    };
    let etag = format!("\"{}\"", asset.sha256);
    let length = u64::try_from(asset.size).unwrap_or(0);
    // The signature is good for a GET alone.
    if for_machine
        && asked.method == Method::GET
        && part(&asked.headers, &etag, length) != Part::NotModified
        && let Some(url) = app.assets.redirect(&asset.sha256, ELSEWHERE).await.map_err(unreadable)?
    {
        // What the machine would find there: nobody verifies it on the way.
        match app.assets.condition(&asset.sha256, length).await.map_err(unreadable)? {
            Condition::Stored => {}
            Condition::Damaged => return Err(unreadable(AssetError::Damaged(asset.sha256))),
            Condition::Missing => return Err(unreadable(AssetError::Missing(asset.sha256))),
        }
        let headers = [(header::LOCATION, url), (header::CACHE_CONTROL, "no-store".to_owned())];
        return Ok((StatusCode::FOUND, headers).into_response());
    }
    let mut readable = app.assets.read(&asset.sha256, length).await.map_err(unreadable)?;
    // The digest vouches for the last byte of the file, and a range need not hold it.
    if asked.headers.contains_key(header::RANGE) {
        shelf::whole(&mut readable).await.map_err(unreadable)?;
    }
    let role = if for_machine { role } else { Role::Other };
    let piece = Piece { profile, file, role, sha256: asset.sha256, readable, first: 0, length, etag };
    Ok(send(&app, asked, piece))
}

/// What a machine is told when the bytes cannot be had: why in one line, and when to ask again.
pub(super) fn unreadable(error: &AssetError) -> BootError {
    let (line, wait) = match error {
        // Somebody planted it. Waiting would not mend that, and iPXE would wait for ever.
        AssetError::NotRegular(_) => return BootError::not_found("moxxie: asset is no file, see log"),
        AssetError::Missing(_) => ("moxxie: asset missing, see log", MENDED),
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
pub(super) async fn find(
    app: &App,
    profile: &ProfileName,
    file: &FileName,
) -> Result<Option<(Asset, Role)>, BootError> {
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
