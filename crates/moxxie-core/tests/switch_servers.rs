//! The dialects of DHCP servers: their golden files before the real programs' own checks, exactly
//! one rule for every kind of client, two networks beside each other, and what they refuse.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod programs;

use moxxie_core::switch::{Known, Network, Written, find};
use programs::program;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

fn known() -> Known {
    let lease = |mac: &str, node: &str, address: &str| moxxie_core::switch::Lease {
        mac: mac.parse().unwrap(),
        node: node.parse().unwrap(),
        address: address.parse().unwrap(),
        arch: None,
    };
    Known {
        boot_url: Some("http://10.0.0.10:8080/boot/menu.ipxe".parse().unwrap()),
        subnet: Some("10.0.0.0/24".parse().unwrap()),
        tftp: true,
        leases: vec![
            lease("52:54:00:aa:00:01", "cp-1", "10.0.0.128"),
            lease("52:54:00:aa:00:02", "worker-1.rack2", "10.0.0.200"),
            lease("52:54:00:aa:00:03", "worker-2", "10.0.0.51"),
        ],
    }
}

fn written(dialect: &str, given: &[(&str, &str)]) -> Result<Written, String> {
    let dialect = find(dialect).unwrap();
    let given: Vec<(String, String)> =
        given.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let network = Network::read(dialect, &given, &known()).map_err(|problems| format!("{problems:?}"))?;
    dialect.write(&network).map_err(|problem| problem.to_string())
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The scripts of a dialect's golden files.
fn golden(dialect: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/switch").join(dialect);
    let mut files: Vec<(String, String)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let (script, _) = text.split_once("\n----- undo -----\n").unwrap();
            (path.display().to_string(), script.to_owned())
        })
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

/// What no golden file has: iPXE that is told nothing, and fixed addresses at both ends of the range.
fn unusual(dialect: &str) -> Vec<(String, String)> {
    let given = [("stage2", "embedded"), ("leases", "static"), ("pool", "10.0.0.128-10.0.0.200")];
    let script = written(dialect, &given).unwrap().script;
    vec![("the unusual".to_owned(), script)]
}

/// What EdgeOS puts into dnsmasq's configuration.
fn of_edgeos(script: &str) -> String {
    let option = |line: &str| {
        let value = line.strip_prefix("set service dns forwarding options '")?.strip_suffix('\'')?;
        Some(format!("{value}\n"))
    };
    script.lines().filter_map(option).collect()
}

/// What OpenWrt's init script (23.05.4) makes of the sections: `tag:` before a boot section's
/// `networkid`, nothing before that of its options.
fn of_openwrt(script: &str) -> String {
    let sections: BTreeSet<&str> = script
        .lines()
        .filter_map(|line| line.strip_prefix("uci set dhcp.moxxie_")?.split(['.', '=']).next())
        .collect();
    let get = |section: &str, key: &str| {
        let start = format!("dhcp.moxxie_{section}{key}='");
        let rest = script.split_once(&start)?.1;
        Some(rest.split_once('\'')?.0.to_owned())
    };
    let mut out = String::new();
    for section in sections.into_iter().filter(|section| *section != "before") {
        let value = |key: &str| get(section, key).unwrap_or_else(|| panic!("{section}{key}"));
        out += &match value("").as_str() {
            "boot" => format!(
                "dhcp-boot=tag:{},{},{},{}\n",
                value(".networkid"),
                value(".filename"),
                value(".servername"),
                value(".serveraddress")
            ),
            "match" => format!("dhcp-match=set:{},{}\n", value(".networkid"), value(".match")),
            "userclass" => format!("dhcp-userclass=set:{},{}\n", value(".networkid"), value(".userclass")),
            "host" => format!("dhcp-host={},{},{}\n", value(".mac"), value(".ip"), value(".name")),
            other => panic!("{section}: {other}"),
        };
        if let Some(option) = get(section, ".dhcp_option") {
            assert_eq!(value(".force"), "1");
            out += &format!("dhcp-option-force={},{option}\n", value(".networkid"));
        }
    }
    out
}

/// A dialect's golden files as dnsmasq reads them.
fn dnsmasq_files() -> Vec<(String, String)> {
    let all = [
        ("dnsmasq", (|script| script.to_owned()) as fn(&str) -> String),
        ("proxmox-sdn", |script| script.to_owned()),
        ("edgeos", of_edgeos),
        ("openwrt", of_openwrt),
    ];
    all.into_iter()
        .flat_map(|(dialect, read)| {
            golden(dialect).into_iter().map(move |(name, script)| (name, read(&script)))
        })
        .collect()
}

