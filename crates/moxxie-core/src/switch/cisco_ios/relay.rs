//! Relay to a DHCP server that knows kinds of clients.

use super::super::{Network, Problem, Written, relayed, served};
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
    let targets = relayed::targets(network)?;
    let (svi, port) = places(network)?;
    let uplink = network.uplink.as_ref().map(|name| Word::interface("uplink", name)).transpose()?;
    let mut warnings = network.warnings.clone();
    warnings.extend(relayed::notes(network, &targets));
    if svi.is_none() {
        warnings.push("no vlan= was given, so the relay itself is missing below: the interface that routes the machines' VLAN needs it".into());
    }
    let helpers: Vec<String> = targets.iter().map(|target| format!("ip helper-address {target}")).collect();
    let one = |line: &str| vec![line.to_owned()];
    let mut script = head(network, "Cisco IOS: DHCP relay", &warnings);
    block(&mut script, "Requests of the machines' VLAN go to the DHCP server.", &svi, &helpers, "vlan");
    block(
        &mut script,
        "Machines' ports forward at once: firmware gives up before spanning tree has listened for 30 s.",
        &port,
        &one("spanning-tree portfast"),
        "interface",
    );
    block(
        &mut script,
        "Where DHCP snooping is on, answers come in from the server's side only.",
        &uplink,
        &one("ip dhcp snooping trust"),
        "uplink",
    );
    script.push_str("end\n");

    let mut undo = String::new();
    match &svi {
        Some(svi) => {
            undo.push_str(&remark(
                "Not if the VLAN was relayed to the same server before: IOS does not remember.",
            ));
            let _ = writeln!(undo, "configure terminal\ninterface {svi}");
            for helper in &helpers {
                let _ = writeln!(undo, " no {helper}");
            }
            undo.push_str("exit\nend\n");
        }
        None => undo.push_str(&remark("There is nothing to undo: no VLAN was named.")),
    }
    undo.push_str(&remark("Portfast and snooping trust stay: others may rely on them. By hand: no spanning-tree portfast, no ip dhcp snooping trust."));
    Ok(Written {
        script,
        undo,
        warnings,
        verify: verify("show running-config | include helper-address", served::doctor(network)),
        sources: SOURCES.to_vec(),
        companions: relayed::server_files(network, &targets)?,
    })
}

fn block(out: &mut String, why: &str, interface: &Option<Word>, lines: &[String], key: &str) {
    out.push_str(&remark(why));
    match interface {
        Some(interface) => {
            let _ = write!(out, "interface {interface}\n {}\nexit\n", lines.join("\n "));
        }
        None => out.push_str(&remark(&format!("Left out, {key}= was not given: {}", lines.join(" and ")))),
    }
}
