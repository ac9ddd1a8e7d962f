//! `GET /api/v1/boot/profiles/{name-or-id}`

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

/// One profile. Only an admin sees secrets.
#[utoipa::path(get, path = "/api/v1/boot/profiles/{name}", tag = "profiles", security(("token" = ["viewer"])),
    params(("name" = String, Path, description = "its name or id")), responses(
    (status = 200, description = "the profile; `ETag` is its revision", body = wire::ProfileView),
    (status = 404, description = "no such profile", body = Problem),
))]
pub async fn get(
    State(app): State<Arc<App>>,
    Viewer(actor): Viewer,
    Peer(peer): Peer,
    Path(name): Path<String>,
) -> ApiResult<Response> {
    let profile = super::find(&app, &name).await?;
    let view = wire::view(&profile, actor.role);
    let target = || format!("profile {}", profile.spec.name);
    app.shown((&actor, peer), target, &view, || wire::view(&profile, Role::Viewer)).await?;
    Ok(tagged(StatusCode::OK, profile.revision, &view))
}
