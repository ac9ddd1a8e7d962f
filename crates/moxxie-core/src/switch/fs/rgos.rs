//! RGOS style: S3410, S5810, S5860. The words are those of the RGOS configuration guide "DHCP".
//!
//! `service dhcp` turns on server and relay, and a request is served if there is a pool for it and
//! relayed otherwise. So a script never has both, and a pool never says which file to boot twice.

use super::{Family, Job, Lines, Mode, Port, Problem, word};
use crate::switch::{Pool, comment_block};
use std::fmt::Write as _;

pub(super) static FAMILY: Family = Family {
    name: "rgos",
    title: "FS.com S3410, S5810, S5860 (RGOS style)",
    mark: "!",
    ports: (&["gi", "te", "tf", "fo", "hu", "ag", "mg", "fa"], "TenGigabitEthernet 0/1"),
    write,
};

fn write(job: &Job<'_>, lines: &mut Lines) -> Result<(), Problem> {
    match job.mode {
        Mode::Relay => relay(job, lines),
        Mode::Pool => super::pool::write(job, lines)?,
        Mode::Beside => beside(job, lines)?,
    }
    let words = Words { edge: "spanning-tree portfast", trust: "ip dhcp snooping trust" };
    if job.interface.is_some() || (job.uplink.is_some() && job.mode != Mode::Pool) {
        lines.remark("!", "The words for ports are RGOS's, not confirmed on FS's builds. Stop at the first line that is refused: those below it would act elsewhere.");
    }
    ports(job, &words, lines);
    lines.configure("configure terminal");
    if job.mode != Mode::Beside {
        let text = "service dhcp stays: others may need it. Where nothing else does: no service dhcp";
        lines.undo.push_str(&comment_block("!", text));
    }
    lines.verify.insert(0, "show running-config | begin ip dhcp".into());
    match job.mode {
        Mode::Relay => lines.verify.push("show running-config | include helper-address".into()),
        Mode::Pool | Mode::Beside => lines.verify.push("show ip dhcp binding".into()),
    }
    Ok(())
}

fn relay(job: &Job<'_>, lines: &mut Lines) {
    let network = job.network;
    lines.warn(format!(
        "if the switch has a pool for {}, it answers from it and relays nothing, without a message. Look with show running-config | begin ip dhcp",
        network.subnet
    ));
    lines.script.push_str("service dhcp\n");
    if job.helpers.len() > 1 {
        // With the check, the second request goes to the chosen server only and a proxyDHCP server
        // never hears of it.
        lines.script.push_str("no ip dhcp relay check server-id\n");
    }
    match job.vlan {
        Some(vlan) => {
            for (out, no) in [(&mut lines.script, ""), (&mut lines.undo, "no ")] {
                let _ = writeln!(out, "interface vlan {vlan}");
                for helper in &job.helpers {
                    let _ = writeln!(out, " {no}ip helper-address {helper}");
                }
                out.push_str(" exit\n");
            }
            let text = "An address to relay to that stood there before the script is taken away too: put it back by hand.";
            lines.undo.push_str(&comment_block("!", text));
            lines.warn(format!(
                "interface vlan {vlan} needs an address in {}, as a rule {}: it is the relay's own, and the server picks the pool by it",
                network.subnet, network.gateway
            ));
        }
        None => {
            let list: Vec<String> =
                job.helpers.iter().map(|helper| format!("ip helper-address {helper}")).collect();
            lines.remark(
                "!",
                &format!(
                    "Left out, vlan= was not given: in the machines' VLAN interface, {}",
                    list.join(" and ")
                ),
            );
            lines.warn("no vlan was given, so the relay itself is missing below: give vlan=");
        }
    }
    if job.helpers.len() > 1 {
        let text =
            "The script turned ip dhcp relay check server-id off. Where it was on before: turn it on again.";
        lines.undo.push_str(&comment_block("!", text));
    }
}

/// A pool that says nothing of booting, beside a proxyDHCP server that says nothing else.
fn beside(job: &Job<'_>, lines: &mut Lines) -> Result<(), Problem> {
    lines.warn(
        "the proxyDHCP server has to stand in the machines' VLAN: a switch that serves a network itself relays nothing of it",
    );
    match &job.network.pool {
        Some(Pool::Name(name)) if name.as_str().starts_with("moxxie-") => {
            let name = word("pool", name.as_str())?;
            let _ = writeln!(lines.script, "ip dhcp pool {name}\n no bootfile\n no next-server\n exit");
            lines.warn(format!("pool {name} has to be there: the switch makes an empty one otherwise"));
            let text = "The boot file's name does not come back: write the pool anew with mode=uefi-pool.";
            lines.undo.push_str(&comment_block("!", text));
            lines.remark("!", super::pool::UNSURE);
        }
        Some(Pool::Name(name)) => by_hand(lines, &format!("pool {name}, which is yours")),
        _ => by_hand(lines, &format!("the switch's pool for {}", job.network.subnet)),
    }
    Ok(())
}

fn by_hand(lines: &mut Lines, pool: &str) {
    lines.remark(
        "!",
        &format!(
            "Look at {pool}: bootfile and options 60, 66 and 67 must not stand in it, or firmware believes the pool \
             instead of the proxyDHCP server. Take them out by hand; this script changes only pools named moxxie-."
        ),
    );
    lines.warn(format!(
        "{pool} must have neither bootfile nor option 60, 66 or 67; the script leaves that to you"
    ));
}

/// How a family says that a port needs no listening time, and that DHCP answers may come from it.
pub(super) struct Words {
    pub(super) edge: &'static str,
    pub(super) trust: &'static str,
}

/// The machines' port and the port towards the DHCP server.
pub(super) fn ports(job: &Job<'_>, words: &Words, lines: &mut Lines) {
    let Words { edge, trust } = words;
    let block = |port: &Port, line: &str| format!("interface {port}\n {line}\n exit\n");
    match &job.interface {
        Some(port) => {
            lines.script.push_str(&block(port, edge));
            lines.undo.push_str(&block(port, &format!("no {edge}")));
            lines.warn(format!(
                "only machines belong on {port}: an edge port forwards at once and does not look for loops"
            ));
        }
        None => lines.remark(
            "!",
            &format!(
                "No interface was given: each machine's port needs {edge}, or iPXE gives up while it listens."
            ),
        ),
    }
    // A switch that serves the addresses itself hears no answers from elsewhere.
    if job.mode == Mode::Pool {
        return;
    }
    let who = if job.mode == Mode::Relay { "DHCP" } else { "proxyDHCP" };
    match &job.uplink {
        Some(port) => {
            lines.script.push_str(&block(port, trust));
            lines.undo.push_str(&comment_block(
                "!",
                &format!(
                    "{port} stays trusted: without that, DHCP snooping drops everybody's answers. Where it was not trusted before: interface {port}, no {trust}"
                ),
            ));
        }
        None => lines.remark(
            "!",
            &format!("No uplink was given: where DHCP snooping is on, the port towards the {who} server needs {trust}."),
        ),
    }
}
