//! Bytes of a stored file as the answer to a GET or HEAD.

use super::body::body;
use crate::app::App;
use crate::downloads::{About, Role, report};
use crate::http::extract::Peer;
use crate::http::range::{Part, part};
use crate::server::Windows;
use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use moxxie_core::asset::Digest;
use moxxie_core::name::{FileName, ProfileName};
use moxxie_store::assets::Readable;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::OnceCell;

/// How a file was asked for.
pub struct Asked {
    /// GET or HEAD.
    pub method: Method,
    /// Ranges and conditions.
    pub headers: HeaderMap,
    /// Who asks.
    pub peer: IpAddr,
    /// Of the connection; none where no socket of ours is below.
    windows: Option<Arc<Windows>>,
}

impl<S: Sync> FromRequestParts<S> for Asked {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Asked {
            method: parts.method.clone(),
            headers: parts.headers.clone(),
            peer: Peer::of(&parts.extensions).0,
            windows: parts.extensions.get::<Arc<Windows>>().cloned(),
        })
    }
}

/// What is sent: a file of a shelf, or a part of it that is a file of its own.
pub struct Piece {
    /// The profile in the URL.
    pub profile: ProfileName,
    /// The file in the URL.
    pub file: FileName,
    /// What it is to the profile.
    pub role: Role,
    /// The digest of the whole stored file.
    pub sha256: Digest,
    /// The stored file.
    pub readable: Readable,
    /// Offset of the piece in it.
    pub first: u64,
    /// Bytes of the piece.
    pub length: u64,
    /// Names these bytes and no others; with its quotes.
    pub etag: String,
}

/// Sends the piece, or the range of it that was asked for.
pub fn send(app: &Arc<App>, asked: Asked, piece: Piece) -> Response {
    let cut = Cut::of(&asked, &piece.etag, piece.length);
    let content = if cut.has_bytes() {
        let (first, length) = (piece.first + cut.first, cut.length);
        let download = app.downloads.begin(About {
            profile: piece.profile,
            file: piece.file,
            role: piece.role,
            sha256: piece.sha256,
            first,
            length,
            // A range may be all of it.
            whole: cut.first == 0 && length == piece.length,
            peer: asked.peer,
            started_at: app.clock.now(),
            machine: OnceCell::new(),
        });
        report::identify(app, &download.about);
        body(piece.readable, first, length, download, asked.windows)
    } else {
        Body::empty()
    };
    cut.answer(content, &piece.etag, "application/octet-stream")
}

/// What a request gets of a file.
pub(super) struct Cut {
    status: StatusCode,
    /// Offset of the first byte.
    pub first: u64,
    /// Bytes; as many are announced, also to a HEAD.
    pub length: u64,
    /// Bytes of the whole file.
    size: u64,
    head: bool,
}

impl Cut {
    /// As the headers of a request for a file of `size` bytes with this `ETag` ask for it.
    pub fn of(asked: &Asked, etag: &str, size: u64) -> Cut {
        let (status, first, length) = match part(&asked.headers, etag, size) {
            Part::Whole => (StatusCode::OK, 0, size),
            Part::Bytes { first, last } => (StatusCode::PARTIAL_CONTENT, first, last - first + 1),
            Part::NotModified => (StatusCode::NOT_MODIFIED, 0, 0),
            Part::Outside => (StatusCode::RANGE_NOT_SATISFIABLE, 0, 0),
        };
        Cut { status, first, length, size, head: asked.method == Method::HEAD }
    }

    /// Whether there are bytes in the answer.
    pub fn has_bytes(&self) -> bool {
        !self.head && self.length > 0
    }

    /// The answer with these bytes.
    pub fn answer(&self, content: Body, etag: &str, content_type: &'static str) -> Response {
        let Cut { status, first, length, size, .. } = *self;
        let mut response = (status, content).into_response();
        let out = response.headers_mut();
        out.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        out.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        out.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        // Hexadecimal digits, numbers and quotes are always valid in a header.
        let mut add = |name, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                out.insert(name, value);
            }
        };
        add(header::ETAG, etag);
        if matches!(status, StatusCode::OK | StatusCode::PARTIAL_CONTENT) {
            add(header::CONTENT_LENGTH, &length.to_string());
        }
        match status {
            StatusCode::PARTIAL_CONTENT => {
                add(header::CONTENT_RANGE, &format!("bytes {first}-{}/{size}", first + length - 1));
            }
            StatusCode::RANGE_NOT_SATISFIABLE => add(header::CONTENT_RANGE, &format!("bytes */{size}")),
            _ => {}
        }
        response
    }
}
