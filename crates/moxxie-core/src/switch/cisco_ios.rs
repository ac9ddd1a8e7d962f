//! Cisco IOS and IOS-XE: relay to a DHCP server that knows kinds of clients, or a pool with one file.
//!
//! `ip dhcp class` can match option 60, but the documented actions under a pool's class are address
//! ranges and relay targets: no boot file by kind of client, so the pool has one for all.

use super::single::{companion, exception, exceptions_note, relay_notes, relay_target, single};
use super::{Choice, Dialect, Guide, Name, NameError, Network, Pool, Problem, Remarks, Tftp, Written};
use super::{comment_block, quotable};
use std::fmt::{self, Write as _};
use std::net::Ipv4Addr;

/// Cisco IOS and IOS-XE.
#[derive(Debug)]
pub struct CiscoIos;

const MODES: Choice = Choice {
    key: "mode",
    values: &[
        ("relay", "machines' DHCP is relayed to a server that knows their kinds"),
        ("pool", "the switch answers DHCP itself, with one boot file"),
    ],
};

impl Dialect for CiscoIos {
    fn name(&self) -> &'static str {
        "cisco-ios"
    }

    fn title(&self) -> &'static str {
        "Cisco IOS and IOS-XE"
    }

    fn summary(&self) -> &'static str {
        "commands to paste at the enable prompt: a DHCP relay, or a pool with one boot file"
    }

    fn choices(&self) -> &'static [Choice] {
        &[MODES]
    }

    fn reads(&self) -> &'static [&'static str] {
        &[
            "subnet",
            "gateway",
            "dns",
            "interface",
            "uplink",
            "dhcp_server",
            "pool",
            "next_server",
            "tftp",
            "boot_url",
            "arch",
            "secure_boot",
            "stage2",
            "vlan",
            "leases",
        ]
    }

    fn write(&self, network: &Network) -> Result<Written, Problem> {
        match network.choice("mode") {
            "pool" => pool(network),
            _ => relay(network),
        }
    }

    fn guide(&self) -> Guide {
        GUIDE
    }
}

/// One word of a command: IOS has no escapes, and `?` opens the help even inside a pasted line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Word(String);

impl Word {
    fn new(key: &'static str, text: &str) -> Result<Word, Problem> {
        let wrong = |c: char| c == ' ' || c == '?' || c == '|';
        if text.is_empty() || !quotable(text) || text.contains(wrong) || text.starts_with('!') {
            return Err(Problem::new(key, format!("{text:?} cannot be one word of an IOS command")));
        }
        Ok(Word(text.to_owned()))
    }

    /// An interface, whose number may stand apart from its type: `GigabitEthernet 1/0/1`.
    fn interface(key: &'static str, name: &Name) -> Result<Word, Problem> {
        let text = name.as_str();
        let joined = text.split_once(' ').filter(|(kind, number)| {
            kind.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-')
                && number.starts_with(|c: char| c.is_ascii_digit())
        });
        match joined {
            Some((kind, number)) => Word::new(key, &format!("{kind}{number}")),
            None => Word::new(key, name.word().map_err(|error: NameError| Problem::new(key, error))?),
        }
    }

