//! The loaders' shelf: what firmware fetches before it knows Moxxie, by whichever protocol, and how
//! it is put there.
//!
//! [`open`] is the one door for HTTP and TFTP. Two of the names are no files: `autoexec.ipxe`, which
//! iPXE on UEFI runs when it finds it beside itself, and `embed.ipxe`, the same text for people who
//! build an iPXE of their own.

mod copies;
mod keep;

pub use copies::Copies;
pub use keep::{NotKept, keep};

use crate::app::App;
use crate::http::links::{BadHost, Links};
use bytes::Bytes;
use moxxie_core::asset::Digest;
use moxxie_core::ipxe::{Word, WordError, autoexec};
use moxxie_core::loader::{self, GENERATED, LARGEST, content_type};
use moxxie_core::name::LoaderName;
use moxxie_store::StoreError;
use moxxie_store::assets::AssetError;
use sha2::{Digest as _, Sha256};

/// How many labels are read at once.
const PAGE: u32 = 500;

/// The label of a file as firmware receives it, and the way to its bytes.
#[derive(Debug, Clone)]
pub struct Loader {
    /// Bytes, at most 16 Mi.
    pub size: u64,
    /// Names these bytes and no others; with its quotes.
    pub etag: String,
    /// Its media type.
    pub content_type: &'static str,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    /// Made for whoever asks.
    Script(Bytes),
    /// On the shelf.
    Kept(Digest),
}

impl Loader {
    fn script(name: &str, text: String) -> Loader {
        let digest = Digest(Sha256::digest(&text).into());
        Loader::new(name, text.len() as u64, &digest, Content::Script(text.into()))
    }

    fn new(name: &str, size: u64, digest: &Digest, content: Content) -> Loader {
        Loader { size, etag: format!("\"{digest}\""), content_type: content_type(name), content }
    }

    /// All of it, verified. Everybody who holds these bytes holds the same copy.
    ///
    /// # Errors
    ///
    /// The stored bytes cannot be had now, or are damaged.
    pub async fn bytes(&self, app: &App) -> Result<Bytes, AssetError> {
        match &self.content {
            Content::Script(text) => Ok(text.clone()),
            Content::Kept(digest) => copies::whole(app, digest, self.size).await,
        }
    }
}

/// Why nobody knows what is behind a name. None of these means that there is no such file.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A script was asked for, and nobody knows where it should lead.
    #[error(transparent)]
    Host(#[from] BadHost),
    /// The server's own address cannot stand in a script.
    #[error("the public URL cannot stand in a script: {0}")]
    Address(#[from] WordError),
}

/// A file by the name that firmware asks for; `None` when there is none, also for what is no name
/// at all. `links` is where scripts lead; files are the same for everybody.
pub async fn open(
    app: &App,
    name: &str,
    links: &Result<Links, BadHost>,
) -> Result<Option<Loader>, OpenError> {
    if GENERATED.contains(&name) {
        let links = links.as_ref().map_err(|bad| *bad)?;
        // As a machine comes that was asked who it is and said so.
        let menu = Word::url(format!("{}?identified=1", links.script(None)))?;
        return Ok(Some(Loader::script(name, autoexec(&menu))));
    }
    let Ok(name) = name.parse::<LoaderName>() else { return Ok(None) };
    let Some(kept) = app.read().loader(&name).await? else { return Ok(None) };
    let size = u64::try_from(kept.size).ok().filter(|size| *size <= LARGEST);
    let size = size.ok_or_else(|| StoreError::Corrupt(format!("the size of the loader {name}")))?;
    Ok(Some(Loader::new(name.as_str(), size, &kept.sha256, Content::Kept(kept.sha256))))
}

/// The labels of all files on the shelf, by name.
pub async fn all(app: &App) -> Result<Vec<loader::Loader>, StoreError> {
    let mut all: Vec<loader::Loader> = Vec::new();
    loop {
        let after = all.last().map(|loader| loader.name.to_string());
        let page = app.read().loaders(after.as_deref(), PAGE).await?;
        let more = page.len() >= PAGE as usize;
        all.extend(page);
        if !more {
            return Ok(all);
        }
    }
}
