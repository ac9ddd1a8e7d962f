//! Where files come from.

use crate::app::App;
use crate::firmware;
use crate::http::links::Links;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use std::net::SocketAddr;
use std::sync::Arc;

/// Nobody knows whether there is such a file: whoever asks is told to try again, never that there
/// is none.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Outage(pub String);

/// What is served.
pub trait Source: Send + Sync + 'static {
    /// The whole file of this name; none: there is no such file. `local` is where the request was
    /// sent to: what a script that is made for this machine can point back to.
    fn open<'a>(&'a self, name: &'a str, local: SocketAddr) -> BoxFuture<'a, Result<Option<Bytes>, Outage>>;
}

/// The loaders on the shelf, and `autoexec.ipxe` beside them.
pub struct Loaders(pub Arc<App>);

impl Source for Loaders {
    fn open<'a>(&'a self, name: &'a str, local: SocketAddr) -> BoxFuture<'a, Result<Option<Bytes>, Outage>> {
        Box::pin(async move {
            let base = match &self.0.config().public_url {
                Some(url) => url.clone(),
                // Where the request went, the menu is too: whoever reaches the one reaches the other.
                None => format!("http://{}", SocketAddr::new(local.ip().to_canonical(), self.0.port)),
            };
            let outage = |error: &dyn std::error::Error| Outage(error.to_string());
            let links = Ok(Links::below(&base));
            let found = firmware::open(&self.0, name, &links).await.map_err(|e| outage(&e))?;
            match found {
                Some(loader) => loader.bytes(&self.0).await.map(Some).map_err(|e| outage(&e)),
                None => Ok(None),
            }
        })
    }
}