#[test]
fn dnsmasq_accepts_every_golden_file() {
    let folder = tempfile::tempdir().unwrap();
    let Some(dnsmasq) = program("dnsmasq", folder.path()) else { return };
    let check = |text: &str| {
        let file = folder.path().join("conf");
        std::fs::write(&file, text).unwrap();
        Command::new(&dnsmasq).arg("--test").arg("-C").arg(file).output().unwrap()
    };
    let both = two_networks("dnsmasq", &[]).map(|written| written.script).concat();
    for (name, text) in
        dnsmasq_files().into_iter().chain(unusual("dnsmasq")).chain([("two networks".into(), both)])
    {
        let output = check(&text);
        assert!(output.status.success(), "{name}: {}", said(&output));
    }
    assert!(!check("dhcp-bootfile=x\n").status.success(), "the check checks nothing");
}

#[test]
fn kea_accepts_every_golden_file() {
    let folder = tempfile::tempdir().unwrap();
    let Some(kea) = program("kea-dhcp4", folder.path()) else { return };
    let check = |text: &str| {
        // Kea refuses an interface that is not there.
        let file = folder.path().join("conf");
        std::fs::write(&file, text.replace("\"bridge1\"", "\"*\"")).unwrap();
        let mut command = Command::new(&kea);
        command.env("KEA_LOCKFILE_DIR", folder.path()).env("KEA_PIDFILE_DIR", folder.path());
        command.arg("-t").arg(file).output().unwrap()
    };
    for (name, text) in golden("kea").into_iter().chain(unusual("kea")) {
        let output = check(&text);
        assert!(output.status.success(), "{name}: {}", said(&output));
    }
    assert!(!check("{\"Dhcp4\": {\"bootfile\": 1}}").status.success(), "the check checks nothing");
}

#[test]
fn dhcpd_accepts_every_golden_file() {
    let folder = tempfile::tempdir().unwrap();
    let Some(dhcpd) = program("dhcpd", folder.path()) else { return };
    let check = |text: &str| {
        let file = folder.path().join("conf");
        std::fs::write(&file, text).unwrap();
        Command::new(&dhcpd).arg("-t").arg("-cf").arg(file).output().unwrap()
    };
    let both = two_networks("isc-dhcpd", &[]).map(|written| written.script).concat();
    for (name, text) in
        golden("isc-dhcpd").into_iter().chain(unusual("isc-dhcpd")).chain([("two networks".into(), both)])
    {
        let output = check(&text);
        assert!(output.status.success(), "{name}: {}", said(&output));
    }
    assert!(!check("authoritative\n").status.success(), "the check checks nothing");
}

/// A client: option 93, whether it is iPXE, and what it has to load of an unabridged configuration.
const CLIENTS: &[(Option<&str>, bool, &[&str])] = &[
    (None, false, &[]),
    (Some("0"), false, &["undionly.kpxe"]),
    (Some("6"), false, &["ipxe-i386.efi"]),
    (Some("7"), false, &["ipxe.efi"]),
    (Some("9"), false, &["ipxe.efi"]),
    (Some("11"), false, &["ipxe-arm64.efi"]),
    (Some("16"), false, &["http://10.0.0.10:8080/boot/firmware/ipxe.efi"]),
    (Some("19"), false, &["http://10.0.0.10:8080/boot/firmware/ipxe-arm64.efi"]),
    (Some("0"), true, &["http://10.0.0.10:8080/boot/menu.ipxe"]),
    (Some("7"), true, &["http://10.0.0.10:8080/boot/menu.ipxe"]),
    (Some("9"), true, &["http://10.0.0.10:8080/boot/menu.ipxe"]),
    (Some("11"), true, &["http://10.0.0.10:8080/boot/menu.ipxe"]),
];

