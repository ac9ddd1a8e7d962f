//! A file that comes as the body of one request.

use crate::http::error::{ApiError, ApiResult};
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use http_body_util::BodyExt;
use moxxie_core::asset::Digest;
use std::time::Duration;

/// An upload that sends nothing for this long is given up.
pub const SILENCE: Duration = Duration::from_secs(60);

/// The body, bounded in length and in patience.
pub struct Incoming {
    body: Body,
    /// Bytes that came.
    pub size: u64,
    max: u64,
    too_large: fn(u64) -> ApiError,
    /// What the client says that its bytes are.
    pub expected: Option<Digest>,
}

impl Incoming {
    /// As the headers announce it; `too_large` refuses what has more than `max` bytes.
    pub fn new(
        headers: &HeaderMap,
        body: Body,
        max: u64,
        too_large: fn(u64) -> ApiError,
    ) -> ApiResult<Incoming> {
        if headers.contains_key(header::CONTENT_ENCODING) {
            return Err(ApiError::unsupported_media("send the file without Content-Encoding"));
        }
        let expected = headers.get("x-content-sha256").map(|text| text.to_str().unwrap_or("").parse());
        let expected = expected.transpose().map_err(|e| ApiError::field("/X-Content-SHA256", e))?;
        let announced =
            headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|n| n > max) {
            return Err(too_large(max));
        }
        Ok(Incoming { body, size: 0, max, too_large, expected })
    }

    /// The next bytes; `None` at the end.
    pub async fn next(&mut self) -> ApiResult<Option<Bytes>> {
        loop {
            let frame = tokio::time::timeout(SILENCE, self.body.frame())
                .await
                .map_err(|_| ApiError::bad_request("the upload fell silent"))?;
            let Some(frame) = frame else { return Ok(None) };
            let frame = frame.map_err(|_| ApiError::bad_request("the upload was cut off"))?;
            let Ok(chunk) = frame.into_data() else { continue };
            self.size += chunk.len() as u64;
            if self.size > self.max {
                return Err((self.too_large)(self.max));
            }
            return Ok(Some(chunk));
        }
    }
}
