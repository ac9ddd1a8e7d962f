//! Whether the file or URL is one that this client can load.

use super::{by_use, found};
use crate::dhcp::clients::{Kind, Machine};
use crate::dhcp::code;
use crate::dhcp::offer::{Load, Offer};
use crate::dhcp::verdict::{Case, Finding, Seen, Severity};

/// Characters that shells of switches, iPXE or firmware read as something else.
const BREAKS: &[char] = &['?', '$', '&', '{', '}', '"', '\'', '\\'];
/// What fits into `file` beside its NUL (RFC 2131); longer names are cut by servers and clients.
const LONGEST: usize = 127;

pub(super) fn ipxe_loop(case: &Case) -> Option<Finding> {
    let (offer, load) = case.load.as_ref()?;
    let client = case.seen.client;
    if client.kind != Kind::Ipxe || case.embedded {
        return None;
    }
    let name = load.name.to_ascii_lowercase();
    let is_loader =
        Form::of(&name) != Form::Other && ["ipxe", "undionly", "snponly"].iter().any(|w| name.contains(w));
    let is_first_stage = |seen: &Seen| {
        matches!(seen.client.kind, Kind::Bios | Kind::Uefi)
            && seen.client.arch == client.arch
            && seen.load().is_some_and(|first| first.name == load.name && !first.is_url())
    };
    if !is_loader && !case.all.iter().any(is_first_stage) {
        return None;
    }
    let other = offer.text_in(code::BOOT_FILE).filter(|other| load.field == "file" && *other != load.name);
    let why = match other {
        Some(other) => format!(": iPXE reads the header's file before option 67 ({other})"),
        None => String::new(),
    };
    found(
        case,
        Severity::Error,
        "ipxe-loop",
        format!("iPXE is told to load {} again, for ever{why}", load.name),
        "match user class iPXE before the architectures and give it the URL of Moxxie's menu, in one field only; where iPXE brings its script along, ask with --embedded",
    )
}

pub(super) fn wrong_scheme(case: &Case) -> Option<Finding> {
    let (_, load) = case.load.as_ref()?;
    match (case.seen.client.kind, load.is_url()) {
        (Kind::Bios | Kind::Uefi, true) => found(
            case,
            Severity::Error,
            "pxe-given-url",
            format!("PXE firmware is told {}, and can only TFTP", load.name),
            "give it the loader's file name; URLs are for iPXE and for UEFI HTTP boot",
        ),
        (Kind::Http, false) => found(
            case,
            Severity::Error,
            "http-given-file",
            format!("UEFI HTTP boot is told {}, which is no URL", load.name),
            "give architectures 16 and 19 a URL: http://HOST:PORT/boot/firmware/ipxe.efi",
        ),
        _ => None,
    }
}

/// What a file is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// A program for a BIOS.
    Bios,
    /// A program for UEFI.
    Efi,
    Other,
}

impl Form {
    fn of(name: &str) -> Form {
        let name = name.to_ascii_lowercase();
        let ends = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
        if ends(&[".kpxe", ".kkpxe", ".kkkpxe", ".pxe", ".0"]) {
            Form::Bios
        } else if ends(&[".efi"]) {
            Form::Efi
        } else {
            Form::Other
        }
    }
}

/// The machine that a file says it is for.
fn machine_in(name: &str) -> Option<Machine> {
    let file = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| file.contains(word));
    if says(&["arm64", "aa64", "aarch64"]) {
        Some(Machine::Arm64)
    } else if says(&["x86_64", "x64", "amd64"]) {
        Some(Machine::X64)
    } else {
        says(&["i386", "ia32"]).then_some(Machine::X86)
    }
}

pub(super) fn wrong_kind(case: &Case) -> Option<Finding> {
    let (_, load) = case.load.as_ref()?;
    let client = case.seen.client;
    let machine = client.machine()?;
    // Which script iPXE gets does not depend on what it runs on.
    if client.kind == Kind::Ipxe {
        return None;
    }
    let wrong = |what: &str| {
        let next = match machine {
            Machine::Bios => "give architecture 0 undionly.kpxe".to_owned(),
            Machine::X86 => "give architecture 6 ipxe-i386.efi".to_owned(),
            Machine::X64 => format!("give architecture {} ipxe.efi", client.arch),
            Machine::Arm64 => format!("give architecture {} ipxe-arm64.efi", client.arch),
        };
        found(case, Severity::Error, "wrong-file", format!("{} is {what}", load.name), next)
    };
    match (machine, Form::of(&load.name)) {
        (Machine::Bios, Form::Efi) => return wrong("for UEFI, and this is a BIOS (PXE-E79 on its screen)"),
        (Machine::X86 | Machine::X64 | Machine::Arm64, Form::Bios) => {
            return wrong("for BIOS, and this is UEFI, which goes back to its menu without a word");
        }
        _ => {}
    }
    match machine_in(&load.name) {
        Some(for_machine) if for_machine != machine && Form::of(&load.name) == Form::Efi => {
            wrong("for another processor than this one")
        }
        _ => None,
    }
}

