//! `PUT` and `PATCH /api/v1/boot/assignments/{mac}`

use super::{create, refused, wire};
use crate::app::App;
use crate::http::api::v1::profiles::{check, wire::merge_patch};
use crate::http::api::v1::revision::{expected, tagged};
use crate::http::error::{ApiError, ApiResult, Problem};
use crate::http::extract::{JsonBody, Operator, Peer};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use moxxie_core::access::Actor;
use moxxie_core::assignment::{AssignmentSpec, BootPolicy};
use moxxie_core::boot::decide::Known;
use moxxie_core::boot::event::EventKind;
use moxxie_core::boot::state::BootRecord;
use moxxie_core::time::Timestamp;
use serde_json::Value;
use std::net::IpAddr;
use std::sync::Arc;

/// Replace an assignment. A change of profile closes an open window and never opens one.
#[utoipa::path(put, path = "/api/v1/boot/assignments/{mac}", tag = "assignments", security(("token" = ["operator"])),
    params(("mac" = String, Path)), request_body = wire::AssignmentInput, responses(
    (status = 200, description = "replaced", body = wire::AssignmentView),
    (status = 409, description = "protected, or a MAC address, node name or UUID is taken", body = Problem),
    (status = 412, description = "`If-Match` is stale", body = Problem),
    (status = 422, description = "a field", body = Problem),
))]
pub async fn put(
    State(app): State<Arc<App>>,
    Operator(actor): Operator,
    Peer(peer): Peer,
    Path(mac): Path<String>,
    headers: HeaderMap,
    JsonBody(mut body): JsonBody,
) -> ApiResult<Response> {
    let old = super::find(&app, &mac).await?;
    // A quarantine is lifted by a word, not by silence.
    if let Some(object) = body.as_object_mut() {
        object.entry("quarantined").or_insert(old.assignment.spec.quarantined.into());
    }
    change(&app, actor, peer, expected(&headers)?, old, body).await
}

/// Change single fields (merge patch, RFC 7396).
#[utoipa::path(patch, path = "/api/v1/boot/assignments/{mac}", tag = "assignments", security(("token" = ["operator"])),
    params(("mac" = String, Path)), request_body = Object, responses(
    (status = 200, description = "changed", body = wire::AssignmentView),
    (status = 409, description = "protected, or a MAC address, node name or UUID is taken", body = Problem),
    (status = 412, description = "`If-Match` is stale", body = Problem),
    (status = 422, description = "a field", body = Problem),
))]
pub async fn patch(
    State(app): State<Arc<App>>,
    Operator(actor): Operator,
    Peer(peer): Peer,
    Path(mac): Path<String>,
    headers: HeaderMap,
    JsonBody(body): JsonBody,
) -> ApiResult<Response> {
    let old = super::find(&app, &mac).await?;
    let mut merged = wire::writable(&app, &old);
    if let Some(object) = merged.as_object_mut() {
        // The two names of the profile are one field: a patch of either replaces both.
        if body.get("boot_profile").is_some() || body.get("boot_profile_id").is_some() {
            object.remove("boot_profile");
            object.remove("boot_profile_id");
        }
    }
    merge_patch(&mut merged, body);
    change(&app, actor, peer, expected(&headers)?, old, merged).await
}

async fn change(
    app: &App,
    actor: Actor,
    peer: IpAddr,
    expect: Option<i64>,
    old: Known,
    body: Value,
) -> ApiResult<Response> {
    let (spec, profile, _) = wire::read(app, body, Some(&old), "manual", actor.role).await?;
    let draft = create::draft(app, &spec, &old.assignment.boot);
    check::assignment(&profile.spec, &draft, &app.config().site)?;
    let by = app.by(actor.name.clone(), peer);
    let expect = Some(expect.unwrap_or(old.assignment.revision));
    let now = by.at;
    let step = |known: &Known| {
        let boot = next_record(known, &spec, now)?;
        Ok::<_, ApiError>((spec.clone(), boot))
    };
    let changed = app
        .write()
        .change_assignment(old.assignment.spec.mac_address, expect, "assignment.update", &by, step)
        .await
        .map_err(refused)?;
    if old.assignment.boot.state.is_open() && !changed.boot.state.is_open() {
        let message = format!("the change by {} closed its window: arm it again to install it", actor.name);
        app.events
            .push(app.event(EventKind::Disarmed, Some(changed.spec.mac_address), Some(peer), &message), None);
    }
    let view = wire::view(
        &changed,
        Some(profile.spec.name.as_str()),
        actor.role,
        &app.config().site,
        app.clock.now(),
    );
    Ok(tagged(StatusCode::OK, changed.revision, &view))
}

/// The window after a change. Whatever makes the open window mean something else closes it:
/// another profile or machine, protection, quarantine, another policy.
pub fn next_record(known: &Known, spec: &AssignmentSpec, now: Timestamp) -> ApiResult<BootRecord> {
    let old = &known.assignment.spec;
    let other_profile = old.boot_profile_id != spec.boot_profile_id;
    let mut old_extra = old.extra_macs.clone();
    old_extra.sort();
    let other_machine = old.mac_address != spec.mac_address
        || old.uuid != spec.uuid
        || old.serial != spec.serial
        || old_extra != spec.extra_macs;
    // Taking an address away would leave the machine behind it without its protection.
    if old.protected && spec.protected && (other_profile || other_machine) {
        return Err(ApiError::conflict(format!(
            "{} is protected: lift the protection before changing its profile, MAC addresses, UUID or serial (moxxie assignment update MAC --unprotect)",
            old.node_name
        )));
    }
    let held = (spec.protected && !old.protected) || (spec.quarantined && !old.quarantined);
    let other_policy = old.boot_policy != spec.boot_policy && spec.boot_policy != BootPolicy::Once;
    let boot = &known.assignment.boot;
    if other_profile
        || other_machine
        || held
        || other_policy
        || old.boot_policy == BootPolicy::Always && spec.boot_policy != BootPolicy::Always
    {
        Ok(boot.disarm(now))
    } else {
        Ok(boot.clone())
    }
}
