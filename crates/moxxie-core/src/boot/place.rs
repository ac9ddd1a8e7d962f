//! Where a machine may boot from: networks, from the site's down to its own.

use crate::boot::decide::Known;
use crate::net::Networks;
use crate::site::Site;
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
    if !site.provisioning.contains(ip) {
        return Some(List::Site);
    }
    // From the narrowest to the widest, as everywhere: machine, (selector rule), profile, site.
    let lists = [
        (List::Machine, &known.assignment.spec.provisioning),
        (List::Profile, &known.shelf.profile.spec.provisioning),
    ];
    let (whose, list) = lists.into_iter().find_map(|(whose, list)| Some((whose, list.as_ref()?)))?;
    (!list.contains(ip)).then_some(whose)
}

/// The first of these networks that lies outside the site's.
pub fn beyond<'a>(list: &'a Networks, site: &Site) -> Option<&'a IpNet> {
    list.prefixes().iter().find(|net| !site.provisioning.covers(net))
}

/// Reads a list of networks out of JSON; null is no list.
pub fn networks<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Networks>, D::Error> {
    let list = Option::<Networks>::deserialize(from)?;
    if list.as_ref().is_some_and(|list| list.prefixes().len() > MOST_NETWORKS) {
        return Err(serde::de::Error::custom(format!("at most {MOST_NETWORKS} networks")));
    }
    Ok(list)
}
