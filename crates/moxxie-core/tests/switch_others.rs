//! What the golden files of Cisco IOS, Junos, VyOS, OPNsense, Windows Server and UniFi cannot show:
//! structure line by line, what undo undoes, what is refused, what is said.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod programs;

use moxxie_core::switch::{Known, Lease, Network, Problem, Written, find};

fn known() -> Known {
    let lease = |mac: &str, node: &str, address: &str, arch: &str| Lease {
        mac: mac.parse().unwrap(),
        node: node.parse().unwrap(),
        address: address.parse().unwrap(),
        arch: arch.parse().ok(),
    };
    Known {
        boot_url: Some("http://10.9.0.5:8080/boot/menu.ipxe".parse().unwrap()),
        subnet: Some("10.0.0.0/24".parse().unwrap()),
        tftp: true,
        leases: vec![
            lease("52:54:00:aa:00:01", "cp-1", "10.0.0.51", "x64"),
            lease("52:54:00:aa:00:02", "worker-1.rack2", "10.0.0.52", "bios"),
        ],
    }
}

fn asked(vendor: &str, list: &[(&str, &str)]) -> Result<Written, Problem> {
    let dialect = find(vendor).unwrap();
    let given: Vec<_> = list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let network = Network::read(dialect, &given, &known()).unwrap();
    dialect.write(&network)
}

fn written(vendor: &str, list: &[(&str, &str)]) -> Written {
    asked(vendor, list).unwrap_or_else(|problem| panic!("{vendor} {list:?}: {problem}"))
}

/// Lines that do something.
fn commands<'a>(text: &'a str, mark: &str) -> Vec<&'a str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with(mark)).collect()
}

/// Everything that a test below asks of every dialect.
const WISHES: &[&[(&str, &str)]] = &[
    &[],
    &[("arch", "bios")],
    &[("arch", "ia32,arm64")],
    &[("secure_boot", "yes"), ("tftp", "moxxie")],
    &[("stage2", "embedded")],
];

#[test]
fn ios_lines_stand_where_they_belong() {
    const TOP: &[&str] = &["configure", "interface", "ip", "no", "tftp-server", "exit", "end"];
    const WITHIN: &[&str] = &[
        "network",
        "default-router",
        "dns-server",
        "next-server",
        "bootfile",
        "lease",
        "host",
        "client-identifier",
        "spanning-tree",
        "ip",
        "no",
    ];
    let places = [("vlan", "20"), ("interface", "GigabitEthernet 1/0/1"), ("uplink", "Te1/1/1")];
    for mode in ["relay", "pool"] {
        for more in WISHES.iter().copied().chain([&[("pool", "LAN")][..], &[("leases", "static")]]) {
            let wish = [&[("mode", mode)], &places[..], more].concat();
            let written = written("cisco-ios", &wish);
            for text in [&written.script, &written.undo] {
                assert!(!text.contains(['?', '"', '\t']), "{text}");
                let lines = commands(text, "!");
                assert_eq!(
                    (lines.first(), lines.last()),
                    (Some(&"configure terminal"), Some(&"end")),
                    "{text}"
                );
                let mut within = false;
                for line in lines {
                    let first = line.split_whitespace().next().unwrap();
                    match line.strip_prefix(' ') {
                        Some(_) => assert!(within && WITHIN.contains(&first), "{line}\n{text}"),
                        None => {
                            assert!(TOP.contains(&first), "{line}\n{text}");
                            assert_eq!(within, line == "exit", "{line}\n{text}");
                            within = line.starts_with("interface ") || line.starts_with("ip dhcp pool ");
                        }
                    }
                }
            }
            for line in commands(&written.script, "!") {
                let ours =
                    line.starts_with("ip dhcp pool moxxie-") || line.starts_with("ip dhcp excluded-address");
                let undone = written.undo.lines().any(|undo| undo == format!("no {line}"));
                assert_eq!(undone, ours, "{line}\n{}", written.undo);
                // Others may load the same files, so that is left to the reader.
                let said = written.undo.contains(&format!("! no {line}\n"));
                assert_eq!(said, line.starts_with("tftp-server"), "{line}\n{}", written.undo);
            }
        }
    }
    let relay = written("cisco-ios", &places);
    for lines in [
        "interface Vlan20\n ip helper-address 10.9.0.5\nexit\n",
        "interface GigabitEthernet1/0/1\n spanning-tree portfast\nexit\n",
        "interface Te1/1/1\n ip dhcp snooping trust\nexit\n",
    ] {
        assert!(relay.script.contains(lines), "{}", relay.script);
    }
    assert!(relay.undo.contains("interface Vlan20\n no ip helper-address 10.9.0.5\nexit\n"));
    assert!(!commands(&relay.undo, "!").iter().any(|line| line.contains("trust")), "others may rely on it");
    let machine = written("cisco-ios", &[("mode", "pool"), ("leases", "static")]).script;
    assert!(machine.contains(
        " host 10.0.0.52 255.255.255.0\n client-identifier 0152.5400.aa00.02\n bootfile undionly.kpxe\n"
    ));
}

