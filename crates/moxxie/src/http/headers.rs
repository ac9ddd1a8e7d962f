//! What answers say to browsers: what a page may load, who may frame it, what is kept.

use crate::http::extract::{Door, Serves};
use axum::http::{HeaderName, HeaderValue, Response, header};

/// Nothing is loaded and nobody frames it. Pages that need more say so themselves.
const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";
/// A day: who goes back to plain HTTP is not locked out for long.
const HSTS: &str = "max-age=86400";

/// Adds them to an answer for this path.
pub fn add<B>(response: &mut Response<B>, path: &str, door: Door) {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // What follows is for browsers; firmware pays for every byte of a head.
    if path.starts_with("/boot/") {
        return;
    }
    let mut unless_said = |name: HeaderName, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    unless_said(header::CONTENT_SECURITY_POLICY, NOTHING);
    unless_said(header::X_FRAME_OPTIONS, "DENY");
    unless_said(header::REFERRER_POLICY, "no-referrer");
    if path.starts_with("/api/") {
        unless_said(header::CACHE_CONTROL, "no-store");
    }
    // A browser applies it to every port of the host: to one that has a plain listener for pages it
    // would lock people out of that.
    if door.tls && door.serves == Serves::People {
        unless_said(header::STRICT_TRANSPORT_SECURITY, HSTS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_told_and_firmware_is_not() {
        let told = |path: &str, tls, serves| {
            let mut response = Response::new(());
            add(&mut response, path, Door { port: 1, tls, serves });
            response.headers().keys().map(|name| name.as_str().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(told("/boot/menu.ipxe", true, Serves::Machines), ["x-content-type-options"]);
        let api = told("/api/v1/tokens", false, Serves::Everybody);
        for name in ["content-security-policy", "x-frame-options", "referrer-policy", "cache-control"] {
            assert!(api.iter().any(|told| told == name), "{name}");
        }
        let hsts =
            |tls, serves| told("/api/docs", tls, serves).contains(&"strict-transport-security".to_owned());
        assert!(hsts(true, Serves::People));
        assert!(!hsts(false, Serves::People) && !hsts(true, Serves::Everybody));
    }

    #[test]
    fn a_page_keeps_its_own_policy() {
        let mut response = Response::new(());
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("own"));
        add(&mut response, "/api/docs", Door::default());
        assert_eq!(response.headers()[header::CONTENT_SECURITY_POLICY], "own");
    }
}
