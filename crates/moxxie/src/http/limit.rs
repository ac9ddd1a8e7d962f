//! Where requests are counted, and what is said to those that are too many: 429, always with
//! `Retry-After`. iPXE waits so long and asks again, without an end; without it a boot would fail.

use crate::app::App;
use crate::clock::random;
use crate::http::boot::gate::may_boot;
use crate::http::error::{ApiError, BootError};
use crate::http::extract::{Query, decode};
use crate::limits::{Place, TokenName};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use moxxie_core::boot::claims::BootClaims;
use moxxie_core::boot::event::EventKind;
use moxxie_core::mac::MacAddr;
use std::net::IpAddr;
use std::sync::Arc;

/// A request that is one too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many requests ({what})")]
pub struct TooMany {
    /// Of what, for the metrics.
    what: &'static str,
    /// The setting that says how many are allowed.
    setting: &'static str,
    /// Whole seconds until the next try.
    seconds: u64,
}

impl TooMany {
    fn new(what: &'static str, setting: &'static str) -> TooMany {
        metrics::counter!("moxxie_limited_total", "what" => what).increment(1);
        // Two to ten seconds: those who were refused together do not come back together. No longer,
        // for a machine that waits is a machine that does not boot.
        let [dice] = random();
        TooMany { what, setting, seconds: 2 + u64::from(dice % 9) }
    }
}

impl From<TooMany> for BootError {
    fn from(error: TooMany) -> BootError {
        BootError::too_many(error.seconds)
    }
}

impl From<TooMany> for ApiError {
    fn from(error: TooMany) -> ApiError {
        let TooMany { seconds, setting, .. } = error;
        ApiError::too_many(format!("too many requests: try again in {seconds} s ({setting})")).after(seconds)
    }
}

/// What a boot route hands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Script,
    Config,
    Report,
    Asset,
    Other,
}

impl Kind {
    fn of(path: &str, claims: &Query) -> Kind {
        match path {
            _ if path.starts_with("/boot/assets/") || path.starts_with("/boot/firmware/") => Kind::Asset,
            _ if path.starts_with("/boot/configs/") => Kind::Config,
            "/boot/report" => Kind::Report,
            // Without these the answer is a fixed text by which a machine says who it is.
            _ if label(claims, "mac").is_none() && label(claims, "uuid").is_none() => Kind::Other,
            _ if path.ends_with(".ipxe") => Kind::Script,
            _ => Kind::Other,
        }
    }
}

/// Counts a request and passes it on, or refuses it.
pub async fn limited(app: &Arc<App>, peer: IpAddr, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if path.starts_with("/boot/") {
        let claims = request.uri().query().and_then(|query| Query::parse(query).ok()).unwrap_or_default();
        let kind = Kind::of(path, &claims);
        let mac = match kind {
            Kind::Script => asker(app, &claims),
            Kind::Config => path.split('/').nth(4).and_then(mac),
            _ => None,
        };
        let place = match admit(app, peer, kind, mac) {
            Ok(place) => place,
            Err(error) => {
                tell(app, peer, mac, error);
                return BootError::from(error).into_response();
            }
        };
        let response = next.run(request).await;
        drop(place);
        let refused = matches!(
            response.status(),
            StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
        );
        if refused && matches!(kind, Kind::Config | Kind::Report) {
            failed(app, peer);
        }
        return response;
    }
    // Without a token a rate can only go by the address, as on boot routes.
    let page = path == "/troubleshoot";
    if page && !app.limits.boot(&app.config().limits, peer, app.clock.steady()) {
        return ApiError::from(TooMany::new("boot_address", "limits.boot_per_second")).into_response();
    }
    if page || path.starts_with("/api/") {
        let Some(place) = app.limits.api_room.enter(app.config().limits.api_requests_in_flight) else {
            let error = TooMany::new("api_in_flight", "limits.api_requests_in_flight");
            return ApiError::from(error).into_response();
        };
        let response = next.run(request).await;
        drop(place);
        if response.status() == StatusCode::UNAUTHORIZED {
            failed(app, peer);
        }
        return response;
    }
    // Monitoring and load balancers.
    next.run(request).await
}

/// Whether this request may be worked on; its place, where it takes one.
fn admit(app: &App, peer: IpAddr, kind: Kind, mac: Option<MacAddr>) -> Result<Option<Place>, TooMany> {
    let config = app.config();
    let now = app.clock.steady();
    if !app.limits.boot(&config.limits, peer, now) {
        return Err(TooMany::new("boot_address", "limits.boot_per_second"));
    }
    if kind == Kind::Script && mac.is_some_and(|mac| !app.limits.machine(&config.limits, mac, peer, now)) {
        return Err(TooMany::new("machine", "limits.machine_per_minute"));
    }
    match kind {
        // A download is a stream: what it holds is a connection; a loader's label is looked up in a
        // place of its own. A report takes its place when its body has arrived, so that nobody holds
        // one by sending slowly.
        Kind::Asset | Kind::Report | Kind::Other => Ok(None),
        Kind::Script | Kind::Config => place(app, || mac.is_some_and(|mac| is_due(app, mac))).map(Some),
    }
}

