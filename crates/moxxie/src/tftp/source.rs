//! Where files come from.

use crate::app::App;
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
    fn open<'a>(
        &'a self,
        _name: &'a str,
        _local: SocketAddr,
    ) -> BoxFuture<'a, Result<Option<Bytes>, Outage>> {
        // There is no shelf of loaders yet: `crate::firmware::open(&self.0, name)` is asked here.
        Box::pin(async { Ok(None) })
    }
}
