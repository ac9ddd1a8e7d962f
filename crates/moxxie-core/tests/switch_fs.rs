//! FS.com: scripts of the right shape in every family and mode, refusals with a way out, and
//! running configurations that drifted.

#![allow(clippy::unwrap_used)]

use moxxie_core::switch::{Arch, Dialect, Difference, Known, Lease, Network, Problem, Written, find};
use proptest::prelude::*;

const FAMILIES: [&str; 5] = ["rgos", "accton", "bdcom", "centec", "picos"];
const MODES: [&str; 3] = ["relay", "uefi-pool", "proxydhcp-beside"];

fn known() -> Known {
    let lease = |mac: &str, node: &str, address: &str, arch| Lease {
        mac: mac.parse().unwrap(),
        node: node.parse().unwrap(),
        address: address.parse().unwrap(),
        arch,
    };
    Known {
        boot_url: Some("http://10.0.9.10:8080/boot/menu.ipxe".parse().unwrap()),
        subnet: Some("10.0.10.0/24".parse().unwrap()),
        tftp: true,
        leases: vec![
            lease("52:54:00:aa:00:01", "cp-1", "10.0.10.51", Some(Arch::X64)),
            lease("52:54:00:aa:00:02", "old-1", "10.0.10.52", Some(Arch::Bios)),
            lease("52:54:00:aa:00:03", "http-1", "10.0.10.150", Some(Arch::HttpX64)),
        ],
    }
}

fn fs() -> &'static dyn Dialect {
    find("fs").unwrap()
}

fn write(given: &[(&str, &str)]) -> Result<Written, Problem> {
    let given: Vec<_> = given.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let network = Network::read(fs(), &given, &known()).unwrap_or_else(|e| panic!("{given:?}: {e:?}"));
    fs().write(&network)
}

/// The commands, without remarks.
fn commands(text: &str) -> String {
    text.lines().filter(|line| !line.starts_with(['!', '#'])).map(|line| format!("{line}\n")).collect()
}

/// First words that a family's commands may begin with, and below which command.
fn allowed(family: &str, parent: &str) -> &'static [&'static str] {
    match (family, parent.split(' ').next().unwrap()) {
        ("rgos", "") => &[
            "configure terminal",
            "end",
            "service dhcp",
            "no ip dhcp relay check server-id",
            "interface ",
            "ip dhcp excluded-address ",
            "no ip dhcp excluded-address ",
            "ip dhcp pool ",
            "no ip dhcp pool moxxie-",
        ],
        ("rgos", "interface") => &[
            "exit",
            "ip helper-address ",
            "no ip helper-address ",
            "spanning-tree portfast",
            "no spanning-tree portfast",
            "ip dhcp snooping trust",
        ],
        ("rgos", "ip") => &[
            "exit",
            "network ",
            "host ",
            "hardware-address ",
            "default-router ",
            "dns-server ",
            "next-server ",
            "bootfile ",
            "lease 0 1 0",
            "no bootfile",
            "no next-server",
        ],
        ("accton", "") => &["configure", "end", "interface ethernet "],
        ("accton", "interface") => {
            &["exit", "spanning-tree edgeport", "no spanning-tree edgeport", "dhcp snooping trust"]
        }
        ("picos", "") => &["set ip routing enable true", "set protocols dhcp relay interface vlan", "commit"],
        _ => &[],
    }
}

fn has_the_right_shape(family: &str, text: &str) {
    let mark = if family == "picos" { '#' } else { '!' };
    let mut parent = "";
    let mut boot_files = 0;
    for line in text.lines() {
        assert!(!line.contains('?'), "opens help: {line}");
        if line.starts_with(mark) {
            continue;
        }
        assert!(!line.contains(['!', '#', '"', '\'', '|', ';', '$', '\\']), "{family}: {line}");
        let indented = line.starts_with(' ');
        assert!(!indented || !parent.is_empty(), "{family}: nothing stands above {line:?}");
        let word = line.trim_start();
        let among = allowed(family, if indented { parent } else { "" });
        assert!(
            among.iter().any(|a| if a.ends_with([' ', '-']) || a.ends_with("vlan") {
                word.starts_with(a)
            } else {
                word == *a
            }),
            "{family}: {line:?} below {parent:?}"
        );
        if !indented {
            boot_files = 0;
            let opens = line.starts_with("interface ") || line.starts_with("ip dhcp pool ");
            parent = if opens { line } else { "" };
        } else if word == "exit" {
            parent = "";
        }
        boot_files += usize::from(word.starts_with("bootfile "));
        assert!(boot_files < 2, "{family}: two boot files below {parent:?}");
    }
    assert!(parent.is_empty(), "{family}: {parent:?} is left open");
    let commands = commands(text);
    assert!(
        !(commands.contains("helper-address") && commands.contains("ip dhcp pool")),
        "relay and pool:\n{commands}"
    );
}

