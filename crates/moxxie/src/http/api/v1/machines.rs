//! `GET /api/v1/boot/machines`

use super::page::{Asked, Page};
use crate::app::App;
use crate::http::error::{ApiError, ApiResult};
use crate::http::extract::{Query, Viewer};
use axum::Json;
use axum::extract::State;
use moxxie_core::machine::MachineSeen;
use moxxie_core::time::Timestamp;
use serde_json::Value;
use std::sync::Arc;

/// Every machine seen, assigned or not, newest first.
#[utoipa::path(get, path = "/api/v1/boot/machines", tag = "operations", security(("token" = ["viewer"])), params(
    ("limit" = Option<u32>, Query, description = "1 to 500, default 100"),
    ("cursor" = Option<String>, Query, description = "`next` of the part before"),
), responses((status = 200, description = "machines", body = Page<Value>)))]
pub async fn list(
    State(app): State<Arc<App>>,
    _: Viewer,
    query: Query,
) -> ApiResult<Json<Page<MachineSeen>>> {
    let asked = Asked::of(&query, &[])?;
    let before = match &asked.cursor {
        None => None,
        Some(text) => Some(
            text.split_once(' ')
                .and_then(|(at, mac)| Some((Timestamp(at.parse().ok()?), mac.parse().ok()?)))
                .ok_or_else(|| {
                    ApiError::field("/cursor", "not a cursor of this list: send `next` as it came")
                })?,
        ),
    };
    let rows = app.read().machines(before, asked.rows()).await?;
    Ok(Json(asked.page(rows, |m| format!("{} {}", m.last_seen_at.0, m.mac_address))))
}
