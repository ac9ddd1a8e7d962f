//! The URLs that Moxxie writes into scripts and configs.

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
    /// Links for the configured public URL, else for the request's own `Host`. A host without a
    /// port (OVMF leaves it out, measured) gets the listener's.
    pub fn of(public_url: Option<&str>, headers: &HeaderMap, port: u16) -> Result<Links, BadHost> {
        if let Some(url) = public_url {
            return Ok(Links { base: url.to_owned() });
        }
        let mut hosts = headers.get_all(header::HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return Err(BadHost) };
        let host = host.to_str().ok().filter(|h| is_authority(h)).ok_or(BadHost)?;
        let has_port = host.rsplit_once(':').is_some_and(|(_, p)| !p.contains(']'));
        let base = match has_port {
            true => format!("http://{host}"),
            false => format!("http://{host}:{port}"),
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
        Links::of(None, &headers, 8080).map(|l| l.base)
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
        assert_eq!(Links::of(None, &twice, 1), Err(BadHost));
        assert_eq!(Links::of(Some("http://x"), &twice, 1).unwrap().base, "http://x");
    }
}
