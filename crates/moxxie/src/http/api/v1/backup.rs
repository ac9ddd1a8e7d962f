//! `GET /api/v1/backup` and `POST /api/v1/restore`: everything but the bytes of assets, which are
//! named by their digests. A restored site has every machine disarmed.
//!
//! What is sealed in the database is sealed in a backup, with the site's key, which is not in it,
//! and the whole is signed with it. The audit log is not in it either: it can be of any length.

use super::assignments::wire as machine;
use super::page::one;
use super::profiles::wire;
use crate::app::App;
use crate::http::error::{ApiError, ApiResult, Problem};
use crate::http::extract::{Admin, Peer, Query, parse_json, read_body, typed};
use crate::shelf;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use moxxie_core::access::Role;
use moxxie_core::asset::{Asset, Digest};
use moxxie_core::assignment::{Assignment, AssignmentSpec, BootPolicy};
use moxxie_core::audit::Link;
use moxxie_core::boot::decide::Shelf;
use moxxie_core::boot::state::{BootRecord, BootState};
use moxxie_core::keyring::KeyId;
use moxxie_core::profile::Profile;
use moxxie_core::seal::{Place, SealError};
use moxxie_core::time::Timestamp;
use moxxie_core::token::SiteKey;
use moxxie_store::assets::Condition;
use moxxie_store::{ApiToken, Backup};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

const FORMAT: &str = "moxxie-backup/2";
/// Of versions that sealed nothing.
const PLAIN_FORMAT: &str = "moxxie-backup/1";
/// What sealed values are bound to.
const PROFILE: &str = "profile of a backup";
const ASSIGNMENT: &str = "assignment of a backup";
/// What is sealed of a profile's fields: other servers' URLs may carry passwords.
const OF_PROFILE: [&str; 6] =
    ["kernel_path", "initrd_path", "extra_initrds", "boot_params", "config_template", "params"];
/// The same of an assignment's.
const OF_ASSIGNMENT: [&str; 1] = ["boot_params_override"];
/// What the key for signatures is derived for.
const SIGNED: &str = "backup";
/// Largest backup that is read.
const MAX_BODY: usize = 256 * 1024 * 1024;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: String,
    /// The id of the key that it is sealed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    created_at: Timestamp,
    profiles: Vec<ProfileEntry>,
    assignments: Vec<AssignmentEntry>,
    tokens: Vec<TokenEntry>,
    /// `SEQ:HASH` of the newest record of the audit log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    audit_head: Option<String>,
    /// The whole log in backups of older versions. Only the last record is looked at.
    #[serde(default, skip_serializing)]
    audit: Vec<Value>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProfileEntry {
    id: String,
    name: String,
    spec: Value,
    destructive: bool,
    destructive_lowered: bool,
    revision: i64,
    created_at: Timestamp,
    updated_at: Timestamp,
    assets: Vec<Asset>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AssignmentEntry {
    id: String,
    boot_profile_id: String,
    spec: Value,
    source: String,
    state: BootState,
    generation: i64,
    revision: i64,
    last_boot_at: Option<Timestamp>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenEntry {
    id: String,
    name: String,
    role: Role,
    hash: String,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    last_used_at: Option<Timestamp>,
}

/// Everything, with secrets sealed, without the site's key and without the bytes of assets.
#[utoipa::path(get, path = "/api/v1/backup", tag = "operations", security(("token" = ["admin"])), responses(
    (status = 200, description = "a document for …/restore", body = Value),
))]
pub async fn backup(
    State(app): State<Arc<App>>,
    Admin(actor): Admin,
    Peer(peer): Peer,
) -> ApiResult<Response> {
    let Backup { shelves, assignments, tokens, audit_head, .. } = app.read().backup().await?;
    app.witness.shown("secrets.read", &actor.name, peer, "backup".into()).await?;
    let assignments: ApiResult<_> = assignments.iter().map(|a| assignment_entry(&app, a)).collect();
    let document = Document {
        format: FORMAT.into(),
        key: Some(KeyId::of(app.keys().current()).to_string()),
        created_at: app.clock.now(),
        profiles: shelves.iter().map(|shelf| profile_entry(&app, shelf)).collect::<ApiResult<_>>()?,
        assignments: assignments?,
        tokens: tokens
            .into_iter()
            .map(|t| TokenEntry {
                id: t.id,
                name: t.name,
                role: t.role,
                hash: t.hash,
                created_at: t.created_at,
                expires_at: t.expires_at,
                last_used_at: t.last_used_at,
            })
            .collect(),
        audit_head: audit_head.map(|head| head.to_string()),
        audit: vec![],
    };
    let document = signed(&document, app.keys().current())?;
    let headers = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    Ok((headers, Json(document)).into_response())
}