#[test]
fn set_commands_are_set_and_taken_away() {
    for (vendor, mode, roots) in [
        ("junos", Some("relay"), &["forwarding-options dhcp-relay "][..]),
        ("junos", Some("pool"), &["access address-assignment pool ", "system services dhcp-local-server "]),
        ("vyos", None, &["service dhcp-server ", "service tftp-server "]),
    ] {
        for more in WISHES.iter().copied().chain([&[("leases", "static")][..], &[("pool", "LAN")]]) {
            let mut wish = more.to_vec();
            wish.extend(mode.map(|mode| ("mode", mode)));
            if vendor == "junos" {
                wish.push(("vlan", "20"));
            }
            let written = written(vendor, &wish);
            let undone: Vec<&str> = commands(&written.undo, "#")
                .iter()
                .map(|line| line.strip_prefix("delete ").unwrap())
                .collect();
            assert!(!undone.is_empty());
            for line in commands(&written.script, "#") {
                let (verb, rest) = line.split_once(' ').unwrap();
                assert!(matches!(verb, "set" | "delete"), "{line}");
                assert!(roots.iter().any(|root| rest.starts_with(root)), "{line}");
                assert_eq!((rest.matches('\'').count() % 2, rest.matches('"').count() % 2), (0, 0), "{line}");
                // What may have been there for others before stays, with a remark.
                let shared = rest.starts_with("service tftp-server");
                assert!(
                    shared || undone.iter().any(|path| rest.starts_with(path)),
                    "{line}\n{}",
                    written.undo
                );
            }
        }
    }
}

#[test]
fn one_file_is_named_once_and_the_rest_is_said() {
    for (vendor, mode, boot) in [
        ("cisco-ios", "pool", " bootfile "),
        ("junos", "pool", " boot-file "),
        ("vyos", "", " bootfile-name "),
        ("unifi", "fields", "File name: "),
    ] {
        let with = |more: &[(&'static str, &'static str)]| {
            let mut wish = more.to_vec();
            if !mode.is_empty() {
                wish.push(("mode", mode));
            }
            asked(vendor, &wish)
        };
        for (arch, file) in [
            ("bios,x64,arm64", "ipxe.efi"),
            ("bios", "undionly.kpxe"),
            ("ia32,arm64", "ipxe-i386.efi"),
            ("http-x64,arm64", "ipxe-arm64.efi"),
        ] {
            let written = with(&[("arch", arch)]).unwrap();
            let named: Vec<&str> = written.script.lines().filter(|line| line.contains(boot)).collect();
            assert!(matches!(named[..], [line] if line.contains(file)), "{vendor} {arch}: {named:?}");
            let all = written.warnings.join("\n");
            for other in arch.split(',').filter(|_| arch.contains(',')) {
                assert!(all.contains(other), "{vendor} does not say what becomes of {other}: {all}");
            }
            let second = if file == "undionly.kpxe" { "embed.ipxe" } else { "autoexec.ipxe" };
            assert!(
                all.contains(&format!("http://10.9.0.5:8080/boot/firmware/{second}")),
                "{vendor} {arch}: {all}"
            );
        }
        let class = with(&[("stage2", "class")]).unwrap_err();
        assert_eq!(class.key, "stage2");
        assert!(class.message.contains("stage2=embedded"), "{class}");
        assert_eq!(with(&[("arch", "http-x64,http-arm64")]).unwrap_err().key, "arch");
    }
}

