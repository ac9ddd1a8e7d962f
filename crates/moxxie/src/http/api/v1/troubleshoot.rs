//! `GET /api/v1/boot/troubleshoot`

use crate::http::error::{ApiError, ApiResult};
use crate::http::extract::{Query, Viewer};
use crate::trouble::Troubleshooting;
use axum::Json;
use moxxie_core::trouble::MAX_QUERY;

/// Why a machine does not boot: symptoms with cause, check and fix, and error codes explained.
///
/// `q` is what stands on the screen: words, a PXE-E code, or an error code of iPXE in any spelling.
/// A code is explained first, and the words around it do not count; without one, all words must
/// match. Without `q` it is every symptom.
#[utoipa::path(get, path = "/api/v1/boot/troubleshoot", tag = "operations", security(("token" = ["viewer"])),
    params(("q" = Option<String>, Query, description = "words or codes from the screen; at most 200 characters")),
    responses((status = 200, description = "what was found, in one part", body = Troubleshooting)))]
pub async fn search(_: Viewer, query: Query) -> ApiResult<Json<Troubleshooting>> {
    query.only(&["q"]).map_err(ApiError::bad_request)?;
    let q = query.one("q").map_err(ApiError::bad_request)?.unwrap_or("");
    if q.chars().count() > MAX_QUERY {
        return Err(ApiError::field("/q", format!("at most {MAX_QUERY} characters")));
    }
    Ok(Json(Troubleshooting::about(q)))
}
