//! Images that lie. Each is refused with one line that says why, or read for what is right in it;
//! none of them makes the reader panic, hang, or take memory by their numbers.

use crate::util::iso::{
    Disc, FOLDER, Kind, MORE, ROOT, SECTOR, ce, cl, image, nm, record, sl, susp, xorriso,
};
use moxxie::iso::{FindError, Index, IsoError, Limits, read, read_within};

fn look(bytes: &[u8]) -> Result<Index, IsoError> {
    let found = read(bytes, bytes.len() as u64);
    if let Err(error) = &found {
        let text = error.to_string();
        let fine =
            text.lines().count() == 1 && text.chars().count() < 250 && !text.contains(char::is_control);
        assert!(fine, "{text:?}");
    }
    found
}

fn paths(index: &Index) -> Vec<&str> {
    index.files().map(|(path, _)| path).collect()
}

/// A root folder of these records, in an image of 60 sectors.
fn root(records: &[Vec<u8>]) -> Result<Index, IsoError> {
    look(&Disc::new(60, records).bytes)
}

fn file(name: &str, sector: u32, length: u32) -> Vec<u8> {
    record(name.to_uppercase().as_bytes(), sector, length, 0, &[nm(name)])
}

#[test]
fn the_hand_made_image_is_an_image() {
    let disc = Disc::new(60, &[file("kernel", 40, 5000), record(b"EMPTY.;1", 0, 0, 0, &[])]);
    let index = look(&disc.bytes).unwrap();
    assert_eq!(index.label, "HANDMADE");
    assert_eq!(paths(&index), ["empty", "kernel"]);
    let kernel = index.find("kernel").unwrap();
    assert_eq!((kernel.size, kernel.extents[0].first, kernel.extents.len()), (5000, 40 * 2048, 1));
    assert!(index.find("empty").unwrap().extents.is_empty());
}

#[test]
fn what_is_no_image_says_so() {
    assert_eq!(look(&[]).unwrap_err(), IsoError::NotIso);
    assert_eq!(look(&[0; 100 * SECTOR]).unwrap_err(), IsoError::NotIso);
    assert_eq!(look(b"#!/bin/sh").unwrap_err(), IsoError::NotIso);
    let mut udf = vec![0; 100 * SECTOR];
    for (number, name) in [b"BEA01", b"NSR03", b"TEA01"].iter().enumerate() {
        udf[(16 + number) * SECTOR + 1..][..5].copy_from_slice(*name);
    }
    assert_eq!(look(&udf).unwrap_err(), IsoError::Udf);
    let endless: Vec<u8> = [&vec![0; 16 * SECTOR][..], &{
        let mut sector = vec![0; SECTOR];
        sector[..6].copy_from_slice(b"\x02CD001");
        sector.repeat(200)
    }]
    .concat();
    assert!(matches!(look(&endless), Err(IsoError::TooMuch(_))));
    let mut headless = Disc::new(60, &[]).bytes;
    headless.copy_within(17 * SECTOR..18 * SECTOR, 16 * SECTOR);
    assert!(matches!(look(&headless), Err(IsoError::Damaged(_))));
}

#[test]
fn names_that_lead_elsewhere_refuse_the_image() {
    let long = "x".repeat(200);
    for bad in ["../x", "/etc/passwd", "..", ".", "a/b", "a\\b", "a\nb", "\u{1b}[2J"] {
        let refused = root(&[record(b"A", 40, 10, 0, &[nm(bad)])]);
        assert!(matches!(refused, Err(IsoError::Name(_))), "{bad:?}: {refused:?}");
    }
    // A name in two pieces is the two together, whatever each of them is.
    let pieces = [susp(b"NM", b"\x01.."), susp(b"NM", b"\0/x")];
    assert!(matches!(root(&[record(b"A", 40, 10, 0, &pieces)]), Err(IsoError::Name(_))));
    let twice = [susp(b"NM", &[b"\x01", &long.as_bytes()[..100]].concat()), nm(&long[..60])];
    assert_eq!(paths(&root(&[record(b"A", 40, 10, 0, &twice)]).unwrap())[0].len(), 160);
    // "This folder" and "the folder above" as the name of a file.
    for flag in [2, 4] {
        let refused = root(&[record(b"A", 40, 10, 0, &[susp(b"NM", &[flag])])]);
        assert!(matches!(refused, Err(IsoError::Name(_))), "{refused:?}");
    }
    // Not text: nobody can ask for it, and the rest is fine.
    let odd = record(b"A", 40, 10, 0, &[susp(b"NM", b"\0\xff\xfe")]);
    assert_eq!(paths(&root(&[odd, file("b", 41, 10)]).unwrap()), ["b"]);
    let two = root(&[file("a", 40, 10), record(b"B", 41, 10, 0, &[nm("a")])]);
    assert!(matches!(two, Err(IsoError::Name(_))), "{two:?}");
}

