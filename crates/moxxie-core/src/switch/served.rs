//! What the DHCP servers have in common: the addresses they hand out, and what to say about loaders,
//! the second stage and fixed addresses.

use super::{Arch, BootUrl, Network, Pool, Problem, Range, Stage, Tftp};
use std::net::Ipv4Addr;

/// The URLs that UEFI HTTP boot gets are longer than the menu's, and have to fit the same field.
pub(super) fn fits(network: &Network) -> Result<(), Problem> {
    let long = |arch: &&Arch| arch.is_http() && network.loader(**arch).len() > BootUrl::MAX;
    match network.arches.iter().find(long) {
        None => Ok(()),
        Some(arch) => Err(Problem::new(
            "boot_url",
            format!(
                "{} has {} bytes, and DHCP has room for {}: give a shorter host, or arch= without {}",
                network.loader(*arch),
                network.loader(*arch).len(),
                BootUrl::MAX,
                arch.name()
            ),
        )),
    }
}

/// The range to hand out. A pool's name means nothing to a server that is given addresses.
pub(super) fn range(network: &Network) -> Result<Range, Problem> {
    match &network.pool {
        Some(Pool::Name(name)) => Err(Problem::new(
            "pool",
            format!("{name:?} is a name; this server takes a range such as 10.0.0.100-10.0.0.199"),
        )),
        _ => Ok(network.range()),
    }
}

/// The range without the fixed addresses in it, for servers that would hand those out to others.
pub(super) fn gaps(range: Range, network: &Network) -> Vec<Range> {
    let mut fixed: Vec<u32> = network.leases.iter().map(|lease| u32::from(lease.address)).collect();
    fixed.sort_unstable();
    let (mut first, last) = (u32::from(range.first), u32::from(range.last));
    let mut gaps = Vec::new();
    for cut in fixed {
        if !(first..=last).contains(&cut) {
            continue;
        }
        if cut > first {
            gaps.push(Range { first: first.into(), last: (cut - 1).into() });
        }
        first = cut + 1;
    }
    if first <= last {
        gaps.push(Range { first: first.into(), last: last.into() });
    }
    gaps
}

/// A note where iPXE is told nothing, because somebody asked for it.
pub(super) fn stage_note(network: &Network) -> Option<String> {
    (network.stage2 == Stage::Embedded).then(|| {
        format!(
            "stage2=embedded: iPXE gets no file by DHCP. BIOS loaders need the script of {0}/boot/firmware/embed.ipxe \
             built in, UEFI loaders find autoexec.ipxe beside themselves, and a network card whose ROM is iPXE finds no \
             menu. stage2=class has none of these limits here.",
            network.boot_url.origin()
        )
    })
}

/// A note about the TFTP server, for servers that have none themselves.
pub(super) fn tftp_note(network: &Network, server: &str) -> Option<String> {
    let by_tftp = network.arches.iter().any(|arch| !arch.is_http());
    (by_tftp && network.tftp == Tftp::Switch).then(|| {
        format!(
            "{server} has no TFTP server: the loaders are expected at {}. Put the files of {}/boot/firmware/ there, \
             or name another server with next_server=, or let Moxxie hand them out with tftp=moxxie.",
            network.next_server,
            network.boot_url.origin()
        )
    })
}

/// How to look at the wire.
pub(super) fn doctor(network: &Network) -> String {
    format!(
        "moxxie doctor dhcp --interface eth0, on another computer in {}: every kind of client has to get its own loader, \
         and iPXE {}",
        network.subnet, network.boot_url
    )
}

/// Addresses as a list.
pub(super) fn list(addresses: &[Ipv4Addr], between: &str) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(between)
}
