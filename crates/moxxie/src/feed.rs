//! From a file on this machine into the asset store.

use crate::app::App;
use crate::http::progress::Progress;
use moxxie_store::assets::{AssetError, AssetWriter};
use std::path::Path;
use std::sync::Arc;
use tokio::io::AsyncReadExt;

/// Bytes read at once.
const CHUNK: usize = 1024 * 1024;

/// Reads the file from its current position to its end, at most `most` bytes and one more, so
/// that the caller notices a file that is too long. `path` is for messages.
pub async fn feed(
    app: &App,
    file: std::fs::File,
    path: &Path,
    most: u64,
    progress: &Progress,
) -> Result<AssetWriter, AssetError> {
    let failed = |error| AssetError::Io { path: path.to_owned(), error: Arc::new(error) };
    let mut writer = app.assets.writer().await?;
    let mut file = tokio::fs::File::from_std(file).take(most.saturating_add(1));
    let mut chunk = vec![0; CHUNK];
    loop {
        let n = file.read(&mut chunk).await.map_err(failed)?;
        if n == 0 {
            return Ok(writer);
        }
        writer.write(&chunk[..n]).await?;
        progress.add(n as u64);
    }
}
