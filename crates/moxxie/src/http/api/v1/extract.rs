//! `POST /api/v1/boot/profiles/{name}/assets/{file}/extract`

use super::assets::AssetView;
use super::profiles;
use crate::app::App;
use crate::http::error::{ApiError, ApiResult, Problem};
use crate::http::extract::{JsonBody, Operator, Peer, typed};
use crate::http::progress;
use crate::iso::{self, Extracted, Wanted};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use moxxie_core::media::ProfileSuggestion;
use moxxie_core::name::FileName;
use moxxie_core::profile::Profile;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Members in one request.
const MAX_MEMBERS: usize = 64;

/// What to take out of an image.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExtractInput {
    /// These files; left out, those that boot a machine, if the image is known.
    pub members: Option<Vec<MemberInput>>,
}

/// A file of an image.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MemberInput {
    /// Its path in the image, such as `casper/vmlinuz`.
    pub path: String,
    /// Its name on the shelf.
    #[schema(value_type = String)]
    pub file: FileName,
}

/// What an image is, and what was taken out of it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ExtractView {
    /// What the image is.
    pub media: MediaView,
    /// The new files of the profile.
    pub items: Vec<AssetView>,
}

/// What an image is.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct MediaView {
    /// `ubuntu`, `debian`, `rhel`, …; `generic` for any kernel with an initrd, else `unknown`.
    pub system: String,
    /// As the image says it.
    pub version: Option<String>,
    /// `amd64` or `arm64`.
    pub arch: Option<String>,
    /// The volume id.
    pub label: String,
    /// Whether machines need the image itself as well; if not it can be deleted now.
    pub keep_image: bool,
    /// The fields of a profile that boots these files.
    #[schema(value_type = Option<Object>)]
    pub suggestion: Option<ProfileSuggestion>,
    /// What to know before booting it.
    pub notes: Vec<String>,
}

/// Take kernel and initrds, or any files, out of an ISO image on the shelf.
#[utoipa::path(post, path = "/api/v1/boot/profiles/{name}/assets/{file}/extract", tag = "profiles", security(("token" = ["operator"])),
    params(("name" = String, Path), ("file" = String, Path, description = "the image")),
    request_body = ExtractInput, responses(
    (status = 201, description = "the files are on the same shelf", body = ExtractView),
    (status = 404, description = "no such profile or file", body = Problem),
    (status = 413, description = "a file larger than limits.asset_mib", body = Problem),
    (status = 422, description = "no image, a damaged one, or one that is not known and no members were named", body = Problem),
))]
pub async fn extract(
    State(app): State<Arc<App>>,
    Operator(actor): Operator,
    Peer(peer): Peer,
    Path((name, file)): Path<(String, String)>,
    headers: HeaderMap,
    JsonBody(body): JsonBody,
) -> ApiResult<Response> {
    let input: ExtractInput = typed(body)?;
    let file: FileName = file.parse().map_err(|e| ApiError::field("/file", e))?;
    let wanted = match input.members {
        None => None,
        Some(members) if members.is_empty() => {
            return Err(ApiError::field("/members", "is empty: leave it out, or name files"));
        }
        Some(members) if members.len() > MAX_MEMBERS => {
            return Err(ApiError::field("/members", format!("has more than {MAX_MEMBERS} files")));
        }
        Some(members) => Some(members.into_iter().map(|m| Wanted { path: m.path, file: m.file }).collect()),
    };
    let profile = profiles::find(&app, &name).await?;
    let assets = app.read().assets(&profile.id).await?;
    let image = assets.into_iter().find(|asset| asset.file == file).ok_or_else(|| {
        ApiError::not_found(format!("profile {} has no file {file}: upload it first", profile.spec.name))
    })?;
    progress::answer(&headers, StatusCode::CREATED, move |progress| async move {
        let by = app.by(actor.name, peer);
        let extracted = iso::extract(&app, &profile, &image, wanted, &by, &progress).await?;
        Ok(view(&profile, extracted))
    })
    .await
}

fn view(profile: &Profile, extracted: Extracted) -> ExtractView {
    let Extracted { label, media, assets } = extracted;
    let media = match media {
        Some(media) => {
            // It names files that are there only if they were taken out under these names.
            let here = media.files.iter().all(|file| assets.iter().any(|asset| asset.file == file.file));
            MediaView {
                system: media.system.to_owned(),
                version: media.version,
                arch: media.arch.map(str::to_owned),
                label: media.label,
                keep_image: media.keep_image,
                suggestion: here.then_some(media.suggestion),
                notes: media.notes,
            }
        }
        None => MediaView {
            system: "unknown".to_owned(),
            version: None,
            arch: None,
            label,
            keep_image: true,
            suggestion: None,
            notes: Vec::new(),
        },
    };
    let items = assets.into_iter().map(|asset| AssetView::of(profile, asset)).collect();
    ExtractView { media, items }
}
