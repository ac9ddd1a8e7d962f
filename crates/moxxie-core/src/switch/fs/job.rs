//! What is asked of the switch, read once for all families and refused where none of them can.

use super::quote::Port;
use super::{Family, Lines};
use crate::switch::{Name, Network, Pool, Problem, Stage, Tftp, Vlan};
use std::net::Ipv4Addr;

/// What the switch is to do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Hand requests on to a DHCP server.
    Relay,
    /// Serve one kind of client from a pool of its own.
    Pool,
    /// Keep its pool, which says nothing of booting, beside a proxyDHCP server.
    Beside,
}

/// What is to be written, read once for all families.
pub(super) struct Job<'a> {
    pub(super) network: &'a Network,
    pub(super) mode: Mode,
    /// The machines' port.
    pub(super) interface: Option<Port>,
    /// The port towards the DHCP server.
    pub(super) uplink: Option<Port>,
    /// The machines' VLAN, from `vlan` or an interface such as `VLAN 10`.
    pub(super) vlan: Option<u16>,
    /// What to relay to; empty in the other modes.
    pub(super) helpers: Vec<Ipv4Addr>,
    /// Who hands out the loaders by TFTP.
    pub(super) tftp: Ipv4Addr,
}

impl<'a> Job<'a> {
    pub(super) fn read(network: &'a Network, family: &Family, lines: &mut Lines) -> Result<Job<'a>, Problem> {
        let mode = match network.choice("mode") {
            "uefi-pool" => Mode::Pool,
            "proxydhcp-beside" => Mode::Beside,
            _ => Mode::Relay,
        };
        let port = |key, name: Option<&Name>| match name {
            Some(name) => Port::new(name.as_str()).map(Some).map_err(|error| Problem::new(key, error)),
            None => Ok(None),
        };
        let mut interface = port("interface", network.interface.as_ref())?;
        let uplink = port("uplink", network.uplink.as_ref())?;
        let vlan = match (interface.as_ref().and_then(Port::vlan), network.vlan) {
            (Some(named), Some(vlan)) if named != vlan.id() => {
                return Err(Problem::new("interface", format!("is VLAN {named}, and vlan says {vlan}")));
            }
            (Some(named), _) => {
                interface = None;
                Some(named)
            }
            (None, vlan) => vlan.map(Vlan::id),
        };
        for (key, port) in [("interface", &interface), ("uplink", &uplink)] {
            let Some(port) = port else { continue };
            let (starts, example) = family.ports;
            if !starts.iter().any(|start| port.key().starts_with(start)) {
                lines.warn(format!(
                    "{key} {port} does not look like a port of this family, such as {example}: compare with show interfaces"
                ));
            }
        }
        let helpers = match mode {
            Mode::Relay => helpers(network, lines)?,
            Mode::Pool | Mode::Beside => {
                if network.dhcp_server.is_some() {
                    lines.warn(
                        "dhcp_server was given, but the switch itself hands out the addresses in this mode",
                    );
                }
                Vec::new()
            }
        };
        if mode == Mode::Relay && matches!(network.pool, Some(Pool::Name(_))) {
            lines.warn(
                "pool names a pool on the switch, but a relay has none: the companion files take a range",
            );
        }
        if mode == Mode::Pool && network.stage2 == Stage::Class {
            return Err(Problem::new(
                "stage2",
                "a pool on these switches cannot recognize iPXE: take stage2=auto, or mode=relay with a server that can",
            ));
        }
        if mode == Mode::Beside && network.arches.iter().any(|arch| arch.is_http()) {
            lines.warn("machines that boot by UEFI HTTP get no answer from dnsmasq as a proxyDHCP server: they need mode=relay");
        }
        let tftp = tftp(network, &helpers, lines)?;
        Ok(Job { network, mode, interface, uplink, vlan, helpers, tftp })
    }

    /// The refusal of a pool where the words for it are not known.
    pub(super) fn refuse_pool(&self) -> Result<(), Problem> {
        match self.mode {
            Mode::Pool => Err(Problem::new(
                "mode",
                "uefi-pool is not possible here: how this family writes a DHCP pool is in no source that was read. \
                 Take mode=relay (a DHCP server beside the switch, its file comes along) or mode=proxydhcp-beside",
            )),
            Mode::Relay | Mode::Beside => Ok(()),
        }
    }
}

/// The addresses in `dhcp_server`, separated by spaces; Moxxie's own where none is given.
fn helpers(network: &Network, lines: &mut Lines) -> Result<Vec<Ipv4Addr>, Problem> {
    let Some(given) = &network.dhcp_server else {
        let Some(address) = network.boot_url.address() else {
            return Err(Problem::new(
                "dhcp_server",
                "name the address to relay to: the boot URL has a name, and a relay sends to addresses",
            ));
        };
        lines.warn(format!(
            "no dhcp_server was given: the switch relays to {address}, where Moxxie is. A DHCP server has to run there; a companion file configures it"
        ));
        note_neighbor(network, &[address], lines);
        return Ok(vec![address]);
    };
    let mut helpers: Vec<Ipv4Addr> = Vec::new();
    for word in given.as_str().split(' ') {
        let address = word.parse::<Ipv4Addr>().ok().filter(|address| {
            let first = address.octets()[0];
            first != 0 && first != 127 && first < 224
        });
        let Some(address) = address else {
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
                format!("{address} is the gateway: the switch would relay to itself"),
            ));
        }
        if !helpers.contains(&address) {
            helpers.push(address);
        }
    }
    note_neighbor(network, &helpers, lines);
    Ok(helpers)
}

fn note_neighbor(network: &Network, helpers: &[Ipv4Addr], lines: &mut Lines) {
    for address in helpers.iter().filter(|address| network.subnet.contains(*address)) {
        lines.warn(format!(
            "{address} stands in the machines' own network {}: if it is in their VLAN too, it hears them without a relay and nothing of this is needed",
            network.subnet
        ));
    }
}

/// Who hands out the loaders: no source knows of a TFTP server in these switches, so never the switch.
fn tftp(network: &Network, helpers: &[Ipv4Addr], lines: &mut Lines) -> Result<Ipv4Addr, Problem> {
    if network.tftp == Tftp::Moxxie || network.next_server != network.gateway {
        return Ok(network.next_server);
    }
    if let Some(first) = helpers.first() {
        lines.warn(format!(
            "no TFTP server is documented for FS switches: the machines fetch their loaders from the DHCP server {first}. Give next_server= or tftp=moxxie for another"
        ));
        return Ok(*first);
    }
    let Some(address) = network.boot_url.address() else {
        return Err(Problem::new(
            "next_server",
            "name a TFTP server: none is documented for FS switches, and the boot URL has a name where firmware needs an address",
        ));
    };
    lines.warn(format!(
        "no TFTP server is documented for FS switches: the machines fetch their loaders from Moxxie at {address}, which has to run with --tftp 0.0.0.0:69. Give next_server= for another"
    ));
    Ok(address)
}
