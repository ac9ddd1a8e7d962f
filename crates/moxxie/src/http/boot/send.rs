//! A run of bytes of a stored file as the answer to a GET or HEAD.

use crate::app::App;
use crate::http::error::BootError;
use crate::http::range::{Part, part};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::TryStreamExt;
use moxxie_store::assets::Readable;
use std::io::SeekFrom;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

/// Bytes read from the disk at once; what one download holds in memory.
const CHUNK: usize = 256 * 1024;

/// Sends the `length` bytes of a file that begin at `first`, or the range of them that the headers
/// ask for. All of the file has to be here.
pub async fn send(
    _app: &App,
    readable: Readable,
    first: u64,
    length: u64,
    etag: &str,
    headers: &HeaderMap,
    method: &Method,
) -> Result<Response, BootError> {
    let (status, from, send) = match part(headers, etag, length) {
        Part::Whole => (StatusCode::OK, 0, length),
        Part::Bytes { first, last } => (StatusCode::PARTIAL_CONTENT, first, last - first + 1),
        Part::NotModified => (StatusCode::NOT_MODIFIED, 0, 0),
        Part::Outside => (StatusCode::RANGE_NOT_SATISFIABLE, 0, 0),
    };
    let sends = matches!(status, StatusCode::OK | StatusCode::PARTIAL_CONTENT);
    let body = if sends && method != Method::HEAD {
        let broken = |_| BootError::later("moxxie: disk error");
        let mut file = tokio::fs::File::from_std(readable.file.try_clone().map_err(broken)?);
        file.seek(SeekFrom::Start(first + from)).await.map_err(broken)?;
        let sent = metrics::counter!("moxxie_asset_bytes_total");
        let stream = ReaderStream::with_capacity(file.take(send), CHUNK)
            .inspect_ok(move |chunk| sent.increment(chunk.len() as u64));
        Body::from_stream(stream)
    } else {
        Body::empty()
    };
    let mut response = (status, body).into_response();
    let out = response.headers_mut();
    out.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Hexadecimal digits, numbers and quotes are always valid in a header.
    let mut add = |name, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            out.insert(name, value);
        }
    };
    add(header::ETAG, etag.to_owned());
    if sends {
        add(header::CONTENT_LENGTH, send.to_string());
    }
    match status {
        StatusCode::PARTIAL_CONTENT => {
            add(header::CONTENT_RANGE, format!("bytes {from}-{}/{length}", from + send - 1));
        }
        StatusCode::RANGE_NOT_SATISFIABLE => add(header::CONTENT_RANGE, format!("bytes */{length}")),
        _ => {}
    }
    Ok(response)
}
