//! What a DHCP server answered, and what a client makes of it.
//!
//! Options are kept as the bytes that came. Who reads which field first: iPXE `src/net/dhcppkt.c`
//! and `src/usr/autoboot.c`; EDK2 `PxeBcDhcp4.c`, `PxeBcBoot.c` and `HttpBootDhcp4.c`.

use super::clients::{Client, Kind};
use super::code;
use dhcproto::v4::OptionCode;
use dhcproto::v4::borrowed::{DhcpOptionIterator, Message};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// Header and magic number of a DHCP message, in bytes.
const HEADER: usize = 240;
const MAGIC: [u8; 4] = [99, 130, 83, 99];

/// An answer from a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// What it is.
    pub role: Role,
    /// The address that it came from: the server's, or its relay's.
    pub from: Ipv4Addr,
    /// The address that the client would get (`yiaddr`).
    pub address: Ipv4Addr,
    /// The next server (`siaddr`).
    pub next_server: Ipv4Addr,
    /// `sname` of the header.
    pub server_name: String,
    /// `file` of the header.
    pub file: String,
    /// Every option but those that only say where others stand.
    pub options: BTreeMap<u8, Vec<u8>>,
}

/// What an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// An offer of an address.
    Dhcp,
    /// An offer without an address, by a proxyDHCP server for PXE or for HTTP boot.
    Proxy,
    /// The answer of a boot server on port 4011.
    Boot,
}

impl Role {
    /// As reports call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Dhcp => "dhcp",
            Role::Proxy => "proxy",
            Role::Boot => "boot-server",
        }
    }
}

/// Whose question an answer belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// The transaction that the client chose.
    pub xid: u32,
    /// The client's MAC address.
    pub mac: [u8; 6],
}

/// What a client would load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Load {
    /// File name or URL, as the client reads it.
    pub name: String,
    /// The TFTP server it would ask; `None` where it would not know one.
    pub server: Option<Ipv4Addr>,
    /// The field that the name came from: `file` or `option 67`.
    pub field: &'static str,
}

impl Load {
    /// Whether the name is a URL.
    pub fn is_url(&self) -> bool {
        self.name.contains("://")
    }

    /// As people read it: a URL, also for TFTP.
    pub fn shown(&self) -> String {
        match self.server {
            _ if self.is_url() => self.name.clone(),
            Some(server) => format!("tftp://{server}/{}", self.name.trim_start_matches('/')),
            None => self.name.clone(),
        }
    }
}

impl Offer {
    /// Reads an answer; `None` for anything else that arrives on the port.
    pub fn read(from: Ipv4Addr, bytes: &[u8]) -> Option<(Question, Offer)> {
        let message = Message::new(bytes).ok()?;
        let is_reply = u8::from(message.opcode()) == 2 && message.hlen() == 6 && bytes[236..HEADER] == MAGIC;
        if !is_reply {
            return None;
        }
        let mac: [u8; 6] = bytes[28..34].try_into().ok()?;
        let mut options = BTreeMap::new();
        collect(&mut options, &bytes[HEADER..]);
        let (mut file, mut server_name) = (text(&bytes[108..236]), text(&bytes[44..108]));
        // RFC 2132, section 9.3: first `file`, then `sname`.
        let overload = options.remove(&code::OVERLOAD).and_then(|data| data.first().copied()).unwrap_or(0);
        if overload & 1 != 0 {
            collect(&mut options, &bytes[108..236]);
            file.clear();
        }
        if overload & 2 != 0 {
            collect(&mut options, &bytes[44..108]);
            server_name.clear();
        }
        let class = options.get(&code::CLASS).map(Vec::as_slice).unwrap_or_default();
        let role = match options.get(&code::MESSAGE_TYPE)?.as_slice() {
            [2] if !message.yiaddr().is_unspecified() => Role::Dhcp,
            // Whoever offers neither address nor PXE nor HTTP boot is heard by nobody.
            [2] if [b"PXEClient".as_slice(), b"HTTPClient"].iter().any(|c| class.starts_with(c)) => {
                Role::Proxy
            }
            [5] => Role::Boot,
            _ => return None,
        };
        let offer = Offer {
            role,
            from,
            address: message.yiaddr(),
            next_server: message.siaddr(),
            server_name,
            file,
            options,
        };
        Some((Question { xid: message.xid(), mac }, offer))
    }

    /// The server that speaks: option 54, else where it came from.
    pub fn server(&self) -> Ipv4Addr {
        self.address_in(code::SERVER_ID).unwrap_or(self.from)
    }

    /// An option as text, up to its first NUL.
    pub fn text_in(&self, code: u8) -> Option<String> {
        self.options.get(&code).map(|data| text(data)).filter(|text| !text.is_empty())
    }

