//! `GET /api/v1/boot/assignments`

use super::wire::{self, AssignmentView};
use crate::app::App;
use crate::http::api::v1::page::{Asked, Page, one};
use crate::http::error::{ApiError, ApiResult};
use crate::http::extract::{Peer, Query, Viewer};
use axum::Json;
use axum::extract::State;
use moxxie_core::access::Role;
use moxxie_core::assignment::Assignment;
use moxxie_store::AssignmentFilter;
use std::collections::HashMap;
use std::sync::Arc;

/// Assignments by MAC address.
#[utoipa::path(get, path = "/api/v1/boot/assignments", tag = "assignments", security(("token" = ["viewer"])), params(
    ("state" = Option<String>, Query, description = "local, armed, booting, delivered, installed or failed"),
    ("profile" = Option<String>, Query, description = "a profile's name or id"),
    ("q" = Option<String>, Query, description = "part of a MAC address, node name, UUID or serial number"),
    ("limit" = Option<u32>, Query, description = "1 to 500, default 100"),
    ("cursor" = Option<String>, Query, description = "`next` of the part before"),
), responses((status = 200, description = "assignments", body = Page<AssignmentView>)))]
pub async fn list(
    State(app): State<Arc<App>>,
    Viewer(actor): Viewer,
    Peer(peer): Peer,
    query: Query,
) -> ApiResult<Json<Page<AssignmentView>>> {
    let asked = Asked::of(&query, &["state", "profile", "q"])?;
    let state = match one(&query, "state")? {
        None => None,
        Some(text) => Some(text.parse().map_err(|()| {
            ApiError::field("/state", "one of local, armed, booting, delivered, installed, failed")
        })?),
    };
    let q = one(&query, "q")?.map(str::to_owned);
    if q.as_ref().is_some_and(|q| q.len() > 256) {
        return Err(ApiError::field("/q", "at most 256 bytes"));
    }
    let profile_id = match one(&query, "profile")? {
        None => None,
        Some(name) => match app.read().profile(name).await? {
            Some(profile) => Some(profile.id),
            // A profile that does not exist has no machines.
            None => return Ok(Json(Page { items: vec![], next: None })),
        },
    };
    let config = app.config();
    if state.is_some() {
        // States are shown as time has left them; what is stored follows first.
        app.write().settle(&config.site, app.clock.now()).await?;
    }
    let filter = AssignmentFilter { state, profile_id, q };
    let rows = app.read().assignments(&filter, asked.cursor.as_deref(), asked.rows()).await?;
    let page = asked.page(rows, |a| a.spec.mac_address.to_string());
    let names = profile_names(&app, page.items.iter().map(|a| a.spec.boot_profile_id.as_str())).await?;
    let now = app.clock.now();
    let view = |a: &Assignment, role| {
        let name = names.get(&a.spec.boot_profile_id).map(String::as_str);
        wire::view(a, name, role, &config.site, now)
    };
    let views = |role| page.items.iter().map(|a| view(a, role)).collect::<Vec<_>>();
    let items = views(actor.role);
    app.shown((&actor, peer), || "assignments".into(), &items, || views(Role::Viewer)).await?;
    Ok(Json(Page { items, next: page.next }))
}

/// The names of these profiles by id.
pub async fn profile_names(app: &App, ids: impl Iterator<Item = &str>) -> ApiResult<HashMap<String, String>> {
    let mut names = HashMap::new();
    for id in ids {
        if !names.contains_key(id)
            && let Some(profile) = app.read().profile(id).await?
        {
            names.insert(id.to_owned(), profile.spec.name.to_string());
        }
    }
    Ok(names)
}