pub(super) fn same_file(case: &Case) -> Option<Finding> {
    let (_, load) = case.load.as_ref()?;
    let client = case.seen.client;
    let machine = client.machine();
    let is_other =
        matches!(machine, Some(Machine::X86 | Machine::Arm64)) && machine_in(&load.name) != machine;
    if !is_other
        || client.kind == Kind::Ipxe
        || wrong_kind(case).is_some()
        || Form::of(&load.name) != Form::Efi
    {
        return None;
    }
    let has_it = |seen: &Seen| {
        seen.client.kind == client.kind
            && seen.client.machine() == Some(Machine::X64)
            && seen.load().is_some_and(|theirs| theirs.name == load.name)
    };
    let next = match machine {
        Some(Machine::X86) => "give architecture 6 ipxe-i386.efi".to_owned(),
        _ => format!("give architecture {} ipxe-arm64.efi", client.arch),
    };
    case.all.iter().any(has_it).then_some(())?;
    found(
        case,
        by_use(client),
        "wrong-file",
        format!("{} also goes to x64: one EFI program runs on one kind of processor", load.name),
        next,
    )
}

pub(super) fn no_next_server(case: &Case) -> Option<Finding> {
    let (offer, load) = case.load.as_ref()?;
    let has_one = !offer.next_server.is_unspecified() || offer.boot_server().is_some();
    if load.is_url() || has_one || case.seen.client.kind == Kind::Http {
        return None;
    }
    let hint = match offer.text_in(code::TFTP_SERVER) {
        Some(name) => format!(" (option 66 says {name}, which this client does not read)"),
        None => String::new(),
    };
    let next = "set the next server (siaddr) to the TFTP server's address";
    match load.server {
        Some(server) => found(
            case,
            Severity::Warning,
            "no-next-server",
            format!("a file, but no next server{hint}: this client asks the DHCP server itself, {server}"),
            next,
        ),
        None => {
            found(case, Severity::Error, "no-next-server", format!("a file, but no next server{hint}"), next)
        }
    }
}

pub(super) fn bad_name(case: &Case) -> Option<Finding> {
    let (_, Load { name, field, .. }) = case.load.as_ref()?;
    let breaks = |c: char| BREAKS.contains(&c) || !c.is_ascii_graphic();
    if name.len() > LONGEST {
        return found(
            case,
            Severity::Error,
            "name-too-long",
            format!("the name in {field} has {} bytes, more than {LONGEST}: {name}", name.len()),
            "use a shorter one; parameters belong into a script",
        );
    }
    if name.len() == LONGEST && *field == "file" {
        return found(
            case,
            Severity::Error,
            "name-too-long",
            format!("the name fills the header's file to the last byte and is probably cut: {name}"),
            "use a shorter one; parameters belong into a script",
        );
    }
    if name.ends_with('\u{fffd}') {
        return found(
            case,
            Severity::Error,
            "name-trailing-byte",
            format!("the name in {field} ends with a byte that is no text: {name}"),
            "end option 67 with a zero byte, as a hex value",
        );
    }
    let c = name.chars().find(|&c| breaks(c))?;
    found(
        case,
        Severity::Warning,
        "name-characters",
        format!(
            "the name in {field} has {c:?}, which firmware or the switch may read as something else: {name}"
        ),
        "use letters, digits and . - _ / : only; parameters belong into a script",
    )
}

pub(super) fn two_names(case: &Case) -> Option<Finding> {
    let (offer, load) = case.load.as_ref()?;
    let (header, option) = (&offer.file, offer.text_in(code::BOOT_FILE)?);
    if header.is_empty() || *header == option || ipxe_loop(case).is_some() {
        return None;
    }
    found(
        case,
        Severity::Warning,
        "two-names",
        format!("the header's file says {header}, option 67 says {option}: this client takes {}", load.name),
        "name the file in one field only: iPXE reads the header first, UEFI option 67",
    )
}

pub(super) fn plain_file(case: &Case) -> Option<Finding> {
    if case.seen.client.kind != Kind::Plain {
        return None;
    }
    let name = |offer: &Offer| offer.text_in(code::BOOT_FILE).unwrap_or_else(|| offer.file.clone());
    let name = case.seen.offers.iter().map(name).find(|name| name.contains("://"))?;
    found(
        case,
        Severity::Warning,
        "plain-given-url",
        format!(
            "clients that boot nothing are told {name}: Debian's installer would run it as a preseed file"
        ),
        "give the URL to user class iPXE and to HTTPClient only",
    )
}