#[test]
fn every_script_has_the_shape_of_its_family_and_agrees_with_itself() {
    let (mut written, mut refused) = (0, 0);
    for family in FAMILIES {
        let port = match family {
            "accton" => ["ethernet 1/1", "ethernet 1/28"],
            "bdcom" => ["g0/1", "g0/24"],
            "centec" => ["eth-0-1", "eth-0-48"],
            "picos" => ["te-1/1/1", "te-1/1/48"],
            _ => ["TenGigabitEthernet 0/1", "TenGigabitEthernet 0/48"],
        };
        for mode in MODES {
            for bits in 0..32u32 {
                let extra = [
                    ("vlan", "10"),
                    ("interface", port[0]),
                    ("uplink", port[1]),
                    ("dhcp_server", "10.0.9.11 10.0.9.12"),
                    ("leases", "static"),
                ];
                let chosen =
                    extra.iter().enumerate().filter(|(i, _)| bits & (1 << i) != 0).map(|(_, pair)| *pair);
                let given: Vec<_> = [("family", family), ("mode", mode)].into_iter().chain(chosen).collect();
                let Ok(text) = write(&given) else {
                    refused += 1;
                    continue;
                };
                written += 1;
                has_the_right_shape(family, &text.script);
                has_the_right_shape(family, &text.undo);
                let differences = fs().compare(&text.script, &commands(&text.script));
                let nothing = commands(&text.script).is_empty();
                let readable = !nothing || family == "rgos";
                assert_eq!(differences, readable.then(Vec::new), "{given:?}\n{}", text.script);
                if !nothing {
                    let all = fs().compare(&text.script, "").unwrap();
                    assert!(mode == "proxydhcp-beside" || !all.is_empty(), "{given:?}");
                }
                names_what_it_undoes(&text);
            }
        }
    }
    // Pools of four families, and PicOS relays without a VLAN.
    assert_eq!((written, refused), (480 - 4 * 32 - 16, 4 * 32 + 16));
}

/// Compared with its undo, a script has too much by each line that the undo takes away.
fn names_what_it_undoes(text: &Written) {
    let found = fs().compare(&text.undo, &text.script).unwrap_or_default();
    for line in commands(&text.undo).lines().map(str::trim) {
        let gone = match (line.strip_prefix("no "), line.strip_prefix("set ")) {
            (Some(gone), _) => gone.to_owned(),
            (_, Some(changed)) => changed.rsplit_once(' ').unwrap().0.to_owned(),
            _ => continue,
        };
        assert!(found.iter().any(|difference| difference.what.ends_with(&gone)), "{line}: {found:?}");
    }
}

