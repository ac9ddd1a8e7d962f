//! What holds for the whole installation.

use crate::params::Params;
use crate::profile::LocalBoot;
use crate::time::Span;
use ipnet::IpNet;
use std::net::IpAddr;

/// The settings of a site that the boot decision and the templates depend on.
#[derive(Debug, Clone, PartialEq)]
pub struct Site {
    /// Values for every template, below the profile's.
    pub params: Params,
    /// Networks that boot tokens may be minted for; the allowlist unless narrowed.
    pub provisioning: Vec<IpNet>,
    /// How machines that nobody assigned reach their disk.
    pub local_boot: LocalBoot,
    /// How long an armed machine may wait for its first boot.
    pub arm_window: Span,
    /// How long a started boot may go on.
    pub boot_window: Span,
    /// How long a delivered config is repeated to the same token.
    pub repeat_window: Span,
    /// How often a token may be used after its first use, per resource.
    pub repeat_uses: i64,
    /// After this long without a report a delivered machine counts as installed.
    pub settle: Span,
    /// Prefix length within which a token may change its IPv4 address.
    pub token_prefix_v4: u8,
    /// The same for IPv6.
    pub token_prefix_v6: u8,
}

impl Default for Site {
    fn default() -> Self {
        Site {
            params: Params::default(),
            provisioning: default_networks(),
            local_boot: LocalBoot::Auto,
            arm_window: Span::days(7),
            boot_window: Span::hours(4),
            repeat_window: Span::minutes(10),
            repeat_uses: 20,
            settle: Span::minutes(30),
            token_prefix_v4: 24,
            token_prefix_v6: 64,
        }
    }
}

/// Private, link-local and loopback ranges (RFC 1918, 3927, 4193, 4291, 6598, and the
/// benchmarking range of RFC 2544).
pub fn default_networks() -> Vec<IpNet> {
    [
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "169.254.0.0/16",
        "127.0.0.0/8",
        "198.18.0.0/15",
        "fc00::/7",
        "fe80::/10",
        "::1/128",
    ]
    .iter()
    .filter_map(|text| text.parse().ok())
    .collect()
}

/// Whether one of the networks holds the address; an IPv4 address inside IPv6 counts as IPv4.
pub fn contains(networks: &[IpNet], ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    networks.iter().any(|net| net.contains(&ip))
}

impl Site {
    /// The network within which a token minted for this address may be used.
    pub fn token_network(&self, ip: IpAddr) -> IpNet {
        let ip = ip.to_canonical();
        let length = match ip {
            IpAddr::V4(_) => self.token_prefix_v4.min(32),
            IpAddr::V6(_) => self.token_prefix_v6.min(128),
        };
        IpNet::new(ip, length).map(|net| net.trunc()).unwrap_or_else(|_| IpNet::from(ip))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_addresses_count_as_ipv4() {
        let nets = default_networks();
        assert_eq!(nets.len(), 10);
        assert!(contains(&nets, "::ffff:10.0.0.5".parse().unwrap()));
        assert!(!contains(&nets, "8.8.8.8".parse().unwrap()));
        assert!(!contains(&nets, "2001:db8::1".parse().unwrap()));
        let site = Site::default();
        assert_eq!(site.token_network("10.1.2.3".parse().unwrap()).to_string(), "10.1.2.0/24");
    }
}
