//! Who answers, and whether the answer is one for this client.

use super::{by_use, found, list};
use crate::dhcp::clients::Kind;
use crate::dhcp::code;
use crate::dhcp::offer::{Offer, Role, loads};
use crate::dhcp::verdict::{Case, Finding, Seen, Severity};
use std::net::Ipv4Addr;

pub(super) fn silent(case: &Case) -> Option<Finding> {
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
        "ask longer: a server that pings an address first serves one client after the other (--seconds 40); then look for a rule that denies or ignores it, and for a pool that is full",
    )
}

pub(super) fn proxy_only(case: &Case) -> Option<Finding> {
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

pub(super) fn two_servers(case: &Case) -> Option<Finding> {
    let mut offers: Vec<&Offer> = case.seen.in_role(Role::Dhcp).collect();
    offers.sort_by_key(|offer| offer.server());
    offers.dedup_by_key(|offer| offer.server());
    if offers.len() < 2 {
        return None;
    }
    let servers: Vec<_> = offers.iter().map(|offer| offer.server()).collect();
    let many = if servers.len() == 2 { "two".to_owned() } else { servers.len().to_string() };
    let cause = format!("{many} DHCP servers answer: {}", list(&servers));
    // Who was too slow for the others would have told them something, too.
    let heard_by_all = |server: &Ipv4Addr| {
        case.all.iter().all(|seen| seen.in_role(Role::Dhcp).any(|offer| offer.server() == *server))
    };
    let slow: Vec<Ipv4Addr> = servers.iter().copied().filter(|server| !heard_by_all(server)).collect();
    if !case.all.iter().any(servers_differ) && !slow.is_empty() {
        return found(
            case,
            Severity::Error,
            "two-servers",
            format!(
                "{cause}; {} did not answer every client in time, so what the others get of it is not known",
                list(&slow)
            ),
            "ask longer (--seconds 40), or turn off all but one: what is called ok here may be answered by the other",
        );
    }
    if !case.all.iter().any(servers_differ) {
        return found(
            case,
            Severity::Warning,
            "two-servers",
            format!("{cause}; they say the same"),
            "well if they are a failover pair with pools that do not overlap; else turn off all but one",
        );
    }
    found(
        case,
        Severity::Error,
        "two-servers",
        format!("{cause}; they name different boot files, and the fastest wins"),
        "turn off all but one, or take the boot options from all but one",
    )
}

pub(super) fn class_without_server(case: &Case) -> Option<Finding> {
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

pub(super) fn http_without_class(case: &Case) -> Option<Finding> {
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

pub(super) fn no_file(case: &Case) -> Option<Finding> {
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
