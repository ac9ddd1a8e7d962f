//! Fetching an asset from another server, without becoming a way into the inner network.
//!
//! The name is resolved once and the connection pinned to what was checked (a name server could
//! answer differently the second time); redirects are followed by hand, at most three, each
//! checked again; loopback, link-local, private and other special addresses are refused unless
//! `import.allow` lists them. What breaks off is continued where it stopped, as long as the other
//! server says that the file is still the same.

mod address;
mod fetch;
mod parts;
mod sums;

pub use fetch::Patience;

use crate::app::App;
use crate::http::api::v1::assets::asset_error;
use crate::http::error::{ApiError, ApiResult};
use crate::http::progress::Progress;
use fetch::Download;
use moxxie_core::asset::Digest;
use moxxie_store::assets::Sealed;
use url::Url;

/// Largest list of digests. Ubuntu's and Debian's have some 100 KiB.
const MAX_SUMS: u64 = 4 * 1024 * 1024;

/// A file on another server.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Where it is.
    pub url: String,
    /// What its SHA-256 must be.
    pub sha256: Option<Digest>,
    /// Where a list of digests is that names it.
    pub sums_url: Option<String>,
}

/// Fetches the file; it waits to be put on a shelf.
pub async fn fetch(
    app: &App,
    wanted: &Wanted,
    patience: &Patience,
    progress: &Progress,
) -> ApiResult<Sealed> {
    let deadline = patience.deadline;
    match tokio::time::timeout(deadline, fetch_all(app, wanted, patience, progress)).await {
        Ok(result) => result,
        Err(_) => Err(ApiError::bad_gateway(format!(
            "the download took longer than {} minutes; nothing was stored",
            deadline.as_secs().div_ceil(60)
        ))),
    }
}

async fn fetch_all(
    app: &App,
    wanted: &Wanted,
    patience: &Patience,
    progress: &Progress,
) -> ApiResult<Sealed> {
    let url = address::check(&wanted.url, "/url")?;
    let sums_url = wanted.sums_url.as_deref().map(|text| address::check(text, "/sha256sums_url"));
    let expected = match sums_url.transpose()? {
        None => wanted.sha256,
        Some(sums_url) => {
            progress.step("download", name(&sums_url), None);
            let list = Download {
                app,
                url: &sums_url,
                pointer: "/sha256sums_url",
                most: MAX_SUMS,
                exact: false,
                patience,
                progress,
            };
            let text = list.into_memory().await.map_err(|error| error.about("the list of digests"))?;
            let listed = sums::find(&String::from_utf8_lossy(&text), &sums_url, &url)
                .map_err(|why| ApiError::field("/sha256sums_url", why))?;
            if let Some(given) = wanted.sha256.filter(|given| *given != listed) {
                let why = format!("the list at /sha256sums_url says {listed}, not {given}");
                return Err(ApiError::field("/sha256", why));
            }
            Some(listed)
        }
    };
    progress.step("download", name(&url), None);
    let most = app.config().max_asset_bytes;
    let exact = expected.is_some();
    let file = Download { app, url: &url, pointer: "/url", most, exact, patience, progress };
    let writer = file.into_file().await?;
    writer.seal(expected).await.map_err(asset_error)
}

/// The last part of a URL's path.
fn name(url: &Url) -> Option<&str> {
    url.path_segments().and_then(Iterator::last).filter(|name| !name.is_empty())
}
