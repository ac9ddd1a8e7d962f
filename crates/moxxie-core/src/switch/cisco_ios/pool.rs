//! A pool of the switch's own, with one boot file.

use super::super::dnsmasq::loaders::is_own;
use super::super::single::{doctor, exception, exceptions_note, excluded, excluded_line, files, single};
use super::super::{Arch, NameError, Network, Pool, Problem, Written};
use super::word::Word;
use super::{SOURCES, head, remark, verify};
use std::fmt::Write as _;

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
    let own = is_own(network);
    if own {
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
            let _ = write!(
                undo,
                "ip dhcp pool {pool}\n no next-server {}\n no bootfile\nexit\n",
                network.next_server
            );
        }
        None => new_pool(&mut script, &mut undo, network, &file)?,
    }
    hosts(&mut script, &mut undo, network, one.arch)?;
    if own {
        let (origin, names) = (network.boot_url.origin(), files(network, one.arch));
        script.push_str(&remark("Copy the loaders at the enable prompt:"));
        for name in &names {
            script.push_str(&remark(&format!("  copy {origin}/boot/firmware/{name} flash:{name}")));
        }
        undo.push_str(&remark("The loaders stay served. Only if no other network's machines load them:"));
        for name in &names {
            let name = Word::new("arch", name)?;
            let _ = writeln!(script, "tftp-server flash:{name}");
            undo.push_str(&remark(&format!("  no tftp-server flash:{name}")));
        }
    }
    script.push_str("end\n");
    undo.push_str("end\n");
    Ok(Written {
        script,
        undo,
        warnings,
        verify: verify("show running-config | section ip dhcp", doctor(network)),
        sources: SOURCES.to_vec(),
        companions: Vec::new(),
    })
}

fn new_pool(script: &mut String, undo: &mut String, network: &Network, file: &Word) -> Result<(), Problem> {
    for range in excluded(network, network.next_server) {
        let line = excluded_line(&range);
        let _ = writeln!(script, "{line}");
        let _ = writeln!(undo, "no {line}");
    }
    let name = Word::new("subnet", &format!("moxxie-{}", network.label()))?;
    let dns: Vec<String> = network.dns.iter().map(ToString::to_string).collect();
    let _ = write!(
        script,
        "ip dhcp pool {name}\n network {} {}\n default-router {}\n dns-server {}\n next-server {}\n bootfile {file}\n lease 0 1\nexit\n",
        network.subnet.network(),
        network.subnet.netmask(),
        network.gateway,
        dns.join(" "),
        network.next_server,
    );
    let _ = writeln!(undo, "no ip dhcp pool {name}");
    Ok(())
}

/// One pool for each machine with a fixed address; what it does not say comes from the network's.
fn hosts(script: &mut String, undo: &mut String, network: &Network, served: Arch) -> Result<(), Problem> {
    for lease in &network.leases {
        // Two clusters may call a machine the same, so the pool is named after its MAC address.
        let mac = lease.mac.to_string().replace(':', "");
        let name = Word::new("leases", &format!("moxxie-{mac}"))?;
        let hex = format!("01{mac}");
        script.push_str(&remark(lease.node.as_str()));
        let id: Vec<&str> = (0..hex.len()).step_by(4).map(|i| &hex[i..(i + 4).min(hex.len())]).collect();
        let _ = write!(
            script,
            "ip dhcp pool {name}\n host {} {}\n client-identifier {}\n",
            lease.address,
            network.subnet.netmask(),
            id.join(".")
        );
        if let Some(arch) = exception(lease, served) {
            let _ = writeln!(script, " bootfile {}", Word::new("leases", &network.loader(arch))?);
        }
        script.push_str("exit\n");
        let _ = writeln!(undo, "no ip dhcp pool {name}");
    }
    Ok(())
}
