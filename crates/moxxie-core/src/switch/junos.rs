//! Junos: relay to a DHCP server that knows kinds of clients, or an address pool with one file.
//!
//! A pool's `option-match` looks at option 82 only, so there is no boot file by kind of client.

use super::served::{self, tftp_note};
use super::single::{doctor, single};
use super::{
    Choice, Dialect, Guide, Name, NameError, Network, Pool, Problem, Remarks, Written, comment_block, relayed,
};
use std::fmt::{self, Write as _};

/// Junos.
#[derive(Debug)]
pub struct Junos;

const MODES: Choice = Choice {
    key: "mode",
    values: &[
        ("relay", "machines' DHCP is relayed to a server that knows their kinds"),
        ("pool", "the device answers DHCP itself, with one boot file"),
    ],
};

impl Dialect for Junos {
    fn name(&self) -> &'static str {
        "junos"
    }

    fn title(&self) -> &'static str {
        "Juniper Junos"
    }

    fn summary(&self) -> &'static str {
        "set commands for configuration mode: a DHCP relay, or an address pool with one boot file"
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
            "dhcp_server",
            "pool",
            "next_server",
            "tftp",
            "boot_url",
            "arch",
            "secure_boot",
            "loader",
            "stage2",
            "vlan",
            "leases",
        ]
    }

    fn means(&self, key: &str) -> Option<&'static str> {
        Some(match key {
            "interface" => {
                "the logical interface of the machines' network, such as irb.10; default: irb with the number in vlan="
            }
            "dhcp_server" => "mode=relay: the addresses to relay to, separated by spaces; default: Moxxie's",
            "pool" => {
                "mode=pool: a pool that is on the device, or the range of a new one, such as 10.0.0.100-10.0.0.199; mode=relay: the range for the companion files"
            }
            "next_server" => {
                "the TFTP server's address; default in mode=pool: the gateway, where one has to be, because Junos is none; in mode=relay: the DHCP server; with tftp=moxxie: Moxxie"
            }
            "tftp" => {
                "who hands out the loaders: moxxie, or switch (default), which stands for the server that next_server= describes, because Junos is none"
            }
            "stage2" => {
                "how iPXE finds the menu: auto (default), class (DHCP tells it; mode=relay only) or embedded (the loader knows)"
            }
            "leases" => {
                "static: a fixed address for each assigned machine whose address is known, in mode=relay in the companion files; default: none"
            }
            _ => return None,
        })
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

/// A text in double quotes, as Junos writes them, with `\` before quotes and itself.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Quoted(String);

impl Quoted {
    fn new(key: &'static str, text: &str) -> Result<Quoted, Problem> {
        // A question mark would open the help where somebody pastes at the prompt.
        if text.is_empty() || !text.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'?') {
            return Err(Problem::new(key, format!("{text:?} cannot stand in a Junos statement")));
        }
        Ok(Quoted(text.replace('\\', "\\\\").replace('"', "\\\"")))
    }
}

impl fmt::Display for Quoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

/// The logical interface that routes the machines' VLAN: `irb.10`, `ge-0/0/1.0`.
fn logical(network: &Network, warnings: &mut Vec<String>) -> Result<Option<Quoted>, Problem> {
    let given = network.interface.as_ref().map(|name| word("interface", name)).transpose()?;
    let has_unit = |name: &&str| {
        name.rsplit_once('.')
            .is_some_and(|(_, unit)| !unit.is_empty() && unit.bytes().all(|b| b.is_ascii_digit()))
    };
    match (given, network.vlan) {
        (Some(name), _) if has_unit(&name) => Quoted::new("interface", name).map(Some),
        (given, Some(vlan)) => {
            if let Some(name) = given {
                warnings
                    .push(format!("{name} has no unit, so irb.{vlan} is taken for the machines' network"));
            }
            Quoted::new("vlan", &format!("irb.{vlan}")).map(Some)
        }
        (Some(name), None) => Err(Problem::new(
            "interface",
            format!("{name:?} has no unit: DHCP belongs to a logical interface, such as irb.10 or {name}.0"),
        )),
        (None, None) => {
            warnings.push(NO_INTERFACE.into());
            Ok(None)
        }
    }
}

