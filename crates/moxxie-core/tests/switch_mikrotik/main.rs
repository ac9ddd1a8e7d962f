//! RouterOS scripts: what their matchers look at, names of every kind, two networks of one router,
//! and in `arguments` which commands each version has.

#![allow(clippy::unwrap_used)]

mod arguments;

use moxxie_core::switch::mikrotik::{Command, Mikrotik, Value, commands};
use moxxie_core::switch::{Dialect, Known, Lease, Name, Network, Written};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

fn written(given: &[(&str, &str)]) -> Written {
    let known = Known {
        boot_url: Some("http://10.0.9.10:8080/boot/menu.ipxe".parse().unwrap()),
        subnet: Some("10.0.0.0/24".parse().unwrap()),
        tftp: true,
        leases: vec![Lease {
            mac: "52:54:00:aa:00:01".parse().unwrap(),
            node: "cp-1".parse().unwrap(),
            address: "10.0.0.51".parse().unwrap(),
            arch: None,
        }],
    };
    let given: Vec<(String, String)> =
        given.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Mikrotik.write(&Network::read(&Mikrotik, &given, &known).unwrap()).unwrap()
}

/// Requests that between them reach every line that can be written.
const REQUESTS: &[&[(&str, &str)]] = &[
    &[],
    &[("arch", "x64")],
    &[("arch", "http-arm64")],
    &[("arch", "bios,x64"), ("stage2", "embedded"), ("dhcp_server", "dhcp 1"), ("pool", "pool 1")],
    &[
        ("tftp", "moxxie"),
        ("leases", "static"),
        ("secure_boot", "yes"),
        ("vlan", "10"),
        ("interface", "br 1"),
    ],
];

fn of_version(version: &str) -> impl Iterator<Item = Written> {
    // Version 6 has no UEFI HTTP boot.
    let possible =
        move |request: &&&[(&str, &str)]| version != "6" || !request.contains(&("arch", "http-arm64"));
    REQUESTS
        .iter()
        .filter(possible)
        .map(move |request| written(&[&[("version", version)], *request].concat()))
}

/// What matchers look at and what they give, by name.
fn matchers(script: &str) -> BTreeMap<String, (String, String)> {
    commands(script)
        .into_iter()
        .filter(|command| command.menu == "/ip dhcp-server matcher" && command.verb == "add")
        .map(|command| {
            assert!(command.args.contains_key("address-pool"), "gives no addresses: {command:?}");
            let what = format!("{} {}", command.text("code"), command.text("value"));
            (command.text("name").to_owned(), (what, command.text("option-set").to_owned()))
        })
        .collect()
}

#[test]
fn matchers_never_overlap_and_a_name_stands_in_one_place() {
    for version in ["7.16", "7.4", "6"] {
        for written in of_version(version).chain([written(&[("version", version), ("arch", "bios")])]) {
            let matchers = matchers(&written.script);
            let looks: BTreeSet<&str> = matchers.values().map(|(what, _)| what.as_str()).collect();
            assert_eq!(looks.len(), matchers.len(), "two for one client");
            let codes: BTreeSet<&str> = looks.iter().map(|what| what.split(' ').next().unwrap()).collect();
            assert!(codes.len() <= 1, "two kinds of matchers can fit one client: {codes:?}");
            let newer = written.script.contains("matching-type=");
            assert_eq!(newer, version == "7.16");
            let all = commands(&written.script);
            let by_header = all.iter().any(|command| !command.text("boot-file-name").is_empty());
            let by_option = all.iter().any(|command| command.text("code") == "67");
            assert!(by_header != by_option, "header {by_header}, option 67 {by_option}");
            assert_eq!(by_header, version == "6");
            // `option sets` has a comment only since 7.23, `/ip tftp` has never had `enabled`.
            assert!(
                all.iter()
                    .all(|command| !command.menu.ends_with("sets") || command.text("comment").is_empty())
            );
        }
    }
}

