//! What a machine receives.

use crate::http::error::BootError;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// An iPXE script, or another short text.
pub fn script(text: String) -> Response {
    let mut response = (StatusCode::OK, text).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The local disk by HTTP status, for firmware that wants it so.
pub fn no_script(reason: &str) -> Response {
    BootError::not_found(format!("moxxie: local disk: {reason}")).into_response()
}
