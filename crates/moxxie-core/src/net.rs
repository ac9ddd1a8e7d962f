//! Sets of networks: who may ask, who is believed, what may be reached.

use ipnet::IpNet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The word in a list that stands for every address. `/0` is refused: it is a slip more often
/// than it is meant.
pub const ANY: &str = "any";

/// An immutable set of addresses, written as networks. A look-up is one binary search, however
/// long the list is.
///
/// IPv4 and IPv6 lie apart. An IPv4 address inside IPv6 (`::ffff:10.0.0.5`, RFC 4291, section
/// 2.5.5.2) is the IPv4 address, so no IPv6 network holds it, however wide; older embeddings
/// (`::10.0.0.5`, 6to4, NAT64) are IPv6 addresses like others.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Networks {
    /// As written.
    prefixes: Vec<IpNet>,
    v4: Ranges,
    v6: Ranges,
}

impl Networks {
    /// Every address.
    pub fn any() -> Networks {
        whole().into_iter().collect()
    }

    /// Private, link-local and loopback ranges (RFC 1918, 3927, 4193, 4291, 6598, and the
    /// benchmarking range of RFC 2544).
    pub fn private() -> Networks {
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
        .filter_map(|text| read(text).ok())
        .collect()
    }

    /// Reads a list as operators write it; the first text that is no network ends it.
    pub fn read<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Result<Networks, BadNetwork> {
        let mut prefixes = Vec::new();
        for text in texts {
            match text.as_ref() {
                ANY => prefixes.extend(whole()),
                text => prefixes.push(read(text)?),
            }
        }
        Ok(prefixes.into_iter().collect())
    }

    /// Whether the address is in the set. The unspecified address (`0.0.0.0`, `::`) is nobody's:
    /// no set holds it.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match ip.to_canonical() {
            ip if ip.is_unspecified() => false,
            IpAddr::V4(ip) => self.v4.contains(ip.to_bits().into()),
            IpAddr::V6(ip) => self.v6.contains(ip.to_bits()),
        }
    }

    /// Whether every address of this network is in the set.
    pub fn covers(&self, net: &IpNet) -> bool {
        match canonical(*net) {
            IpNet::V4(net) => {
                self.v4.covers(net.network().to_bits().into(), net.broadcast().to_bits().into())
            }
            IpNet::V6(net) => self.v6.covers(net.network().to_bits(), net.broadcast().to_bits()),
        }
    }

    /// Whether no address is in the set.
    pub fn is_empty(&self) -> bool {
        self.prefixes.is_empty()
    }

    /// Whether every address is in the set.
    pub fn is_any(&self) -> bool {
        let all = Networks::any();
        (&self.v4, &self.v6) == (&all.v4, &all.v6)
    }

    /// The networks, in the order they were written.
    pub fn prefixes(&self) -> &[IpNet] {
        &self.prefixes
    }

    /// Some address of the set, for showing what a machine in it would get.
    pub fn example(&self) -> Option<IpAddr> {
        self.prefixes.first().and_then(|net| net.hosts().find(|ip| !ip.is_unspecified()))
    }

    /// The list as [`Networks::read`] reads it.
    pub fn texts(&self) -> Vec<String> {
        match self.prefixes.as_slice() {
            all if all == whole() => vec![ANY.to_owned()],
            some => some.iter().map(IpNet::to_string).collect(),
        }
    }
}

fn whole() -> [IpNet; 2] {
    [IpNet::V4(Default::default()), IpNet::V6(Default::default())]
}

impl FromIterator<IpNet> for Networks {
    fn from_iter<I: IntoIterator<Item = IpNet>>(nets: I) -> Networks {
        let prefixes: Vec<IpNet> = nets.into_iter().map(|net| canonical(net).trunc()).collect();
        let v4 = prefixes.iter().filter_map(|net| match net {
            IpNet::V4(net) => Some((net.network().to_bits().into(), net.broadcast().to_bits().into())),
            IpNet::V6(_) => None,
        });
        let v6 = prefixes.iter().filter_map(|net| match net {
            IpNet::V4(_) => None,
            IpNet::V6(net) => Some((net.network().to_bits(), net.broadcast().to_bits())),
        });
        Networks { v4: v4.collect(), v6: v6.collect(), prefixes }
    }
}

impl serde::Serialize for Networks {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.texts())
    }
}

impl<'de> serde::Deserialize<'de> for Networks {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Networks, D::Error> {
        Networks::read(Vec::<String>::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

impl fmt::Debug for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.texts()).finish()
    }
}

/// Disjoint ranges, first and last, in ascending order; neighbors are joined.
#[derive(Clone, Default, PartialEq, Eq)]
struct Ranges(Vec<(u128, u128)>);

impl Ranges {
    fn contains(&self, bits: u128) -> bool {
        self.covers(bits, bits)
    }