#[test]
fn extents_lie_inside_of_the_image() {
    for (sector, length) in [(59, 2049), (60, 1), (u32::MAX, 1), (u32::MAX, u32::MAX), (40, u32::MAX)] {
        let refused = root(&[file("a", sector, length)]);
        assert_eq!(refused.unwrap_err(), IsoError::CutOff("a".into()), "{sector} {length}");
        let refused = root(&[record(b"D", sector, length, FOLDER, &[nm("d")])]);
        assert_eq!(refused.unwrap_err(), IsoError::CutOff("/d".into()), "{sector} {length}");
    }
    assert_eq!(root(&[file("a", 59, 2048)]).unwrap().find("a").unwrap().size, 2048);
    // 400 pieces of almost 4 GiB: more than any disk by their numbers.
    let mut huge: Vec<Vec<u8>> = vec![record(b"H", 40, u32::MAX - 2047, MORE, &[]); 400];
    huge.push(record(b"H", 40, u32::MAX - 2047, 0, &[]));
    assert!(matches!(look(&Disc::new(200, &huge).bytes), Err(IsoError::CutOff(_))));
}

#[test]
fn pieces_of_one_file_are_joined_where_they_touch() {
    let piece = |sector, length, flags| record(b"BIG.BIN;1", sector, length, flags, &[nm("big")]);
    let index = root(&[piece(40, 4096, MORE), piece(42, 2048, MORE), piece(43, 7, 0)]).unwrap();
    let big = index.find("big").unwrap();
    assert_eq!((big.size, big.extents.len()), (6151, 1));
    let index = root(&[piece(40, 2048, MORE), piece(45, 7, 0)]).unwrap();
    assert_eq!((index.find("big").unwrap().size, index.find("big").unwrap().extents.len()), (2055, 2));
    assert!(matches!(root(&[piece(40, 2048, MORE)]), Err(IsoError::Damaged(_))), "no last piece");
    let other = root(&[piece(40, 2048, MORE), file("x", 45, 7)]);
    assert!(matches!(other, Err(IsoError::Damaged(_))), "{other:?}");
}

#[test]
fn files_may_be_the_same_but_not_overlap() {
    assert!(root(&[file("a", 40, 5000), file("b", 40, 5000), file("c", 43, 1)]).is_ok(), "hard links");
    for b in [(40, 4999), (41, 5000), (42, 1)] {
        let refused = root(&[file("a", 40, 5000), file("b", b.0, b.1)]);
        assert!(matches!(refused, Err(IsoError::Overlap(..))), "{b:?}: {refused:?}");
    }
    let piece = |flags| record(b"A", 40, 2048, flags, &[]);
    assert!(matches!(root(&[piece(MORE), piece(0)]), Err(IsoError::Overlap(..))), "one with itself");
}

#[test]
fn folders_that_run_in_circles_are_refused() {
    let folder = |name: &str, sector| record(name.as_bytes(), sector, 2048, FOLDER, &[]);
    let own = root(&[folder("LOOP", ROOT)]);
    assert!(matches!(own, Err(IsoError::Circle(_))), "{own:?}");
    let twice = {
        let mut disc = Disc::new(60, &[folder("A", 30), folder("B", 30)]);
        disc.folder(30, ROOT, &[], &[]);
        look(&disc.bytes)
    };
    assert!(matches!(twice, Err(IsoError::Circle(_))), "{twice:?}");
    // A relocated folder that is its own parent, and one that is nowhere.
    let relocated = root(&[record(b"A", 40, 0, 0, &[nm("a"), cl(ROOT)])]);
    assert!(matches!(relocated, Err(IsoError::Circle(_))), "{relocated:?}");
    let nowhere = root(&[record(b"A", 40, 0, 0, &[nm("a"), cl(u32::MAX)])]);
    assert!(matches!(nowhere, Err(IsoError::CutOff(_))), "{nowhere:?}");
    let deep = {
        let mut disc = Disc::new(100, &[folder("D", 30)]);
        for sector in 30..99 {
            disc.folder(sector, sector - 1, &[], &[folder("D", sector + 1)]);
        }
        look(&disc.bytes)
    };
    assert_eq!(deep.unwrap_err(), IsoError::TooMuch("folders inside of each other"));
}

