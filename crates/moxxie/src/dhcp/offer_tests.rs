use super::clients::by_name;
use super::offer::*;
use proptest::prelude::*;
use std::net::Ipv4Addr;

const NONE: [u8; 4] = [0; 4];

/// A server's packet.
fn packet(yiaddr: [u8; 4], siaddr: [u8; 4], file: &[u8], options: &[(u8, &[u8])]) -> Vec<u8> {
    let mut packet = vec![2, 1, 6, 0, 1, 2, 3, 4, 0, 0, 0x80, 0, 0, 0, 0, 0];
    packet.extend([yiaddr, siaddr, NONE].concat());
    packet.extend([2, 0, 0, 0, 0, 1]);
    packet.resize(108, 0);
    packet.extend(file);
    packet.resize(236, 0);
    packet.extend([99, 130, 83, 99]);
    for (code, data) in options {
        packet.extend([*code, u8::try_from(data.len()).unwrap()]);
        packet.extend(*data);
    }
    packet.push(255);
    packet
}

const OFFER: (u8, &[u8]) = (53, &[2]);
const SERVER: (u8, &[u8]) = (54, &[10, 0, 0, 1]);

fn read(packet: &[u8]) -> Option<Offer> {
    Offer::read(Ipv4Addr::new(10, 0, 0, 254), packet).map(|(_, offer)| offer)
}

fn loaded(client: &str, offer: &Offer) -> Option<String> {
    loads(by_name(client).unwrap(), offer).map(|load| load.shown())
}

#[test]
fn an_offer_is_read() {
    let bytes =
        packet([10, 0, 0, 9], [10, 0, 0, 5], b"ipxe.efi\0junk", &[OFFER, SERVER, (12, b"a"), (12, b"b")]);
    let (question, offer) = Offer::read(Ipv4Addr::new(10, 0, 0, 254), &bytes).unwrap();
    assert_eq!(question, Question { xid: 0x0102_0304, mac: [2, 0, 0, 0, 0, 1] });
    assert_eq!((offer.role, offer.server()), (Role::Dhcp, Ipv4Addr::new(10, 0, 0, 1)));
    assert_eq!((offer.address, offer.next_server), ([10, 0, 0, 9].into(), [10, 0, 0, 5].into()));
    assert_eq!(offer.file, "ipxe.efi");
    assert_eq!(offer.text_in(12).as_deref(), Some("ab"), "an option in two parts is one (RFC 3396)");
}

#[test]
fn what_is_no_offer_is_not_read() {
    let good = packet([10, 0, 0, 9], NONE, b"", &[OFFER]);
    assert!(read(&good).is_some());
    let mut request = good.clone();
    request[0] = 1;
    let mut long_address = good.clone();
    long_address[2] = 255;
    let mut no_magic = good.clone();
    no_magic[239] = 0;
    let nak = packet([10, 0, 0, 9], NONE, b"", &[(53, &[6])]);
    let bootp = packet([10, 0, 0, 9], NONE, b"", &[]);
    let neither = packet(NONE, NONE, b"", &[OFFER]);
    for bytes in [request, long_address, no_magic, nak, bootp, neither, good[..239].to_vec(), Vec::new()] {
        assert_eq!(read(&bytes), None);
    }
}

#[test]
fn header_fields_can_hold_options() {
    // Option 67 stands where the file name would.
    let file = [&[67, 4][..], b"a.efi\xff"].concat();
    let offer = read(&packet([10, 0, 0, 9], [10, 0, 0, 5], &file, &[OFFER, (52, &[1])])).unwrap();
    assert_eq!((offer.file.as_str(), offer.text_in(67).as_deref()), ("", Some("a.ef")));
    assert!(!offer.options.contains_key(&52));
}

/// One name in the header, another in option 67.
#[test]
fn clients_prefer_different_fields() {
    let options = [OFFER, SERVER, (67, b"option.efi\0".as_slice()), (66, b"10.0.0.66".as_slice())];
    let offer = read(&packet([10, 0, 0, 9], [10, 0, 0, 5], b"/header.efi", &options)).unwrap();
    assert_eq!(loaded("ipxe-x64", &offer).unwrap(), "tftp://10.0.0.5/header.efi");
    assert_eq!(loaded("bios", &offer).unwrap(), "tftp://10.0.0.5/header.efi");
    assert_eq!(loaded("x64", &offer).unwrap(), "tftp://10.0.0.5/option.efi");
    assert_eq!((loaded("plain", &offer), loaded("http-x64", &offer)), (None, None));
}

