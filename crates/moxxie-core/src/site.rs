//! What holds for the whole installation.

use crate::net::Networks;
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
    pub provisioning: Networks,
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
            provisioning: Networks::private(),
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
    fn tokens_stay_in_their_network() {
        let site = Site::default();
        for (ip, network) in
            [("10.1.2.3", "10.1.2.0/24"), ("::ffff:10.1.2.3", "10.1.2.0/24"), ("fd00::1:2:3:4", "fd00::/64")]
        {
            assert_eq!(site.token_network(ip.parse().unwrap()).to_string(), network);
        }
    }
}