    /// Neighbors are joined, so what lies in several ranges is not in the set.
    fn covers(&self, from: u128, to: u128) -> bool {
        let after = self.0.partition_point(|(first, _)| *first <= from);
        let before = after.checked_sub(1).and_then(|at| self.0.get(at));
        before.is_some_and(|(_, last)| to <= *last)
    }
}

impl FromIterator<(u128, u128)> for Ranges {
    fn from_iter<I: IntoIterator<Item = (u128, u128)>>(ranges: I) -> Ranges {
        let mut sorted: Vec<_> = ranges.into_iter().collect();
        sorted.sort_unstable();
        let mut joined: Vec<(u128, u128)> = Vec::new();
        for (first, last) in sorted {
            match joined.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
                _ => joined.push((first, last)),
            }
        }
        Ranges(joined)
    }
}

/// A text that is not a network, and what was probably meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} {why}")]
pub struct BadNetwork {
    /// Its beginning.
    text: String,
    why: String,
}

/// Reads one network, `10.0.0.0/8` or `fd00::/8`; a bare address is a network of one. Strict:
/// what two programs could read differently is refused.
pub fn read(text: &str) -> Result<IpNet, BadNetwork> {
    let bad = |why: String| BadNetwork { text: text.chars().take(60).collect(), why };
    if text.trim().is_empty() {
        return Err(bad("is empty; write a network such as 10.0.0.0/8".into()));
    }
    if text == ANY {
        return Err(bad("stands for every address; a network is wanted here".into()));
    }
    if let Some((before, _)) = text.split_once('%') {
        return Err(bad(format!("names an interface (%…); did you mean {before}?")));
    }
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    if let Some(meant) = without_leading_zeros(address) {
        let rest = length.map(|length| format!("/{length}")).unwrap_or_default();
        return Err(bad(format!(
            "has a leading zero, which some programs read as octal; did you mean {meant}{rest}?"
        )));
    }
    let ip: IpAddr = address
        .parse()
        .map_err(|_| bad("is not an address or a network such as 10.0.0.0/8 or fd00::/8".into()))?;
    let most = if ip.is_ipv4() { 32 } else { 128 };
    let bits = match length {
        None => most,
        Some(length) => prefix_length(length, most).map_err(|why| {
            bad(match netmask(length).filter(|_| ip.is_ipv4()) {
                Some(bits) => format!("has a netmask; did you mean {address}/{bits}?"),
                None => why,
            })
        })?,
    };
    let net = IpNet::new(ip, bits).map_err(|_| bad(format!("has a prefix longer than {most} bits")))?;
    let net = canonical(net);
    if net.trunc() != net {
        return Err(bad(format!("has host bits set; did you mean {}?", net.trunc())));
    }
    if net.prefix_len() == 0 {
        return Err(bad(format!("is every address; if you mean that, write {ANY:?}")));
    }
    Ok(net)
}

/// An IPv4 network written as IPv6 (`::ffff:10.0.0.0/104`) is the IPv4 network.
fn canonical(net: IpNet) -> IpNet {
    let IpNet::V6(v6) = net else { return net };
    match (v6.addr().to_ipv4_mapped(), v6.prefix_len().checked_sub(96)) {
        (Some(v4), Some(bits)) => IpNet::new(v4.into(), bits).unwrap_or(net),
        _ => net,
    }
}

fn prefix_length(text: &str, most: u8) -> Result<u8, String> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse::<u8>() {
        Ok(bits) if plain && bits <= most && (text == "0" || !text.starts_with('0')) => Ok(bits),
        _ if plain && !text.starts_with('0') => Err(format!("has a prefix longer than {most} bits")),
        _ => Err(format!("has no prefix length from 1 to {most} behind the slash")),
    }
}

/// The prefix length of a netmask such as `255.0.0.0`.
fn netmask(text: &str) -> Option<u8> {
    let mask: Ipv4Addr = text.parse().ok()?;
    let bits = mask.to_bits();
    (bits.leading_ones() + bits.trailing_zeros() == 32)
        .then(|| u8::try_from(bits.leading_ones()).unwrap_or(32))
}

/// The dotted part without its leading zeros, when it has some.
fn without_leading_zeros(address: &str) -> Option<String> {
    let dotted = address.rsplit(':').next().filter(|dotted| dotted.contains('.'))?;
    let stripped: Vec<&str> = dotted
        .split('.')
        .map(|part| match part.trim_start_matches('0') {
            "" if !part.is_empty() => "0",
            rest => rest,
        })
        .collect();
    let stripped = stripped.join(".");
    let meant = format!("{}{stripped}", &address[..address.len() - dotted.len()]);
    let valid = meant.parse::<Ipv4Addr>().is_ok() || meant.parse::<Ipv6Addr>().is_ok();
    (valid && stripped != dotted).then_some(meant)
}

#[cfg(test)]
mod tests;