fn word<'a>(key: &'static str, name: &'a Name) -> Result<&'a str, Problem> {
    name.word().map_err(|error: NameError| Problem::new(key, error))
}

fn head(network: &Network, title: &str, warnings: &[String]) -> String {
    let apply = &[
        "configure exclusive, load set terminal, paste, Ctrl-D; show | compare; commit confirmed 5; commit",
        "If your release stumbles over remarks, leave the lines with # out.",
    ];
    Remarks { mark: "#", title, apply }.head(network, warnings).replace('?', ".")
}

const NO_INTERFACE: &str = "neither vlan= nor interface= was given, so the line that ties this to the machines' network is a remark: fill it in";

fn relay(network: &Network) -> Result<Written, Problem> {
    let targets = relayed::targets(network)?;
    let mut warnings = network.warnings.clone();
    warnings.extend(relayed::notes(network, &targets));
    let interface = logical(network, &mut warnings)?;
    let mut script = head(network, "Juniper Junos: DHCP relay", &warnings);
    let relay = "forwarding-options dhcp-relay";
    let name = format!("moxxie-{}", network.label());
    let undo = format!("delete {relay} group {name}\ndelete {relay} server-group {name}\n");
    script.push_str(&undo);
    for target in &targets {
        let _ = writeln!(script, "set {relay} server-group {name} {target}");
    }
    let _ = writeln!(script, "set {relay} group {name} active-server-group {name}");
    match interface {
        Some(interface) => {
            let _ = writeln!(script, "set {relay} group {name} interface {interface}");
        }
        None => script.push_str(&comment_block("#", &format!("set {relay} group {name} interface irb.VLAN"))),
    }
    script.push_str(&comment_block("#", "Firmware and then iPXE ask anew while the relay still holds the first answer, and it would drop the second offer."));
    let _ = writeln!(script, "set {relay} group {name} overrides delete-binding-on-renegotiation");
    Ok(Written {
        script,
        undo,
        warnings,
        verify: verify("show dhcp relay binding", served::doctor(network)),
        sources: SOURCES.to_vec(),
        companions: relayed::server_files(network, &targets)?,
    })
}

fn pool(network: &Network) -> Result<Written, Problem> {
    let one = single(network, "Junos", "use mode=relay to dnsmasq or Kea")?;
    let mut warnings = network.warnings.clone();
    warnings.extend(one.warnings);
    warnings.extend(tftp_note(network, "Junos"));
    warnings.push("some releases do not have next-server: if the line is refused, leave it out; UEFI then asks the DHCP server itself for the file, so relay instead or put a TFTP server on its address".into());
    let file = Quoted::new("arch", &one.file)?;
    let server = network.next_server;
    let verify = verify("show dhcp server binding", doctor(network));
    let boot = |pool: &Quoted| {
        let attributes = format!("access address-assignment pool {pool} family inet dhcp-attributes");
        format!("set {attributes} boot-file {file}\nset {attributes} next-server {server}\n")
    };
    if let Some(Pool::Name(name)) = &network.pool {
        let pool = Quoted::new("pool", name.as_str())?;
        warnings.push(format!(
            "pool {name} was there before: rollback 1 brings back what boot-file and next-server it had"
        ));
        let script = head(network, "Juniper Junos: the boot file of a pool", &warnings) + &boot(&pool);
        let attributes = format!("access address-assignment pool {pool} family inet dhcp-attributes");
        let undo = format!("delete {attributes} boot-file\ndelete {attributes} next-server\n");
        return Ok(Written {
            script,
            undo,
            warnings,
            verify,
            sources: SOURCES.to_vec(),
            companions: Vec::new(),
        });
    }
    let interface = logical(network, &mut warnings)?;
    let mut script = head(network, "Juniper Junos: an address pool with one boot file", &warnings);
    let label = format!("moxxie-{}", network.label());
    let name = Quoted::new("pool", &label)?;
    let pool = format!("access address-assignment pool {name}");
    let group = format!("system services dhcp-local-server group {label}");
    let inet = format!("{pool} family inet");
    let range = network.range();
    let _ = write!(
        script,
        "delete {pool}\ndelete {group}\nset {inet} network {}\nset {inet} range moxxie low {}\nset {inet} range moxxie high {}\nset {inet} dhcp-attributes router {}\n",
        network.subnet, range.first, range.last, network.gateway
    );
    for dns in &network.dns {
        let _ = writeln!(script, "set {inet} dhcp-attributes name-server {dns}");
    }
    let _ = writeln!(script, "set {inet} dhcp-attributes maximum-lease-time 3600");
    script.push_str(&boot(&name));
    for lease in &network.leases {
        let host = format!("{inet} host {}", Quoted::new("leases", lease.node.as_str())?);
        let _ = write!(
            script,
            "set {host} hardware-address {}\nset {host} ip-address {}\n",
            lease.mac, lease.address
        );
    }
    match interface {
        Some(interface) => {
            let _ = writeln!(script, "set {group} interface {interface}");
        }
        None => script.push_str(&comment_block("#", &format!("set {group} interface irb.VLAN"))),
    }
    let undo = format!("delete {group}\ndelete {pool}\n");
    Ok(Written { script, undo, warnings, verify, sources: SOURCES.to_vec(), companions: Vec::new() })
}

