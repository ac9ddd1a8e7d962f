//! The description of the API: as JSON, and as a page that needs no script.

use crate::app::App;
use axum::http::{HeaderName, header};
use axum::routing::{MethodRouter, get};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::sync::Arc;
use utoipa::openapi::OpenApi;

/// `/api/v1/openapi.json`
pub fn json(description: &OpenApi) -> MethodRouter<Arc<App>> {
    // The description is a value of this program; it always has a JSON form.
    let text = description.to_pretty_json().unwrap_or_default();
    get(async || ([(header::CONTENT_TYPE, "application/json")], text))
}

/// `/api/docs`
pub fn page(description: &OpenApi) -> MethodRouter<Arc<App>> {
    let html = render(&serde_json::to_value(description).unwrap_or_default());
    let headers = headers(STYLE, "'none'");
    get(async move || (headers, html))
}

/// What a page says of itself: its one style sheet, by what that says, and where its forms go;
/// nothing else is loaded, sent or framed.
pub(super) fn headers(style: &str, forms: &str) -> [(HeaderName, String); 2] {
    let style = STANDARD.encode(Sha256::digest(style.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action {forms}; frame-ancestors 'none'"
    );
    [(header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()), (header::CONTENT_SECURITY_POLICY, policy)]
}

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
code{font-family:ui-monospace,monospace}h3{margin-bottom:.2rem}.m{display:inline-block;min-width:4.5rem;font-weight:700}\
td{padding:.1rem 1rem .1rem 0;vertical-align:top}@media(prefers-color-scheme:dark){body{background:#111;color:#ddd}a{color:#8cf}}";

fn render(api: &serde_json::Value) -> String {
    let mut out = String::new();
    let text = |value: &serde_json::Value| escape(value.as_str().unwrap_or(""));
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "<!doctype html><html lang=en><meta charset=utf-8><title>Moxxie API</title><style>{STYLE}</style>\
         <h1>Moxxie API</h1><p>Send <code>Authorization: Bearer TOKEN</code>. Errors are \
         <code>application/problem+json</code>. The same as <a href=\"/api/v1/openapi.json\">OpenAPI</a>.</p>"
    );
    for tag in api["tags"].as_array().into_iter().flatten() {
        let name = tag["name"].as_str().unwrap_or("");
        let _ = write!(out, "<h2>{}</h2><p>{}</p>", escape(name), text(&tag["description"]));
        for (path, methods) in api["paths"].as_object().into_iter().flatten() {
            for (method, operation) in methods.as_object().into_iter().flatten() {
                let tagged = operation["tags"].as_array().is_some_and(|t| t.iter().any(|t| t == name));
                if !tagged {
                    continue;
                }
                let _ = write!(
                    out,
                    "<h3><code><span class=m>{}</span> {}</code></h3><p>{} {}</p><table>",
                    escape(&method.to_uppercase()),
                    escape(path),
                    text(&operation["summary"]),
                    text(&operation["description"])
                );
                for parameter in operation["parameters"].as_array().into_iter().flatten() {
                    let _ = write!(
                        out,
                        "<tr><td><code>{}</code><td>{}<td>{}</tr>",
                        text(&parameter["name"]),
                        text(&parameter["in"]),
                        text(&parameter["description"])
                    );
                }
                for (status, response) in operation["responses"].as_object().into_iter().flatten() {
                    let _ = write!(
                        out,
                        "<tr><td><code>{}</code><td><td>{}</tr>",
                        escape(status),
                        text(&response["description"])
                    );
                }
                out.push_str("</table>");
            }
        }
    }
    out
}

/// Text as it may stand in HTML, also between double quotes.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