    fn is_svi(&self) -> bool {
        let lower = self.0.to_ascii_lowercase();
        lower.strip_prefix("vlan").is_some_and(|id| !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit()))
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn remark(text: &str) -> String {
    comment_block("!", &text.replace('?', "."))
}

fn head(network: &Network, title: &str, warnings: &[String]) -> String {
    let apply = &[
        "Paste at the enable prompt (ending in #). Nothing is saved: afterwards, if all is well, write memory",
    ];
    let text = Remarks { mark: "!", title, apply }.head(network, warnings);
    text.replace('?', ".") + "configure terminal\n"
}

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

fn relay(network: &Network) -> Result<Written, Problem> {
    let target = relay_target(network)?;
    let (svi, port) = places(network)?;
    let uplink = network.uplink.as_ref().map(|name| Word::interface("uplink", name)).transpose()?;
    let mut warnings = network.warnings.clone();
    warnings.extend(relay_notes(network, target));
    if svi.is_none() {
        warnings.push("no vlan= was given, so the relay itself is missing below: the interface that routes the machines' VLAN needs it".into());
    }
    let mut script = head(network, "Cisco IOS: DHCP relay", &warnings);
    block(
        &mut script,
        "Requests of the machines' VLAN go to the DHCP server.",
        &svi,
        &format!("ip helper-address {target}"),
        "vlan",
    );
    block(
        &mut script,
        "Machines' ports forward at once: firmware gives up before spanning tree has listened for 30 s.",
        &port,
        "spanning-tree portfast",
        "interface",
    );
    block(
        &mut script,
        "Where DHCP snooping is on, answers come in from the server's side only.",
        &uplink,
        "ip dhcp snooping trust",
        "uplink",
    );
    script.push_str("end\n");

    let mut undo = remark(
        "Stops relaying. Leave this out if the VLAN was relayed to the same server before: IOS does not remember.",
    );
    match &svi {
        Some(svi) => {
            let _ = write!(
                undo,
                "configure terminal\ninterface {svi}\n no ip helper-address {target}\nexit\nend\n"
            );
        }
        None => undo.push_str(&remark("There is nothing to undo: no interface was named.")),
    }
    undo.push_str(&remark("Portfast and snooping trust stay: others may rely on them. By hand: no spanning-tree portfast, no ip dhcp snooping trust."));
    Ok(Written {
        script,
        undo,
        warnings,
        verify: verify("show running-config | include helper-address"),
        sources: SOURCES.to_vec(),
        companions: companion(network, Some(target), &[])?.into_iter().collect(),
    })
}

fn block(out: &mut String, why: &str, interface: &Option<Word>, line: &str, key: &str) {
    out.push_str(&remark(why));
    match interface {
        Some(interface) => {
            let _ = write!(out, "interface {interface}\n {line}\nexit\n");
        }
        None => out.push_str(&remark(&format!("Left out, {key}= was not given: {line}"))),
    }
}

fn pool(network: &Network) -> Result<Written, Problem> {
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
        for name in files(network, &one.file, one.arch) {
            script.push_str(&remark(&format!("  copy {origin}/boot/firmware/{name} flash:{name}")));
        }
        for name in files(network, &one.file, one.arch) {
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

/// What the switch serves: the loader, what that loads in turn, and the loaders of single machines.
fn files(network: &Network, file: &str, served: super::Arch) -> Vec<String> {
    let mut names = vec![file.to_owned()];
    if file.contains("-shim") {
        names.push("ipxe.efi".into());
    }
    if served != super::Arch::Bios {
        names.push("autoexec.ipxe".into());
    }
    for lease in &network.leases {
        names.extend(exception(network, lease, served).filter(|name| !names.contains(name)));
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
fn hosts(
    script: &mut String,
    undo: &mut String,
    network: &Network,
    served: super::Arch,
) -> Result<(), Problem> {
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

fn verify(show: &str) -> Vec<String> {
    vec![
        show.into(),
        "show ip dhcp binding".into(),
        "moxxie doctor dhcp --interface eth0, on a computer in the machines' VLAN".into(),
    ]
}

const SOURCES: &[&str] = &[
    "Cisco IOS Configuration Fundamentals Command Reference, Release 12.2 (tftp-server)",
    "nyquist.eu, Cisco DHCP notes (ip dhcp class and its actions)",
    "structure checked by own tests; not run on a device",
];

const GUIDE: Guide = Guide {
    needs: &[
        "A switch or router with IP routing for the machines' VLAN, or a DHCP server already in that VLAN.",
        "For mode=relay: a DHCP server that gives each kind of client its own file; the companion file makes dnsmasq one.",
        "For mode=pool: machines of one kind, because IOS has one boot file for a pool.",
    ],
    apply: &[
        "Keep a copy of the configuration: copy running-config flash:before-moxxie.cfg.",
        "Paste the script at the enable prompt; it enters and leaves the configuration mode by itself.",
        "Verify, then write memory. A reload without it brings the old state back.",
    ],
    undo: &[
        "Paste the undo script the same way. It removes the pools named MOXXIE and the relay target, nothing else.",
        "Portfast and snooping trust stay, because the script cannot know who else relies on them.",
    ],
    traps: &[
        "Without portfast a port listens for 30 seconds, and firmware has given up by then; NX-OS says spanning-tree port type edge.",
        "A question mark opens the help, even in a pasted line; none is in the script.",
        "With DHCP snooping on, offers that come in by a port that is not trusted disappear without a word.",
        "A machine whose firmware sends no client identifier, or its UUID, may not be recognized as its reservation; it then gets an address from the range.",
        "Before each new address IOS pings twice for half a second; in a boot storm, reservations or ip dhcp ping packets 0 save that time.",
        "Beside a proxyDHCP server the VLAN needs two helper addresses: the DHCP server's and the proxy's.",
        "A machine taken off Moxxie's list keeps its pool MOXXIE-name until you remove it.",
    ],
    checked: &[
        "Checked for structure by Moxxie's own tests; not run on a device. No checker knows the IOS grammar.",
        "That the commands mean what they should comes from Cisco's references and public notes.",
    ],
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// What is accepted comes back as the same single word when a line is split as IOS does.
        #[test]
        fn a_word_stays_one_word(text in ".{0,40}") {
            if let Ok(word) = Word::new("pool", &text) {
                let line = format!(" bootfile {word}");
                prop_assert_eq!(line.split([' ', '\t']).filter(|w| !w.is_empty()).collect::<Vec<_>>(), ["bootfile", text.as_str()]);
                prop_assert!(!line.contains(['?', '\n', '\r', '"']));
            }
        }

        #[test]
        fn plain_words_are_accepted(text in "[A-Za-z0-9][A-Za-z0-9./:_-]{0,40}") {
            prop_assert_eq!(Word::new("pool", &text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn interfaces() {
        let read = |text: &str| Word::interface("interface", &text.parse().unwrap()).map(|w| w.to_string());
        assert_eq!(read("GigabitEthernet 1/0/1").unwrap(), "GigabitEthernet1/0/1");
        assert_eq!(read("Te1/1/1").unwrap(), "Te1/1/1");
        for bad in ["range Gi1/0/1 - 24", "Gi 1/0/1 - 24", "no switchport"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        let svi = |text: &str| Word::interface("interface", &text.parse().unwrap()).unwrap().is_svi();
        assert!(svi("Vlan10") && svi("vlan 10") && !svi("Vlan") && !svi("Gi1/0/1"));
    }
}
