//! `GET /boot/configs/{profile}/{mac}`: one machine's config, once.

use crate::app::App;
use crate::compose::{self, For, Tokens};
use crate::http::error::BootError;
use crate::http::extract::{Peer, Query, authenticate, bearer};
use crate::http::limit;
use crate::http::links::Links;
use crate::waves;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use moxxie_core::access::Role;
use moxxie_core::asset::Digest;
use moxxie_core::audit::AuditRecord;
use moxxie_core::boot::claims::BootClaims;
use moxxie_core::boot::decide::Known;
use moxxie_core::boot::event::EventKind;
use moxxie_core::boot::session::{Refusal, Session, may_fetch};
use moxxie_core::mac::MacAddr;
use moxxie_core::name::ProfileName;
use moxxie_core::secret::MASK;
use moxxie_core::token::{PresentedToken, Purpose, mint};
use moxxie_store::{Delivery, Redeemed, StepError};
use sha2::{Digest as _, Sha256};
use std::net::IpAddr;
use std::sync::Arc;

/// The config itself.
#[utoipa::path(get, path = "/boot/configs/{profile}/{mac}", tag = "boot", params(
    ("profile" = String, Path), ("mac" = String, Path),
    ("t" = Option<String>, Query, description = "the boot token; an admin's Authorization header previews instead"),
), responses(
    (status = 200, description = "the rendered config"),
    (status = 403, description = "wrong, spent, foreign or unknown token"),
    (status = 429, description = "asked too often: ask again after Retry-After seconds"),
    (status = 503, description = "ask again after Retry-After seconds"),
))]
pub async fn config(
    State(app): State<Arc<App>>,
    Path((profile, mac)): Path<(String, String)>,
    peer: Peer,
    method: Method,
    headers: HeaderMap,
    query: Query,
) -> Result<Response, BootError> {
    let token = query.one("t").map_err(|e| BootError::bad_request(format!("moxxie: {e}")))?;
    deliver(Fetch { app, profile, mac, resource: String::new(), peer, method, headers }, token).await
}

/// A file below the config, such as `user-data`, with the token in the query.
#[utoipa::path(get, path = "/boot/configs/{profile}/{mac}/{resource}", tag = "boot", params(
    ("profile" = String, Path), ("mac" = String, Path), ("resource" = String, Path),
    ("t" = Option<String>, Query, description = "the boot token"),
), responses((status = 200, description = "the rendered file"), (status = 403, description = "not allowed")))]
pub async fn resource(
    State(app): State<Arc<App>>,
    Path((profile, mac, resource)): Path<(String, String, String)>,
    peer: Peer,
    method: Method,
    headers: HeaderMap,
    query: Query,
) -> Result<Response, BootError> {
    let token = query.one("t").map_err(|e| BootError::bad_request(format!("moxxie: {e}")))?;
    deliver(Fetch { app, profile, mac, resource, peer, method, headers }, token).await
}