/// Every file that dnsmasq's rules hold for a client, in their order.
fn loads(conf: &str, arch: Option<&str>, ipxe: bool) -> Vec<String> {
    let mut tags = BTreeSet::from(["moxxie_net_10_0_0_0".to_owned(), "myzone-10.0.0.0-24".to_owned()]);
    for line in conf.lines() {
        let matched = match line.split_once('=') {
            Some(("dhcp-userclass", value)) => value.strip_suffix(",iPXE").filter(|_| ipxe),
            Some(("dhcp-match", value)) => match value.split_once(',').unwrap() {
                (set, "175") => Some(set).filter(|_| ipxe),
                (set, option) => {
                    Some(set).filter(|_| option.strip_prefix("option:client-arch,") == arch && arch.is_some())
                }
            },
            _ => None,
        };
        tags.extend(matched.map(|set| set.strip_prefix("set:").unwrap().to_owned()));
    }
    let fits = |tag: &str| match tag.strip_prefix('!') {
        Some(absent) => !tags.contains(absent),
        None => tags.contains(tag),
    };
    conf.lines()
        .filter_map(|line| line.strip_prefix("dhcp-boot="))
        .filter_map(|value| {
            let mut wanted = true;
            let mut fields = value.split(',');
            loop {
                let field = fields.next()?;
                match field.strip_prefix("tag:") {
                    Some(tag) => wanted &= fits(tag),
                    None => return wanted.then(|| field.to_owned()),
                }
            }
        })
        .collect()
}

#[test]
fn exactly_one_rule_fits_each_client() {
    let proxmox = written("proxmox-sdn", &[("dhcp_server", "myzone")]).unwrap().script;
    let files = [
        ("dnsmasq", written("dnsmasq", &[]).unwrap().script),
        ("edgeos", of_edgeos(&written("edgeos", &[]).unwrap().script)),
        ("openwrt", of_openwrt(&written("openwrt", &[]).unwrap().script)),
        ("proxmox-sdn", proxmox),
    ];
    for (name, conf) in &files {
        for (arch, ipxe, wanted) in CLIENTS {
            assert_eq!(loads(conf, *arch, *ipxe), *wanted, "{name}: option 93 {arch:?}, iPXE {ipxe}");
        }
    }
    for (name, given) in [("dnsmasq", [("stage2", "embedded")]), ("edgeos", [("stage2", "embedded")])] {
        let conf = written(name, &given).unwrap().script;
        let conf = if name == "edgeos" { of_edgeos(&conf) } else { conf };
        assert!(loads(&conf, Some("7"), true).is_empty(), "{name}: iPXE is told a loader");
        assert_eq!(loads(&conf, Some("7"), false), ["ipxe.efi"]);
    }
}

#[test]
fn proxmox_rules_hang_on_the_subnet_and_the_zone_cannot_leave_its_folder() {
    let script = written("proxmox-sdn", &[("dhcp_server", "myzone")]).unwrap();
    assert!(script.script.contains("/etc/dnsmasq.d/myzone/50-moxxie-10-0-0-0.conf"), "{}", script.script);
    assert!(script.script.contains("dhcp-boot=tag:myzone-10.0.0.0-24,tag:!moxxie_ipxe,tag:moxxie_bios,"));
    assert!(!script.script.contains("dhcp-range"));
    assert_eq!(script.undo.lines().next(), Some("rm -f /etc/dnsmasq.d/myzone/50-moxxie-10-0-0-0.conf"));
    for bad in ["a/b", "a.b", "Zone", "a-b", "toolongname", "x", "1zone", "my zone"] {
        let problem = written("proxmox-sdn", &[("dhcp_server", bad)]).unwrap_err();
        assert!(problem.starts_with("dhcp_server: "), "{bad}: {problem}");
    }
}

#[test]
fn what_a_server_cannot_carry_is_refused() {
    for dialect in ["dnsmasq", "kea", "isc-dhcpd"] {
        let problem = written(dialect, &[("pool", "dhcp_pool")]).unwrap_err();
        assert!(problem.starts_with("pool: "), "{dialect}: {problem}");
        let problem = written(dialect, &[("interface", "VLAN 10")]).unwrap_err();
        assert!(problem.starts_with("interface: "), "{dialect}: {problem}");
        assert!(written(dialect, &[("pool", "10.0.0.20-10.0.0.30")]).unwrap().script.contains("10.0.0.20"));
    }
    let long = format!("http://{}:8080/x", "a".repeat(90));
    for dialect in ["dnsmasq", "kea", "isc-dhcpd", "edgeos", "openwrt", "proxmox-sdn"] {
        let given = [("boot_url".to_owned(), long.clone())];
        let problems = Network::read(find(dialect).unwrap(), &given, &Known::default()).unwrap_err();
        assert_eq!(problems[0].key, "boot_url", "{dialect}: {problems:?}");
        written(dialect, &[("boot_url", &long), ("arch", "bios,x64")]).unwrap();
    }
    let problem = written("dnsmasq", &[("mode", "proxy"), ("arch", "http-x64")]).unwrap_err();
    assert!(problem.starts_with("arch: "), "{problem}");
}

