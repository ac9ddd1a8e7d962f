//! MAC addresses: read in every spelling operators and firmware use, printed in one.

use std::fmt;
use std::str::FromStr;

/// A 48-bit hardware address. Prints as `52:54:00:12:34:56`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MacAddr([u8; 6]);

/// Why a text is not a MAC address Moxxie can work with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MacError {
    /// Not one of the spellings.
    #[error(
        "not a MAC address: write 12 hexadecimal digits, such as 52:54:00:12:34:56, 52-54-00-12-34-56, 525400123456 or 5254.0012.3456"
    )]
    Spelling,
    /// Eight or twenty bytes: EUI-64 and InfiniBand addresses are not Ethernet MAC addresses.
    #[error("this is a {0}-byte address; Moxxie knows machines by their 6-byte Ethernet MAC address")]
    Length(usize),
    /// All zeros.
    #[error("00:00:00:00:00:00 names no machine")]
    Zero,
    /// All ones.
    #[error("ff:ff:ff:ff:ff:ff is the broadcast address")]
    Broadcast,
    /// The group bit of the first byte is set (IEEE 802).
    #[error("{0} is a multicast address, not a machine's")]
    Multicast(MacAddr),
}

impl MacAddr {
    /// The address with these six bytes; refused when it cannot belong to one machine.
    pub fn new(bytes: [u8; 6]) -> Result<Self, MacError> {
        let mac = MacAddr(bytes);
        if bytes == [0; 6] {
            Err(MacError::Zero)
        } else if bytes == [0xff; 6] {
            Err(MacError::Broadcast)
        } else if bytes[0] & 1 == 1 {
            Err(MacError::Multicast(mac))
        } else {
            Ok(mac)
        }
    }

    /// The six bytes in transmission order.
    pub fn bytes(&self) -> [u8; 6] {
        self.0
    }

    /// `52-54-00-12-34-56`, the spelling of iPXE's `:hexhyp`.
    pub fn hyphenated(&self) -> String {
        self.to_string().replace(':', "-")
    }
}

impl FromStr for MacAddr {
    type Err = MacError;

    /// Reads the colon, hyphen, bare, dotted (Cisco), `525400-123456` and `01-52-…` (PXELINUX,
    /// ARP hardware type first) spellings, in either case. Groups must be complete: `52:54:0:…`
    /// is refused because a dropped zero cannot be told from a typing error.
    fn from_str(text: &str) -> Result<Self, MacError> {
        // Every accepted spelling is ASCII; checking that first keeps all slicing on byte bounds.
        if !text.is_ascii() {
            return Err(MacError::Spelling);
        }
        let groups = |separator: char, size: usize| -> Option<Vec<u8>> {
            let mut bytes = Vec::with_capacity(8);
            for group in text.split(separator) {
                if group.len() != size {
                    return None;
                }
                bytes.extend(hex(group)?);
            }
            Some(bytes)
        };
        let bytes = if text.contains(':') {
            groups(':', 2)
        } else if text.contains('.') {
            groups('.', 4)
        } else if text.contains('-') {
            groups('-', 2).or_else(|| groups('-', 6))
        } else if text.len().is_multiple_of(2) {
            hex(text)
        } else {
            None
        }
        .ok_or(MacError::Spelling)?;
        // PXELINUX writes the ARP hardware type (1, Ethernet) in front: 01-52-54-00-12-34-56.
        let bytes = match bytes.as_slice() {
            [1, rest @ ..] if rest.len() == 6 && text.contains('-') => rest,
            all => all,
        };
        match <[u8; 6]>::try_from(bytes) {
            Ok(six) => MacAddr::new(six),
            Err(_) if matches!(bytes.len(), 8 | 20) => Err(MacError::Length(bytes.len())),
            Err(_) => Err(MacError::Spelling),
        }
    }
}

/// Decodes pairs of hexadecimal digits; `None` for anything else.
pub(crate) fn hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if digits.is_empty() || !digits.len().is_multiple_of(2) {
        return None;
    }
    digits
        .chunks_exact(2)
        .map(|pair| {
            let high = (pair[0] as char).to_digit(16)?;
            let low = (pair[1] as char).to_digit(16)?;
            u8::try_from(high * 16 + low).ok()
        })
        .collect()
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for MacAddr {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for MacAddr {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_common_spelling_is_one_address() {
        for text in [
            "52:54:00:aa:bb:cc",
            "52:54:00:AA:BB:CC",
            "52-54-00-aa-bb-cc",
            "525400aabbcc",
            "5254.00aa.bbcc",
            "525400-aabbcc",
            "01-52-54-00-aa-bb-cc",
        ] {
            assert_eq!(
                text.parse::<MacAddr>().map(|m| m.to_string()).as_deref(),
                Ok("52:54:00:aa:bb:cc"),
                "{text}"
            );
        }
        assert!("02:00:00:00:00:01".parse::<MacAddr>().is_ok(), "locally administered");
    }

    #[test]
    fn refusals_say_why() {
        let cases = [
            ("52:54:0:a:b:c", MacError::Spelling),
            ("5\u{15f}4:00:aa:bb:c", MacError::Spelling),
            ("52:54-00:aa:bb:cc", MacError::Spelling),
            ("52:54:00:aa:bb:cc ", MacError::Spelling),
            ("52:54:00:aa:bb:cc\n", MacError::Spelling),
            ("0x525400aabbcc", MacError::Spelling),
            ("52540aabbcc", MacError::Spelling),
            ("5254000aabbcc", MacError::Spelling),
            ("\u{ff15}2:54:00:aa:bb:cc", MacError::Spelling),
            ("", MacError::Spelling),
            ("+1:54:00:aa:bb:cc", MacError::Spelling),
            ("02:00:5e:10:00:00:00:01", MacError::Length(8)),
            ("00:00:00:00:00:00", MacError::Zero),
            ("ff:ff:ff:ff:ff:ff", MacError::Broadcast),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<MacAddr>(), Err(error), "{text:?}");
        }
        assert!(matches!("01:00:5e:00:00:01".parse::<MacAddr>(), Err(MacError::Multicast(_))));
        let infiniband = ["80"; 20].join(":");
        assert_eq!(infiniband.parse::<MacAddr>(), Err(MacError::Length(20)));
    }

    proptest! {
        #[test]
        fn any_text_parses_or_is_refused_without_panic(text in ".{0,40}") {
            let _ = text.parse::<MacAddr>();
        }

        #[test]
        fn what_it_prints_it_reads(bytes in any::<[u8; 6]>()) {
            if let Ok(mac) = MacAddr::new(bytes) {
                prop_assert_eq!(mac.to_string().parse::<MacAddr>(), Ok(mac));
                prop_assert_eq!(mac.hyphenated().parse::<MacAddr>(), Ok(mac));
            }
        }
    }
}
