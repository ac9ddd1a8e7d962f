//! RGOS as the DHCP server of one kind of client: one file for the pool, and a pool of its own for
//! each machine with a fixed address, which may name another.

use super::{Job, Lines, Problem, word};
use crate::mac::MacAddr;
use crate::switch::{Arch, Lease, Network, Pool, comment_block};
use std::fmt::Write as _;
use std::net::Ipv4Addr;

pub(super) fn write(job: &Job<'_>, lines: &mut Lines) -> Result<(), Problem> {
    let network = job.network;
    let arch = served(network, lines)?;
    let loader = word("arch", &network.loader(arch))?;
    lines.warn("a pool ends relaying, without a word: what it matches is served here. On a switch that relays, take mode=relay");
    let place = job
        .vlan
        .map_or_else(|| "the machines' VLAN interface".to_owned(), |vlan| format!("interface vlan {vlan}"));
    lines.warn(format!("{place} needs an address in {}: the switch picks the pool by it", network.subnet));
    second_stage(network, arch, lines);
    lines.script.push_str("service dhcp\n");
    match &network.pool {
        Some(Pool::Name(name)) => {
            let name = word("pool", name.as_str())?;
            lines.warn(format!("pool {name} has to be there with network and default-router: it gets the boot file only, and the switch makes an empty one where there is none"));
            let _ = writeln!(
                lines.script,
                "ip dhcp pool {name}\n next-server {}\n bootfile {loader}\n exit",
                job.tftp
            );
            let _ = writeln!(lines.undo, "ip dhcp pool {name}\n no bootfile\n no next-server\n exit");
            lines
                .undo
                .push_str(&comment_block("!", "A boot file that the pool had before does not come back."));
        }
        _ => own_pool(job, &loader, lines)?,
    }
    for lease in &network.leases {
        host(job, lease, arch, lines)?;
    }
    Ok(())
}

/// The one kind of client that a pool can serve: x64 where asked for.
fn served(network: &Network, lines: &mut Lines) -> Result<Arch, Problem> {
    let pxe = |arch: &&Arch| !arch.is_http();
    let arch = match network.serves(Arch::X64) {
        true => Some(Arch::X64),
        // UEFI before BIOS: the mode says so.
        false => network.arches.iter().filter(pxe).max_by_key(|arch| **arch != Arch::Bios).copied(),
    };
    let Some(arch) = arch else {
        return Err(Problem::new(
            "arch",
            "UEFI HTTP boot needs option 60 in the answer, for those clients only, which a pool here cannot do: take mode=relay",
        ));
    };
    let others: Vec<&str> =
        network.arches.iter().filter(|other| **other != arch).map(|other| other.name()).collect();
    if !others.is_empty() {
        lines.warn(format!(
            "a pool has one boot file: it serves {}. Others ({}) need mode=relay; machines with leases=static get the file of their kind",
            arch.name(),
            others.join(", ")
        ));
    }
    Ok(arch)
}

fn second_stage(network: &Network, arch: Arch, lines: &mut Lines) {
    let origin = network.boot_url.origin();
    let bios = arch == Arch::Bios || network.leases.iter().any(|lease| lease.arch == Some(Arch::Bios));
    if arch != Arch::Bios {
        lines.warn(format!(
            "the pool gives iPXE its own loader again: what ends that is autoexec.ipxe beside the loader on the TFTP server (iPXE of 2022 and later, not 1.21.1). It is at {origin}/boot/firmware/autoexec.ipxe"
        ));
    }
    if bios {
        lines.warn(format!(
            "BIOS machines need an undionly.kpxe with the script built in (EMBED=embed.ipxe), or they load it forever. The script is at {origin}/boot/firmware/embed.ipxe"
        ));
    }
}