#[test]
fn a_relay_as_it_is_pasted() {
    let text = write(&[
        ("vlan", "10"),
        ("interface", "TenGigabitEthernet 0/1"),
        ("uplink", "TenGigabitEthernet 0/48"),
        ("dhcp_server", "10.0.9.11 10.0.9.12"),
    ])
    .unwrap();
    assert_eq!(
        commands(&text.script),
        "configure terminal\nservice dhcp\nno ip dhcp relay check server-id\n\
         interface vlan 10\n ip helper-address 10.0.9.11\n ip helper-address 10.0.9.12\n exit\n\
         interface TenGigabitEthernet 0/1\n spanning-tree portfast\n exit\n\
         interface TenGigabitEthernet 0/48\n ip dhcp snooping trust\n exit\nend\n"
    );
    assert_eq!(
        commands(&text.undo),
        "configure terminal\ninterface vlan 10\n no ip helper-address 10.0.9.11\n no ip helper-address 10.0.9.12\n exit\n\
         interface TenGigabitEthernet 0/1\n no spanning-tree portfast\n exit\nend\n"
    );
    // dnsmasq hands out the loaders itself, and Kea names the server that it runs on.
    let names: Vec<&str> = text.companions.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["dnsmasq.conf", "moxxie-loaders.sh", "kea-dhcp4.conf"]);
    let companion = &text.companions[0].1;
    assert!(companion.contains("enable-tftp\n") && !companion.contains("TenGigabit"), "{companion}");
    assert!(text.companions[2].1.contains("10.0.9.11"), "{}", text.companions[2].1);
    // Somebody else's TFTP server, even if it has the gateway's address.
    let given = [("vlan", "10"), ("dhcp_server", "10.0.9.11"), ("next_server", "10.0.10.1")];
    let companion = &write(&given).unwrap().companions[0].1;
    assert!(companion.contains(",,10.0.10.1\n") && !companion.contains("enable-tftp"), "{companion}");
    // Without the VLAN there is no place for the relay, so no line of it stands elsewhere.
    let nowhere = write(&[("dhcp_server", "10.0.9.11")]).unwrap();
    assert_eq!(commands(&nowhere.script), "configure terminal\nservice dhcp\nend\n");
    assert!(nowhere.warnings.iter().any(|warning| warning.contains("give vlan=")), "{:?}", nowhere.warnings);
    // A VLAN's interface is where to relay, not a port.
    let named = write(&[("interface", "VLAN 10"), ("dhcp_server", "10.0.9.11")]).unwrap();
    assert!(named.script.contains("interface vlan 10\n ip helper-address 10.0.9.11\n"), "{}", named.script);
    assert!(!commands(&named.script).contains("portfast"));
}

#[test]
fn a_pool_has_one_file_and_machines_their_own() {
    let text = write(&[
        ("mode", "uefi-pool"),
        ("leases", "static"),
        ("pool", "10.0.10.100-10.0.10.199"),
        ("tftp", "moxxie"),
    ])
    .unwrap();
    let script = commands(&text.script);
    let excluded: Vec<&str> = script.lines().filter(|line| line.starts_with("ip dhcp ex")).collect();
    assert_eq!(
        excluded,
        [
            "ip dhcp excluded-address 10.0.10.1 10.0.10.50",
            "ip dhcp excluded-address 10.0.10.53 10.0.10.99",
            "ip dhcp excluded-address 10.0.10.200 10.0.10.254"
        ]
    );
    let pool = "ip dhcp pool moxxie-10-0-10-0\n network 10.0.10.0 255.255.255.0\n default-router 10.0.10.1\n \
                dns-server 10.0.10.1\n next-server 10.0.9.10\n bootfile ipxe.efi\n lease 0 1 0\n exit\n";
    assert!(script.contains(pool), "{script}");
    let bios = "ip dhcp pool moxxie-525400aa0002\n host 10.0.10.52 255.255.255.0\n \
                hardware-address 5254.00aa.0002 ethernet\n";
    assert!(script.contains(bios), "{script}");
    assert_eq!(script.matches("bootfile undionly.kpxe").count(), 1);
    assert_eq!(script.matches("bootfile ipxe.efi").count(), 3);
    for word in ["embed.ipxe", "autoexec.ipxe", "this serves x64"] {
        assert!(text.warnings.iter().any(|warning| warning.contains(word)), "{word}: {:?}", text.warnings);
    }
    assert_eq!(text.undo.matches("no ip dhcp pool moxxie-").count(), 4);
    assert_eq!(text.undo.matches("no ip dhcp excluded-address").count(), 3);

    let yours = write(&[("mode", "uefi-pool"), ("pool", "LAN"), ("arch", "bios")]).unwrap();
    let script = commands(&yours.script);
    assert!(
        script.contains("ip dhcp pool LAN\n next-server 10.0.9.10\n bootfile undionly.kpxe\n exit\n"),
        "{script}"
    );
    assert!(!script.contains("excluded") && !yours.undo.contains("no ip dhcp pool"), "{script}");
}

