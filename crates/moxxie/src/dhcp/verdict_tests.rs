use super::clients::{CLIENTS, Kind, by_name};
use super::offer::{Offer, Role};
use super::report;
use super::verdict::*;
use std::net::Ipv4Addr;

const TFTP: [u8; 4] = [10, 0, 0, 5];
const MENU: &str = "http://10.0.0.5:8080/boot/menu.ipxe";
const HTTP: &str = "http://10.0.0.5:8080/boot/firmware";

/// An offer of an address and a file in the header.
fn offer(server: u8, next: [u8; 4], file: &str) -> Offer {
    let server = Ipv4Addr::new(10, 0, 0, server);
    let options = [(53, vec![2]), (54, server.octets().to_vec())].into();
    let (address, next_server, file) = ([10, 0, 0, 9].into(), next.into(), file.to_owned());
    Offer { role: Role::Dhcp, from: server, address, next_server, server_name: String::new(), file, options }
}

fn with(mut offer: Offer, code: u8, data: &[u8]) -> Offer {
    offer.options.insert(code, data.to_vec());
    offer
}

fn in_role(mut offer: Offer, role: Role) -> Offer {
    offer.role = role;
    offer
}

fn seen(client: &str, offers: Vec<Offer>) -> Seen {
    Seen { client: by_name(client).unwrap(), mac: [2, 0, 0, 0, 0, 1], offers, asked: Vec::new() }
}

/// What a site that is set up well answers.
fn good(client: &'static super::clients::Client) -> Offer {
    let machine = match client.arch {
        0 => "undionly.kpxe",
        6 => "ipxe-i386.efi",
        11 | 19 => "ipxe-arm64.efi",
        _ => "ipxe.efi",
    };
    match client.kind {
        Kind::Plain => offer(1, [0; 4], ""),
        Kind::Bios | Kind::Uefi => offer(1, TFTP, machine),
        Kind::Http => with(offer(1, [0; 4], &format!("{HTTP}/{machine}")), 60, b"HTTPClient"),
        Kind::Ipxe => offer(1, [0; 4], MENU),
    }
}

fn site() -> Vec<Seen> {
    CLIENTS.iter().map(|client| seen(client.name, vec![good(client)])).collect()
}

/// A site in which these clients get something else.
fn but(changes: &[(&str, Vec<Offer>)]) -> Vec<Seen> {
    let mut all = site();
    for (name, offers) in changes {
        let seen = all.iter_mut().find(|seen| seen.client.name == *name).unwrap();
        seen.offers = offers.clone();
    }
    all
}

/// `severity symptom client,client` for each finding.
fn found(all: &[Seen]) -> Vec<String> {
    let line = |f: &Finding| format!("{} {} {}", f.severity.as_str(), f.symptom, f.clients.join(","));
    judge(all, false).iter().map(line).collect()
}

/// What is found when this one client gets this one answer.
fn of(client: &str, offer: Offer) -> Vec<String> {
    found(&but(&[(client, vec![offer])]))
}

#[test]
fn a_good_site_has_no_findings() {
    assert_eq!(found(&site()), [""; 0]);
    assert_eq!(worst(&[], by_name("x64").unwrap()), None);
}

#[test]
fn silence() {
    let nobody: Vec<Seen> = CLIENTS.iter().map(|client| seen(client.name, Vec::new())).collect();
    let [finding] = judge(&nobody, false).try_into().unwrap();
    assert_eq!((finding.symptom, finding.clients.len()), ("pxe-e51", 12));
    assert_eq!(found(&but(&[("x64", vec![])])), ["error pxe-e51 x64"]);
    assert_eq!(found(&but(&[("arm64", vec![]), ("http-x64", vec![])])), ["warning pxe-e51 arm64,http-x64"]);
}

#[test]
fn a_proxy_without_a_server() {
    let mut proxy = with(in_role(offer(3, TFTP, "ipxe.efi"), Role::Proxy), 60, b"PXEClient");
    proxy.address = Ipv4Addr::UNSPECIFIED;
    assert_eq!(of("x64", proxy.clone()), ["error pxe-e52 x64"]);
    let both = but(&[("x64", vec![offer(1, [0; 4], ""), proxy])]);
    assert_eq!(found(&both), [""; 0]);
    assert_eq!(both[3].load().unwrap().name, "ipxe.efi");
}

