//! What the page about RouterOS says around the script.

use super::plan::{Plan, Version};
use crate::switch::{Guide, Network};

/// Where the syntax comes from.
pub const SOURCES: &[&str] = &[
    "MikroTik, RouterOS documentation, \"DHCP\" (option values, precedence), \"TFTP\" and \"Bridge\"",
    "RouterOS /console/inspect trees of 7.12.2, 7.15, 7.16, 7.20.1 and 7.24 (tikoci/restraml)",
    "RFC 4578, RFC 2132; ipxe/ipxe src/net/dhcppkt.c and src/net/udp/dhcp.c",
    "checked against the argument lists of these versions and against routeros-lsp 0.2.3 (RouterOS 7.21.4), not run on a device",
];

/// How to see that it works.
pub fn verify(network: &Network, plan: &Plan) -> Vec<String> {
    let mut verify = Vec::new();
    if plan.version != Version::V6 {
        let label = &plan.label;
        verify.push(format!(
            "/ip dhcp-server option print detail where name~\"{label}\"    (raw-value: the bytes that are sent)"
        ));
        verify.push(format!(
            "/ip dhcp-server matcher print    (for this DHCP server the {label} lines, and no other on code 60, 77 or 93)"
        ));
    }
    verify.push(format!("/ip dhcp-server network print detail where address={}", network.subnet));
    if plan.serves_files(network) {
        verify.push("/ip tftp print    (hits goes up with each file)".into());
        verify.push(format!("/file print where name~\"{}-\"", plan.label));
    }
    verify.push("moxxie doctor dhcp --interface eth0    (on a computer in the machines' network)".into());
    verify.push(
        "/export terse file=running, copy running.rsc, then moxxie network-config mikrotik --compare running.rsc"
            .into(),
    );
    verify
}