#[test]
fn an_existing_pool_only_gets_its_boot_file() {
    let ios = written("cisco-ios", &[("mode", "pool"), ("pool", "LAN"), ("tftp", "moxxie")]);
    let expected =
        "configure terminal\nip dhcp pool LAN\n next-server 10.9.0.5\n bootfile ipxe.efi\nexit\nend";
    assert_eq!(commands(&ios.script, "!").join("\n"), expected);
    for (vendor, wish) in [
        ("junos", &[("mode", "pool"), ("pool", "LAN")][..]),
        ("vyos", &[("pool", "LAN"), ("tftp", "moxxie")]),
    ] {
        let written = written(vendor, wish);
        let lines = commands(&written.script, "#");
        assert_eq!(lines.len(), 2, "{vendor}: {lines:?}");
        assert_eq!(commands(&written.undo, "#").len(), 2, "{vendor}: {}", written.undo);
    }
    for (vendor, name) in [("cisco-ios", "my pool"), ("vyos", "my pool"), ("vyos", "LAN/1")] {
        let mode: &[_] = if vendor == "vyos" { &[] } else { &[("mode", "pool")] };
        assert_eq!(asked(vendor, &[mode, &[("pool", name)]].concat()).unwrap_err().key, "pool", "{name}");
    }
}

#[test]
fn relays_know_where_to() {
    for vendor in ["cisco-ios", "junos"] {
        let elsewhere = written(vendor, &[("vlan", "20"), ("dhcp_server", "10.7.0.9")]);
        assert!(elsewhere.script.contains("10.7.0.9\n"), "{}", elsewhere.script);
        let names: Vec<&str> = elsewhere.companions.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["dnsmasq.conf", "moxxie-loaders.sh", "kea-dhcp4.conf"]);
        let companion = &elsewhere.companions[0].1;
        assert!(companion.contains("http://10.9.0.5:8080/boot/menu.ipxe\n"), "{companion}");
        assert!(companion.contains("enable-tftp\n") && !companion.contains("10.7.0.9"), "{companion}");
        assert!(
            elsewhere.companions[2].1.contains("\"next-server\": \"10.7.0.9\""),
            "{:?}",
            elsewhere.companions
        );
        let two = written(vendor, &[("vlan", "20"), ("dhcp_server", "10.7.0.9 10.7.0.8")]);
        for text in [&two.script, &two.warnings.join("\n")] {
            assert!(text.contains("10.7.0.9") && text.contains("10.7.0.8"), "{text}");
        }
        assert!(written(vendor, &[("tftp", "moxxie")]).companions[0].1.contains(",,10.9.0.5"));
        for bad in ["dhcp1", "0.0.0.0", "127.0.0.1", "224.0.0.1", "10.0.0.1", "10.7.0.9 x"] {
            assert_eq!(asked(vendor, &[("dhcp_server", bad)]).unwrap_err().key, "dhcp_server", "{bad}");
        }
        let named = asked(vendor, &[("boot_url", "http://boot.example/boot/menu.ipxe")]);
        assert_eq!(named.unwrap_err().key, "dhcp_server");
        let same = written(vendor, &[("dhcp_server", "10.0.0.9")]).warnings.join("\n");
        assert!(same.contains("10.0.0.9 is in the machines' own network"), "{same}");
    }
    let told = written("junos", &[("vlan", "20")]);
    assert!(
        told.script.contains("set forwarding-options dhcp-relay group moxxie-10-0-0-0 overrides delete-")
    );
    assert!(!told.undo.contains("overrides"), "goes with its group");
    assert_eq!(asked("junos", &[("interface", "ge-0/0/1")]).unwrap_err().key, "interface");
    assert!(written("junos", &[("interface", "ge-0/0/1.0")]).script.contains("interface \"ge-0/0/1.0\"\n"));
    assert!(
        written("cisco-ios", &[("interface", "Vlan20")])
            .script
            .contains("interface Vlan20\n ip helper-address")
    );
    assert_eq!(asked("cisco-ios", &[("interface", "range Gi1/0/1 - 24")]).unwrap_err().key, "interface");
}

