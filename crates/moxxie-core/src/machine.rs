//! What identifies a machine beside its MAC addresses: the SMBIOS UUID and serial number, and
//! the placeholders that vendors ship in their place.

use crate::mac::{MacAddr, hex};
use crate::time::Timestamp;
use std::fmt;
use std::str::FromStr;

/// An SMBIOS system UUID that is not a known placeholder, in the order the operating system
/// prints it (`dmidecode`, Linux `product_uuid`, iPXE `${uuid}`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MachineUuid(uuid::Uuid);

/// Why a text is not a machine's UUID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UuidError {
    /// Not a UUID in any spelling.
    #[error("not a UUID: write it as 4c4c4544-004b-3510-8051-b4c04f4c4d32")]
    Spelling,
    /// A value that many machines share.
    #[error("{0} is a placeholder that many machines share; leave the UUID out")]
    Placeholder(String),
}

/// UUIDs that boards ship with when nobody filled in their own: AMI's example, and the counting
/// pattern of several vendors. All zeros and all ones are known by rule.
const PLACEHOLDERS: [&str; 4] = [
    "03000200-0400-0500-0006-000700080009",
    "00020003-0004-0005-0006-000700080009",
    "12345678-1234-5678-90ab-cddeefaabbcc",
    "fefefefe-fefe-fefe-fefe-fefefefefefe",
];

impl MachineUuid {
    /// The UUID with the first three fields' bytes reversed. SMBIOS before 2.6 left the byte
    /// order open and DHCP option 97 carries these fields little-endian, so one machine may show
    /// either form.
    pub fn swapped(&self) -> MachineUuid {
        let [a, b, c, d, e, f, g, h, rest @ ..] = self.0.into_bytes();
        let mut bytes = [d, c, b, a, f, e, h, g, 0, 0, 0, 0, 0, 0, 0, 0];
        bytes[8..].copy_from_slice(&rest);
        MachineUuid(uuid::Uuid::from_bytes(bytes))
    }

    /// Whether the two name the same machine in either byte order.
    pub fn same_machine(&self, other: &MachineUuid) -> bool {
        self == other || self.swapped() == *other
    }

    /// A key that is equal for both byte orders, for looking a machine up.
    pub fn key(&self) -> MachineUuid {
        (*self).min(self.swapped())
    }
}

impl FromStr for MachineUuid {
    type Err = UuidError;

    /// Reads hyphenated, bare, braced and `urn:uuid:` spellings in either case; refuses known
    /// placeholders.
    fn from_str(text: &str) -> Result<Self, UuidError> {
        let value = uuid::Uuid::try_parse(text).map_err(|_| UuidError::Spelling)?;
        let bytes = value.as_bytes();
        let first = bytes[0];
        let printed = value.hyphenated().to_string();
        // 12345678-1234-… is refused whatever follows: it is the example of several vendors.
        if bytes.iter().all(|b| *b == first)
            || PLACEHOLDERS.contains(&printed.as_str())
            || printed.starts_with("12345678-1234-")
        {
            return Err(UuidError::Placeholder(printed));
        }
        Ok(MachineUuid(value))
    }
}

impl fmt::Display for MachineUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl fmt::Debug for MachineUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for MachineUuid {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for MachineUuid {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A serial number (SMBIOS type 1) that says something about this one machine.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Serial(String);

/// Texts that firmware shows where a serial number was never set, in lower case.
const UNSET_SERIALS: [&str; 14] = [
    "not settable",
    "to be filled by o.e.m.",
    "to be filled by o.e.m",
    "default string",
    "system serial number",
    "not specified",
    "not available",
    "not applicable",
    "none",
    "n/a",
    "unknown",
    "invalid",
    "0123456789",
    "123456789",
];

impl Serial {
    /// The serial number, or `None` when the text is empty, a placeholder, all one character,
    /// longer than 64 characters or not printable ASCII.
    pub fn known(text: &str) -> Option<Serial> {
        let text = text.trim();
        let lower = text.to_ascii_lowercase();
        let first = text.chars().next()?;
        let fine = text.len() <= 64
            && text.bytes().all(|b| (0x20..0x7f).contains(&b))
            && !text.chars().all(|c| c == first)
            && !UNSET_SERIALS.contains(&lower.as_str());
        fine.then(|| Serial(text.to_owned()))
    }

    /// The number as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl serde::Serialize for Serial {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for Serial {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Serial::known(&text)
            .ok_or_else(|| serde::de::Error::custom("not a serial number that tells machines apart"))
    }
}

/// A machine that has asked Moxxie for something, assigned or not.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct MachineSeen {
    /// The MAC address it booted from.
    pub mac_address: MacAddr,
    /// Its SMBIOS UUID, when it sent a usable one.
    pub uuid: Option<String>,
    /// Its serial number, as sent.
    pub serial: Option<String>,
    /// `amd64`, `arm64`, … as sent.
    pub arch: Option<String>,
    /// `efi` or `pcbios`, as sent.
    pub platform: Option<String>,
    /// SMBIOS manufacturer.
    pub manufacturer: Option<String>,
    /// SMBIOS product name.
    pub product: Option<String>,
    /// The address it asked from.
    pub ip: Option<String>,
    /// The node name, when it is assigned.
    pub node_name: Option<String>,
    /// The profile, when it is assigned.
    pub boot_profile: Option<String>,
    /// What it was answered last: `boot`, `local`, `menu`, …
    pub last_answer: Option<String>,
    /// First request.
    pub first_seen_at: Timestamp,
    /// Latest request.
    pub last_seen_at: Timestamp,
}