#[test]
fn two_servers() {
    let both = |other| found(&but(&[("x64", vec![offer(1, TFTP, "ipxe.efi"), offer(2, TFTP, other)])]));
    assert_eq!(both("other.efi"), ["error two-servers x64"]);
    // The second one was too slow for the others: what it tells them is not known.
    assert_eq!(both("ipxe.efi"), ["error two-servers x64"]);
    let mut pair = site();
    for seen in &mut pair {
        let twin: Vec<Offer> =
            seen.offers.iter().cloned().map(|offer| with(offer, 54, &[10, 0, 0, 9])).collect();
        seen.offers.extend(twin);
    }
    assert!(found(&pair).iter().all(|line| line.starts_with("warning two-servers")), "{:?}", found(&pair));
    // One finding, also where some clients hear the same of both.
    let offers = |file| vec![offer(1, TFTP, "ipxe.efi"), offer(2, TFTP, file)];
    assert_eq!(
        found(&but(&[("x64", offers("ipxe.efi")), ("x64-9", offers("b.efi"))])),
        ["error two-servers x64,x64-9"]
    );
    let cause =
        &judge(&but(&[("x64", vec![offer(2, TFTP, ""), offer(1, TFTP, "ipxe.efi")])]), false)[0].cause;
    assert!(cause.starts_with("two DHCP servers answer: 10.0.0.1 and 10.0.0.2;"), "{cause}");
    let three: Vec<Offer> = (1..=3).map(|server| offer(server, TFTP, "ipxe.efi")).collect();
    let cause = &judge(&but(&[("x64", three)]), false)[0].cause;
    assert!(cause.starts_with("3 DHCP servers answer: "), "{cause}");
}

#[test]
fn no_file() {
    assert_eq!(of("bios", offer(1, TFTP, "")), ["error pxe-e53 bios"]);
    assert_eq!(of("x86", offer(1, TFTP, "")), ["warning pxe-e53 x86"]);
    let both = but(&[("x86", vec![offer(1, TFTP, "")]), ("x64", vec![offer(1, TFTP, "")])]);
    assert_eq!(found(&both), ["error pxe-e53 x86,x64"]);
    assert_eq!(of("http-x64", offer(1, TFTP, "")), ["warning http-no-file http-x64"]);
    assert_eq!(of("ipxe-x64", offer(1, TFTP, "")), ["error ipxe-nothing-to-boot ipxe-x64"]);
    assert_eq!(judge(&but(&[("ipxe-x64", vec![offer(1, TFTP, "")])]), true), []);
}

/// Option 60 without a PXE server behind it.
#[test]
fn a_class_without_a_server() {
    let mut all = but(&[("x64", vec![with(offer(1, [0; 4], ""), 60, b"PXEClient")])]);
    all[3].asked = vec![Ipv4Addr::new(10, 0, 0, 1)];
    assert_eq!(found(&all), ["error pxe-e55 x64"]);
    all[3].offers.push(in_role(offer(1, TFTP, "ipxe.efi"), Role::Boot));
    assert_eq!(found(&all), [""; 0]);
}

#[test]
fn loops() {
    assert_eq!(of("ipxe-bios", offer(1, TFTP, "undionly.kpxe")), ["error ipxe-loop ipxe-bios"]);
    assert_eq!(of("ipxe-x64", offer(1, TFTP, "http://10.0.0.5/snponly.efi")), ["error ipxe-loop ipxe-x64"]);
    // Whatever its name: the firmware got the same one.
    let same = but(&[("x64", vec![offer(1, TFTP, "a.efi")]), ("ipxe-x64", vec![offer(1, TFTP, "a.efi")])]);
    assert_eq!(found(&same), ["error ipxe-loop ipxe-x64"]);
    // The header wins over a right option 67.
    let hidden = but(&[("ipxe-x64", vec![with(offer(1, TFTP, "ipxe.efi"), 67, MENU.as_bytes())])]);
    let [finding] = judge(&hidden, false).try_into().unwrap();
    assert!(finding.cause.contains("before option 67") && finding.cause.contains(MENU), "{}", finding.cause);
    assert_eq!(judge(&same, true), []);
    // Another program than iPXE is somebody's choice.
    assert_eq!(of("ipxe-x64", offer(1, TFTP, "grubx64.efi")), [""; 0]);
}

#[test]
fn files_of_other_machines() {
    assert_eq!(of("x64", offer(1, TFTP, "undionly.kpxe")), ["error wrong-file x64"]);
    assert_eq!(of("bios", offer(1, TFTP, "ipxe.efi")), ["error wrong-file bios"]);
    assert_eq!(of("x64", offer(1, TFTP, "ipxe-arm64.efi")), ["error wrong-file x64"]);
    // A name that does not say: the one that x64 gets is not for others.
    assert_eq!(of("x86", offer(1, TFTP, "ipxe.efi")), ["warning wrong-file x86"]);
    assert_eq!(of("arm64", offer(1, TFTP, "ipxe.efi")), ["warning wrong-file arm64"]);
    assert_eq!(of("bios", offer(1, TFTP, "pxelinux.0")), [""; 0]);
}

