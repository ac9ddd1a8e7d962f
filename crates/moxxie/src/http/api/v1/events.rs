//! `GET /api/v1/boot/events`: a list, or a stream with `Accept: text/event-stream`.

use super::audit::number;
use super::page::{Asked, Page, one};
use crate::app::App;
use crate::http::error::{ApiError, ApiResult};
use crate::http::extract::{Peer, Query, Viewer, authenticate};
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use moxxie_core::boot::event::{BootEvent, EventKind};
use moxxie_core::mac::MacAddr;
use moxxie_core::time::Timestamp;
use moxxie_store::EventFilter;
use serde::Serialize;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long a stream waits for news before it looks for events of other replicas, and says that
/// it lives.
const TICK: Duration = Duration::from_secs(1);
/// Events that one look reads.
const BATCH: u32 = 500;
/// How far each look goes back: replicas commit in another order than they number.
const OVERLAP: i64 = 64;

/// One event.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct EventView {
    /// Its position in the log.
    pub id: i64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// What: `armed`, `boot`, `config.delivered`, …
    #[schema(value_type = String)]
    pub kind: EventKind,
    /// The machine, when it is known.
    #[schema(value_type = Option<String>)]
    pub mac_address: Option<MacAddr>,
    /// What the cluster calls it.
    pub node_name: Option<String>,
    /// The profile in question.
    pub boot_profile: Option<String>,
    /// The address it asked from.
    pub peer: Option<String>,
    /// For people: cause and next step. Never a secret.
    pub message: String,
    /// How often the same thing happened in a row.
    pub count: i64,
}

impl From<BootEvent> for EventView {
    fn from(event: BootEvent) -> EventView {
        let BootEvent { id, at, kind, mac_address, node_name, boot_profile, peer, message, count } = event;
        EventView { id, at, kind, mac_address, node_name, boot_profile, peer, message, count }
    }
}

/// What machines did, newest first; or as a stream from now on (or from `Last-Event-ID`).
#[utoipa::path(get, path = "/api/v1/boot/events", tag = "operations", security(("token" = ["viewer"])), params(
    ("mac" = Option<String>, Query, description = "of this machine"),
    ("kind" = Option<String>, Query, description = "armed, boot, config.delivered, report.installed, …"),
    ("since" = Option<String>, Query, description = "RFC 3339"),
    ("limit" = Option<u32>, Query, description = "1 to 500, default 100"),
    ("cursor" = Option<String>, Query, description = "`next` of the part before"),
), responses((status = 200, description = "events", body = Page<EventView>)))]
pub async fn list(
    State(app): State<Arc<App>>,
    _: Viewer,
    peer: Peer,
    query: Query,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let asked = Asked::of(&query, &["mac", "kind", "since"])?;
    let filter = EventFilter {
        mac: match one(&query, "mac")? {
            None => None,
            Some(text) => Some(text.parse().map_err(|e| ApiError::field("/mac", e))?),
        },
        kind: match one(&query, "kind")? {
            None => None,
            Some(text) => Some(text.parse().map_err(|()| {
                let all: Vec<&str> =
                    moxxie_core::boot::event::EventKind::ALL.iter().map(|k| k.as_str()).collect();
                ApiError::field("/kind", format!("one of {}", all.join(", ")))
            })?),
        },
        since: match one(&query, "since")? {
            None => None,
            Some(text) => Some(
                Timestamp::parse(text)
                    .ok_or_else(|| ApiError::field("/since", "RFC 3339, such as 2026-01-31T12:00:00Z"))?,
            ),
        },
    };
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or("");
    if accept.contains("text/event-stream") {
        return stream_of(app, filter, peer.0, headers).await;
    }
    let before = number(&asked)?;
    let rows = app.read().events(&filter, before, asked.rows()).await?;
    Ok(Json(asked.page(rows, |e| e.id.to_string()).map(EventView::from)).into_response())
}

struct Follow {
    app: Arc<App>,
    peer: IpAddr,
    /// The request's, with the token that has to stay good.
    headers: HeaderMap,
    filter: EventFilter,
    /// Ids sent lately, oldest first.
    sent: VecDeque<i64>,
    last: i64,
    written: tokio::sync::watch::Receiver<u64>,
}

async fn stream_of(
    app: Arc<App>,
    filter: EventFilter,
    peer: IpAddr,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let resume =
        headers.get("last-event-id").and_then(|v| v.to_str().ok()?.parse::<i64>().ok()).filter(|id| *id >= 0);
    let last = match resume {
        Some(id) => id,
        None => app.read().events(&EventFilter::default(), None, 1).await?.first().map_or(0, |e| e.id),
    };
    // Everything up to here counts as sent, also what the overlap would read again.
    let written = app.events.written();
    let sent: VecDeque<i64> = ((last - OVERLAP).max(0)..=last).collect();
    let follow = Follow { app, peer, headers, filter, sent, last, written };
    let body = stream::unfold(follow, async |mut follow| {
        if follow.app.draining.load(Ordering::SeqCst) {
            return None;
        }
        let text = follow.next().await?;
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(text)), follow))
    });
    let mut response = Body::from_stream(Box::pin(body)).into_response();
    let out = response.headers_mut();
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

impl Follow {
    /// The next piece of the stream: events, or a comment that keeps the connection alive. None
    /// once the token has expired or was revoked: whoever holds it reads no further.
    async fn next(&mut self) -> Option<String> {
        let _ = tokio::time::timeout(TICK, self.written.changed()).await;
        if let Err(error) = authenticate(&self.app, self.peer, &self.headers).await
            && error.status() == StatusCode::UNAUTHORIZED
        {
            return None;
        }
        let events = match self.app.read().events_after((self.last - OVERLAP).max(0), BATCH).await {
            Ok(events) => events,
            Err(error) => {
                tracing::debug!(%error, "an event stream could not look");
                return Some(": the database does not answer\n\n".into());
            }
        };
        let mut text = String::new();
        for event in events {
            if self.sent.contains(&event.id) {
                continue;
            }
            self.sent.push_back(event.id);
            self.last = self.last.max(event.id);
            let (id, wanted) = (event.id, self.wants(&event));
            if wanted && let Ok(json) = serde_json::to_string(&EventView::from(event)) {
                text.push_str(&format!("id: {id}\ndata: {json}\n\n"));
            }
        }
        let floor = self.last - 2 * OVERLAP;
        while self.sent.front().is_some_and(|id| *id < floor) {
            self.sent.pop_front();
        }
        Some(if text.is_empty() { ":\n\n".into() } else { text })
    }

    fn wants(&self, event: &BootEvent) -> bool {
        self.filter.mac.is_none_or(|mac| event.mac_address == Some(mac))
            && self.filter.kind.is_none_or(|kind| event.kind == kind)
            && self.filter.since.is_none_or(|since| event.at >= since)
    }
}
