use super::*;
use crate::switch::{Dialect, Known, Network, mikrotik::Mikrotik};
use proptest::prelude::*;

fn script(given: &[(&str, &str)]) -> String {
    let known = Known {
        boot_url: Some("http://10.0.0.10:8080/boot/menu.ipxe".parse().unwrap()),
        subnet: Some("10.0.0.0/24".parse().unwrap()),
        leases: vec![crate::switch::Lease {
            mac: "52:54:00:aa:00:01".parse().unwrap(),
            node: "cp-1".parse().unwrap(),
            address: "10.0.0.51".parse().unwrap(),
            arch: None,
        }],
        ..Known::default()
    };
    let given: Vec<(String, String)> =
        given.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Mikrotik.write(&Network::read(&Mikrotik, &given, &known).unwrap()).unwrap().script
}

/// As version 7 writes it after the script of a network with x64 machines and HTTP boot has run.
const RUNNING: &str = r#"# 2026-11-02 10:00:00 by RouterOS 7.20.1
# software id = ABCD-EFGH
/ip dhcp-server option
add code=67 force=yes name=moxxie-10-0-0-0-bf-x64 value="s'ipxe.efi'"
add code=67 force=yes name=moxxie-10-0-0-0-bf-http-x64 value="s'http://10.0.0.10:8080/bo\
    ot/firmware/ipxe.efi'"
add code=60 force=yes name=moxxie-10-0-0-0-class-http-x64 value="s'HTTPClient'"
add code=42 name=ntp value="'10.0.0.1'"
/ip dhcp-server option sets
add name=moxxie-10-0-0-0-x64 options=moxxie-10-0-0-0-bf-x64
add name=moxxie-10-0-0-0-http-x64 options=moxxie-10-0-0-0-bf-http-x64,moxxie-10-0-0-0-class-http-x64
/ip pool
add name=dhcp_pool0 ranges=10.0.0.100-10.0.0.200
/ip dhcp-server
add address-pool=dhcp_pool0 interface=bridge1 name=dhcp1
/ip dhcp-server lease
add address=10.0.0.51 comment="moxxie-10-0-0-0: cp-1" mac-address=52:54:00:AA:00:01 server=dhcp1
/ip dhcp-server matcher
add address-pool=dhcp_pool0 code=93 comment=moxxie name=moxxie-10-0-0-0-x64-7 option-set=moxxie-10-0-0-0-x64 \
    server=dhcp1 value=0x0007
add address-pool=dhcp_pool0 code=93 comment=moxxie name=moxxie-10-0-0-0-x64-9 option-set=moxxie-10-0-0-0-x64 \
    server=dhcp1 value=0x0009
add address-pool=dhcp_pool0 code=93 comment=moxxie matching-type=exact name=moxxie-10-0-0-0-http-x64-16 \
    option-set=moxxie-10-0-0-0-http-x64 server=dhcp1 value=0x0010
/ip dhcp-server network
add address=10.0.0.0/24 comment=defconf dns-server=10.0.0.1 gateway=10.0.0.1 next-server=10.0.0.1
/ip tftp
add comment=moxxie-10-0-0-0 ip-addresses=10.0.0.0/24 read-only=yes real-filename=flash/moxxie-10-0-0-0-ipxe.efi \
    req-filename="ipxe\\.efi"
add comment=moxxie-10-0-0-0 ip-addresses=10.0.0.0/24 read-only=yes real-filename=flash/moxxie-10-0-0-0-autoexec.ipxe \
    req-filename="autoexec\\.ipxe"
/system script
add name=x source="{\r\n/ip dhcp-server matcher add name=moxxie-no code=93\r\n}"
"#;

const GIVEN: &[(&str, &str)] = &[("arch", "x64,http-x64"), ("leases", "static")];

fn changed(from: &str, to: &str) -> Vec<Difference> {
    assert!(RUNNING.contains(from), "{from}");
    compare(&script(GIVEN), &RUNNING.replace(from, to))
}

fn only(found: &[Difference], kind: DifferenceKind, what: &str) -> String {
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!((found[0].kind, found[0].what.as_str()), (kind, what), "{found:#?}");
    format!("{} | {} | {}", found[0].wanted, found[0].found, found[0].fix)
}

