//! The table of PXE-E codes.
//!
//! The BIOS texts are those of Intel's PXE 2.1 ROM, which most vendors took over (Broadcom KB
//! 152549); UEFI's are in edk2 (NetworkPkg/UefiPxeBcDxe/PxeBcBoot.c).

use super::{Next, PxeCode};

const BIOS: &str = "BIOS";
const UEFI: &str = "UEFI";

const ROM: (&str, &str) =
    ("Is there newer firmware for the board or the card?", "Update the firmware; try another card.");
const NIC: (&str, &str) = (
    "Does another card boot in this machine, and this card in another?",
    "Update the card's firmware, or replace the card.",
);
const BIS: (&str, &str) = (
    "Is BIS (Boot Integrity Services) on in the firmware's set-up menu?",
    "Switch BIS off; hardly anybody uses it.",
);
const MENU: (&str, &str) = (
    "Look at option 43 in the offers: who sends it?",
    "Take option 43 away; with a boot file in the offer no PXE menu is needed.",
);
const DOS: (&str, &str) = (
    "Which boot file was loaded? This text comes from that, not from the firmware.",
    "Give the machine the iPXE loader instead.",
);
const MEM: (&str, &str) = (
    "How much memory do other option ROMs take? Are there boot ROMs that nobody needs?",
    "Switch other option ROMs off in the firmware's set-up menu.",
);
const NONE: (&str, &str) = ("Was a key pressed?", "Start the boot again.");

macro_rules! codes {
    ($($number:literal $firmware:ident $text:literal $cause:literal $next:ident($what:expr);)*) => {
        /// Every code, the boot ROM's first.
        pub const CODES: &[PxeCode] = &[$(PxeCode {
            number: $number, firmware: $firmware, text: $text, cause: $cause, next: Next::$next($what),
        }),*];
    };
}

