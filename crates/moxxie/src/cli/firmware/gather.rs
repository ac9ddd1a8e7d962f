//! Loaders out of files, folders and release archives. Names found there are looked at and never
//! become paths.

use super::gzip;
use crate::cli::out;
use anyhow::{Context as _, bail, ensure};
use moxxie_core::loader::{LARGEST, picked, picked_shims};
use moxxie_core::name::LoaderName;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

/// An archive with more entries is refused; so is a folder that has as many with those in it.
const MOST: usize = 4096;
/// Bytes of an archive, as it is and unpacked. iPXE's has 12 MB.
pub(super) const LARGEST_ARCHIVE: u64 = 64 * 1024 * 1024;
const LARGEST_UNPACKED: usize = 256 * 1024 * 1024;

/// A loader that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Picked {
    /// What firmware will ask for.
    pub name: LoaderName,
    /// All of it.
    pub bytes: Vec<u8>,
    /// Where it was.
    pub source: String,
}

/// What a path that somebody named holds: a folder, an archive, or a loader under its own name.
pub(super) fn named(path: &Path) -> anyhow::Result<Vec<Picked>> {
    let context = || format!("cannot read {}", path.display());
    let kind = std::fs::metadata(path).with_context(context)?.file_type();
    // A pipe or a device might never end.
    ensure!(kind.is_dir() || kind.is_file(), "{}: neither a file nor a folder", path.display());
    if kind.is_dir() {
        let found = folder(path)?;
        ensure!(!found.is_empty(), "{}: no loader is in this folder", path.display());
        return Ok(found);
    }
    let bytes = read(path, LARGEST_ARCHIVE)?;
    if is_archive(&bytes) {
        return archive(&bytes, &path.display().to_string());
    }
    let size = bytes.len() as u64;
    ensure!(size <= LARGEST, "{}: {size} bytes; no loader has more than 16 MiB", path.display());
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name
        .parse()
        .with_context(|| format!("{}: copy it to a name that firmware can ask for", path.display()))?;
    Ok(vec![Picked { name, bytes, source: path.display().to_string() }])
}

/// The loaders in a folder, and in the folders of it. Empty when there is no such folder.
pub(super) fn folder(path: &Path) -> anyhow::Result<Vec<Picked>> {
    let mut found = Found::default();
    match std::fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        _ => {
            let mut left = MOST;
            look_into(path, 1, &mut left, &mut found)?;
            ensure!(
                left > 0,
                "{}: {MOST} entries or more; name the file or the folder that you want",
                path.display()
            );
        }
    }
    Ok(found.picked)
}

/// Whatever cannot be read is an error: a loader that is there must not look missing. Stops when
/// `left` is used up.
fn look_into(folder: &Path, deeper: u32, left: &mut usize, found: &mut Found) -> anyhow::Result<()> {
    let cannot = |path: &Path| format!("cannot read {}", path.display());
    let entries = std::fs::read_dir(folder).with_context(|| cannot(folder))?;
    let mut paths = Vec::new();
    for entry in entries.take(*left) {
        paths.push(entry.with_context(|| cannot(folder))?.path());
    }
    *left -= paths.len();
    paths.sort();
    let own = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for path in paths {
        // Follows links: distributions have some. A device or a pipe is never opened.
        let meta = match std::fs::metadata(&path) {
            Ok(meta) => meta,
            // A link that leads nowhere.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error).with_context(|| cannot(&path)),
        };
        if meta.is_dir() && deeper > 0 {
            look_into(&path, deeper - 1, left, found)?;
        } else if meta.is_file() && may_be_loader(&own(&path)) && meta.len() <= LARGEST {
            let bytes = read(&path, LARGEST)?;
            found.take(&own(folder), &own(&path), bytes, path.display().to_string())?;
        }
    }
    Ok(())
}

fn read(path: &Path, most: u64) -> anyhow::Result<Vec<u8>> {
    let context = || format!("cannot read {}", path.display());
    let mut bytes = Vec::new();
    File::open(path).with_context(context)?.take(most + 1).read_to_end(&mut bytes).with_context(context)?;
    ensure!(bytes.len() as u64 <= most, "{}: more than {} MiB", path.display(), most / 1024 / 1024);
    Ok(bytes)
}