/// The document with `mac`: HMAC-SHA-256 of all the rest, in hexadecimal.
fn signed(document: &Document, key: &SiteKey) -> ApiResult<Value> {
    let broken = |_| ApiError::internal("the backup cannot be written as JSON");
    let mut value = serde_json::to_value(document).map_err(broken)?;
    let mac = Digest(key.sign(SIGNED, canonical(&value).as_bytes()));
    value["mac"] = mac.to_string().into();
    Ok(value)
}

/// What is signed: JSON without white space, the keys of every object in the order of their bytes.
fn canonical(value: &Value) -> String {
    // serde_json keeps objects sorted.
    value.to_string()
}

/// Takes `mac` off a document and checks it; whether there was one.
fn take_mac(app: &App, document: &mut Value) -> ApiResult<bool> {
    let Some(mac) = document.as_object_mut().and_then(|object| object.remove("mac")) else {
        return Ok(false);
    };
    let have: Vec<KeyId> = app.keys().all().map(KeyId::of).collect();
    let named = document["key"].as_str().unwrap_or_default();
    let key = app.keys().all().find(|key| KeyId::of(key).to_string() == named);
    let key = key.ok_or_else(|| ApiError::field("/key", wrong_key(named, &have)))?;
    let text = canonical(document);
    let mac: Option<Digest> = mac.as_str().and_then(|mac| mac.parse().ok());
    match mac.is_some_and(|mac| key.has_signed(SIGNED, text.as_bytes(), &mac.0)) {
        true => Ok(true),
        false => Err(ApiError::field("/mac", CHANGED)),
    }
}

const CHANGED: &str = "the backup is not what this site's key signed, somebody changed it: restore an untouched \
                       copy; if you changed it and vouch for all of it, take `mac` out and restore with \
                       ?unsigned=true (`moxxie restore --unsigned`)";
const NO_MAC: &str = "is missing, so nobody vouches for the backup: it is of an older version, or made or changed \
                      by hand. Restore a signed one, or, if you vouch for all of it, with ?unsigned=true \
                      (`moxxie restore --unsigned`)";

fn profile_entry(app: &App, shelf: &Shelf) -> ApiResult<ProfileEntry> {
    let Profile { id, spec, revision, created_at, updated_at } = &shelf.profile;
    let mut body = wire::writable(&shelf.profile);
    if let Some(object) = body.as_object_mut() {
        object.remove("destructive");
    }
    seal(app, PROFILE, id, &OF_PROFILE, &mut body)?;
    Ok(ProfileEntry {
        id: id.clone(),
        name: spec.name.to_string(),
        spec: body,
        destructive: spec.destructive,
        destructive_lowered: spec.destructive_lowered,
        revision: *revision,
        created_at: *created_at,
        updated_at: *updated_at,
        assets: shelf.assets.clone(),
    })
}

fn assignment_entry(app: &App, assignment: &Assignment) -> ApiResult<AssignmentEntry> {
    let view = machine::view(assignment, None, Role::Admin, &app.config().site, app.clock.now());
    let mut body = serde_json::to_value(view).unwrap_or_default();
    if let Some(object) = body.as_object_mut() {
        machine::READ_ONLY.iter().for_each(|field| {
            object.remove(*field);
        });
    }
    seal(app, ASSIGNMENT, &assignment.id, &OF_ASSIGNMENT, &mut body)?;
    Ok(AssignmentEntry {
        id: assignment.id.clone(),
        boot_profile_id: assignment.spec.boot_profile_id.clone(),
        spec: body,
        source: assignment.spec.source.clone(),
        state: assignment.boot.state,
        generation: assignment.boot.generation,
        revision: assignment.revision,
        last_boot_at: assignment.last_boot_at,
        created_at: assignment.created_at,
        updated_at: assignment.updated_at,
    })
}

