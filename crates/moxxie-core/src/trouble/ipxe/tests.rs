use super::*;
use proptest::prelude::*;

fn decoded(text: &str) -> Decoded {
    read(text).unwrap_or_else(|error| panic!("{text}: {error}")).decode()
}

/// The codes that operators meet most, by the masks of the table they were collected in.
#[test]
fn well_known_codes() {
    for (code, want) in [
        (0x040e_e100, "No DHCP answer"),
        (0x2808_6000, "interface that is not open"),
        (0x3e11_6100, "DNS name does not exist"),
        (0x3e11_6200, "No name server"),
        (0x2d12_6100, "not found on the TFTP"),
        (0x3c12_6000, "TFTP server refused"),
        (0x2d0c_6100, "HTTP 404"),
        (0x1d0c_6400, "HTTP 4xx"),
        (0x1d0c_6500, "HTTP 5xx"),
        (0x4c0a_6000, "TCP connection timed out"),
        (0x0216_e400, "expired or not yet valid"),
        (0x410d_e100, "broke off TLS"),
        (0x3c0d_e100, "TLS: cipher"),
        (0x3c0d_e500, "TLS: cipher"),
        (0x3c09_2000, "does not know the URL's protocol"),
        (0x0200_8100, "not trusted"),
        (0x3808_6100, "Link down"),
        (0x2d03_e100, "Nothing to boot"),
        (0x4c12_6000, "TFTP timed out"),
        (0x020c_6100, "HTTP 401"),
        (0x410c_6100, "HTTP 403"),
        (0x1d0c_6200, "Fewer bytes"),
        (0x2e00_8000, "exec format"),
        (0x0216_eb00, "No usable certificate"),
        (0x0216_e600, "root certificate is not trusted"),
        (0x7f04_8100, "refused to load"),
        (0x7f04_8200, "came back with an error"),
        (0x1c12_6100, "block size is invalid"),
    ] {
        // BIOS, UEFI of 32 and of 64 bits, and no platform's number at all.
        for platform in [0x3b, 0x8e, 0x03, 0x00] {
            let decoded = ErrorCode::new(code | platform).unwrap().decode();
            assert!(decoded.title.contains(want), "{code:08x}: {}", decoded.title);
            assert_eq!(decoded.code.masked(), code);
            assert!(decoded.file.is_some());
        }
    }
}

#[test]
fn every_spelling_is_the_same_code() {
    let want = decoded("3e11623b");
    for text in [
        "3E11623B",
        "0x3e11623b",
        "http://ipxe.org/3e11623b",
        "https://ipxe.org/3e11623b).",
        "Could not boot: Error 0x3e11623b (http://ipxe.org/3e11623b)",
        " No DNS servers available (https://ipxe.org/3e11623b)\n",
        "error 3e11623b, try 2 of 3",
    ] {
        assert_eq!(decoded(text), want, "{text}");
    }
    assert_eq!(want.named, Some("No DNS servers available"));
    assert_eq!((want.kind.0, want.code.cause(), want.code.platform()), ("ENXIO", 2, Some(0x3b)));
    let page = decoded("https://ipxe.org/err/3e1162");
    assert_eq!((page.code.platform(), page.title.as_str()), (None, want.title.as_str()));
    assert_eq!((page.code.to_string(), want.code.to_string()), ("3e1162".into(), "3e11623b".into()));
}

/// `${errno}` comes without the zeros in front.
#[test]
fn zeros_that_are_missing() {
    assert_eq!(decoded("0x40ee119"), decoded("040ee119"));
    assert_eq!(
        decoded("Moxxie: could not load linux (error 0x20c613c), try 1 of 3").title,
        "HTTP 401 Unauthorized"
    );
    assert_eq!(decoded("040ee1").title, decoded("040ee119").title);
}

