//! Who may ask at all: one list for the boot routes, one for everything else.

use super::error::{ApiError, BootError};
use super::extract::{Door, Peer, Serves};
use super::middleware::is_boot;
use crate::app::App;
use crate::config::AccessConfig;
use crate::witness::fold::neighborhood;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use ipnet::IpNet;
use moxxie_core::time::{Span, Timestamp};
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// The refusal of a request whose client is on none of the lists for its path. `previews`: it brings
/// no boot token but an API token, with which people look at configs.
pub(super) fn refuse(
    app: &App,
    access: &AccessConfig,
    path: &str,
    door: Door,
    previews: bool,
    Peer(peer): Peer,
) -> Option<Response> {
    if previews && access.may_use_api(peer) {
        return None;
    }
    let list = list(access, path, door, peer)?;
    metrics::counter!("moxxie_outside_allowlist_total", "list" => list).increment(1);
    if let Some(left_out) = app.outside.note(peer, app.clock.now()) {
        let key = if list == BOOT { "access.allow" } else { "access.api" };
        tracing::warn!(%peer, list, left_out, "refused: the address is not in {key}");
    }
    Some(match is_boot(path) {
        true => BootError::new(StatusCode::FORBIDDEN, "moxxie: network not allowed").into_response(),
        false => {
            let why = "requests from your network are not allowed here; access.api in the server's settings lists those that are";
            ApiError::forbidden(why).into_response()
        }
    })
}

/// The lists as the metrics call them.
const BOOT: &str = "boot";
const API: &str = "api";

/// The list that this client would have to be on.
fn list(access: &AccessConfig, path: &str, door: Door, peer: IpAddr) -> Option<&'static str> {
    // At their own listener people look at configs; no machine comes there.
    let (list, allowed) = match is_boot(path) && door.serves != Serves::People {
        true => (BOOT, access.allow.contains(peer)),
        false => (API, access.may_use_api(peer)),
    };
    // Load balancers ask these, from wherever they are.
    (!allowed && !matches!(path, "/livez" | "/readyz")).then_some(list)
}

/// Time in which a network is named once, and in which so many lines are written at most.
const WHILE: Span = Span::minutes(1);
const LINES: usize = 20;

/// Picks the refusals that are logged, so that a scan fills neither log nor memory: within a
/// minute one line for each /24 or /64 and 20 in all.
#[derive(Default)]
pub struct Outside {
    logged: Mutex<Logged>,
}

#[derive(Default)]
struct Logged {
    /// The lines of the last minute, oldest first.
    lines: VecDeque<(Timestamp, IpNet)>,
    /// Refusals since the last line.
    left_out: u64,
}

impl Outside {
    /// Notes a refusal. If it is to be logged: how many were left out since the last line.
    pub(crate) fn note(&self, ip: IpAddr, now: Timestamp) -> Option<u64> {
        let network = neighborhood(ip);
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        // Also what lies in the future, should the clock have been set back.
        logged.lines.retain(|(at, _)| (0..WHILE.0).contains(&(now - *at).0));
        if logged.lines.len() >= LINES || logged.lines.iter().any(|(_, net)| *net == network) {
            logged.left_out += 1;
            return None;
        }
        logged.lines.push_back((now, network));
        Some(std::mem::take(&mut logged.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use moxxie_core::net::Networks;

    #[test]
    fn the_list_that_is_named_is_the_one_that_was_asked() {
        let networks = |text: &str| Networks::read([text]).unwrap();
        let access = AccessConfig {
            allow: networks("10.1.0.0/16"),
            api: networks("10.2.0.0/16"),
            ..AccessConfig::default()
        };
        let config = "/boot/configs/p/52:54:00:00:00:01";
        for (path, serves, machine, person) in [
            ("/boot/menu.ipxe", Serves::Everybody, None, Some(BOOT)),
            (config, Serves::Machines, None, Some(BOOT)),
            (config, Serves::People, Some(API), None),
            ("/api/v1/tokens", Serves::Everybody, Some(API), None),
            ("/livez", Serves::Machines, None, None),
        ] {
            let list = |ip: [u8; 4]| list(&access, path, Door { serves, ..Door::default() }, ip.into());
            assert_eq!((list([10, 1, 0, 9]), list([10, 2, 0, 9])), (machine, person), "{path} {serves:?}");
        }
    }

    #[test]
    fn a_scan_fills_no_log() {
        let outside = Outside::default();
        let note = |ip: &str, second: i64| outside.note(ip.parse().unwrap(), Timestamp(second * 1000));
        assert_eq!(note("203.0.113.1", 0), Some(0));
        assert_eq!(note("203.0.113.2", 1), None, "the same network");
        assert_eq!(note("2001:db8::1", 2), Some(1));
        assert_eq!(note("2001:db8::2", 3), None, "the same network");
        assert_eq!(note("2001:db8:0:1::1", 4), Some(1));
        assert_eq!(note("203.0.113.1", 59), None);
        assert_eq!(note("203.0.113.1", 60), Some(1), "a minute later");
        // A million networks: twenty lines each minute, and no memory.
        for minute in 1..4 {
            let at = |n: u32| Timestamp((minute * 600 + i64::from(n) / 10_000) * 1000);
            let scan = (0..100_000u32).filter(|n| {
                let ip = IpAddr::V4(std::net::Ipv4Addr::from_bits(0x0b00_0000 + (n << 8)));
                outside.note(ip, at(*n)).is_some()
            });
            assert_eq!(scan.count(), LINES);
        }
        assert_eq!(outside.logged.lock().unwrap().lines.len(), LINES);
        assert_eq!(note("198.51.100.1", 5000), Some(100_000 - 20));
        assert_eq!(note("198.51.101.1", 10), Some(0), "the clock was set back");
    }
}
