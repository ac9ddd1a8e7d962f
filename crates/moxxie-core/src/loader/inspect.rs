//! What a file is, by its bytes, and whether its name says the same.
//!
//! Sources: "PE Format" (machine types, place of the header); iPXE's `src/core/version.c` (the
//! version stands as a text of its own, and since 2.0 in the SBAT line `ipxe,…`).

use super::{GENERATED, Purpose};
use crate::name::LoaderName;

/// What was found in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What it is for.
    pub purpose: Purpose,
    /// iPXE's version, where the file says it. Compressed BIOS loaders do not.
    pub version: Option<String>,
}

/// A file is not what its name says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAsNamed {
    /// The name belongs to a script that the server makes.
    #[error("is made by the server for whoever asks; it cannot be replaced")]
    Generated,
    /// No bytes.
    #[error("is empty")]
    Empty,
    /// `.efi`, and no EFI program.
    #[error("ends in .efi, but these bytes are no EFI program (PE)")]
    NotPe,
    /// A BIOS loader's name on an EFI program.
    #[error("is a BIOS loader's name, but these bytes are an EFI program (PE): name it *.efi")]
    Pe,
    /// A BIOS loader's name on a text: a web page that says "not found", above all. BIOS would run it.
    #[error("is a BIOS loader's name, but these bytes are a text: was a web page downloaded in its place?")]
    Text,
    /// An EFI program for a processor that no loader here is for.
    #[error("is an EFI program for {0}; loaders are for x64, ia32 or arm64")]
    Processor(String),
    /// An EFI program for another processor.
    #[error("says {named}, but these bytes are for {is}: name it {right}")]
    Mismatch {
        /// What the name means.
        named: Purpose,
        /// What the bytes are.
        is: Purpose,
        /// A name that would be right.
        right: String,
    },
    /// `.ipxe`, and no script: BIOS iPXE would run it as a program.
    #[error("ends in .ipxe, but the text does not begin with a line #!ipxe")]
    NotScript,
}

/// Reads what a file is and holds its name against it.
pub fn inspect(name: &LoaderName, bytes: &[u8]) -> Result<Found, NotAsNamed> {
    let name = name.as_str();
    if GENERATED.contains(&name) {
        return Err(NotAsNamed::Generated);
    }
    if bytes.is_empty() {
        return Err(NotAsNamed::Empty);
    }
    let purpose = match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("efi") => efi(name, bytes)?,
        Some("kpxe" | "kkpxe" | "kkkpxe" | "pxe" | "lkrn" | "0") => match machine(bytes) {
            None if bytes.iter().take(64).all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace()) => {
                return Err(NotAsNamed::Text);
            }
            None => Purpose::Bios,
            Some(_) => return Err(NotAsNamed::Pe),
        },
        Some("ipxe") if !bytes.starts_with(b"#!ipxe\n") => return Err(NotAsNamed::NotScript),
        _ => Purpose::Other,
    };
    Ok(Found { purpose, version: version(bytes) })
}

fn efi(name: &str, bytes: &[u8]) -> Result<Purpose, NotAsNamed> {
    let is = processor(machine(bytes).ok_or(NotAsNamed::NotPe)?)?;
    let named = named(name);
    if named != is {
        return Err(NotAsNamed::Mismatch { named, is, right: renamed(name, is) });
    }
    Ok(if name.contains("shim") { Purpose::Shim } else { is })
}

/// What a machine type of PE stands for.
fn processor(machine: u16) -> Result<Purpose, NotAsNamed> {
    Err(NotAsNamed::Processor(match machine {
        0x8664 => return Ok(Purpose::X64),
        0x014c => return Ok(Purpose::Ia32),
        0xaa64 => return Ok(Purpose::Arm64),
        0x01c0 | 0x01c2 | 0x01c4 => "32-bit ARM".into(),
        0x0ebc => "EFI byte code".into(),
        0x5032 => "32-bit RISC-V".into(),
        0x5064 => "64-bit RISC-V".into(),
        0x6232 => "32-bit LoongArch".into(),
        0x6264 => "64-bit LoongArch".into(),
        other => format!("machine type {other:#06x}"),
    }))
}

/// The processor of an EFI program; `None` for what is none.
pub(super) fn efi_processor(bytes: &[u8]) -> Option<Purpose> {
    processor(machine(bytes)?).ok()
}

