//! `POST /api/v1/boot/profiles/{name}/assets`: a file that is elsewhere: at a URL, in an upload
//! that has arrived, or in the store already.

use super::{AssetView, asset_error};
use crate::app::App;
use crate::feed::feed;
use crate::http::api::v1::{profiles, uploads};
use crate::http::error::{ApiError, ApiResult, Problem};
use crate::http::extract::{JsonBody, Operator, Peer, typed};
use crate::http::progress::{self, Progress};
use crate::import::{self, Patience, Wanted};
use crate::shelf;
use crate::uploads::UploadId;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use moxxie_core::asset::Digest;
use moxxie_core::name::FileName;
use moxxie_store::assets::{AssetError, Sealed};
use serde::Deserialize;
use std::path::PathBuf;
use std::sync::Arc;

/// A file that is elsewhere: `url`, `upload`, or `sha256` alone.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AssetInput {
    /// Fetch it from here: `http://` or `https://`.
    pub url: Option<String>,
    /// Where a `SHA256SUMS` file is that names it; only with `url`.
    pub sha256sums_url: Option<String>,
    /// Take this upload, which has arrived in full; it is used up.
    pub upload: Option<String>,
    /// What its SHA-256 must be. Alone: the bytes are in the store already, for another profile
    /// or under another name.
    #[schema(value_type = Option<String>)]
    pub sha256: Option<Digest>,
    /// Its name here. May be left out with `url`, whose last part it then is.
    #[schema(value_type = Option<String>)]
    pub file: Option<FileName>,
}

/// Where the bytes are.
enum Source {
    Url(Wanted),
    Upload(UploadId, Option<Digest>),
    Stored(Digest),
}

impl AssetInput {
    fn source(self) -> ApiResult<(Source, FileName)> {
        let AssetInput { url, sha256sums_url, upload, sha256, file } = self;
        if sha256sums_url.is_some() && url.is_none() {
            return Err(ApiError::field("/sha256sums_url", "goes with url only"));
        }
        let source = match (url, upload, sha256) {
            (Some(_), Some(_), _) => return Err(ApiError::field("/upload", "goes without url")),
            (Some(url), None, sha256) => Source::Url(Wanted { url, sha256, sums_url: sha256sums_url }),
            (None, Some(id), sha256) => Source::Upload(uploads::id(&id, "/upload")?, sha256),
            (None, None, Some(sha256)) => Source::Stored(sha256),
            (None, None, None) => {
                return Err(ApiError::field("/url", "is missing: give url, upload or sha256"));
            }
        };
        let file = match (file, &source) {
            (Some(file), _) => file,
            (None, Source::Url(wanted)) => {
                let path = wanted.url.split(['?', '#']).next().unwrap_or("");
                let last = path.rsplit('/').next().unwrap_or("");
                last.parse()
                    .map_err(|e| ApiError::field("/file", format!("the URL ends in no usable name: {e}")))?
            }
            (None, _) => return Err(ApiError::field("/file", "is needed: the name of the file here")),
        };
        Ok((source, file))
    }
}

/// Put a file on the shelf that is elsewhere: import it by URL (private addresses only where
/// `import.allow` lists them), take an upload, or name bytes that are stored already. With
/// `Accept: application/x-ndjson` the answer is 200 and one JSON object a line: any number of
/// `{"progress":…}`, then `{"done":…}` or `{"problem":…}`.
#[utoipa::path(post, path = "/api/v1/boot/profiles/{name}/assets", tag = "profiles", security(("token" = ["operator"])),
    params(("name" = String, Path)), request_body = AssetInput, responses(
    (status = 201, description = "stored", body = AssetView),
    (status = 404, description = "no such upload", body = Problem),
    (status = 409, description = "the upload is not complete, or being written", body = Problem),
    (status = 413, description = "larger than limits.asset_mib", body = Problem),
    (status = 422, description = "a URL that is not allowed, another digest, or bytes that are not stored", body = Problem),
    (status = 502, description = "the other server did not deliver", body = Problem),
    (status = 507, description = "the disk is full", body = Problem),
))]
pub async fn add(
    State(app): State<Arc<App>>,
    Operator(actor): Operator,
    Peer(peer): Peer,
    Path(name): Path<String>,
    headers: HeaderMap,
    JsonBody(body): JsonBody,
) -> ApiResult<Response> {
    let (source, file) = typed::<AssetInput>(body)?.source()?;
    let profile = profiles::find(&app, &name).await?;
    progress::answer(&headers, StatusCode::CREATED, move |progress| async move {
        let by = || app.by(actor.name.as_str(), peer);
        let keep = async |sealed: Sealed| {
            progress.step("store", Some(file.as_str()), Some(sealed.size));
            shelf::keep(&app, &profile, file.clone(), sealed, &by()).await
        };
        let asset = match source {
            Source::Url(wanted) => {
                keep(import::fetch(&app, &wanted, &Patience::default(), &progress).await?).await?
            }
            Source::Upload(id, sha256) => {
                let (held, sealed) = taken(&app, &id, sha256, &file, &progress).await?;
                let asset = keep(sealed).await?;
                held.delete().await;
                asset
            }
            Source::Stored(digest) => shelf::link(&app, &profile, file, digest, &by()).await?,
        };
        Ok(AssetView::of(&profile, asset))
    })
    .await
}

/// The bytes of an upload, checked. One whose bytes are not what was announced is deleted: no
/// further part could mend it.
async fn taken(
    app: &App,
    id: &UploadId,
    sha256: Option<Digest>,
    file: &FileName,
    progress: &Progress,
) -> ApiResult<(crate::uploads::Held, Sealed)> {
    let mut held = app.uploads.hold(id, app.clock.now()).await.map_err(uploads::refused)?;
    let announced = held.upload().sha256;
    if let (Some(wanted), Some(announced)) = (sha256, announced)
        && wanted != announced
    {
        return Err(ApiError::field("/sha256", format!("the upload was announced with {announced}")));
    }
    let size = held.upload().size;
    let bytes = held.whole().await.map_err(uploads::refused)?;
    progress.step("verify", Some(file.as_str()), Some(size));
    let path = PathBuf::from(format!("upload {id}"));
    let writer = feed(app, bytes, &path, size, progress).await.map_err(asset_error)?;
    match writer.seal(sha256.or(announced)).await {
        Ok(sealed) => Ok((held, sealed)),
        Err(error @ AssetError::Mismatch { .. }) => {
            held.delete().await;
            Err(asset_error(error))
        }
        Err(error) => Err(asset_error(error)),
    }
}