#[rustfmt::skip]
codes! {
    "E00" BIOS "Could not find enough free base memory"
        "PXE needs free memory below 640 KB and found too little, or found it not cleared."
        Do(MEM);
    "E01" BIOS "PCI Vendor and Device IDs do not match"
        "The firmware gave the boot ROM another device than its own."
        Do(ROM);
    "E04" BIOS "Error reading PCI configuration space"
        "The PCI BIOS answered with an error: firmware or hardware is broken."
        Do(NIC);
    "E05" BIOS "EEPROM checksum error"
        "The card's EEPROM is damaged, perhaps by a reset while it was written."
        Do(NIC);
    "E06" BIOS "Option ROM requires DDIM support"
        "The firmware did not load the boot ROM into writable memory."
        Do(ROM);
    "E07" BIOS "PCI BIOS calls not supported"
        "The firmware has no PCI services."
        Do(ROM);
    "E08" BIOS "Unexpected API error"
        "A call into the PXE stack gave a status that nobody expected; the line has its numbers."
        Do(ROM);
    "E09" BIOS "Unexpected UNDI loader error"
        "The card's driver could not be loaded; the line has the status."
        Do(NIC);
    "E11" BIOS "ARP timeout"
        "Nobody answered for the boot server's address."
        See("pxe-e11");
    "E20" BIOS "BIOS extended memory copy error"
        "The firmware could not copy memory; AH is its error."
        Do(ROM);
    "E21" BIOS "BIS integrity check failed"
        "The integrity service's image in memory is damaged."
        Do(BIS);
    "E22" BIOS "BIS image/credential validation failed"
        "The boot file's signature does not fit the key in the firmware."
        Do(BIS);
    "E23" BIOS "BIS initialization failed"
        "The integrity service did not start."
        Do(BIS);
    "E24" BIOS "BIS shutdown failed"
        "The integrity service did not stop."
        Do(BIS);
    "E25" BIOS "BIS get boot object authorization check flag failed"
        "The firmware does not say whether the integrity service is on."
        Do(BIS);
    "E26" BIOS "BIS free memory failed"
        "The integrity service's memory could not be given back."
        Do(BIS);
    "E27" BIOS "BIS get signature information failed"
        "The firmware does not say which signatures it wants."
        Do(BIS);
    "E28" BIOS "BIS bad entry structure checksum"
        "The integrity service's entry in SMBIOS is damaged."
        Do(BIS);
    "E32" BIOS "TFTP open timeout"
        "The TFTP server did not answer the request for the file."
        See("pxe-e32");
    "E35" BIOS "TFTP read timeout"
        "The next block of the file did not come."
        See("pxe-e35");
    "E36" BIOS "Error received from TFTP server"
        "The TFTP server sent an error; its log says which."
        See("tftp-not-found");
    "E38" BIOS "TFTP cannot open connection"
        "The card could not send the request."
        Do(NIC);
    "E39" BIOS "TFTP cannot read from connection"
        "The card could not send an acknowledgment."
        Do(NIC);
    "E3A" BIOS "TFTP too many packages"
        "The file is larger than the memory kept for it, or grew while it was read."
        See("pxe-e79");
    "E3B" BIOS "TFTP error - File not found"
        "The TFTP server has no file of this name."
        See("tftp-not-found");
    "E3C" BIOS "TFTP error - Access violation"
        "The TFTP server may not read the file, or not give it to this address."
        See("pxe-e3c");
    "E3F" BIOS "TFTP packet size is invalid"
        "A block was larger than 1456 bytes."
        See("pxe-e35");
    "E51" BIOS "No DHCP or proxyDHCP offers were received"
        "No offer reached the machine."
        See("pxe-e51");
    "E52" BIOS "proxyDHCP offers were received. No DHCP offers were received"
        "Only the proxyDHCP server answered; an address is missing."
        See("pxe-e52");
    "E53" BIOS "No boot filename received"
        "An offer came without the name of a boot file."
        See("pxe-e53");
    "E55" BIOS "proxyDHCP service did not reply to request on port 4011"
        "The machine was sent to port 4011 and nobody answers there."
        See("pxe-e55");
    "E60" BIOS "Invalid UNDI API function number"
        "The PXE stack wants something that the card's driver does not have."
        Do(ROM);
    "E61" BIOS "Media test failure, check cable"
        "There is no link."
        See("pxe-e61");
    "E63" BIOS "Error while initializing the NIC"
        "The card does not start."
        Do(NIC);
    "E64" BIOS "Error while initializing the PHY"
        "The card's line side does not start."
        Do(NIC);
    "E65" BIOS "Error while reading the configuration data"
        "The card's configuration cannot be read."
        Do(NIC);
    "E66" BIOS "Error while reading the initialization data"
        "The card's start-up data cannot be read."
        Do(NIC);
    "E67" BIOS "Invalid MAC address"
        "The card's MAC address is none."
        Do(NIC);
    "E68" BIOS "Invalid EEPROM checksum"
        "The card's EEPROM is damaged."
        Do(NIC);
    "E69" BIOS "Error while setting interrupt"
        "The card got no interrupt."
        Do(NIC);
    "E74" BIOS "Bad or missing PXE menu and/or prompt information"
        "Option 43 speaks of a menu and holds none."
        Do(MENU);
    "E76" BIOS "Bad or missing multicast discovery address"
        "Option 43 wants discovery by multicast and names no address."
        Do(MENU);
    "E77" BIOS "Bad or missing discovery server list"
        "Option 43 wants servers from a list and has no list."
        Do(MENU);
    "E78" BIOS "Could not locate boot server"
        "No boot server answered the discovery that option 43 asks for."
        Do(MENU);
    "E79" BIOS "NBP is too big to fit in free base memory"
        "The boot file does not fit into the memory of a BIOS machine."
        See("pxe-e79");
    "E7A" BIOS "Client could not locate a secure server"
        "The integrity service is on, and the boot server sent no security data."
        Do(BIS);
    "E7B" BIOS "Missing MTFTP server IP address"
        "The offer names no boot server: siaddr is 0.0.0.0."
        See("pxe-e53");
    "E81" BIOS "!PXE structure is invalid"
        "A boot program found the PXE stack's entry damaged."
        Do(DOS);
    "E82" BIOS "PXENV+ structure is invalid"
        "A boot program found the PXE stack's entry damaged."
        Do(DOS);
    "E83" BIOS "Invalid DHCP option format"
        "The PXE options in the cached packets are not valid."
        Do(MENU);
    "E84" BIOS "Could not get pointer to original packet storage"
        "The PXE stack does not hand over the packets it kept."
        Do(DOS);
    "E85" BIOS "Not enough extended memory"
        "A RAM disk does not fit into memory."
        Do(DOS);
    "E86" BIOS "RAMdisk image corrupted"
        "The file is not the disk image that the boot program expects."
        Do(DOS);
    "E87" BIOS "Could not find selected boot item"
        "The reply has no boot item (PXE option 71)."
        Do(MENU);
    "E88" BIOS "Could not locate boot server"
        "No boot server answered the request for the RAM disk."
        Do(DOS);
    "E89" BIOS "Could not download boot image"
        "The RAM disk could not be loaded by TFTP."
        See("tftp-not-found");
    "EA0" BIOS "Network boot canceled by keystroke"
        "Somebody pressed Esc; a noisy serial console or remote keyboard can do that."
        Do(NONE);
    "EC1" BIOS "BaseCode ROM ID structure was not found"
        "The boot ROM's base code is missing or damaged."
        Do(ROM);
    "EC3" BIOS "BaseCode ROM ID structure is invalid"
        "The boot ROM's base code is damaged."
        Do(ROM);
    "EC4" BIOS "UNDI ROM ID structure was not found"
        "The card's driver in the boot ROM is missing."
        Do(ROM);
    "EC5" BIOS "UNDI ROM ID structure is invalid"
        "The card's driver in the boot ROM is damaged."
        Do(ROM);
    "EC6" BIOS "UNDI driver image is invalid"
        "The card's driver in the boot ROM is damaged."
        Do(ROM);
    "EC8" BIOS "!PXE structure was not found in UNDI driver code segment"
        "The card's driver is damaged, or the firmware did not start it properly."
        Do(ROM);
    "EC9" BIOS "PXENV+ structure was not found in UNDI driver code segment"
        "The card's driver is damaged, or the firmware did not start it properly."
        Do(ROM);
    "M0F" BIOS "Exiting PXE ROM"
        "The boot ROM gave up and hands over to the next boot device. The reason is in the line before it."
        Do(NONE);
    "E05" UEFI "Buffer size is smaller than the requested file"
        "The firmware's buffer is smaller than the boot file, which may have changed while it was loaded."
        Do(ROM);
    "E07" UEFI "Network device error"
        "The card reported an error."
        Do(NIC);
    "E09" UEFI "Could not allocate I/O buffers"
        "The firmware has no memory for the transfer."
        Do(ROM);
    "E12" UEFI "Could not detect network connection"
        "There is no link."
        See("pxe-e61");
    "E16" UEFI "No valid offer received"
        "No offer came that the firmware accepts; one without a boot file is none, either."
        See("pxe-e51");
    "E18" UEFI "Server response timeout"
        "The boot server, most often its TFTP, did not answer."
        See("pxe-e32");
    "E21" UEFI "Remote boot cancelled"
        "Somebody pressed a key."
        Do(NONE);
    "E22" UEFI "Client received ICMP error from server"
        "The boot server answers \"port unreachable\": no TFTP runs there, or a firewall refuses."
        See("pxe-e32");
    "E23" UEFI "Client received TFTP error from server"
        "The TFTP server sent an error: most often it has no such file."
        See("tftp-not-found");
    "E53" UEFI "No boot filename received"
        "An offer came without the name of a boot file."
        See("pxe-e53");
    "E99" UEFI "Unexpected network error"
        "Something failed that the firmware has no words for."
        Do(ROM);
}