#[test]
fn dhcpd_never_hands_out_a_fixed_address_to_another() {
    let script = written("isc-dhcpd", &[("leases", "static")]).unwrap().script;
    let ranges: Vec<&str> = script.lines().filter_map(|line| line.strip_prefix("  range ")).collect();
    assert_eq!(ranges, ["10.0.0.129 10.0.0.199;", "10.0.0.201 10.0.0.254;"]);
    assert!(script.contains("host moxxie-52-54-00-aa-00-03 {"));
}

#[test]
fn a_reservation_never_has_a_file_of_its_own() {
    for dialect in ["dnsmasq", "kea", "isc-dhcpd", "edgeos", "openwrt", "proxmox-sdn"] {
        let with = written(dialect, &[("leases", "static")]).unwrap().script;
        let without = written(dialect, &[]).unwrap().script;
        for file in ["undionly.kpxe", "boot/menu.ipxe", "ipxe-arm64.efi"] {
            assert_eq!(with.matches(file).count(), without.matches(file).count(), "{dialect} {file}");
        }
        assert!(with.contains("52:54:00:aa:00:02") && with.contains("10.0.0.200"), "{dialect}");
    }
}

/// `uci` and `wget` as far as the script uses them. The state is lines of `dhcp.section.key=value`.
const ROUTER: &str = r#"
newline='
'
# Walks over the lines without a program for each: IFS is a line break meanwhile.
drop() {
    kept= IFS=$newline
    for line in $STATE; do
        case $line in "$1="* | "$1."*) ;; *) kept=$kept$line$newline ;; esac
    done
    unset IFS
    STATE=$kept
}
uci() {
    [ "$1" = -q ] && shift
    case $2 in *'@dnsmasq[0]'*) set -- "$1" "${2%%@dnsmasq*}cfg01${2#*]}" ;; esac
    case $1 in
    get)
        IFS=$newline
        for line in $STATE; do
            case $line in "$2="*) unset IFS; echo "${line#*=}"; return 0 ;; esac
        done
        unset IFS
        return 1 ;;
    set)
        case $2 in dhcp.*.*=*) drop "${2%%=*}" ;; esac
        STATE=$STATE$2$newline ;;
    add_list) STATE=$STATE$2$newline ;;
    delete) drop "$2" ;;
    show) printf %s "$STATE" ;;
    commit) ;;
    *) echo "uci $1" >&2 ;;
    esac
}
wget() { echo "$4" > "$3"; }
"#;