/// Whether these are the bytes of a tar file, packed or not.
pub(super) fn is_archive(bytes: &[u8]) -> bool {
    bytes.starts_with(&gzip::MAGIC) || bytes.get(257..262) == Some(b"ustar")
}

/// The loaders in a release archive: `.tar.gz` or `.tar`.
pub(super) fn archive(bytes: &[u8], source: &str) -> anyhow::Result<Vec<Picked>> {
    let unpacked = match bytes.starts_with(&gzip::MAGIC) {
        true => gzip::unpack(bytes, LARGEST_UNPACKED).with_context(|| source.to_owned())?,
        false => Vec::new(),
    };
    let tar: &[u8] = if unpacked.is_empty() { bytes } else { &unpacked };
    let found = members(tar, source).with_context(|| source.to_owned())?;
    ensure!(!found.is_empty(), "{source}: no loader is in this archive");
    Ok(found)
}

fn members(tar: &[u8], source: &str) -> anyhow::Result<Vec<Picked>> {
    let mut found = Found::default();
    let mut tar = tar::Archive::new(tar);
    // Raw: nothing gives the next entry another name or size. Links and long names are passed over.
    for (n, entry) in tar.entries().context("this is no tar file")?.raw(true).enumerate() {
        ensure!(n < MOST, "it has more than {MOST} entries");
        let mut entry = entry.context("the tar file is damaged or cut off")?;
        if entry.header().entry_type() != tar::EntryType::Regular {
            continue;
        }
        let path = String::from_utf8_lossy(&entry.header().path_bytes()).into_owned();
        let mut parts = path.rsplit('/');
        let (file, folder) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if !may_be_loader(file) {
            continue;
        }
        let size = entry.header().entry_size()?;
        ensure!(
            size <= LARGEST,
            "{:?} has {size} bytes; no loader has more than 16 MiB",
            out::one_line(&path)
        );
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).context("the tar file is cut off")?;
        ensure!(bytes.len() as u64 == size, "the tar file is cut off in {:?}", out::one_line(&path));
        found.take(folder, file, bytes, format!("{source}: {}", out::one_line(&path)))?;
    }
    Ok(found.picked)
}

/// Names that are worth a look at the bytes.
fn may_be_loader(file: &str) -> bool {
    [".efi", ".efi.signed", ".kpxe", ".pxe"].iter().any(|ending| file.ends_with(ending))
}

#[derive(Default)]
struct Found {
    picked: Vec<Picked>,
}