#[test]
fn refusals_name_the_value_and_the_way_out() {
    for (given, key, way) in [
        (&[("family", "accton"), ("mode", "uefi-pool")][..], "mode", "mode=relay"),
        (&[("family", "picos")], "vlan", "needed"),
        (&[("mode", "uefi-pool"), ("stage2", "class")], "stage2", "stage2=embedded"),
        (&[("mode", "uefi-pool"), ("arch", "http-x64,http-arm64")], "arch", "mode=relay"),
        (&[("mode", "uefi-pool"), ("pool", "my pool")], "pool", "quoting"),
        (&[("dhcp_server", "dhcp1")], "dhcp_server", "10.0.0.10"),
        (&[("dhcp_server", "10.0.9.1 255.255.255.255")], "dhcp_server", "10.0.0.10"),
        (&[("dhcp_server", "10.0.10.1")], "dhcp_server", "itself"),
        (&[("dhcp_server", "10.0.9.1/24")], "dhcp_server", "10.0.0.10"),
        (&[("boot_url", "http://boot.example/boot/menu.ipxe")], "dhcp_server", "name"),
        (&[("mode", "proxydhcp-beside"), ("arch", "http-x64")], "arch", "mode=relay"),
        (&[("interface", "range a b")], "interface", "number"),
        (&[("interface", "VLAN 11"), ("vlan", "10")], "interface", "VLAN 11"),
    ] {
        let problem = write(given).unwrap_err();
        assert_eq!(problem.key, key, "{given:?}: {problem}");
        assert!(problem.message.contains(way), "{given:?}: {problem}");
    }
}

#[test]
fn what_cannot_be_known_is_said() {
    let text = write(&[("mode", "proxydhcp-beside"), ("pool", "LAN")]).unwrap();
    assert_eq!(commands(&text.script), "");
    assert!(text.script.contains("pool LAN, which is yours"), "{}", text.script);
    let ours = write(&[("mode", "proxydhcp-beside"), ("pool", "moxxie-lan")]).unwrap();
    assert!(ours.script.contains("ip dhcp pool moxxie-lan\n no bootfile\n"), "{}", ours.script);
    for family in ["accton", "bdcom", "centec"] {
        let text = write(&[("family", family), ("interface", "bridge1"), ("dhcp_server", "10.0.9.11")]);
        if family == "accton" {
            assert!(text.unwrap().warnings.iter().any(|w| w.contains("does not look like a port")));
        } else {
            assert!(text.unwrap().script.contains("By hand"));
        }
    }
}

/// A running configuration of RGOS style with much that is none of our business.
const RUNNING: &str = "S5860_FSOS 12.4(1)B0101\r
version 12.4\r
hostname leaf-1\r
!\r
username admin secret 5 $1$abc?!\"';\r
ip dhcp pool OFFICE\r
 network 192.168.5.0 255.255.255.0\r
 bootfile other.efi\r
!\r
service dhcp\r
vlan range 1,10,20\r
!\r
interface TenGigabitEthernet 0/48\r
 switchport mode trunk\r
 ip dhcp snooping trust\r
!\r
interface TenGigabitEthernet 0/1\r
 description \"cp-1\"\r
 switchport access vlan 10\r
 spanning-tree portfast\r
!\r
interface VLAN 10\r
 ip address 10.0.10.1 255.255.255.0\r
 ip helper-address 10.0.9.12\r
 ip helper-address 10.0.9.11\r
!\r
end\r
";

fn relay() -> String {
    let given = [
        ("vlan", "10"),
        ("interface", "Te 0/1"),
        ("uplink", "tengigabitethernet 0/48"),
        ("dhcp_server", "10.0.9.11 10.0.9.12"),
    ];
    write(&given).unwrap().script
}

fn short(differences: Option<Vec<Difference>>) -> Vec<String> {
    let show = |d: Difference| format!("{:?} {} [{}] [{}]", d.kind, d.what, d.wanted, d.found);
    differences.unwrap().into_iter().map(show).collect()
}

