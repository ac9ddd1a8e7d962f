//! `GET /api/v1/doctor`: what the server can say about itself, and about machines of a subnet.

mod loaders;

use crate::app::App;
use crate::config::Config;
use crate::http::error::{ApiError, ApiResult, Problem};
use crate::http::extract::{Door, Query, Viewer};
use crate::http::links::Links;
use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use ipnet::IpNet;
use moxxie_core::net;
use moxxie_store::StoreError;
use serde::Serialize;
use serde_json::{Value, json};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use url::Url;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Check {
    check: &'static str,
    /// `ok`, `FAIL` or, for what cannot be known from here, `--`.
    outcome: &'static str,
    text: String,
}

const OK: &str = "ok";
const FAIL: &str = "FAIL";
const UNKNOWN: &str = "--";

fn check(check: &'static str, outcome: &'static str, text: impl Into<String>) -> Check {
    Check { check, outcome, text: text.into() }
}

/// What the server knows of its listeners and links, and whether machines of a subnet would be let in
/// and reached.
#[utoipa::path(get, path = "/api/v1/doctor", tag = "operations", security(("token" = ["viewer"])), params(
    ("subnet" = Option<String>, Query, description = "the machines' network, such as 10.0.0.0/24"),
), responses(
    (status = 200, description = "`items`: check, outcome (ok, FAIL, --) and text with the next step", body = Value),
    (status = 422, description = "not a network", body = Problem),
    (status = 503, description = "the database does not answer, and only it knows this token", body = Problem),
))]
pub async fn get(
    State(app): State<Arc<App>>,
    _: Viewer,
    door: Door,
    headers: HeaderMap,
    query: Query,
) -> ApiResult<Json<Value>> {
    query.only(&["subnet"]).map_err(ApiError::bad_request)?;
    let subnet = match query.one("subnet").map_err(ApiError::bad_request)? {
        Some(text) => Some(net::read(text).map_err(|why| ApiError::field("/subnet", why))?),
        None => None,
    };
    let config = app.config();
    let links = Links::of(config.public_url.as_deref(), &headers, door).ok();
    let base = links.as_ref().map(Links::base);
    let mut items = vec![listens(&config, app.port), url(&config, base), tftp(config.tftp.listen)];
    // When the database is away, people ask this all the more: the other answers do not need it.
    match app.read().loaders(None, 500).await {
        Ok(there) => {
            items.push(loaders::shelf(&loaders::wanted(&app, &there).await, config.tftp.listen.is_some()))
        }
        Err(error) => {
            items.push(database(&error));
            items.push(check("loaders", UNKNOWN, "not known while the database does not answer"));
        }
    }
    if let Some(subnet) = subnet {
        items.push(allowed(&config, subnet));
        items.push(provisioning(&config, subnet));
        items.push(way(subnet, base, source(subnet)));
    }
    Ok(Json(json!({ "items": items, "next": null })))
}

fn database(error: &StoreError) -> Check {
    let text = match error {
        StoreError::Unavailable(why) => {
            tracing::warn!(error = %why, "the database could not answer the API");
            "does not answer: see /readyz and the server's log".to_owned()
        }
        other => other.to_string(),
    };
    check("database", FAIL, text)
}

fn listens(config: &Config, port: u16) -> Check {
    let ip = config.listen.ip();
    // The port that was bound: the setting may say 0.
    let address = SocketAddr::new(ip, port);
    let proxied = config.public_url.is_some() && !config.access.trusted_proxies.is_empty();
    match ip.is_loopback() {
        true if proxied => check(
            "listens",
            UNKNOWN,
            format!(
                "on {address}, for the proxies of access.trusted_proxies: where those listen is not seen from here"
            ),
        ),
        true => check(
            "listens",
            FAIL,
            format!("on {address}, which only this computer reaches: --listen 0.0.0.0:{port}"),
        ),
        false => check("listens", OK, format!("on {address}")),
    }
}

fn tftp(listen: Option<SocketAddr>) -> Check {
    match listen {
        Some(address) if address.ip().is_loopback() => {
            check("tftp", FAIL, format!("on {address}, which only this computer reaches: --tftp 0.0.0.0"))
        }
        Some(address) => check("tftp", OK, format!("loaders are handed out at {address} (UDP)")),
        None => check("tftp", OK, "off: the site's switch hands out the loaders (--tftp turns it on)"),
    }
}

