//! What every request goes through: limits on its head, the allowlist, limits on how often, one
//! log line, and a net for panics.

use crate::app::App;
use crate::http::allowlist;
use crate::http::error::{ApiError, Because, BootError};
use crate::http::extract::{Caller, Door, Peer, Query, bearer};
use crate::http::headers;
use crate::http::limit;
use crate::witness::Refusal;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use moxxie_core::secret::MASK;
use std::sync::Arc;
use std::time::Instant;

/// Longest path and query in bytes.
const MAX_URI: usize = 8 * 1024;
/// Longest query in parameters.
const MAX_PARAMETERS: usize = 32;
/// Bytes of all headers at most.
const MAX_HEADERS: usize = 16 * 1024;

/// Which face an error shows.
pub(super) fn is_boot(path: &str) -> bool {
    path.starts_with("/boot/") || path == "/boot"
}

fn refusal(path: &str, status: StatusCode, why: &str) -> Response {
    if is_boot(path) {
        return BootError::new(status, format!("moxxie: {why}")).into_response();
    }
    match status {
        StatusCode::URI_TOO_LONG => ApiError::uri_too_long(why),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => ApiError::headers_too_large(why),
        _ => ApiError::bad_request(why),
    }
    .into_response()
}

/// Paths of files, which may be looked at with HEAD.
fn is_file(path: &str) -> bool {
    path.starts_with("/boot/assets/") || path.starts_with("/boot/firmware/")
}

/// Shim asks for `<dir>//grubx64.efi` (measured): two slashes in a file's path are one.
pub fn collapse_slashes(
    mut request: axum::http::Request<axum::body::Body>,
) -> axum::http::Request<axum::body::Body> {
    let uri = request.uri();
    if is_file(uri.path()) && uri.path().contains("//") {
        let mut path = uri.path().to_owned();
        while path.contains("//") {
            path = path.replace("//", "/");
        }
        let query = uri.query().map(|q| format!("?{q}")).unwrap_or_default();
        if let Ok(clean) = format!("{path}{query}").parse::<Uri>() {
            *request.uri_mut() = clean;
        }
    }
    request
}

/// Limits, allowlist, log line, metrics.
pub async fn every_request(
    State(app): State<Arc<App>>,
    matched: Option<MatchedPath>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    // The query may carry a token and is never logged.
    let path = request.uri().path().to_owned();
    let access = app.config().access.clone();
    let found = Peer::find(&request, &access.trusted_proxies);
    let peer = found.unwrap_or_else(|_| Peer::socket(request.extensions()));
    request.extensions_mut().insert(peer);
    let door = Door::of(request.extensions(), &app);
    let route = matched.as_ref().map_or("none", |m| m.as_str()).to_owned();
    let caller = Caller::default();
    request.extensions_mut().insert(caller.clone());
    let head = check_head(&request).and(found.map_err(|why| (StatusCode::BAD_REQUEST, why.line())));
    let mut outside = false;
    let early = match head {
        Err((status, why)) => Some(close(refusal(&path, status, why))),
        // Neither says where it would be served.
        Ok(_) if !door.serves(&path) && is_boot(&path) => {
            Some(BootError::not_found("moxxie: no such route").into_response())
        }
        Ok(_) if !door.serves(&path) => Some(ApiError::not_found("no such URL here").into_response()),
        Ok(_) => {
            let previews = path.starts_with("/boot/configs/")
                && request.uri().query().is_none()
                && bearer(request.headers()).is_some();
            let answer = allowlist::refuse(&app, &access, &path, door, previews, peer);
            outside = answer.is_some();
            answer
        }
    };
    let mut response = match early {
        Some(refusal) => refusal,
        // A look at the head of a menu must not start a boot, nor one at a report make it.
        None if method == Method::HEAD && is_boot(&path) && !is_file(&path) => {
            let mut response =
                BootError::new(StatusCode::METHOD_NOT_ALLOWED, "moxxie: use GET").into_response();
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET"));
            response
        }
        None => limit::limited(&app, peer.0, request, next).await,
    };
    if matches!(response.status(), StatusCode::METHOD_NOT_ALLOWED)
        && response.headers().get(header::CONTENT_TYPE).is_none()
    {
        let allow = response.headers().get(header::ALLOW).cloned();
        response = match is_boot(&path) {
            true => {
                BootError::new(StatusCode::METHOD_NOT_ALLOWED, "moxxie: method not allowed").into_response()
            }
            false => ApiError::method_not_allowed(format!("{path} does not have {method}")).into_response(),
        };
        if let Some(allow) = allow {
            response.headers_mut().insert(header::ALLOW, allow);
        }
    }
    if response.extensions().get::<Panicked>().is_some() && !is_boot(&path) {
        response = ApiError::internal("a bug in moxxie; the log says where").into_response();
    }
    let told = match outside {
        true => Some(Refusal {
            kind: "network",
            peer: peer.0,
            who: None,
            machine: None,
            target: asked(&method, &path),
            why: "network not allowed".to_owned(),
        }),
        false => refused(&response, (&method, &path, peer), &caller),
    };
    if let Some(refusal) = told {
        app.refused(refusal);
    }
    headers::add(&mut response, &path, door);
    let status = response.status();
    let elapsed = started.elapsed();
    metrics::counter!("moxxie_http_requests_total", "route" => route.clone(), "method" => method_label(&method), "status" => status.as_u16().to_string()).increment(1);
    metrics::histogram!("moxxie_http_request_seconds", "route" => route).record(elapsed.as_secs_f64());
    let path = secret_path(&path);
    let elapsed_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
    let status = status.as_u16();
    // Whoever is turned away may come back as often as it likes: the log has a sample of them.
    if outside || status == 429 {
        tracing::debug!(method = %method, path = %path, status, peer = %peer.0, elapsed_us, "request");
    } else {
        tracing::info!(method = %method, path = %path, status, peer = %peer.0, elapsed_us, "request");
    }
    response
}

