//! RGOS as the DHCP server of one kind of client: one file for the pool, and a pool of its own for
//! each machine with a fixed address, which may name another.

use super::{Job, Lines, Problem, word};
use crate::mac::MacAddr;
use crate::switch::single::{exception, exceptions_note, excluded, excluded_line, single};
use crate::switch::{Arch, Lease, Network, Pool, Tftp, comment_block};
use std::fmt::Write as _;
use std::net::Ipv4Addr;

/// What the guide of RGOS does not say.
pub(super) const UNSURE: &str = "Whether the line no next-server needs the address behind it is not verified: if the switch refuses the line, add the address.";

pub(super) fn write(job: &Job<'_>, lines: &mut Lines) -> Result<(), Problem> {
    let network = job.network;
    let one = single(network, "RGOS", "use mode=relay")?;
    let loader = word("arch", &one.file)?;
    let tftp = tftp(network, lines)?;
    lines.warn("a pool ends relaying, without a word: what it matches is served here. On a switch that relays, take mode=relay");
    let place = job
        .vlan
        .map_or_else(|| "the machines' VLAN interface".to_owned(), |vlan| format!("interface vlan {vlan}"));
    lines.warn(format!("{place} needs an address in {}: the switch picks the pool by it", network.subnet));
    lines.warnings.extend(one.warnings);
    lines.warnings.extend(exceptions_note(network, one.arch));
    lines.script.push_str("service dhcp\n");
    match &network.pool {
        Some(Pool::Name(name)) => {
            let name = word("pool", name.as_str())?;
            lines.warn(format!("pool {name} has to be there with network and default-router: it gets the boot file only, and the switch makes an empty one where there is none"));
            let _ =
                writeln!(lines.script, "ip dhcp pool {name}\n next-server {tftp}\n bootfile {loader}\n exit");
            let _ = writeln!(lines.undo, "ip dhcp pool {name}\n no bootfile\n no next-server\n exit");
            for text in ["A boot file that the pool had before does not come back.", UNSURE] {
                lines.undo.push_str(&comment_block("!", text));
            }
        }
        _ => own_pool(network, tftp, &loader, lines)?,
    }
    for lease in &network.leases {
        host(network, tftp, lease, one.arch, lines)?;
    }
    Ok(())
}

/// Who hands out the loaders: no source knows of a TFTP server in these switches, so never the switch.
fn tftp(network: &Network, lines: &mut Lines) -> Result<Ipv4Addr, Problem> {
    if network.tftp == Tftp::Moxxie || network.next_server_given {
        return Ok(network.next_server);
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

fn own_pool(
    network: &Network,
    tftp: Ipv4Addr,
    loader: &super::Word,
    lines: &mut Lines,
) -> Result<(), Problem> {
    let name = word("subnet", &format!("moxxie-{}", network.label()))?;
    for range in excluded(network, tftp) {
        let line = excluded_line(&range);
        let _ = writeln!(lines.script, "{line}");
        let _ = writeln!(lines.undo, "no {line}");
    }
    let _ = writeln!(
        lines.script,
        "ip dhcp pool {name}\n network {} {}",
        network.subnet.network(),
        network.subnet.netmask()
    );
    router(network, &mut lines.script);
    let _ = writeln!(lines.script, " next-server {tftp}\n bootfile {loader}\n lease 0 1 0\n exit");
    let _ = writeln!(lines.undo, "no ip dhcp pool {name}");
    Ok(())
}

fn router(network: &Network, out: &mut String) {
    let dns: Vec<String> = network.dns.iter().map(Ipv4Addr::to_string).collect();
    let _ = writeln!(out, " default-router {}\n dns-server {}", network.gateway, dns.join(" "));
}

/// A machine's own pool. What is said in the network's pool is said again: whether a host's pool
/// takes it over is in no source.
fn host(
    network: &Network,
    tftp: Ipv4Addr,
    lease: &Lease,
    served: Arch,
    lines: &mut Lines,
) -> Result<(), Problem> {
    let arch = exception(lease, served).unwrap_or(served);
    let loader = word("arch", &network.loader(arch))?;
    let name = word("leases", &format!("moxxie-{}", lease.mac.to_string().replace(':', "")))?;
    let kind = match lease.arch {
        Some(_) => arch.name().to_owned(),
        None => format!("not seen yet, taken for {}", arch.name()),
    };
    lines.remark("!", &format!("{}: {kind}", lease.node));
    let _ = writeln!(
        lines.script,
        "ip dhcp pool {name}\n host {} {}\n hardware-address {} ethernet",
        lease.address,
        network.subnet.netmask(),
        dotted(lease.mac)
    );
    router(network, &mut lines.script);
    let _ = writeln!(lines.script, " next-server {tftp}\n bootfile {loader}\n exit");
    let _ = writeln!(lines.undo, "no ip dhcp pool {name}");
    Ok(())
}

/// `5254.0012.3456`.
fn dotted(mac: MacAddr) -> String {
    let [a, b, c, d, e, f] = mac.bytes();
    format!("{a:02x}{b:02x}.{c:02x}{d:02x}.{e:02x}{f:02x}")
}