#[test]
fn as_it_should_be() {
    assert_eq!(compare(&script(GIVEN), RUNNING), []);
    // Without leases=static the script leaves leases alone, and so does this.
    assert_eq!(compare(&script(&GIVEN[..1]), RUNNING), []);
    let terse = RUNNING
        .lines()
        .scan(String::new(), |menu, line| {
            Some(match line.strip_prefix("add ") {
                Some(rest) => format!("{menu} add {rest}\n"),
                None if line.starts_with('/') => {
                    line.clone_into(menu);
                    String::new()
                }
                None => format!("{line}\n"),
            })
        })
        .collect::<String>();
    assert_eq!(compare(&script(GIVEN), &terse), []);
    let empty = "/ip dhcp-server network add address=10.0.0.0/24\n";
    for given in [&[][..], &[("version", "7.4")], &[("version", "6")], &[("arch", "bios")]] {
        assert!(compare(&script(given), empty).len() > 2, "{given:?}");
    }
}

#[test]
fn one_thing_at_a_time() {
    use DifferenceKind::{Changed, Extra, Missing};
    let found = changed("value=\"s'ipxe.efi'\"", "value=\"'ipxe.efi'\"");
    assert_eq!(
        only(&found, Changed, "/ip dhcp-server option moxxie-10-0-0-0-bf-x64"),
        "value=s'ipxe.efi' | value='ipxe.efi' | Run the script again."
    );
    let found = changed(" gateway=10.0.0.1 next-server=10.0.0.1", " boot-file-name=x next-server=10.0.0.1");
    assert_eq!(
        only(&found, Changed, "/ip dhcp-server network 10.0.0.0/24"),
        "boot-file-name= | boot-file-name=x | Run the script again."
    );
    let found = changed("server=dhcp1 value=0x0009", "server=dhcp1 value=0x0009 disabled=yes");
    only(&found, Changed, "/ip dhcp-server matcher moxxie-10-0-0-0-x64-9");
    let found = changed("moxxie-10-0-0-0-x64-9", "other");
    assert_eq!(found.len(), 2, "{found:#?}");
    assert_eq!((found[0].kind, found[1].kind), (Missing, Extra));
    assert!(found[1].fix.contains("no order"), "{found:#?}");
    let found = changed("add code=42 name=ntp", "add code=42 name=moxxie-10-0-0-0-ntp");
    only(&found, Extra, "/ip dhcp-server option moxxie-10-0-0-0-ntp");
    let found = changed("add code=42 name=ntp value=\"'10.0.0.1'\"", "add code=67 name=pxe value=\"'x'\"");
    assert_eq!(found, [], "an option that nobody uses");
    let used = RUNNING
        .replace("add code=42 name=ntp", "add code=67 name=pxe")
        .replace("gateway=10.0.0.1 ", "gateway=10.0.0.1 dhcp-option=pxe ");
    let found = compare(&script(GIVEN), &used);
    assert!(only(&found, Extra, "/ip dhcp-server network 10.0.0.0/24").contains("dhcp-option=pxe"));
    let found = changed("next-server=10.0.0.1", "next-server=10.0.0.1 dhcp-option-set=moxxie-10-0-0-0-x64");
    only(&found, Extra, "/ip dhcp-server network 10.0.0.0/24");
    let found = changed("address=10.0.0.51 comment=\"moxxie-10-0-0-0: cp-1\"", "address=10.0.0.77");
    assert!(only(&found, Changed, "/ip dhcp-server lease 52:54:00:AA:00:01").contains("Somebody else"));
    let found = changed("flash/moxxie-10-0-0-0-ipxe.efi", "flash/moxxie-10-0-0-0-snponly.efi");
    only(&found, Changed, "/ip tftp ipxe\\.efi");
    let found = changed("address=10.0.0.0/24 comment=defconf", "address=10.9.0.0/24 comment=defconf");
    assert!(only(&found, Missing, "/ip dhcp-server network 10.0.0.0/24").contains("subnet="));
}

