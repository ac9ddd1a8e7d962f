//! Taking files out of an image on a profile's shelf and putting them beside it.

use super::{FindError, Index, IsoError, Member, ReadAt};
use crate::app::App;
use crate::http::api::v1::assets::asset_error;
use crate::http::error::{ApiError, ApiResult, FieldError};
use crate::http::progress::Progress;
use crate::shelf;
use moxxie_core::asset::Asset;
use moxxie_core::audit::By;
use moxxie_core::media::{self, Contents, Media, TEXTS};
use moxxie_core::name::FileName;
use moxxie_core::profile::Profile;
use moxxie_store::assets::{Readable, Sealed};
use std::fs::File;
use std::sync::Arc;

/// Bytes copied at once.
const CHUNK: usize = 1024 * 1024;
/// Bytes read of a text that says what an image is.
const TEXT: u64 = 16 * 1024;
/// Names shown of an image that nobody knows.
const SHOWN: usize = 20;

/// A member that was asked for by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its path in the image.
    pub path: String,
    /// Its name on the shelf.
    pub file: FileName,
}

/// What came out of an image.
#[derive(Debug)]
pub struct Extracted {
    /// The volume id.
    pub label: String,
    /// What the image is, if it is known.
    pub media: Option<Media>,
    /// The new files.
    pub assets: Vec<Asset>,
}

/// Takes members out of `image`: those that are wanted, else those that boot a machine. All of them
/// are read before the first is put on the shelf.
pub async fn extract(
    app: &Arc<App>,
    profile: &Profile,
    image: &Asset,
    wanted: Option<Vec<Wanted>>,
    by: &By,
    progress: &Progress,
) -> ApiResult<Extracted> {
    let size = u64::try_from(image.size).unwrap_or(0);
    let readable = app.assets.read(&image.sha256, size).await.map_err(asset_error)?;
    arrive(&readable, image, progress).await?;
    progress.step("verify", Some(image.file.as_str()), None);
    let index = app.images.index(&image.sha256, &readable.file, size).await.map_err(refused)?;
    let media = recognize(&readable.file, &index, &image.file).await?;
    let wanted = match (wanted, &media) {
        (Some(wanted), _) => wanted,
        (None, Some(media)) => {
            let known = media.files.iter().cloned();
            known.map(|known| Wanted { path: known.member, file: known.file }).collect()
        }
        (None, None) => return Err(unknown(&index)),
    };
    let members = choose(&index, &wanted, image, app.config().max_asset_bytes)?;
    let mut sealed = Vec::new();
    for (wanted, member) in wanted.iter().zip(members) {
        let file = Some(wanted.file.as_str());
        progress.step("extract", file, Some(member.size));
        sealed.push(copy(app, &readable.file, member, progress).await?);
    }
    let mut assets = Vec::new();
    for (wanted, sealed) in wanted.into_iter().zip(sealed) {
        assets.push(shelf::keep(app, profile, wanted.file, sealed, by).await?);
    }
    Ok(Extracted { label: index.label.clone(), media, assets })
}

/// Waits until all of an image is here.
async fn arrive(readable: &Readable, image: &Asset, progress: &Progress) -> ApiResult<()> {
    let Some(mut arriving) = readable.arriving.clone() else { return Ok(()) };
    let file = Some(image.file.as_str());
    progress.step("download", file, Some(readable.size));
    let mut here = 0;
    while here < readable.size {
        let now = arriving.until(here).await.map_err(asset_error)?;
        progress.add(now - here);
        here = now;
    }
    Ok(())
}

async fn recognize(file: &Arc<File>, index: &Arc<Index>, image: &FileName) -> ApiResult<Option<Media>> {
    let (file, index, image) = (file.clone(), index.clone(), image.clone());
    let look = move || {
        let known = |path: &str| TEXTS.iter().any(|text| text.eq_ignore_ascii_case(path));
        let texts = index
            .files()
            .filter(|(path, _)| known(path))
            .map(|(path, member)| text(&*file, member).map(|text| (path, text)))
            .collect::<Result<_, IsoError>>()?;
        let contents = Contents::new(&index.label, index.files().map(|(path, _)| path), texts);
        Ok(media::recognize(&contents, &image))
    };
    match tokio::task::spawn_blocking(look).await {
        Ok(found) => found.map_err(refused),
        Err(_) => Err(ApiError::internal("looking at the image failed; the log says why")),
    }
}