#[test]
fn urls_and_files() {
    assert_eq!(of("x64", offer(1, TFTP, MENU)), ["error pxe-given-url x64"]);
    let class = |file| with(offer(1, TFTP, file), 60, b"HTTPClient");
    assert_eq!(of("http-x64", class("ipxe.efi")), ["error http-given-file http-x64"]);
    assert_eq!(of("http-x64", offer(1, TFTP, &format!("{HTTP}/ipxe.efi"))), ["error http-no-class http-x64"]);
    let in_67 = with(offer(1, TFTP, ""), 67, format!("{HTTP}/ipxe.efi").as_bytes());
    assert_eq!(of("http-arm64", in_67), ["error http-no-class http-arm64"]);
    assert_eq!(of("plain", offer(1, TFTP, MENU)), ["warning plain-given-url plain"]);
}

#[test]
fn next_servers() {
    assert_eq!(of("bios", offer(1, [0; 4], "undionly.kpxe")), ["error no-next-server bios"]);
    assert_eq!(of("x64", offer(1, [0; 4], "ipxe.efi")), ["warning no-next-server x64"]);
    let named = but(&[("bios", vec![with(offer(1, [0; 4], "undionly.kpxe"), 66, b"10.0.0.5")])]);
    assert!(judge(&named, false)[0].cause.contains("option 66 says 10.0.0.5"));
}

#[test]
fn names() {
    let long = format!("http://10.0.0.5/{}", "a".repeat(112));
    let menu = |name: &str| of("ipxe-x64", with(offer(1, TFTP, ""), 67, name.as_bytes()));
    assert_eq!(menu(&long), ["error name-too-long ipxe-x64"]);
    assert_eq!(menu(&long[..127]), [""; 0]);
    assert_eq!(
        of("ipxe-x64", offer(1, TFTP, &long[..127])),
        ["error name-too-long ipxe-x64"],
        "probably cut"
    );
    assert_eq!(menu("http://10.0.0.5/m?mac=${mac}"), ["warning name-characters ipxe-x64"]);
    assert_eq!(menu("http://10.0.0.5/a b"), ["warning name-characters ipxe-x64"]);
    assert_eq!(of("x64", offer(1, TFTP, "ipxe.efi\u{fffd}")), ["error name-trailing-byte x64"]);
    let two = with(offer(1, TFTP, "a.efi"), 67, b"b.efi");
    assert_eq!(of("x64", two), ["warning two-names x64"]);
    assert_eq!(of("x64", with(offer(1, TFTP, "a.efi"), 67, b"a.efi\0")), [""; 0]);
}

#[test]
fn errors_come_first_and_count_most() {
    let all = but(&[("x86", vec![]), ("x64", vec![offer(1, [0; 4], "undionly.kpxe")])]);
    let findings = judge(&all, false);
    assert_eq!(found(&all), ["error wrong-file x64", "warning pxe-e51 x86", "warning no-next-server x64"]);
    assert_eq!(worst(&findings, by_name("x64").unwrap()).unwrap().symptom, "wrong-file");
    assert!(findings.iter().all(|f| !f.cause.is_empty() && !f.next.is_empty()));
}

#[test]
fn reports_have_every_field() {
    let vendor = [6, 1, 8, 255];
    let answer =
        with(with(with(offer(1, TFTP, "ipxe.efi"), 43, &vendor), 51, &[0, 0, 14, 16]), 200, &[1, 255]);
    let all = [seen("x64", vec![answer]), seen("plain", vec![])];
    let report = report::value("eth0", &all, &judge(&all, false));
    let client = &report["clients"][0];
    assert_eq!(client["load"]["url"], "tftp://10.0.0.5/ipxe.efi");
    assert_eq!((&client["arch"], &client["mac"]), (&7.into(), &"02:00:00:00:00:01".into()));
    let options = &client["offers"][0]["options"];
    assert_eq!(options["54"], serde_json::json!({"hex": "0a000001", "value": ["10.0.0.1"]}));
    assert_eq!(options["43"]["value"], serde_json::json!({"6": "08"}));
    assert_eq!(options["51"]["value"], 3600);
    assert_eq!(options["200"], serde_json::json!({"hex": "01ff"}));
    let plain = &report["clients"][1];
    assert_eq!((&plain["arch"], &plain["verdict"]), (&serde_json::Value::Null, &"pxe-e51".into()));
    assert_eq!(report["findings"][0]["clients"][0], "plain");
}
