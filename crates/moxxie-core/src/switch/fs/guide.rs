//! What is said around the scripts, and what a family's script says where its words are not known.

use super::{Job, Lines, Mode};
use crate::switch::Guide;
use std::net::Ipv4Addr;

/// Where the words come from.
pub(super) const SOURCES: &[&str] = &[
    "Ruijie RGOS configuration guide \"DHCP\" (WLAN edition, the same command line)",
    "RG-S29 command reference, pages 573 and 574 (easymanua.ls)",
    "ytti/oxidized: docs/Model-Notes/FSOS.md (version strings)",
    "HON95/wiki: networking/fs-fsos-switches.md (S5860 interfaces)",
    "napalm-automation-community/napalm-fsos-ssh (S3900 running configuration)",
    "checked by an own structural parser; not run on a device",
];

/// The vendor's page.
pub(super) const GUIDE: Guide = Guide {
    needs: &[
        "The family, by show version and the names of the interfaces. \"S5860_FSOS 12.4\" or \"S3410_FSOS 11.4\" and TenGigabitEthernet 0/1: family=rgos (S3410, S5810, S5860).",
        "Version 1.7 or 2.2 and ethernet 1/1: family=accton (S3900). \"Internetwork Operating System\", version 2.0.2J and g0/1: family=bdcom (S3400, S3700). Version 7.0.4 and eth-0-1: family=centec (S5800, S5850). set and commit: family=picos.",
        "mode=relay: vlan=, or the relay itself is left out; a DHCP server in another network that gives addresses in the machines' network; its file comes along for dnsmasq and Kea. The VLAN's interface on the switch has an address there.",
        "mode=uefi-pool: family=rgos, one kind of client, no relaying on this switch, and a TFTP server with the loader and autoexec.ipxe. The switch itself is none.",
        "mode=proxydhcp-beside: the switch has a pool for the network, and a proxyDHCP server stands in the machines' VLAN.",
    ],
    apply: &[
        "Write the script: moxxie network-config fs family=rgos vlan=10 interface=\"TenGigabitEthernet 0/1\" uplink=\"TenGigabitEthernet 0/48\" dhcp_server=10.0.9.10.",
        "Save show running-config to a file; it is the way back.",
        "Paste the script in a session that does not pass through the ports it names. Lines with ! or # are remarks. Stop at the first line that is refused: those below it would act elsewhere.",
        "For other values later, paste the undo script of the earlier ones first: lines that hold lists, such as excluded addresses, would add up.",
        "Put the companion files onto the DHCP server (--companion NAME prints one), run moxxie-loaders.sh there if it is among them, and start the server.",
        "Later, moxxie network-config fs with the same values and --compare FILE says what differs in show running-config. Of PicOS it reads set lines; it cannot compare BDCOM and Centec.",
        "Boot one machine, run moxxie doctor dhcp --interface X beside it, and only then save the switch's configuration (write on RGOS, write all on BDCOM).",
    ],
    undo: &[
        "Paste the undo script of the same values. It takes away the addresses to relay to, the edge ports and the pools named moxxie-.",
        "service dhcp and trusted ports stay, because others may need them; the undo script says the lines for both.",
        "What a value was before, the script cannot know: compare with the saved configuration. Beside its pools named moxxie-, the script changes the VLAN's addresses to relay to, ip dhcp relay check server-id (with two such addresses), service dhcp, the ports you name, excluded addresses of the subnet and, with pool=NAME, next-server and bootfile of that pool.",
    ],
    traps: &[
        "RGOS: service dhcp is server and relay in one. A request is served if there is a pool for it and relayed otherwise, so one pool ends the relaying of its network without a message. Never have both.",
        "A pool has one boot file for everybody, and no family is known to match options 60, 77 or 93. iPXE gets the loader again: autoexec.ipxe (UEFI) or a script built into the loader (BIOS) ends that.",
        "bootfile and option 67 together: firmware and iPXE disagree on which one counts. The script uses next-server and bootfile only, never options 66 and 67.",
        "With two addresses to relay to, the second of them a proxyDHCP server, ip dhcp relay check server-id has to be off.",
        "A port without spanning-tree portfast (edgeport on S3900) listens for half a minute; iPXE reports 040ee1 and gives up.",
        "DHCP snooping drops the answers that come from a port without trust.",
        "On a tagged port firmware gets nothing: the machines' VLAN has to be the untagged one.",
        "LACP: a bundle that wants partners drops a machine that boots. Let the port work without its bundle, or boot over another.",
        "A PXE ROM that sends a client identifier may not match a pool by hardware-address: its pool then needs client-identifier 01 and the MAC address, in fours.",
        "RGOS pings an address twice, 500 ms each, before it gives it away: with many machines at once, use leases=static.",
        "? opens help while one types: no file and no URL has one.",
    ],
    checked: &[
        "Checked: every script by an own parser (each indented line has a command above it, only known first words), its quoting by property tests, the comparison by running configurations made by hand.",
        "Not run on a device of FS. RGOS words are from the guide of the maker of that command line; portfast and snooping words on FS's builds are not confirmed.",
        "Whether RGOS wants the address behind no next-server, which the undo of an existing pool writes without it, is not verified.",
        "PicOS: the relay's words are in two independent public configurations. Accton: the ports' words are in a public running configuration. BDCOM and Centec: no words for DHCP are known, so their scripts are remarks.",
    ],
};