#[test]
fn a_relay_that_drifted() {
    let wanted = relay();
    assert_eq!(fs().compare(&wanted, RUNNING), Some(Vec::new()));
    for (from, to, expected) in [
        (
            " ip helper-address 10.0.9.12\r\n",
            "",
            "Missing interface vlan10: ip helper-address 10.0.9.12 [ip helper-address 10.0.9.12] []",
        ),
        (
            " spanning-tree portfast\r\n",
            "",
            "Missing interface te0/1: spanning-tree portfast [spanning-tree portfast] []",
        ),
        (
            " ip dhcp snooping trust\r\n",
            "",
            "Missing interface tengigabitethernet0/48: ip dhcp snooping trust [ip dhcp snooping trust] []",
        ),
        ("\nservice dhcp", "\nno service dhcp", "Changed service dhcp [service dhcp] [no service dhcp]"),
        (
            "\nservice dhcp",
            "\nip dhcp relay check server-id\r\nservice dhcp",
            "Extra ip dhcp relay check server-id [] [ip dhcp relay check server-id]",
        ),
        (
            "192.168.5.0 255.255.255.0",
            "10.0.0.0 255.255.0.0",
            "Extra ip dhcp pool OFFICE [] [network 10.0.0.0 255.255.0.0; bootfile other.efi]",
        ),
        (
            "192.168.5.0 255.255.255.0",
            "10.0.10.0/24",
            "Extra ip dhcp pool OFFICE [] [network 10.0.10.0/24; bootfile other.efi]",
        ),
        (
            "192.168.5.0 255.255.255.0",
            "strange",
            "Extra ip dhcp pool OFFICE [] [network strange; bootfile other.efi]",
        ),
        (
            "network 192.168.5.0 255.255.255.0",
            "host 10.0.10.7 255.255.255.0",
            "Extra ip dhcp pool OFFICE [] [host 10.0.10.7 255.255.255.0; bootfile other.efi]",
        ),
    ] {
        let running = RUNNING.replacen(from, to, 1);
        assert_ne!(running, RUNNING, "{from:?}");
        assert_eq!(short(fs().compare(&wanted, &running)), [expected]);
    }
    // A list for the whole switch counts where the interface has none.
    let own = " ip helper-address 10.0.9.12\r\n ip helper-address 10.0.9.11\r\n";
    let global = "ip helper-address 10.0.9.12\r\nip helper-address 10.0.9.11\r\nservice dhcp\r\n";
    let running = RUNNING.replace(own, "").replace("service dhcp\r\n", global);
    assert_eq!(fs().compare(&wanted, &running), Some(Vec::new()));
}

#[test]
fn blocks_in_another_order_are_the_same() {
    let mut blocks: Vec<&str> = RUNNING.split("!\r\n").collect();
    blocks.reverse();
    assert_eq!(fs().compare(&relay(), &blocks.join("!\r\n")), Some(Vec::new()));
}