/// The machine type of a PE file; `None` for what is none.
pub(super) fn machine(bytes: &[u8]) -> Option<u16> {
    let at = |offset: usize, n: usize| bytes.get(offset..offset.checked_add(n)?);
    if at(0, 2)? != b"MZ" {
        return None;
    }
    let header = usize::try_from(u32::from_le_bytes(at(0x3c, 4)?.try_into().ok()?)).ok()?;
    if at(header, 4)? != b"PE\0\0" {
        return None;
    }
    Some(u16::from_le_bytes(at(header.checked_add(4)?, 2)?.try_into().ok()?))
}

/// Words for processors as they stand in the names of files.
pub(super) const WORDS: [(&str, Purpose); 10] = [
    ("arm64", Purpose::Arm64),
    ("aarch64", Purpose::Arm64),
    ("aa64", Purpose::Arm64),
    ("x86_64", Purpose::X64),
    ("x86-64", Purpose::X64),
    ("amd64", Purpose::X64),
    ("x64", Purpose::X64),
    ("i386", Purpose::Ia32),
    ("ia32", Purpose::Ia32),
    ("x86", Purpose::Ia32),
];

/// What a name says. One that names no processor is x64's, as in every DHCP configuration.
fn named(name: &str) -> Purpose {
    WORDS.iter().find(|(word, _)| name.contains(word)).map_or(Purpose::X64, |(_, purpose)| *purpose)
}

/// The name with the right processor in it.
fn renamed(name: &str, is: Purpose) -> String {
    let stem = name.strip_suffix(".efi").unwrap_or(name);
    let word = WORDS.iter().find(|(word, _)| name.contains(word)).map(|(word, _)| *word);
    let shim = name.contains("shim");
    let right = match is {
        Purpose::Arm64 if shim => "aa64",
        Purpose::Arm64 => "arm64",
        Purpose::Ia32 if shim => "ia32",
        Purpose::Ia32 => "i386",
        _ => "x64",
    };
    match word {
        Some(word) if is == Purpose::X64 && !shim => {
            format!("{}.efi", stem.replace(&format!("-{word}"), "").replace(word, right))
        }
        Some(word) => format!("{}.efi", stem.replace(word, right)),
        None if shim => format!("{stem}{right}.efi"),
        None => format!("{stem}-{right}.efi"),
    }
}

/// A version is not longer, in bytes.
const MAX_VERSION: usize = 64;

/// iPXE's version: out of its SBAT line, else the text that stands for itself between two NULs.
fn version(bytes: &[u8]) -> Option<String> {
    sbat(bytes).or_else(|| plain(bytes))
}

/// `ipxe,1,iPXE,ipxe.efi,2.0.0,https://ipxe.org`
fn sbat(bytes: &[u8]) -> Option<String> {
    let line = find(bytes, b"\nipxe,")? + 1;
    let line = bytes.get(line..)?;
    let end = line.iter().take(512).position(|b| *b == b'\n' || *b == 0)?;
    let version = std::str::from_utf8(line.get(..end)?).ok()?.split(',').nth(4)?;
    is_version(version).then(|| version.to_owned())
}

fn plain(bytes: &[u8]) -> Option<String> {
    find(bytes, b"iPXE")?;
    let texts = bytes.split(|b| *b == 0).filter(|text| (5..=MAX_VERSION).contains(&text.len()));
    let mut texts = texts.filter_map(|text| std::str::from_utf8(text).ok());
    texts.find(|text| is_version(text)).map(str::to_owned)
}

