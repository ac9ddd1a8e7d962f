//! ISO images: honest ones by xorriso, hostile ones by hand.

use std::path::Path;

/// Bytes of a sector.
pub const SECTOR: usize = 2048;

/// The names that an image gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    RockRidge,
    Joliet,
    Both,
    /// Capital letters of this interchange level.
    Plain(u8),
}

/// An image of these files, made by xorriso. `None` when the environment says
/// `MOXXIE_TEST_SKIP_XORRISO=1`.
pub fn image(label: &str, kind: Kind, files: &[(&str, &[u8])]) -> Option<Vec<u8>> {
    let tree = tempfile::tempdir().unwrap();
    for (path, bytes) in files {
        let path = tree.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    xorriso(label, kind, tree.path())
}

/// An image of this folder.
#[allow(clippy::disallowed_methods, reason = "a test may start programs")]
pub fn xorriso(label: &str, kind: Kind, tree: &Path) -> Option<Vec<u8>> {
    if std::env::var_os("MOXXIE_TEST_SKIP_XORRISO").is_some_and(|v| v == "1") {
        return None;
    }
    let level = |level: u8| vec!["--norock".to_owned(), "-iso-level".to_owned(), level.to_string()];
    let names = match kind {
        Kind::RockRidge => vec!["-R".to_owned()],
        Kind::Joliet => vec!["--norock".to_owned(), "-J".to_owned()],
        Kind::Both => vec!["-R".to_owned(), "-J".to_owned()],
        Kind::Plain(number) => level(number),
    };
    let out = tempfile::tempdir().unwrap();
    let file = out.path().join("image.iso");
    let made = std::process::Command::new("xorriso")
        .args(["-no_rc", "-as", "mkisofs", "-quiet", "-no-pad", "-V", label])
        .args(names)
        .arg("-o")
        .args([&file, tree])
        .output();
    let made = made
        .expect("tests need xorriso (Debian package xorriso); set MOXXIE_TEST_SKIP_XORRISO=1 to do without");
    assert!(made.status.success(), "xorriso: {}", String::from_utf8_lossy(&made.stderr));
    Some(std::fs::read(file).unwrap())
}

/// Both byte orders, as the standard wants most numbers.
fn both32(n: u32) -> Vec<u8> {
    [n.to_le_bytes(), n.to_be_bytes()].concat()
}

fn both16(n: u16) -> Vec<u8> {
    [n.to_le_bytes(), n.to_be_bytes()].concat()
}

/// Flags of a record.
pub const FOLDER: u8 = 2;
/// More extents of the same file follow.
pub const MORE: u8 = 0x80;

/// A record of a folder (ECMA-119, 9.1) with these SUSP entries.
pub fn record(name: &[u8], sector: u32, length: u32, flags: u8, susp: &[Vec<u8>]) -> Vec<u8> {
    let mut record = vec![0, 0];
    record.extend(both32(sector));
    record.extend(both32(length));
    record.extend([126, 3, 1, 12, 0, 0, 0, flags, 0, 0]);
    record.extend(both16(1));
    record.push(name.len() as u8);
    record.extend(name);
    if name.len().is_multiple_of(2) {
        record.push(0);
    }
    record.extend(susp.concat());
    if !record.len().is_multiple_of(2) {
        record.push(0);
    }
    record[0] = u8::try_from(record.len()).expect("a record has at most 255 bytes");
    record
}

/// A SUSP entry.
pub fn susp(sign: &[u8; 2], data: &[u8]) -> Vec<u8> {
    let mut entry = sign.to_vec();
    entry.extend([4 + data.len() as u8, 1]);
    entry.extend(data);
    entry
}

/// A Rock Ridge name.
pub fn nm(name: &str) -> Vec<u8> {
    susp(b"NM", &[&[0], name.as_bytes()].concat())
}

/// A symbolic link, of at most some 200 bytes.
pub fn sl(target: &str) -> Vec<u8> {
    let mut data = vec![0];
    for part in target.split('/') {
        let (flags, text) = match part {
            "" => (8, ""),
            "." => (2, ""),
            ".." => (4, ""),
            text => (0, text),
        };
        data.extend([flags, text.len() as u8]);
        data.extend(text.as_bytes());
    }
    susp(b"SL", &data)
}

/// The rest of an entry's SUSP area elsewhere.
pub fn ce(sector: u32, offset: u32, length: u32) -> Vec<u8> {
    susp(b"CE", &[both32(sector), both32(offset), both32(length)].concat())
}

/// A relocated folder.
pub fn cl(sector: u32) -> Vec<u8> {
    susp(b"CL", &both32(sector))
}

/// Where the root folder of a [`Disc`] begins.
pub const ROOT: u32 = 20;

/// An image made by hand: nothing in it is checked.
pub struct Disc {
    pub bytes: Vec<u8>,
}

impl Disc {
    /// So many sectors, with this root folder; Rock Ridge on.
    pub fn new(sectors: usize, root: &[Vec<u8>]) -> Disc {
        let mut disc = Disc { bytes: vec![0; sectors * SECTOR] };
        let sp = susp(b"SP", &[0xbe, 0xef, 0]);
        let er = susp(b"ER", b"\x0a\0\0\x01RRIP_1991A");
        let length = disc.folder(ROOT, ROOT, &[sp, er], root);
        let mut pvd = vec![1];
        pvd.extend(b"CD001\x01\0");
        pvd.extend([b' '; 32]);
        pvd.extend(format!("{:<32}", "HANDMADE").bytes());
        pvd.extend([0; 8]);
        pvd.extend(both32(sectors as u32));
        pvd.extend([0; 32]);
        pvd.extend([both16(1), both16(1), both16(SECTOR as u16)].concat());
        pvd.extend(both32(10));
        pvd.extend(18_u32.to_le_bytes());
        pvd.extend([0; 4]);
        pvd.extend(19_u32.to_be_bytes());
        pvd.extend([0; 4]);
        pvd.extend(record(&[0], ROOT, length, FOLDER, &[]));
        pvd.resize(881, b' ');
        pvd.push(1);
        disc.put(16, &pvd);
        disc.put(17, b"\xffCD001\x01");
        disc.put(18, &[&[1, 0][..], &ROOT.to_le_bytes(), &[1, 0, 0, 0]].concat());
        disc.put(19, &[&[1, 0][..], &ROOT.to_be_bytes(), &[0, 1, 0, 0]].concat());
        disc
    }

    /// Writes bytes at a sector.
    pub fn put(&mut self, sector: u32, bytes: &[u8]) {
        let at = sector as usize * SECTOR;
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Writes a folder; its length.
    pub fn folder(&mut self, sector: u32, parent: u32, dot: &[Vec<u8>], records: &[Vec<u8>]) -> u32 {
        let mut text: Vec<u8> = Vec::new();
        // Its own length is written when it is known.
        let own = record(&[0], sector, 0, FOLDER, dot);
        for record in [own, record(&[1], parent, SECTOR as u32, FOLDER, &[])].iter().chain(records) {
            // No record crosses a sector's end.
            if text.len() % SECTOR + record.len() > SECTOR {
                text.resize(text.len().next_multiple_of(SECTOR), 0);
            }
            text.extend(record);
        }
        text.resize(text.len().next_multiple_of(SECTOR), 0);
        let length = text.len() as u32;
        text[10..18].copy_from_slice(&both32(length));
        self.put(sector, &text);
        length
    }
}