#[test]
fn a_server_of_its_own_and_its_pool() {
    use DifferenceKind::{Changed, Missing};
    let matcher = "/ip dhcp-server matcher moxxie-10-0-0-0-x64-7";
    let line = "add address-pool=dhcp_pool0 code=93 comment=moxxie name=moxxie-10-0-0-0-x64-7";
    let found = changed(line, &line.replace("address-pool=dhcp_pool0 ", ""));
    assert_eq!(
        only(&found, Changed, matcher),
        "address-pool=dhcp_pool0 | address-pool=static-only | Run the script again."
    );
    let found = changed(line, &line.replace("dhcp_pool0", "other"));
    assert!(only(&found, Changed, matcher).contains("address-pool=other"));
    let found = changed("server=dhcp1 value=0x0007", "server=dhcp2 value=0x0007");
    assert_eq!(only(&found, Changed, matcher), "server=dhcp1 | server=dhcp2 | Run the script again.");
    let found = changed(" \\\n    server=dhcp1 value=0x0007", " value=0x0007");
    assert!(only(&found, Changed, matcher).contains("server=all"));
    // Where the server itself gives addresses to static leases only, so do the matchers.
    assert_eq!(compare(&script(GIVEN), &RUNNING.replace("address-pool=dhcp_pool0 ", "")), []);
    // A pool that was named.
    let named = script(&[GIVEN, &[("pool", "dhcp_pool0")]].concat());
    assert_eq!(compare(&named, RUNNING), []);
    let named = script(&[GIVEN, &[("pool", "pool1")]].concat());
    assert_eq!(compare(&named, RUNNING).len(), 3, "each matcher");
    // Which server it is, the script asks the router.
    let two =
        RUNNING.replace("name=dhcp1\n", "name=dhcp1\nadd address-pool=p2 interface=bridge2 name=dhcp2\n");
    only(&compare(&script(GIVEN), &two), Missing, "/ip dhcp-server");
    for given in [("dhcp_server", "dhcp1"), ("interface", "bridge1")] {
        assert_eq!(compare(&script(&[GIVEN, &[given]].concat()), &two), [], "{given:?}");
    }
    let off = two.replace("name=dhcp2", "name=dhcp2 disabled=yes");
    assert_eq!(compare(&script(GIVEN), &off), []);
}

/// What others have on the same router for their own networks.
const OTHERS: &str = r#"/ip dhcp-server
add address-pool=voip interface=vlan20 name=voip dhcp-option-set=phones
/ip dhcp-server option
add code=66 name=tftp66 value="s'10.20.0.5'"
add code=67 force=yes name=moxxie-10-9-0-0-bf-x64 value="s'ipxe.efi'"
/ip dhcp-server option sets
add name=phones options=tftp66
add name=moxxie-10-9-0-0-x64 options=moxxie-10-9-0-0-bf-x64
/ip dhcp-server matcher
add address-pool=voip code=60 name=phone option-set=phones server=voip value=phone
add address-pool=p9 code=93 comment=moxxie name=moxxie-10-9-0-0-x64-7 option-set=moxxie-10-9-0-0-x64 server=dhcp9 value=0x0007
/ip dhcp-server network
add address=10.20.0.0/24 dhcp-option=tftp66
add address=10.9.0.0/24 next-server=10.9.0.1 dhcp-option-set=moxxie-10-9-0-0-x64
/ip dhcp-server lease
add address=10.20.0.51 mac-address=52:54:00:AA:00:01 server=voip dhcp-option=tftp66
add address=10.20.0.52 mac-address=52:54:00:AA:00:09 dhcp-option=tftp66
add address=10.9.0.52 mac-address=52:54:00:AA:00:08 server=dhcp9 comment="moxxie-10-9-0-0: cp-9"
/ip tftp
add comment=moxxie-10-9-0-0 ip-addresses=10.9.0.0/24 read-only=yes real-filename=flash/moxxie-10-9-0-0-ipxe.efi req-filename="ipxe\\.efi"
add ip-addresses=10.20.0.0/24 real-filename=own.efi req-filename="ipxe\\.efi"
add ip-addresses=10.20.0.0/24 real-filename=phone.cfg
add real-filename=phone.cfg req-filename="phone\\.cfg"
"#;

