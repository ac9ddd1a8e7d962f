//! What a download is made of, however many connections it takes: the bytes so far, and what is
//! known of the file they belong to.

use crate::app::App;
use crate::http::api::v1::assets::asset_error;
use crate::http::error::ApiResult;
use moxxie_store::assets::AssetWriter;
use reqwest::Response;
use reqwest::header::{CONTENT_RANGE, DATE, ETAG, HeaderMap, HeaderValue, LAST_MODIFIED};

/// Where the bytes go.
pub(super) enum Sink {
    File(Box<AssetWriter>),
    Memory(Vec<u8>),
}

impl Sink {
    pub async fn file(app: &App) -> ApiResult<Sink> {
        Ok(Sink::File(Box::new(app.assets.writer().await.map_err(asset_error)?)))
    }

    pub fn size(&self) -> u64 {
        match self {
            Sink::File(writer) => writer.size(),
            Sink::Memory(bytes) => bytes.len() as u64,
        }
    }

    pub async fn write(&mut self, chunk: &[u8]) -> ApiResult<()> {
        match self {
            Sink::File(writer) => writer.write(chunk).await.map_err(asset_error),
            Sink::Memory(bytes) => {
                bytes.extend_from_slice(chunk);
                Ok(())
            }
        }
    }
}

/// What is known of the file since its first answer.
#[derive(Default)]
pub(super) struct Known {
    /// The other server has begun to send it.
    pub begun: bool,
    pub length: Option<u64>,
    /// Names this version of the file, for `If-Range`.
    pub validator: Option<HeaderValue>,
}

impl Known {
    pub fn of(response: &Response) -> Known {
        let headers = response.headers();
        Known { begun: true, length: response.content_length(), validator: validator(headers) }
    }

    /// Whether this 206 goes on at the byte that was asked for, in the same version of the file.
    /// RFC 9110, section 14.4: `bytes FIRST-LAST/LENGTH`.
    pub fn continued_by(&mut self, response: &Response, from: u64) -> bool {
        let headers = response.headers();
        let range = headers.get(CONTENT_RANGE).and_then(|v| v.to_str().ok());
        let Some((part, length)) = range.and_then(|r| r.strip_prefix("bytes ")?.split_once('/')) else {
            return false;
        };
        let first = part.split_once('-').and_then(|(first, _)| first.parse::<u64>().ok());
        let length = length.parse::<u64>().ok();
        let same_length = self.length.is_none() || length.is_none() || self.length == length;
        let now = validator(headers);
        let same_version = now.is_none() || self.validator.is_none() || self.validator == now;
        self.length = self.length.or(length);
        first == Some(from) && same_length && same_version
    }
}

/// A strong validator (RFC 9110, sections 8.8 and 13.1.5): an `ETag` without `W/`, else a
/// `Last-Modified` that is older than the answer itself.
fn validator(headers: &HeaderMap) -> Option<HeaderValue> {
    let strong = headers.get(ETAG).filter(|tag| tag.as_bytes().starts_with(b"\""));
    let dated = || headers.get(LAST_MODIFIED).filter(|at| headers.get(DATE).is_some_and(|date| date != *at));
    strong.or_else(dated).cloned()
}
