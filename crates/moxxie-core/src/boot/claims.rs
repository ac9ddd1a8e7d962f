//! What an unauthenticated client says of itself. The only place on the boot path where a MAC
//! address or a UUID is read from text.

use crate::mac::{MacAddr, MacError};
use crate::machine::{MachineUuid, Serial, UuidError, free_text};
use std::net::IpAddr;

/// The labels of a boot request. Everything here is a claim: any host on the wire can send it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BootClaims {
    /// The NIC it booted from.
    pub mac: Option<MacAddr>,
    /// Its further NICs.
    pub other_macs: Vec<MacAddr>,
    /// SMBIOS UUID, placeholders left out.
    pub uuid: Option<MachineUuid>,
    /// Serial number, placeholders left out.
    pub serial: Option<Serial>,
    /// SMBIOS asset tag, as sent.
    pub asset: Option<String>,
    /// `amd64`, `i386`, `arm64`, …
    pub arch: Option<String>,
    /// `efi` or `pcbios` (iPXE `${platform}`).
    pub platform: Option<String>,
    /// SMBIOS manufacturer.
    pub manufacturer: Option<String>,
    /// SMBIOS product name.
    pub product: Option<String>,
    /// The address it says it has.
    pub ip: Option<IpAddr>,
    /// It has run the script that asks who it is, and comes back from it.
    pub identified: bool,
    /// The MAC named an address that belongs to no single machine (zero, broadcast, multicast).
    pub nobody: bool,
}

/// Why the labels of a request were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimsError {
    /// A label came twice. Neither the first nor the last wins: one of them may be injected.
    #[error("label {0} was sent more than once")]
    Duplicate(String),
    /// Too many labels.
    #[error("more than {0} labels")]
    TooMany(usize),
    /// A label carries a NUL, a line break or another control character.
    #[error("label {0} carries a control character")]
    Control(String),
    /// The MAC cannot be read.
    #[error("{label}: {error}")]
    Mac {
        /// `mac` or `mac1` to `mac7`.
        label: String,
        /// Why.
        error: MacError,
    },
    /// The UUID cannot be read.
    #[error("uuid: {0}")]
    Uuid(UuidError),
}

impl ClaimsError {
    /// The same in the few characters that a machine's screen shows of an error.
    pub fn short(&self) -> String {
        match self {
            ClaimsError::Duplicate(label) => format!("{label} sent twice"),
            ClaimsError::TooMany(_) => "too many labels".into(),
            ClaimsError::Control(label) => format!("{label} has a bad character"),
            ClaimsError::Mac { label, .. } => format!("{label} is no MAC address"),
            ClaimsError::Uuid(_) => "uuid is no UUID".into(),
        }
    }
}

/// More query parameters than this are refused.
pub const MAX_LABELS: usize = 32;

impl BootClaims {
    /// Reads decoded `(name, value)` pairs in the order they were sent. Names are compared
    /// without case, so `mac=…&MAC=…` is a duplicate. Unknown labels are ignored; empty values,
    /// `(none)` and unexpanded `${…}` count as absent.
    pub fn parse<'a>(
        labels: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<BootClaims, ClaimsError> {
        let mut claims = BootClaims::default();
        let mut seen: Vec<String> = Vec::new();
        for (name, value) in labels {
            let name = name.strip_suffix("[]").unwrap_or(name).to_ascii_lowercase();
            if seen.contains(&name) {
                return Err(ClaimsError::Duplicate(one_name(&name)));
            }
            if seen.len() == MAX_LABELS {
                return Err(ClaimsError::TooMany(MAX_LABELS));
            }
            claims.read(&name, value)?;
            seen.push(name);
        }
        claims.other_macs.retain(|m| Some(*m) != claims.mac);
        claims.other_macs.sort();
        claims.other_macs.dedup();
        Ok(claims)
    }

    fn read(&mut self, name: &str, value: &str) -> Result<(), ClaimsError> {
        if value.contains(|c: char| c.is_control()) || name.contains(|c: char| c.is_control()) {
            return Err(ClaimsError::Control(one_name(name)));
        }
        let absent = value.is_empty() || value == "(none)" || value.starts_with("${");
        if absent {
            return Ok(());
        }
        let text = || Some(free_text(value)).filter(|t| !t.is_empty());
        match name {
            "mac" => match value.parse() {
                Ok(mac) => self.mac = Some(mac),
                // These are well-formed but name no machine: the disk, not an error.
                Err(MacError::Zero | MacError::Broadcast | MacError::Multicast(_)) => self.nobody = true,
                Err(error) => return Err(ClaimsError::Mac { label: name.to_owned(), error }),
            },
            "mac1" | "mac2" | "mac3" | "mac4" | "mac5" | "mac6" | "mac7" => match value.parse() {
                Ok(mac) => self.other_macs.push(mac),
                Err(MacError::Zero | MacError::Broadcast | MacError::Multicast(_) | MacError::Length(_)) => {}
                Err(error) => return Err(ClaimsError::Mac { label: name.to_owned(), error }),
            },
            "uuid" => match value.parse() {
                Ok(uuid) => self.uuid = Some(uuid),
                Err(UuidError::Placeholder(_)) => {}
                // Firmware writes texts such as "Not Settable" here; they are as good as nothing.
                Err(UuidError::Spelling) if Serial::known(value).is_none() => {}
                Err(error) => return Err(ClaimsError::Uuid(error)),
            },
            "identified" => self.identified = true,
            "serial" => self.serial = Serial::known(&free_text(value)),
            "asset" => self.asset = text(),
            "arch" => self.arch = token(value),
            "platform" => self.platform = token(value),
            "manufacturer" => self.manufacturer = text(),
            "product" => self.product = text(),
            "ip" => self.ip = value.parse().ok(),
            _ => {}
        }
        Ok(())
    }

