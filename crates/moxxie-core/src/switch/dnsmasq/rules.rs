//! What tells clients apart and what each of them loads: the rules that every device with dnsmasq in
//! it shares, whatever its own language around them.

use super::line::{Field, Line, Tag};
use crate::switch::{Arch, Lease, NameError, Network, Stage};
use std::net::Ipv4Addr;

/// The tag of iPXE itself.
pub(crate) const IPXE: &str = "moxxie_ipxe";

/// The tag of a kind of client.
pub(crate) fn tag(arch: Arch) -> &'static str {
    match arch {
        Arch::Bios => "moxxie_bios",
        Arch::Ia32 => "moxxie_efi32",
        Arch::X64 => "moxxie_efi64",
        Arch::Arm64 => "moxxie_arm64",
        Arch::HttpX64 => "moxxie_http64",
        Arch::HttpArm64 => "moxxie_httparm",
    }
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rule {
    /// A client whose user class is `iPXE` is iPXE.
    IpxeClass,
    /// So is one that sends option 175, whatever user class its builder gave it.
    IpxeOption,
    /// A client whose option 93 has this number is of this kind.
    Arch(Arch, u16),
    /// UEFI HTTP boot takes only an answer that says `HTTPClient` back.
    SayHttp { arch: Arch, when: Vec<Tag> },
    /// What these clients load, and from which TFTP server; `None` is dnsmasq itself, or a URL.
    Boot { name: &'static str, when: Vec<Tag>, file: String, server: Option<Ipv4Addr> },
    /// A fixed address.
    Host(Lease),
}

/// The rules for this network. `within` is a tag that its clients carry anyway, so that no other
/// network is touched; `server` is who hands out loaders.
///
/// No two [`Rule::Boot`] fit one client: iPXE sends option 93 too, so every loader's rule wants its
/// absence. Of several that fit, dnsmasq 2.90 takes the last in the file.
pub(crate) fn rules(network: &Network, within: Option<&Tag>, server: Option<Ipv4Addr>) -> Vec<Rule> {
    let mut rules = vec![Rule::IpxeClass, Rule::IpxeOption];
    for &arch in &network.arches {
        rules.extend(arch.codes().iter().map(|&code| Rule::Arch(arch, code)));
    }
    let within: Vec<Tag> = within.into_iter().cloned().collect();
    for &arch in &network.arches {
        let when = [within.clone(), vec![Tag::lacks(IPXE), Tag::has(tag(arch))]].concat();
        if arch.is_http() {
            rules.push(Rule::SayHttp { arch, when: when.clone() });
        }
        let server = server.filter(|_| !arch.is_http());
        rules.push(Rule::Boot { name: tag(arch), when, file: network.loader(arch), server });
    }
    if network.stage2 != Stage::Embedded {
        let when = [within, vec![Tag::has(IPXE)]].concat();
        rules.push(Rule::Boot { name: IPXE, when, file: network.boot_url.to_string(), server: None });
    }
    rules.extend(network.leases.iter().cloned().map(Rule::Host));
    rules
}

impl Rule {
    /// The rule in dnsmasq's own language.
    pub(crate) fn line(&self) -> Result<Line, NameError> {
        Ok(match self {
            Rule::IpxeClass => Line::new("dhcp-userclass").with("set:moxxie_ipxe").with("iPXE"),
            Rule::IpxeOption => Line::new("dhcp-match").with("set:moxxie_ipxe").with(175),
            Rule::Arch(arch, code) => Line::new("dhcp-match")
                .with(Field::text(&format!("set:{}", tag(*arch)))?)
                .with("option:client-arch")
                .with(*code),
            Rule::SayHttp { when, .. } => {
                Line::new("dhcp-option-force").all(when).with(60).with("HTTPClient")
            }
            Rule::Boot { when, file, server, .. } => {
                let line = Line::new("dhcp-boot").all(when).with(Field::text(file)?);
                match server {
                    // The server's name stays empty: some clients would look it up.
                    Some(address) => line.with("").with(*address),
                    None => line,
                }
            }
            Rule::Host(lease) => {
                let line = Line::new("dhcp-host").with(lease.mac).with(lease.address);
                match is_host_name(lease.node.as_str()) {
                    true => line.with(Field::text(lease.node.as_str())?),
                    false => line,
                }
            }
        })
    }
}

/// Whether dnsmasq takes a node's name in `dhcp-host` for a name: `ignore` refuses the machine there,
/// `infinite`, `45m` and `10` are times, and an address replaces the one before it (dnsmasq(8)).
pub(in crate::switch) fn is_host_name(name: &str) -> bool {
    let time = name.strip_suffix(['s', 'm', 'h', 'd', 'w']).unwrap_or(name);
    let is_time = !time.is_empty() && time.bytes().all(|b| b.is_ascii_digit());
    !(is_time || matches!(name, "ignore" | "infinite") || name.parse::<std::net::Ipv4Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::is_host_name;

    #[test]
    fn names_that_are_something_else() {
        for other in ["ignore", "infinite", "45m", "10", "1w", "8.8.8.8"] {
            assert!(!is_host_name(other), "{other}");
        }
        for name in ["cp-1", "m", "ignore-1", "10-a", "worker-1.rack2", "8.8.8"] {
            assert!(is_host_name(name), "{name}");
        }
    }
}