#[test]
fn other_networks_are_left_alone() {
    let script = script(&[GIVEN, &[("dhcp_server", "dhcp1")]].concat());
    assert_eq!(compare(&script, &format!("{OTHERS}{RUNNING}")), []);
    assert_eq!(compare(&script, &format!("{RUNNING}{OTHERS}")), []);
    // The same on this network's server is in the way.
    for (from, to, what) in [
        ("server=voip value=phone", "server=dhcp1 value=phone", "/ip dhcp-server matcher phone"),
        ("server=voip value=phone", "value=phone", "/ip dhcp-server matcher phone"),
        ("server=dhcp9 value", "server=dhcp1 value", "/ip dhcp-server matcher moxxie-10-9-0-0-x64-7"),
        ("address=10.20.0.52", "address=10.0.0.52", "/ip dhcp-server lease 52:54:00:AA:00:09"),
        ("ip-addresses=10.20.0.0/24 real-filename=phone", "real-filename=phone", "/ip tftp "),
        ("ip-addresses=10.20.0.0/24 real-filename=own", "real-filename=own", "/ip tftp ipxe\\.efi"),
    ] {
        assert!(OTHERS.contains(from), "{from}");
        let running = format!("{}{RUNNING}", OTHERS.replace(from, to));
        only(&compare(&script, &running), DifferenceKind::Extra, what);
    }
    // A rule behind Moxxie's takes nothing away.
    let behind = OTHERS.replace("ip-addresses=10.20.0.0/24 real-filename=phone", "real-filename=phone");
    assert_eq!(compare(&script, &format!("{RUNNING}{behind}")), []);
    // A lease for all servers fixes the address, too.
    let for_all = RUNNING.replace(
        "comment=\"moxxie-10-0-0-0: cp-1\" mac-address=52:54:00:AA:00:01 server=dhcp1",
        "mac-address=52:54:00:AA:00:01",
    );
    assert_ne!(for_all, RUNNING);
    assert_eq!(compare(&script, &for_all), []);
}

#[test]
fn the_same_in_other_digits() {
    for (from, to) in [
        ("value=0x0007", "value=0x7"),
        ("value=0x0007", "value=0x007"),
        ("value=\"s'ipxe.efi'\"", "value=0x697078652E656669"),
        ("value=\"s'ipxe.efi'\"", "value=0x697078652e65666900"),
        ("value=\"s'HTTPClient'\"", "value=0x48545450436c69656e74"),
    ] {
        assert_eq!(changed(from, to), [], "{to}");
    }
    for (from, to) in [
        ("value=0x0007", "value=0x0008"),
        ("value=0x0007", "value=0x"),
        ("value=\"s'ipxe.efi'\"", "value=0x697078652e6566690000"),
        ("value=\"s'HTTPClient'\"", "value=0x48545450436c69656e7400"),
    ] {
        assert_eq!(changed(from, to).len(), 1, "{to}");
    }
}

#[test]
fn version_6() {
    let script = script(&[("version", "6"), ("arch", "x64")]);
    let running = "# nov/02/2026 10:00:00 by RouterOS 6.49.10\n/ip dhcp-server network\n\
        add address=10.0.0.0/24 boot-file-name=ipxe.efi gateway=10.0.0.1 next-server=\\\n    10.0.0.1\n\
        /ip tftp\nadd ip-addresses=10.0.0.0/24 read-only=yes real-filename=moxxie-10-0-0-0-ipxe.efi req-filename=\\\n    \"ipxe\\\\.efi\"\n\
        add ip-addresses=10.0.0.0/24 read-only=yes real-filename=moxxie-10-0-0-0-autoexec.ipxe req-filename=\"autoexec\\\\.ipxe\"\n";
    assert_eq!(compare(&script, running), []);
    let found = compare(&script, &running.replace("=ipxe.efi", "=\"\u{1b}[31m\""));
    assert!(
        only(&found, DifferenceKind::Changed, "/ip dhcp-server network 10.0.0.0/24")
            .contains("| boot-file-name=?[31m |")
    );
}

#[test]
fn an_export_of_another_version_is_said_to_be_one() {
    let running =
        "# nov/02/2026 10:00:00 by RouterOS 6.49.10\n/ip dhcp-server network\nadd address=10.0.0.0/24\n";
    let found = compare(&script(&[]), running);
    assert!(only(&found, DifferenceKind::Changed, "the version").contains("version=6"), "{found:?}");
}

#[test]
fn what_is_no_export_is_said_to_be_none() {
    for text in ["", "hello", "\0\0\0", "\u{feff}", &"a".repeat(MAX_EXPORT + 1)] {
        let found = compare(&script(&[]), text);
        assert_eq!((found.len(), found[0].what.as_str()), (1, "the export"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_damaged_export_never_makes_it_panic(cut in 0..RUNNING.len(), with in "[\"\\\\\\[\\]{}$\n\0;=(]{0,6}", skip in 0..40_usize) {
        let end = (cut + skip).min(RUNNING.len());
        let text = format!("{}{with}{}", &RUNNING[..cut], &RUNNING[end..]);
        let found = compare(&script(GIVEN), &text);
        prop_assert!(found.len() <= MAX_DIFFERENCES);
    }
}
