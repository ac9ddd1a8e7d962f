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

// Only described: what is sent is the log's own `AuditRecord`.
/// One record.
#[derive(utoipa::ToSchema)]
#[allow(dead_code, reason = "only described")]
struct AuditView {
    /// Its position in the log.
    seq: i64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    at: String,
    /// The token's name, or `machine 52:54:…` for a delivered config.
    actor: String,
    /// What was done, such as `assignment.arm` or `config.deliver`.
    action: String,
    /// What it was done to, such as `assignment 52:54:00:12:34:56`.
    target: String,
    /// The address it came from.
    peer: Option<String>,
    /// The object before, without secrets.
    before: Option<Value>,
    /// The object after, without secrets.
    after: Option<Value>,
}

/// What people and tokens did, newest first. Holds no secrets.
#[utoipa::path(get, path = "/api/v1/audit", tag = "operations", security(("token" = ["viewer"])), params(
    ("limit" = Option<u32>, Query, description = "1 to 500, default 100"),
    ("cursor" = Option<String>, Query, description = "`next` of the part before"),
), responses((status = 200, description = "records", body = Page<AuditView>)))]
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