#[test]
fn what_a_version_cannot_do_is_refused_with_the_parameter() {
    for (given, key, word) in [
        (&[("stage2", "class")][..], "stage2", "overlap"),
        (&[("version", "6"), ("stage2", "class")], "stage2", "7.4"),
        (&[("version", "6"), ("arch", "http-x64")], "arch", "option 60"),
        (&[("arch", "http-x64"), ("stage2", "class")], "stage2", "embedded"),
        (&[("pool", "10.0.0.20-10.0.0.30")], "pool", "/ip pool print"),
    ] {
        let known =
            Known { boot_url: Some("http://10.0.0.10/boot/menu.ipxe".parse().unwrap()), ..Known::default() };
        let given: Vec<(String, String)> =
            given.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let problem = Mikrotik.write(&Network::read(&Mikrotik, &given, &known).unwrap()).unwrap_err();
        assert_eq!(problem.key, key);
        assert!(problem.message.contains(word), "{problem}");
    }
    // Version 6 serves one kind of client and says which, and who is left out.
    let six = written(&[("version", "6"), ("arch", "bios,ia32,arm64")]);
    assert!(
        six.warnings
            .iter()
            .any(|text| text.contains("undionly.kpxe, which is for bios. The others (ia32, arm64)")),
        "{six:#?}"
    );
    assert_eq!(written(&[("version", "7.12.2")]), written(&[("version", "7.4")]));
}

#[test]
fn http_boot_alone_forces_nothing_on_others() {
    for arch in ["http-x64", "http-arm64"] {
        let script = written(&[("arch", arch)]).script;
        let codes: BTreeSet<String> =
            matchers(&script).into_values().map(|(what, _)| what.split(' ').next().unwrap().into()).collect();
        assert_eq!(codes, ["93".to_owned()].into(), "{script}");
        let network = |command: &&Command| command.menu == "/ip dhcp-server network" && command.verb == "set";
        for command in commands(&script).iter().filter(network) {
            assert_eq!(command.text("dhcp-option-set"), "", "{script}");
        }
    }
}

#[test]
fn more_leases_than_safe_mode_holds_are_said() {
    let lease = |n: u8| Lease {
        mac: format!("52:54:00:aa:00:{n:02x}").parse().unwrap(),
        node: format!("n-{n}").parse().unwrap(),
        address: [10, 0, 0, n].into(),
        arch: None,
    };
    let warned = |count: u8| {
        let known = Known {
            boot_url: Some("http://10.0.9.10/boot/menu.ipxe".parse().unwrap()),
            subnet: Some("10.0.0.0/24".parse().unwrap()),
            leases: (0..count).map(|n| lease(10 + n)).collect(),
            ..Known::default()
        };
        let given = [("leases".to_owned(), "static".to_owned())];
        let network = Network::read(&Mikrotik, &given, &known).unwrap();
        Mikrotik.write(&network).unwrap().warnings.iter().any(|text| text.starts_with("Safe mode"))
    };
    assert_eq!([50, 51].map(warned), [false, true]);
}

/// What a script makes: menu, what it is found by, and its value.
fn made(script: &str) -> BTreeSet<(String, &'static str, String)> {
    let mut all = BTreeSet::new();
    for command in commands(script) {
        for by in ["name", "comment", "real-filename", "dst-path", "address", "option-set", "dhcp-option-set"]
        {
            let value = match command.args.get(by) {
                Some(Value::Text(text) | Value::Open(text)) if !text.is_empty() => text.clone(),
                _ => continue,
            };
            // `comment=moxxie` on a matcher is for people.
            if by != "comment" || value != "moxxie" {
                all.insert((command.menu.clone(), by, value));
            }
        }
    }
    all
}

