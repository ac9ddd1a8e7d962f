//! The packets of the twelve clients, byte by byte, as RFC 2132 and 4578 and the firmware's sources
//! (named in `clients.rs`) have them.

use super::clients::*;
use std::net::Ipv4Addr;

const MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];
const XID: u32 = 0x0a0b_0c0d;

/// Type 0, `moxxie`, then the MAC address.
const UUID: &str = "61 11 00 6d6f78786965 4000 8000 020000000001";
const CLIENT_ID: &str = "3d 07 01 020000000001";
const PXE_CLIENT_ARCH: &str = "505845436c69656e74 3a 41726368 3a";
const HTTP_CLIENT_ARCH: &str = "48545450436c69656e74 3a 41726368 3a";
const UNDI: &str = "3a 554e4449 3a";
const BIOS_WANTS: &str = "37 18 01 02 03 05 06 0b 0c 0d 0f 10 11 12 2b 36 3c 43 80 81 82 83 84 85 86 87";
const UEFI_WANTS: &str = "37 23 01 02 03 04 05 06 0c 0d 0f 11 12 16 17 1c 28 29 2a 2b 32 33 36 3a 3b 3c 42 43 61 80 81 82 83 84 85 86 87";
const HTTP_WANTS: &str =
    "37 1b 01 02 03 04 05 06 0c 0d 0f 11 12 16 17 1c 28 29 2a 2b 32 33 36 3a 3b 3c 42 43 61";
const IPXE_WANTS: &str = "37 17 01 03 06 07 0c 0f 11 1a 2b 3c 42 43 77 80 81 82 83 84 85 86 87 af cb";
const IPXE_SAYS: &str = "af 15 b1 05 01 1af4 1000 eb 03 020000 13 01 01 15 01 01 17 01 01";
const USER_CLASS: &str = "4d 04 69505845";

fn bytes(hex: &str) -> Vec<u8> {
    let hex: Vec<char> = hex.chars().filter(|c| !c.is_whitespace()).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap();
    hex.chunks(2).map(byte).collect()
}

/// The options of a client, by hand.
fn by_hand(name: &str) -> String {
    let uefi = |arch: &str, digits: &str| {
        format!(
            "35 01 01 39 02 05c0 {UEFI_WANTS} {UUID} 5e 03 01 03 10 5d 02 {arch}
             3c 20 {PXE_CLIENT_ARCH} {digits} {UNDI} 303033303136 ff"
        )
    };
    let http = |arch: &str, digits: &str| {
        format!(
            "35 01 01 39 02 05c0 {HTTP_WANTS} {UUID} 5e 03 01 03 01 5d 02 {arch}
             3c 21 {HTTP_CLIENT_ARCH} {digits} {UNDI} 303033303031 ff"
        )
    };
    let ipxe = |arch: &str, undi: &str, digits: &str, version: &str| {
        format!(
            "35 01 01 39 02 05c0 5d 02 {arch} 5e 03 {undi} 3c 20 {PXE_CLIENT_ARCH} {digits} {UNDI} {version}
             {USER_CLASS} {IPXE_WANTS} {IPXE_SAYS} {CLIENT_ID} {UUID} ff"
        )
    };
    match name {
        "plain" => format!("35 01 01 {CLIENT_ID} 37 09 01 03 06 0c 0f 1c 2a 33 36 ff"),
        "bios" => format!(
            "35 01 01 {BIOS_WANTS} 39 02 04ec {UUID} 5d 02 0000 5e 03 01 02 01
             3c 20 {PXE_CLIENT_ARCH} 3030303030 {UNDI} 303032303031 ff"
        ),
        "x86" => uefi("0006", "3030303036"),
        "x64" => uefi("0007", "3030303037"),
        "x64-9" => uefi("0009", "3030303039"),
        "arm64" => uefi("000b", "3030303131"),
        "http-x64" => http("0010", "3030303136"),
        "http-arm64" => http("0013", "3030303139"),
        "ipxe-bios" => ipxe("0000", "01 02 01", "3030303030", "303032303031"),
        "ipxe-x64" => ipxe("0007", "01 03 0a", "3030303037", "303033303130"),
        "ipxe-x64-9" => ipxe("0009", "01 03 0a", "3030303039", "303033303130"),
        "ipxe-arm64" => ipxe("000b", "01 03 0a", "3030303131", "303033303130"),
        other => panic!("{other} has no golden packet"),
    }
}

/// Header and magic number: op 1, Ethernet, 6 bytes of address, no hops.
fn header(flags: &str, own: &str) -> Vec<u8> {
    let head = bytes(&format!("01 01 06 00 0a0b0c0d 0000 {flags} {own} 00000000 00000000 00000000"));
    [head, MAC.to_vec(), vec![0; 10 + 64 + 128], bytes("63825363")].concat()
}

#[test]
fn every_client_says_what_its_firmware_says() {
    for client in &CLIENTS {
        let packet = discover(client, MAC, XID).unwrap();
        let mut expected = [header("8000", "00000000"), bytes(&by_hand(client.name))].concat();
        expected.resize(expected.len().max(300), 0);
        assert_eq!(packet, expected, "{}", client.name);
    }
}

#[test]
fn the_second_question_comes_from_an_address() {
    let own = Ipv4Addr::new(10, 0, 0, 2);
    let bios = by_name("bios").unwrap();
    let packet = boot_request(bios, MAC, XID, own, Some(0x8001)).unwrap();
    let asked =
        by_hand("bios").replacen("35 01 01", "35 01 03", 1).replace(" ff", " 2b 07 47 04 8001 0000 ff ff");
    assert_eq!(packet, [header("0000", "0a000002"), bytes(&asked)].concat());
    let packet = boot_request(bios, MAC, XID, own, None).unwrap();
    assert_eq!(&packet[240..243], [53, 1, 3]);
}

#[test]
fn classes_are_firmwares() {
    let class = |name| by_name(name).unwrap().class();
    assert_eq!(class("x64").unwrap(), "PXEClient:Arch:00007:UNDI:003016");
    assert_eq!(class("http-x64").unwrap(), "HTTPClient:Arch:00016:UNDI:003001");
    assert_eq!(class("plain"), None);
    assert_eq!(CLIENTS.iter().filter(|client| client.is_common()).count(), 4);
}