/// The same with the token in the path, for formats that forbid queries.
#[utoipa::path(get, path = "/boot/configs/{profile}/{mac}/{token}/{resource}", tag = "boot", params(
    ("profile" = String, Path), ("mac" = String, Path), ("token" = String, Path), ("resource" = String, Path),
), responses((status = 200, description = "the rendered file"), (status = 403, description = "not allowed")))]
pub async fn resource_with_token(
    State(app): State<Arc<App>>,
    Path((profile, mac, token, resource)): Path<(String, String, String, String)>,
    peer: Peer,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, BootError> {
    deliver(Fetch { app, profile, mac, resource, peer, method, headers }, Some(&token)).await
}

struct Fetch {
    app: Arc<App>,
    profile: String,
    mac: String,
    resource: String,
    peer: Peer,
    method: Method,
    headers: HeaderMap,
}

/// Why a config was not delivered, inside the transaction.
enum Stop {
    Refused(Refusal),
    NoSuchFile,
    Broken(compose::ComposeError),
    TooDestructive(&'static str),
}

async fn deliver(fetch: Fetch, token: Option<&str>) -> Result<Response, BootError> {
    let Fetch { app, profile, mac, resource, peer: Peer(peer), method, headers } = fetch;
    // Asking for less than the whole must not use the token up.
    if method == Method::HEAD {
        return Err(BootError::new(StatusCode::METHOD_NOT_ALLOWED, "moxxie: use GET"));
    }
    if headers.contains_key(header::RANGE) {
        return Err(BootError::new(StatusCode::RANGE_NOT_SATISFIABLE, "moxxie: no ranges here"));
    }
    let (Ok(profile), Ok(mac)) = (profile.parse::<ProfileName>(), mac.parse::<MacAddr>()) else {
        return Err(BootError::forbidden());
    };
    let links = Links::of(app.config().public_url.as_deref(), &headers, app.port)
        .map_err(|e| BootError::bad_request(format!("moxxie: {e}")))?;
    if token.is_none() && bearer(&headers).is_some() {
        return preview(&app, peer, &profile, mac, &resource, &links, &headers).await;
    }
    let refuse = |why: Refusal| {
        tracing::warn!(machine = %mac, %peer, reason = %why, "config refused");
        app.events.push(app.event(EventKind::ConfigRefused, Some(mac), Some(peer), &why.to_string()), None);
        BootError::forbidden()
    };
    let Some(token) = token.and_then(PresentedToken::parse) else {
        return Err(refuse(Refusal::Foreign));
    };
    // Memory knows what the token of the machine in the URL would bear, and no guess bears it.
    let snapshot = app.snapshots.current();
    let signed = snapshot.as_ref().and_then(|s| s.known(mac)).is_some_and(|known| {
        let (id, generation) = (&known.assignment.id, known.assignment.boot.generation);
        token.is_genuine(&app.key, id, generation, Purpose::Config)
    });
    if !signed {
        limit::may_redeem(&app, peer, Some(mac), &token.session.0)?;
    }
    let now = app.clock.now();
    let mut machine = None;
    let step = |session: &Session, known: &Known| {
        let assignment = &known.assignment;
        let genuine = token.is_genuine(&app.key, &assignment.id, session.generation, Purpose::Config);
        let named = known.shelf.profile.spec.name == profile && assignment.macs().any(|m| m == mac);
        if !genuine || !named {
            return Err(Stop::Refused(Refusal::Foreign));
        }
        may_fetch(session, known, peer, &app.config().site, now).map_err(Stop::Refused)?;
        let report = mint(&app.key, session.id, &assignment.id, session.generation, Purpose::Report);
        let own = mint(&app.key, session.id, &assignment.id, session.generation, Purpose::Config);
        let (text, kind) = render(
            &app,
            known,
            Some(session),
            &links,
            &resource,
            Some(Tokens { config: &own, report: &report }),
        )
        .map_err(Stop::Broken)?
        .ok_or(Stop::NoSuchFile)?;
        // A value can make a harmless template erase a disk: what is about to be sent is read again.
        if let Some(reason) = compose::hidden_danger(&known.shelf.profile.spec, &text) {
            return Err(Stop::TooDestructive(reason));
        }
        let digest = Digest(Sha256::digest(text.as_bytes()).into());
        let what = if resource.is_empty() { "config" } else { &resource };
        let message = format!("{what} delivered, {} bytes", text.len());
        let event = app.event(EventKind::ConfigDelivered, Some(mac), Some(peer), &message);
        let audit = AuditRecord {
            seq: 0,
            at: now,
            actor: format!("machine {mac}"),
            action: "config.deliver".into(),
            target: format!("assignment {}", assignment.spec.mac_address),
            peer: Some(peer.to_string()),
            before: None,
            after: Some(serde_json::json!({
                "node_name": assignment.spec.node_name, "boot_profile": profile, "resource": resource,
                "bytes": text.len(), "sha256": digest, "generation": session.generation,
            })),
        };
        machine = Some((waves::name(known), known.shelf.clone()));
        Ok((Delivery { resource: resource.clone(), digest, audit, event }, (text, kind)))
    };
    match app.read().redeem(token.session, &app.config().site, now, step).await {
        Ok(Some((Redeemed::First | Redeemed::Repeat, (text, kind)))) => {
            if let Some((mac, shelf)) = machine {
                app.waves.delivered(mac, &shelf);
            }
            Ok(sent(text, kind))
        }
        Ok(Some((Redeemed::Refused, _))) => Err(refuse(Refusal::Spent)),
        Ok(None) => Err(refuse(Refusal::Foreign)),
        Err(StepError::Step(Stop::Refused(why))) => Err(refuse(why)),
        Err(StepError::Step(Stop::NoSuchFile)) => Err(BootError::not_found("moxxie: no such file")),
        Err(StepError::Step(Stop::TooDestructive(reason))) => {
            let message =
                format!("its config was held back: {reason}, but its profile is marked as not destructive");
            app.events.push(app.event(EventKind::ReinstallSuppressed, Some(mac), Some(peer), &message), None);
            Err(BootError::forbidden())
        }
        Err(StepError::Step(Stop::Broken(error))) => {
            tracing::error!(machine = %mac, %error, "a config could not be rendered");
            let message = format!("its config could not be rendered: {error}");
            app.events.push(app.event(EventKind::BootError, Some(mac), Some(peer), &message), None);
            Err(BootError::later("moxxie: config broken, see log"))
        }
        Err(StepError::Store(error)) => Err(error.into()),
    }
}

fn render(
    app: &App,
    known: &Known,
    session: Option<&Session>,
    links: &Links,
    resource: &str,
    tokens: Option<Tokens<'_>>,
) -> Result<Option<(String, &'static str)>, compose::ComposeError> {
    let spec = &known.shelf.profile.spec;
    // What the machine said of itself when it asked for its script: installers do not repeat it.
    let boot = &known.assignment.boot;
    let claims = BootClaims {
        uuid: boot.bound_uuid,
        serial: boot.bound_serial.clone(),
        arch: session.and_then(|s| s.arch.clone()),
        platform: session.and_then(|s| s.platform.clone()),
        ..BootClaims::default()
    };
    let peer = session.map(|s| s.ip);
    let machine = For { spec, assignment: Some(&known.assignment), claims: &claims, peer };
    let context = compose::context(machine, &app.config().site, links, tokens);
    compose::config(spec, &context, resource)
}

/// What an admin sees: the real thing, without using anything up.
async fn preview(
    app: &Arc<App>,
    peer: IpAddr,
    profile: &ProfileName,
    mac: MacAddr,
    resource: &str,
    links: &Links,
    headers: &HeaderMap,
) -> Result<Response, BootError> {
    match authenticate(app, peer, headers).await {
        Ok(actor) if actor.role == Role::Admin => {}
        Err(error) if error.status() == StatusCode::TOO_MANY_REQUESTS => return Err(error.on_boot_route()),
        Ok(_) | Err(_) => return Err(BootError::forbidden()),
    }
    let known = app.read().assignment(mac).await?;
    let Some(known) = known.filter(|k| k.shelf.profile.spec.name == *profile) else {
        return Err(BootError::not_found("moxxie: not assigned"));
    };
    // The token's place is kept, so that what hangs on it can be read.
    let tokens = Tokens { config: MASK, report: MASK };
    match render(app, &known, None, links, resource, Some(tokens)) {
        Ok(Some((text, kind))) => Ok(sent(text, kind)),
        Ok(None) => Err(BootError::not_found("moxxie: no such file")),
        Err(error) => Err(BootError::new(StatusCode::UNPROCESSABLE_ENTITY, error)),
    }
}

fn sent(text: String, kind: &'static str) -> Response {
    let mut response = Body::from(text).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
