//! `GET /api/v1/boot/profiles/{name}/assets`

use super::{AssetView, condition_name};
use crate::app::App;
use crate::http::api::v1::page::{Asked, Page};
use crate::http::api::v1::profiles;
use crate::http::error::ApiResult;
use crate::http::extract::{Query, Viewer};
use crate::shelf;
use axum::Json;
use axum::extract::{Path, State};
use std::sync::Arc;

/// The files of a profile.
#[utoipa::path(get, path = "/api/v1/boot/profiles/{name}/assets", tag = "profiles", security(("token" = ["viewer"])),
    params(("name" = String, Path, description = "its name or id")), responses(
    (status = 200, description = "its files; always one part", body = Page<AssetView>),
))]
pub async fn list(
    State(app): State<Arc<App>>,
    _: Viewer,
    Path(name): Path<String>,
    query: Query,
) -> ApiResult<Json<Page<AssetView>>> {
    let asked = Asked::of(&query, &[])?;
    let profile = profiles::find(&app, &name).await?;
    let mut assets = app.read().assets(&profile.id).await?;
    // A profile has a handful of files, so the part is cut here.
    assets.sort_by(|a, b| a.file.cmp(&b.file));
    let after = asked.cursor.as_deref().unwrap_or("");
    assets.retain(|a| a.file.as_str() > after);
    let page = asked.page(assets, |a| a.file.to_string());
    let mut items = Vec::with_capacity(page.items.len());
    for asset in page.items {
        let condition = condition_name(shelf::look(&app, &asset).await);
        items.push(AssetView { condition, ..AssetView::of(&profile, asset) });
    }
    Ok(Json(Page { items, next: page.next }))
}
