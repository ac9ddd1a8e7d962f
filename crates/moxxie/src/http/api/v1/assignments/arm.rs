//! `POST /api/v1/boot/assignments/{mac}/arm` and `…/disarm`

use super::{refused, wire};
use crate::app::App;
use crate::http::api::v1::revision::{expected, tagged};
use crate::http::error::{ApiError, ApiResult, Problem};
use crate::http::extract::{Operator, Peer};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use moxxie_core::access::Actor;
use moxxie_core::assignment::BootPolicy;
use moxxie_core::boot::decide::Known;
use moxxie_core::boot::event::EventKind;
use moxxie_core::boot::state::{ArmGuards, BootRecord};
use moxxie_core::time::Timestamp;
use std::net::IpAddr;
use std::sync::Arc;

/// Open one window in which the machine boots its profile.
#[utoipa::path(post, path = "/api/v1/boot/assignments/{mac}/arm", tag = "assignments", security(("token" = ["operator"])),
    params(("mac" = String, Path)), responses(
    (status = 200, description = "armed until `armed_until`", body = wire::AssignmentView),
    (status = 409, description = "protected, quarantined, or its policy does not arm", body = Problem),
    (status = 412, description = "`If-Match` is stale", body = Problem),
))]
pub async fn arm(
    State(app): State<Arc<App>>,
    Operator(actor): Operator,
    Peer(peer): Peer,
    Path(mac): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let site = app.config().site.clone();
    let step = move |known: &Known, now: Timestamp| {
        let spec = &known.assignment.spec;
        let guards = ArmGuards {
            protected: spec.protected,
            quarantined: spec.quarantined,
            policy: spec.boot_policy,
            destructive: known.shelf.profile.spec.destructive,
        };
        known
            .assignment
            .boot
            .arm(guards, &site, now)
            .map_err(|e| ApiError::conflict(format!("{}: {e}", spec.node_name)))
    };
    turn(&app, actor, peer, &mac, expected(&headers)?, "assignment.arm", EventKind::Armed, step).await
}

/// Close the window; its tokens are worthless from then on.
#[utoipa::path(post, path = "/api/v1/boot/assignments/{mac}/disarm", tag = "assignments", security(("token" = ["operator"])),
    params(("mac" = String, Path)), responses(
    (status = 200, description = "no window is open", body = wire::AssignmentView),
    (status = 409, description = "boot_policy always has no window to close", body = Problem),
    (status = 412, description = "`If-Match` is stale", body = Problem),
))]
pub async fn disarm(
    State(app): State<Arc<App>>,
    Operator(actor): Operator,
    Peer(peer): Peer,
    Path(mac): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let step = |known: &Known, now: Timestamp| match known.assignment.spec.boot_policy {
        BootPolicy::Always => Err(ApiError::conflict(format!(
            "{} boots its profile on every request (boot_policy always): moxxie assignment update MAC --policy once ends that",
            known.assignment.spec.node_name
        ))),
        _ => Ok(known.assignment.boot.disarm(now)),
    };
    turn(&app, actor, peer, &mac, expected(&headers)?, "assignment.disarm", EventKind::Disarmed, step).await
}

#[allow(clippy::too_many_arguments, reason = "two callers, both above")]
async fn turn(
    app: &App,
    actor: Actor,
    peer: IpAddr,
    mac: &str,
    expect: Option<i64>,
    action: &str,
    kind: EventKind,
    step: impl FnOnce(&Known, Timestamp) -> ApiResult<BootRecord> + Send,
) -> ApiResult<Response> {
    let old = super::find(app, mac).await?;
    let by = app.by(actor.name.clone(), peer);
    let now = by.at;
    let step = |known: &Known| Ok((known.assignment.spec.clone(), step(known, now)?));
    let mac = old.assignment.spec.mac_address;
    let changed = app.write().change_assignment(mac, expect, action, &by, step).await.map_err(refused)?;
    if kind == EventKind::Disarmed {
        app.waves.finished(mac);
    }
    let profile = old.shelf.profile.spec.name.as_str();
    let message = format!("{} by {} for profile {profile}", kind.as_str(), actor.name);
    app.events.push(app.event(kind, Some(mac), Some(peer), &message), None);
    let view = wire::view(&changed, Some(profile), actor.role, &app.config().site, app.clock.now());
    Ok(tagged(StatusCode::OK, changed.revision, &view))
}