#[test]
fn a_pool_that_drifted() {
    let given = [("mode", "uefi-pool"), ("leases", "static"), ("tftp", "moxxie")];
    let wanted = write(&given).unwrap().script;
    let running = commands(&wanted);
    let with = |from: &str, to: &str| {
        let changed = running.replacen(from, to, 1);
        assert_ne!(changed, running, "{from:?}");
        short(fs().compare(&wanted, &changed))
    };
    let pool = "ip dhcp pool moxxie-10-0-10-0";
    assert_eq!(
        with(" bootfile ipxe.efi", " bootfile snponly.efi"),
        [format!("Changed {pool}: bootfile [bootfile ipxe.efi] [bootfile snponly.efi]")]
    );
    assert_eq!(
        with(" hardware-address 5254.00aa.0001 ethernet", " hardware-address 5254.00AA.0002"),
        [
            "Changed ip dhcp pool moxxie-525400aa0001: hardware-address [hardware-address 5254.00aa.0001 ethernet] \
          [hardware-address 5254.00AA.0002]"
        ]
    );
    // The same address, spelt as a release may.
    for same in ["5254.00AA.0001", "5254.00aa.0001 1", "52:54:00:AA:00:01 ethernet"] {
        let same = format!(" hardware-address {same}\n");
        assert!(with(" hardware-address 5254.00aa.0001 ethernet\n", &same).is_empty(), "{same}");
    }
    assert_eq!(
        with(" next-server 10.0.9.10\n", ""),
        [format!("Missing {pool}: next-server [next-server 10.0.9.10] []")]
    );
    assert_eq!(
        with(" lease 0 1 0\n", " lease 0 1 0\n option 67 ascii ipxe.efi\n"),
        [format!("Extra {pool}: option 67 [] [option 67 ascii ipxe.efi]")]
    );
    assert_eq!(
        with("service dhcp\n", "service dhcp\ninterface VLAN 10\n ip helper-address 10.0.9.11\n"),
        ["Extra interface vlan10: ip helper-address 10.0.9.11 [] [ip helper-address 10.0.9.11]"]
    );
    assert_eq!(
        with(
            "service dhcp\n",
            "service dhcp\nip dhcp pool moxxie-525400aaffff\n host 10.0.10.9 255.255.255.0\n"
        ),
        ["Extra ip dhcp pool moxxie-525400aaffff [] [host 10.0.10.9 255.255.255.0]"]
    );
    assert_eq!(
        with("service dhcp\n", "service dhcp\nip dhcp pool LAN\n network 10.0.10.0 255.255.255.0\n"),
        ["Extra ip dhcp pool LAN [] [network 10.0.10.0 255.255.255.0]"]
    );
    assert!(
        with("ip dhcp pool moxxie-525400aa0002\n", "ip dhcp pool x\n")[0]
            .starts_with("Missing ip dhcp pool moxxie-525400aa0002 [host")
    );
}

#[test]
fn a_pool_beside_a_proxy_that_says_what_to_boot() {
    let wanted = write(&[("mode", "proxydhcp-beside"), ("pool", "OFFICE")]).unwrap().script;
    let running = RUNNING
        .replace("192.168.5.0", "10.0.10.0")
        .replace("other.efi\r\n", "other.efi\r\n option 66 ip 10.0.9.10\r\n");
    assert_eq!(
        short(fs().compare(&wanted, &running)),
        [
            "Extra ip dhcp pool OFFICE: bootfile [] [bootfile other.efi]",
            "Extra ip dhcp pool OFFICE: option 66 [] [option 66 ip 10.0.9.10]"
        ]
    );
    assert_eq!(fs().compare(&wanted, RUNNING), Some(Vec::new()));
}

#[test]
fn picos_that_drifted() {
    let wanted =
        write(&[("family", "picos"), ("vlan", "10"), ("dhcp_server", "10.0.9.11 10.0.9.12")]).unwrap().script;
    let running = commands(&wanted)
        .replace("disable false", "disable true")
        .replace("dhcp-server-address 10.0.9.12", "dhcp-server-address 10.0.9.13")
        .replace("relay-agent-address 10.0.10.1", "relay-agent-address \"10.0.10.1\"");
    let path = "protocols dhcp relay interface vlan10";
    assert_eq!(
        short(fs().compare(&wanted, &running)),
        [
            format!("Changed {path} disable [false] [true]"),
            format!("Missing {path} dhcp-server-address [10.0.9.12] []")
        ]
    );
    assert_eq!(fs().compare(&wanted, "vlans {\n}\n"), None, "not in the form to read");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn hostile_configurations_are_only_read(
        running in "(([ \t]{0,2}(interface|ip dhcp pool|network|host|set|bootfile|option 67|no|ip helper-address|[a-z]|.)[ ]?){0,6}[\r\n]{1,2}){0,12}"
    ) {
        for wanted in [&*relay(), POOL, "set protocols dhcp relay interface vlan10 disable false\n"] {
            for found in [fs().compare(wanted, &running), fs().compare(&running, wanted)] {
                for difference in found.unwrap_or_default() {
                    prop_assert!(difference.found.bytes().all(|b| (0x20..0x7f).contains(&b)));
                }
            }
        }
    }
}

const POOL: &str =
    "! FS.com, family rgos, mode uefi-pool\n! -> 10.0.0.0/24\nip dhcp pool moxxie-a\n bootfile b\n";
