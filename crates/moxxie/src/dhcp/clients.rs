//! The twelve clients that are played, as data, and the packets that they send.
//!
//! Sources: RFC 2131, 2132, 3004, 4578 with its erratum; EDK2 `PxeBcDhcp4.c` and `HttpBootDhcp4.c`;
//! iPXE `src/net/udp/dhcp.c`. Options stand in the order in which the firmware writes them.

use super::code;
use dhcproto::v4::{Flags, Message, OptionCode, UnknownOption};
use dhcproto::{Encodable, Encoder, error::EncodeError};
use std::net::Ipv4Addr;

/// One kind of client.
#[derive(Debug, PartialEq, Eq)]
pub struct Client {
    /// How reports call it.
    pub name: &'static str,
    /// What asks.
    pub kind: Kind,
    /// Option 93, the architecture (IANA "Processor Architecture Types"). 0 for a plain client,
    /// which does not send it.
    pub arch: u16,
}

/// What kind of software asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An operating system: it boots nothing.
    Plain,
    /// The PXE ROM of a network card.
    Bios,
    /// UEFI, booting over PXE.
    Uefi,
    /// UEFI, booting over HTTP.
    Http,
    /// iPXE, wherever it came from.
    Ipxe,
}

/// What the processor and its firmware can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Machine {
    /// x86 with BIOS.
    Bios,
    /// 32-bit x86 with UEFI.
    X86,
    /// 64-bit x86 with UEFI.
    X64,
    /// 64-bit ARM with UEFI.
    Arm64,
}

const fn client(name: &'static str, kind: Kind, arch: u16) -> Client {
    Client { name, kind, arch }
}

/// Every client, in the order of reports. Firmware of x64 sends 7, and some of it 9.
pub const CLIENTS: [Client; 12] = [
    client("plain", Kind::Plain, 0),
    client("bios", Kind::Bios, 0),
    client("x86", Kind::Uefi, 6),
    client("x64", Kind::Uefi, 7),
    client("x64-9", Kind::Uefi, 9),
    client("arm64", Kind::Uefi, 11),
    client("http-x64", Kind::Http, 16),
    client("http-arm64", Kind::Http, 19),
    client("ipxe-bios", Kind::Ipxe, 0),
    client("ipxe-x64", Kind::Ipxe, 7),
    client("ipxe-x64-9", Kind::Ipxe, 9),
    client("ipxe-arm64", Kind::Ipxe, 11),
];

/// The client with this name.
pub fn by_name(name: &str) -> Option<&'static Client> {
    CLIENTS.iter().find(|client| client.name == name)
}

/// What a DISCOVER asks of a server that does not know this machine.
const DISCOVER: u8 = 1;
/// The second question of PXE, to port 4011.
const REQUEST: u8 = 3;
/// BOOTP's smallest message (RFC 1542, section 2.1); relays drop shorter ones.
const SHORTEST: usize = 300;

const PLAIN_WANTS: &[u8] = &[1, 3, 6, 12, 15, 28, 42, 51, 54];
#[rustfmt::skip]
const BIOS_WANTS: &[u8] = &[
    1, 2, 3, 5, 6, 11, 12, 13, 15, 16, 17, 18, 43, 54, 60, 67, 128, 129, 130, 131, 132, 133, 134, 135,
];
#[rustfmt::skip]
const UEFI_WANTS: &[u8] = &[
    1, 2, 3, 4, 5, 6, 12, 13, 15, 17, 18, 22, 23, 28, 40, 41, 42, 43, 50, 51, 54, 58, 59, 60, 66, 67, 97,
    128, 129, 130, 131, 132, 133, 134, 135,
];
#[rustfmt::skip]
const HTTP_WANTS: &[u8] = &[
    1, 2, 3, 4, 5, 6, 12, 13, 15, 17, 18, 22, 23, 28, 40, 41, 42, 43, 50, 51, 54, 58, 59, 60, 66, 67, 97,
];
#[rustfmt::skip]
const IPXE_WANTS: &[u8] = &[
    1, 3, 6, 7, 12, 15, 17, 26, 43, 60, 66, 67, 119, 128, 129, 130, 131, 132, 133, 134, 135, 175, 203,
];
/// What iPXE says of itself in option 175: a virtio card on PCI, version 2.0.0, and that it can
/// HTTP, TFTP and DNS.
const IPXE_SAYS: &[u8] =
    &[0xb1, 5, 1, 0x1a, 0xf4, 0x10, 0, 0xeb, 3, 2, 0, 0, 0x13, 1, 1, 0x15, 1, 1, 0x17, 1, 1];

impl Client {
    /// What its processor and firmware can run; `None` for a plain client, which does not say.
    pub fn machine(&self) -> Option<Machine> {
        match (self.kind, self.arch) {
            (Kind::Plain, _) => None,
            (_, 6) => Some(Machine::X86),
            (_, 7 | 9 | 16) => Some(Machine::X64),
            (_, 11 | 19) => Some(Machine::Arm64),
            _ => Some(Machine::Bios),
        }
    }

