//! The dialects of DHCP servers: their golden files before the real programs' own checks, exactly
//! one rule for every kind of client, and what they refuse. A check whose program is not installed
//! says so and passes.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use moxxie_core::switch::{Known, Network, Written, find};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
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

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("moxxie-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn put(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A server's program, where it is installed.
fn program(name: &str) -> Option<PathBuf> {
    let found = ["/usr/sbin", "/usr/local/sbin", "/usr/bin", "/sbin"]
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.exists());
    if found.is_none() {
        eprintln!("{name} is not installed: its own check of the golden files was skipped");
    }
    found
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
    let Some(dnsmasq) = program("dnsmasq") else { return };
    let folder = Folder::new("dnsmasq");
    let check = |text: &str| {
        let file = folder.put("conf", text);
        Command::new(&dnsmasq).arg("--test").arg("-C").arg(file).output().unwrap()
    };
    for (name, text) in dnsmasq_files() {
        let output = check(&text);
        assert!(output.status.success(), "{name}: {}", said(&output));
    }
    assert!(!check("dhcp-bootfile=x\n").status.success(), "the check checks nothing");
}

#[test]
fn kea_accepts_every_golden_file() {
    let Some(kea) = program("kea-dhcp4") else { return };
    let folder = Folder::new("kea");
    let check = |text: &str| {
        // Kea refuses an interface that is not there.
        let file = folder.put("conf", &text.replace("\"bridge1\"", "\"*\""));
        let mut command = Command::new(&kea);
        command.env("KEA_LOCKFILE_DIR", &folder.0).env("KEA_PIDFILE_DIR", &folder.0);
        command.arg("-t").arg(file).output().unwrap()
    };
    for (name, text) in golden("kea") {
        let output = check(&text);
        assert!(output.status.success(), "{name}: {}", said(&output));
    }
    assert!(!check("{\"Dhcp4\": {\"bootfile\": 1}}").status.success(), "the check checks nothing");
}

#[test]
fn dhcpd_accepts_every_golden_file() {
    let Some(dhcpd) = program("dhcpd") else { return };
    let folder = Folder::new("dhcpd");
    let check = |text: &str| {
        let file = folder.put("conf", text);
        Command::new(&dhcpd).arg("-t").arg("-cf").arg(file).output().unwrap()
    };
    for (name, text) in golden("isc-dhcpd") {
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
    let mut tags = BTreeSet::from(["moxxie_net".to_owned(), "myzone-10.0.0.0-24".to_owned()]);
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
    assert!(script.script.contains("/etc/dnsmasq.d/myzone/50-moxxie.conf"), "{}", script.script);
    assert!(script.script.contains("dhcp-boot=tag:myzone-10.0.0.0-24,tag:!moxxie_ipxe,tag:moxxie_bios,"));
    assert!(!script.script.contains("dhcp-range"));
    assert_eq!(script.undo.lines().next(), Some("rm -f /etc/dnsmasq.d/myzone/50-moxxie.conf"));
    for bad in ["a/b", "a.b", "Zone", "a-b", "toolongname", "x", "1zone", "my zone"] {
        let problem = written("proxmox-sdn", &[("dhcp_server", bad)]).unwrap_err();
        assert!(problem.starts_with("dhcp_server: "), "{bad}: {problem}");
    }
}

#[test]
fn servers_take_ranges_and_one_word_interfaces_only() {
    for dialect in ["dnsmasq", "kea", "isc-dhcpd"] {
        let problem = written(dialect, &[("pool", "dhcp_pool")]).unwrap_err();
        assert!(problem.starts_with("pool: "), "{dialect}: {problem}");
        let problem = written(dialect, &[("interface", "VLAN 10")]).unwrap_err();
        assert!(problem.starts_with("interface: "), "{dialect}: {problem}");
        assert!(written(dialect, &[("pool", "10.0.0.20-10.0.0.30")]).unwrap().script.contains("10.0.0.20"));
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

/// `uci` as far as the script uses it: lines of `dhcp.section.key=value` in `$STATE`.
const UCI: &str = r#"#!/bin/sh
[ "$1" = -q ] && shift
command=$1
[ $# -gt 1 ] && argument=$(printf %s "$2" | sed 's/@dnsmasq\[0\]/cfg01/')
key=${argument%%=*}
drop() { awk -v k="$1" 'index($0, k "=") != 1 && index($0, k ".") != 1' "$STATE" > "$STATE.new" && mv "$STATE.new" "$STATE"; }
case $command in
get) awk -v k="$key=" 'index($0, k) == 1 { print substr($0, length(k) + 1); found = 1 } END { exit !found }' "$STATE" ;;
set) case $key in dhcp.*.*) drop "$key" ;; esac; printf '%s\n' "$argument" >> "$STATE" ;;
add_list) printf '%s\n' "$argument" >> "$STATE" ;;
delete) drop "$key" ;;
show) cat "$STATE" ;;
commit) ;;
*) echo "uci: $command" >&2; exit 1 ;;
esac
"#;

