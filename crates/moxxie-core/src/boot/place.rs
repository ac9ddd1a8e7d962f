//! Where a machine may boot from: networks, from the site's down to its own.

use crate::boot::decide::Known;
use crate::site::{self, Site};
use ipnet::IpNet;
use serde::Deserialize;
use std::net::IpAddr;

/// Networks in one list at most.
pub const MOST_NETWORKS: usize = 256;

/// Whose list of networks does not hold an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// The site's; it bounds every other.
    Site,
    /// The profile's.
    Profile,
    /// The machine's own.
    Machine,
}

/// The list that refuses this address, if any. The site's always counts; below it the narrowest
/// that is set: the machine's own, else its profile's. An empty list holds no address.
pub fn refusing(known: &Known, ip: IpAddr, site: &Site) -> Option<List> {
    if !site::contains(&site.provisioning, ip) {
        return Some(List::Site);
    }
    // From the narrowest to the widest, as everywhere: machine, (selector rule), profile, site.
    let lists = [
        (List::Machine, &known.assignment.spec.provisioning),
        (List::Profile, &known.shelf.profile.spec.provisioning),
    ];
    let (whose, list) = lists.into_iter().find_map(|(whose, list)| Some((whose, list.as_ref()?)))?;
    (!site::contains(list, ip)).then_some(whose)
}

/// The first of these networks that lies outside the site's.
pub fn beyond<'a>(list: &'a [IpNet], site: &Site) -> Option<&'a IpNet> {
    list.iter().find(|net| !site.provisioning.iter().any(|wide| wide.contains(*net)))
}

/// Reads a network: an address, a slash and a length, no host bits, no address of IPv4 inside IPv6.
pub fn network(text: &str) -> Result<IpNet, String> {
    let wanted = || format!("{text:?} is not a network such as 10.0.0.0/8");
    let (ip, length) = text.split_once('/').ok_or_else(wanted)?;
    let ip: IpAddr = ip.parse().map_err(|_| wanted())?;
    if !length.bytes().all(|b| b.is_ascii_digit()) || length.starts_with('0') && length != "0" {
        return Err(wanted());
    }
    let net = length.parse().ok().and_then(|n: u8| IpNet::new(ip, n).ok()).ok_or_else(wanted)?;
    if ip != ip.to_canonical() {
        return Err(format!("{text:?}: write IPv4 networks as IPv4"));
    }
    if net.trunc() != net {
        return Err(format!("{text:?} has host bits set; did you mean {}?", net.trunc()));
    }
    Ok(net)
}

/// Reads a list of networks out of JSON; null is no list.
pub fn networks<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Vec<IpNet>>, D::Error> {
    use serde::de::Error;
    let Some(texts) = Option::<Vec<String>>::deserialize(from)? else { return Ok(None) };
    if texts.len() > MOST_NETWORKS {
        return Err(D::Error::custom(format!("at most {MOST_NETWORKS} networks")));
    }
    let nets: Result<Vec<IpNet>, String> = texts.iter().map(|text| network(text)).collect();
    nets.map(Some).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_strictly() {
        for good in ["10.0.0.0/8", "10.0.0.9/32", "fd00::/8", "0.0.0.0/0"] {
            assert_eq!(network(good).unwrap().to_string(), good);
        }
        for bad in [
            "10.0.0.1/8",
            "010.0.0.0/8",
            "10.0.0.0/33",
            "10.0.0.0/08",
            "10.0.0.0/+8",
            "10.0.0.0/",
            "10.0.0.0",
            "10.0/16",
            "::ffff:10.0.0.0/104",
            "fe80::1%eth0/64",
            "",
        ] {
            assert!(network(bad).is_err(), "{bad}");
        }
    }
}
