//! RouterOS scripts against what the consoles of several versions say of themselves, where these
//! lists stand: `shared/fixtures/routeros` beside the project, or the folder that
//! `MOXXIE_ROUTEROS_FIXTURES` names. And for names of every kind.

#![allow(clippy::unwrap_used)]

use moxxie_core::switch::mikrotik::{Command, Mikrotik, Value, commands};
use moxxie_core::switch::{Dialect, Known, Lease, Name, Network, Written};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

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

/// Which arguments each command has.
type Console = BTreeMap<String, BTreeSet<String>>;

fn fixtures() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("MOXXIE_ROUTEROS_FIXTURES") {
        return Some(folder.into());
    }
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    folders.map(|folder| folder.join("shared/fixtures/routeros")).find(|folder| folder.is_dir())
}

fn console(folder: &Path, version: &str) -> Console {
    #[derive(serde::Deserialize)]
    struct File {
        commands: Console,
    }
    let text = std::fs::read_to_string(folder.join(format!("{version}.json"))).unwrap();
    serde_json::from_str::<File>(&text).unwrap().commands
}

/// Everything that a script, its remarks included, uses and a console does not have.
fn unknown(script: &str, console: &Console) -> BTreeSet<String> {
    // Remarks that are commands are commands for whoever takes the mark away.
    let script: String = script
        .lines()
        .map(|line| line.strip_prefix("# /").map_or(line.to_owned(), |rest| format!("/{rest}")) + "\n")
        .collect();
    let mut missing = BTreeSet::new();
    for command in commands(&script) {
        check(&command, console, &mut missing);
        // `[find where …]` is a command of the same menu.
        if command.target.starts_with("find") {
            let find = format!("{} {}", command.menu, command.target);
            commands(&find).iter().for_each(|command| check(command, console, &mut missing));
        }
    }
    // `[/menu …]`, which the reader takes for values.
    for part in script.split('[').skip(1).filter(|part| part.starts_with('/')) {
        let part = part.split(']').next().unwrap();
        commands(part).iter().for_each(|command| check(command, console, &mut missing));
    }
    missing
}

fn check(command: &Command, console: &Console, missing: &mut BTreeSet<String>) {
    let name = format!("{} {}", command.menu, command.verb);
    // Pools are not in the lists.
    if name == "/ip pool find" {
        return;
    }
    let Some(arguments) = console.get(&name) else {
        missing.insert(name);
        return;
    };
    // What `find` can ask for is what an item has.
    let add = console.get(&format!("{} add", command.menu));
    for argument in command.args.keys() {
        let found = match command.verb.as_str() {
            "find" => {
                argument == "dynamic" || add.is_none_or(|add| add.contains(argument.trim_end_matches('~')))
            }
            _ => arguments.contains(argument),
        };
        if !found {
            missing.insert(format!("{name} {argument}="));
        }
    }
}

#[test]
#[allow(clippy::print_stderr)]
fn every_command_and_argument_exists_in_the_versions_it_is_for() {
    let Some(folder) = fixtures() else {
        eprintln!("skipped: there is no shared/fixtures/routeros beside the project");
        return;
    };
    for (version, consoles) in [("7.4", &["7.12.2", "7.15"][..]), ("7.16", &["7.16", "7.20.1", "7.24"])] {
        for name in consoles {
            let console = console(&folder, name);
            for written in of_version(version) {
                for text in [&written.script, &written.undo] {
                    assert_eq!(unknown(text, &console), BTreeSet::new(), "{version} on {name}:\n{text}");
                }
            }
        }
    }
    // It can fail: what 7.16 wants, 7.12.2 does not know.
    let old = console(&folder, "7.12.2");
    let missing = unknown(&written(&[]).script, &old);
    let expected = ["/ip dhcp-server matcher add comment=", "/ip dhcp-server matcher add matching-type="];
    assert_eq!(missing, expected.map(str::to_owned).into());
    let broken = "{\n:if ([:len [/ip dhcp-serve find]] > 0) do={ /ip tftp set [find where colour=red] enabled=yes }\n}\n";
    let expected = ["/ip dhcp-serve find", "/ip tftp find colour=", "/ip tftp set enabled="];
    assert_eq!(unknown(broken, &old), expected.map(str::to_owned).into());
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