fn own_pool(job: &Job<'_>, loader: &super::Word, lines: &mut Lines) -> Result<(), Problem> {
    let network = job.network;
    let name = word("subnet", &format!("moxxie-{}", network.subnet.network().to_string().replace('.', "-")))?;
    for (first, last) in excluded(job) {
        let range = match first == last {
            true => first.to_string(),
            false => format!("{first} {last}"),
        };
        let _ = writeln!(lines.script, "ip dhcp excluded-address {range}");
        let _ = writeln!(lines.undo, "no ip dhcp excluded-address {range}");
    }
    let _ = writeln!(
        lines.script,
        "ip dhcp pool {name}\n network {} {}",
        network.subnet.network(),
        network.subnet.netmask()
    );
    router(network, &mut lines.script);
    let _ = writeln!(lines.script, " next-server {}\n bootfile {loader}\n lease 0 1 0\n exit", job.tftp);
    let _ = writeln!(lines.undo, "no ip dhcp pool {name}");
    Ok(())
}

fn router(network: &Network, out: &mut String) {
    let dns: Vec<String> = network.dns.iter().map(Ipv4Addr::to_string).collect();
    let _ = writeln!(out, " default-router {}\n dns-server {}", network.gateway, dns.join(" "));
}

/// A machine's own pool. What is said in the network's pool is said again: whether a host's pool
/// takes it over is in no source.
fn host(job: &Job<'_>, lease: &Lease, served: Arch, lines: &mut Lines) -> Result<(), Problem> {
    let network = job.network;
    let arch = match lease.arch {
        Some(Arch::HttpX64) => Arch::X64,
        Some(Arch::HttpArm64) => Arch::Arm64,
        Some(arch) => arch,
        None => served,
    };
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
    let _ = writeln!(lines.script, " next-server {}\n bootfile {loader}\n exit", job.tftp);
    let _ = writeln!(lines.undo, "no ip dhcp pool {name}");
    Ok(())
}

/// `5254.0012.3456`.
fn dotted(mac: MacAddr) -> String {
    let [a, b, c, d, e, f] = mac.bytes();
    format!("{a:02x}{b:02x}.{c:02x}{d:02x}.{e:02x}{f:02x}")
}

/// The ranges of the subnet that must not be handed out: all but the pool's range, and in that the
/// addresses of router, servers and Moxxie. Fixed addresses are left out: whether a machine's own
/// pool may give an excluded address is in no source, and a reserved one is given to nobody else.
fn excluded(job: &Job<'_>) -> Vec<(Ipv4Addr, Ipv4Addr)> {
    let network = job.network;
    let range = network.range();
    let (first, last) = (u32::from(range.first), u32::from(range.last));
    let hosts = (u32::from(network.subnet.network()) + 1, u32::from(network.subnet.broadcast()) - 1);
    let mut ranges = minus(vec![hosts], first, last);
    let taken = [Some(network.gateway), Some(job.tftp), network.boot_url.address()];
    for address in taken.into_iter().flatten().chain(network.dns.iter().copied()).map(u32::from) {
        if (first..=last).contains(&address) {
            ranges = minus(ranges, address, address);
            ranges.push((address, address));
        }
    }
    for lease in &network.leases {
        let address = u32::from(lease.address);
        ranges = minus(ranges, address, address);
    }
    ranges.sort_unstable();
    ranges.into_iter().map(|(first, last)| (first.into(), last.into())).collect()
}

/// The ranges without the addresses from `first` to `last`.
fn minus(ranges: Vec<(u32, u32)>, first: u32, last: u32) -> Vec<(u32, u32)> {
    let cut = |(a, b): (u32, u32)| {
        let below = (a < first).then(|| (a, b.min(first - 1)));
        let above = (b > last).then(|| (a.max(last + 1), b));
        match last < a || first > b {
            true => [Some((a, b)), None],
            false => [below, above],
        }
    };
    ranges.into_iter().flat_map(cut).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ranges_lose_exactly_what_is_cut(a in 1u32..40, len in 0u32..40, first in 0u32..90, more in 0u32..40) {
            let (b, last) = (a + len, first + more);
            let left = minus(vec![(a, b)], first, last);
            for x in 0..120 {
                let inside = left.iter().filter(|(a, b)| (*a..=*b).contains(&x)).count();
                let expected = (a..=b).contains(&x) && !(first..=last).contains(&x);
                prop_assert_eq!(inside, usize::from(expected));
            }
        }
    }
}
