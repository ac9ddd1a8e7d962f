//! `POST /api/v1/boot/profiles`

use super::{check, wire};
use crate::app::App;
use crate::clock::new_id;
use crate::http::api::v1::revision::tagged;
use crate::http::error::{ApiResult, Problem};
use crate::http::extract::{Admin, JsonBody, Peer};
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use moxxie_core::access::Role;
use std::sync::Arc;

/// Create a profile.
#[utoipa::path(post, path = "/api/v1/boot/profiles", tag = "profiles", security(("token" = ["admin"])),
    request_body = wire::ProfileInput, responses(
    (status = 201, description = "created; `Location` names it", body = wire::ProfileView),
    (status = 409, description = "the name is taken", body = Problem),
    (status = 422, description = "a field, or a template with line and column", body = Problem),
))]
pub async fn create(
    State(app): State<Arc<App>>,
    Admin(actor): Admin,
    Peer(peer): Peer,
    JsonBody(body): JsonBody,
) -> ApiResult<Response> {
    let spec = wire::read(body, None, wire::Silence::Computes)?;
    check::provisioning(spec.provisioning.as_ref(), None, &app.config().site)?;
    check::profile(&spec, &[], &app.config().site)?;
    let profile = app.write().create_profile(&new_id(), &spec, &app.by(actor.name, peer)).await?;
    let mut response = tagged(StatusCode::CREATED, profile.revision, &wire::view(&profile, Role::Admin));
    if let Ok(location) = HeaderValue::from_str(&format!("/api/v1/boot/profiles/{}", spec.name)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}