#[test]
fn what_cannot_be_read_says_what_is_missing() {
    for text in ["2c0de", "http://ipxe.org/2c0de", "0x4", "ipxe.org/err/2c0de"] {
        let error = read(text).unwrap_err();
        assert!(matches!(error, Unreadable::Short(_)), "{text}: {error}");
        assert!(error.to_string().contains("all 8 digits"), "{error}");
    }
    assert!(matches!(read("3e11623b00"), Err(Unreadable::Long(_))));
    for text in ["ffffffff", "0x00000000", "5f0c613b", "00c613"] {
        assert!(matches!(read(text), Err(Unreadable::Unknown(_))), "{text}");
    }
    for text in ["", "hello", "ipxe.org/cfg"] {
        assert_eq!(read(text), Err(Unreadable::None), "{text}");
    }
}

#[test]
fn words_and_addresses_are_no_codes() {
    for text in
        ["", "facade", "decade of dead beef", "52:54:00:12:34:56", "20261123", "no 404", "PXE-E53", "µ0x"]
    {
        assert_eq!(find(text), None, "{text}");
    }
    assert!(matches!(find("see ipxe.org/2c0de"), Some(Err(Unreadable::Short(_)))));
}

#[test]
fn what_has_no_advice_is_explained_by_its_parts() {
    let alert = decoded("1c0de202");
    assert_eq!(alert.title, "Invalid Alert record: TLS (https)");
    assert!(alert.cause.contains("EINVAL"), "{}", alert.cause);
    let nobody = ErrorCode::new(0x1dff_e000).unwrap().decode();
    assert_eq!(nobody.file, None);
    assert!(nobody.title.contains("not known here"), "{}", nobody.title);
}

/// Numbers all along errfile.h: a name left out would shift all that follow.
#[test]
fn files_have_the_numbers_of_ipxe() {
    let name = |bits| files::file(bits).unwrap().name;
    for (bits, want) in [
        (0x0009_2000, "open"),
        (0x0035_2000, "efi_disklog"),
        (0x000e_4000, "usbio"),
        (0x0017_4000, "dwuart"),
        (0x0036_4000, "dmfe"),
        (0x0038_4000, "eepro100"),
        (0x0068_4000, "snp"),
        (0x007f_4000, "virtio_pci"),
        (0x00df_4000, "virtio"),
        (0x0008_6000, "netdevice"),
        (0x000c_6000, "httpcore"),
        (0x0012_6000, "tftp"),
        (0x003b_6000, "dhcpv6"),
        (0x004f_6000, "syslogs"),
        (0x0004_8000, "efi_image"),
        (0x000f_8000, "initrd"),
        (0x000d_e000, "tls"),
        (0x0016_e000, "x509"),
        (0x002f_e000, "ocsp"),
        (0x0054_e000, "efi_autoexec"),
        (0x006a_e000, "crypto_null"),
        (0x0081_6000, "undiload"),
        (0x008d_8000, "pxe_call"),
    ] {
        assert_eq!(name(bits), want, "{bits:08x}");
    }
    let mut numbers: Vec<u32> = files::all().map(|(bits, _)| bits).collect();
    assert_eq!(numbers.len(), 454);
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 454, "a number stands twice");
}

#[test]
fn the_tables_hold_together() {
    let mut seen = std::collections::BTreeSet::new();
    for (code, text) in CAUSES {
        assert!(seen.insert(code), "{code:08x} stands twice");
        assert!(code & 0x8000_00ff == 0 && files::file(*code).is_some(), "{code:08x} {text}");
    }
    for (n, row) in advice::ADVICE.iter().enumerate() {
        assert_eq!(row.code & row.bits, row.code, "{:08x}", row.code);
        let first = advice::ADVICE.iter().position(|other| row.code & other.bits == other.code);
        assert_eq!(first, Some(n), "{:08x} is never reached", row.code);
        for text in [row.title, row.cause, row.check, row.fix] {
            assert!(!text.is_empty());
        }
        for id in row.symptoms {
            assert!(crate::trouble::symptom(id).is_some(), "{:08x} names {id}", row.code);
        }
    }
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(text in "\\PC{0,60}", digits in "(0x|ipxe.org/|err/)?[0-9a-fA-F]{0,12}", bits: u32) {
        let _ = (find(&text), read(&text), find(&digits));
        if let Ok(code) = read(&format!("{text} {digits}")) {
            prop_assert!(!code.decode().title.is_empty());
        }
        if let Some(code) = ErrorCode::new(bits) {
            prop_assert_eq!(read(&code.to_string()), Ok(code));
        }
    }
}
