//! What only some sites and devices do.

use super::Symptom;

#[rustfmt::skip]
pub(super) const SYMPTOMS: &[Symptom] = &[
    Symptom {
        id: "proxmox-sdn-no-lease",
        title: "Proxmox SDN: the guest gets no lease",
        seen: &["Proxmox", "SDN", "no lease", "dhcp-ignore=tag:!known"],
        cause: "The zone's dnsmasq answers only machines that IPAM knows (`dhcp-ignore=tag:!known`).",
        check: "Is the guest's MAC address in the zone's IPAM?",
        fix: "Register it there, with an address of the subnet's DHCP range.",
        vendors: &["proxmox-sdn"],
        sources: &["pve-network"],
    },
    Symptom {
        id: "fs-relay-stopped",
        title: "FS: relaying stopped when a pool was added",
        seen: &["FS", "S58xx", "ip helper-address", "service dhcp", "RGOS"],
        cause: "On FS switches with RGOS, a DHCP pool for a subnet ends relaying for it.",
        check: "`show running-config | include dhcp`: is there a pool for the subnet of the machines?",
        fix: "Remove the pool: let the switch either serve or relay.",
        vendors: &["fs"],
        sources: &["Ruijie RGOS configuration guide, DHCP"],
    },
    Symptom {
        id: "boot-storm",
        title: "Some of many machines time out when all boot at once",
        seen: &["boot storm", "some nodes time out", "slow TFTP"],
        cause: "TFTP runs on the switch's processor, one block at a time; and the DHCP server probes each address before it gives it (RouterOS 0.5 s, RGOS two pings of 500 ms).",
        check: "Look at the switch's CPU while they boot. How long is it from DISCOVER to OFFER?",
        fix: "Load less than 1 MB by TFTP and the rest over HTTP; use static leases; switch the probe off.",
        vendors: &["mikrotik", "fs"],
        sources: &["MikroTik documentation, DHCP", "Ruijie RGOS configuration guide, DHCP"],
    },
];
