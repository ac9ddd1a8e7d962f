//! `GET /boot/configs/{profile}/{mac}`: one machine's config, once.

use super::contention::Second;
use crate::app::App;
use crate::compose::{self, For, Tokens};
use crate::http::error::BootError;
use crate::http::extract::{Door, Peer, Query, Serves, authenticate, bearer};
use crate::http::limit;
use crate::http::links::Links;
use crate::waves;
use crate::witness::Refusal as Denied;
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
use moxxie_core::boot::session::{Refusal, Session, may_fetch, rival};
use moxxie_core::mac::MacAddr;
use moxxie_core::name::ProfileName;
use moxxie_core::secret::MASK;
use moxxie_core::site::Site;
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
    door: Door,
    method: Method,
    headers: HeaderMap,
    query: Query,
) -> Result<Response, BootError> {
    let token = query.one("t").map_err(|e| BootError::bad_request(format!("moxxie: {e}")))?;
    deliver(Fetch { app, profile, mac, resource: String::new(), peer, door, method, headers }, token).await
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
    door: Door,
    method: Method,
    headers: HeaderMap,
    query: Query,
) -> Result<Response, BootError> {
    let token = query.one("t").map_err(|e| BootError::bad_request(format!("moxxie: {e}")))?;
    deliver(Fetch { app, profile, mac, resource, peer, door, method, headers }, token).await
}

