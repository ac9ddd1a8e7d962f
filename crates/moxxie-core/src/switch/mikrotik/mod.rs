//! MikroTik RouterOS: a script for `/import`, in three versions, because the menus of the DHCP server
//! changed: no generic matcher before 7.4, `matching-type` refused before 7.16 and required since.
//!
//! Which arguments exist where comes from the consoles' own description of themselves
//! (`/console/inspect`) in 7.12.2, 7.15, 7.16, 7.20.1 and 7.24. No device was at hand.

mod compare;
mod export;
mod guard;
mod guide;
mod plan;
mod quote;
mod remarks;
mod write;

pub use export::{Command, Value, commands};
pub use quote::{OptionText, RouterString};

use super::{Choice, Dialect, Difference, Guide, Network, Problem, Written};
use plan::{Plan, Version};

/// MikroTik RouterOS.
#[derive(Debug)]
pub struct Mikrotik;

impl Dialect for Mikrotik {
    fn name(&self) -> &'static str {
        "mikrotik"
    }

    fn title(&self) -> &'static str {
        "MikroTik RouterOS (7.16 and later, 7.4 to 7.15, 6)"
    }

    fn summary(&self) -> &'static str {
        "a script for /import that adds network boot to the router's DHCP server"
    }

    fn choices(&self) -> &'static [Choice] {
        &[Choice {
            key: "version",
            values: &[("7.16", "7.16 and later"), ("7.4", "7.4 to 7.15"), ("6", "6 and 7.0 to 7.3")],
        }]
    }

    fn choose(&self, key: &str, text: &str) -> Option<&'static str> {
        (key == "version").then(|| Version::choice(text)).flatten()
    }

    fn reads(&self) -> &'static [&'static str] {
        &[
            "subnet",
            "gateway",
            "interface",
            "dhcp_server",
            "pool",
            "next_server",
            "tftp",
            "boot_url",
            "arch",
            "secure_boot",
            "loader",
            "stage2",
            "vlan",
            "leases",
        ]
    }

    fn means(&self, key: &str) -> Option<&'static str> {
        Some(match key {
            "subnet" => "the machines' network, such as 10.0.0.0/24, as it stands in /ip dhcp-server network",
            "gateway" => {
                "the router's address in that network: with tftp=switch the TFTP server; default: the first address of the subnet"
            }
            "interface" => {
                "the interface that the DHCP server is on; it also goes into the firewall's remarks"
            }
            "dhcp_server" => {
                "the name of the DHCP server on the router; default: the one that is enabled, if there is only one"
            }
            "pool" => "the name of an address pool on the router; default: the DHCP server's own",
            "stage2" => {
                "how iPXE finds the menu: auto (default), class (DHCP tells it; from 7.4 on, for a single kind of client that is no HTTP boot) or embedded (the loader knows); auto is class where that can be"
            }
            "vlan" => "the machines' VLAN, 1 to 4094; for the remark on the bridge's ports only",
            _ => return None,
        })
    }

    fn write(&self, network: &Network) -> Result<Written, Problem> {
        let plan = Plan::new(network)?;
        Ok(Written {
            script: write::script(network, &plan)?,
            undo: write::undo(network, &plan)?,
            verify: guide::verify(network, &plan),
            warnings: plan.warnings,
            sources: guide::SOURCES.to_vec(),
            companions: Vec::new(),
        })
    }

    fn guide(&self) -> Guide {
        guide::GUIDE
    }

    fn compared(&self) -> Option<&'static str> {
        Some("/export of RouterOS 6 and 7")
    }

    fn compare(&self, wanted: &str, running: &str) -> Option<Vec<Difference>> {
        Some(compare::compare(wanted, running))
    }
}
