//! Relay to a DHCP server that knows kinds of clients.

use super::super::single::{companions, relay_notes, relay_target};
use super::super::{Network, Problem, Written};
use super::word::Word;
use super::{SOURCES, head, remark, verify};
use std::fmt::Write as _;

/// The interface that routes the machines' VLAN, and the port a machine is plugged into.
fn places(network: &Network) -> Result<(Option<Word>, Option<Word>), Problem> {
    let given = network.interface.as_ref().map(|name| Word::interface("interface", name)).transpose()?;
    let (svi, port) = match given {
        Some(word) if word.is_svi() => (Some(word), None),
        other => (None, other),
    };
    let vlan = network.vlan.map(|vlan| Word::new("vlan", &format!("Vlan{vlan}"))).transpose()?;
    Ok((vlan.or(svi), port))
}

pub(super) fn relay(network: &Network) -> Result<Written, Problem> {
    let target = relay_target(network)?;
    let (svi, port) = places(network)?;
    let uplink = network.uplink.as_ref().map(|name| Word::interface("uplink", name)).transpose()?;
    let mut warnings = network.warnings.clone();
    warnings.extend(relay_notes(network, target));
    if svi.is_none() {
        warnings.push("no vlan= was given, so the relay itself is missing below: the interface that routes the machines' VLAN needs it".into());
    }
    let mut script = head(network, "Cisco IOS: DHCP relay", &warnings);
    block(
        &mut script,
        "Requests of the machines' VLAN go to the DHCP server.",
        &svi,
        &format!("ip helper-address {target}"),
        "vlan",
    );
    block(
        &mut script,
        "Machines' ports forward at once: firmware gives up before spanning tree has listened for 30 s.",
        &port,
        "spanning-tree portfast",
        "interface",
    );
    block(
        &mut script,
        "Where DHCP snooping is on, answers come in from the server's side only.",
        &uplink,
        "ip dhcp snooping trust",
        "uplink",
    );
    script.push_str("end\n");

    let mut undo = String::new();
    match &svi {
        Some(svi) => {
            undo.push_str(&remark(
                "Not if the VLAN was relayed to the same server before: IOS does not remember.",
            ));
            let _ = write!(
                undo,
                "configure terminal\ninterface {svi}\n no ip helper-address {target}\nexit\nend\n"
            );
        }
        None => undo.push_str(&remark("There is nothing to undo: no VLAN was named.")),
    }
    undo.push_str(&remark("Portfast and snooping trust stay: others may rely on them. By hand: no spanning-tree portfast, no ip dhcp snooping trust."));
    Ok(Written {
        script,
        undo,
        warnings,
        verify: verify("show running-config | include helper-address"),
        sources: SOURCES.to_vec(),
        companions: companions(network, "server")?,
    })
}

fn block(out: &mut String, why: &str, interface: &Option<Word>, line: &str, key: &str) {
    out.push_str(&remark(why));
    match interface {
        Some(interface) => {
            let _ = write!(out, "interface {interface}\n {line}\nexit\n");
        }
        None => out.push_str(&remark(&format!("Left out, {key}= was not given: {line}"))),
    }
}
