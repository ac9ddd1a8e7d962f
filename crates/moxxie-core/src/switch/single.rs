//! For platforms that hand every machine of a network the same boot file: which kind of client that
//! serves, what the others need, how iPXE gets past the file that it was loaded from itself, and
//! which addresses their pool must not hand out.

use super::{Arch, KNOWS_AUTOEXEC, Lease, Network, Problem, Range, Stage};
use std::net::Ipv4Addr;

/// The one file.
#[derive(Debug)]
pub(super) struct Single {
    pub arch: Arch,
    pub file: String,
    pub warnings: Vec<String>,
}

/// Chooses the file: x64's, else another UEFI kind's, else that of BIOS. `instead` says what people
/// of this vendor do who need more than one.
pub(super) fn single(network: &Network, vendor: &str, instead: &str) -> Result<Single, Problem> {
    if network.stage2 == Stage::Class {
        return Err(Problem::new(
            "stage2",
            format!(
                "{vendor} gives every machine of a network the same file and cannot tell iPXE from firmware: give stage2=embedded, or {instead}"
            ),
        ));
    }
    let by_pxe = || network.arches.iter().copied().filter(|arch| !arch.is_http());
    let x64 = network.serves(Arch::X64).then_some(Arch::X64);
    let uefi = x64.or_else(|| by_pxe().find(|arch| *arch != Arch::Bios));
    let Some(arch) = uefi.or_else(|| by_pxe().next()) else {
        return Err(Problem::new(
            "arch",
            format!(
                "UEFI HTTP boot wants HTTPClient in option 60, sent to such clients alone, which {vendor} cannot do: give arch=x64, or {instead}"
            ),
        ));
    };
    let file = network.loader(arch);
    let mut warnings = Vec::new();
    let others: Vec<&str> = network.arches.iter().filter(|a| **a != arch).map(|a| a.name()).collect();
    if !others.is_empty() {
        warnings.push(format!(
            "{vendor} has one boot file for a network: this serves {} ({file}) only. Machines of the other kinds asked for ({}) would get the same file and not start: name the kind that you have with arch=, or {instead}",
            arch.name(),
            others.join(", ")
        ));
    }
    warnings.push(second_stage(network, arch));
    warnings.extend(shim(network, arch));
    Ok(Single { arch, file, warnings })
}

/// Why iPXE does not load itself again, though DHCP names its own file to it.
fn second_stage(network: &Network, arch: Arch) -> String {
    let firmware = format!("{}/boot/firmware", network.boot_url.origin());
    match arch {
        Arch::Bios => format!(
            "iPXE is told undionly.kpxe again by this DHCP server, so it must have its script inside, or it loads itself for ever: make bin/undionly.kpxe EMBED=embed.ipxe, with {firmware}/embed.ipxe"
        ),
        _ => format!(
            "iPXE is told its own file again by this DHCP server. It goes on to the menu because of autoexec.ipxe beside that file on the TFTP server ({firmware}/autoexec.ipxe). That takes {KNOWS_AUTOEXEC}. An older one loads itself for ever"
        ),
    }
}

/// What a signed loader needs beside it: the shim takes its own name without the shim in it.
fn shim(network: &Network, arch: Arch) -> Option<String> {
    let files = network.files(&[arch]);
    match (network.secure_boot, &files[..]) {
        (true, [file, second, _]) => {
            Some(format!("{file} loads {second} from its own folder: put both there"))
        }
        _ => None,
    }
}

/// The kind of a machine whose firmware needs another file than the network's, which is for `served`.
/// A file of its own is harmless to iPXE: where there is one for all, its second stage does not ask
/// DHCP anyway.
pub(super) fn exception(lease: &Lease, served: Arch) -> Option<Arch> {
    let kind = match lease.arch? {
        // Asked for a file instead of a URL, the same firmware takes that of its processor.
        Arch::HttpX64 => Arch::X64,
        Arch::HttpArm64 => Arch::Arm64,
        arch => arch,
    };
    (kind != served).then_some(kind)
}

/// Those kinds, each once.
fn exceptions(network: &Network, served: Arch) -> Vec<Arch> {
    let mut kinds: Vec<Arch> = network.leases.iter().filter_map(|lease| exception(lease, served)).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

/// What to know where machines have files of their own.
pub(super) fn exceptions_note(network: &Network, served: Arch) -> Vec<String> {
    let kinds = exceptions(network, served);
    let bios = kinds.contains(&Arch::Bios).then_some(("BIOS", Arch::Bios));
    let uefi = kinds.iter().find(|arch| **arch != Arch::Bios && served == Arch::Bios);
    let stages = bios.into_iter().chain(uefi.map(|arch| ("UEFI", *arch))).map(|(kind, arch)| {
        format!(
            "machines seen with {kind} firmware get their own file by reservation. {}",
            second_stage(network, arch)
        )
    });
    stages.chain(kinds.iter().filter_map(|arch| shim(network, *arch))).collect()
}

/// The files that machines ask the TFTP server for: those of the served kind, and those of machines
/// that have their own.
pub(super) fn files(network: &Network, served: Arch) -> Vec<String> {
    let kinds: Vec<Arch> = std::iter::once(served).chain(exceptions(network, served)).collect();
    network.files(&kinds)
}

/// How to look at the wire, where everybody is told the same.
pub(super) fn doctor(network: &Network) -> String {
    format!(
        "moxxie doctor dhcp --interface eth0, on another computer in {}: every kind of client, iPXE too, is told the file that the script names",
        network.subnet
    )
}

/// The addresses of the subnet that a pool must not hand out: all but the range, and in that the
/// router, the servers and Moxxie. Fixed addresses are left out: whether a machine's own pool may
/// give an excluded address is in no source, and a reserved one is given to nobody else.
pub(super) fn excluded(network: &Network, tftp: Ipv4Addr) -> Vec<Range> {
    let range = network.range();
    let (first, last) = (u32::from(range.first), u32::from(range.last));
    let hosts = (u32::from(network.subnet.network()) + 1, u32::from(network.subnet.broadcast()) - 1);
    let mut ranges = minus(vec![hosts], first, last);
    let taken = [Some(network.gateway), Some(tftp), network.boot_url.address()];
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
    ranges.into_iter().map(|(first, last)| Range { first: first.into(), last: last.into() }).collect()
}

/// One such range in the words of IOS, which RGOS has, too.
pub(super) fn excluded_line(range: &Range) -> String {
    match range.first == range.last {
        true => format!("ip dhcp excluded-address {}", range.first),
        false => format!("ip dhcp excluded-address {} {}", range.first, range.last),
    }
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
