//! `GET|HEAD /boot/firmware/{file}`: what firmware fetches first.

use super::asset::unreadable;
use super::send::{Asked, Cut};
use crate::app::App;
use crate::firmware::{Loader, OpenError, open};
use crate::http::error::BootError;
use crate::http::extract::Door;
use crate::http::limit;
use crate::http::links::Links;
use crate::http::middleware::secret_path;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use moxxie_core::loader::GENERATED;
use moxxie_store::assets::AssetError;
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
    let public = app.config().public_url.clone();
    let links = Links::of(public.as_deref(), &asked.headers, door);
    // What is made on the spot asks nobody.
    let looks = !GENERATED.contains(&file.as_str());
    let place = looks.then(|| limit::place_for_loader(&app)).transpose()?;
    let found = open(&app, &file, &links).await;
    // The bytes are a stream, as other downloads are.
    drop(place);
    let found = found.map_err(|error| match error {
        OpenError::Host(why) => BootError::bad_request(format!("moxxie: {why}")),
        OpenError::Store(error) => {
            cannot_be_sent(&file, &error);
            error.into()
        }
        OpenError::Address(error) => {
            cannot_be_sent(&file, &error);
            BootError::bad_request("moxxie: bad address of this server")
        }
    })?;
    let Some(loader) = found else {
        let file = secret_path(&file);
        return Err(BootError::not_found(format!("moxxie: no loader {file}: run `moxxie firmware import`")));
    };
    send(&app, &asked, &loader).await.map_err(|error| {
        cannot_be_sent(&file, &error);
        unreadable(&error)
    })
}

fn cannot_be_sent(file: &str, error: &dyn std::error::Error) {
    tracing::warn!(%error, file = %secret_path(file), "a loader cannot be sent");
}

/// Reads the bytes only when some of them are sent.
async fn send(app: &App, asked: &Asked, loader: &Loader) -> Result<Response, AssetError> {
    let cut = Cut::of(asked, &loader.etag, loader.size);
    let content = if cut.has_bytes() {
        let bytes = loader.bytes(app).await?;
        let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        Body::from(bytes.slice(at(cut.first)..at(cut.first + cut.length)))
    } else {
        Body::empty()
    };
    let mut response = cut.answer(content, &loader.etag, loader.content_type);
    if loader.content_type.starts_with("text/") {
        // As every other script.
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    Ok(response)
}
