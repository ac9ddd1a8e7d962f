//! The loaders' shelf: what firmware fetches before it knows Moxxie, by whichever protocol, and how
//! it is put there.
//!
//! [`open`] is the one door for HTTP and TFTP. Two of the names are no files: `autoexec.ipxe`, which
//! iPXE on UEFI runs when it finds it beside itself, and `embed.ipxe`, the same text for people who
//! build an iPXE of their own.

mod keep;

pub use keep::{NotKept, keep};

use crate::app::App;
use crate::http::links::Links;
use bytes::Bytes;
use moxxie_core::asset::Digest;
use moxxie_core::ipxe::{MenuAt, Word, WordError, autoexec};
use moxxie_core::loader::{GENERATED, LARGEST, content_type};
use moxxie_core::name::LoaderName;
use moxxie_store::StoreError;
use moxxie_store::assets::{AssetError, Readable};
use sha2::{Digest as _, Sha256};
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// How long a request waits for a whole file that comes from a remote store; the fetch goes on.
const WHOLE: Duration = Duration::from_secs(20);

/// A file as firmware receives it.
#[derive(Debug, Clone)]
pub struct Loader {
    /// What it asked for.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Names these bytes and no others; with its quotes.
    pub etag: String,
    /// All of it, verified: at most 16 MiB.
    pub bytes: Bytes,
    /// Its media type.
    pub content_type: &'static str,
}

impl Loader {
    fn new(name: &str, digest: Digest, bytes: Bytes) -> Loader {
        Loader {
            name: name.to_owned(),
            size: bytes.len() as u64,
            etag: format!("\"{digest}\""),
            bytes,
            content_type: content_type(name),
        }
    }

    fn script(name: &str, text: String) -> Loader {
        Loader::new(name, Digest(Sha256::digest(&text).into()), text.into())
    }
}

/// Why a loader cannot be had now. None of these means that there is no such file.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The bytes.
    #[error(transparent)]
    Bytes(#[from] AssetError),
    /// The server's own address cannot stand in a script.
    #[error("the public URL cannot stand in a script: {0}")]
    Address(#[from] WordError),
}

/// A file by the name that firmware asks for; `None` when there is none, also for what is no name
/// at all. Scripts lead to the public URL, without one to the server that DHCP named.
pub async fn open(app: &App, name: &str) -> Result<Option<Loader>, OpenError> {
    if is_script(name) {
        let text = match &app.config().public_url {
            Some(base) => script(&Links::below(base))?,
            None => autoexec(MenuAt::NextServer(app.port)),
        };
        return Ok(Some(Loader::script(name, text)));
    }
    let Ok(name) = name.parse::<LoaderName>() else { return Ok(None) };
    let Some(kept) = app.read().loader(&name).await? else { return Ok(None) };
    let size = u64::try_from(kept.size).ok().filter(|size| *size <= LARGEST);
    let size = size.ok_or_else(|| StoreError::Corrupt(format!("the size of the loader {name}")))?;
    let bytes = whole(app.assets.read(&kept.sha256, size).await?).await?;
    Ok(Some(Loader::new(name.as_str(), kept.sha256, bytes)))
}

/// The same for who asked by HTTP: scripts lead to where the request went.
pub async fn open_for(app: &App, name: &str, links: &Links) -> Result<Option<Loader>, OpenError> {
    if is_script(name) {
        return Ok(Some(Loader::script(name, script(links)?)));
    }
    open(app, name).await
}

/// Whether a script is made under this name.
pub fn is_script(name: &str) -> bool {
    GENERATED.contains(&name)
}

/// As a machine comes that was asked who it is and said so.
fn script(links: &Links) -> Result<String, WordError> {
    let url = Word::url(format!("{}?identified=1", links.script(None)))?;
    Ok(autoexec(MenuAt::Url(&url)))
}

/// Waits until all of a file is here and verified, and reads it.
async fn whole(mut readable: Readable) -> Result<Bytes, AssetError> {
    if let Some(arriving) = &mut readable.arriving {
        let waited = tokio::time::timeout(WHOLE, arriving.until(readable.size.saturating_sub(1))).await;
        waited.map_err(|_| AssetError::Away("the file is still on its way".into()))??;
    }
    let read = tokio::task::spawn_blocking(move || {
        let mut bytes = vec![0; usize::try_from(readable.size).unwrap_or_default()];
        readable.file.read_exact_at(&mut bytes, 0).map(|()| Bytes::from(bytes))
    });
    let read = read.await.map_err(|_| AssetError::Away("this process is stopping".into()))?;
    read.map_err(|error| AssetError::Away(error.to_string()))
}
