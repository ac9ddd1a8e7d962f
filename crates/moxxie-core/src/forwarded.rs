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
    /// `Forwarded` and `X-Forwarded-For` tell of different clients: one of them came through from
    /// the client.
    Disagree,
}

impl BadForwarded {
    /// One short line. It repeats nothing that was sent.
    pub fn line(self) -> &'static str {
        match self {
            BadForwarded::TooLong => "forwarding headers too long",
            BadForwarded::TooManyHops => "forwarded over too many hops",
            BadForwarded::Unreadable => "a forwarding header is not readable",
            BadForwarded::Disagree => "Forwarded and X-Forwarded-For disagree",
        }
    }
}

/// The address of the client. `peer` is the other end of the connection.
///
/// `X-Real-IP` counts only where there is no list: proxies in a row overwrite it.
pub fn client(peer: IpAddr, lines: &Lines<'_>, proxies: &Networks) -> Result<IpAddr, BadForwarded> {
    let peer = peer.to_canonical();
    if !proxies.contains(peer) {
        return Ok(peer);
    }
    let all = [&lines.x_forwarded_for, &lines.forwarded, &lines.x_real_ip];
    if all.into_iter().flatten().map(|line| line.len()).sum::<usize>() > MAX_BYTES {
        return Err(BadForwarded::TooLong);
    }
    let plain = list(&lines.x_forwarded_for, x_forwarded_for, proxies)?;
    let standard = list(&lines.forwarded, forwarded, proxies)?;
    match (plain, standard) {
        (Some(plain), Some(standard)) if plain != standard => Err(BadForwarded::Disagree),
        (Some(client), _) | (_, Some(client)) => Ok(client),
        (None, None) => match lines.x_real_ip.as_slice() {
            [] => Ok(peer),
            [one] => {
                std::str::from_utf8(one).ok().and_then(|t| address(trim(t))).ok_or(BadForwarded::Unreadable)
            }
            _ => Err(BadForwarded::Unreadable),
        },
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

fn x_forwarded_for(element: &str) -> Option<IpAddr> {
    address(element)
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PROXY: &str = "10.9.0.1";

    fn proxies() -> Networks {
        Networks::read(["10.9.0.0/24", "fd09::/64"]).unwrap()
    }

    fn ask(peer: &str, lines: &[(&str, &str)]) -> Result<String, BadForwarded> {
        let all = |name: &str| lines.iter().filter(|(n, _)| *n == name).map(|(_, v)| v.as_bytes()).collect();
        let lines = Lines { x_forwarded_for: all("xff"), forwarded: all("fwd"), x_real_ip: all("real") };
        client(peer.parse().unwrap(), &lines, &proxies()).map(|ip| ip.to_string())
    }

    #[test]
    fn lists_are_read_from_the_right() {
        for (lines, client) in [
            (&[][..], PROXY),
            (&[("xff", "1.2.3.4")], "1.2.3.4"),
            (&[("xff", "9.9.9.9, 1.2.3.4")], "1.2.3.4"),
            (&[("xff", "9.9.9.9,1.2.3.4 ,\t10.9.0.2")], "1.2.3.4"),
            (&[("xff", "9.9.9.9"), ("xff", "1.2.3.4"), ("xff", "10.9.0.2, 10.9.0.3")], "1.2.3.4"),
            (&[("xff", "10.9.0.3, 10.9.0.2")], "10.9.0.3"),
            (&[("xff", "1.2.3.4:5555")], "1.2.3.4"),
            (&[("xff", "2001:db8::1")], "2001:db8::1"),
            (&[("xff", "[2001:db8::1]")], "2001:db8::1"),
            (&[("xff", "[2001:db8::1]:443")], "2001:db8::1"),
            (&[("xff", "::ffff:1.2.3.4")], "1.2.3.4"),
            (&[("xff", "1.2.3.4, ::ffff:10.9.0.2")], "1.2.3.4"),
            (&[("xff", "::10.9.0.2")], "::a09:2"),
            (&[("fwd", "for=1.2.3.4")], "1.2.3.4"),
            (&[("fwd", "For=1.2.3.4;proto=http;by=10.9.0.1")], "1.2.3.4"),
            (&[("fwd", "proto=http; FOR=\"[::1]\"")], "::1"),
            (&[("fwd", "for=\"[2001:db8::1]:80\", for=10.9.0.2")], "2001:db8::1"),
            (&[("fwd", "for=9.9.9.9;host=\"a,for=8.8.8.8;\\\"\", for=1.2.3.4")], "1.2.3.4"),
            (&[("fwd", "for=1.2.3.4:80")], "1.2.3.4"),
            (&[("fwd", "for=9.9.9.9"), ("fwd", "for=1.2.3.4")], "1.2.3.4"),
            (&[("fwd", "for=\"1.2.3\\.4\"")], "1.2.3.4"),
            (&[("fwd", "for=1.2.3.4"), ("xff", "1.2.3.4")], "1.2.3.4"),
            (&[("real", "1.2.3.4")], "1.2.3.4"),
            (&[("real", "9.9.9.9"), ("xff", "1.2.3.4")], "1.2.3.4"),
            (&[("real", "unknown"), ("xff", "1.2.3.4")], "1.2.3.4"),
        ] {
            assert_eq!(ask(PROXY, lines), Ok(client.to_owned()), "{lines:?}");
            // Nobody else is listened to, and a proxy is known in both spellings.
            assert_eq!(ask("10.8.0.1", lines), Ok("10.8.0.1".to_owned()), "{lines:?}");
            let mapped = ask(&format!("::ffff:{PROXY}"), lines);
            assert_eq!(mapped, Ok(client.to_owned()), "{lines:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        let long = format!("1.2.3.4{}", " ".repeat(MAX_BYTES));
        let hops = |n| vec!["1.2.3.4"; n].join(",");
        assert_eq!(ask(PROXY, &[("xff", &hops(MAX_HOPS))]), Ok("1.2.3.4".into()));
        for (lines, error) in [
            (&[("xff", long.as_str())][..], BadForwarded::TooLong),
            (&[("real", long.as_str())], BadForwarded::TooLong),
            (&[("xff", &hops(MAX_HOPS + 1))], BadForwarded::TooManyHops),
            (&[("xff", &hops(20)), ("xff", &hops(20))], BadForwarded::TooManyHops),
            (&[("fwd", "for=1.2.3.4"), ("xff", "4.3.2.1")], BadForwarded::Disagree),
        ] {
            assert_eq!(ask(PROXY, lines), Err(error), "{lines:?}");
            assert_eq!(ask("10.8.0.1", lines), Ok("10.8.0.1".into()), "not looked at");
        }
        for xff in [
            "",
            " ",
            ",",
            "1.2.3.4,",
            ",1.2.3.4",
            "unknown",
            "unknown, 1.2.3.4",
            "_hidden",
            "_hidden, 1.2.3.4",
            "fe80::1%eth0",
            "[fe80::1%1]",
            "fe80::1%25eth0",
            "010.0.0.1",
            "1.2.3",
            "0x1.2.3.4",
            "16909060",
            "1.2.3.4:",
            "1.2.3.4:x",
            "1.2.3.4:65536",
            "1.2.3.4:+1",
            "1.2.3.4:80:80",
            "[1.2.3.4]",
            "[::1",
            "::1]",
            "[::1]80",
            "[::1]:",
            "[::1]:_x",
            "\"1.2.3.4\"",
            "\"1.2.3.4",
            "1.2.3.4 5.6.7.8",
            "1.2.3.4;5.6.7.8",
            "for=1.2.3.4",
            "localhost",
            "１.2.3.4",
            "1.2.3.4/32",
            "1.2.3.4\u{a0}",
        ] {
            assert_eq!(ask(PROXY, &[("xff", xff)]), Err(BadForwarded::Unreadable), "{xff:?}");
            // With one address that could be read beside it.
            if xff != "1.2.3.4 5.6.7.8" {
                let beside = [("xff", "1.2.3.4"), ("xff", xff)];
                assert_eq!(ask(PROXY, &beside), Err(BadForwarded::Unreadable), "{xff:?}");
            }
        }
        for fwd in [
            "",
            "for=",
            "for",
            "for=\"\"",
            "for=unknown",
            "for=_x",
            "for=\"_x:80\"",
            "for=\"1.2.3.4",
            "proto=http",
            "for=1.2.3.4;for=1.2.3.4",
            "for=1.2.3.4,",
            "for=1.2.3.4, proto=http",
            "for=\"::1\"",
            "for=::1",
            "for=\"[::1%lo]\"",
            "for =1.2.3.4",
            "for= 1.2.3.4",
            "for=\"1.2.3.4\\\"",
            "for=\"a\"b",
            "1.2.3.4",
        ] {
            assert_eq!(ask(PROXY, &[("fwd", fwd)]), Err(BadForwarded::Unreadable), "{fwd:?}");
        }
        for real in ["", "unknown", "1.2.3.4, 5.6.7.8", "fe80::1%eth0"] {
            assert_eq!(ask(PROXY, &[("real", real)]), Err(BadForwarded::Unreadable), "{real:?}");
        }
        let twice = [("real", "1.2.3.4"), ("real", "1.2.3.4")];
        assert_eq!(ask(PROXY, &twice), Err(BadForwarded::Unreadable));
        let lines = Lines { x_forwarded_for: vec![b"\xff"], ..Lines::default() };
        assert!(client(PROXY.parse().unwrap(), &lines, &proxies()).is_err());
    }

    proptest! {
        /// Whatever a client writes, it is never taken for anybody but itself behind a proxy that
        /// adds the address it was reached from.
        #[test]
        fn nobody_passes_for_another(
            lies in prop::collection::vec((any::<bool>(), "[ -~]{0,40}|(for=)?[0-9.:,=\";\\\\]{0,20}|(for=)?6\\.6\\.6\\.6"), 0..4),
            address in any::<u32>(),
            standard in any::<bool>(),
            same_line in any::<bool>(),
        ) {
            let real = IpAddr::V4(Ipv4Addr::from_bits(address));
            prop_assume!(!proxies().contains(real));
            let own = match standard {
                true => format!("for=\"{real}\""),
                false => real.to_string(),
            };
            let (mut plain, mut forwarded): (Vec<String>, Vec<String>) = (vec![], vec![]);
            for (which, lie) in lies {
                if which { &mut forwarded } else { &mut plain }.push(lie);
            }
            let to = if standard { &mut forwarded } else { &mut plain };
            match to.last_mut() {
                Some(line) if same_line => line.push_str(&format!(", {own}")),
                _ => to.push(own),
            }
            let lines = Lines {
                x_forwarded_for: plain.iter().map(|line| line.as_bytes()).collect(),
                forwarded: forwarded.iter().map(|line| line.as_bytes()).collect(),
                x_real_ip: vec![b"6.6.6.6"],
            };
            if let Ok(found) = client(PROXY.parse().unwrap(), &lines, &proxies()) {
                prop_assert_eq!(found, real);
            }
        }
    }
}