/// `1.0.0+git-20190125.36a4c85-5.1`, `1.21.1+ (g988d2)`, `2.0.0`: three numbers, the third followed
/// by nothing or by a build. Four numbers are an address or an object identifier.
fn is_version(text: &str) -> bool {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (numbers, build) = text.split_at(end);
    let is_number = |part: &str| (1..=3).contains(&part.len());
    text.len() <= MAX_VERSION
        && numbers.split('.').count() == 3
        && numbers.split('.').all(is_number)
        && (build.is_empty() || build.starts_with(['+', '-', ' ']))
        && build.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-. ()~_:".contains(&b))
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loader::pe;

    fn look(name: &str, bytes: &[u8]) -> Result<Purpose, String> {
        inspect(&name.parse().unwrap(), bytes).map(|found| found.purpose).map_err(|e| e.to_string())
    }

    #[test]
    fn a_name_says_what_the_bytes_are() {
        for (name, machine, purpose) in [
            ("ipxe.efi", 0x8664, Purpose::X64),
            ("ipxe-x86_64.efi", 0x8664, Purpose::X64),
            ("snponly.efi", 0x8664, Purpose::X64),
            ("ipxe-i386.efi", 0x014c, Purpose::Ia32),
            ("ipxe-arm64.efi", 0xaa64, Purpose::Arm64),
            ("ipxe-sb-shimx64.efi", 0x8664, Purpose::Shim),
            ("ipxe-arm64-sb-shimaa64.efi", 0xaa64, Purpose::Shim),
        ] {
            assert_eq!(look(name, &pe(machine)), Ok(purpose), "{name}");
        }
        for (name, bytes) in
            [("undionly.kpxe", &b"\xea\x05\0\xc0"[..]), ("ipxe.lkrn", b"\0\0"), ("pxelinux.0", b"x\x90")]
        {
            assert_eq!(look(name, bytes), Ok(Purpose::Bios), "{name}");
            assert!(look(name, &pe(0x8664)).unwrap_err().contains("*.efi"));
        }
        for page in [&b"<!doctype html><title>404 Not Found</title>"[..], b"#!ipxe\nchain x\n", b"Not Found"]
        {
            assert!(look("undionly.kpxe", page).unwrap_err().contains("web page"));
        }
        assert_eq!(look("wimboot", b"MZ"), Ok(Purpose::Other));
        assert_eq!(look("own.ipxe", b"#!ipxe\nshell\n"), Ok(Purpose::Other));
    }

    #[test]
    fn a_wrong_name_is_refused_with_the_right_one() {
        for (name, machine, right) in [
            ("ipxe.efi", 0xaa64, "ipxe-arm64.efi"),
            ("ipxe.efi", 0x014c, "ipxe-i386.efi"),
            ("ipxe-arm64.efi", 0x8664, "ipxe.efi"),
            ("ipxe-arm64.efi", 0x014c, "ipxe-i386.efi"),
            ("ipxe-shimx64.efi", 0xaa64, "ipxe-shimaa64.efi"),
            ("shimaa64.efi", 0x8664, "shimx64.efi"),
        ] {
            let why = look(name, &pe(machine)).unwrap_err();
            assert!(why.ends_with(&format!(": name it {right}")), "{name}: {why}");
            assert_eq!(inspect(&right.parse().unwrap(), &pe(machine)).map(|_| ()), Ok(()), "{right}");
        }
        assert!(look("ipxe-riscv64.efi", &pe(0x5064)).unwrap_err().contains("64-bit RISC-V"));
        assert!(look("ipxe.efi", &pe(0x1234)).unwrap_err().contains("0x1234"));
    }

    #[test]
    fn what_is_no_program_is_refused() {
        let mut cut = pe(0x8664);
        cut.truncate(0x84);
        let mut far = pe(0x8664);
        far[0x3c..0x40].copy_from_slice(&[0xff; 4]);
        for bytes in [&b"MZ"[..], b"<html>", &cut, &far, &[0; 100]] {
            assert!(look("ipxe.efi", bytes).unwrap_err().contains("no EFI program"));
        }
        assert_eq!(look("ipxe.efi", b""), Err("is empty".into()));
        for name in GENERATED {
            assert!(look(name, b"#!ipxe\n").is_err());
        }
        assert!(look("own.ipxe", b"\x7fELF").is_err());
    }

    #[test]
    fn versions() {
        let told = |bytes: &[u8]| inspect(&"x".parse().unwrap(), bytes).unwrap().version;
        let debian = b"\0iPXE\0\0junk 1.2.3\0 1.0.0\x001.0.0+git-20190125.36a4c85-5.1\0x";
        assert_eq!(told(debian).as_deref(), Some("1.0.0+git-20190125.36a4c85-5.1"));
        assert_eq!(told(b"iPXE\x001.21.1+ (g988d2)\0").as_deref(), Some("1.21.1+ (g988d2)"));
        let sbat = b"sbat,1,SBAT Version,sbat,1,https://x\nipxe,1,iPXE,ipxe.efi,2.0.0,https://ipxe.org\n";
        assert_eq!(told(sbat).as_deref(), Some("2.0.0"));
        for none in [
            &b"iPXE\x001.3.6.1.4\0"[..],
            b"iPXE\x00255.255.255.0\0",
            b"nothing\x001.0.0\0",
            b"iPXE",
            b"\nipxe,1,iPXE",
            b"\nipxe,1,iPXE,a,\x1b[2J,b\n",
        ] {
            assert_eq!(told(none), None, "{}", String::from_utf8_lossy(none));
        }
    }
}
