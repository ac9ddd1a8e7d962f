//! For platforms that leave the boot file to a server elsewhere: whom to relay to, what to know about
//! that, and the files for the server there.

use super::dnsmasq::Dnsmasq;
use super::kea::Kea;
use super::{Dialect, Network, Pool, Problem, Tftp, served};
use std::net::Ipv4Addr;

/// A file's name and its text.
type File = (String, String);

/// Whom to relay to: the addresses in `dhcp_server`, separated by spaces, or Moxxie's own.
pub(super) fn targets(network: &Network) -> Result<Vec<Ipv4Addr>, Problem> {
    let Some(given) = &network.dhcp_server else {
        let moxxie = network.boot_url.address().ok_or_else(|| {
            Problem::new(
                "dhcp_server",
                "name the address to relay to: the boot URL has a name, and a relay sends to addresses",
            )
        })?;
        return Ok(vec![moxxie]);
    };
    let mut targets = Vec::new();
    for word in given.as_str().split(' ') {
        let host = |address: &Ipv4Addr| {
            let first = address.octets()[0];
            first != 0 && first != 127 && first < 224
        };
        let Some(address) = word.parse().ok().filter(host) else {
            return Err(Problem::new(
                "dhcp_server",
                format!(
                    "{word:?} is no address of a host: write one or more to relay to, such as 10.0.0.10, separated by spaces"
                ),
            ));
        };
        if address == network.gateway {
            return Err(Problem::new(
                "dhcp_server",
                format!("{address} is the gateway: the device would relay to itself"),
            ));
        }
        if !targets.contains(&address) {
            targets.push(address);
        }
    }
    Ok(targets)
}

/// What to know about those addresses, and about the loaders.
pub(super) fn notes(network: &Network, targets: &[Ipv4Addr]) -> Vec<String> {
    let list = served::list(targets, " and ");
    let mut notes = vec![match network.dhcp_server {
        None => format!(
            "no dhcp_server= was given: DHCP is relayed to {list}, Moxxie's address, where a DHCP server has to run, for example dnsmasq with the companion file dnsmasq.conf"
        ),
        Some(_) => format!(
            "DHCP is relayed to {list}: what answers there decides what machines load, for example dnsmasq with the companion file dnsmasq.conf"
        ),
    }];
    for address in targets.iter().filter(|address| network.subnet.contains(*address)) {
        notes.push(format!(
            "{address} is in the machines' own network {}: if it is in their VLAN too, it hears them without a relay, and sees each request twice with one, which does no harm; leave the relay out unless the server moves",
            network.subnet
        ));
    }
    if let Some(Pool::Name(name)) = &network.pool {
        notes.push(format!("pool {name} is a pool of this device, but a relay has none: for the companion files, pool= takes a range"));
    }
    let by_tftp = network.arches.iter().any(|arch| !arch.is_http());
    if by_tftp && there_by_tftp(network) {
        notes.push("machines fetch their loaders by TFTP from that DHCP server: dnsmasq hands them out, once the companion file moxxie-loaders.sh has run there. tftp=moxxie or next_server= names another".into());
    }
    notes
}

/// Whether the loaders come from the server that answers DHCP, because nobody named another.
fn there_by_tftp(network: &Network) -> bool {
    network.tftp == Tftp::Switch && !network.next_server_given
}

/// Files for the DHCP server that is relayed to: dnsmasq's with what that needs, and Kea's.
pub(super) fn server_files(network: &Network, targets: &[Ipv4Addr]) -> Result<Vec<File>, Problem> {
    let mut files = files(&Dnsmasq, "dnsmasq.conf", &[], network)?;
    let mut for_kea = network.clone();
    // dnsmasq knows its own address; Kea has to be told where the TFTP server beside it is.
    if let (true, Some(first)) = (there_by_tftp(network), targets.first()) {
        for_kea.next_server = *first;
    }
    files.extend(self::files(&Kea, "kea-dhcp4.conf", &[], &for_kea)?);
    Ok(files)
}

/// Files for a dnsmasq that is the proxyDHCP server in the machines' network.
pub(super) fn proxy_files(network: &Network) -> Result<Vec<File>, Problem> {
    files(&Dnsmasq, "dnsmasq-proxy.conf", &[("mode", "proxy")], network)
}

/// What a dialect writes for the server: first its own file, then what that needs.
fn files(
    dialect: &dyn Dialect,
    name: &str,
    chosen: &[(&str, &str)],
    network: &Network,
) -> Result<Vec<File>, Problem> {
    let mut there = network.for_dialect(dialect, chosen);
    // The names of this device's ports and pools mean nothing there.
    (there.interface, there.uplink, there.dhcp_server, there.vlan) = (None, None, None, None);
    there.pool = there.pool.filter(|pool| matches!(pool, Pool::Range(_)));
    there.warnings.clear();
    let written = dialect.write(&there)?;
    Ok(std::iter::once((name.to_owned(), written.script)).chain(written.companions).collect())
}
