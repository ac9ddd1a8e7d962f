//! The PROXY protocol, versions 1 and 2: one header before everything else by which a proxy says
//! whose connection it passes on (HAProxy, `doc/proxy-protocol.txt`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// How version 2 begins.
pub const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Bytes of a header of version 1 at most, with its line end.
pub const MAX_V1: usize = 107;
/// Bytes of a header of version 2 at most. The length field allows 64 KiB; addresses and the
/// extensions in use need a few hundred.
pub const MAX_V2: usize = 4096;

/// Whose connection it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The proxy's own, such as a health check: `LOCAL`, `UNKNOWN`.
    Own,
    /// This client's.
    Client(SocketAddr),
}

/// How far a header is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// At least so many bytes of it are still to come, 1 or more.
    More(usize),
    /// These were all of its bytes.
    Done(Source),
}

/// What was sent is not a header of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadHeader {
    /// It begins with something else: the proxy does not send the header.
    #[error("the connection does not begin with a PROXY header")]
    Absent,
    /// Longer than [`MAX_V1`] or [`MAX_V2`].
    #[error("the PROXY header is too long")]
    TooLong,
    /// Not what the protocol allows.
    #[error("the PROXY header is not readable")]
    Unreadable,
    /// Not TCP over IPv4 or IPv6.
    #[error("the PROXY header tells of something else than a TCP connection")]
    NotTcp,
}

/// Reads the beginning of a header. Whoever reads exactly as many further bytes as [`Progress`]
/// says takes none of what follows the header.
pub fn read(bytes: &[u8]) -> Result<Progress, BadHeader> {
    // Both versions are longer than the signature.
    if bytes.len() < SIGNATURE.len() {
        return Ok(Progress::More(SIGNATURE.len() - bytes.len()));
    }
    match bytes.strip_prefix(SIGNATURE) {
        Some(rest) => version_2(rest),
        None if bytes.starts_with(b"PROXY ") => version_1(bytes),
        None => Err(BadHeader::Absent),
    }
}

fn version_1(bytes: &[u8]) -> Result<Progress, BadHeader> {
    if bytes.len() > MAX_V1 {
        return Err(BadHeader::TooLong);
    }
    let Some(line) = bytes.strip_suffix(b"\r\n") else {
        // Two more bytes, unless the first half of the line end is there.
        let more = if bytes.ends_with(b"\r") { 1 } else { 2 };
        return match bytes.contains(&b'\n') {
            true => Err(BadHeader::Unreadable),
            false if bytes.len() + more > MAX_V1 => Err(BadHeader::TooLong),
            false => Ok(Progress::More(more)),
        };
    };
    if line.contains(&b'\n') {
        return Err(BadHeader::Unreadable);
    }
    let text = std::str::from_utf8(line).map_err(|_| BadHeader::Unreadable)?;
    let words: Vec<&str> = text.split(' ').collect();
    let source = match words.as_slice() {
        // What follows is to be ignored, says the protocol.
        ["PROXY", "UNKNOWN", ..] => Some(Source::Own),
        ["PROXY", "TCP4", from, to, from_port, to_port] => tcp::<Ipv4Addr>(from, to, from_port, to_port),
        ["PROXY", "TCP6", from, to, from_port, to_port] => tcp::<Ipv6Addr>(from, to, from_port, to_port),
        _ => None,
    };
    source.map(Progress::Done).ok_or(BadHeader::Unreadable)
}

fn tcp<A: std::str::FromStr + Into<IpAddr>>(
    from: &str,
    to: &str,
    from_port: &str,
    to_port: &str,
) -> Option<Source> {
    let (from, _): (A, A) = (from.parse().ok()?, to.parse().ok()?);
    let (from_port, _) = (port(from_port)?, port(to_port)?);
    Some(Source::Client(SocketAddr::new(from.into(), from_port)))
}

fn port(text: &str) -> Option<u16> {
    let plain = text == "0" || (!text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit()));
    text.parse().ok().filter(|_| plain)
}