/// What was asked, as it may be written down.
fn asked(method: &Method, path: &str) -> String {
    format!("{} {}", method_label(method), secret_path(path))
}

/// What the audit log is told of an answer: refusals of the API, and those of limits. The boot
/// routes tell theirs themselves, because they know why.
fn refused(
    response: &Response,
    (method, path, peer): (&Method, &str, Peer),
    caller: &Caller,
) -> Option<Refusal> {
    let kind = match response.status() {
        StatusCode::TOO_MANY_REQUESTS => "limit",
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if !is_boot(path) => "api",
        _ => return None,
    };
    let because = response.extensions().get::<Because>();
    Some(Refusal {
        kind,
        peer: peer.0,
        who: caller.0.get().cloned(),
        machine: None,
        target: asked(method, path),
        why: because.map_or_else(|| "too many requests".to_owned(), |because| because.0.clone()),
    })
}

/// Methods by name; anything else is one label, so that clients cannot grow the metrics.
fn method_label(method: &axum::http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        _ => "other",
    }
}

/// A path, or another text of a client, as it goes to the log or back. A config's may carry the token as its fourth part; and a token in
/// any other place is a mistake that must not be written down either.
pub fn secret_path(path: &str) -> String {
    let in_token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let config = path.starts_with("/boot/configs/");
    let parts = path.split('/').enumerate().map(|(i, part)| {
        if config && i >= 5 && part.len() > 32 {
            return MASK.to_owned();
        }
        let mut out = String::new();
        let mut rest = part;
        while !rest.is_empty() {
            let run = rest.find(|c| !in_token(c)).unwrap_or(rest.len());
            let (word, after) = rest.split_at(run);
            // As long as a token, and unlike a name: those have no capitals.
            let token = word.len() >= 43 && word.bytes().any(|b| b.is_ascii_uppercase());
            out.push_str(if token { MASK } else { word });
            let next = after.chars().next().map_or(0, char::len_utf8);
            out.push_str(&after[..next]);
            rest = &after[next..];
        }
        out
    });
    parts.collect::<Vec<_>>().join("/")
}