#[test]
fn a_million_files_are_too_many() {
    let limits = Limits::default();
    assert_eq!((limits.entries, limits.depth), (100_000, 32));
    // A million records of 40 bytes, by the length of their folder.
    let folder = record(b"D", 30, 40_000_000, FOLDER, &[]);
    assert_eq!(look(&Disc::new(20_000, &[folder]).bytes).unwrap_err(), IsoError::TooMuch("bytes of folders"));
    let names: Vec<Vec<u8>> = (0..101).map(|n| file(&format!("file-{n:03}"), 0, 0)).collect();
    let disc = Disc::new(60, &names);
    let within = |limits| read_within(disc.bytes.as_slice(), disc.bytes.len() as u64, limits).map(|_| ());
    assert_eq!(within(Limits { entries: 101, paths: 808, ..limits }), Ok(()));
    assert_eq!(within(Limits { entries: 100, ..limits }), Err(IsoError::TooMuch("files")));
    assert_eq!(within(Limits { paths: 807, ..limits }), Err(IsoError::TooMuch("bytes of paths")));
    assert_eq!(within(Limits { folders: 2048, ..limits }), Err(IsoError::TooMuch("bytes of folders")));
}

#[test]
fn system_use_areas_elsewhere_are_read_within_bounds() {
    let mut disc = Disc::new(60, &[record(b"A", 40, 10, 0, &[ce(50, 100, 13)])]);
    disc.put(50, &[&[0; 100][..], &nm("far-away")].concat());
    assert_eq!(paths(&look(&disc.bytes).unwrap()), ["far-away"]);
    let mut own = Disc::new(60, &[record(b"A", 40, 10, 0, &[ce(50, 0, 28)])]);
    own.put(50, &ce(50, 0, 28));
    assert_eq!(paths(&look(&own.bytes).unwrap()), ["a"], "a chain that leads to itself ends");
    for bad in [ce(u32::MAX, 0, 100), ce(50, u32::MAX, 100), ce(59, 2000, 100)] {
        let refused = root(&[record(b"A", 40, 10, 0, &[bad])]);
        assert!(matches!(refused, Err(IsoError::CutOff(_))), "{refused:?}");
    }
    // A mebibyte of names for one file, sixteen times.
    let mut disc = Disc::new(700, &[record(b"A", 40, 10, 0, &[ce(100, 0, 1024 * 1024)])]);
    let filler = [susp(b"ZZ", &[]).repeat(SECTOR / 4)].concat();
    for sector in 100..600 {
        disc.put(sector, &filler);
    }
    assert_eq!(look(&disc.bytes).unwrap_err(), IsoError::TooMuch("bytes of names for one file"));
}

#[test]
fn relocated_folders_are_where_they_belong() {
    let moved = record(b"MOVED", 30, 2048, FOLDER, &[nm("moved"), susp(b"RE", &[])]);
    let mut disc = Disc::new(60, &[record(b"DEEP", 40, 0, 0, &[nm("deep"), cl(30)]), moved]);
    disc.folder(30, ROOT, &[], &[file("kernel", 41, 10)]);
    let index = look(&disc.bytes).unwrap();
    assert_eq!(paths(&index), ["deep/kernel"]);
}

#[test]
fn links_stay_inside() {
    let link = |name: &str, to: &str| record(name.to_uppercase().as_bytes(), 0, 0, 0, &[nm(name), sl(to)]);
    let mut disc = Disc::new(
        60,
        &[
            file("kernel", 40, 10),
            record(b"DIR", 30, 2048, FOLDER, &[nm("dir")]),
            link("good", "kernel"),
            link("here", "./dir/../kernel"),
            link("self", "."),
            link("away", "../../etc/passwd"),
            link("root", "/kernel"),
            link("loop", "loop"),
            link("gone", "nothing"),
            link("to-dir", "dir"),
        ],
    );
    disc.folder(30, ROOT, &[], &[file("deep", 41, 10), link("up", "../kernel"), link("out", "../../kernel")]);
    let index = look(&disc.bytes).unwrap();
    assert_eq!(paths(&index), ["dir/deep", "kernel"], "links are no files");
    for good in ["kernel", "good", "here", "self/kernel", "self/self/kernel", "dir/up", "self/dir/up"] {
        assert_eq!(index.find(good).unwrap().extents[0].first, 40 * 2048, "{good}");
    }
    assert_eq!(index.find("to-dir/deep").unwrap().extents[0].first, 41 * 2048);
    for bad in
        ["away", "root", "loop", "gone", "dir/out", "self/self/self/self/self/self/self/self/self/kernel"]
    {
        assert_eq!(index.find(bad), Err(FindError::Link), "{bad}");
    }
    for bad in
        ["", "/kernel", "kernel/", "dir/../kernel", "./kernel", "self/../kernel", "KERNEL", "x", "kernel/x"]
    {
        assert_eq!(index.find(bad), Err(FindError::Missing), "{bad}");
    }
    for folder in ["dir", "to-dir", "self"] {
        assert_eq!(index.find(folder), Err(FindError::Folder), "{folder}");
    }
}