impl Found {
    fn take(&mut self, folder: &str, file: &str, bytes: Vec<u8>, source: String) -> anyhow::Result<()> {
        let mut names = picked_shims(folder, file, &bytes);
        names.extend(picked(folder, file, &bytes));
        for name in names {
            match self.picked.iter().find(|picked| picked.name == name) {
                // Two names of one file.
                Some(there) if there.bytes == bytes => {}
                Some(there) => bail!(
                    "two files would be {name}: {} and {source}; name the one that you want",
                    there.source
                ),
                None => self.picked.push(Picked { name, bytes: bytes.clone(), source: source.clone() }),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::cli::firmware::gzip::tests::packed;

    /// The smallest EFI program for this machine type; `more` makes it another one.
    pub(crate) fn pe(machine: u16, more: u8) -> Vec<u8> {
        let mut bytes = vec![0; 0x100];
        bytes[..2].copy_from_slice(b"MZ");
        bytes[0x3c] = 0x80;
        bytes[0x80..0x84].copy_from_slice(b"PE\0\0");
        bytes[0x84..0x86].copy_from_slice(&machine.to_le_bytes());
        bytes[0xff] = more;
        bytes
    }

    pub(crate) const BIOS: &[u8] = b"\xea\x05\0\xc0 a BIOS loader";

    /// A tar file of these. The header takes any name, as that of somebody who means harm does.
    pub(crate) fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, bytes) in files {
            let mut header = tar::Header::new_ustar();
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(tar::EntryType::Regular);
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            builder.append(&header, *bytes).unwrap();
        }
        builder.into_inner().unwrap()
    }

    /// As iPXE's release archive is laid out.
    pub(crate) fn release() -> Vec<u8> {
        tar(&[
            ("ipxeboot/arm64/ipxe.efi", &pe(0xaa64, 1)),
            ("ipxeboot/arm64-sb/ipxe.efi", &pe(0xaa64, 2)),
            ("ipxeboot/arm64-sb/shimaa64.efi", &pe(0xaa64, 3)),
            ("ipxeboot/i386/ipxe.efi", &pe(0x014c, 4)),
            ("ipxeboot/i386/undionly.kpxe", b"\xea another"),
            ("ipxeboot/riscv64/ipxe.efi", &pe(0x5064, 5)),
            ("ipxeboot/x86_64/ipxe.efi", &pe(0x8664, 6)),
            ("ipxeboot/x86_64/ipxe-legacy.efi", &pe(0x8664, 7)),
            ("ipxeboot/x86_64/undionly.kpxe", BIOS),
            ("ipxeboot/x86_64-sb/ipxe.efi", &pe(0x8664, 8)),
            ("ipxeboot/x86_64-sb/shimx64.efi", &pe(0x8664, 9)),
        ])
    }

    fn names(found: &[Picked]) -> Vec<&str> {
        let mut names: Vec<&str> = found.iter().map(|picked| picked.name.as_str()).collect();
        names.sort();
        names
    }

    const RELEASE: [&str; 10] = [
        "ipxe-arm64-sb-shimaa64.efi",
        "ipxe-arm64-sb.efi",
        "ipxe-arm64.efi",
        "ipxe-i386.efi",
        "ipxe-sb-shimx64.efi",
        "ipxe-sb.efi",
        "ipxe.efi",
        "snponly-arm64-sb-shimaa64.efi",
        "snponly-sb-shimx64.efi",
        "undionly.kpxe",
    ];

    #[test]
    fn a_release_archive_packed_or_not() {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in [("a.tar", release()), ("a.tar.gz", packed(&release()))] {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            let found = named(&path).unwrap();
            assert_eq!(names(&found), RELEASE);
            let bios = found.iter().find(|picked| picked.name.as_str() == "undionly.kpxe").unwrap();
            assert_eq!(bios.bytes, BIOS);
            assert!(
                bios.source.ends_with(&format!("{name}: ipxeboot/x86_64/undionly.kpxe")),
                "{}",
                bios.source
            );
        }
    }

    #[test]
    fn names_in_an_archive_lead_nowhere() {
        let x64 = pe(0x8664, 1);
        for name in ["../../../etc/ipxe.efi", "/etc/cron.d/ipxe.efi", "x86_64/\u{1b}[2J/ipxe.efi", "ipxe.efi"]
        {
            let found = archive(&tar(&[(name, &x64)]), "a.tar").unwrap();
            assert_eq!(names(&found), ["ipxe.efi"]);
            assert!(!found[0].source.contains('\u{1b}'));
        }
        for name in ["x86_64/ipxe.efi/", "x86_64/..", "IPXE.EFI", "x86_64/ipxe.efi\u{202e}"] {
            let error = archive(&tar(&[(name, &x64)]), "a.tar").unwrap_err();
            assert_eq!(error.to_string(), "a.tar: no loader is in this archive", "{name}");
        }
    }

    #[test]
    fn links_devices_and_long_names_are_passed_over() {
        let mut builder = tar::Builder::new(Vec::new());
        for kind in
            [tar::EntryType::Symlink, tar::EntryType::Link, tar::EntryType::Char, tar::EntryType::Fifo]
        {
            let mut header = tar::Header::new_ustar();
            header.set_entry_type(kind);
            header.set_size(0);
            header.set_link_name("/etc/shadow").unwrap();
            builder.append_data(&mut header, "x86_64/ipxe.efi", &b""[..]).unwrap();
        }
        let long = format!("{}/x86_64/ipxe.efi", "long/".repeat(60));
        let mut header = tar::Header::new_gnu();
        header.set_size(0x100);
        builder.append_data(&mut header, &long, &pe(0x8664, 1)[..]).unwrap();
        let tar = builder.into_inner().unwrap();
        assert!(archive(&tar, "a.tar").unwrap_err().to_string().contains("no loader"));
    }

    #[test]
    fn archives_that_mean_harm_are_refused() {
        let x64 = pe(0x8664, 1);
        let twice = tar(&[("a/ipxe.efi", &x64), ("b/ipxe.efi", &pe(0x8664, 2))]);
        let many: Vec<(&str, &[u8])> = vec![("x", b""); MOST + 1];
        let mut cut = release();
        cut.truncate(700);
        let mut huge = tar(&[("a/ipxe.efi", &x64)]);
        let mut header = tar::Header::new_ustar();
        header.set_path("a/ipxe.efi").unwrap();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_size(1 << 40);
        header.set_cksum();
        huge[..512].copy_from_slice(header.as_bytes());
        let mut damaged = packed(&release());
        let last = damaged.len() - 5;
        damaged[last] ^= 1;
        for (bytes, why) in [
            (twice, "two files would be ipxe.efi"),
            (tar(&many), "more than 4096 entries"),
            (cut, "cut off"),
            (huge, "no loader has more than 16 MiB"),
            (damaged, "damaged"),
            (vec![7; 1024], "damaged"),
        ] {
            let error = format!("{:#}", archive(&bytes, "a").unwrap_err());
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn folders_as_distributions_have_them() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("ipxe");
        std::fs::create_dir_all(root.join("arm64-efi/deeper")).unwrap();
        let put = |name: &str, bytes: &[u8]| std::fs::write(root.join(name), bytes).unwrap();
        put("undionly.kpxe", BIOS);
        put("ipxe-amd64.efi", &pe(0x8664, 1));
        put("ipxe.iso", b"an image");
        put("arm64-efi/snponly.efi", &pe(0xaa64, 1));
        put("arm64-efi/deeper/ipxe.efi", &pe(0x8664, 9));
        std::os::unix::fs::symlink("ipxe-amd64.efi", root.join("ipxe.efi")).unwrap();
        std::os::unix::fs::symlink("/nowhere", root.join("snponly.efi")).unwrap();
        assert_eq!(names(&folder(&root).unwrap()), ["ipxe.efi", "snponly-arm64.efi", "undionly.kpxe"]);
        assert_eq!(folder(&dir.path().join("none")).unwrap(), []);
        assert!(named(&dir.path().join("none")).is_err());
        assert!(named(&root.join("arm64-efi/deeper/..")).is_ok());
        // What cannot be read does not look empty: a file as a folder, a link to itself.
        let error = format!("{:#}", folder(&root.join("ipxe.iso")).unwrap_err());
        assert!(error.contains("cannot read") && error.contains("ipxe.iso"), "{error}");
        let round = dir.path().join("round");
        std::fs::create_dir(&round).unwrap();
        std::os::unix::fs::symlink("loop", round.join("loop")).unwrap();
        let error = format!("{:#}", folder(&round).unwrap_err());
        assert!(error.contains("round/loop"), "{error}");
        put("ipxe-x86_64.efi", &pe(0x8664, 2));
        assert!(folder(&root).unwrap_err().to_string().contains("two files would be ipxe.efi"));
    }

    #[test]
    fn a_large_folder_is_refused_and_not_cut() {
        let dir = tempfile::tempdir().unwrap();
        let put = |n: usize| std::fs::write(dir.path().join(format!("{n:04}")), b"").unwrap();
        (0..MOST - 1).for_each(put);
        assert_eq!(folder(dir.path()).unwrap(), []);
        put(MOST);
        let error = folder(dir.path()).unwrap_err().to_string();
        assert!(error.contains("4096 entries"), "{error}");
    }

    #[test]
    fn a_file_keeps_its_own_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("own-x64.efi");
        std::fs::write(&path, pe(0x8664, 1)).unwrap();
        let found = named(&path).unwrap();
        assert_eq!((found[0].name.as_str(), &found[0].source), ("own-x64.efi", &path.display().to_string()));
        let path = dir.path().join("Own.efi");
        std::fs::write(&path, b"x").unwrap();
        assert!(format!("{:#}", named(&path).unwrap_err()).contains("copy it to a name"));
    }
}
