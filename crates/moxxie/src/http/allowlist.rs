//! Who may ask at all: one list for the boot routes, one for everything else.

use super::error::{ApiError, BootError};
use super::extract::{Door, Peer, Serves};
use super::middleware::is_boot;
use crate::app::App;
use crate::config::AccessConfig;
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
    let boot = is_boot(path);
    let allowed = match path {
        // Load balancers ask these, from wherever they are.
        "/livez" | "/readyz" => true,
        // People look at configs, at their own listener or with a token that says who they are.
        _ if boot && door.serves != Serves::People => {
            access.allow.contains(peer) || (previews && access.may_use_api(peer))
        }
        _ => access.may_use_api(peer),
    };
    if allowed {
        return None;
    }
    let list = if boot { "boot" } else { "api" };
    metrics::counter!("moxxie_outside_allowlist_total", "list" => list).increment(1);
    if let Some(left_out) = app.outside.note(peer, app.clock.now()) {
        let key = if boot { "access.allow" } else { "access.api" };
        tracing::warn!(%peer, list, left_out, "refused: the address is not in {key}");
    }
    Some(match boot {
        true => BootError::new(StatusCode::FORBIDDEN, "moxxie: network not allowed").into_response(),
        false => {
            let why = "requests from your network are not allowed here; access.api in the server's settings lists those that are";
            ApiError::forbidden(why).into_response()
        }
    })
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
    fn note(&self, ip: IpAddr, now: Timestamp) -> Option<u64> {
        let length = if ip.is_ipv4() { 24 } else { 64 };
        let network = IpNet::new(ip, length).map_or(IpNet::from(ip), |net| net.trunc());
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