/// Puts sealed texts in the place of these fields. They open in the object that they were sealed
/// for and nowhere else, not even in the database.
fn seal(app: &App, kind: &str, id: &str, fields: &[&str], body: &mut Value) -> ApiResult<()> {
    for field in fields {
        if let Some(value) = body.get_mut(*field) {
            let place = Place { table: kind, column: field, row: id };
            *value = app.read().seal(place, &value.to_string())?.into();
        }
    }
    Ok(())
}

/// Undoes [`seal`].
fn open(app: &App, kind: &str, id: &str, fields: &[&str], body: &mut Value) -> ApiResult<()> {
    for field in fields {
        let Some(value) = body.get_mut(*field) else { continue };
        let pointer = format!("/{field}");
        let sealed = value.as_str().ok_or_else(|| ApiError::field(&pointer, "must be sealed"))?;
        let place = Place { table: kind, column: field, row: id };
        let text = app.read().unseal(place, sealed).map_err(|error| match error {
            SealError::WrongKey { wanted, have } => ApiError::field(&pointer, wrong_key(wanted, &have)),
            SealError::Damaged => ApiError::field(&pointer, error),
        })?;
        *value = parse_json(text.as_bytes())?;
    }
    Ok(())
}

fn wrong_key(wanted: impl std::fmt::Display, have: &[KeyId]) -> String {
    format!(
        "the backup is sealed with the key {wanted}, this server has {}: add that key's line to secret-key \
         below the first one, restart, and restore again",
        moxxie_core::seal::list(have)
    )
}

/// Replace everything by a backup, but for the audit log, which goes on. Every machine is disarmed;
/// tokens of open windows die.
#[utoipa::path(post, path = "/api/v1/restore", tag = "operations", security(("token" = ["admin"])), params(
    ("unsigned" = Option<bool>, Query, description = "true: you vouch for a document without `mac`, and for profiles in it that an admin marked as less destructive than their words are"),
),
    request_body = Object, responses(
    (status = 200, description = "what is there now", body = Value),
    (status = 422, description = "not a backup, or not a signed one", body = Problem),
))]
pub async fn restore(
    State(app): State<Arc<App>>,
    Admin(actor): Admin,
    Peer(peer): Peer,
    query: Query,
    body: Body,
) -> ApiResult<Json<Value>> {
    query.only(&["unsigned"]).map_err(ApiError::bad_request)?;
    let unsigned = match one(&query, "unsigned")? {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(ApiError::field("/unsigned", "true or false")),
    };
    let bytes = read_body(body, MAX_BODY).await?;
    let mut document = parse_json(&bytes)?;
    let has_mac = take_mac(&app, &mut document)?;
    let document: Document = typed(document)?;
    let sealed = match document.format.as_str() {
        FORMAT => true,
        PLAIN_FORMAT => false,
        _ => {
            return Err(ApiError::field(
                "/format",
                format!("this version reads {FORMAT} and {PLAIN_FORMAT}"),
            ));
        }
    };
    let have: Vec<KeyId> = app.keys().all().map(KeyId::of).collect();
    if let Some(key) = document.key.filter(|key| !have.iter().any(|id| id.to_string() == *key)) {
        return Err(ApiError::field("/key", wrong_key(key, &have)));
    }
    if !has_mac && !unsigned {
        return Err(ApiError::field("/mac", NO_MAC));
    }
    let audit_head = audit_head(document.audit_head.as_deref(), &document.audit)?;
    let mut shelves = Vec::new();
    let mut raised = Vec::new();
    for (i, mut entry) in document.profiles.into_iter().enumerate() {
        let below = |e: ApiError| e.below(&format!("/profiles/{i}/spec"));
        if sealed {
            open(&app, PROFILE, &entry.id, &OF_PROFILE, &mut entry.spec).map_err(below)?;
        }
        let said = entry.destructive;
        let shelf = shelf(entry, unsigned).map_err(below)?;
        if shelf.profile.spec.destructive && !said {
            raised.push(shelf.profile.spec.name.to_string());
        }
        shelves.push(shelf);
    }
    let mut assignments = Vec::new();
    for (i, mut entry) in document.assignments.into_iter().enumerate() {
        let prefix = format!("/assignments/{i}/spec");
        if sealed {
            let opened = open(&app, ASSIGNMENT, &entry.id, &OF_ASSIGNMENT, &mut entry.spec);
            opened.map_err(|e| e.below(&prefix))?;
        }
        let profile = shelves.iter().map(|s| &s.profile).find(|p| p.id == entry.boot_profile_id);
        let profile = profile
            .ok_or_else(|| ApiError::field(&prefix, "names a profile that the backup does not hold"))?;
        assignments.push(assignment(entry, profile).map_err(|e| e.below(&prefix))?);
    }
    let tokens = document
        .tokens
        .into_iter()
        .map(|t| ApiToken {
            id: t.id,
            name: t.name,
            role: t.role,
            hash: t.hash,
            created_at: t.created_at,
            expires_at: t.expires_at,
            last_used_at: t.last_used_at,
        })
        .collect();
    let missing = missing_assets(&app, &shelves).await;
    let counts = (shelves.len(), assignments.len());
    let backup = Backup { shelves, assignments, tokens, audit_head, unsigned };
    let by = app.by(actor.name, peer);
    shelf::patiently(|| async { app.write().restore(&backup, &by).await }).await?;
    shelf::collect(&app).await;
    Ok(Json(json!({
        "profiles": counts.0, "assignments": counts.1, "armed": 0, "missing_assets": missing,
        "raised_destructive": raised,
    })))
}

