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
        "Paste the undo script the same way. It removes the pools named MOXXIE, their excluded addresses, what TFTP served, and the relay target. Leave out what was there before.",
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
