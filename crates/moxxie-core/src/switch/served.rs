//! What the DHCP servers have in common: the addresses they hand out, and what to say about loaders,
//! the second stage and fixed addresses.

use super::{KNOWS_AUTOEXEC, Network, Pool, Problem, Range, Stage, Tftp};
use std::net::Ipv4Addr;

/// What `pool=` means to a server whose range is written here.
pub(super) const MEANS_POOL: &str = "the addresses to hand out, such as 10.0.0.100-10.0.0.199; default: the upper half of the subnet, without addresses that are taken";

/// What `tftp=` means to a server that has no TFTP server itself.
pub(super) const MEANS_TFTP: &str = "who hands out the loaders: switch (default) is the TFTP server at next_server=, which you run, or moxxie";

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
            "stage2=embedded: DHCP does not tell iPXE of the menu. BIOS loaders need the script of \
             {0}/boot/firmware/embed.ipxe built in. UEFI loaders fetch {0}/boot/firmware/autoexec.ipxe, which has to lie \
             beside them ({KNOWS_AUTOEXEC}). A network card whose ROM is iPXE finds no menu.",
            network.boot_url.origin()
        )
    })
}

/// A note about the TFTP server, for servers that have none themselves.
pub(super) fn tftp_note(network: &Network, server: &str) -> Option<String> {
    let by_tftp = network.arches.iter().any(|arch| !arch.is_http());
    (by_tftp && network.tftp == Tftp::Switch).then(|| {
        format!(
            "{server} has no TFTP server: the loaders are expected at {}. Put them there (moxxie firmware list names them, {}/boot/firmware/NAME has them), \
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