#[test]
fn openwrt_ends_where_it_began() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let all = written("openwrt", &[("leases", "static")]).unwrap();
    let fewer = written("openwrt", &[("arch", "x64")]).unwrap().script;
    let root = folder.join("tftp").display().to_string();
    let notes = std::cell::RefCell::new(String::new());
    let run = |state: &[String], script: &str| -> Vec<String> {
        let script = script.replace("/etc/init.d/dnsmasq restart", "true").replace("/srv/moxxie-tftp", &root);
        let script = format!("{ROUTER}{script}\nprintf %s \"$STATE\"\n");
        let state: String = state.iter().map(|line| format!("{line}\n")).collect();
        let output = Command::new("/bin/sh").arg("-c").arg(script).env("STATE", state).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        notes.replace(String::from_utf8_lossy(&output.stderr).into_owned());
        let mut lines: Vec<String> =
            String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let has = |lines: &[String], wanted: &str| lines.iter().any(|line| line == wanted);
    for begun in [
        "dhcp.cfg01.domain=lan dhcp.cfg01=dnsmasq dhcp.lan.start=100 dhcp.lan=dhcp",
        "dhcp.cfg01.enable_tftp=0 dhcp.cfg01.noping=0 dhcp.cfg01=dnsmasq dhcp.mine=boot",
    ] {
        let begun: Vec<String> = begun.split(' ').map(str::to_owned).collect();
        let once = run(&begun, &all.script);
        assert!(has(&once, "dhcp.cfg01.noping=1") && has(&once, "dhcp.moxxie_bios_boot=boot"), "{once:?}");
        assert_eq!(run(&once, &all.script), once, "the second run changes something");
        let less = run(&once, &fewer);
        assert!(!less.iter().any(|line| line.contains("moxxie_bios") || line.contains("moxxie_host")));
        assert!(has(&less, "dhcp.moxxie_efi64_boot=boot"));
        assert_eq!(run(&less, &all.undo), begun, "the undo leaves something, or takes more");
        assert_eq!(*notes.borrow(), "");
    }

    // A TFTP folder that somebody uses: nothing of his is overwritten or removed.
    let all = written("openwrt", &[("arch", "bios,x64")]).unwrap();
    let mine = folder.join("mine");
    std::fs::create_dir(&mine).unwrap();
    std::fs::write(mine.join("ipxe.efi"), "his own").unwrap();
    let read = |name: &str| std::fs::read_to_string(mine.join(name)).unwrap_or_default();
    let begun = vec![format!("dhcp.cfg01.tftp_root={}", mine.display()), "dhcp.cfg01=dnsmasq".to_owned()];
    let mut kept = begun.clone();
    for _ in 0..2 {
        kept = run(&kept, &all.script);
        assert!(notes.borrow().contains("mine/ipxe.efi is yours and stays"), "{}", notes.borrow());
        assert_eq!(notes.borrow().lines().count(), 1, "{}", notes.borrow());
        assert_eq!(read("ipxe.efi"), "his own");
        assert!(read("undionly.kpxe").contains("/boot/firmware/undionly.kpxe"), "{kept:?}");
    }
    assert_eq!(run(&kept, &all.undo), begun);
    let left: Vec<_> = std::fs::read_dir(&mine).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(left, ["ipxe.efi"], "the undo takes what was fetched and nothing else");

    // The fixed addresses of another network of the same router stay, whichever script runs.
    let [first, second] = two_networks("openwrt", &[("leases", "static"), ("arch", "bios")]);
    let begun = vec!["dhcp.cfg01=dnsmasq".to_owned()];
    let hosts = |lines: &[String]| lines.iter().filter(|line| line.ends_with("=host")).count();
    let both = run(&run(&begun, &first.script), &second.script);
    assert_eq!(hosts(&both), 3, "{both:?}");
    assert_eq!(hosts(&run(&both, &second.undo)), 3);
    assert_eq!(hosts(&run(&both, &first.undo)), 0);
}

/// The files that shell commands write or remove.
fn paths(text: &str) -> BTreeSet<&str> {
    text.split([' ', '"', '\'', ';', '|', '\n'])
        .map(|word| word.trim_end_matches(['$', ',', ':']))
        .filter(|word| word.ends_with(".conf") && word.contains("moxxie"))
        .collect()
}

/// What two networks of one server are told, each with its own addresses.
fn two_networks(dialect: &str, more: &[(&str, &str)]) -> [Written; 2] {
    [("10.0.0.0/24", "10.0.0.1"), ("10.0.1.0/24", "10.0.1.1")].map(|(subnet, gateway)| {
        let reads = |key: &str| find(dialect).unwrap().reads().contains(&key);
        let mut given = vec![("subnet", subnet)];
        given.extend([("gateway", gateway)].into_iter().filter(|(key, _)| reads(key)));
        given.extend(more);
        written(dialect, &given).unwrap()
    })
}

#[test]
fn two_networks_stand_beside_each_other() {
    for (dialect, more) in [
        ("dnsmasq", &[][..]),
        ("dnsmasq", &[("mode", "proxy")]),
        ("isc-dhcpd", &[]),
        ("proxmox-sdn", &[("dhcp_server", "myzone")]),
        ("opnsense", &[("interface", "igc1")]),
    ] {
        let [first, second] = two_networks(dialect, more).map(|written| {
            let files: BTreeSet<String> =
                paths(&written.script).union(&paths(&written.undo)).map(|file| (*file).to_owned()).collect();
            assert_eq!(files.len(), 1, "{dialect}: {files:?}");
            (files, written)
        });
        assert!(first.0.is_disjoint(&second.0), "{dialect} {more:?}: {:?}", first.0);
        // The folder of loaders is both's, so it only goes when no file names it.
        let removed = second.1.undo.lines().filter(|line| line.starts_with("rm -rf"));
        assert_eq!(removed.count(), 0, "{dialect}: {}", second.1.undo);
    }
    let net = |written: &Written| {
        let (_, rest) = written.script.split_once("dhcp-range=set:").unwrap();
        rest.split_once(',').unwrap().0.to_owned()
    };
    for mode in ["server", "proxy"] {
        let [first, second] = two_networks("dnsmasq", &[("mode", mode)]);
        assert_eq!([net(&first), net(&second)], ["moxxie_net_10_0_0_0", "moxxie_net_10_0_1_0"]);
        for line in second.script.lines().filter(|line| {
            ["dhcp-boot=", "dhcp-option", "pxe-"].iter().any(|keyword| line.starts_with(keyword))
        }) {
            assert!(line.contains("=tag:moxxie_net_10_0_1_0,"), "{line}");
        }
    }
    let ids = two_networks("kea", &[]).map(|written| {
        let (_, rest) = written.script.split_once("\"id\": ").unwrap();
        rest.split_once(',').unwrap().0.to_owned()
    });
    assert_ne!(ids[0], ids[1]);
}

