//! `GET|HEAD /boot/assets/{profile}/{image}/{member…}`: a file inside of an image, without taking
//! it out. Installers want whole trees below one URL.

use super::asset;
use super::send::{Asked, Piece, send};
use crate::app::App;
use crate::downloads::Role;
use crate::http::error::BootError;
use crate::iso::{Extent, FindError, IsoError};
use crate::shelf;
use axum::extract::{Path, State};
use axum::response::Response;
use moxxie_core::name::{FileName, ProfileName};
use moxxie_store::assets::AssetError;
use std::sync::Arc;

/// One file of an image on a profile's shelf.
#[utoipa::path(get, path = "/boot/assets/{profile}/{file}/{member}", tag = "boot", params(
    ("profile" = String, Path), ("file" = String, Path, description = "an image, its name ends in .iso"),
    ("member" = String, Path, description = "the path of a file in it, slashes and all"),
), responses(
    (status = 200, description = "the bytes; ETag is the image's SHA-256 and the place of the file in it"),
    (status = 206, description = "one range of them"),
    (status = 304, description = "the client has them"),
    (status = 404, description = "no such file, a folder, or one that lies in several pieces"),
    (status = 416, description = "the range lies outside"),
))]
pub async fn member(
    State(app): State<Arc<App>>,
    Path((profile, file, member)): Path<(String, String, String)>,
    asked: Asked,
) -> Result<Response, BootError> {
    let bad = |_| BootError::bad_request("moxxie: bad profile or file name");
    let profile: ProfileName = profile.parse().map_err(bad)?;
    let file: FileName = file.parse().map_err(bad)?;
    let missing = |what: &str| BootError::not_found(format!("moxxie: {what}"));
    if !file.as_str().to_ascii_lowercase().ends_with(".iso") {
        return Err(missing("only a .iso has files in it"));
    }
    let (image, _) = asset::find(&app, &profile, &file).await?.ok_or_else(|| missing("no such image"))?;
    let size = u64::try_from(image.size).unwrap_or(0);
    let unreadable = |error: AssetError| {
        tracing::error!(%profile, %file, %error, "an image cannot be read");
        asset::unreadable(&error)
    };
    let mut readable = app.assets.read(&image.sha256, size).await.map_err(unreadable)?;
    // Where its files are is known only when all of it is here, and verified.
    shelf::whole(&mut readable).await.map_err(unreadable)?;
    let index = match app.images.index(&image.sha256, &readable.file, size).await {
        Ok(index) => index,
        Err(IsoError::Disk(error)) => {
            tracing::error!(%profile, %file, %error, "an image cannot be read");
            return Err(BootError::later("moxxie: image unreadable, see log"));
        }
        Err(error) => {
            tracing::warn!(%profile, %file, %error, "an image was refused");
            return Err(missing("image refused, see log"));
        }
    };
    let found = index.find(&member).map_err(|error| match error {
        FindError::Folder => missing("a folder, not a file"),
        FindError::Missing | FindError::Link => missing("no such file in the image"),
    })?;
    let extent = match *found.extents {
        [extent] => extent,
        [] => Extent { first: 0, length: 0 },
        _ => return Err(missing("file lies in pieces, extract it")),
    };
    let Extent { first, length } = extent;
    let etag = format!("\"{}-{first}-{length}\"", image.sha256);
    let role = Role::Other;
    Ok(send(&app, asked, Piece { profile, file, role, sha256: image.sha256, readable, first, length, etag }))
}
