//! `GET /api/v1/audit`: a list, or all of it as JSON lines; and `…/verify`.

use super::page::{Asked, Page, one};
use crate::app::App;
use crate::http::error::{ApiError, ApiResult};
use crate::http::extract::{Admin, Query, Viewer};
use crate::http::progress::NDJSON;
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use moxxie_core::audit::{Link, Problem};
use moxxie_core::time::Timestamp;
use moxxie_store::AuditFilter;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io;
use std::sync::Arc;

/// Records that are read at once for JSON lines.
const BATCH: u32 = 500;

/// One record.
#[derive(utoipa::ToSchema)]
#[allow(dead_code, reason = "only described: what is sent is the log's own `Chained`")]
struct AuditView {
    /// Its position in the log.
    seq: i64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    at: String,
    /// The token's name, or `machine 52:54:…` for a delivered config.
    actor: String,
    /// What was done, such as `assignment.arm` or `config.deliver`.
    action: String,
    /// What it was done to, such as `assignment 52:54:00:12:34:56`.
    target: String,
    /// The address it came from.
    peer: Option<String>,
    /// The object before, without secrets.
    before: Option<Value>,
    /// The object after, without secrets.
    after: Option<Value>,
    /// The hash of the record before.
    prev: String,
    /// Its own hash: SHA-256 over `prev` and what stands above.
    hash: String,
}

/// What people and tokens did, newest first; with `Accept: application/x-ndjson` all of it, one
/// record a line, oldest first. Holds no secrets.
#[utoipa::path(get, path = "/api/v1/audit", tag = "operations", security(("token" = ["viewer"])), params(
    ("since" = Option<String>, Query, description = "RFC 3339"),
    ("until" = Option<String>, Query, description = "RFC 3339; the moment itself is left out"),
    ("action" = Option<String>, Query, description = "assignment.arm, config.deliver, access.refused, …"),
    ("actor" = Option<String>, Query, description = "a token's name, `machine MAC` or `system`"),
    ("target" = Option<String>, Query, description = "such as `profile NAME`"),
    ("limit" = Option<u32>, Query, description = "1 to 500, default 100; not with JSON lines"),
    ("cursor" = Option<String>, Query, description = "`next` of the part before"),
), responses((status = 200, description = "records", body = Page<AuditView>)))]
pub async fn list(
    State(app): State<Arc<App>>,
    _: Viewer,
    query: Query,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let asked = Asked::of(&query, &["since", "until", "action", "actor", "target"])?;
    let text = |name| one(&query, name).map(|text| text.map(str::to_owned));
    let filter = AuditFilter {
        since: moment(&query, "since")?,
        until: moment(&query, "until")?,
        action: text("action")?,
        actor: text("actor")?,
        target: text("target")?,
    };
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or("");
    if accept.contains(NDJSON) {
        return lines(app, filter).await;
    }
    let before = number(&asked)?;
    let rows = app.read().audit_log(&filter, before, asked.rows()).await?;
    Ok(Json(asked.page(rows, |r| r.seq.to_string())).into_response())
}

/// Everything from the first record on. An answer that breaks off is cut off: it does not look whole.
async fn lines(app: Arc<App>, filter: AuditFilter) -> ApiResult<Response> {
    // The first part now: a database that does not answer is a 503 and not a broken answer.
    let first = app.read().audit_after(&filter, 0, BATCH).await?;
    let body = stream::try_unfold((app, filter, Some(first)), async |(app, filter, part)| {
        let Some(records) = part else { return Ok::<_, io::Error>(None) };
        let next = match records.last() {
            Some(last) if records.len() == BATCH as usize => {
                Some(app.read().audit_after(&filter, last.seq, BATCH).await.map_err(io::Error::other)?)
            }
            _ => None,
        };
        let mut text = String::new();
        for record in &records {
            text += &serde_json::to_string(record)?;
            text.push('\n');
        }
        Ok(Some((Bytes::from(text), (app, filter, next))))
    });
    let mut response = Body::from_stream(Box::pin(body)).into_response();
    let out = response.headers_mut();
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static(NDJSON));
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn moment(query: &Query, name: &str) -> ApiResult<Option<Timestamp>> {
    let Some(text) = one(query, name)? else { return Ok(None) };
    let wrong = || ApiError::field(format!("/{name}"), "RFC 3339, such as 2026-01-31T12:00:00Z");
    Timestamp::parse(text).ok_or_else(wrong).map(Some)
}

/// Whether the audit log is what was written.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Verdict {
    /// Whether every record is there, unchanged and in order.
    pub ok: bool,
    /// How many records were read and are right.
    pub records: u64,
    /// The first record that is kept.
    pub first: i64,
    /// The newest record that is right.
    pub last: i64,
    /// Its hash. `SEQ:HASH` of a whole log, kept elsewhere, shows later that it is still the same.
    #[schema(value_type = String)]
    pub head: moxxie_core::asset::Digest,
    /// The first thing that is wrong: `seq`, `what` and `detail`.
    #[schema(value_type = Option<Object>)]
    pub problem: Option<Problem>,
}

/// Read the whole audit log and check its chain of hashes.
#[utoipa::path(get, path = "/api/v1/audit/verify", tag = "operations", security(("token" = ["admin"])), params(
    ("head" = Option<String>, Query, description = "SEQ:HASH that was kept elsewhere: must be in the chain"),
), responses((status = 200, description = "the outcome; `ok` says which", body = Verdict)))]
pub async fn verify(State(app): State<Arc<App>>, _: Admin, query: Query) -> ApiResult<Json<Verdict>> {
    query.only(&["head"]).map_err(ApiError::bad_request)?;
    let head: Option<Link> = match one(&query, "head")? {
        None => None,
        Some(text) => Some(text.parse().map_err(|why| ApiError::field("/head", why))?),
    };
    let found = app.read().verify_audit(head).await?;
    if let Some(problem) = &found.problem {
        tracing::error!(seq = problem.seq, what = ?problem.what, "the audit log is not what was written");
    }
    Ok(Json(Verdict {
        ok: found.problem.is_none(),
        records: found.records,
        first: found.first,
        last: found.head.seq,
        head: found.head.hash,
        problem: found.problem,
    }))
}

/// A cursor that is a position in a log.
pub fn number(asked: &Asked) -> ApiResult<Option<i64>> {
    match &asked.cursor {
        None => Ok(None),
        Some(text) => match text.parse() {
            Ok(n) => Ok(Some(n)),
            Err(_) => Err(ApiError::field("/cursor", "not a cursor of this list: send `next` as it came")),
        },
    }
}
