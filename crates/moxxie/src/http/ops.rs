//! `/livez`, `/readyz`, `/metrics`.

use crate::app::App;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The process lives.
#[utoipa::path(get, path = "/livez", tag = "operations", responses((status = 200, description = "alive")))]
pub async fn livez() -> &'static str {
    "ok\n"
}

/// Database and assets answer; else 503 with the reason.
#[utoipa::path(get, path = "/readyz", tag = "operations", responses(
    (status = 200, description = "ready"), (status = 503, description = "not ready; the body says why"),
))]
pub async fn readyz(State(app): State<Arc<App>>) -> Response {
    let mut reasons = Vec::new();
    if app.draining.load(Ordering::SeqCst) {
        reasons.push("stopping".to_owned());
    }
    if !app.migrated.load(Ordering::SeqCst) {
        reasons.push("database: not reached since the start".to_owned());
    } else if let Err(error) = app.read().ping().await {
        reasons.push(format!("database: {error}"));
    } else if !app.snapshots.look().await.fresh {
        // It has just come back: for a moment armed machines are still told to wait.
        reasons.push("database: answers again, but the machines are not read yet".to_owned());
    }
    // A store that can only be read serves machines: it stays in the load balancer.
    if let Err(error) = crate::scrub::check(&app).await {
        reasons.push(format!("assets: {error}"));
    }
    let (status, body) = match reasons.is_empty() {
        true => (StatusCode::OK, "ready\n".to_owned()),
        false => (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", reasons.join("\n"))),
    };
    let mut response = (status, body).into_response();
    if status != StatusCode::OK {
        response.headers_mut().insert(header::RETRY_AFTER, 5.into());
    }
    response
}

/// Prometheus text.
#[utoipa::path(get, path = "/metrics", tag = "operations", responses((status = 200, description = "metrics", content_type = "text/plain")))]
pub async fn metrics(State(app): State<Arc<App>>) -> Response {
    let headers = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    let (admitted, waiting) = app.waves.counts();
    metrics::gauge!("moxxie_boots_admitted").set(admitted as f64);
    metrics::gauge!("moxxie_boots_waiting").set(waiting as f64);
    (headers, app.metrics.render()).into_response()
}
