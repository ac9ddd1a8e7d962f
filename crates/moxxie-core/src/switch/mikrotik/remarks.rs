//! The remarks at a script's end.

use super::write::q;
use crate::switch::{Network, Problem, Tftp, comment_block};
use std::fmt::Write as _;

/// What depends on the rest of the configuration, and is for the operator to decide.
pub fn remarks(out: &mut String, network: &Network) -> Result<(), Problem> {
    let mut say = |text: &str, command: &str| {
        out.push('\n');
        out.push_str(&comment_block("#", text));
        let _ = writeln!(out, "# {command}");
    };
    let interface = match &network.interface {
        Some(name) => q(name.as_str())?.to_string(),
        None => "INTERFACE".to_owned(),
    };
    let ports = if network.tftp == Tftp::Switch { "67,69" } else { "67" };
    say(
        "A firewall that drops what it does not know has to let the machines ask the router. NUMBER is that of the rule of the same chain that drops (/ip firewall filter print):",
        &format!(
            "/ip firewall filter add chain=input action=accept protocol=udp dst-port={ports} in-interface={interface} place-before=NUMBER comment=\"moxxie\""
        ),
    );
    let url = &network.boot_url;
    let host = url.address().filter(|address| !network.subnet.contains(address));
    if let Some(host) = host {
        say(
            "and to let them reach Moxxie:",
            &format!(
                "/ip firewall filter add chain=forward action=accept protocol=tcp dst-port={} dst-address={host} in-interface={interface} place-before=NUMBER comment=\"moxxie\"",
                url.port()
            ),
        );
    }
    if network.tftp == Tftp::Moxxie && !network.subnet.contains(&network.next_server) {
        say(
            "and its TFTP server, whose answers come from another port, so that the router's helper for TFTP (/ip firewall service-port) must be on:",
            &format!(
                "/ip firewall filter add chain=forward action=accept protocol=udp dst-port=69 dst-address={} in-interface={interface} place-before=NUMBER comment=\"moxxie\"",
                network.next_server
            ),
        );
    }
    let edge = "A port that waits for spanning tree misses the firmware's first DHCP requests.";
    match network.vlan {
        None => say(
            &format!("{edge} For each port with a machine on it:"),
            "/interface bridge port set [find where interface=\"etherN\"] edge=yes",
        ),
        Some(vlan) => say(
            &format!(
                "{edge} And firmware asks untagged: on a bridge with vlan-filtering=yes, which this script never changes, VLAN {vlan} has to be the port's own. For each port with a machine on it:"
            ),
            &format!(
                "/interface bridge port set [find where interface=\"etherN\"] edge=yes pvid={vlan} frame-types=admit-only-untagged-and-priority-tagged"
            ),
        ),
    }
    Ok(())
}