    /// Whether the machine said nothing that identifies it.
    pub fn is_anonymous(&self) -> bool {
        self.mac.is_none() && self.uuid.is_none() && !self.nobody
    }

    /// Every MAC it claims, the booting one first.
    pub fn macs(&self) -> impl Iterator<Item = MacAddr> + '_ {
        self.mac.iter().chain(&self.other_macs).copied()
    }

    /// How to call the machine in a message: its MAC, else its UUID.
    pub fn label(&self) -> String {
        match (self.mac, self.uuid) {
            (Some(mac), _) => mac.to_string(),
            (None, Some(uuid)) => uuid.to_string(),
            (None, None) => "unidentified machine".into(),
        }
    }
}

/// A short word such as `amd64`; anything else is dropped.
fn token(value: &str) -> Option<String> {
    let fine =
        value.len() <= 32 && value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    fine.then(|| value.to_owned())
}

/// A label's name, cut and cleaned for an error message.
fn one_name(name: &str) -> String {
    name.chars().filter(|c| c.is_ascii_graphic()).take(32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<BootClaims, ClaimsError> {
        BootClaims::parse(pairs.iter().copied())
    }

    #[test]
    fn reads_labels_and_treats_unset_ones_as_absent() {
        let claims = parse(&[
            ("mac", "5254.0012.3456"),
            ("mac1", "52:54:00:12:34:56"),
            ("mac2", "52:54:00:12:34:57"),
            ("uuid", "00000000-0000-0000-0000-000000000000"),
            ("serial", "hex:5f3143"),
            ("product", "${product}"),
            ("manufacturer", ""),
            ("arch", "amd64"),
            ("ip", "10.0.0.9"),
            ("whatever", "x"),
        ])
        .unwrap();
        assert_eq!(claims.mac.unwrap().to_string(), "52:54:00:12:34:56");
        assert_eq!(claims.other_macs.len(), 1, "the booting NIC is not repeated");
        assert_eq!(claims.uuid, None);
        assert_eq!(claims.serial.as_ref().unwrap().as_str(), "_1C");
        assert_eq!((claims.product.as_ref(), claims.manufacturer.as_ref()), (None, None));
    }

    #[test]
    fn duplicates_never_pick_a_winner() {
        for second in ["mac", "MAC", "mac[]"] {
            let got = parse(&[("mac", "52:54:00:12:34:56"), (second, "52:54:00:12:34:57")]);
            assert!(matches!(got, Err(ClaimsError::Duplicate(_))), "{second}");
        }
        assert!(parse(&[("x", "1"), ("x", "2")]).is_err(), "unknown labels too");
    }

    #[test]
    fn bad_labels() {
        assert!(matches!(parse(&[("mac", "52:54")]), Err(ClaimsError::Mac { .. })));
        assert!(matches!(parse(&[("uuid", "4c4c4544-zz")]), Err(ClaimsError::Uuid(_))));
        assert!(matches!(parse(&[("mac", "52:54:00:12:34:56\0")]), Err(ClaimsError::Control(_))));
        assert!(matches!(parse(&[("ip", "x\r\nset y z")]), Err(ClaimsError::Control(_))));
        assert!(parse(&[("mac", "ff:ff:ff:ff:ff:ff")]).unwrap().nobody);
        assert!(parse(&[("uuid", "Not Settable")]).unwrap().is_anonymous());
        for text in ["", "(none)", "${netX/mac}"] {
            assert!(parse(&[("mac", text)]).unwrap().is_anonymous(), "{text}");
        }
        let many: Vec<(String, String)> = (0..40).map(|i| (format!("l{i}"), "x".into())).collect();
        let got = BootClaims::parse(many.iter().map(|(a, b)| (a.as_str(), b.as_str())));
        assert_eq!(got, Err(ClaimsError::TooMany(MAX_LABELS)));
    }
}
