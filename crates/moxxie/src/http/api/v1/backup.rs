//! `GET /api/v1/backup` and `POST /api/v1/restore`: everything but the bytes of assets, which are
//! named by their digests. A restored site has every machine disarmed.

use super::assignments::wire as machine;
use super::profiles::wire;
use crate::app::App;
use crate::http::error::{ApiError, ApiResult, Problem};
use crate::http::extract::{Admin, Peer, parse_json, read_body, typed};
use crate::shelf;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use moxxie_core::access::Role;
use moxxie_core::asset::Asset;
use moxxie_core::assignment::{Assignment, AssignmentSpec, BootPolicy};
use moxxie_core::audit::Chained;
use moxxie_core::boot::decide::Shelf;
use moxxie_core::boot::state::{BootRecord, BootState};
use moxxie_core::profile::Profile;
use moxxie_core::time::Timestamp;
use moxxie_store::assets::Condition;
use moxxie_store::{ApiToken, Backup};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

const FORMAT: &str = "moxxie-backup/1";
/// Largest backup that is read.
const MAX_BODY: usize = 256 * 1024 * 1024;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: String,
    created_at: Timestamp,
    profiles: Vec<ProfileEntry>,
    assignments: Vec<AssignmentEntry>,
    tokens: Vec<TokenEntry>,
    audit: Vec<Chained>,
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

/// Everything, with secrets, without the site's key and without the bytes of assets.
#[utoipa::path(get, path = "/api/v1/backup", tag = "operations", security(("token" = ["admin"])), responses(
    (status = 200, description = "a document for …/restore", body = Value),
))]
pub async fn backup(
    State(app): State<Arc<App>>,
    Admin(actor): Admin,
    Peer(peer): Peer,
) -> ApiResult<Response> {
    let Backup { shelves, assignments, tokens, audit } = app.read().backup().await?;
    app.witness.shown("secrets.read", &actor.name, peer, "backup".into());
    let document = Document {
        format: FORMAT.into(),
        created_at: app.clock.now(),
        profiles: shelves.iter().map(profile_entry).collect(),
        assignments: assignments.iter().map(|a| assignment_entry(&app, a)).collect(),
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
        audit,
    };
    let headers = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    Ok((headers, Json(document)).into_response())
}

fn profile_entry(shelf: &Shelf) -> ProfileEntry {
    let Profile { id, spec, revision, created_at, updated_at } = &shelf.profile;
    let mut body = wire::writable(&shelf.profile);
    if let Some(object) = body.as_object_mut() {
        object.remove("destructive");
    }
    ProfileEntry {
        id: id.clone(),
        name: spec.name.to_string(),
        spec: body,
        destructive: spec.destructive,
        destructive_lowered: spec.destructive_lowered,
        revision: *revision,
        created_at: *created_at,
        updated_at: *updated_at,
        assets: shelf.assets.clone(),
    }
}

fn assignment_entry(app: &App, assignment: &Assignment) -> AssignmentEntry {
    let view = machine::view(assignment, None, Role::Admin, &app.config().site, app.clock.now());
    let mut body = serde_json::to_value(view).unwrap_or_default();
    if let Some(object) = body.as_object_mut() {
        machine::READ_ONLY.iter().for_each(|field| {
            object.remove(*field);
        });
    }
    AssignmentEntry {
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
    }
}

/// Replace everything by a backup, but for the audit log, which goes on. Every machine is disarmed;
/// tokens of open windows die.
#[utoipa::path(post, path = "/api/v1/restore", tag = "operations", security(("token" = ["admin"])),
    request_body = Object, responses(
    (status = 200, description = "what is there now", body = Value),
    (status = 422, description = "not a backup", body = Problem),
))]
pub async fn restore(
    State(app): State<Arc<App>>,
    Admin(actor): Admin,
    Peer(peer): Peer,
    body: Body,
) -> ApiResult<Json<Value>> {
    let bytes = read_body(body, MAX_BODY).await?;
    let document: Document = typed(parse_json(&bytes)?)?;
    if document.format != FORMAT {
        return Err(ApiError::field("/format", format!("this version reads {FORMAT}")));
    }
    let mut shelves = Vec::new();
    for (i, entry) in document.profiles.into_iter().enumerate() {
        shelves.push(shelf(entry).map_err(|e| e.below(&format!("/profiles/{i}/spec")))?);
    }
    let mut assignments = Vec::new();
    for (i, entry) in document.assignments.into_iter().enumerate() {
        let prefix = format!("/assignments/{i}/spec");
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
    let backup = Backup { shelves, assignments, tokens, audit: document.audit };
    let by = app.by(actor.name, peer);
    shelf::patiently(|| async { app.write().restore(&backup, &by).await }).await?;
    shelf::collect(&app).await;
    Ok(Json(json!({"profiles": counts.0, "assignments": counts.1, "armed": 0, "missing_assets": missing})))
}

fn shelf(entry: ProfileEntry) -> ApiResult<Shelf> {
    let mut spec = wire::read(entry.spec, None, wire::Silence::Computes)?;
    // The judgment of the site that made the backup, never milder than today's lint.
    spec.destructive_lowered = entry.destructive_lowered;
    spec.destructive = entry.destructive || (spec.destructive && !entry.destructive_lowered);
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
