//! Who calls the API. A handler that needs a role takes the type that only a good token makes.

use crate::app::App;
use crate::http::error::ApiError;
use crate::http::extract::Peer;
use crate::http::limit;
use crate::limits::TokenName;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use moxxie_core::access::{Actor, Role};
use moxxie_core::asset::Digest;
use moxxie_core::token::api_token_hash;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use subtle::ConstantTimeEq;

/// Id and name of the token that the first start makes.
pub const FIRST: &str = "admin";

/// A caller who may read.
#[derive(Debug, Clone)]
pub struct Viewer(pub Actor);
/// A caller who may change assignments and assets.
#[derive(Debug, Clone)]
pub struct Operator(pub Actor);
/// A caller who may do everything.
#[derive(Debug, Clone)]
pub struct Admin(pub Actor);

/// Where the name of the caller is left for whoever writes down that it was refused.
#[derive(Debug, Clone, Default)]
pub struct Caller(pub Arc<OnceLock<String>>);

macro_rules! role {
    ($name:ident) => {
        impl FromRequestParts<Arc<App>> for $name {
            type Rejection = ApiError;
            async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
                let actor = authenticate(app, Peer::of(&parts.extensions).0, &parts.headers).await?;
                if let Some(caller) = parts.extensions.get::<Caller>() {
                    caller.0.get_or_init(|| actor.name.clone());
                }
                if actor.role < Role::$name {
                    return Err(ApiError::forbidden(format!(
                        "this needs the role {}; the token {} has {}",
                        Role::$name.as_str(),
                        actor.name,
                        actor.role.as_str()
                    )));
                }
                Ok($name(actor))
            }
        }
    };
}

role!(Viewer);
role!(Operator);
role!(Admin);

/// The bearer token of a request, if it carries exactly one well-formed header.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && (16..=256).contains(&token.len())).then_some(token)
}

/// Finds out who holds the token of a request.
pub async fn authenticate(app: &App, peer: IpAddr, headers: &HeaderMap) -> Result<Actor, ApiError> {
    let help = "send `Authorization: Bearer TOKEN`; the first token is in admin-token in the server's data folder, further ones come from `moxxie token create`";
    let Some(token) = bearer(headers) else { return Err(ApiError::unauthorized(help)) };
    // Only hashes are compared, so the time taken says nothing about the token's text.
    let hash = api_token_hash(token);
    if bool::from(hash.as_bytes().ct_eq(app.admin_hash.as_bytes())) {
        limit::api(app, FIRST)?;
        return Ok(Actor { id: FIRST.into(), name: FIRST.into(), role: Role::Admin });
    }
    let name = name(&hash);
    limit::may_look(app, peer, &name)?;
    let now = app.clock.now();
    match app.read().token_by_hash(&hash).await? {
        Some(found) if found.expires_at.is_some_and(|end| now >= end) => {
            Err(ApiError::unauthorized(format!("the token {} has expired", found.name)))
        }
        Some(found) => {
            app.limits.good(name);
            limit::api(app, &found.id)?;
            let stale = found.last_used_at.is_none_or(|at| (now - at).0 > 60_000);
            if stale {
                // Only a remark for people: a failure must not refuse the call.
                if let Err(error) = app.read().touch_token(&found.id, now).await {
                    tracing::debug!(%error, "last use of a token was not written");
                }
            }
            Ok(Actor { id: found.id, name: found.name, role: found.role })
        }
        None => Err(ApiError::unauthorized(format!("this token is not known here; {help}"))),
    }
}

/// What the limits know a token by: the beginning of its hash.
fn name(hash: &str) -> TokenName {
    let mut name = TokenName::default();
    if let Ok(Digest(bytes)) = hash.parse() {
        name.copy_from_slice(&bytes[..16]);
    }
    name
}
