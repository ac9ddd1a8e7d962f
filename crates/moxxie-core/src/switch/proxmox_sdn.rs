//! Proxmox VE's software-defined network: a zone with DHCP runs a dnsmasq of its own, `dnsmasq@ZONE`,
//! which reads `/etc/dnsmasq.d/ZONE/*.conf`. Proxmox rewrites `00-default.conf` and deletes `10-*`
//! only, so a file of another name stays.
//!
//! Source: proxmox/pve-network, src/PVE/Network/SDN/Dhcp/Dnsmasq.pm: ranges are `static` with the
//! subnet's id as their tag, and `dhcp-ignore=tag:!known` leaves unknown machines without an answer.

use super::dnsmasq::line::{Line, Tag};
use super::dnsmasq::{TFTP_ROOT, empty_root, loaders, rules, tftp};
use super::{Dialect, Guide, NameError, Network, Problem, Remarks, Written, served};

/// Proxmox SDN.
#[derive(Debug)]
pub struct ProxmoxSdn;

impl Dialect for ProxmoxSdn {
    fn name(&self) -> &'static str {
        "proxmox-sdn"
    }

    fn title(&self) -> &'static str {
        "Proxmox VE 8.1 and later, SDN zone with DHCP"
    }

    fn summary(&self) -> &'static str {
        "a file for /etc/dnsmasq.d/ZONE on every Proxmox node (dhcp_server= names the zone)"
    }

    fn reads(&self) -> &'static [&'static str] {
        &[
            "subnet",
            "dhcp_server",
            "interface",
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
        match key {
            "dhcp_server" => {
                Some("the SDN zone's name; without it the script says ZONE and reaches all its subnets")
            }
            "interface" => {
                Some("the subnet's virtual network (VNet): loaders are handed out by TFTP there only")
            }
            "next_server" => Some(loaders::MEANS_NEXT_SERVER),
            "tftp" => Some(
                "who hands out the loaders: switch (default) is the zone's dnsmasq on each node, or moxxie",
            ),
            _ => None,
        }
    }

    fn write(&self, network: &Network) -> Result<Written, Problem> {
        let zone = zone(network)?;
        let mut warnings = network.warnings.clone();
        warnings.extend(served::stage_note(network));
        let within = match zone {
            // The tag that Proxmox gives to the subnet's range: the subnet's id.
            Some(zone) => {
                let id = format!("{zone}-{}-{}", network.subnet.network(), network.subnet.prefix_len());
                Some(Tag::named(&id).map_err(|e| ("dhcp_server", e))?)
            }
            None => {
                warnings.push(
                    "ZONE stands for the zone's name: give dhcp_server=NAME, so that other subnets of the zone are left alone"
                        .into(),
                );
                None
            }
        };
        let zone = zone.unwrap_or("ZONE");
        warnings.push(
            "only machines that the zone knows get an answer (dhcp-ignore=tag:!known): guests get a lease when their network \
             card is made in this zone, other machines need leases=static"
                .into(),
        );
        if !network.leases.is_empty() {
            warnings.push(
                "the fixed addresses below are unknown to Proxmox's IPAM, which may give them to guests: keep them out of the \
                 zone's DHCP ranges"
                    .into(),
            );
        }
        let own = loaders::needed(network);
        if own {
            warnings.push(format!(
                "loaders come from {TFTP_ROOT} on the node that the guest runs on: run moxxie-loaders.sh on each node, or give tftp=moxxie"
            ));
        }
        let file = format!("/etc/dnsmasq.d/{zone}/50-moxxie-{}.conf", network.label());
        let save = format!("Save as {file} on every node of the zone, then:");
        let restart = format!("systemctl restart dnsmasq@{zone}");
        let mut script =
            Remarks { mark: "#", title: self.title(), apply: &[&save, &restart] }.head(network, &warnings);
        let mut lines = vec![Line::new("no-ping"), Line::new("dhcp-no-override")];
        let rules: Result<Vec<Line>, NameError> =
            rules::rules(network, within.as_ref(), loaders::server(network))
                .iter()
                .map(|rule| rule.line())
                .collect();
        lines.extend(rules.map_err(|e| ("boot_url", e))?);
        lines.extend(tftp(network, TFTP_ROOT)?);
        for line in lines {
            script.push_str(&format!("{line}\n"));
        }
        let mut undo = format!("rm -f {file}\nsystemctl restart dnsmasq@{zone}\n");
        let mut companions = Vec::new();
        if own {
            undo.push_str(&empty_root());
            companions.push(loaders::companion(network, TFTP_ROOT).map_err(|e| ("boot_url", e))?);
        }
        Ok(Written {
            script,
            undo,
            warnings,
            verify: vec![
                format!("dnsmasq --test --conf-file=/dev/null --conf-dir=/etc/dnsmasq.d/{zone},*.conf"),
                format!("journalctl -u dnsmasq@{zone} -f while a guest starts"),
                served::doctor(network),
            ],
            sources: vec![
                "proxmox/pve-network: src/PVE/Network/SDN/Dhcp/Dnsmasq.pm",
                "dnsmasq(8)",
                "the lines were checked on the wire against dnsmasq 2.90, behind a range with the tag that Proxmox gives; not run on a Proxmox node",
            ],
            companions,
        })
    }

    fn guide(&self) -> Guide {
        Guide {
            needs: &[
                "Proxmox VE 8.1 or later with a simple SDN zone whose DHCP is dnsmasq, a subnet with a gateway and a DHCP range, and the package dnsmasq on every node.",
                "The zone's name, for dhcp_server=.",
                "The loaders, imported into Moxxie with moxxie firmware import.",
                "Guests of the zone reach Moxxie's address; a simple zone needs SNAT or a route for that.",
            ],
            apply: &[
                "Save the script on every node under the name that its head says, such as /etc/dnsmasq.d/ZONE/50-moxxie-10-0-0-0.conf: each subnet of a zone has a file of its own.",
                "With tftp=switch, run moxxie-loaders.sh on every node. tftp=moxxie needs no files on the nodes.",
                "Run systemctl restart dnsmasq@ZONE on every node. Applying SDN changes later keeps the file: Proxmox rewrites 00-default.conf and deletes 10-*.conf only.",
            ],
            undo: &[
                "Remove the subnet's file on every node and restart dnsmasq@ZONE. The folder /var/lib/moxxie-tftp goes with the last file that names it. Nothing else was changed.",
            ],
            traps: &[
                "A guest without a lease is one that the zone's IPAM does not know: its network card was made before the zone had DHCP, or it is no guest. Make the card anew, or use leases=static.",
                "The file must not have a dhcp-range: Proxmox's ranges are static, and a second one would hand out addresses that its IPAM does not know.",
                "dhcp_server= is the zone, not the virtual network: the rules hang on the tag ZONE-SUBNET-BITS, and with a wrong name no machine gets a file.",
                "no-ping, dhcp-no-override and, with tftp=switch and without interface=, the TFTP folder hold for all subnets of the zone: boot files of the others stand in the BOOTP header from now on, which cuts them after 127 bytes.",
                "Guests' network cards have an iPXE in their ROM. It gets the menu at once and no loader from TFTP.",
            ],
            checked: &[
                "Checked against the source of pve-network and, behind a range with the tag that Proxmox gives, on the wire against dnsmasq 2.90.",
                "Not run on a Proxmox node.",
            ],
        }
    }
}

/// The zone: a part of a path here, so its name is held to Proxmox's own rule.
fn zone(network: &Network) -> Result<Option<&str>, Problem> {
    let Some(name) = &network.dhcp_server else { return Ok(None) };
    let name = name.as_str();
    let fine = (2..=8).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    match fine {
        true => Ok(Some(name)),
        false => Err(Problem::new(
            "dhcp_server",
            format!(
                "{name:?} is no SDN zone: its name is 2 to 8 small letters and digits and begins with a letter"
            ),
        )),
    }
}