fn close(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

fn check_head(request: &Request) -> Result<(), (StatusCode, &'static str)> {
    let uri = request.uri();
    let raw = uri.path_and_query().map_or("", |p| p.as_str());
    if raw.len() > MAX_URI {
        return Err((StatusCode::URI_TOO_LONG, "URL too long"));
    }
    // A proxy's absolute form names a host of its own; nothing here is a proxy.
    if uri.scheme().is_some() || uri.authority().is_some() {
        return Err((StatusCode::BAD_REQUEST, "absolute URL"));
    }
    let path = uri.path();
    // Decoded once, here as in the router: what is not text, or hides a control character, names
    // nothing that could be looked up.
    let decoded = crate::http::extract::decode(path);
    if !decoded.is_ok_and(|p| !p.contains(|c: char| c.is_control())) {
        return Err((StatusCode::BAD_REQUEST, "bad percent-encoding"));
    }
    if path.contains('\\') || path.split('/').any(|s| s == "." || s == "..") {
        return Err((StatusCode::BAD_REQUEST, "bad path"));
    }
    let query = uri.query().unwrap_or("");
    if query.split('&').count() > MAX_PARAMETERS {
        return Err((StatusCode::BAD_REQUEST, "too many parameters"));
    }
    match Query::parse(query) {
        Err(_) => return Err((StatusCode::BAD_REQUEST, "bad percent-encoding")),
        // Also of names that no route reads: one of the two may have been injected.
        Ok(query) if query.repeats() => return Err((StatusCode::BAD_REQUEST, "repeated query parameter")),
        Ok(_) => {}
    }
    check_headers(request.headers(), request.version())
}

fn check_headers(headers: &HeaderMap, version: Version) -> Result<(), (StatusCode, &'static str)> {
    let bytes: usize = headers.iter().map(|(n, v)| n.as_str().len() + v.len() + 4).sum();
    if bytes > MAX_HEADERS {
        return Err((StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers too large"));
    }
    // Two ways to say where a body ends are a smuggling attempt (RFC 9112, section 6.3). Of lengths
    // beside chunks hyper leaves the chunks, and closes the connection behind the answer as that
    // section wants it; what arrives here with both did not come through hyper.
    let lengths = headers.get_all(header::CONTENT_LENGTH).iter().count();
    if lengths > 1 || (lengths == 1 && headers.contains_key(header::TRANSFER_ENCODING)) {
        return Err((StatusCode::BAD_REQUEST, "ambiguous body length"));
    }
    let hosts = headers.get_all(header::HOST).iter().count();
    if hosts > 1 || (hosts == 0 && version == Version::HTTP_11) {
        return Err((StatusCode::BAD_REQUEST, "Host missing or repeated"));
    }
    Ok(())
}

/// Marks the answer to a request whose handler panicked.
#[derive(Debug, Clone, Copy)]
struct Panicked;

/// A handler that panics costs its own request only. Machines wait and ask again; programs get
/// their own face of it in [`every_request`], which knows the path.
pub fn panicked(_: Box<dyn std::any::Any + Send + 'static>) -> Response {
    tracing::error!("a handler panicked; this is a bug");
    let mut response = BootError::later("moxxie: internal error, wait").into_response();
    response.extensions_mut().insert(Panicked);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_do_not_reach_the_log() {
        let token = "x1YWeUyG92Nq-W3GgVX8olw2aFwKdhqnezfmUlsW7QY";
        for path in [
            "/boot/configs/cp/m/T/user-data",
            "//boot/configs/cp/m/T",
            "/T",
            "/boot/configs%2fT",
            "/boot/cp%3Ft=T",
            "/a/mox_T.ipxe",
        ] {
            let shown = secret_path(&path.replace('T', token));
            assert!(!shown.contains("x1YW") && shown.contains(MASK), "{shown}");
        }
        for plain in [
            "/",
            "/boot/menu.ipxe",
            "/boot/configs/talos-cp/52:54:00:12:34:56",
            "/boot/assets/a/Vmlinuz-6.1.0_amd64",
            "/api/v1/boot/profiles/018f0000-0000-7000-8000-000000000000",
        ] {
            assert_eq!(secret_path(plain), plain);
        }
        let long = format!("/boot/configs/cp/m/{}", "%41".repeat(20));
        assert_eq!(secret_path(&long), format!("/boot/configs/cp/m/{MASK}"));
    }
}