/// A place among the requests on boot routes. `reserved` is asked only when there is little room.
fn place(app: &App, reserved: impl FnOnce() -> bool) -> Result<Place, TooMany> {
    let most = app.config().limits.requests_in_flight;
    let room = &app.limits.boot_room;
    room.enter_unreserved(most)
        .or_else(|| if reserved() { room.enter(most) } else { None })
        .ok_or_else(|| TooMany::new("in_flight", "limits.requests_in_flight"))
}

/// A place for a report, whose body has been read.
pub fn place_for_report(app: &App, token: &TokenName) -> Result<Place, TooMany> {
    place(app, || app.limits.is_good(token))
}

/// A place for the look at a loader's label, which is in the database. None is kept free for it:
/// nobody knows whose firmware asks.
pub fn place_for_loader(app: &App) -> Result<Place, TooMany> {
    place(app, || false)
}

/// Whether the database may be asked about a token; see [`crate::limits`].
pub fn may_look(app: &App, peer: IpAddr, token: &TokenName) -> Result<(), TooMany> {
    match app.limits.may_look(&app.config().limits, peer, token, app.clock.steady()) {
        true => Ok(()),
        false => Err(TooMany::new("failures", "limits.failures_per_minute")),
    }
}

/// The same on a boot route, where a refusal is an event.
pub fn may_redeem(app: &App, peer: IpAddr, mac: Option<MacAddr>, token: &TokenName) -> Result<(), TooMany> {
    may_look(app, peer, token).inspect_err(|error| tell(app, peer, mac, *error))
}

/// Counts a request of an API token.
pub fn api(app: &App, token: &str) -> Result<(), TooMany> {
    match app.limits.api(&app.config().limits, token, app.clock.steady()) {
        true => Ok(()),
        false => Err(TooMany::new("api_token", "limits.api_per_second")),
    }
}

fn failed(app: &App, peer: IpAddr) {
    app.limits.failed(&app.config().limits, peer, app.clock.steady());
}

/// Whether this machine has a boot before it, as far as memory knows.
fn is_due(app: &App, mac: MacAddr) -> bool {
    let snapshot = app.snapshots.current();
    snapshot.as_ref().and_then(|snapshot| snapshot.known(mac)).is_some_and(|known| may_boot(known))
}

/// In whose name somebody asks: the machine that the claims find, by whichever of them, else the MAC
/// address that was named.
fn asker(app: &App, query: &Query) -> Option<MacAddr> {
    let claims = BootClaims::parse(query.pairs()).ok()?;
    let found = app.snapshots.current().as_ref().and_then(|snapshot| snapshot.machine(&claims));
    found.or_else(|| claims.macs().next())
}

/// An event, at most one a minute of a machine: the log folds them. Machines that nobody assigned
/// are told by their address only, since anybody can invent more of them.
fn tell(app: &App, peer: IpAddr, mac: Option<MacAddr>, error: TooMany) {
    let known = app.snapshots.current();
    let mac = mac.filter(|mac| known.as_ref().is_some_and(|snapshot| snapshot.known(*mac).is_some()));
    let message = format!("{peer} asked too often and was told to wait ({})", error.setting);
    app.events.push(app.event(EventKind::BootLimited, mac, Some(peer), &message), None);
}

fn label<'a>(claims: &'a Query, name: &str) -> Option<&'a str> {
    claims.one(name).ok().flatten().filter(|text| !text.is_empty())
}

fn mac(part: &str) -> Option<MacAddr> {
    // Old iPXE sends the colons as %3A.
    decode(part).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_whole_seconds_and_differ() {
        let mut seconds: Vec<u64> = (0..500).map(|_| TooMany::new("test", "limits.x").seconds).collect();
        seconds.sort();
        seconds.dedup();
        assert_eq!(seconds, (2..=10).collect::<Vec<_>>());
    }

    #[test]
    fn machines_are_found_in_queries_and_paths() {
        let wanted: Option<MacAddr> = "52:54:00:12:34:56".parse().ok();
        assert_eq!(mac("52%3A54%3A00%3A12%3A34%3A56"), wanted);
        assert_eq!((mac("%zz"), mac("x")), (None, None));
        for (path, query, kind) in [
            ("/boot/menu.ipxe", "uuid=x&MAC=52-54-00-12-34-56", Kind::Script),
            ("/boot/menu.ipxe", "mac=&uuid=", Kind::Other),
            ("/boot/menu.ipxe", "", Kind::Other),
            ("/boot/x.ipxe", "uuid=x", Kind::Script),
            ("/boot/assets/p/x.ipxe", "", Kind::Asset),
            ("/boot/firmware/autoexec.ipxe", "mac=x", Kind::Asset),
            ("/boot/configs/p/m", "", Kind::Config),
            ("/boot/report", "", Kind::Report),
            ("/boot/x", "mac=x", Kind::Other),
        ] {
            let claims = Query::parse(query).unwrap();
            assert_eq!(Kind::of(path, &claims), kind, "{path}");
            let found = label(&claims, "mac").and_then(|text| text.parse::<MacAddr>().ok());
            assert!(found.is_none() || found == wanted, "{path}?{query}");
        }
    }
}