/// Nobody reads option 66; UEFI goes to the server that answered.
#[test]
fn next_servers() {
    let options = [OFFER, SERVER, (66, b"10.0.0.66".as_slice())];
    let offer = read(&packet([10, 0, 0, 9], NONE, b"a.efi", &options)).unwrap();
    assert_eq!(loaded("x64", &offer).unwrap(), "tftp://10.0.0.1/a.efi");
    assert_eq!(loaded("bios", &offer).unwrap(), "a.efi");
    assert_eq!(loaded("ipxe-x64", &offer).unwrap(), "a.efi");
    // Boot servers of PXE: type, one address.
    let listed = [OFFER, SERVER, (43, [8, 7, 0x80, 1, 1, 10, 0, 0, 77, 255].as_slice())];
    let offer = read(&packet([10, 0, 0, 9], [10, 0, 0, 5], b"a.efi", &listed)).unwrap();
    assert_eq!(loaded("x64", &offer).unwrap(), "tftp://10.0.0.77/a.efi");
    assert_eq!(loaded("ipxe-x64", &offer).unwrap(), "tftp://10.0.0.5/a.efi");
}

#[test]
fn http_boot_wants_its_class() {
    let url = b"http://10.0.0.5:8080/boot/firmware/ipxe.efi";
    let offer = |options: &[(u8, &[u8])]| read(&packet([10, 0, 0, 9], NONE, url, options)).unwrap();
    assert_eq!(loaded("http-x64", &offer(&[OFFER])), None);
    let named = offer(&[OFFER, (60, b"HTTPClient")]);
    assert_eq!(loaded("http-x64", &named).unwrap().as_bytes(), url);
    // To iPXE a URL is as good as a name.
    assert_eq!(loaded("ipxe-bios", &named).unwrap().as_bytes(), url);
}

/// Address from one server, URL from another that gives no addresses.
#[test]
fn http_boot_has_proxies_too() {
    let url = b"http://10.0.0.5:8080/boot/firmware/ipxe.efi";
    let address = read(&packet([10, 0, 0, 9], NONE, b"", &[OFFER, SERVER])).unwrap();
    let proxy = read(&packet(NONE, NONE, b"", &[OFFER, (60, b"HTTPClient"), (67, url)])).unwrap();
    assert_eq!(proxy.role, Role::Proxy);
    let offers = [address, proxy];
    let (from, load) = chosen(by_name("http-x64").unwrap(), &offers).unwrap();
    assert_eq!((from.role, load.name.as_bytes()), (Role::Proxy, url.as_slice()));
    for client in ["bios", "x64", "ipxe-x64", "plain"] {
        let client = by_name(client).unwrap();
        assert_eq!((chosen(client, &offers), offers[1].asks_next(client)), (None, None), "{}", client.name);
    }
}

/// What dnsmasq sends as a proxyDHCP server: a boot server, a menu, and no file.
#[test]
fn proxies_are_asked_again() {
    let vendor =
        [6, 1, 3, 8, 7, 0x80, 0, 1, 10, 0, 0, 3, 9, 9, 0x80, 0, 6, b'M', b'o', b'x', b'x', b'i', b'e', 255];
    let pxe: (u8, &[u8]) = (60, b"PXEClient");
    let offer = read(&packet(NONE, NONE, b"", &[OFFER, SERVER, pxe, (43, &vendor)])).unwrap();
    assert_eq!((offer.role, offer.menu_item()), (Role::Proxy, Some(0x8000)));
    let asks = |client: &str, offer: &Offer| offer.asks_next(by_name(client).unwrap());
    assert_eq!(asks("bios", &offer), Some([10, 0, 0, 3].into()));
    assert_eq!((asks("plain", &offer), asks("http-x64", &offer)), (None, None));
    let bare = read(&packet(NONE, NONE, b"", &[OFFER, SERVER, pxe])).unwrap();
    assert_eq!(asks("x64", &bare), Some([10, 0, 0, 1].into()));
    let named = read(&packet(NONE, [10, 0, 0, 3], b"a.efi", &[OFFER, SERVER, pxe])).unwrap();
    assert_eq!(asks("x64", &named), None);

    // Address from one, file from the other's second answer.
    let address = read(&packet([10, 0, 0, 9], [10, 0, 0, 1], b"", &[OFFER, SERVER])).unwrap();
    let boot = read(&packet(NONE, [10, 0, 0, 3], b"undionly.kpxe", &[(53, &[5]), pxe])).unwrap();
    let offers = [address, offer, boot];
    let (from, load) = chosen(by_name("bios").unwrap(), &offers).unwrap();
    assert_eq!((from.role, load.shown().as_str()), (Role::Boot, "tftp://10.0.0.3/undionly.kpxe"));
}

proptest! {
    /// Whatever is on the network, reading it ends well.
    #[test]
    fn nothing_on_the_wire_panics(options in prop::collection::vec(any::<u8>(), 0..400), head in prop::collection::vec(any::<u8>(), 0..240)) {
        read(&head);
        let mut bytes = packet([10, 0, 0, 9], NONE, b"x", &[OFFER]);
        bytes.truncate(bytes.len() - 1);
        bytes.extend(options);
        let offer = read(&bytes);
        for client in &super::clients::CLIENTS {
            if let Some(offer) = &offer {
                loads(client, offer);
                offer.asks_next(client);
            }
        }
    }
}
