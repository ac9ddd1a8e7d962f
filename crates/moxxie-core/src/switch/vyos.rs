//! VyOS: a shared network of its DHCP server (Kea inside), with one boot file for all and others for
//! single machines.
//!
//! As in vyos-1x `python/vyos/kea.py`: `bootfile-server` becomes Kea's `next-server`, and the name
//! goes to header and option 67 alike, so both kinds of firmware and iPXE read the same.

use super::dnsmasq::loaders::is_own;
use super::single::{doctor, exception, exceptions_note, files, single};
use super::{Dialect, Guide, NameError, Network, Pool, Problem, Remarks, Written};
use std::fmt::{self, Write as _};

/// VyOS.
#[derive(Debug)]
pub struct Vyos;

impl Dialect for Vyos {
    fn name(&self) -> &'static str {
        "vyos"
    }

    fn title(&self) -> &'static str {
        "VyOS 1.5 (rolling releases since 2024-10)"
    }

    fn summary(&self) -> &'static str {
        "set commands for configuration mode: a DHCP network with one boot file"
    }

    fn reads(&self) -> &'static [&'static str] {
        &[
            "subnet",
            "gateway",
            "dns",
            "pool",
            "next_server",
            "tftp",
            "boot_url",
            "arch",
            "secure_boot",
            "loader",
            "stage2",
            "leases",
        ]
    }

    fn means(&self, key: &str) -> Option<&'static str> {
        Some(match key {
            "pool" => {
                "a shared network that is on the device, or the range of a new one, such as 10.0.0.100-10.0.0.199"
            }
            "next_server" => {
                "the TFTP server's address; default: the gateway, which is taken to be VyOS, or Moxxie with tftp=moxxie"
            }
            "stage2" => "auto (default) and embedded are the same here: the loader knows the menu",
            _ => return None,
        })
    }

    fn write(&self, network: &Network) -> Result<Written, Problem> {
        let one = single(network, "VyOS", "relay to dnsmasq or Kea (set service dhcp-relay)")?;
        let mut warnings = network.warnings.clone();
        warnings.extend(one.warnings);
        warnings.extend(exceptions_note(network, one.arch));
        let existing = match &network.pool {
            Some(Pool::Name(name)) => {
                Some(shared_network(name.word().map_err(|e: NameError| Problem::new("pool", e))?)?)
            }
            _ => None,
        };
        if let Some(name) = &existing {
            warnings.push(format!("shared network {name} was there before: note what boot file and server it has (show service dhcp-server), or use rollback"));
            if let Some(lease) = network.leases.first() {
                warnings.push(format!("fixed addresses are static mappings called as the machines are, such as {}, because VyOS tells machines that name: where {name} has a mapping of such a name already, it is overwritten, and the undo deletes it", lease.node));
            }
        }
        let own = is_own(network);
        if own {
            warnings.push(format!(
                "VyOS hands out the loaders itself at {}, which has to be an address of its own: put {} into /config/moxxie-tftp first. A folder that its TFTP server had before is replaced: with tftp=moxxie it stays",
                network.next_server,
                files(network, one.arch).join(", ")
            ));
        }
        let apply = &["configure, paste, compare, commit-confirm 5, then confirm and save"];
        let mut script = Remarks { mark: "#", title: self.title(), apply }.head(network, &warnings);
        let name =
            existing.clone().map_or_else(|| shared_network(&format!("moxxie-{}", network.label())), Ok)?;
        let base = format!(
            "service dhcp-server shared-network-name {name} subnet {}",
            Quoted::new("subnet", &network.subnet.to_string())?
        );
        let mut undo = String::new();
        if existing.is_none() {
            let shared = format!("service dhcp-server shared-network-name {name}");
            let _ = writeln!(script, "delete {shared}");
            let _ = writeln!(undo, "delete {shared}");
            new_network(&mut script, network, &base)?;
        } else {
            let _ =
                write!(undo, "delete {base} option bootfile-name\ndelete {base} option bootfile-server\n");
        }
        let server = Quoted::new("next_server", &network.next_server.to_string())?;
        let _ = write!(
            script,
            "set {base} option bootfile-name {}\nset {base} option bootfile-server {server}\n",
            Quoted::new("arch", &one.file)?
        );
        for lease in &network.leases {
            // Kea sends a mapping's name to the machine as its host name: no prefix, then.
            let host = format!("{base} static-mapping {}", Quoted::new("leases", lease.node.as_str())?);
            let mac = Quoted::new("leases", &lease.mac.to_string())?;
            let address = Quoted::new("leases", &lease.address.to_string())?;
            let _ = write!(script, "set {host} mac {mac}\nset {host} ip-address {address}\n");
            if let Some(arch) = exception(lease, one.arch) {
                let _ = write!(
                    script,
                    "set {host} option bootfile-name {}\nset {host} option bootfile-server {server}\n",
                    Quoted::new("leases", &network.loader(arch))?
                );
            }
            if existing.is_some() {
                let _ = writeln!(undo, "delete {host}");
            }
        }
        if own {
            let _ = write!(
                script,
                "set service tftp-server directory '/config/moxxie-tftp'\nset service tftp-server listen-address {server}\n"
            );
            undo.push_str("# Only if nothing else uses TFTP, another network's machines included: delete service tftp-server\n");
        }
        Ok(Written {
            script,
            undo,
            warnings,
            verify: vec!["compare".into(), "show dhcp server leases".into(), doctor(network)],
            sources: vec![
                "vyos/vyos-1x: interface-definitions/service_dhcp-server.xml.in, include/dhcp/option-v4.xml.i, python/vyos/kea.py",
                "structure checked by own tests; not run on a device",
            ],
            companions: Vec::new(),
        })
    }

    fn guide(&self) -> Guide {
        GUIDE
    }
}

