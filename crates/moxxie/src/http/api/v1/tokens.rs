//! `/api/v1/tokens`

use super::page::{Asked, Page};
use crate::app::App;
use crate::clock::{new_id, random};
use crate::http::error::{ApiError, ApiResult, Problem};
use crate::http::extract::{Admin, FIRST, JsonBody, Peer, Query, typed};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use moxxie_core::access::Role;
use moxxie_core::name::ProfileName;
use moxxie_core::time::Timestamp;
use moxxie_core::token::{api_token, api_token_hash};
use moxxie_store::ApiToken;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A new token.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenInput {
    /// What people call it: a-z, 0-9 and '-'. It stands in the audit log.
    #[schema(value_type = String)]
    pub name: ProfileName,
    /// `viewer`, `operator` or `admin`.
    #[schema(value_type = String)]
    pub role: Role,
    /// When it stops working; never when left out.
    #[schema(value_type = Option<String>)]
    pub expires_at: Option<Timestamp>,
}

/// A token, without its secret.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[allow(missing_docs, reason = "the fields are those of TokenInput")]
pub struct TokenView {
    pub id: String,
    pub name: String,
    #[schema(value_type = String)]
    pub role: Role,
    #[schema(value_type = String)]
    pub created_at: Timestamp,
    #[schema(value_type = Option<String>)]
    pub expires_at: Option<Timestamp>,
    /// To the minute.
    #[schema(value_type = Option<String>)]
    pub last_used_at: Option<Timestamp>,
    /// The secret; only in the answer that created it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// What a caller is told who revoked the token that it calls with.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct RevokedOwn {
    /// For people.
    pub detail: &'static str,
}

fn view(token: ApiToken, secret: Option<String>) -> TokenView {
    TokenView {
        id: token.id,
        name: token.name,
        role: token.role,
        created_at: token.created_at,
        expires_at: token.expires_at,
        last_used_at: token.last_used_at,
        token: secret,
    }
}

/// Tokens, oldest first.
#[utoipa::path(get, path = "/api/v1/tokens", tag = "operations", security(("token" = ["admin"])), params(
    ("limit" = Option<u32>, Query, description = "1 to 500, default 100"),
    ("cursor" = Option<String>, Query, description = "`next` of the part before"),
), responses((status = 200, description = "tokens, without their secrets", body = Page<TokenView>)))]
pub async fn list(State(app): State<Arc<App>>, _: Admin, query: Query) -> ApiResult<Json<Page<TokenView>>> {
    let asked = Asked::of(&query, &[])?;
    let rows = app.read().tokens(asked.cursor.as_deref(), asked.rows()).await?;
    Ok(Json(asked.page(rows, |t| t.id.clone()).map(|t| view(t, None))))
}

/// Create a token. Its secret is in this answer and nowhere else.
#[utoipa::path(post, path = "/api/v1/tokens", tag = "operations", security(("token" = ["admin"])),
    request_body = TokenInput, responses(
    (status = 201, description = "created; `token` is shown once", body = TokenView),
    (status = 409, description = "the name is taken", body = Problem),
    (status = 422, description = "a field", body = Problem),
))]
pub async fn create(
    State(app): State<Arc<App>>,
    Admin(actor): Admin,
    Peer(peer): Peer,
    JsonBody(body): JsonBody,
) -> ApiResult<Response> {
    let input: TokenInput = typed(body)?;
    if input.name.as_str() == FIRST {
        return Err(ApiError::field("/name", "is taken: the first token bears it in the audit log"));
    }
    let by = app.by(actor.name, peer);
    if input.expires_at.is_some_and(|end| end <= by.at) {
        return Err(ApiError::field("/expires_at", "lies in the past"));
    }
    let secret = api_token(random());
    let token = ApiToken {
        id: new_id(),
        name: input.name.to_string(),
        role: input.role,
        hash: api_token_hash(&secret),
        created_at: by.at,
        expires_at: input.expires_at,
        last_used_at: None,
    };
    app.read().create_token(&token, &by).await?;
    let headers = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    Ok((StatusCode::CREATED, headers, Json(view(token, Some(secret)))).into_response())
}

/// Revoke a token, at once.
#[utoipa::path(delete, path = "/api/v1/tokens/{id}", tag = "operations", security(("token" = ["admin"])),
    params(("id" = String, Path)), responses(
    (status = 200, description = "revoked, and it was the token of this request", body = RevokedOwn),
    (status = 204, description = "revoked"),
    (status = 404, description = "no such token", body = Problem),
    (status = 409, description = "the first admin token, which is no row of the database", body = Problem),
))]
pub async fn revoke(
    State(app): State<Arc<App>>,
    Admin(actor): Admin,
    Peer(peer): Peer,
    Path(id): Path<String>,
) -> ApiResult<Response> {
    if id == FIRST {
        return Err(ApiError::conflict(
            "the first admin token is kept by the server: delete admin-token in its data folder (or change MOXXIE_ADMIN_TOKEN) and restart it",
        ));
    }
    app.read().revoke_token(&id, &app.by(actor.name, peer)).await?;
    if id == actor.id {
        let detail = "this was the token of this very request: it opens nothing any more";
        return Ok(Json(RevokedOwn { detail }).into_response());
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}
