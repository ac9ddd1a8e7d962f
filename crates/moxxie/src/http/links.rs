//! The URLs that Moxxie writes into scripts and configs.

use crate::http::extract::{Door, Serves};
use axum::http::{HeaderMap, header};
use moxxie_core::ipxe::Word;
use moxxie_core::mac::MacAddr;
use moxxie_core::name::ProfileName;

/// Builds links below one base URL, `http://host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Links {
    base: String,
}

/// Why links cannot be built for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the Host header is missing, repeated or not a host name or address")]
pub struct BadHost;

impl Links {
    /// Links for the configured public URL, else for the request's own `Host`, over TLS as the
    /// request came. A host without a port (OVMF leaves it out, measured) gets the listener's. What
    /// people are shown leads to the main listener: theirs has no boot routes.
    pub fn of(public_url: Option<&str>, headers: &HeaderMap, door: Door) -> Result<Links, BadHost> {
        if let Some(url) = public_url {
            return Ok(Links { base: url.to_owned() });
        }
        let mut hosts = headers.get_all(header::HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return Err(BadHost) };
        let host = host.to_str().ok().filter(|h| is_authority(h)).ok_or(BadHost)?;
        let people = door.serves == Serves::People;
        let scheme = if door.tls && !people { "https" } else { "http" };
        let base = match host.rsplit_once(':').filter(|(_, port)| !port.contains(']')) {
            Some((name, _)) if people => format!("{scheme}://{name}:{}", door.port),
            Some(_) => format!("{scheme}://{host}"),
            None => format!("{scheme}://{host}:{}", door.port),
        };
        // The encoder has the last word on what may enter a script.
        Word::new(base.as_str()).map_err(|_| BadHost)?;
        Ok(Links { base })
    }

    /// Links below the base URL that a boot session began with.
    pub fn below(base: &str) -> Links {
        Links { base: base.to_owned() }
    }

    /// Links of the length of real ones, for checking templates.
    pub fn sample() -> Links {
        Links { base: "http://192.168.100.100:8080".into() }
    }

    /// `http://host:port`.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The menu, or the script of a profile.
    pub fn script(&self, profile: Option<&ProfileName>) -> String {
        match profile {
            Some(name) => format!("{}/boot/{name}.ipxe", self.base),
            None => format!("{}/boot/menu.ipxe", self.base),
        }
    }

    /// The folder of a profile's assets, without a slash at the end.
    pub fn assets(&self, profile: &ProfileName) -> String {
        format!("{}/boot/assets/{profile}", self.base)
    }

    /// A machine's config; the token is left out for previews.
    pub fn config(&self, profile: &ProfileName, mac: MacAddr, token: Option<&str>) -> String {
        let base = &self.base;
        match token {
            Some(token) => format!("{base}/boot/configs/{profile}/{mac}?t={token}"),
            None => format!("{base}/boot/configs/{profile}/{mac}"),
        }
    }

    /// Where a machine reports; `&stage=…&message=…` may follow.
    pub fn report(&self, token: &str) -> String {
        format!("{}/boot/report?t={token}", self.base)
    }
}

/// Host name or address with an optional port: nothing that could end a URL's authority.
fn is_authority(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) => {
                let fine = address.parse::<std::net::Ipv6Addr>().is_ok();
                return fine && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
            }
            None => return false,
        },
        None => match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        },
    };
    // The dot of a fully qualified name may stand; a name like "-x" is an option to some tools.
    let mut labels = name.strip_suffix('.').unwrap_or(name).split('.');
    (1..=253).contains(&name.len())
        && labels.all(|label| !label.is_empty() && !label.starts_with('-'))
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
        && port.is_none_or(is_port)
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|p| p > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(host: &str) -> Result<String, BadHost> {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        Links::of(None, &headers, Door { port: 8080, ..Door::default() }).map(|l| l.base)
    }

    #[test]
    fn links_lead_where_machines_are_served() {
        let links = |host: &str, tls, serves| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            Links::of(None, &headers, Door { port: 8443, tls, serves }).unwrap().base
        };
        assert_eq!(links("boot.example", true, Serves::Everybody), "https://boot.example:8443");
        assert_eq!(links("boot.example:443", true, Serves::Machines), "https://boot.example:443");
        assert_eq!(links("127.0.0.1:8081", true, Serves::People), "http://127.0.0.1:8443");
        assert_eq!(links("[::1]:8081", false, Serves::People), "http://[::1]:8443");
    }

    #[test]
    fn the_host_is_believed_only_as_an_authority() {
        assert_eq!(links("10.0.0.1:9000").unwrap(), "http://10.0.0.1:9000");
        assert_eq!(links("10.0.0.1").unwrap(), "http://10.0.0.1:8080", "as OVMF sends it");
        assert_eq!(links("[fd00::1]").unwrap(), "http://[fd00::1]:8080");
        assert_eq!(links("[fd00::1]:81").unwrap(), "http://[fd00::1]:81");
        assert_eq!(links("boot_1.a-b.example.").unwrap(), "http://boot_1.a-b.example.:8080");
        for bad in [
            "",
            "a b",
            "a/../b",
            "user@host",
            "host:99999",
            "host:",
            "host:0",
            "a${b}",
            "a#b",
            "a?b",
            "[::1",
            "[x]",
            "a\\b",
            "host:80:80",
            "-x",
            "a.-b",
            ".",
            "..",
            ".a",
            "a..b",
            "a..",
            ".:80",
        ] {
            assert_eq!(links(bad), Err(BadHost), "{bad}");
        }
        let mut twice = HeaderMap::new();
        twice.append(header::HOST, "a".parse().unwrap());
        twice.append(header::HOST, "b".parse().unwrap());
        assert_eq!(Links::of(None, &twice, Door::default()), Err(BadHost));
        assert_eq!(Links::of(Some("http://x"), &twice, Door::default()).unwrap().base, "http://x");
    }
}
