//! `DELETE /api/v1/boot/profiles/{name}/assets/{file}`

use crate::app::App;
use crate::http::api::v1::profiles;
use crate::http::error::{ApiError, ApiResult, Problem};
use crate::http::extract::{Operator, Peer};
use crate::shelf;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use moxxie_core::name::FileName;
use std::sync::Arc;

/// Remove a file from a profile.
#[utoipa::path(delete, path = "/api/v1/boot/profiles/{name}/assets/{file}", tag = "profiles", security(("token" = ["operator"])),
    params(("name" = String, Path), ("file" = String, Path)), responses(
    (status = 204, description = "removed"),
    (status = 404, description = "no such file", body = Problem),
))]
pub async fn remove(
    State(app): State<Arc<App>>,
    Operator(actor): Operator,
    Peer(peer): Peer,
    Path((name, file)): Path<(String, String)>,
) -> ApiResult<StatusCode> {
    let file: FileName = file.parse().map_err(|e| ApiError::field("/file", e))?;
    let profile = profiles::find(&app, &name).await?;
    app.write().delete_asset(&profile.id, &file, &app.by(actor.name, peer)).await?;
    shelf::collect(&app).await;
    Ok(StatusCode::NO_CONTENT)
}