    /// Whether nearly every site has such machines, so that they must be served.
    pub fn is_common(&self) -> bool {
        matches!((self.kind, self.arch), (Kind::Bios | Kind::Uefi | Kind::Ipxe, 0 | 7))
    }

    /// Major and minor version of the driver interface, as this kind of firmware announces it.
    fn undi(&self) -> (u8, u8) {
        match (self.kind, self.arch) {
            (_, 0) => (2, 1),
            (Kind::Ipxe, _) => (3, 10),
            (Kind::Http, _) => (3, 1),
            _ => (3, 16),
        }
    }

    /// Option 60.
    pub fn class(&self) -> Option<String> {
        let (major, minor) = self.undi();
        let who = match self.kind {
            Kind::Plain => return None,
            Kind::Http => "HTTPClient",
            _ => "PXEClient",
        };
        Some(format!("{who}:Arch:{:05}:UNDI:{major:03}{minor:03}", self.arch))
    }

    /// The options of a message of this type, in the firmware's order.
    fn options(&self, message: u8, mac: [u8; 6]) -> Vec<(u8, Vec<u8>)> {
        let (major, minor) = self.undi();
        let class = (code::CLASS, self.class().unwrap_or_default().into_bytes());
        let kind = (code::MESSAGE_TYPE, vec![message]);
        let arch = (code::ARCH, self.arch.to_be_bytes().to_vec());
        let undi = (code::UNDI, vec![1, major, minor]);
        // Type 0, then the machine's UUID: here one that ends with its MAC address.
        let uuid = (code::UUID, [&[0][..], b"moxxie\x40\0\x80\0", &mac].concat());
        let client_id = (code::CLIENT_ID, [&[1][..], &mac].concat());
        let wants = |list: &[u8]| (code::PARAMETERS, list.to_vec());
        let max_size = |size: u16| (code::MAX_SIZE, size.to_be_bytes().to_vec());
        match self.kind {
            Kind::Plain => vec![kind, client_id, wants(PLAIN_WANTS)],
            Kind::Bios => vec![kind, wants(BIOS_WANTS), max_size(1260), uuid, arch, undi, class],
            Kind::Uefi => vec![kind, max_size(1472), wants(UEFI_WANTS), uuid, undi, arch, class],
            Kind::Http => vec![kind, max_size(1472), wants(HTTP_WANTS), uuid, undi, arch, class],
            Kind::Ipxe => vec![
                kind,
                max_size(1472),
                arch,
                undi,
                class,
                // Four bytes as they are: RFC 3004 wants a length before them, iPXE sends none.
                (code::USER_CLASS, b"iPXE".to_vec()),
                wants(IPXE_WANTS),
                (code::IPXE, IPXE_SAYS.to_vec()),
                client_id,
                uuid,
            ],
        }
    }
}

/// The DHCPDISCOVER of this client. The broadcast flag is set, because the address that is offered
/// is nobody's.
pub fn discover(client: &Client, mac: [u8; 6], xid: u32) -> Result<Vec<u8>, EncodeError> {
    message(client.options(DISCOVER, mac), Ipv4Addr::UNSPECIFIED, mac, xid)
}

/// The question to port 4011 of a proxyDHCP or boot server, from this host's own address: the
/// answer comes to it. `item` is the entry of the server's menu that is chosen.
pub fn boot_request(
    client: &Client,
    mac: [u8; 6],
    xid: u32,
    own: Ipv4Addr,
    item: Option<u16>,
) -> Result<Vec<u8>, EncodeError> {
    let mut options = client.options(REQUEST, mac);
    if let Some(item) = item {
        // PXE_BOOT_ITEM: type and layer (PXE 2.1, table 2-1), then the end of the vendor's options.
        let [high, low] = item.to_be_bytes();
        options.push((code::VENDOR, vec![71, 4, high, low, 0, 0, 255]));
    }
    message(options, own, mac, xid)
}

fn message(
    options: Vec<(u8, Vec<u8>)>,
    own: Ipv4Addr,
    mac: [u8; 6],
    xid: u32,
) -> Result<Vec<u8>, EncodeError> {
    let none = Ipv4Addr::UNSPECIFIED;
    let mut header = Message::new_with_id(xid, own, none, none, none, &mac);
    if own.is_unspecified() {
        header.set_flags(Flags::default().set_broadcast());
    }
    let mut bytes = Vec::with_capacity(512);
    let mut encoder = Encoder::new(&mut bytes);
    header.encode(&mut encoder)?;
    for (code, data) in options {
        UnknownOption::new(OptionCode::from(code), data).encode(&mut encoder)?;
    }
    encoder.write_u8(u8::from(OptionCode::End))?;
    if bytes.len() < SHORTEST {
        bytes.resize(SHORTEST, 0);
    }
    Ok(bytes)
}