/// The page.
pub const GUIDE: Guide = Guide {
    needs: &[
        "A RouterOS device with a working DHCP server: /ip dhcp-server, an address pool, and the machines' network in /ip dhcp-server network. A switch that runs SwOS has no DHCP server.",
        "The version: /system resource print. From 7.16 on take version=7.16, from 7.4 to 7.15 version=7.4, before that version=6; a full number such as version=7.12.2 is understood, too.",
        "A user whose group has the policy sensitive, which /ip tftp needs: the group full has it.",
        "Loaders on Moxxie's shelf (moxxie firmware list), as the router fetches them from there. About 1 MB of space each, for each network.",
        "For BIOS machines an undionly.kpxe with Moxxie's script in it: get /boot/firmware/embed.ipxe from Moxxie, run make bin/undionly.kpxe EMBED=embed.ipxe in iPXE's src folder, then moxxie firmware import bin/undionly.kpxe. It is not needed where bios is the only kind of client, on 7.4 and later.",
        // KNOWS_AUTOEXEC; a test holds them together.
        "For UEFI machines an iPXE that reads autoexec.ipxe beside itself: iPXE built after January 17, 2022: 2.0 and Debian 13's package are, 1.21.1, Debian 12's and every 20220113 package are not. For UEFI HTTP boot iPXE 2.0.",
    ],
    apply: &[
        "Read the script's remarks. Give dhcp_server= or interface= if the router has more than one DHCP server, subnet= as it stands in /ip dhcp-server network.",
        "Make a backup: /export file=before.",
        "Upload the script as moxxie.rsc (drag it into WinBox, or scp moxxie.rsc admin@ROUTER:).",
        "On 7.16 and later look first: /import file-name=moxxie.rsc verbose=yes dry-run.",
        "Press Ctrl-X for safe mode, run /import file-name=moxxie.rsc verbose=yes, read what it says, press Ctrl-X again to keep it. If the connection breaks before that, the router takes everything back, up to 100 changes; with more than about 60 fixed addresses rely on the backup.",
        "By SSH a script that cannot be read ends with exit status 0 all the same: look for \"expected\", \"syntax error\", \"bad command name\" and \"failure:\" in what it prints. By REST it is a POST to /rest/import with the file's name, once the file is on the router.",
        "The remarks at the end of the script are for you to decide: the firewall for UDP 67 and 69 from the machines, before the rule that drops (print its NUMBER first), and edge=yes for their ports.",
    ],
    undo: &[
        "Import the undo script the same way. It removes the matchers, option sets, options, TFTP rules, leases and loaders of this network, which are called moxxie-10-0-0-0 for 10.0.0.0/24, and next-server if it still is the script's. Other networks keep theirs.",
        "A dhcp-option-set of this network's that you gave a lease by hand is taken from it, because the set is removed.",
        "A next-server or boot-file-name of before is not restored: the script prints both before it changes them and writes them into the router's log, which a restart empties (/log print where message~\"moxxie\"), and the backup has them.",
    ],
    traps: &[
        "What it changes that is not called moxxie-: next-server and boot-file-name of this one network in /ip dhcp-server network and, with a single kind of client on 7.4 and later, its dhcp-option-set. It stops where another boot file or, with that, another option set stands there, and says how to let it go on.",
        "Two matchers that fit one client have no order. The script stops when another one looks at option 77 or 93, and says so when one looks at option 60.",
        "A matcher without address-pool hands out no addresses: PXE-E51. The script always names the DHCP server's own pool, or pool=.",
        "Option 67 as value='ipxe.efi' works, but '10.0.0.1' in such quotes becomes four bytes: as text it must be s'10.0.0.1'. Public examples often have this wrong.",
        "The file's name must stand in one place. iPXE reads boot-file-name before option 67, UEFI the other way round: with both, one of them loops.",
        "iPXE that starts again and again: its loader neither has a script in it nor finds autoexec.ipxe. See the warnings at the head of the script.",
        "\"autoexec.ipxe ... Operation not supported (3c126083)\": the file is not published; the script does it. It does no harm where iPXE has a script of its own.",
        "PXE-E35 in the middle of a file: large TFTP blocks are fragmented and lost. /ip tftp settings set max-block-size=1432.",
        "A firmware that asks for a file name with a strange byte at its end reads past option 67. Append a NUL: /ip dhcp-server option set moxxie-10-0-0-0-bf-bios value=0x756e64696f6e6c792e6b70786500 (the name in hexadecimal, 00 behind it). --compare takes it for the same; the next run of the script takes the NUL away again.",
        "Files outside the folder flash are gone after a restart on devices that have one. The script uses it where it is there; on 16 MB devices four loaders may not fit, and each network has its own: use tftp=moxxie.",
        "A machine with a lease that somebody made by hand keeps it; the script says which.",
        "TFTP rules are read in order and the script's come last: another that fits the same names wins, such as one with an empty req-filename. The script and --compare say so; /ip tftp move puts it behind.",
        "RouterOS does not start its TFTP server at boot where there is no rule in /ip tftp. After removing all rules and adding some again, see in /ip tftp print whether hits go up.",
        "Each network of a router has matchers, sets, options, rules and files of its own: run one script for each, with subnet= and dhcp_server=. Matchers belong to a DHCP server: two networks of one server cannot both have them, and the second script stops.",
        "A router that got another subnet keeps what was made for the old one: run the undo with subnet= as it was.",
        "If a machine with a fixed address gets no boot file, matchers do not reach static leases in that version: /ip dhcp-server lease set [find where comment=\"moxxie-10-0-0-0: NAME\"] dhcp-option-set=moxxie-10-0-0-0-x64 (only where iPXE finds the menu without DHCP, not with stage2=class). The next run of the script takes it away again.",
        "Fixed addresses carry no boot file: one on the lease would reach iPXE, too, and go before the matcher for it.",
        "On a bridge with dhcp-snooping=yes the port towards another DHCP server, relay or proxyDHCP has to be trusted=yes.",
    ],
    checked: &[
        "Every script is checked against the argument lists that RouterOS 7.12.2, 7.15, 7.16, 7.20.1 and 7.24 give of themselves, and by routeros-lsp 0.2.3 with the commands of 7.21.4. None of it was run on a device.",
        "The script for version 6 is checked for its syntax only: there is no argument list of a version 6.",
        "Not verified: that a matcher's options go before the network's (stage2=class relies on it, and two public configurations do), that matchers reach machines with static leases, how RouterOS answers UEFI HTTP boot, and that boot-file-name fills the BOOTP header only and not option 67 (the script for version 6 relies on it).",
    ],
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::switch::KNOWS_AUTOEXEC;

    #[test]
    fn the_page_names_the_builds_that_know_autoexec() {
        assert!(GUIDE.needs.iter().any(|text| text.contains(KNOWS_AUTOEXEC)));
    }
}