/// A value in single quotes. The command line is a bash, where nothing is special between them but
/// the quote itself; VyOS stores no quotes in values, so those are refused.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Quoted(String);

impl Quoted {
    fn new(key: &'static str, text: &str) -> Result<Quoted, Problem> {
        let printable =
            text.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'\'' && b != b'"' && b != b'\\');
        if !printable || !(1..=253).contains(&text.len()) {
            return Err(Problem::new(key, format!("{text:?} cannot be a value of VyOS")));
        }
        Ok(Quoted(text.to_owned()))
    }
}

impl fmt::Display for Quoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}'", self.0)
    }
}

/// Shared networks are called `[-_a-zA-Z0-9.]+`.
fn shared_network(name: &str) -> Result<Quoted, Problem> {
    match name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
        true => Quoted::new("pool", name),
        false => {
            Err(Problem::new("pool", format!("{name:?}: VyOS names have letters, digits and - _ . only")))
        }
    }
}

fn new_network(out: &mut String, network: &Network, base: &str) -> Result<(), Problem> {
    let quoted = |key, value: &dyn fmt::Display| Quoted::new(key, &value.to_string());
    // Every subnet needs a number of its own; its address is one that nobody else has.
    let _ = writeln!(out, "set {base} subnet-id '{}'", u32::from(network.subnet.network()));
    let _ = writeln!(out, "set {base} option default-router {}", quoted("gateway", &network.gateway)?);
    for dns in &network.dns {
        let _ = writeln!(out, "set {base} option name-server {}", quoted("dns", dns)?);
    }
    let range = network.range();
    let _ = write!(
        out,
        "set {base} lease '3600'\nset {base} range moxxie start {}\nset {base} range moxxie stop {}\n",
        quoted("pool", &range.first)?,
        quoted("pool", &range.last)?
    );
    Ok(())
}

const GUIDE: Guide = Guide {
    needs: &[
        "VyOS 1.5 or a rolling release since 2024-10, whose DHCP server is Kea and whose options stand under the word option.",
        "An interface with an address in the machines' network.",
        "Machines of one kind. Single machines of another kind can have their own file with leases=static.",
        "With tftp=switch, the loaders in /config/moxxie-tftp (fetch them there with curl from Moxxie's /boot/firmware).",
    ],
    apply: &[
        "configure, paste the script, read compare.",
        "commit-confirm 5, verify, confirm, save. Without confirm VyOS goes back by itself.",
    ],
    undo: &[
        "configure, paste the undo script, commit, save.",
        "Beside its shared network, moxxie- and the subnet, the script sets the folder and address of VyOS's TFTP server (tftp=switch) and, with pool=NAME, bootfile-name, bootfile-server and static mappings named like the machines in that network.",
        "Where an existing shared network was changed, VyOS does not know what its options were before; rollback does.",
    ],
    traps: &[
        "Releases before the word option came (1.4 and older) refuse these commands: there bootfile-name stands directly below the subnet.",
        "A subnet can be in one shared network only: name the existing one with pool= and only its boot file is set.",
        "The old raw parameters (subnet-parameters and the like) are gone with the ISC server; what they did has to be a node of the tree.",
        "Newer trees have a client-class for subnets and ranges; this script does not rely on it.",
    ],
    checked: &["Written from the vyos-1x source; structure checked by Moxxie's own tests; not run on VyOS."],
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn quoted_values_come_back(text in "[ -~]{0,40}|.{0,20}") {
            match Quoted::new("pool", &text) {
                Ok(quoted) => {
                    let shown = quoted.to_string();
                    let inner = shown.strip_prefix('\'').unwrap().strip_suffix('\'').unwrap();
                    prop_assert_eq!(inner, text.as_str());
                    prop_assert!(!inner.contains('\''), "bash would end the value there");
                }
                Err(_) => prop_assert!(text.is_empty() || text.contains(['\'', '"', '\\']) || text.chars().any(|c| !(' '..='~').contains(&c))),
            }
        }
    }

    #[test]
    fn names_and_lengths() {
        assert!(shared_network("LAN-1.a_b").is_ok());
        assert!(shared_network("LAN/1").is_err());
        assert!(Quoted::new("x", &"a".repeat(253)).is_ok() && Quoted::new("x", &"a".repeat(254)).is_err());
    }
}
