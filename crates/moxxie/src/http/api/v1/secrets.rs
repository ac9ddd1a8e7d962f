//! `/api/v1/secrets`: which keys stored secrets are sealed with, and sealing them anew. No key and
//! no secret passes here.

use crate::app::App;
use crate::http::error::{ApiResult, Problem};
use crate::http::extract::{Admin, Peer};
use crate::http::progress::answer;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use moxxie_core::keyring::KeyId;
use moxxie_core::time::Timestamp;
use moxxie_store::KeyUse;
use serde::Serialize;
use std::sync::Arc;

/// Which keys are in use.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct SecretsView {
    /// The current one first.
    pub keys: Vec<KeyView>,
    /// Rows that are not sealed yet: an older version wrote them.
    pub unsealed_rows: i64,
}

/// How much one key is used.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct KeyView {
    /// Eight hexadecimal digits that name the key and tell nothing of it.
    pub id: String,
    /// What is written now is sealed with it.
    pub current: bool,
    /// The server that answers has it.
    pub at_hand: bool,
    /// Profiles sealed with it.
    pub profiles: i64,
    /// Assignments sealed with it.
    pub assignments: i64,
    /// Boots under way that may carry a token of it.
    pub open_sessions: i64,
    /// Nothing needs it any more: its line may be deleted.
    pub removable: bool,
    /// When a server first started with it; null for one that is only kept ready.
    #[schema(value_type = Option<String>)]
    pub created_at: Option<Timestamp>,
    /// When everything had been sealed anew with another one.
    #[schema(value_type = Option<String>)]
    pub retired_at: Option<Timestamp>,
}

/// What sealing anew did.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ResealedView {
    /// The key that everything is sealed with.
    pub key: String,
    /// Rows that were sealed anew.
    pub rows: u64,
    /// Keys that nothing is sealed with any more.
    pub retired: Vec<String>,
    /// Rows that do not open, and why. Nothing is retired while there are any.
    pub unreadable: Vec<String>,
}

fn view(key: KeyUse) -> KeyView {
    KeyView {
        removable: key.removable(),
        id: key.id.to_string(),
        current: key.current,
        at_hand: key.at_hand,
        profiles: key.profiles,
        assignments: key.assignments,
        open_sessions: key.open_sessions,
        created_at: key.created_at,
        retired_at: key.retired_at,
    }
}

/// Which keys stored secrets are sealed with.
#[utoipa::path(get, path = "/api/v1/secrets", tag = "operations", security(("token" = ["admin"])), responses(
    (status = 200, description = "ids of keys, never keys", body = SecretsView),
))]
pub async fn status(State(app): State<Arc<App>>, _: Admin) -> ApiResult<Json<SecretsView>> {
    let status = app.read().secrets(app.clock.now()).await?;
    let keys = status.keys.into_iter().map(view).collect();
    Ok(Json(SecretsView { keys, unsealed_rows: status.plain }))
}

/// Seal everything anew with the current key, and retire the others. Broken off, it is done again
/// from where it was. With `Accept: application/x-ndjson` it tells its progress, in rows.
#[utoipa::path(post, path = "/api/v1/secrets/reseal", tag = "operations", security(("token" = ["admin"])),
    responses(
    (status = 200, description = "done", body = ResealedView),
    (status = 409, description = "a newer key is in use, or another server seals with an older one",
        body = Problem),
))]
pub async fn reseal(
    State(app): State<Arc<App>>,
    Admin(actor): Admin,
    Peer(peer): Peer,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let by = app.by(actor.name, peer);
    answer(&headers, StatusCode::OK, |progress| async move {
        progress.step("seal", None, None);
        // Nothing that machines see changes, so the snapshot need not be told.
        let done = app.read().reseal(&by, &mut |rows| progress.at(rows, None)).await?;
        Ok(ResealedView {
            key: KeyId::of(app.keys().current()).to_string(),
            rows: done.rows,
            retired: done.retired.iter().map(KeyId::to_string).collect(),
            unreadable: done.unreadable,
        })
    })
    .await
}
