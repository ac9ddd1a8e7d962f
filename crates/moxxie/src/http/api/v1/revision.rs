//! `ETag` and `If-Match` on single resources.

use crate::http::error::{ApiError, ApiResult};
use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// The revision a caller has read, if it says so.
pub fn expected(headers: &HeaderMap) -> ApiResult<Option<i64>> {
    let mut values = headers.get_all(header::IF_MATCH).iter();
    let (value, more) = (values.next(), values.next());
    match (value.map(|v| v.to_str().unwrap_or("")), more) {
        (None, _) | (Some("*"), None) => Ok(None),
        (Some(text), None) => match text.trim().trim_matches('"').parse() {
            Ok(revision) => Ok(Some(revision)),
            // Not one of ours, so it cannot match what is there.
            Err(_) => Err(ApiError::stale("If-Match is not an ETag of this resource: read it again")),
        },
        (Some(_), Some(_)) => Err(ApiError::bad_request("send one If-Match")),
    }
}

/// A single resource with its `ETag`.
pub fn tagged<T: Serialize>(status: StatusCode, revision: i64, body: &T) -> Response {
    let mut response = (status, Json(body)).into_response();
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{revision}\"")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
