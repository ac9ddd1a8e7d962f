//! `DELETE /api/v1/boot/assignments/{mac}`

use crate::app::App;
use crate::http::api::v1::revision::expected;
use crate::http::error::{ApiResult, Problem};
use crate::http::extract::{Operator, Peer};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use std::sync::Arc;

/// Delete an assignment that is not protected. The machine is unknown from then on.
#[utoipa::path(delete, path = "/api/v1/boot/assignments/{mac}", tag = "assignments", security(("token" = ["operator"])),
    params(("mac" = String, Path)), responses(
    (status = 204, description = "deleted"),
    (status = 409, description = "it is protected", body = Problem),
    (status = 412, description = "`If-Match` is stale", body = Problem),
))]
pub async fn delete(
    State(app): State<Arc<App>>,
    Operator(actor): Operator,
    Peer(peer): Peer,
    Path(mac): Path<String>,
    headers: HeaderMap,
) -> ApiResult<StatusCode> {
    let known = super::find(&app, &mac).await?;
    let expect = expected(&headers)?;
    app.write()
        .delete_assignment(known.assignment.spec.mac_address, expect, &app.by(actor.name, peer))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
