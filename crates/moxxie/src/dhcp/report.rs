//! What was seen, as a value for scripts and as rows for people.

use super::code;
use super::offer::{Offer, Role};
use super::verdict::{Finding, Seen, worst};
use serde_json::{Map, Value, json};
use std::net::Ipv4Addr;

/// Everything: each client's answers with all their fields, then the findings.
pub fn value(interface: &str, all: &[Seen], findings: &[Finding]) -> Value {
    json!({
        "interface": interface,
        "clients": all.iter().map(|seen| client(seen, findings)).collect::<Vec<_>>(),
        "findings": findings.iter().map(finding).collect::<Vec<_>>(),
    })
}

fn client(seen: &Seen, findings: &[Finding]) -> Value {
    let load = seen.load().map(
        |load| json!({"name": load.name, "server": load.server, "field": load.field, "url": load.shown()}),
    );
    let verdict = worst(findings, seen.client);
    json!({
        "client": seen.client.name,
        "arch": seen.client.class().map(|_| seen.client.arch),
        "class": seen.client.class(),
        "mac": hex(&seen.mac, ":"),
        "servers": seen.servers(),
        "address": address(seen),
        "load": load,
        "verdict": verdict.map_or("ok", |finding| finding.symptom),
        "severity": verdict.map(|finding| finding.severity.as_str()),
        "offers": seen.offers.iter().map(offer).collect::<Vec<_>>(),
    })
}

/// The address that the first DHCP server offers.
fn address(seen: &Seen) -> Option<Ipv4Addr> {
    seen.in_role(Role::Dhcp).next().map(|offer| offer.address)
}

fn offer(offer: &Offer) -> Value {
    let options: Map<String, Value> =
        offer.options.iter().map(|(&code, data)| (code.to_string(), option(code, data))).collect();
    json!({
        "role": offer.role.as_str(),
        "server": offer.server(),
        "from": offer.from,
        "yiaddr": offer.address,
        "siaddr": offer.next_server,
        "sname": offer.server_name,
        "file": offer.file,
        "options": options,
    })
}

/// An option in hex, and as what it says where that is known.
fn option(code: u8, data: &[u8]) -> Value {
    let mut value = json!({"hex": hex(data, "")});
    let text = |data: &[u8]| String::from_utf8_lossy(data).trim_end_matches('\0').to_owned();
    let decoded = match (code, data) {
        (1 | 3 | 6 | 28 | 42 | code::SERVER_ID, data) if data.len() % 4 == 0 => {
            let addresses = data.chunks_exact(4).map(|b| Ipv4Addr::new(b[0], b[1], b[2], b[3]).to_string());
            json!(addresses.collect::<Vec<_>>())
        }
        (51 | 58 | 59, &[a, b, c, d]) => json!(u32::from_be_bytes([a, b, c, d])),
        (code::MESSAGE_TYPE, &[kind]) => json!(kind),
        (12 | 15 | 17 | code::CLASS | code::TFTP_SERVER | code::BOOT_FILE, data) => json!(text(data)),
        // Options within the option.
        (code::VENDOR | code::IPXE, data) => inner(data),
        _ => return value,
    };
    value["value"] = decoded;
    value
}

fn inner(data: &[u8]) -> Value {
    let options = dhcproto::v4::borrowed::DhcpOptionIterator::new(data);
    let options = options.map(|option| (u8::from(option.code()).to_string(), json!(hex(option.data(), ""))));
    Value::Object(options.collect())
}

fn finding(finding: &Finding) -> Value {
    json!({
        "severity": finding.severity.as_str(),
        "symptom": finding.symptom,
        "clients": finding.clients,
        "cause": finding.cause,
        "next": finding.next,
    })
}

fn hex(bytes: &[u8], between: &str) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(between)
}