#[test]
fn rock_ridge_wins_over_joliet() {
    let files: &[(&str, &[u8])] = &[("casper/vmlinuz", b"kernel"), ("casper/A long name.img", b"initrd")];
    let Some(mut bytes) = image("BOTH", Kind::Both, files) else { return };
    let wide = |text: &str| text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<u8>>();
    // Another name in the Joliet tree alone.
    let (name, other) = (wide("vmlinuz"), wide("evil../"));
    let at = bytes.windows(name.len()).position(|window| window == name).expect("a Joliet name");
    bytes[at..at + name.len()].copy_from_slice(&other);
    let index = look(&bytes).unwrap();
    assert_eq!(paths(&index), ["casper/A long name.img", "casper/vmlinuz"]);
    // Without Rock Ridge the Joliet tree is the one, and its name is refused.
    let rrip = b"RRIP_1991A";
    let at = bytes.windows(rrip.len()).position(|window| window == rrip).expect("Rock Ridge");
    bytes[at] = b'X';
    assert!(matches!(look(&bytes), Err(IsoError::Name(_))));
}

#[test]
fn truncated_images_are_refused() {
    let files: &[(&str, &[u8])] = &[("boot/vmlinuz", &[7; 30_000]), ("boot/initrd", &[8; 50_000])];
    let Some(bytes) = image("CUT", Kind::Both, files) else { return };
    let index = look(&bytes).unwrap();
    let last = index.files().flat_map(|(_, member)| &*member.extents).map(|e| e.first + e.length).max();
    let last = usize::try_from(last.unwrap()).unwrap();
    for length in (0..last).step_by(509).chain([last - 1]) {
        let refused = look(&bytes[..length]);
        assert!(matches!(refused, Err(IsoError::NotIso | IsoError::CutOff(_))), "{length}: {refused:?}");
    }
    assert!(look(&bytes[..last]).is_ok());
}

/// A small generator: the same mutants every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % below
    }
}

/// Reads so many mutants of an image with names of this kind.
fn mutants(kind: Kind, seed: u64, number: usize) {
    let tree = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(tree.path().join("casper/deep/er")).unwrap();
    std::fs::write(tree.path().join("casper/vmlinuz"), b"kernel").unwrap();
    std::fs::write(tree.path().join(format!("casper/{}", "long".repeat(60))), b"initrd").unwrap();
    std::fs::write(tree.path().join("casper/deep/er/x"), b"x").unwrap();
    std::os::unix::fs::symlink("../vmlinuz", tree.path().join("casper/deep/link")).unwrap();
    let Some(mut bytes) = xorriso("FUZZ", kind, tree.path()) else { return };
    assert!(look(&bytes).is_ok());
    // The bytes that mean something.
    let meaning: Vec<usize> = (16 * SECTOR..bytes.len()).filter(|at| bytes[*at] != 0).collect();
    let (mut dice, mut fine) = (Dice(seed), 0);
    for _ in 0..number {
        let mut undo = vec![];
        for _ in 0..1 + dice.roll(3) {
            // Beside what means something, as often as on it.
            let at = (meaning[dice.roll(meaning.len())] + dice.roll(3)).min(bytes.len() - 1);
            undo.push((at, bytes[at]));
            bytes[at] = match dice.roll(5) {
                0 => 0,
                1 => 0xff,
                2 => bytes[at] ^ (1 << dice.roll(8)),
                3 => bytes[at].wrapping_add(1),
                _ => dice.roll(256) as u8,
            };
        }
        if let Ok(index) = look(&bytes) {
            fine += 1;
            for (path, member) in index.files() {
                assert!(index.find(path).is_ok(), "{path}");
                let end = member.extents.iter().map(|e| e.first + e.length).max().unwrap_or(0);
                assert!(end <= bytes.len() as u64 && !path.split('/').any(|part| part == ".."), "{path}");
            }
        }
        for (at, byte) in undo.into_iter().rev() {
            bytes[at] = byte;
        }
    }
    assert!((number / 20..number).contains(&fine), "most mutants are refused at the door, or none: {fine}");
}

// Twenty thousand in all, in parts that run side by side.
#[test]
fn mutants_of_rock_ridge_neither_panic_nor_hang() {
    mutants(Kind::RockRidge, 1, 6_000);
}

#[test]
fn more_mutants_of_rock_ridge_neither_panic_nor_hang() {
    mutants(Kind::RockRidge, 2, 6_000);
}

#[test]
fn mutants_of_joliet_neither_panic_nor_hang() {
    mutants(Kind::Joliet, 3, 8_000);
}
