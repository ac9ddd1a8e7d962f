//! A pool of the switch's own, with one boot file.

use super::super::single::{exception, exceptions_note, single};
use super::super::{Arch, NameError, Network, Pool, Problem, Tftp, Written};
use super::word::Word;
use super::{SOURCES, head, remark, verify};
use std::fmt::Write as _;
use std::net::Ipv4Addr;

pub(super) fn pool(network: &Network) -> Result<Written, Problem> {
    let one = single(network, "IOS", "use mode=relay to dnsmasq or Kea")?;
    let mut warnings = network.warnings.clone();
    warnings.extend(one.warnings);
    warnings.extend(exceptions_note(network, one.arch));
    let file = Word::new("arch", &one.file)?;
    let existing = match &network.pool {
        Some(Pool::Name(name)) => {
            Some(Word::new("pool", name.word().map_err(|e: NameError| Problem::new("pool", e))?)?)
        }
        _ => None,
    };
    if let Some(pool) = &existing {
        warnings.push(format!(
            "pool {pool} was there before: the boot file and next server that it had, if any, are overwritten, so note them first (show running-config)"
        ));
    }
    if network.tftp == Tftp::Switch {
        warnings.push("the switch hands out the loaders itself, to anyone who asks by TFTP: copy them to its flash first, as the remarks below say".into());
    }
    let mut script = head(network, "Cisco IOS: a DHCP pool with one boot file", &warnings);
    let mut undo = String::from("configure terminal\n");
    match &existing {
        Some(pool) => {
            let _ = write!(
                script,
                "ip dhcp pool {pool}\n next-server {}\n bootfile {file}\nexit\n",
                network.next_server
            );
            let _ = write!(undo, "ip dhcp pool {pool}\n no next-server\n no bootfile\nexit\n");
        }
        None => new_pool(&mut script, &mut undo, network, &file),
    }
    hosts(&mut script, &mut undo, network, one.arch)?;
    if network.tftp == Tftp::Switch {
        let origin = network.boot_url.origin();
        script.push_str(&remark("Copy the loaders at the enable prompt:"));
        for name in files(network, one.arch) {
            script.push_str(&remark(&format!("  copy {origin}/boot/firmware/{name} flash:{name}")));
        }
        for name in files(network, one.arch) {
            let name = Word::new("arch", &name)?;
            let _ = writeln!(script, "tftp-server flash:{name}");
            let _ = writeln!(undo, "no tftp-server flash:{name}");
        }
    }
    script.push_str("end\n");
    undo.push_str("end\n");
    Ok(Written {
        script,
        undo,
        warnings,
        verify: verify("show running-config | section ip dhcp"),
        sources: SOURCES.to_vec(),
        companions: Vec::new(),
    })
}

/// What the switch serves: the files of the served kind, and the loaders of single machines.
fn files(network: &Network, served: Arch) -> Vec<String> {
    let mut names = network.files(&[served]);
    for lease in &network.leases {
        names.extend(exception(network, lease, served).filter(|name| !names.contains(name)));
    }
    if names.iter().any(|name| name.ends_with(".efi")) && !names.iter().any(|name| name == "autoexec.ipxe") {
        names.push("autoexec.ipxe".into());
    }
    names
}

fn new_pool(script: &mut String, undo: &mut String, network: &Network, file: &Word) {
    let range = network.range();
    let (first, last) = (u32::from(network.subnet.network()) + 1, u32::from(network.subnet.broadcast()) - 1);
    let (from, to) = (u32::from(range.first), u32::from(range.last));
    for (begin, end) in [(first, from.saturating_sub(1)), (to.saturating_add(1), last)] {
        if begin <= end {
            let line = format!("ip dhcp excluded-address {} {}", Ipv4Addr::from(begin), Ipv4Addr::from(end));
            let _ = writeln!(script, "{line}");
            let _ = writeln!(undo, "no {line}");
        }
    }
    let dns: Vec<String> = network.dns.iter().map(ToString::to_string).collect();
    let _ = write!(
        script,
        "ip dhcp pool MOXXIE\n network {} {}\n default-router {}\n dns-server {}\n next-server {}\n bootfile {file}\n lease 0 1\nexit\n",
        network.subnet.network(),
        network.subnet.netmask(),
        network.gateway,
        dns.join(" "),
        network.next_server,
    );
    undo.push_str("no ip dhcp pool MOXXIE\n");
}

/// One pool for each machine with a fixed address; what it does not say comes from the network's.
fn hosts(script: &mut String, undo: &mut String, network: &Network, served: Arch) -> Result<(), Problem> {
    for lease in &network.leases {
        let name = Word::new("leases", &format!("MOXXIE-{}", lease.node))?;
        let bytes = lease.mac.bytes();
        let hex = bytes.iter().fold("01".to_owned(), |hex, byte| format!("{hex}{byte:02x}"));
        let id: Vec<&str> = (0..hex.len()).step_by(4).map(|i| &hex[i..(i + 4).min(hex.len())]).collect();
        let _ = write!(
            script,
            "ip dhcp pool {name}\n host {} {}\n client-identifier {}\n",
            lease.address,
            network.subnet.netmask(),
            id.join(".")
        );
        if let Some(file) = exception(network, lease, served) {
            let _ = writeln!(script, " bootfile {}", Word::new("leases", &file)?);
        }
        script.push_str("exit\n");
        let _ = writeln!(undo, "no ip dhcp pool {name}");
    }
    Ok(())
}