/// `wget -q -O FILE URL`.
const WGET: &str = "#!/bin/sh\necho \"$4\" > \"$3\"\n";

#[test]
fn openwrt_ends_where_it_began() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new("openwrt");
    for (name, text) in [("uci", UCI), ("wget", WGET)] {
        let file = folder.put(name, text);
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let written = written("openwrt", &[("leases", "static")]).unwrap();
    let less = fewer();
    let root = folder.0.join("tftp").display().to_string();
    let run = |script: &str| {
        let script = script.replace("/etc/init.d/dnsmasq restart", "true").replace("/srv/moxxie-tftp", &root);
        let path = format!("{}:/usr/bin:/bin", folder.0.display());
        let state = folder.0.join("state");
        let output =
            Command::new("/bin/sh").args(["-c", &script]).env("PATH", path).env("STATE", &state).output();
        let output = output.unwrap();
        assert!(output.stderr.is_empty(), "{}", said(&output));
        let mut lines: Vec<String> =
            std::fs::read_to_string(state).unwrap().lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    for before in [
        "dhcp.cfg01=dnsmasq\ndhcp.cfg01.domain=lan\ndhcp.lan=dhcp\ndhcp.lan.start=100\n",
        "dhcp.cfg01=dnsmasq\ndhcp.cfg01.enable_tftp=0\ndhcp.cfg01.noping=0\ndhcp.lan=dhcp\ndhcp.mine=boot\n",
    ] {
        folder.put("state", before);
        let begun = run("true");
        let once = run(&written.script);
        assert!(
            once.contains(&"dhcp.cfg01.noping=1".to_owned())
                && once.contains(&"dhcp.moxxie_bios_boot=boot".to_owned())
        );
        assert_eq!(run(&written.script), once, "the second run changes something");
        // A smaller configuration takes the place of the larger one.
        let smaller = run(&less);
        assert!(!smaller.iter().any(|line| line.contains("moxxie_bios") || line.contains("moxxie_host")));
        assert_eq!(run(&written.undo), begun, "the undo leaves something, or takes more");
    }
    let file = "dhcp.cfg01=dnsmasq\ndhcp.cfg01.tftp_root=/mine\n";
    folder.put("state", &file.replace("/mine", &folder.0.join("mine").display().to_string()));
    let kept = run(&written.script);
    assert!(folder.0.join("mine/undionly.kpxe").exists(), "the router's own TFTP folder is left: {kept:?}");
}

fn fewer() -> String {
    written("openwrt", &[("arch", "x64")]).unwrap().script
}

#[test]
fn loaders_are_fetched_for_the_tftp_folder() {
    let written = written("dnsmasq", &[("arch", "bios,x64"), ("secure_boot", "yes")]).unwrap();
    let (name, script) = &written.companions[0];
    assert_eq!(name, "moxxie-loaders.sh");
    assert!(
        script.contains("for file in 'undionly.kpxe' 'ipxe-shimx64.efi' 'ipxe.efi' 'autoexec.ipxe'; do"),
        "{script}"
    );
    assert!(script.contains("'http://10.0.0.10:8080/boot/firmware/'\"$file\""), "{script}");
}
