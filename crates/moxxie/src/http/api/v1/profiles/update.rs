//! `PUT` and `PATCH /api/v1/boot/profiles/{name-or-id}`

use super::wire::Silence;
use super::{check, wire};
use crate::app::App;
use crate::http::api::v1::revision::{expected, tagged};
use crate::http::error::{ApiResult, Problem};
use crate::http::extract::{Admin, JsonBody, Peer};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use moxxie_core::access::{Actor, Role};
use moxxie_core::profile::Profile;
use serde_json::Value;
use std::net::IpAddr;
use std::sync::Arc;

/// Replace a profile.
#[utoipa::path(put, path = "/api/v1/boot/profiles/{name}", tag = "profiles", security(("token" = ["admin"])),
    params(("name" = String, Path, description = "its name or id")), request_body = wire::ProfileInput, responses(
    (status = 200, description = "replaced", body = wire::ProfileView),
    (status = 409, description = "it contradicts what is there", body = Problem),
    (status = 412, description = "`If-Match` is stale", body = Problem),
    (status = 422, description = "a field, or a template with line and column", body = Problem),
))]
pub async fn put(
    State(app): State<Arc<App>>,
    Admin(actor): Admin,
    Peer(peer): Peer,
    Path(name): Path<String>,
    headers: HeaderMap,
    JsonBody(body): JsonBody,
) -> ApiResult<Response> {
    let old = super::find(&app, &name).await?;
    change(&app, actor, peer, expected(&headers)?, old, body, Silence::Computes).await
}

/// Change single fields (merge patch, RFC 7396).
#[utoipa::path(patch, path = "/api/v1/boot/profiles/{name}", tag = "profiles", security(("token" = ["admin"])),
    params(("name" = String, Path, description = "its name or id")), request_body = Object, responses(
    (status = 200, description = "changed", body = wire::ProfileView),
    (status = 412, description = "`If-Match` is stale", body = Problem),
    (status = 422, description = "a field, or a template with line and column", body = Problem),
))]
pub async fn patch(
    State(app): State<Arc<App>>,
    Admin(actor): Admin,
    Peer(peer): Peer,
    Path(name): Path<String>,
    headers: HeaderMap,
    JsonBody(body): JsonBody,
) -> ApiResult<Response> {
    let old = super::find(&app, &name).await?;
    let mut merged = wire::writable(&old);
    let says_destructive = body.get("destructive").is_some();
    wire::merge_patch(&mut merged, body);
    if !says_destructive && let Some(object) = merged.as_object_mut() {
        // Not part of the patch, so the lint computes it anew.
        object.remove("destructive");
    }
    let silence = if says_destructive { Silence::Computes } else { Silence::Keeps };
    change(&app, actor, peer, expected(&headers)?, old, merged, silence).await
}

async fn change(
    app: &App,
    actor: Actor,
    peer: IpAddr,
    expect: Option<i64>,
    old: Profile,
    body: Value,
    silence: Silence,
) -> ApiResult<Response> {
    let spec = wire::read(body, Some(&old), silence)?;
    let assigned = app.read().assignments_of(&old.id).await?;
    let before = old.spec.provisioning.as_ref();
    check::provisioning(spec.provisioning.as_ref(), before, &app.config().site)?;
    check::profile(&spec, &assigned, &app.config().site)?;
    // Without If-Match the caller still cannot undo what somebody else saved in between: the
    // change was made of the revision that was just read.
    let expect = Some(expect.unwrap_or(old.revision));
    let profile = app.write().update_profile(&old.id, expect, &spec, &app.by(actor.name, peer)).await?;
    Ok(tagged(StatusCode::OK, profile.revision, &wire::view(&profile, Role::Admin)))
}
