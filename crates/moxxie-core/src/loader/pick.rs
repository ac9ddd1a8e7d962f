//! Which files of a distribution's package or a release archive are loaders, and under which names
//! firmware will ask for them.
//!
//! Seen: Debian (`/usr/lib/ipxe/ipxe.efi`, since 13 `ipxe-amd64.efi` and `ipxe-arm64.efi`), Fedora
//! (`/usr/share/ipxe/ipxe-x86_64.efi`, `ipxe-snponly-x86_64.efi`, `arm64-efi/snponly.efi`), iPXE's
//! own `ipxeboot.tar.gz` (`x86_64/ipxe.efi`, `arm64-sb/shimaa64.efi`).

use super::Purpose;
use super::inspect::{WORDS, efi_processor, machine};
use crate::name::LoaderName;

/// The name that a file gets, by the folder it is in, its own name and its bytes. `None` for files
/// that are no loaders, or loaders of another kind than those that DHCP configurations name.
///
/// Folder and name are only looked at: neither is ever part of a path.
pub fn picked(folder: &str, file: &str, bytes: &[u8]) -> Option<LoaderName> {
    if matches!(file, "undionly.kpxe" | "ipxe.pxe") {
        // The archive has two of each: the 64-bit build is the one that it links to.
        let wanted = machine(bytes).is_none() && !folder.contains("i386");
        return wanted.then(|| file.parse().ok()).flatten();
    }
    // Signed by Debian and Ubuntu: starts their GRUB and their kernels.
    if let "shimx64.efi.signed" | "shimaa64.efi.signed" = file {
        return file.strip_suffix(".signed")?.parse().ok();
    }
    let stem = match bare(file.strip_suffix(".efi")?).as_str() {
        "ipxe" => "ipxe",
        "snponly" | "ipxe-snponly" => "snponly",
        _ => return None,
    };
    let processor = match efi_processor(bytes)? {
        Purpose::X64 => "",
        Purpose::Ia32 => "-i386",
        Purpose::Arm64 => "-arm64",
        _ => return None,
    };
    let signed = if is_signed(folder) { "-sb" } else { "" };
    format!("{stem}{processor}{signed}.efi").parse().ok()
}

/// The names that an iPXE shim gets: it starts what its own name says without the shim in it
/// (ipxe/shim, README), so there is one for each signed loader.
pub fn picked_shims(folder: &str, file: &str, bytes: &[u8]) -> Vec<LoaderName> {
    let processor = match (file, efi_processor(bytes)) {
        ("shimx64.efi" | "ipxe-shimx64.efi", Some(Purpose::X64)) => "-sb-shimx64",
        ("shimaa64.efi" | "ipxe-shimaa64.efi", Some(Purpose::Arm64)) => "-arm64-sb-shimaa64",
        _ => return Vec::new(),
    };
    if !is_signed(folder) {
        return Vec::new();
    }
    ["ipxe", "snponly"].iter().filter_map(|stem| format!("{stem}{processor}.efi").parse().ok()).collect()
}

/// iPXE's archive keeps what is signed for Secure Boot in folders of its own.
fn is_signed(folder: &str) -> bool {
    folder.ends_with("-sb")
}

/// A stem without the word for the processor.
fn bare(stem: &str) -> String {
    WORDS.iter().find_map(|(word, _)| stem.strip_suffix(&format!("-{word}"))).unwrap_or(stem).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loader::{inspect, pe};

    const BIOS: &[u8] = b"\xea\x05\0\xc0";

    #[test]
    fn loaders_get_the_names_that_dhcp_hands_out() {
        let (x64, ia32, arm64) = (pe(0x8664), pe(0x014c), pe(0xaa64));
        for (folder, file, bytes, want) in [
            // Debian 12 and 13.
            ("ipxe", "undionly.kpxe", BIOS, Some("undionly.kpxe")),
            ("ipxe", "undionly.kkpxe", BIOS, None),
            ("ipxe", "ipxe.efi", &x64, Some("ipxe.efi")),
            ("ipxe", "ipxe-amd64.efi", &x64, Some("ipxe.efi")),
            ("ipxe", "ipxe-arm64.efi", &arm64, Some("ipxe-arm64.efi")),
            ("shim", "shimx64.efi.signed", &x64, Some("shimx64.efi")),
            // Fedora.
            ("ipxe", "ipxe-snponly-x86_64.efi", &x64, Some("snponly.efi")),
            ("ipxe", "ipxe-i386.efi", &ia32, Some("ipxe-i386.efi")),
            ("arm64-efi", "snponly.efi", &arm64, Some("snponly-arm64.efi")),
            // iPXE's archive.
            ("x86_64", "undionly.kpxe", BIOS, Some("undionly.kpxe")),
            ("i386", "undionly.kpxe", BIOS, None),
            ("i386", "ipxe.efi", &ia32, Some("ipxe-i386.efi")),
            ("arm64", "ipxe.efi", &arm64, Some("ipxe-arm64.efi")),
            ("x86_64-sb", "ipxe.efi", &x64, Some("ipxe-sb.efi")),
            ("arm64-sb", "snponly.efi", &arm64, Some("snponly-arm64-sb.efi")),
            ("riscv64", "ipxe.efi", &pe(0x5064), None),
            ("x86_64", "ipxe-legacy.efi", &x64, None),
            // What is not what it says.
            ("x86_64", "ipxe.efi", b"<html>", None),
            ("x86_64", "undionly.kpxe", &x64, None),
            ("x86_64", "../../ipxe.efi", &x64, None),
            ("x86_64", "", &x64, None),
        ] {
            let name = picked(folder, file, bytes);
            assert_eq!(name.as_ref().map(LoaderName::as_str), want, "{folder}/{file}");
            if let Some(name) = name {
                assert!(inspect(&name, bytes).is_ok(), "the server takes {name}");
            }
        }
    }

    #[test]
    fn a_shim_is_named_after_what_it_starts() {
        let names = |folder, file, machine| {
            let bytes = pe(machine);
            let names = picked_shims(folder, file, &bytes);
            assert!(names.iter().all(|name| inspect(name, &bytes).unwrap().purpose == Purpose::Shim));
            names.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            names("x86_64-sb", "shimx64.efi", 0x8664),
            ["ipxe-sb-shimx64.efi", "snponly-sb-shimx64.efi"]
        );
        assert_eq!(
            names("arm64-sb", "shimaa64.efi", 0xaa64),
            ["ipxe-arm64-sb-shimaa64.efi", "snponly-arm64-sb-shimaa64.efi"]
        );
        assert!(names("x86_64-sb", "shimx64.efi", 0xaa64).is_empty());
        assert!(names("x86_64", "shimx64.efi", 0x8664).is_empty());
    }
}
