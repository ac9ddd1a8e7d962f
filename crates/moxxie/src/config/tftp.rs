//! `[tftp]`: the server for loaders, which is off unless it is given an address.

use super::file;
use std::net::{IpAddr, SocketAddr};

/// TFTP's own port.
const PORT: u16 = 69;
/// Bytes in a block that always fit into one Ethernet frame, with the longest IP header (RFC 2348).
/// Larger ones come in fragments, which some PXE ROMs and networks lose.
const BLOCK: i64 = 1428;

/// How loaders are served by TFTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tftp {
    /// Where; none: not at all.
    pub listen: Option<SocketAddr>,
    /// Bytes in a block that a client may ask for at most.
    pub max_block_size: u16,
}

impl Tftp {
    /// What the file and the flag say together; an error names the key.
    pub fn of(section: &file::Tftp, given: Option<SocketAddr>) -> Result<Tftp, (&'static str, String)> {
        let written = section.listen.as_deref().map(address).transpose();
        let block = section.max_block_size.unwrap_or(BLOCK);
        Ok(Tftp {
            listen: match given {
                Some(address) => Some(address),
                None => written.map_err(|why| ("tftp.listen", why))?,
            },
            max_block_size: u16::try_from(block)
                .ok()
                .filter(|bytes| (512..=65464).contains(bytes))
                .ok_or(("tftp.max_block_size", format!("{block} is not between 512 and 65464")))?,
        })
    }
}

/// An address, with port 69 where it has none.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    let alone = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    match (text.parse(), alone.parse::<IpAddr>()) {
        (Ok(address), _) => Ok(address),
        (Err(_), Ok(ip)) => Ok(SocketAddr::new(ip, PORT)),
        // The text is not repeated: it may be something else put into the wrong place.
        (Err(_), Err(_)) => Err("it is not an address such as 0.0.0.0:69".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_may_be_left_out() {
        for (text, read) in [
            ("0.0.0.0", "0.0.0.0:69"),
            ("10.0.0.5:6969", "10.0.0.5:6969"),
            ("::", "[::]:69"),
            ("[fd00::5]", "[fd00::5]:69"),
            ("[::1]:0", "[::1]:0"),
        ] {
            assert_eq!(address(text), Ok(read.parse().unwrap()), "{text}");
        }
        for bad in ["", "canary", ":69", "10.0.0.5:", "10.0.0.0/8", "tftp://10.0.0.5", "10.0.0.5:70000"] {
            let why = address(bad).unwrap_err();
            assert!(!why.contains("canary"), "{why}");
        }
    }

    #[test]
    fn the_flag_wins_and_the_block_is_bounded() {
        let of = |toml: &str, given: Option<&str>| {
            let file: file::FileConfig = toml::from_str(toml).unwrap();
            Tftp::of(&file.tftp, given.map(|text| address(text).unwrap()))
        };
        assert_eq!(of("", None), Ok(Tftp { listen: None, max_block_size: 1428 }));
        let both = of("[tftp]\nlisten = \"10.0.0.5\"\nmax_block_size = 8192", Some("127.0.0.1:0")).unwrap();
        assert_eq!((both.listen, both.max_block_size), (address("127.0.0.1:0").ok(), 8192));
        for (toml, key) in [
            ("[tftp]\nlisten = \"canary\"", "tftp.listen"),
            ("[tftp]\nmax_block_size = 511", "tftp.max_block_size"),
            ("[tftp]\nmax_block_size = 65465", "tftp.max_block_size"),
            ("[tftp]\nmax_block_size = -1", "tftp.max_block_size"),
        ] {
            assert_eq!(of(toml, None).unwrap_err().0, key, "{toml}");
        }
    }
}
