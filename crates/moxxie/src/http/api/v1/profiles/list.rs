//! `GET /api/v1/boot/profiles`

use super::wire::{self, ProfileView};
use crate::app::App;
use crate::http::api::v1::page::{Asked, Page};
use crate::http::error::ApiResult;
use crate::http::extract::{Peer, Query, Viewer};
use axum::Json;
use axum::extract::State;
use moxxie_core::access::Role;
use std::sync::Arc;

/// Profiles by name.
#[utoipa::path(get, path = "/api/v1/boot/profiles", tag = "profiles", security(("token" = ["viewer"])), params(
    ("limit" = Option<u32>, Query, description = "1 to 500, default 100"),
    ("cursor" = Option<String>, Query, description = "`next` of the part before"),
), responses((status = 200, description = "profiles", body = Page<ProfileView>)))]
pub async fn list(
    State(app): State<Arc<App>>,
    Viewer(actor): Viewer,
    Peer(peer): Peer,
    query: Query,
) -> ApiResult<Json<Page<ProfileView>>> {
    let asked = Asked::of(&query, &[])?;
    let rows = app.read().profiles(asked.cursor.as_deref(), asked.rows()).await?;
    let page = asked.page(rows, |p| p.spec.name.to_string());
    let views = |role| page.items.iter().map(|p| wire::view(p, role)).collect::<Vec<_>>();
    let items = views(actor.role);
    app.shown((&actor, peer), || "profiles".into(), &items, || views(Role::Viewer)).await?;
    Ok(Json(Page { items, next: page.next }))
}
