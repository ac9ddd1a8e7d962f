//! Which servers files are fetched from: the URL's shape, its port, and every address behind its
//! name.

use crate::http::error::{ApiError, ApiResult};
use moxxie_core::net::Networks;
use std::net::{IpAddr, SocketAddr};
use url::Url;

/// Ports above 1023 where other protocols than HTTP listen and take a request's lines for
/// commands: Redis and memcached.
const OTHER_PROTOCOLS: [u16; 2] = [6379, 11211];

/// The shape of a URL that may be fetched; `pointer` is the field it came in.
pub fn check(text: &str, pointer: &str) -> ApiResult<Url> {
    let bad = |why: &str| ApiError::field(pointer, why);
    if text.len() > 2048 || text.contains(|c: char| c.is_control() || c == '\\' || c == ' ') {
        return Err(bad("not a URL that is fetched here"));
    }
    let url = Url::parse(text).map_err(|e| bad(&format!("not a URL: {e}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(bad("only http:// and https:// are fetched"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("credentials in a URL would end up in logs; use a URL without"));
    }
    if !url.has_host() {
        return Err(bad("names no server"));
    }
    match url.port_or_known_default() {
        Some(port) if OTHER_PROTOCOLS.contains(&port) => {}
        Some(80 | 443 | 1024..) => return Ok(url),
        _ => {}
    }
    Err(bad("not a port that is fetched from: use 80, 443 or one from 1024 up"))
}

/// Host and port of a URL, for messages. Its path and query may hold secrets.
pub fn place(url: &Url) -> String {
    let host = url.host_str().unwrap_or("?");
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Why a server's addresses are not used.
#[derive(Debug)]
pub enum Unreachable {
    /// The name has no address now.
    Unknown,
    /// One of its addresses is not a public one.
    Inside(IpAddr),
}

/// The addresses behind a URL's name. All of them have to be public or listed: a name that also
/// points inside is a trap, not a mirror.
pub async fn resolve(url: &Url, allow: &Networks) -> Result<Vec<SocketAddr>, Unreachable> {
    let port = url.port_or_known_default().unwrap_or(80);
    let found = tokio::net::lookup_host((bare_host(url), port)).await.map_err(|_| Unreachable::Unknown)?;
    let found: Vec<SocketAddr> = found.collect();
    match found.iter().find(|a| !may_reach(a.ip(), allow)) {
        Some(inside) => Err(Unreachable::Inside(inside.ip())),
        None => Ok(found),
    }
}

/// The host without the brackets of an IPv6 address.
pub fn bare_host(url: &Url) -> &str {
    url.host_str().unwrap_or("").trim_start_matches('[').trim_end_matches(']')
}

/// Whether an address is a public one, or listed.
fn may_reach(ip: IpAddr, allow: &Networks) -> bool {
    let ip = ip.to_canonical();
    if allow.contains(ip) {
        return true;
    }
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            let special = ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_broadcast()
                || ip.is_documentation()
                || ip.is_multicast()
                || a == 0
                || a >= 240
                || (a == 100 && (64..128).contains(&b))
                || (a == 198 && (18..20).contains(&b))
                || (a == 192 && b == 0)
                || ip.octets()[..3] == [192, 88, 99];
            !special
        }
        IpAddr::V6(ip) => {
            // Global unicast is 2000::/3; 6to4 and Teredo carry an IPv4 address inside.
            let [a, b, ..] = ip.segments();
            // Below 2001:200:: lie protocol assignments, in 3fff::/20 and 2001:db8::/32 examples.
            (a & 0xe000) == 0x2000
                && a != 0x2002
                && !(a == 0x2001 && (b < 0x200 || b == 0xdb8))
                && !(a == 0x3fff && b < 0x1000)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inner_addresses_are_refused_in_every_spelling() {
        let none = Networks::default();
        for text in [
            "http://169.254.169.254/",
            "http://[::ffff:169.254.169.254]/",
            "http://0x7f.1/",
            "http://2130706433/",
            "http://[::1]/",
            "http://10.0.0.1/",
            "http://192.168.1.1/",
            "http://100.64.0.1/",
            "http://0.0.0.0/",
            "http://[fe80::1]/",
            "http://[fc00::1]/",
            "http://[2002:7f00:1::]/",
            "http://[::127.0.0.1]/",
            "http://224.0.0.1/",
        ] {
            let url = check(text, "/url").unwrap();
            let ip: IpAddr = match url.host() {
                Some(url::Host::Ipv4(ip)) => ip.into(),
                Some(url::Host::Ipv6(ip)) => ip.into(),
                other => panic!("{text}: {other:?}"),
            };
            assert!(!may_reach(ip, &none), "{text}");
        }
        assert!(may_reach("93.184.216.34".parse().unwrap(), &none));
        assert!(may_reach("2606:2800:220::1".parse().unwrap(), &none));
        assert!(may_reach("10.0.0.1".parse().unwrap(), &Networks::read(["10.0.0.0/24"]).unwrap()));
    }

    #[test]
    fn only_plain_web_urls() {
        for text in [
            "file:///etc/passwd",
            "gopher://x/",
            "ftp://x/",
            "data:,x",
            "unix:/x",
            "http+unix://x/",
            "jar:http://x!/",
            "http://u:p@x/",
            "http://x:0/",
            "http://x:22/",
            "http://x:25/",
            "http://x:6379/",
            "http://x:11211/",
            "http://[fe80::1%25eth0]/",
            "http:\\\\x",
            "http://x/\ty",
            "",
            "x",
            "http://",
        ] {
            assert!(check(text, "/url").is_err(), "{text}");
        }
        for text in ["http://x/", "https://x/", "http://x:443/", "https://x:8080/", "http://[::1]:65535/a?b"]
        {
            assert!(check(text, "/url").is_ok(), "{text}");
        }
        let url = check("http://x:8080/a?token=secret", "/url").unwrap();
        assert_eq!(place(&url), "x:8080");
    }
}
