//! `POST /api/v1/config/reload`

use crate::app::App;
use crate::http::error::{ApiError, ApiResult, Problem};
use crate::http::extract::{Admin, Door, Peer, Serves};
use crate::reload::{self, Asker, Author, ReloadError, Reloaded};
use axum::Json;
use axum::extract::{ConnectInfo, State};
use axum::http::HeaderMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// Read the config file and the certificate again. What can change while the server runs is in
/// force when this answers; a file that cannot be used changes nothing.
#[utoipa::path(post, path = "/api/v1/config/reload", tag = "operations", security(("token" = ["admin"])), responses(
    (status = 200, description = "which keys have new values, and which of them wait for a restart", body = Reloaded),
    (status = 422, description = "the file cannot be used, and why; the settings are those of before", body = Problem),
))]
pub async fn reload(
    State(app): State<Arc<App>>,
    Admin(actor): Admin,
    Peer(peer): Peer,
    door: Door,
    ConnectInfo(socket): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> ApiResult<Json<Reloaded>> {
    let asker = Asker { socket: socket.ip(), headers, by_own_door: door.serves == Serves::People };
    match reload::run(&app, Author::Caller(&asker), app.by(actor.name, peer)).await {
        Ok(done) => Ok(Json(done)),
        Err(ReloadError::Store(error)) => Err(error.into()),
        Err(error @ ReloadError::LockOut(_)) => Err(ApiError::conflict(error)),
        Err(error @ (ReloadError::Config(_) | ReloadError::Log(_))) => Err(ApiError::invalid(error)),
    }
}
