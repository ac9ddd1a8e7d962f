//! The rules of the verdict: each looks at one client's answers and finds one thing, or nothing.

use super::clients::{Client, Kind, Machine};
use super::code;
use super::offer::{Load, Offer, Role, loads};
use super::verdict::{Case, Finding, Seen, Severity};
use std::net::Ipv4Addr;

/// A rule.
pub(super) type Rule = fn(&Case) -> Option<Finding>;

/// All of them, in the order of reports.
pub(super) const RULES: &[Rule] = &[
    silent,
    proxy_only,
    two_servers,
    class_without_server,
    http_without_class,
    no_file,
    ipxe_loop,
    wrong_scheme,
    wrong_kind,
    same_file,
    no_next_server,
    bad_name,
    two_names,
    plain_file,
];

/// Characters that shells of switches, iPXE or firmware read as something else.
const BREAKS: &[char] = &['?', '$', '&', '{', '}', '"', '\'', '\\'];
/// What fits into `file` beside its NUL (RFC 2131); longer names are cut by servers and clients.
const LONGEST: usize = 127;

fn found(
    case: &Case,
    severity: Severity,
    symptom: &'static str,
    cause: impl Into<String>,
    next: impl Into<String>,
) -> Option<Finding> {
    let clients = vec![case.seen.client.name];
    Some(Finding { severity, symptom, clients, cause: cause.into(), next: next.into() })
}

/// An error for what every site has, a warning for what it may not have.
fn by_use(client: &Client) -> Severity {
    if client.is_common() { Severity::Error } else { Severity::Warning }
}

fn list(servers: &[Ipv4Addr]) -> String {
    servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
}

fn silent(case: &Case) -> Option<Finding> {
    if !case.seen.offers.is_empty() {
        return None;
    }
    if case.all.iter().all(|seen| seen.offers.is_empty()) {
        return found(
            case,
            Severity::Error,
            "pxe-e51",
            "no DHCP server answers on this network",
            "check that the server runs, that this is its VLAN, the relay or DHCP snooping in between, a free address in the pool, and this host's own firewall; some servers ping an address first: try --seconds 10",
        );
    }
    found(
        case,
        by_use(case.seen.client),
        "pxe-e51",
        "servers answer other clients, but not this one",
        "look for a rule that denies or ignores it, and for a pool that is full",
    )
}

fn proxy_only(case: &Case) -> Option<Finding> {
    let is_alone = case.seen.in_role(Role::Dhcp).next().is_none() && !case.seen.offers.is_empty();
    if !is_alone {
        return None;
    }
    let cause =
        format!("only a proxyDHCP server answers ({}): nobody offers an address", list(&case.seen.servers()));
    found(
        case,
        Severity::Error,
        "pxe-e52",
        cause,
        "start the DHCP server that gives addresses, or check its pool",
    )
}

/// Whether what this client loads depends on who answers first.
fn servers_differ(seen: &Seen) -> bool {
    let mut loads = seen.in_role(Role::Dhcp).map(|offer| loads(seen.client, offer));
    let first = loads.next();
    loads.any(|load| Some(load) != first)
}

fn two_servers(case: &Case) -> Option<Finding> {
    let mut offers: Vec<&Offer> = case.seen.in_role(Role::Dhcp).collect();
    offers.sort_by_key(|offer| offer.server());
    offers.dedup_by_key(|offer| offer.server());
    if offers.len() < 2 {
        return None;
    }
    let servers: Vec<_> = offers.iter().map(|offer| offer.server()).collect();
    let cause = format!("two DHCP servers answer: {}", list(&servers));
    if !case.all.iter().any(servers_differ) {
        return found(
            case,
            Severity::Warning,
            "two-servers",
            format!("{cause}; they say the same"),
            "well if they are a failover pair with pools that do not overlap; else turn one off",
        );
    }
    found(
        case,
        Severity::Error,
        "two-servers",
        format!("{cause}; they name different boot files, and the faster one wins"),
        "turn one off, or take the boot options from all but one",
    )
}

fn class_without_server(case: &Case) -> Option<Finding> {
    let is_unanswered = !case.seen.asked.is_empty() && case.seen.in_role(Role::Boot).next().is_none();
    if !is_unanswered || case.load.is_some() {
        return None;
    }
    let servers = list(&case.seen.asked);
    found(
        case,
        Severity::Error,
        "pxe-e55",
        format!(
            "option 60 says PXEClient, so this client asks {servers} on port 4011, and nobody answers there"
        ),
        "take option 60 from a DHCP server that is no PXE server; else open port 4011/udp",
    )
}

fn http_without_class(case: &Case) -> Option<Finding> {
    let is_http = case.seen.client.kind == Kind::Http;
    let named = |offer: &&Offer| {
        let name = offer.text_in(code::BOOT_FILE).unwrap_or_else(|| offer.file.clone());
        name.contains("://") && !offer.has_class("HTTPClient")
    };
    let offer = case.seen.offers.iter().find(named)?;
    if !is_http {
        return None;
    }
    found(
        case,
        Severity::Error,
        "http-no-class",
        format!(
            "{} gives a URL, but no option 60 that begins with HTTPClient: UEFI ignores it",
            offer.server()
        ),
        "send option 60 HTTPClient to architectures 16 and 19, forced, as it may not be in the client's list",
    )
}

fn no_file(case: &Case) -> Option<Finding> {
    let client = case.seen.client;
    let answered = case.seen.in_role(Role::Dhcp).next().is_some();
    let explained = !case.seen.asked.is_empty() && case.seen.in_role(Role::Boot).next().is_none();
    if case.load.is_some() || !answered || explained || http_without_class(case).is_some() {
        return None;
    }
    match client.kind {
        Kind::Plain => None,
        Kind::Ipxe if case.embedded => None,
        Kind::Ipxe => found(
            case,
            by_use(client),
            "ipxe-nothing-to-boot",
            "iPXE is told no script",
            "give clients with user class iPXE the URL of Moxxie's menu; where iPXE brings its script along, ask with --embedded",
        ),
        Kind::Http => found(
            case,
            Severity::Warning,
            "http-no-file",
            "no rule for UEFI HTTP boot: firmware goes on to the next entry of its boot order",
            "add architectures 16 and 19 with a URL and option 60 HTTPClient, or turn HTTP boot off in the firmware",
        ),
        Kind::Bios | Kind::Uefi => found(
            case,
            by_use(client),
            "pxe-e53",
            "no boot file for this architecture",
            "add a rule for it (option 93: x86 6, x64 7 and 9, arm64 11, BIOS 0); where there is one, force option 67, as the client may not ask for it",
        ),
    }
}

fn ipxe_loop(case: &Case) -> Option<Finding> {
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

fn wrong_scheme(case: &Case) -> Option<Finding> {
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

fn wrong_kind(case: &Case) -> Option<Finding> {
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

fn same_file(case: &Case) -> Option<Finding> {
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

fn no_next_server(case: &Case) -> Option<Finding> {
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

fn bad_name(case: &Case) -> Option<Finding> {
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

fn two_names(case: &Case) -> Option<Finding> {
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

fn plain_file(case: &Case) -> Option<Finding> {
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