/// What follows the signature: version and command, family and protocol, length, addresses,
/// extensions. The extensions are not looked at.
fn version_2(rest: &[u8]) -> Result<Progress, BadHeader> {
    let Some((&[command, family, high, low], body)) = rest.split_first_chunk::<4>() else {
        return Ok(Progress::More(4 - rest.len()));
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if !matches!(command, 0x20 | 0x21) {
        return Err(BadHeader::Unreadable);
    }
    if SIGNATURE.len() + 4 + length > MAX_V2 {
        return Err(BadHeader::TooLong);
    }
    match length.checked_sub(body.len()) {
        Some(0) => {}
        Some(more) => return Ok(Progress::More(more)),
        None => return Err(BadHeader::Unreadable),
    }
    if command == 0x20 {
        return Ok(Progress::Done(Source::Own));
    }
    let source = match family {
        // "Unspecified": the proxy does not know.
        0x00 => Some(Source::Own),
        0x11 => body.first_chunk::<12>().map(|&[a, b, c, d, _, _, _, _, high, low, _, _]| {
            Source::Client((Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([high, low])).into())
        }),
        0x21 => body.split_first_chunk::<16>().and_then(|(from, rest)| {
            let (_, ports) = rest.split_first_chunk::<16>()?;
            let &[high, low, _, _] = ports.first_chunk::<4>()?;
            Some(Source::Client((Ipv6Addr::from(*from), u16::from_be_bytes([high, low])).into()))
        }),
        _ => return Err(BadHeader::NotTcp),
    };
    source.map(Progress::Done).ok_or(BadHeader::Unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads as a listener does: the result, and how many bytes were taken.
    fn listen(bytes: &[u8]) -> (Result<Option<Source>, BadHeader>, usize) {
        let mut taken = 0;
        loop {
            match read(&bytes[..taken]) {
                Ok(Progress::Done(source)) => return (Ok(Some(source)), taken),
                Ok(Progress::More(more)) => {
                    assert!(more > 0, "it goes on");
                    if taken + more > bytes.len() {
                        return (Ok(None), taken);
                    }
                    taken += more;
                }
                Err(error) => return (Err(error), taken),
            }
        }
    }

    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, body].concat()
    }

    fn from(text: &str) -> Source {
        Source::Client(text.parse().unwrap())
    }

    const FOUR: [u8; 12] = [10, 1, 0, 50, 10, 0, 0, 1, 0x9c, 0x40, 0x1f, 0x90];

    #[test]
    fn headers_are_read_to_their_last_byte_and_no_further() {
        let mut six = [0; 36];
        six[..2].copy_from_slice(&[0xfd, 0x01]);
        six[15] = 9;
        six[32..34].copy_from_slice(&[0, 80]);
        let extensions = [&FOUR[..], &[4, 0, 200], &[0; 200]].concat();
        let full = [&FOUR[..], &vec![4; MAX_V2 - 16 - 12]].concat();
        for (header, source) in [
            (b"PROXY TCP4 10.1.0.50 10.0.0.1 40000 8080\r\n".to_vec(), from("10.1.0.50:40000")),
            (b"PROXY TCP6 fd01::9 fd00::1 80 0\r\n".to_vec(), from("[fd01::9]:80")),
            (b"PROXY TCP6 ::ffff:10.1.0.50 ::1 80 0\r\n".to_vec(), from("[::ffff:10.1.0.50]:80")),
            (b"PROXY UNKNOWN\r\n".to_vec(), Source::Own),
            (b"PROXY UNKNOWN ffff::1 x y z\r\n".to_vec(), Source::Own),
            (v2(0x21, 0x11, &FOUR), from("10.1.0.50:40000")),
            (v2(0x21, 0x21, &six), from("[fd01::9]:80")),
            (v2(0x21, 0x11, &extensions), from("10.1.0.50:40000")),
            (v2(0x21, 0x11, &full), from("10.1.0.50:40000")),
            (v2(0x21, 0x00, &[]), Source::Own),
            (v2(0x20, 0x00, &[]), Source::Own),
            (v2(0x20, 0x11, &FOUR), Source::Own),
            (v2(0x20, 0xff, &[1, 2, 3]), Source::Own),
        ] {
            let length = header.len();
            let sent = [&header[..], b"GET / HTTP/1.1\r\n\r\n\r\n"].concat();
            assert_eq!(listen(&sent), (Ok(Some(source)), length), "{header:?}");
            for cut in 0..length {
                let (result, taken) = listen(&sent[..cut]);
                assert!(result == Ok(None) && taken <= cut, "{cut} of {header:?}");
            }
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let line = |text: &str| format!("PROXY {text}\r\nGET / HTTP/1.1\r\n").into_bytes();
        for (sent, error) in [
            (b"GET / HTTP/1.1\r\n\r\n".to_vec(), BadHeader::Absent),
            (b"proxy TCP4 1.2.3.4 1.2.3.4 1 1\r\n".to_vec(), BadHeader::Absent),
            (b"\r\n\r\n\0\r\nQUIX\n\x21\x11\0\0".to_vec(), BadHeader::Absent),
            (line("TCP4 1.2.3.4 1.2.3.4 1"), BadHeader::Unreadable),
            (line("TCP4 1.2.3.4 1.2.3.4 1 1 1"), BadHeader::Unreadable),
            (line("TCP4  1.2.3.4 1.2.3.4 1 1"), BadHeader::Unreadable),
            (line("TCP4 1.2.3.4 1.2.3.4 1 65536"), BadHeader::Unreadable),
            (line("TCP4 1.2.3.4 1.2.3.4 01 1"), BadHeader::Unreadable),
            (line("TCP4 1.2.3.4 1.2.3.4 +1 1"), BadHeader::Unreadable),
            (line("TCP4 01.2.3.4 1.2.3.4 1 1"), BadHeader::Unreadable),
            (line("TCP4 ::1 ::1 1 1"), BadHeader::Unreadable),
            (line("TCP6 1.2.3.4 1.2.3.4 1 1"), BadHeader::Unreadable),
            (line("TCP6 fe80::1%eth0 ::1 1 1"), BadHeader::Unreadable),
            (line("UDP4 1.2.3.4 1.2.3.4 1 1"), BadHeader::Unreadable),
            (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 1\nGET".to_vec(), BadHeader::Unreadable),
            (b"PROXY UNKNOWN\nGET / HTTP/1.1\r\n".to_vec(), BadHeader::Unreadable),
            (line(&format!("UNKNOWN {}", "x".repeat(100))), BadHeader::TooLong),
            (line(&"x".repeat(5000)), BadHeader::TooLong),
            (v2(0x11, 0x11, &FOUR), BadHeader::Unreadable),
            (v2(0x22, 0x11, &FOUR), BadHeader::Unreadable),
            (v2(0x21, 0x11, &FOUR[..11]), BadHeader::Unreadable),
            (v2(0x21, 0x21, &FOUR), BadHeader::Unreadable),
            (v2(0x21, 0x12, &FOUR), BadHeader::NotTcp),
            (v2(0x21, 0x31, &[0; 216]), BadHeader::NotTcp),
            (v2(0x21, 0x11, &[0; MAX_V2 - 15]), BadHeader::TooLong),
            (v2(0x20, 0x00, &[0; 65535]), BadHeader::TooLong),
        ] {
            assert_eq!(
                listen(&sent).0,
                Err(error),
                "{}",
                String::from_utf8_lossy(&sent[..60.min(sent.len())])
            );
        }
        // The longest line of all is read, one byte more is not.
        let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(MAX_V1 - 16));
        assert_eq!(listen(longest.as_bytes()), (Ok(Some(Source::Own)), MAX_V1));
    }

    proptest! {
        #[test]
        fn reading_is_bounded_and_never_panics(
            start in prop::sample::select(vec![&b""[..], b"PROXY ", b"PROXY TCP4 ", SIGNATURE]),
            rest in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let (_, taken) = listen(&[start, &rest].concat());
            prop_assert!(taken <= MAX_V2);
        }
    }
}