/// What a script of IOS, RGOS or set commands makes, each line with the block that it stands in, and
/// what takes it away: `no` and `delete`.
fn effects(text: &str) -> (Vec<String>, Vec<String>) {
    let (mut made, mut removed, mut block) = (Vec::new(), Vec::new(), "");
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with(['!', '#'])) {
        let word = line.trim_start();
        match word {
            "exit" | "end" | "configure terminal" => continue,
            _ if line.starts_with(' ') => {}
            _ => block = "",
        }
        let place = |what: &str| format!("{block}{what}");
        match (word.strip_prefix("no "), word.strip_prefix("delete ")) {
            (Some(what), _) | (_, Some(what)) => removed.push(place(what)),
            _ => made.push(place(word.strip_prefix("set ").unwrap_or(word))),
        }
        // A block that others have, such as an interface, is no effect by itself.
        if word.starts_with("interface ") {
            made.pop();
            block = line;
        } else if word.starts_with("ip dhcp pool ") {
            block = line;
        }
    }
    (made, removed)
}

#[test]
fn two_networks_on_one_device_do_not_touch_each_other() {
    let mut known = known();
    for (mac, address) in [("52:54:00:bb:00:01", "10.2.0.51"), ("52:54:00:bb:00:02", "10.2.0.52")] {
        // Another cluster, whose machines are called the same.
        let mut lease = known.leases[known.leases.len() - 2].clone();
        (lease.mac, lease.address) = (mac.parse().unwrap(), address.parse().unwrap());
        known.leases.push(lease);
    }
    for (vendor, mode) in [
        ("cisco-ios", "mode=pool"),
        ("cisco-ios", "mode=relay"),
        ("junos", "mode=pool"),
        ("junos", "mode=relay"),
        ("vyos", ""),
        ("fs", "mode=uefi-pool"),
        ("fs", "mode=relay"),
    ] {
        let dialect = find(vendor).unwrap();
        let write = |subnet: &str, vlan: &str| {
            let mut given: Vec<(String, String)> =
                [("subnet", subnet), ("leases", "static")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
            if vendor != "vyos" {
                given.push(("vlan".to_owned(), vlan.to_owned()));
                let (key, mode) = mode.split_once('=').unwrap();
                given.push((key.to_owned(), mode.to_owned()));
            }
            let network = Network::read(dialect, &given, &known).unwrap();
            dialect.write(&network).unwrap()
        };
        let (one, other) = (write("10.0.0.0/24", "10"), write("10.2.0.0/24", "20"));
        for (mine, others) in [(&one, &other), (&other, &one)] {
            let (theirs, _) = effects(&others.script);
            assert!(!theirs.is_empty());
            let ((made, cleared), (_, undone)) = (effects(&mine.script), effects(&mine.undo));
            assert!(!undone.is_empty(), "{vendor} {mode}");
            for gone in cleared.iter().chain(&undone) {
                let hit = theirs.iter().find(|line| {
                    line.strip_prefix(gone.as_str())
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
                });
                assert_eq!(hit, None, "{vendor} {mode} takes away {gone}");
            }
            for line in made.iter().filter(|line| theirs.contains(line)) {
                let shared = ["service dhcp", "tftp-server flash:", "service tftp-server directory "];
                assert!(
                    shared.iter().any(|shared| line.starts_with(shared)),
                    "{vendor} {mode} shares {line}"
                );
            }
        }
    }
}

#[test]
fn a_shim_and_what_it_loads_are_both_named() {
    let wish = [("secure_boot", "yes"), ("leases", "static")];
    let chained = |text: &str| text.contains("ipxe-sb-shimx64.efi loads ipxe-sb.efi from its own folder");
    for (vendor, mode) in [("cisco-ios", Some("pool")), ("junos", Some("pool")), ("vyos", None)] {
        let mode = mode.map(|mode| ("mode", mode));
        let x64 = written(vendor, &wish.into_iter().chain(mode).collect::<Vec<_>>());
        assert!(chained(&x64.warnings.join("\n")), "{vendor}: {:?}", x64.warnings);
    }
    // The network is for BIOS, and one machine has signed UEFI.
    let given = [("mode", "pool"), ("arch", "bios")].into_iter().chain(wish).collect::<Vec<_>>();
    let bios = written("cisco-ios", &given);
    assert!(chained(&bios.warnings.join("\n")), "{:?}", bios.warnings);
    let served: Vec<&str> =
        bios.script.lines().filter_map(|line| line.strip_prefix("tftp-server flash:")).collect();
    assert_eq!(served, ["undionly.kpxe", "ipxe-sb-shimx64.efi", "ipxe-sb.efi", "autoexec.ipxe"]);
    assert!(bios.script.contains(" bootfile ipxe-sb-shimx64.efi\n"), "{}", bios.script);
}

/// A TFTP server that was named is another than the device, even under the gateway's address.
#[test]
fn who_names_a_tftp_server_means_it() {
    for (vendor, mode, own) in [("cisco-ios", "pool", "tftp-server "), ("vyos", "", "service tftp-server")] {
        let mode: &[_] = if mode.is_empty() { &[] } else { &[("mode", mode)] };
        assert!(written(vendor, mode).script.contains(own));
        let named = written(vendor, &[mode, &[("next_server", "10.0.0.9")]].concat());
        assert!(!named.script.contains(own), "{}", named.script);
    }
}

#[test]
fn an_undo_names_what_it_takes_and_mappings_are_said() {
    let ios = written("cisco-ios", &[("mode", "pool"), ("pool", "LAN"), ("next_server", "10.0.0.9")]);
    assert!(ios.undo.contains("ip dhcp pool LAN\n no next-server 10.0.0.9\n no bootfile\n"), "{}", ios.undo);
    let vyos = written("vyos", &[("pool", "LAN"), ("leases", "static")]);
    assert!(vyos.warnings.iter().any(|warning| warning.contains("cp-1") && warning.contains("overwritten")));
}

/// Brackets of a PowerShell text, without what stands in strings and remarks.
fn balanced(text: &str) -> bool {
    let mut open = Vec::new();
    for line in text.lines() {
        let mut quoted = false;
        for c in line.chars() {
            match c {
                '\'' => quoted = !quoted,
                '#' if !quoted => break,
                '(' | '{' | '[' if !quoted => open.push(c),
                ')' | '}' | ']' if !quoted => {
                    let expected = match c {
                        ')' => '(',
                        '}' => '{',
                        _ => '[',
                    };
                    if open.pop() != Some(expected) {
                        return false;
                    }
                }
                _ => {}
            }
        }
        if quoted {
            return false;
        }
    }
    open.is_empty()
}

#[test]
fn windows_policies_have_their_classes_and_an_order() {
    for wish in WISHES.iter().copied().chain([&[("leases", "static")][..], &[("stage2", "class")]]) {
        let written = written("windows", wish);
        assert!(balanced(&written.script) && balanced(&written.undo), "{}", written.script);
        let position = |part: &str| written.script.find(part);
        let mut order = 0;
        for line in written.script.lines().filter(|line| line.starts_with("Add-DhcpServerv4Policy")) {
            order += 1;
            assert!(line.ends_with(&format!("-ProcessingOrder {order}")), "{line}");
            assert!(line.contains("-Name 'moxxie-") && line.contains("-ScopeId $scope"), "{line}");
        }
        assert!(order > 0);
        match wish.contains(&("stage2", "embedded")) {
            true => assert_eq!(position("-UserClass"), None),
            false => assert!(
                position("-UserClass").unwrap() < position("-VendorClass").unwrap(),
                "iPXE comes first"
            ),
        }
        for line in written.script.lines().filter(|line| line.starts_with("$match += ")) {
            assert!(line.ends_with(") + '*'") && line.contains("Client:Arch:000"), "{line}");
        }
        let blindly = written.script.lines().find(|line| line.starts_with("Remove-"));
        assert_eq!(blindly, None, "removes without looking");
    }
    let x64 = written("windows", &[("arch", "x64")]).script;
    assert!(x64.contains("'PXEClient:Arch:00007'") && x64.contains("'PXEClient:Arch:00009'"));
    assert!(!x64.contains("OptionDefinition"), "option 60 is for HTTP boot only");
    let http = written("windows", &[("arch", "http-x64")]).script;
    assert!(
        http.contains("-OptionId 60 -Value 'HTTPClient'") && !http.contains("-OptionId 66 -Value"),
        "{http}"
    );
}

#[test]
fn windows_takes_no_option_66_and_saves_once() {
    let script = written("windows", &[]).script;
    let (prepare, _) = script.split_once("# What an earlier run made.").unwrap();
    let removing: Vec<&str> = prepare.lines().filter(|line| line.starts_with("$old = ")).collect();
    assert_eq!(removing, ["$old = @(foreach ($id in 60, 67) {"]);
    assert!(
        prepare.contains("if (-not (Test-Path $saved)) { $old | Export-Clixml -Path $saved }"),
        "a second run must not overwrite what the first one saved"
    );
}

#[test]
fn opnsense_fetches_all_that_is_loaded_from_it() {
    let fetched = |wish: &[(&str, &str)]| -> Vec<String> {
        let script = written("opnsense", wish).script;
        let fetch = "#   fetch http://10.9.0.5:8080/boot/firmware/";
        let fetch = |line: &str| line.replace("# fetch", "#   fetch").strip_prefix(fetch).map(str::to_owned);
        let files: Vec<String> = script.lines().filter_map(fetch).collect();
        assert_eq!(files.is_empty(), !script.contains("enable-tftp"), "{script}");
        files
    };
    assert_eq!(
        fetched(&[("secure_boot", "yes"), ("arch", "x64")]),
        ["ipxe-sb-shimx64.efi", "ipxe-sb.efi", "autoexec.ipxe"]
    );
    assert_eq!(fetched(&[("arch", "bios")]), ["undionly.kpxe"]);
    for elsewhere in [("next_server", "10.0.0.9"), ("arch", "http-x64"), ("tftp", "moxxie")] {
        assert!(fetched(&[elsewhere]).is_empty(), "{elsewhere:?}");
    }
}

/// dnsmasq's own check.
#[test]
fn dnsmasq_takes_the_file_for_opnsense() {
    use std::process::Command;
    let folder = tempfile::tempdir().unwrap();
    let dnsmasq = programs::program("dnsmasq", folder.path());
    for wish in WISHES.iter().copied().chain([&[("interface", "igc1"), ("leases", "static")][..]]) {
        let script = written("opnsense", wish).script;
        let boots: Vec<&str> = script.lines().filter(|line| line.starts_with("dhcp-boot=")).collect();
        let told = boots.iter().any(|line| line.contains("tag:moxxie_ipxe,"));
        assert_eq!(told, !wish.contains(&("stage2", "embedded")));
        for line in &boots {
            let kinds =
                ["tag:!moxxie_ipxe,", "tag:moxxie_ipxe,"].iter().filter(|kind| line.contains(*kind)).count();
            assert_eq!(kinds, 1, "{line}");
        }
        let Some(dnsmasq) = &dnsmasq else { continue };
        let file = folder.path().join("conf");
        std::fs::write(&file, &script).unwrap();
        let output = Command::new(dnsmasq).arg("--test").arg("-C").arg(&file).output().unwrap();
        assert!(output.status.success(), "{}\n{script}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn unifi_is_nothing_but_remarks() {
    for mode in ["fields", "proxydhcp-beside"] {
        let written = written("unifi", &[("mode", mode)]);
        for text in [&written.script, &written.undo] {
            assert_eq!(commands(text, "#"), Vec::<&str>::new());
        }
    }
}
