//! FS.com: five unrelated command lines under one name. A family is recognized by `show version`,
//! never by the maker's name.
//!
//! No source says that any of them chooses a boot file by the kind of client. So the default is a
//! relay to a server that does, and its configuration comes along as a companion file.

mod accton;
mod bdcom;
mod centec;
mod companion;
mod compare;
mod guide;
mod picos;
mod pool;
mod quote;
mod rgos;

use super::{Choice, Dialect, Difference, Guide, Network, Pool, Problem, Remarks, Stage, Tftp, Written};
use quote::{Port, Word};
use std::net::Ipv4Addr;

/// FS.com.
#[derive(Debug)]
pub struct Fs;

/// One command line out of the five.
struct Family {
    /// The spelling in `family=`.
    name: &'static str,
    /// Models and lineage, for the head of the script.
    title: &'static str,
    /// What begins a remark.
    mark: &'static str,
    /// How its interfaces begin, in lower case, and one as an example.
    ports: (&'static [&'static str], &'static str),
    /// What goes below the head.
    write: fn(&Job<'_>, &mut Lines) -> Result<(), Problem>,
}

static FAMILIES: &[&Family] =
    &[&rgos::FAMILY, &accton::FAMILY, &bdcom::FAMILY, &centec::FAMILY, &picos::FAMILY];

/// What the switch is to do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Hand requests on to a DHCP server.
    Relay,
    /// Serve one kind of client from a pool of its own.
    Pool,
    /// Keep its pool, which says nothing of booting, beside a proxyDHCP server.
    Beside,
}

/// What is to be written, read once for all families.
struct Job<'a> {
    network: &'a Network,
    mode: Mode,
    /// The machines' port.
    interface: Option<Port>,
    /// The port towards the DHCP server.
    uplink: Option<Port>,
    /// The machines' VLAN, from `vlan` or an interface such as `VLAN 10`.
    vlan: Option<u16>,
    /// What to relay to; empty in the other modes.
    helpers: Vec<Ipv4Addr>,
    /// Who hands out the loaders by TFTP.
    tftp: Ipv4Addr,
}

/// What a family writes, without the head.
#[derive(Default)]
struct Lines {
    script: String,
    undo: String,
    warnings: Vec<String>,
    verify: Vec<String>,
}

impl Lines {
    fn warn(&mut self, text: impl Into<String>) {
        self.warnings.push(text.into());
    }

    /// Puts the commands between this one and `end`; remarks alone stay as they are.
    fn configure(&mut self, command: &str) {
        for text in [&mut self.script, &mut self.undo] {
            if text.lines().any(|line| !line.starts_with('!')) {
                *text = format!("{command}\n{text}end\n");
            }
        }
    }

    fn remark(&mut self, mark: &str, text: &str) {
        self.script.push_str(&super::comment_block(mark, text));
    }
}

impl Dialect for Fs {
    fn name(&self) -> &'static str {
        "fs"
    }

    fn title(&self) -> &'static str {
        "FS.com switches (RGOS, Accton, BDCOM, Centec, PicOS)"
    }

    fn summary(&self) -> &'static str {
        "commands for the switch, and a file for the DHCP server behind it"
    }

    fn choices(&self) -> &'static [Choice] {
        &[
            Choice {
                key: "family",
                values: &[
                    ("rgos", "S3410, S5810, S5860: interfaces like TenGigabitEthernet 0/1"),
                    ("accton", "S3900: interfaces like ethernet 1/1"),
                    ("bdcom", "S3400, S3700: interfaces like g0/1"),
                    ("centec", "S5800, S5850: interfaces like eth-0-1"),
                    ("picos", "PicOS: set and commit"),
                ],
            },
            Choice {
                key: "mode",
                values: &[
                    ("relay", "the switch relays to a DHCP server that knows all kinds of clients"),
                    ("uefi-pool", "the switch is the DHCP server, for one kind of client"),
                    ("proxydhcp-beside", "the switch keeps its pool, a proxyDHCP server tells what to boot"),
                ],
            },
        ]
    }

    fn reads(&self) -> &'static [&'static str] {
        &[
            "subnet",
            "gateway",
            "dns",
            "interface",
            "uplink",
            "dhcp_server",
            "pool",
            "next_server",
            "tftp",
            "boot_url",
            "arch",
            "secure_boot",
            "stage2",
            "vlan",
            "leases",
        ]
    }

    fn write(&self, network: &Network) -> Result<Written, Problem> {
        let name = network.choice("family");
        let Some(family) = FAMILIES.iter().find(|family| family.name == name) else {
            return Err(Problem::new("family", "is none of these families"));
        };
        let mut lines = Lines { warnings: network.warnings.clone(), ..Lines::default() };
        let job = Job::read(network, family, &mut lines)?;
        (family.write)(&job, &mut lines)?;
        if lines.undo.is_empty() {
            lines.undo = super::comment_block(
                family.mark,
                "The script has no commands: there is nothing to take away.",
            );
        }
        let companions = companion::companions(&job, &mut lines);
        let title = format!("{}, family {name}, mode {}", family.title, network.choice("mode"));
        let remarks = |apply| Remarks { mark: family.mark, title: &title, apply };
        let apply = &[
            "Compare with show version first: FS sells five command lines that have nothing in common.",
            "Keep a copy of the running configuration, then paste this. Save it only when a machine has booted.",
        ];
        let script = remarks(apply.as_slice()).head(network, &lines.warnings) + &lines.script;
        let undo = remarks(&["Takes away what the script of the same values made."]).head(network, &[])
            + &lines.undo;
        lines.verify.push("moxxie doctor dhcp --interface eth0 (on a computer in the machines' VLAN)".into());
        Ok(Written {
            script,
            undo,
            warnings: lines.warnings,
            verify: lines.verify,
            sources: guide::SOURCES.to_vec(),
            companions,
        })
    }

    fn guide(&self) -> Guide {
        guide::GUIDE
    }

    fn compare(&self, wanted: &str, running: &str) -> Option<Vec<Difference>> {
        compare::compare(wanted, running)
    }
}

impl<'a> Job<'a> {
    fn read(network: &'a Network, family: &Family, lines: &mut Lines) -> Result<Job<'a>, Problem> {
        let mode = match network.choice("mode") {
            "uefi-pool" => Mode::Pool,
            "proxydhcp-beside" => Mode::Beside,
            _ => Mode::Relay,
        };
        let port = |key, name: Option<&super::Name>| match name {
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
            (None, vlan) => vlan.map(super::Vlan::id),
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
    fn refuse_pool(&self) -> Result<(), Problem> {
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

/// A dynamic text as an argument; what is wrong with it names the parameter that it came from.
fn word(key: &'static str, text: &str) -> Result<Word, Problem> {
    Word::new(text).map_err(|error| Problem::new(key, error))
}
