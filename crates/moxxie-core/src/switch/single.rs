//! For platforms that hand every machine of a network the same boot file: which kind of client that
//! serves, what the others need, and how iPXE gets past the file that it was loaded from itself.
//! And for those that relay: to whom, and what has to stand there.

use super::{Arch, Lease, Network, Pool, Problem, Stage, Tftp, find};
use std::net::Ipv4Addr;

/// The one file.
#[derive(Debug)]
pub(super) struct Single {
    pub arch: Arch,
    pub file: String,
    pub warnings: Vec<String>,
}

/// Chooses the file. `instead` says what people of this vendor do who need more than one.
pub(super) fn single(network: &Network, vendor: &str, instead: &str) -> Result<Single, Problem> {
    if network.stage2 == Stage::Class {
        return Err(Problem::new(
            "stage2",
            format!(
                "{vendor} gives every machine of a network the same file and cannot tell iPXE from firmware: give stage2=embedded, or {instead}"
            ),
        ));
    }
    let preferred = network.serves(Arch::X64).then_some(Arch::X64);
    let Some(arch) = preferred.or_else(|| network.arches.iter().copied().find(|arch| !arch.is_http())) else {
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
    if network.secure_boot && matches!(arch, Arch::X64 | Arch::Arm64) {
        warnings.push(format!(
            "{file} loads ipxe.efi from its own folder: the signed one for {} has to be beside it",
            arch.name()
        ));
    }
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
            "iPXE is told its own file again by this DHCP server. It goes on to the menu because of autoexec.ipxe beside that file on the TFTP server ({firmware}/autoexec.ipxe): iPXE 2.0 looks for it, 1.21.1 does not and would load itself for ever"
        ),
    }
}

/// The file for one machine whose firmware is of another kind than the network's file is for.
/// Harmless to iPXE: where there is one file for all, its second stage does not ask DHCP anyway.
pub(super) fn exception(network: &Network, lease: &Lease, served: Arch) -> Option<String> {
    let arch = lease.arch.filter(|arch| *arch != served && !arch.is_http())?;
    Some(network.loader(arch))
}

/// What to know where machines have files of their own.
pub(super) fn exceptions_note(network: &Network, served: Arch) -> Vec<String> {
    let own = |bios: bool| {
        let mut kinds = network.leases.iter().filter(|lease| exception(network, lease, served).is_some());
        kinds.any(|lease| (lease.arch == Some(Arch::Bios)) == bios)
    };
    let note = |kind: &str, arch: Arch| {
        format!(
            "machines seen with {kind} firmware get their own file by reservation. {}",
            second_stage(network, arch)
        )
    };
    let bios = (served != Arch::Bios && own(true)).then(|| note("BIOS", Arch::Bios));
    let uefi = (served == Arch::Bios && own(false)).then(|| note("UEFI", Arch::X64));
    bios.into_iter().chain(uefi).collect()
}

/// What to know where the device has no TFTP server and none was named.
pub(super) fn no_tftp(network: &Network, vendor: &str) -> Option<String> {
    (network.tftp == Tftp::Switch).then(|| {
        format!(
            "machines will ask {} for the loaders by TFTP, and {vendor} does not serve files: a TFTP server has to stand there. tftp=moxxie uses Moxxie's own",
            network.next_server
        )
    })
}

/// Whom to relay to: `dhcp_server`, or Moxxie's own address.
pub(super) fn relay_target(network: &Network) -> Result<Ipv4Addr, Problem> {
    let Some(name) = &network.dhcp_server else {
        return network.boot_url.address().ok_or_else(|| {
            Problem::new(
                "dhcp_server",
                "name the address to relay to: the boot URL has a name, not an address",
            )
        });
    };
    let address: Option<Ipv4Addr> = name.as_str().parse().ok();
    address
        .filter(|a| !a.is_unspecified() && !a.is_loopback() && !a.is_multicast() && !a.is_broadcast())
        .ok_or_else(|| {
            Problem::new(
                "dhcp_server",
                "in relay mode this is the IPv4 address to relay to, such as 10.0.0.10",
            )
        })
}

/// What to know about that address.
pub(super) fn relay_notes(network: &Network, target: Ipv4Addr) -> Vec<String> {
    let mut notes = Vec::new();
    match &network.dhcp_server {
        None => notes.push(format!(
            "no dhcp_server= was given: DHCP is relayed to {target}, Moxxie's address, where a DHCP server has to run, for example dnsmasq with the companion file"
        )),
        Some(_) => notes.push(format!(
            "DHCP is relayed to {target}: that server decides what machines load, for example dnsmasq with the companion file"
        )),
    }
    if network.subnet.contains(&target) {
        notes.push(format!(
            "{target} is in the machines' own network and hears them without a relay: it will see each request twice, which does no harm; leave the relay out unless the server moves"
        ));
    }
    notes
}

/// Files for the dnsmasq that answers elsewhere, in one of that dialect's modes: first its own, then
/// what that needs. None where the dialect does not know the mode. With `tftp=switch` it hands out
/// the loaders, too: the device here has no part in it.
pub(super) fn companions(network: &Network, mode: &str) -> Result<Vec<(String, String)>, Problem> {
    let Some(dialect) = find("dnsmasq") else { return Ok(Vec::new()) };
    let modes =
        dialect.choices().iter().filter(|choice| choice.key == "mode").flat_map(|choice| choice.values);
    if mode != "server" && !modes.into_iter().any(|(name, _)| *name == mode) {
        return Ok(Vec::new());
    }
    let mut there = network.for_dialect(dialect, &[("mode", mode)]);
    // The names of this device's ports and pools mean nothing there.
    (there.interface, there.uplink, there.dhcp_server, there.vlan) = (None, None, None, None);
    there.pool = there.pool.filter(|pool| matches!(pool, Pool::Range(_)));
    there.warnings.clear();
    let written = dialect.write(&there)?;
    let own = ("moxxie-dnsmasq.conf".to_owned(), written.script);
    Ok(std::iter::once(own).chain(written.companions).collect())
}
