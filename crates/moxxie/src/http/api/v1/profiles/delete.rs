//! `DELETE /api/v1/boot/profiles/{name-or-id}`

use crate::app::App;
use crate::http::api::v1::revision::expected;
use crate::http::error::{ApiResult, Problem};
use crate::http::extract::{Admin, Peer};
use crate::shelf;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use std::sync::Arc;

/// Delete a profile that no assignment uses.
#[utoipa::path(delete, path = "/api/v1/boot/profiles/{name}", tag = "profiles", security(("token" = ["admin"])),
    params(("name" = String, Path, description = "its name or id")), responses(
    (status = 204, description = "deleted"),
    (status = 409, description = "an assignment uses it", body = Problem),
    (status = 412, description = "`If-Match` is stale", body = Problem),
))]
pub async fn delete(
    State(app): State<Arc<App>>,
    Admin(actor): Admin,
    Peer(peer): Peer,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> ApiResult<StatusCode> {
    let profile = super::find(&app, &name).await?;
    let expect = expected(&headers)?;
    app.write().delete_profile(&profile.id, expect, &app.by(actor.name, peer)).await?;
    shelf::collect(&app).await;
    Ok(StatusCode::NO_CONTENT)
}
