//! What is asked of the switch, read once for all families and refused where none of them can.

use super::quote::Port;
use super::{Family, Lines};
use crate::switch::{Name, Network, Problem, Vlan, relayed};
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
            Mode::Relay => relayed::targets(network)?,
            Mode::Pool | Mode::Beside => {
                if network.dhcp_server.is_some() {
                    lines.warn(
                        "dhcp_server was given, but the switch itself hands out the addresses in this mode",
                    );
                }
                Vec::new()
            }
        };
        lines.warnings.extend(match mode {
            Mode::Relay => relayed::notes(network, &helpers),
            Mode::Pool | Mode::Beside => Vec::new(),
        });
        if mode == Mode::Beside && network.arches.iter().all(|arch| arch.is_http()) {
            return Err(Problem::new(
                "arch",
                "UEFI HTTP boot gets no answer from dnsmasq as a proxyDHCP server: take mode=relay, or name other kinds",
            ));
        }
        if mode == Mode::Beside && network.arches.iter().any(|arch| arch.is_http()) {
            lines.warn("machines that boot by UEFI HTTP get no answer from dnsmasq as a proxyDHCP server: they need mode=relay");
        }
        Ok(Job { network, mode, interface, uplink, vlan, helpers })
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
