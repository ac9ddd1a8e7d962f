//! `GET /api/v1/audit`

use super::page::{Asked, Page};
use crate::app::App;
use crate::http::error::{ApiError, ApiResult};
use crate::http::extract::{Query, Viewer};
use axum::Json;
use axum::extract::State;
use moxxie_core::audit::AuditRecord;
use serde_json::Value;
use std::sync::Arc;

/// What people and tokens did, newest first. Holds no secrets.
#[utoipa::path(get, path = "/api/v1/audit", tag = "operations", security(("token" = ["viewer"])), params(
    ("limit" = Option<u32>, Query, description = "1 to 500, default 100"),
    ("cursor" = Option<String>, Query, description = "`next` of the part before"),
), responses((status = 200, description = "records", body = Page<Value>)))]
pub async fn list(
    State(app): State<Arc<App>>,
    _: Viewer,
    query: Query,
) -> ApiResult<Json<Page<AuditRecord>>> {
    let asked = Asked::of(&query, &[])?;
    let before = number(&asked)?;
    let rows = app.read().audit(before, asked.rows()).await?;
    Ok(Json(asked.page(rows, |r| r.seq.to_string())))
}

/// A cursor that is a position in a log.
pub fn number(asked: &Asked) -> ApiResult<Option<i64>> {
    match &asked.cursor {
        None => Ok(None),
        Some(text) => match text.parse() {
            Ok(n) => Ok(Some(n)),
            Err(_) => Err(ApiError::field("/cursor", "not a cursor of this list: send `next` as it came")),
        },
    }
}
