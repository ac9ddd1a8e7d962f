//! Cisco IOS and IOS-XE: relay to a DHCP server that knows kinds of clients, or a pool with one file.
//!
//! `ip dhcp class` can match option 60, but the documented actions under a pool's class are address
//! ranges and relay targets: no boot file by kind of client, so the pool has one for all.

mod pool;
mod relay;
mod word;

use super::{Choice, Dialect, Guide, Network, Problem, Remarks, Written, comment_block};

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
            "loader",
            "stage2",
            "vlan",
            "leases",
        ]
    }

    fn means(&self, key: &str) -> Option<&'static str> {
        Some(match key {
            "interface" => "mode=relay: a machine's port, or the VLAN's interface, such as Vlan10",
            "uplink" => "mode=relay: the port towards the DHCP server, where DHCP snooping has to trust",
            "dhcp_server" => "mode=relay: the addresses to relay to, separated by spaces; default: Moxxie's",
            "pool" => {
                "mode=pool: a pool that is on the switch, or the range of a new one, such as 10.0.0.100-10.0.0.199; mode=relay: the range for the companion files"
            }
            "next_server" => {
                "the TFTP server's address; default in mode=pool: the gateway, which is taken to be this switch and gets the loaders; in mode=relay: the DHCP server; with tftp=moxxie: Moxxie"
            }
            "tftp" => "who hands out the loaders: switch (default; in mode=relay the DHCP server) or moxxie",
            "stage2" => {
                "how iPXE finds the menu: auto (default), class (DHCP tells it; mode=relay only) or embedded (the loader knows)"
            }
            "vlan" => "mode=relay: the machines' VLAN, 1 to 4094, whose interface relays",
            "leases" => {
                "static: a fixed address for each assigned machine whose address is known, in mode=relay in the companion files; default: none"
            }
            _ => return None,
        })
    }

    fn write(&self, network: &Network) -> Result<Written, Problem> {
        match network.choice("mode") {
            "pool" => pool::pool(network),
            _ => relay::relay(network),
        }
    }

    fn guide(&self) -> Guide {
        GUIDE
    }
}

fn remark(text: &str) -> String {
    comment_block("!", &text.replace('?', "."))
}

fn head(network: &Network, title: &str, warnings: &[String]) -> String {
    let apply =
        &["Paste at the enable prompt, which ends in #. Nothing is saved until you say: write memory"];
    let text = Remarks { mark: "!", title, apply }.head(network, warnings);
    text.replace('?', ".") + "configure terminal\n"
}

fn verify(show: &str, doctor: String) -> Vec<String> {
    vec![show.into(), "show ip dhcp binding".into(), doctor]
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
        "Paste the undo script the same way. It removes the pools named moxxie-, their excluded addresses and the addresses to relay to. Leave out what was there before.",
        "What TFTP serves stays, because another network's machines may load the same files; the undo script says the lines that end it.",
        "Portfast and snooping trust stay, because the script cannot know who else relies on them.",
    ],
    traps: &[
        "Without portfast a port listens for 30 seconds, and firmware has given up by then; NX-OS says spanning-tree port type edge.",
        "A question mark opens the help, even in a pasted line; none is in the script.",
        "With DHCP snooping on, offers that come in by a port that is not trusted disappear without a word.",
        "A machine whose firmware sends no client identifier, or its UUID, may not be recognized as its reservation; it then gets an address from the range.",
        "Before each new address IOS pings twice for half a second; in a boot storm, reservations or ip dhcp ping packets 0 save that time.",
        "Beside a proxyDHCP server the VLAN needs two helper addresses: the DHCP server's and the proxy's.",
        "A machine taken off Moxxie's list keeps its pool, moxxie- and the MAC address, until you remove it.",
        "Lists add up: before you paste a script with other values, paste the undo of the old one, or its excluded addresses and addresses to relay to stay.",
        "Not everything that the script sets is named moxxie-: also ip helper-address of the VLAN's interface, portfast and snooping trust of the ports you name, excluded addresses, tftp-server and, with pool=NAME, next-server and bootfile of that pool.",
    ],
    checked: &[
        "Checked for structure by Moxxie's own tests; not run on a device. No checker knows the IOS grammar.",
        "That the commands mean what they should comes from Cisco's references and public notes.",
    ],
};
