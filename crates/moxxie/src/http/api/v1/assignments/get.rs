//! `GET /api/v1/boot/assignments/{mac}`

use super::wire;
use crate::app::App;
use crate::http::api::v1::revision::tagged;
use crate::http::error::{ApiResult, Problem};
use crate::http::extract::{Peer, Viewer};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use moxxie_core::access::Role;
use std::sync::Arc;

/// One assignment, by any of its MAC addresses in any spelling.
#[utoipa::path(get, path = "/api/v1/boot/assignments/{mac}", tag = "assignments", security(("token" = ["viewer"])),
    params(("mac" = String, Path)), responses(
    (status = 200, description = "the assignment; `ETag` is its revision", body = wire::AssignmentView),
    (status = 404, description = "nothing is assigned to it", body = Problem),
))]
pub async fn get(
    State(app): State<Arc<App>>,
    Viewer(actor): Viewer,
    Peer(peer): Peer,
    Path(mac): Path<String>,
) -> ApiResult<Response> {
    let known = super::find(&app, &mac).await?;
    let view = wire::view_known(&app, &known, actor.role);
    let target = || format!("assignment {}", known.assignment.spec.mac_address);
    app.shown((&actor, peer), target, &view, || wire::view_known(&app, &known, Role::Viewer)).await?;
    Ok(tagged(StatusCode::OK, known.assignment.revision, &view))
}