fn verify(show: &str, doctor: String) -> Vec<String> {
    vec!["show | compare".into(), show.into(), doctor]
}

const SOURCES: &[&str] = &[
    "Juniper, dhcp-attributes (Address-Assignment Pools)",
    "Juniper KB30596 (delete-binding-on-renegotiation)",
    "structure checked by own tests; not run on a device",
];

const GUIDE: Guide = Guide {
    needs: &[
        "A device that routes the machines' VLAN, by irb.VLAN or another logical interface.",
        "For mode=relay: a DHCP server that gives each kind of client its own file; the companion file makes dnsmasq one.",
        "For mode=pool: machines of one kind, a TFTP server elsewhere, and no DHCP relay on the same interface.",
    ],
    apply: &[
        "configure exclusive, then load set terminal, paste the script, Ctrl-D.",
        "Read show | compare. The deletes at the beginning may say that there is nothing to delete.",
        "commit confirmed 5, verify within five minutes, commit. Without the second commit Junos goes back by itself.",
    ],
    undo: &[
        "Load the undo script the same way, or rollback 1 if nothing was committed since.",
        "Everything that the script made stands in groups and a pool named moxxie- and the subnet, which the undo script deletes whole. With pool=NAME the script sets boot-file and next-server of that pool: only rollback brings back what they were.",
    ],
    traps: &[
        "Without delete-binding-on-renegotiation the relay drops the offer for a client that it knows already, so iPXE or a proxyDHCP answer hangs (KB30596).",
        "A pool that overlaps an existing one is refused at commit: name the existing one with pool= and only its boot file is set.",
        "Reservations have no boot file of their own in Junos: machines of another kind need the relay.",
        "A machine that sends a client identifier which is not its MAC address may miss its reservation.",
        "Ports towards machines should be edge ports of spanning tree, or firmware gives up while they listen; how to say so differs between releases.",
    ],
    checked: &[
        "Checked for structure by Moxxie's own tests; not run on a device. No offline checker of the Junos grammar could be used.",
        "Statements come from Juniper's reference; next-server is not in the lists of all releases. KB30596 shows delete-binding-on-renegotiation for all relay groups; that a single group takes it, too, and that each request goes to every address of a server group, was not tried.",
    ],
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// How Junos reads a quoted text, written down a second time.
    fn read(quoted: &str) -> Option<String> {
        let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
        let (mut text, mut chars) = (String::new(), inner.chars());
        while let Some(c) = chars.next() {
            match c {
                '"' => return None,
                '\\' => text.push(chars.next()?),
                c => text.push(c),
            }
        }
        Some(text)
    }

    proptest! {
        #[test]
        fn quoted_texts_come_back(text in "[ -~]{0,40}|.{0,20}") {
            match Quoted::new("pool", &text) {
                Ok(quoted) => prop_assert_eq!(read(&quoted.to_string()), Some(text)),
                Err(_) => prop_assert!(text.is_empty() || text.contains('?') || text.chars().any(|c| !(' '..='~').contains(&c))),
            }
        }
    }
}