/// What parameters mean here, where that is not what they mean elsewhere.
pub(super) fn means(key: &str) -> Option<&'static str> {
    Some(match key {
        "interface" => "a machine's port, or the VLAN's interface, such as VLAN 10",
        "dhcp_server" => "mode=relay: the addresses to relay to, separated by spaces; default: Moxxie's",
        "pool" => {
            "mode=uefi-pool: a pool that is on the switch, or the range of a new one; mode=relay: the range for the companion files, such as 10.0.0.100-10.0.0.199; mode=proxydhcp-beside: the pool's name"
        }
        "next_server" => {
            "the TFTP server's address, never the switch; default: the DHCP or proxyDHCP server of the companion files, and Moxxie in mode=uefi-pool or with tftp=moxxie"
        }
        "tftp" => {
            "who hands out the loaders: moxxie, or switch (default), which stands for the server that next_server= describes, because these switches have no TFTP server"
        }
        "stage2" => {
            "how iPXE finds the menu: auto (default), class (DHCP tells it; not in mode=uefi-pool) or embedded (the loader knows)"
        }
        "vlan" => {
            "the machines' VLAN, 1 to 4094; without it the relay itself is left out (RGOS) or refused (PicOS)"
        }
        _ => return None,
    })
}

/// What to do by hand, where the words for DHCP are not known.
pub(super) fn by_hand(job: &Job<'_>, mark: &str, lines: &mut Lines) {
    let subnet = job.network.subnet;
    let place = job.vlan.map_or_else(|| format!("the VLAN of {subnet}"), |vlan| format!("VLAN {vlan}"));
    if job.mode == Mode::Relay {
        let helpers: Vec<String> = job.helpers.iter().map(Ipv4Addr::to_string).collect();
        lines.warn(
            "the words for a DHCP relay are not known for this family: the script says what to set, not how",
        );
        lines.remark(
            mark,
            &format!(
                "By hand, on the web page or with the manual's chapter DHCP relay: turn the relay on for {place}, \
                 with {} as the address to relay to and {} as the relay agent's own.",
                helpers.join(" and "),
                job.network.gateway
            ),
        );
    } else {
        lines.warn("the words for a DHCP pool are not known for this family: the script says what to look at, not how");
        lines.remark(
            mark,
            &format!(
                "By hand, on the web page or with the manual's chapter DHCP server: the pool for {subnet} must have neither \
                 a boot file nor option 60, 66 or 67, or firmware believes the pool instead of the proxyDHCP server."
            ),
        );
    }
}

/// What to do by hand, where the words for ports are not known.
pub(super) fn ports_by_hand(job: &Job<'_>, mark: &str, lines: &mut Lines) {
    let port = job
        .interface
        .as_ref()
        .map_or_else(|| "each machine's port".to_owned(), |port| format!("port {port}"));
    let uplink = job
        .uplink
        .as_ref()
        .map_or_else(|| "the port towards the DHCP server".to_owned(), |port| format!("port {port}"));
    lines.remark(
        mark,
        &format!(
            "By hand: make {port} a spanning-tree edge port, or iPXE gives up while it listens; where DHCP snooping is on, \
             trust {uplink}. The words for both are not known for this family."
        ),
    );
}
