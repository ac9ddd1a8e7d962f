//! `POST /api/v1/boot/assignments`

use super::wire;
use crate::app::App;
use crate::clock::new_id;
use crate::http::api::v1::profiles::check;
use crate::http::api::v1::revision::tagged;
use crate::http::error::{ApiError, ApiResult, Problem};
use crate::http::extract::{JsonBody, Operator, Peer};
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use moxxie_core::assignment::{Assignment, AssignmentSpec, BootPolicy};
use moxxie_core::boot::event::EventKind;
use moxxie_core::boot::state::{ArmGuards, BootRecord};
use moxxie_core::profile::Profile;
use std::sync::Arc;

/// Assign a machine to a profile. Creating it arms it once, unless `armed` is false.
#[utoipa::path(post, path = "/api/v1/boot/assignments", tag = "assignments", security(("token" = ["operator"])),
    request_body = wire::AssignmentInput, responses(
    (status = 201, description = "created; `Location` names it", body = wire::AssignmentView),
    (status = 409, description = "a MAC address, node name or UUID is taken", body = Problem),
    (status = 422, description = "a field, or a value that the profile's templates miss", body = Problem),
))]
pub async fn create(
    State(app): State<Arc<App>>,
    Operator(actor): Operator,
    Peer(peer): Peer,
    JsonBody(body): JsonBody,
) -> ApiResult<Response> {
    let (spec, profile, armed) = wire::read(&app, body, None, "manual", actor.role).await?;
    let boot = first_record(&app, &spec, &profile, armed)?;
    let draft = draft(&app, &spec, &boot);
    check::assignment(&profile.spec, &draft, &app.config().site)?;
    let by = app.by(actor.name.clone(), peer);
    let assignment = app.write().create_assignment(&new_id(), &spec, &boot, &by).await?;
    if boot.state.is_open() {
        let message = format!("created and armed by {} for profile {}", actor.name, profile.spec.name);
        let mut event = app.event(EventKind::Armed, Some(spec.mac_address), Some(peer), &message);
        event.node_name = Some(spec.node_name.to_string());
        event.boot_profile = Some(profile.spec.name.to_string());
        app.events.push(event, None);
    }
    let name = profile.spec.name.as_str();
    let view = wire::view(&assignment, Some(name), actor.role, &app.config().site, app.clock.now());
    let mut response = tagged(StatusCode::CREATED, assignment.revision, &view);
    if let Ok(location) = HeaderValue::from_str(&format!("/api/v1/boot/assignments/{}", spec.mac_address)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// The window of a new assignment: open, unless the body or its flags say otherwise.
pub fn first_record(
    app: &App,
    spec: &AssignmentSpec,
    profile: &Profile,
    armed: Option<bool>,
) -> ApiResult<BootRecord> {
    let unarmed = BootRecord { since: app.clock.now(), ..BootRecord::default() };
    let wanted =
        armed.unwrap_or(spec.boot_policy == BootPolicy::Once && !spec.protected && !spec.quarantined);
    if !wanted {
        return Ok(unarmed);
    }
    let guards = ArmGuards {
        protected: spec.protected,
        quarantined: spec.quarantined,
        policy: spec.boot_policy,
        destructive: profile.spec.destructive,
    };
    unarmed.arm(guards, &app.config().site, app.clock.now()).map_err(|e| ApiError::field("/armed", e))
}

/// An assignment as it would be stored, for checking it.
pub fn draft(app: &App, spec: &AssignmentSpec, boot: &BootRecord) -> Assignment {
    let now = app.clock.now();
    Assignment {
        id: String::new(),
        spec: spec.clone(),
        boot: boot.clone(),
        revision: 0,
        last_boot_at: None,
        created_at: now,
        updated_at: now,
    }
}
