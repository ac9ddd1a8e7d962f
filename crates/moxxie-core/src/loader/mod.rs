//! Loaders: the programs that firmware fetches first, iPXE above all, and what can be told of them
//! from their bytes.

mod inspect;
mod pick;

pub use inspect::{Found, NotAsNamed, inspect};
pub use pick::{picked, picked_shims};

use crate::asset::Digest;
use crate::name::LoaderName;
use crate::time::Timestamp;
use std::fmt;
use std::str::FromStr;

/// No loader is larger, in bytes. iPXE has about 1 MiB, a shim less.
pub const LARGEST: u64 = 16 * 1024 * 1024;

/// The names under which a script is made for whoever asks. Nobody can put a file there.
pub const GENERATED: [&str; 2] = ["autoexec.ipxe", "embed.ipxe"];

/// What a loader is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// PCs with BIOS.
    Bios,
    /// UEFI on 64-bit x86.
    X64,
    /// UEFI on 32-bit x86.
    Ia32,
    /// UEFI on 64-bit ARM.
    Arm64,
    /// A shim, which Secure Boot starts and which starts a loader.
    Shim,
    /// Anything else that is fetched beside them.
    Other,
}

impl Purpose {
    const ALL: [Purpose; 6] =
        [Purpose::Bios, Purpose::X64, Purpose::Ia32, Purpose::Arm64, Purpose::Shim, Purpose::Other];

    /// As it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Purpose::Bios => "bios",
            Purpose::X64 => "x64",
            Purpose::Ia32 => "ia32",
            Purpose::Arm64 => "arm64",
            Purpose::Shim => "shim",
            Purpose::Other => "other",
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Purpose {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Purpose::ALL
            .into_iter()
            .find(|purpose| purpose.as_str() == text)
            .ok_or("bios, x64, ia32, arm64, shim or other")
    }
}

impl serde::Serialize for Purpose {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A file that firmware may fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loader {
    /// What firmware asks for.
    pub name: LoaderName,
    /// SHA-256 of its bytes.
    pub sha256: Digest,
    /// Length in bytes.
    pub size: i64,
    /// What it is for.
    pub purpose: Purpose,
    /// Where it came from, in words for people.
    pub source: String,
    /// iPXE's version, as far as the file says it.
    pub version: Option<String>,
    /// When this name was given these bytes.
    pub created_at: Timestamp,
}

/// A kind of machine, the file that its firmware is told to fetch, and what these machines are
/// called: the names that DHCP configurations hand out.
pub const WANTED: [(Purpose, &str, &str); 4] = [
    (Purpose::Bios, "undionly.kpxe", "BIOS machines"),
    (Purpose::X64, "ipxe.efi", "UEFI x64 machines"),
    (Purpose::Ia32, "ipxe-i386.efi", "32-bit UEFI machines"),
    (Purpose::Arm64, "ipxe-arm64.efi", "UEFI arm64 machines"),
];

/// What a file is sent as. UEFI's HTTP boot starts `application/efi` (UEFI specification, 24.7).
pub fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("efi") => "application/efi",
        Some("ipxe") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// The smallest file with the header of a PE program for this machine type.
#[cfg(test)]
pub(crate) fn pe(machine: u16) -> Vec<u8> {
    let mut bytes = vec![0; 0x100];
    bytes[..2].copy_from_slice(b"MZ");
    bytes[0x3c] = 0x80;
    bytes[0x80..0x84].copy_from_slice(b"PE\0\0");
    bytes[0x84..0x86].copy_from_slice(&machine.to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purposes_are_read_as_they_are_written() {
        for purpose in Purpose::ALL {
            assert_eq!(purpose.as_str().parse(), Ok(purpose));
        }
        assert!("X64".parse::<Purpose>().is_err());
    }

    #[test]
    fn each_kind_of_machine_has_a_file_of_its_kind() {
        for (purpose, name, _) in WANTED {
            let machine = match purpose {
                Purpose::Bios => None,
                Purpose::X64 => Some(0x8664),
                Purpose::Ia32 => Some(0x014c),
                _ => Some(0xaa64),
            };
            let bytes = machine.map_or(vec![0xea], pe);
            assert_eq!(inspect(&name.parse().unwrap(), &bytes).unwrap().purpose, purpose);
        }
    }
}