    /// The first address in an option.
    pub fn address_in(&self, code: u8) -> Option<Ipv4Addr> {
        self.options.get(&code).and_then(|data| ip(data))
    }

    /// Whether option 60 begins with this.
    pub fn has_class(&self, class: &str) -> bool {
        self.options.get(&code::CLASS).is_some_and(|data| data.starts_with(class.as_bytes()))
    }

    /// The PXE options within option 43.
    pub fn pxe(&self) -> BTreeMap<u8, Vec<u8>> {
        let mut options = BTreeMap::new();
        if let Some(data) = self.options.get(&code::VENDOR) {
            collect(&mut options, data);
        }
        options
    }

    /// The first server in the list of boot servers (43.8): type, number of addresses, addresses.
    pub fn boot_server(&self) -> Option<Ipv4Addr> {
        self.pxe().get(&8).and_then(|list| ip(list.get(3..)?))
    }

    /// The type of the first entry of the boot menu (43.9), for a client that has to choose.
    pub fn menu_item(&self) -> Option<u16> {
        self.pxe().get(&9).and_then(|menu| Some(u16::from_be_bytes(menu.get(..2)?.try_into().ok()?)))
    }

    /// Whom the client asks on port 4011 before it knows its file: a PXE server that named none.
    pub fn asks_next(&self, client: &Client) -> Option<Ipv4Addr> {
        let pxe = matches!(client.kind, Kind::Bios | Kind::Uefi | Kind::Ipxe);
        let named = !self.file.is_empty() || self.options.contains_key(&code::BOOT_FILE);
        let asks = pxe && !named && self.role != Role::Boot && self.has_class("PXEClient");
        // Whoever answers names the address: it has to be a host's.
        let host = |ip: &Ipv4Addr| {
            !(ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || ip.octets()[0] >= 240)
        };
        asks.then(|| self.boot_server().unwrap_or(self.server())).filter(host)
    }
}

/// What this client would load of this answer alone.
pub fn loads(client: &Client, offer: &Offer) -> Option<Load> {
    let header = Some(offer.file.clone()).filter(|file| !file.is_empty()).map(|name| (name, "file"));
    let option = offer.text_in(code::BOOT_FILE).map(|name| (name, "option 67"));
    let next = Some(offer.next_server).filter(|server| !server.is_unspecified());
    let ((name, field), server) = match client.kind {
        Kind::Plain => return None,
        // A proxy for HTTP boot (EDK2's HttpOfferTypeProxyIpUri) is none for PXE.
        Kind::Ipxe | Kind::Bios | Kind::Uefi
            if offer.role == Role::Proxy && !offer.has_class("PXEClient") =>
        {
            return None;
        }
        // Never anything but the header's address: not option 54, 66 or `sname`.
        Kind::Ipxe => (header.or(option)?, next),
        // ROMs differ in which name they read first; `rules` has a word on two names.
        Kind::Bios => (header.or(option)?, offer.boot_server().or(next)),
        Kind::Uefi => (option.or(header)?, offer.boot_server().or(next).or(Some(offer.server()))),
        // An answer that is not for HTTPClient is no answer to it.
        Kind::Http if !offer.has_class("HTTPClient") => return None,
        Kind::Http => (option.or(header)?, None),
    };
    Some(Load { name, server, field })
}

/// What this client would load of all its answers, and which of them says so: a boot server's
/// answer was asked for, a proxyDHCP server counts where the DHCP server names nothing.
pub fn chosen<'a>(client: &Client, offers: &'a [Offer]) -> Option<(&'a Offer, Load)> {
    let of = |role: Role| {
        let mut offers = offers.iter().filter(move |offer| offer.role == role);
        offers.find_map(|offer| Some((offer, loads(client, offer)?)))
    };
    of(Role::Dhcp).or_else(|| of(Role::Proxy)).or_else(|| of(Role::Boot))
}

/// Adds options to those that came before; what comes in parts is one value (RFC 3396).
fn collect(into: &mut BTreeMap<u8, Vec<u8>>, bytes: &[u8]) {
    for option in DhcpOptionIterator::new(bytes) {
        into.entry(code_of(option.code())).or_default().extend_from_slice(option.data());
    }
}

fn code_of(code: OptionCode) -> u8 {
    code.into()
}

fn ip(data: &[u8]) -> Option<Ipv4Addr> {
    let bytes: [u8; 4] = data.get(..4)?.try_into().ok()?;
    Some(Ipv4Addr::from(bytes)).filter(|address| !address.is_unspecified())
}

/// Bytes up to the first NUL; what is no UTF-8 shows as U+FFFD.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}
