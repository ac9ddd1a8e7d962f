//! The address a request came from.

use axum::extract::{ConnectInfo, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap};
use moxxie_core::forwarded::{self, BadForwarded, Lines};
use moxxie_core::net::Networks;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The address of the client: the other end of the connection, or, behind a listed proxy, whom
/// the proxy names. Found once for each request, before its route is chosen.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

impl Peer {
    /// What was found. Without it (nothing looked) it is 0.0.0.0, which no network contains:
    /// nothing is opened by mistake.
    pub fn of(extensions: &Extensions) -> Peer {
        extensions.get().copied().unwrap_or(Peer(IpAddr::V4(Ipv4Addr::UNSPECIFIED)))
    }

    /// The other end of the connection, as the listener saw it or the PROXY protocol told it.
    pub(in crate::http) fn socket(extensions: &Extensions) -> Peer {
        let ip = extensions
            .get::<ConnectInfo<SocketAddr>>()
            .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(addr)| addr.ip());
        Peer(ip.to_canonical())
    }

    /// Finds the client of a request.
    pub(in crate::http) fn find(request: &Request, proxies: &Networks) -> Result<Peer, BadForwarded> {
        Peer::behind(Peer::socket(request.extensions()).0, request.headers(), proxies)
    }

    /// Whom a request with these headers would come from if these were the proxies.
    pub fn behind(socket: IpAddr, headers: &HeaderMap, proxies: &Networks) -> Result<Peer, BadForwarded> {
        let lines = Lines {
            x_forwarded_for: lines(headers, "x-forwarded-for"),
            forwarded: lines(headers, "forwarded"),
            x_real_ip: lines(headers, "x-real-ip"),
        };
        forwarded::client(socket, &lines, proxies).map(Peer)
    }
}

fn lines<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a [u8]> {
    headers.get_all(name).iter().map(|value| value.as_bytes()).collect()
}

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Peer::of(&parts.extensions))
    }
}