/// Whether `find where …` could find an item with this value. Reads the few forms that scripts use.
fn finds(target: &str, by: &str, value: &str) -> bool {
    let conditions = target.strip_prefix("find where ").unwrap().split(" and ");
    conditions.into_iter().any(|condition| match condition.split_once('~') {
        Some((name, pattern)) => {
            let pattern = pattern.trim_matches('"').replace("\\3F", "?").replace("\\24", "$");
            let prefix = pattern.strip_prefix('^').unwrap();
            let prefix = prefix.strip_prefix("(flash/)?").unwrap_or(prefix).split(".*").next().unwrap();
            name == by && value.starts_with(prefix)
        }
        None => {
            let (name, wanted) = condition.split_once('=').unwrap();
            name == by && wanted.trim_matches('"') == value
        }
    })
}

#[test]
fn two_networks_of_one_router_leave_each_other_alone() {
    // One's label is the beginning of the other's.
    let subnets = ["10.0.0.4/30", "10.0.0.48/28"];
    let mut seen = 0;
    for version in ["7.16", "7.4", "6"] {
        for request in [&[][..], &[("arch", "x64"), ("leases", "static")]] {
            let of = |subnet| written(&[&[("version", version), ("subnet", subnet)], request].concat());
            for [subnet, other] in [subnets, [subnets[1], subnets[0]]] {
                let (first, second) = (of(subnet), of(other));
                let (ours, theirs) = (made(&first.script), made(&second.script));
                assert!(!ours.is_empty() && ours.is_disjoint(&theirs), "{:?}", ours.intersection(&theirs));
                let changes = [&first.script, &first.undo].map(|text| commands(text)).concat();
                let label = subnet.split('/').next().unwrap().replace('.', "-");
                for command in changes.iter().filter(|command| !command.target.is_empty()) {
                    let (menu, target) = (command.menu.as_str(), command.target.as_str());
                    let own = [format!("moxxie-{label}"), format!("address={subnet} ")];
                    assert!(own.iter().any(|own| format!("{target} ").contains(own)), "{command:?}");
                    let found = |made: &BTreeSet<(String, &str, String)>| {
                        let found = made.iter().filter(|(of, by, value)| match *by {
                            // Files are fetched by one menu and found by another.
                            "dst-path" => menu == "/file" && finds(target, "name", value),
                            by => of == menu && finds(target, by, value),
                        });
                        found.count()
                    };
                    assert_eq!(found(&theirs), 0, "{command:?}");
                    seen += found(&ours);
                }
            }
        }
    }
    assert!(seen > 50, "finds its own: {seen}");
}

/// Whether every string of a line ends on it, read without the reader.
fn balanced(line: &str) -> bool {
    let (mut string, mut escaped) = (false, false);
    for byte in line.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if string => escaped = true,
            b'"' => string = !string,
            b'$' if string => return false,
            _ => {}
        }
    }
    !string
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn names_of_every_kind_stay_names(
        server in "[A-Za-z0-9][A-Za-z0-9 ._/:@-]{0,40}",
        pool in "[A-Za-z0-9][A-Za-z0-9 ._/:@-]{0,40}",
        version in prop::sample::select(vec!["7.16", "7.4", "6"]),
    ) {
        prop_assume!(server.parse::<Name>().is_ok() && pool.parse::<Name>().is_ok());
        let given = |server, pool| [("version", version), ("dhcp_server", server), ("interface", server), ("pool", pool), ("leases", "static")];
        let (plain, named) = (written(&given("a", "b")), written(&given(&server, &pool)));
        for text in [&named.script, &named.undo] {
            for line in text.lines().filter(|line| !line.starts_with('#')) {
                prop_assert!(balanced(line), "{}", line);
            }
        }
        let (plain, named) = (commands(&plain.script), commands(&named.script));
        prop_assert_eq!(plain, named, "a name changed what the script does");
    }

    #[test]
    fn names_read_back(name in "[A-Za-z0-9][A-Za-z0-9 ._/:@-]{0,40}") {
        prop_assume!(name.parse::<Name>().is_ok());
        let script = written(&[("dhcp_server", &name)]).script;
        let line = script.lines().find(|line| line.starts_with(":local found")).unwrap();
        let find = commands(line.split('[').nth(1).unwrap().split(']').next().unwrap());
        prop_assert_eq!(&find[0].args["name"], &Value::Text(name));
    }
}