/// What holds for a whole server, and what would take something from its other networks.
#[test]
fn other_networks_keep_what_they_have() {
    for mode in ["server", "proxy"] {
        let script = written("dnsmasq", &[("mode", mode), ("interface", "eth1")]).unwrap().script;
        let lines: Vec<&str> = script.lines().collect();
        assert!(lines.contains(&"enable-tftp=eth1"), "{script}");
        assert!(lines.contains(&"tftp-root=/var/lib/moxxie-tftp,eth1"), "{script}");
        let deaf = lines.iter().find(|line| line.starts_with("interface=") || line.starts_with("bind-"));
        assert_eq!(deaf, None);
    }
    let everywhere = written("dnsmasq", &[]).unwrap();
    assert!(everywhere.warnings.iter().any(|note| note.contains("a tftp-root of your own is replaced")));
    let script = written("isc-dhcpd", &[]).unwrap().script;
    let (before, within) = script.split_once("\nsubnet ").unwrap();
    for word in ["authoritative;", "ping-check false;"] {
        assert!(within.contains(word) && !before.contains(word), "{word} holds for the whole server");
    }
    assert!(!script.contains("ddns-update-style"));
}

#[test]
fn a_named_tftp_server_is_the_one_even_if_it_is_the_router() {
    for dialect in ["dnsmasq", "edgeos", "proxmox-sdn", "opnsense"] {
        let own = written(dialect, &[]).unwrap().script;
        assert!(own.contains("enable-tftp") && own.contains(",undionly.kpxe"), "{dialect}");
        let named = written(dialect, &[("next_server", "10.0.0.1")]).unwrap().script;
        assert!(!named.contains("enable-tftp"), "{dialect}");
        assert!(named.contains(",undionly.kpxe,,10.0.0.1"), "{dialect}: {named}");
        let http = written(dialect, &[("arch", "http-x64")]).unwrap().script;
        assert!(!http.contains("enable-tftp"), "{dialect}");
    }
}

#[test]
fn loaders_are_fetched_for_the_tftp_folder() {
    let written = written("dnsmasq", &[("arch", "bios,x64"), ("secure_boot", "yes")]).unwrap();
    let (name, script) = &written.companions[0];
    assert_eq!(name, "moxxie-loaders.sh");
    assert!(
        script
            .contains("for file in 'undionly.kpxe' 'ipxe-sb-shimx64.efi' 'ipxe-sb.efi' 'autoexec.ipxe'; do"),
        "{script}"
    );
    assert!(script.contains("'http://10.0.0.10:8080/boot/firmware/'\"$file\""), "{script}");

    let folder = tempfile::tempdir().unwrap();
    let script = script.replace("/var/lib/moxxie-tftp", &folder.path().display().to_string());
    let run = |curl: &str| {
        let script = format!("curl() {{ echo part > \"$3\"; {curl}; }}\n{script}");
        let output = Command::new("/bin/sh").arg("-c").arg(script).output().unwrap();
        let mut names: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
        names.sort();
        (output.status.code(), said(&output).lines().count(), names)
    };
    assert_eq!(run("return 22"), (Some(1), 4, vec![]), "nothing is fetched, and nothing is left half");
    let (code, lines, names) = run("case $3 in *kpxe*) return 22 ;; esac");
    assert_eq!((code, lines), (Some(1), 1));
    assert_eq!(names, ["autoexec.ipxe", "ipxe-sb-shimx64.efi", "ipxe-sb.efi"]);
    assert_eq!((run("true").0, run("true").2.len()), (Some(0), 4));
}