/// The same with the token in the path, for formats that forbid queries.
#[utoipa::path(get, path = "/boot/configs/{profile}/{mac}/{token}/{resource}", tag = "boot", params(
    ("profile" = String, Path), ("mac" = String, Path), ("token" = String, Path), ("resource" = String, Path),
), responses((status = 200, description = "the rendered file"), (status = 403, description = "not allowed")))]
pub async fn resource_with_token(
    State(app): State<Arc<App>>,
    Path((profile, mac, token, resource)): Path<(String, String, String, String)>,
    peer: Peer,
    door: Door,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, BootError> {
    deliver(Fetch { app, profile, mac, resource, peer, door, method, headers }, Some(&token)).await
}

struct Fetch {
    app: Arc<App>,
    profile: String,
    mac: String,
    resource: String,
    peer: Peer,
    door: Door,
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
    let Fetch { app, profile, mac, resource, peer: Peer(peer), door, method, headers } = fetch;
    // Asking for less than the whole must not use the token up.
    if method == Method::HEAD {
        return Err(BootError::new(StatusCode::METHOD_NOT_ALLOWED, "moxxie: use GET"));
    }
    if headers.contains_key(header::RANGE) {
        return Err(BootError::new(StatusCode::RANGE_NOT_SATISFIABLE, "moxxie: no ranges here"));
    }
    let (Ok(profile), Ok(mac)) = (profile.parse::<ProfileName>(), mac.parse::<MacAddr>()) else {
        denied(&app, (peer, None), None, "not a profile's or a machine's name");
        return Err(BootError::forbidden());
    };
    let config = app.config();
    let links = Links::of(config.public_url.as_deref(), &headers, door)
        .map_err(|e| BootError::bad_request(format!("moxxie: {e}")))?;
    let previews = token.is_none() && bearer(&headers).is_some();
    if door.serves == Serves::People && !previews {
        return Err(BootError::not_found("moxxie: no such route"));
    }
    if previews {
        // Where people have a listener of their own, their tokens are worth nothing on this one.
        if door.serves == Serves::Machines {
            denied(&app, (peer, None), None, "an API token at the machines' listener");
            return Err(BootError::forbidden());
        }
        return preview(&app, &profile, mac, &resource, &links, (&headers, peer)).await;
    }
    let refuse = |why: Refusal| {
        tracing::warn!(machine = %mac, %peer, reason = %why, "config refused");
        denied(&app, (peer, None), Some(mac), &why.to_string());
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
        token.made_with(app.keys(), id, generation, Purpose::Config).is_some()
    });
    if !signed {
        limit::may_redeem(&app, peer, Some(mac), &token.session.0)?;
    }
    let now = app.clock.now();
    let mut machine = None;
    let mut second = None;
    let site = &config.site;
    let step = |session: &Session, known: &Known| {
        let assignment = &known.assignment;
        let key = token.made_with(app.keys(), &assignment.id, session.generation, Purpose::Config);
        let named = known.shelf.profile.spec.name == profile && assignment.macs().any(|m| m == mac);
        let Some(key) = key.filter(|_| named) else {
            return Err(Stop::Refused(Refusal::Foreign));
        };
        may_fetch(session, known, peer, site, now).map_err(|why| {
            let rival = rival(session, known, peer, site, now);
            second = rival.map(|rival| Second::new(rival, session, known, peer));
            Stop::Refused(why)
        })?;
        // With the key of the token that came: after a change of keys a repeat has the same bytes.
        let report = mint(key, session.id, &assignment.id, session.generation, Purpose::Report);
        let own = mint(key, session.id, &assignment.id, session.generation, Purpose::Config);
        let (text, kind) = render(
            site,
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
                "bytes": text.len(), "mark": mark(&app, &digest), "generation": session.generation,
            })),
        };
        machine = Some((waves::name(known), known.shelf.clone()));
        Ok((Delivery { resource: resource.clone(), digest, audit, event }, (text, kind)))
    };
    match app.read().redeem(token.session, site, now, step).await {
        Ok(Some((Redeemed::First | Redeemed::Repeat, (text, kind)))) => {
            if let Some((mac, shelf)) = machine {
                app.waves.delivered(mac, &shelf);
            }
            Ok(sent(text, kind))
        }
        Ok(Some((Redeemed::Refused, _))) => Err(refuse(Refusal::Spent)),
        Ok(None) => Err(refuse(Refusal::Foreign)),
        Err(StepError::Step(Stop::Refused(why))) => {
            if let Some(second) = second {
                second.report(&app, peer).await;
            }
            Err(refuse(why))
        }
        Err(StepError::Step(Stop::NoSuchFile)) => Err(BootError::not_found("moxxie: no such file")),
        Err(StepError::Step(Stop::TooDestructive(reason))) => {
            let message =
                format!("its config was held back: {reason}, but its profile is marked as not destructive");
            app.events.push(app.event(EventKind::ReinstallSuppressed, Some(mac), Some(peer), &message), None);
            denied(&app, (peer, None), Some(mac), &message);
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

/// Tells one config from another in the audit log. Keyed, because the log's readers may not see
/// the secrets in a config, and a plain digest would confirm a guess.
fn mark(app: &App, digest: &Digest) -> String {
    let keyed = app.keys().current().derive(&format!("audit mark of a config {digest}"));
    keyed[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn render(
    site: &Site,
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
    let context = compose::context(machine, site, links, tokens);
    compose::config(spec, &context, resource)
}

/// What an admin sees: the real thing, without using anything up.
async fn preview(
    app: &Arc<App>,
    profile: &ProfileName,
    mac: MacAddr,
    resource: &str,
    links: &Links,
    (headers, peer): (&HeaderMap, IpAddr),
) -> Result<Response, BootError> {
    let actor = match authenticate(app, peer, headers).await {
        Ok(actor) if actor.role == Role::Admin => actor,
        Ok(actor) => {
            let why = format!("{} has the role {}", actor.name, actor.role.as_str());
            denied(app, (peer, Some(actor.name)), Some(mac), &why);
            return Err(BootError::forbidden());
        }
        Err(error) if error.status() == StatusCode::TOO_MANY_REQUESTS => return Err(error.on_boot_route()),
        Err(_) => {
            denied(app, (peer, None), Some(mac), "no good API token");
            return Err(BootError::forbidden());
        }
    };
    let known = app.read().assignment(mac).await?;
    let Some(known) = known.filter(|k| k.shelf.profile.spec.name == *profile) else {
        return Err(BootError::not_found("moxxie: not assigned"));
    };
    // The token's place is kept, so that what hangs on it can be read.
    let tokens = Tokens { config: MASK, report: MASK };
    match render(&app.config().site, &known, None, links, resource, Some(tokens)) {
        Ok(Some((text, kind))) => {
            let target = format!("assignment {}", known.assignment.spec.mac_address);
            app.witness.shown("config.preview", &actor.name, peer, target).await?;
            Ok(sent(text, kind))
        }
        Ok(None) => Err(BootError::not_found("moxxie: no such file")),
        Err(error) => Err(BootError::new(StatusCode::UNPROCESSABLE_ENTITY, error)),
    }
}

/// Tells the audit log. Whoever asks can name any machine: only an assigned one is noted.
fn denied(app: &App, (peer, who): (IpAddr, Option<String>), mac: Option<MacAddr>, why: &str) {
    let snapshot = app.snapshots.current();
    let machine = mac.filter(|mac| snapshot.as_ref().is_some_and(|s| s.known(*mac).is_some()));
    let (target, why) = ("config".to_owned(), why.to_owned());
    app.refused(Denied { kind: "config", peer, who, machine, target, why });
}

fn sent(text: String, kind: &'static str) -> Response {
    let mut response = Body::from(text).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