impl MachineSeen {
    /// This request after an earlier one of the same machine: a label that it leaves out does not
    /// become unknown.
    pub fn after(self, earlier: Option<MachineSeen>) -> MachineSeen {
        let Some(earlier) = earlier else { return self };
        MachineSeen {
            uuid: self.uuid.or(earlier.uuid),
            serial: self.serial.or(earlier.serial),
            arch: self.arch.or(earlier.arch),
            platform: self.platform.or(earlier.platform),
            manufacturer: self.manufacturer.or(earlier.manufacturer),
            product: self.product.or(earlier.product),
            ip: self.ip.or(earlier.ip),
            first_seen_at: earlier.first_seen_at,
            ..self
        }
    }
}

/// Decodes a free-text label. Moxxie's own scripts send these as `hex:` and the bytes in
/// hexadecimal, because iPXE before November 2021 does not escape `&` and `#` in a query
/// (`:uristring`), while `:hexraw` is safe on every version. Other senders may write plain text.
pub fn free_text(value: &str) -> String {
    let bytes = match value.strip_prefix("hex:") {
        Some(digits) => hex(digits).unwrap_or_default(),
        None => value.as_bytes().to_vec(),
    };
    let text = String::from_utf8_lossy(&bytes);
    text.trim_matches(|c: char| c == '\0' || c.is_whitespace())
        .chars()
        .filter(|c| !c.is_control())
        .take(128)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuid_spellings_and_both_byte_orders() {
        let smbios: MachineUuid = "4c4c4544-004b-3510-8051-b4c04f4c4d32".parse().unwrap();
        for text in [
            "4C4C4544-004B-3510-8051-B4C04F4C4D32",
            "{4c4c4544-004b-3510-8051-b4c04f4c4d32}",
            "urn:uuid:4c4c4544-004b-3510-8051-b4c04f4c4d32",
            "4c4c4544004b35108051b4c04f4c4d32",
        ] {
            assert_eq!(text.parse(), Ok(smbios), "{text}");
        }
        let option97: MachineUuid = "44454c4c-4b00-1035-8051-b4c04f4c4d32".parse().unwrap();
        assert!(smbios.same_machine(&option97));
        assert_eq!(smbios.key(), option97.key());
        assert_eq!("4c4c4544".parse::<MachineUuid>(), Err(UuidError::Spelling));
    }

    #[test]
    fn placeholders_are_nobody() {
        for text in [
            "00000000-0000-0000-0000-000000000000",
            "ffffffff-ffff-ffff-ffff-ffffffffffff",
            "03000200-0400-0500-0006-000700080009",
            "12345678-1234-1234-1234-123456789abc",
        ] {
            assert!(matches!(text.parse::<MachineUuid>(), Err(UuidError::Placeholder(_))), "{text}");
        }
        for text in ["", " ", "To be filled by O.E.M.", "Default string", "Not Settable", "0000000"] {
            assert_eq!(Serial::known(text), None, "{text}");
        }
        assert_eq!(Serial::known(" 7QK1234 ").unwrap().as_str(), "7QK1234");
    }

    #[test]
    fn a_label_left_out_stays_known() {
        let seen = |at: i64, product: Option<&str>, arch: Option<&str>| MachineSeen {
            mac_address: "52:54:00:00:00:01".parse().unwrap(),
            uuid: None,
            serial: None,
            arch: arch.map(str::to_owned),
            platform: None,
            manufacturer: None,
            product: product.map(str::to_owned),
            ip: None,
            node_name: None,
            boot_profile: None,
            last_answer: Some("menu".into()),
            first_seen_at: Timestamp(at),
            last_seen_at: Timestamp(at),
        };
        let both = seen(2, None, Some("arm64")).after(Some(seen(1, Some("x"), Some("amd64"))));
        assert_eq!((both.product.as_deref(), both.arch.as_deref()), (Some("x"), Some("arm64")));
        assert_eq!((both.first_seen_at, both.last_seen_at), (Timestamp(1), Timestamp(2)));
        assert_eq!(seen(1, None, None).after(None), seen(1, None, None));
    }

    #[test]
    fn free_text_is_hex_or_plain() {
        assert_eq!(free_text("hex:412642"), "A&B");
        assert_eq!(free_text("hex:zz"), "");
        assert_eq!(free_text("Lab Node\n\u{1b}[2J"), "Lab Node[2J");
        assert_eq!(free_text("A\0\0"), "A");
    }
}
