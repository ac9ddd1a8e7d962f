//! Long work that says how far it is: `Accept: application/x-ndjson` gets one JSON object a line
//! while it runs and its outcome as the last, everybody else the plain answer at the end.
//!
//! The work runs inside of the answer. A client that goes away takes it along, and there is no
//! table of jobs: replicas hold no state.

use crate::http::error::{ApiError, ApiResult, Problem};
use axum::Json;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::{FutureExt, stream};
use serde::Serialize;
use serde_json::{Value, json};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Interval, MissedTickBehavior};

/// The media type of one JSON object a line.
pub const NDJSON: &str = "application/x-ndjson";
/// Lines come at most this often.
const TICK: Duration = Duration::from_millis(250);
/// After so many ticks without news the last line is repeated: proxies cut what is silent.
const QUIET_TICKS: u32 = 40;

/// How far some work is. Clones tell the same listener; the default tells nobody.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Mutex<Told>>);

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
struct Told {
    step: &'static str,
    file: Option<String>,
    bytes: u64,
    total: Option<u64>,
}

impl Progress {
    /// Begins a step (`download`, `verify`, `store`, `extract`) at byte 0; `total` bytes, if known.
    pub fn step(&self, step: &'static str, file: Option<&str>, total: Option<u64>) {
        *self.told() = Told { step, file: file.map(str::to_owned), bytes: 0, total };
    }

    /// So many bytes more.
    pub fn add(&self, bytes: u64) {
        self.told().bytes += bytes;
    }

    /// Sets what became known, or began anew, within a step.
    pub fn at(&self, bytes: u64, total: Option<u64>) {
        let mut told = self.told();
        (told.bytes, told.total) = (bytes, total);
    }

    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does the work and answers with its outcome, in the form that the request asked for.
pub async fn answer<T, F>(
    headers: &HeaderMap,
    status: StatusCode,
    work: impl FnOnce(Progress) -> F,
) -> ApiResult<Response>
where
    T: Serialize,
    F: Future<Output = ApiResult<T>> + Send + 'static,
{
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or("");
    let progress = Progress::default();
    let work = work(progress.clone());
    if !accept.contains(NDJSON) {
        return Ok((status, Json(work.await?)).into_response());
    }
    let work = async { work.await.map(|done| json!({ "done": done })) };
    Ok(streamed(progress, TICK, Box::pin(work)))
}

fn streamed(progress: Progress, tick: Duration, work: Work) -> Response {
    let mut tick = tokio::time::interval(tick);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let lines = Lines { work: Some(work), progress, said: Told::default(), quiet: 0, tick };
    let lines = stream::unfold(lines, async |mut lines| {
        let line = lines.next().await?;
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(format!("{line}\n"))), lines))
    });
    let mut response = Body::from_stream(Box::pin(lines)).into_response();
    let out = response.headers_mut();
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static(NDJSON));
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// What goes on inside of an answer.
type Work = Pin<Box<dyn Future<Output = ApiResult<Value>> + Send>>;

struct Lines {
    /// `None` once its outcome was said.
    work: Option<Work>,
    progress: Progress,
    said: Told,
    /// Ticks since the last line.
    quiet: u32,
    tick: Interval,
}

impl Lines {
    async fn next(&mut self) -> Option<Value> {
        let work = self.work.as_mut()?;
        loop {
            tokio::select! {
                biased;
                // Nothing but an error line is left to say of a bug: the head is out already.
                outcome = AssertUnwindSafe(&mut *work).catch_unwind() => {
                    self.work = None;
                    let outcome = outcome.unwrap_or_else(|_| {
                        tracing::error!("long work panicked; this is a bug");
                        Err(ApiError::internal("a bug in moxxie; the log says where"))
                    });
                    return Some(outcome.unwrap_or_else(|error| json!({ "problem": Problem::from(error) })));
                }
                _ = self.tick.tick() => {
                    let now = self.progress.told().clone();
                    self.quiet += 1;
                    let news = now != self.said || self.quiet >= QUIET_TICKS;
                    if news && !now.step.is_empty() {
                        self.quiet = 0;
                        let line = json!({ "progress": &now });
                        self.said = now;
                        return Some(line);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt;
    use http_body_util::BodyExt;
    use tokio::sync::oneshot;

    fn asking() -> HeaderMap {
        HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(NDJSON))])
    }

    async fn lines(response: Response) -> Vec<Value> {
        let body = response.into_body().collect().await.unwrap().to_bytes();
        body.split(|b| *b == b'\n')
            .filter(|l| !l.is_empty())
            .map(|l| serde_json::from_slice(l).unwrap())
            .collect()
    }

    #[tokio::test]
    async fn lines_while_it_runs_and_the_outcome_last() {
        let (go, gone) = oneshot::channel::<()>();
        let progress = Progress::default();
        let told = progress.clone();
        let work = async move {
            gone.await.ok();
            Ok(json!({"done": 1}))
        };
        let response = streamed(progress, Duration::from_millis(1), Box::pin(work));
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], NDJSON);
        let mut body = response.into_body().into_data_stream();
        let mut next = async || {
            let line = body.next().await?.unwrap();
            assert!(line.ends_with(b"\n"));
            Some(serde_json::from_slice::<Value>(&line).unwrap())
        };
        told.step("download", Some("vmlinuz"), Some(100));
        told.add(7);
        let line = |bytes: u64| json!({"progress": {"step": "download", "file": "vmlinuz", "bytes": bytes, "total": 100}});
        assert_eq!(next().await, Some(line(7)));
        told.add(1);
        assert_eq!(next().await, Some(line(8)));
        // Nothing new: the line comes again, so that proxies see that the connection lives.
        assert_eq!(next().await, Some(line(8)));
        told.step("store", None, None);
        let store = json!({"progress": {"step": "store", "file": null, "bytes": 0, "total": null}});
        assert_eq!(next().await, Some(store));
        go.send(()).unwrap();
        assert_eq!(next().await, Some(json!({"done": 1})));
        assert_eq!(next().await, None);
    }

    #[tokio::test]
    async fn refusals_and_bugs_are_the_last_line() {
        let refused = |_| async { Err::<Value, _>(ApiError::field("/url", "no")) };
        let said = lines(answer(&asking(), StatusCode::CREATED, refused).await.unwrap()).await;
        assert_eq!((said.len(), &said[0]["problem"]["status"]), (1, &json!(422)));
        let bug = |_| async { panic!("on purpose") as ApiResult<Value> };
        let said = lines(answer(&asking(), StatusCode::CREATED, bug).await.unwrap()).await;
        assert_eq!(said[0]["problem"]["status"], 500);
        let plain = answer(&HeaderMap::new(), StatusCode::CREATED, refused).await;
        assert_eq!(plain.unwrap_err(), ApiError::field("/url", "no"));
        let plain = answer(&HeaderMap::new(), StatusCode::CREATED, |_| async { Ok(json!(1)) }).await.unwrap();
        assert_eq!(plain.status(), StatusCode::CREATED);
    }

    #[tokio::test]
    async fn a_client_that_goes_away_ends_the_work() {
        let (held, dropped) = oneshot::channel::<()>();
        let work = |progress: Progress| async move {
            progress.step("download", None, None);
            let _held = held;
            std::future::pending::<ApiResult<Value>>().await
        };
        let mut body =
            answer(&asking(), StatusCode::CREATED, work).await.unwrap().into_body().into_data_stream();
        body.next().await.unwrap().unwrap();
        drop(body);
        assert!(dropped.await.is_err());
    }
}
