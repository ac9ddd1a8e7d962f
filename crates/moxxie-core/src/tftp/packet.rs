//! The packets: RFC 1350, with the options of RFC 2347 (their frame), 2348 (`blksize`), 2349
//! (`timeout`, `tsize`) and 7440 (`windowsize`).

/// Block size when none was agreed on (RFC 1350).
pub const BLOCK: u16 = 512;
/// Longest file name: the `file` field of DHCP, which most names come from.
const LONGEST_NAME: usize = 128;

const READ: u16 = 1;
const WRITE: u16 = 2;
const DATA: u16 = 3;
const ACK: u16 = 4;
const ERROR: u16 = 5;
const OPTIONS: u16 = 6;

/// Why a client is refused, as the protocol numbers it (RFC 1350, appendix; RFC 2347).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// See the text.
    Other = 0,
    /// No such file.
    NotFound = 1,
    /// The client must not.
    Access = 2,
    /// An operation that is not served.
    Illegal = 4,
    /// Options that cannot be agreed on.
    Options = 8,
}

/// A request to read a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The file: printable ASCII, relative, without `..`.
    pub name: String,
    /// What it wants to agree on, in its order; what is unknown or senseless is left out, which is
    /// how a server declines an option (RFC 2347).
    pub options: Vec<Asked>,
}

/// An option of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// `blksize`: bytes in a block, 8 to 65464.
    BlockSize(u16),
    /// `tsize`: the size of the file.
    Size,
    /// `timeout`: seconds until something is sent again, 1 to 255.
    Timeout(u8),
    /// `windowsize`: blocks that are sent before an acknowledgment is waited for.
    Window(u16),
}

/// Why a datagram is no request to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Not a request: nothing is answered, least of all an error to an error.
    NoRequest,
    /// The client is told so.
    With(Code, &'static str),
}

/// What a client says while a transfer runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// It has everything up to the block with this number.
    Ack(u16),
    /// It ends the transfer: a code, and a text of printable ASCII.
    Error(u16, String),
    /// Nothing that belongs here.
    Noise,
}

impl Request {
    /// Reads a datagram that came to the server's own port.
    pub fn parse(datagram: &[u8]) -> Result<Request, Refused> {
        let (code, rest) = split(datagram).ok_or(Refused::NoRequest)?;
        match code {
            READ => {}
            WRITE => return Err(Refused::With(Code::Access, "files cannot be written here")),
            _ => return Err(Refused::NoRequest),
        }
        let broken = Refused::With(Code::Illegal, "the request is cut off");
        let (file, rest) = word(rest).ok_or(broken)?;
        let (mode, mut rest) = word(rest).ok_or(broken)?;
        let name = name(file)?;
        // Firmware reads loaders as octets. What netascii would make of line ends damages them.
        if !mode.eq_ignore_ascii_case(b"octet") {
            return Err(Refused::With(Code::Illegal, "only mode octet (binary)"));
        }
        let mut options: Vec<Asked> = Vec::new();
        // Some ROMs pad their request; an option without a value ends the list.
        while let Some(((option, value), after)) =
            word(rest).and_then(|(option, rest)| word(rest).map(|(value, rest)| ((option, value), rest)))
        {
            rest = after;
            if let Some(asked) = Asked::parse(option, value) {
                if options.iter().any(|known| known.name() == asked.name()) {
                    return Err(Refused::With(Code::Options, "an option stands twice"));
                }
                options.push(asked);
            }
        }
        Ok(Request { name, options })
    }
}

impl Asked {
    fn parse(option: &[u8], value: &[u8]) -> Option<Asked> {
        let number = || -> Option<u32> {
            let digits = (1..=10).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
            digits.then(|| std::str::from_utf8(value).ok()?.parse().ok()).flatten()
        };
        let within = |least: u32, most: u32| number().filter(|n| (least..=most).contains(n));
        match option.to_ascii_lowercase().as_slice() {
            b"blksize" => Some(Asked::BlockSize(within(8, 65464)?.try_into().ok()?)),
            // A client that reads says 0; what else stands there does not matter.
            b"tsize" => Some(Asked::Size),
            b"timeout" => Some(Asked::Timeout(within(1, 255)?.try_into().ok()?)),
            b"windowsize" => Some(Asked::Window(within(1, 65535)?.try_into().ok()?)),
            _ => None,
        }
    }

    /// As it is spelled on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Asked::BlockSize(_) => "blksize",
            Asked::Size => "tsize",
            Asked::Timeout(_) => "timeout",
            Asked::Window(_) => "windowsize",
        }
    }
}

impl Heard {
    /// Reads a datagram that came to the port of a transfer.
    pub fn parse(datagram: &[u8]) -> Heard {
        match split(datagram) {
            Some((ACK, &[high, low, ..])) => Heard::Ack(u16::from_be_bytes([high, low])),
            Some((ERROR, &[high, low, ref text @ ..])) => {
                let text = text.iter().take_while(|byte| **byte != 0).take(80);
                let shown = |byte: &u8| if matches!(byte, b' '..=b'~') { char::from(*byte) } else { '?' };
                Heard::Error(u16::from_be_bytes([high, low]), text.map(shown).collect())
            }
            _ => Heard::Noise,
        }
    }
}

/// One block.
pub fn data(number: u16, bytes: &[u8]) -> Vec<u8> {
    [&DATA.to_be_bytes(), &number.to_be_bytes(), bytes].concat()
}

/// An error, which also ends a transfer.
pub fn error(code: Code, text: &str) -> Vec<u8> {
    [&ERROR.to_be_bytes(), &(code as u16).to_be_bytes(), text.as_bytes(), &[0]].concat()
}

/// What was agreed on.
pub fn options(agreed: &[(&str, u64)]) -> Vec<u8> {
    let mut packet = OPTIONS.to_be_bytes().to_vec();
    for (name, value) in agreed {
        packet.extend_from_slice(name.as_bytes());
        packet.push(0);
        packet.extend_from_slice(value.to_string().as_bytes());
        packet.push(0);
    }
    packet
}

fn split(datagram: &[u8]) -> Option<(u16, &[u8])> {
    let (code, rest) = datagram.split_first_chunk()?;
    Some((u16::from_be_bytes(*code), rest))
}

/// A text up to its NUL, and what follows.
fn word(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    Some((bytes.get(..end)?, bytes.get(end + 1..)?))
}

/// The file that is meant. Firmware writes names as its DHCP server does, so a leading slash,
/// Windows' backslashes and the folder `moxxie/` that switches use are no different file; and some
/// PXE ROMs read beyond DHCP option 67 and append its end mark, 0xFF.
fn name(file: &[u8]) -> Result<String, Refused> {
    let bad = Refused::With(Code::Access, "bad file name");
    let end = file.iter().rposition(|byte| *byte != 0xff).map_or(0, |last| last + 1);
    let file = file.get(..end).unwrap_or_default();
    if file.len() > LONGEST_NAME || !file.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        return Err(bad);
    }
    let name = String::from_utf8_lossy(file).replace('\\', "/");
    let name = name.trim_start_matches('/');
    let name = name.strip_prefix("moxxie/").unwrap_or(name).trim_start_matches('/');
    match name.is_empty() || name.contains("..") {
        true => Err(bad),
        false => Ok(name.to_owned()),
    }
}