fn url(config: &Config, base: Option<&str>) -> Check {
    match (config.public_url.as_deref(), base) {
        (None, _) => check("url", OK, "links name the host that each machine asked (public_url is unset)"),
        (Some(url), _) if is_loopback(url) => check(
            "url",
            FAIL,
            format!(
                "links lead to {url}, which is each machine itself: set public_url to an address that machines reach"
            ),
        ),
        (Some(url), _) if host(url).is_some_and(|host| host.parse::<IpAddr>().is_err()) => check(
            "url",
            OK,
            format!(
                "links lead to {url}: machines need a name server by DHCP (option 6), or write an address"
            ),
        ),
        (Some(url), _) => check("url", OK, format!("links lead to {url}")),
    }
}

fn host(url: &str) -> Option<String> {
    Some(Url::parse(url).ok()?.host_str()?.trim_matches(['[', ']']).to_owned())
}

fn is_loopback(url: &str) -> bool {
    host(url).is_some_and(|host| host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback()))
}

fn allowed(config: &Config, subnet: IpNet) -> Check {
    match config.access.allow.covers(&subnet) {
        true => check("allowed", OK, format!("machines of {subnet} may ask for boot scripts")),
        false => check(
            "allowed",
            FAIL,
            format!("machines of {subnet}, or some of them, get 403: add the network to access.allow"),
        ),
    }
}

fn provisioning(config: &Config, subnet: IpNet) -> Check {
    match config.site.provisioning.covers(&subnet) {
        true => {
            check("installs", OK, format!("machines of {subnet} may be installed, as far as the site says"))
        }
        false => check(
            "installs",
            FAIL,
            format!(
                "machines of {subnet}, or some of them, only get their local disk: add the network to access.provisioning"
            ),
        ),
    }
}

/// The address that this server's packets to the subnet would carry. A connected datagram socket asks
/// the routing table; nothing is sent.
fn source(subnet: IpNet) -> io::Result<IpAddr> {
    let target = subnet.hosts().next().unwrap_or(subnet.addr());
    let any = if target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.connect((target, 9))?;
    Ok(socket.local_addr()?.ip())
}

fn way(subnet: IpNet, base: Option<&str>, source: io::Result<IpAddr>) -> Check {
    let source = match source {
        Ok(source) => source,
        Err(error) => {
            return check("way", FAIL, format!("this server has no way to {subnet} ({error}): add a route"));
        }
    };
    let named = base.and_then(host).and_then(|host| host.parse::<IpAddr>().ok());
    match named {
        Some(ip) if ip.is_loopback() => check(
            "way",
            UNKNOWN,
            format!(
                "this server reaches {subnet} from {source}; asked as {ip} it cannot say more: use --server with the address that machines use"
            ),
        ),
        Some(ip) if subnet.contains(&ip) => {
            check("way", OK, format!("{ip} is in {subnet}: no router in between"))
        }
        Some(ip) => check(
            "way",
            OK,
            format!(
                "{ip} is outside {subnet}: the machines' gateway has to route there; this server answers from {source}"
            ),
        ),
        None => check("way", OK, format!("this server answers {subnet} from {source}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back() {
        let subnet: IpNet = "10.0.0.0/24".parse().unwrap();
        let source = || Ok("10.0.0.10".parse().unwrap());
        let outcome = |base, source| way(subnet, base, source).outcome;
        assert_eq!(outcome(Some("http://10.0.0.10:8080"), source()), OK);
        assert_eq!(outcome(Some("http://10.1.0.10:8080"), source()), OK);
        assert!(way(subnet, Some("http://10.1.0.10:8080"), source()).text.contains("gateway has to route"));
        assert_eq!(outcome(Some("http://127.0.0.1:8080"), source()), UNKNOWN);
        let none = way(subnet, None, Err(io::Error::from(io::ErrorKind::NetworkUnreachable)));
        assert!(none.outcome == FAIL && none.text.contains("add a route"), "{}", none.text);
    }

    #[test]
    fn loopback_is_only_this_computer() {
        assert!(is_loopback("http://localhost:8080") && is_loopback("http://[::1]:8080"));
        assert!(!is_loopback("http://boot.example"));
        assert_eq!(tftp(Some("127.0.0.1:69".parse().unwrap())).outcome, FAIL);
    }
}