fn text<S: ReadAt + ?Sized>(image: &S, member: &Member) -> Result<String, IsoError> {
    let Some(extent) = member.extents.first() else { return Ok(String::new()) };
    let mut bytes = vec![0; extent.length.min(TEXT) as usize];
    image.read_exact_at(&mut bytes, extent.first).map_err(|error| IsoError::Disk(error.to_string()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Finds the members; every mistake is named.
fn choose<'i>(index: &'i Index, wanted: &[Wanted], image: &Asset, max: u64) -> ApiResult<Vec<&'i Member>> {
    let mut members = Vec::new();
    let mut errors = Vec::new();
    for (number, Wanted { path, file }) in wanted.iter().enumerate() {
        let mut wrong = |field: &str, why: &dyn std::fmt::Display| {
            errors.push(FieldError::new(format!("/members/{number}/{field}"), why));
        };
        if *file == image.file {
            wrong("file", &"is the image's own name");
        }
        if wanted[..number].iter().any(|before| before.file == *file) {
            wrong("file", &"stands twice");
        }
        match index.find(path) {
            Ok(member) if member.size == 0 => wrong("path", &"is empty: an asset has at least one byte"),
            Ok(member) if member.size > max => {
                let mib = max / 1024 / 1024;
                return Err(ApiError::too_large(format!("{file}: larger than {mib} MiB (limits.asset_mib)")));
            }
            Ok(member) => members.push(member),
            Err(error @ (FindError::Missing | FindError::Folder | FindError::Link)) => wrong("path", &error),
        }
    }
    if errors.is_empty() { Ok(members) } else { Err(ApiError::fields(errors)) }
}

async fn copy(app: &App, image: &Arc<File>, member: &Member, progress: &Progress) -> ApiResult<Sealed> {
    let mut writer = app.assets.writer().await.map_err(asset_error)?;
    let mut buffer = Vec::new();
    for extent in &member.extents {
        let end = extent.first + extent.length;
        let mut at = extent.first;
        while at < end {
            let length = (end - at).min(CHUNK as u64);
            buffer.resize(length as usize, 0);
            let image = image.clone();
            let read = tokio::task::spawn_blocking(move || {
                ReadAt::read_exact_at(&*image, &mut buffer, at).map(|()| buffer)
            });
            buffer = match read.await {
                Ok(Ok(bytes)) => bytes,
                Ok(Err(error)) => return Err(refused(IsoError::Disk(error.to_string()))),
                Err(_) => return Err(ApiError::internal("reading the image failed; the log says why")),
            };
            writer.write(&buffer).await.map_err(asset_error)?;
            progress.add(length);
            at += length;
        }
    }
    writer.seal(None).await.map_err(asset_error)
}

fn refused(error: IsoError) -> ApiError {
    match error {
        IsoError::Disk(why) => {
            tracing::error!(error = %why, "an image cannot be read");
            ApiError::unavailable("the image cannot be read now; see the log")
        }
        error => ApiError::invalid(error),
    }
}

/// An image that no row of the table fits.
fn unknown(index: &Index) -> ApiError {
    let contents = Contents::new(&index.label, index.files().map(|(path, _)| path), Vec::new());
    let like = media::candidates(&contents, SHOWN);
    let hint = match like.is_empty() {
        true => "none of its files looks like a kernel or an initrd".to_owned(),
        false => format!("these look like kernels and initrds: {}", like.join(", ")),
    };
    let label = &index.label;
    ApiError::field(
        "/members",
        format!("the image {label:?} is not known here: name the files to take out of it; {hint}"),
    )
}