/// The newest record of the other site's log: as it is named, or that of a log of an older version.
fn audit_head(named: Option<&str>, log: &[Value]) -> ApiResult<Option<Link>> {
    let text = match (named, log.last()) {
        (Some(text), _) => text.to_owned(),
        (None, Some(last)) => format!("{}:{}", last["seq"], last["hash"].as_str().unwrap_or_default()),
        (None, None) => return Ok(None),
    };
    text.parse().map(Some).map_err(|_| ApiError::field("/audit_head", "SEQ:HASH of an audit record"))
}

/// A profile is never milder than today's lint finds it, unless the admin who restores says so:
/// what another admin once lowered, at another site or for another lint, is to be said again.
fn shelf(entry: ProfileEntry, may_lower: bool) -> ApiResult<Shelf> {
    let mut spec = wire::read(entry.spec, None, wire::Silence::Computes)?;
    let lowered = entry.destructive_lowered && may_lower;
    spec.destructive_lowered = entry.destructive_lowered && (lowered || !spec.destructive);
    spec.destructive = entry.destructive || (spec.destructive && !lowered);
    Ok(Shelf {
        profile: Profile {
            id: entry.id,
            spec,
            revision: entry.revision,
            created_at: entry.created_at,
            updated_at: entry.updated_at,
        },
        assets: entry.assets,
    })
}

fn assignment(entry: AssignmentEntry, profile: &Profile) -> ApiResult<Assignment> {
    let input: machine::AssignmentInput = typed(entry.spec)?;
    let mut spec: AssignmentSpec = machine::spec(input, profile, None, &entry.source)?;
    // Nothing boots its profile after a restore until an operator says so.
    if spec.boot_policy == BootPolicy::Always {
        spec.boot_policy = BootPolicy::Once;
    }
    Ok(Assignment {
        id: entry.id,
        spec,
        boot: BootRecord { state: entry.state, generation: entry.generation, ..BootRecord::default() },
        revision: entry.revision,
        last_boot_at: entry.last_boot_at,
        created_at: entry.created_at,
        updated_at: entry.updated_at,
    })
}

async fn missing_assets(app: &App, shelves: &[Shelf]) -> Vec<Value> {
    let mut missing = Vec::new();
    for shelf in shelves {
        for asset in &shelf.assets {
            if shelf::look(app, asset).await != Some(Condition::Stored) {
                missing.push(
                    json!({"profile": shelf.profile.spec.name, "file": asset.file, "sha256": asset.sha256}),
                );
            }
        }
    }
    missing
}
