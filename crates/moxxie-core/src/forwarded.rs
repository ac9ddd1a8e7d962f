//! Who a request really comes from, when proxies pass it on.
//!
//! A header is a claim of whoever sent it. It is looked at only when the connection comes from a
//! listed proxy, and read from right to left: each proxy adds the address it was reached from at
//! the right end, so the first address that is no listed proxy is the last one that somebody
//! trustworthy has seen. Everything to its left is the client's own writing.

use crate::net::Networks;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bytes of all forwarding headers at most.
pub const MAX_BYTES: usize = 10 * 1024;
/// Addresses in one list at most.
pub const MAX_HOPS: usize = 32;

/// The headers of a request that say where it came from, each with all of its lines in order.
#[derive(Debug, Clone, Default)]
pub struct Lines<'a> {
    /// `X-Forwarded-For`.
    pub x_forwarded_for: Vec<&'a [u8]>,
    /// `Forwarded` (RFC 7239).
    pub forwarded: Vec<&'a [u8]>,
    /// `X-Real-IP`.
    pub x_real_ip: Vec<&'a [u8]>,
}

/// Why the headers of a listed proxy cannot be used. The request is refused (400): answering it
/// as the proxy's own would give the client the proxy's rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.line())]
pub enum BadForwarded {
    /// More than [`MAX_BYTES`].
    TooLong,
    /// More than [`MAX_HOPS`].
    TooManyHops,
    /// Something that is not an address: `unknown`, an obfuscated name, a zone, garbage.
    Unreadable,
    /// Two headers tell of different clients: one of them came through from the client.
    Disagree,
}

impl BadForwarded {
    /// One short line. It repeats nothing that was sent.
    pub fn line(self) -> &'static str {
        match self {
            BadForwarded::TooLong => "forwarding headers too long",
            BadForwarded::TooManyHops => "forwarded over too many hops",
            BadForwarded::Unreadable => "a forwarding header is not readable",
            BadForwarded::Disagree => "forwarding headers disagree",
        }
    }
}

/// The address of the client. `peer` is the other end of the connection.
///
/// `X-Real-IP` is the client where there is no list; beside one it must name the same client, or a
/// proxy.
pub fn client(peer: IpAddr, lines: &Lines<'_>, proxies: &Networks) -> Result<IpAddr, BadForwarded> {
    let peer = peer.to_canonical();
    if !proxies.contains(peer) {
        return Ok(peer);
    }
    let all = [&lines.x_forwarded_for, &lines.forwarded, &lines.x_real_ip];
    if all.into_iter().flatten().map(|line| line.len()).sum::<usize>() > MAX_BYTES {
        return Err(BadForwarded::TooLong);
    }
    let plain = list(&lines.x_forwarded_for, address, proxies)?;
    let standard = list(&lines.forwarded, forwarded, proxies)?;
    let real = match lines.x_real_ip.as_slice() {
        [] => None,
        [one] => {
            let ip = std::str::from_utf8(one).ok().and_then(|text| address(trim(text)));
            Some(ip.ok_or(BadForwarded::Unreadable)?)
        }
        _ => return Err(BadForwarded::Unreadable),
    };
    match (plain, standard, real) {
        (Some(plain), Some(standard), _) if plain != standard => Err(BadForwarded::Disagree),
        // The proxy saw somebody else than the list says: it passed the client's own list through.
        // In a row of proxies the last one has seen the one before it.
        (Some(client), _, Some(real)) | (_, Some(client), Some(real))
            if real != client && !proxies.contains(real) =>
        {
            Err(BadForwarded::Disagree)
        }
        (Some(client), ..) | (_, Some(client), _) => Ok(client),
        (None, None, real) => Ok(real.unwrap_or(peer)),
    }
}

/// The client that a list tells of: its first address from the right that is no proxy, or its
/// leftmost when all are. `None` when there is no such header.
fn list(
    lines: &[&[u8]],
    read: fn(&str) -> Option<IpAddr>,
    proxies: &Networks,
) -> Result<Option<IpAddr>, BadForwarded> {
    let mut hops = Vec::new();
    for line in lines {
        let text = std::str::from_utf8(line).map_err(|_| BadForwarded::Unreadable)?;
        for element in split(text, ',').ok_or(BadForwarded::Unreadable)? {
            if hops.len() == MAX_HOPS {
                return Err(BadForwarded::TooManyHops);
            }
            hops.push(read(trim(element)).ok_or(BadForwarded::Unreadable)?);
        }
    }
    Ok(hops.iter().rev().find(|ip| !proxies.contains(**ip)).or(hops.first()).copied())
}

/// The `for` of one element: `for="[fd00::1]:80";proto=http`. A hop that does not say for whom
/// cannot be walked over.
fn forwarded(element: &str) -> Option<IpAddr> {
    let mut found = None;
    for pair in split(element, ';')?.into_iter().map(trim).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=')?;
        let value = unquote(value)?;
        if name.eq_ignore_ascii_case("for") && found.replace(node(&value)?).is_some() {
            return None;
        }
    }
    found
}

/// An address as proxies write it: bare, or with a port.
fn address(text: &str) -> Option<IpAddr> {
    match text.parse::<Ipv6Addr>() {
        Ok(ip) => Some(IpAddr::V6(ip).to_canonical()),
        Err(_) => node(text),
    }
}

/// `10.0.0.5`, `10.0.0.5:80`, `[fd00::1]`, `[fd00::1]:80` (RFC 7239, section 6). Zones and octal
/// numbers are no addresses to the standard library either.
fn node(text: &str) -> Option<IpAddr> {
    let (ip, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (ip, port) = rest.split_once(']')?;
            let port = if port.is_empty() { None } else { Some(port.strip_prefix(':')?) };
            (IpAddr::V6(ip.parse::<Ipv6Addr>().ok()?), port)
        }
        None => match text.split_once(':') {
            Some((ip, port)) => (IpAddr::V4(ip.parse::<Ipv4Addr>().ok()?), Some(port)),
            None => (IpAddr::V4(text.parse::<Ipv4Addr>().ok()?), None),
        },
    };
    let fine = |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
    port.is_none_or(fine).then(|| ip.to_canonical())
}

/// Parts between separators that stand outside of quotes; `None` when a quote stays open.
fn split(text: &str, separator: char) -> Option<Vec<&str>> {
    let (mut quoted, mut escaped) = (false, false);
    let parts = text.split(|c: char| {
        let was_escaped = std::mem::take(&mut escaped);
        match c {
            '\\' if quoted && !was_escaped => escaped = true,
            '"' if !was_escaped => quoted = !quoted,
            _ => {}
        }
        c == separator && !quoted
    });
    let parts = parts.collect();
    (!quoted).then_some(parts)
}

/// A value with its quotes taken off. Some proxies leave out the quotes that RFC 7239 wants around
/// colons and brackets; that cannot be misread.
fn unquote(value: &str) -> Option<String> {
    let Some(inner) = value.strip_prefix('"') else {
        let plain = !value.is_empty() && value.bytes().all(|b| b.is_ascii_graphic() && b != b'"');
        return plain.then(|| value.to_owned());
    };
    let mut out = String::new();
    let mut rest = inner.strip_suffix('"')?.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => out.push(rest.next()?),
            '"' => return None,
            c => out.push(c),
        }
    }
    Some(out)
}

/// Without the optional white space of HTTP (RFC 9110, section 5.6.3).
fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

#[cfg(test)]
mod tests;
