//! Scripts against a table of what which version has, and against what the consoles of several
//! versions say of themselves, where these lists stand: `shared/fixtures/routeros` beside the project,
//! or the folder that `MOXXIE_ROUTEROS_FIXTURES` names.

use super::{of_version, written};
use moxxie_core::switch::mikrotik::{Command, commands};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Which arguments each command has.
type Console = BTreeMap<String, BTreeSet<String>>;

/// Arguments, with the minor version of RouterOS 7 that has each first.
type Arguments = &'static [(&'static str, u8)];

/// The commands that scripts use, each argument with the minor version of RouterOS 7 that has it
/// first. 0: no list lacks it; of version 6 and 7.0 to 7.3 there is none. 4 also stands where only the
/// scripts for 7.4 and later use it. Read from the consoles'
/// `/console/inspect` trees of 7.12.2 to 7.24 and, for 7.1 to 7.4, MikroTik's change log.
const COMMANDS: &[(&str, u8, Arguments)] = &[
    ("/file find", 0, &[("name", 0)]),
    ("/file remove", 0, &[]),
    ("/interface bridge port find", 0, &[("interface", 0)]),
    ("/interface bridge port set", 0, &[("edge", 0), ("frame-types", 0), ("pvid", 0)]),
    ("/ip dhcp-server find", 0, &[("disabled", 0), ("interface", 0), ("name", 0)]),
    ("/ip dhcp-server get", 0, &[]),
    (
        "/ip dhcp-server lease add",
        0,
        &[("address", 0), ("comment", 0), ("dhcp-option-set", 0), ("mac-address", 0), ("server", 0)],
    ),
    ("/ip dhcp-server lease find", 0, &[]),
    ("/ip dhcp-server lease remove", 0, &[]),
    ("/ip dhcp-server lease unset", 4, &[]),
    (
        "/ip dhcp-server matcher add",
        4,
        &[
            ("address-pool", 4),
            ("code", 4),
            ("comment", 16),
            ("disabled", 4),
            ("matching-type", 16),
            ("name", 4),
            ("option-set", 4),
            ("server", 4),
            ("value", 4),
        ],
    ),
    ("/ip dhcp-server matcher find", 4, &[]),
    ("/ip dhcp-server matcher remove", 4, &[]),
    (
        "/ip dhcp-server network add",
        0,
        &[("address", 0), ("boot-file-name", 0), ("dhcp-option-set", 4), ("next-server", 0)],
    ),
    ("/ip dhcp-server network find", 0, &[]),
    ("/ip dhcp-server network get", 0, &[]),
    ("/ip dhcp-server network set", 0, &[("boot-file-name", 0), ("dhcp-option-set", 4), ("next-server", 0)]),
    ("/ip dhcp-server network unset", 4, &[]),
    (
        "/ip dhcp-server option add",
        0,
        &[("code", 0), ("comment", 16), ("force", 1), ("name", 0), ("value", 0)],
    ),
    ("/ip dhcp-server option find", 0, &[]),
    ("/ip dhcp-server option remove", 0, &[]),
    ("/ip dhcp-server option sets add", 4, &[("comment", 23), ("name", 4), ("options", 4)]),
    ("/ip dhcp-server option sets find", 4, &[]),
    ("/ip dhcp-server option sets remove", 4, &[]),
    (
        "/ip firewall filter add",
        0,
        &[
            ("action", 0),
            ("chain", 0),
            ("comment", 0),
            ("dst-address", 0),
            ("dst-port", 0),
            ("in-interface", 0),
            ("place-before", 0),
            ("protocol", 0),
        ],
    ),
    ("/ip pool find", 0, &[("name", 0)]),
    (
        "/ip tftp add",
        0,
        &[
            ("allow", 0),
            ("comment", 4),
            ("disabled", 0),
            ("ip-addresses", 0),
            ("read-only", 0),
            ("real-filename", 0),
            ("req-filename", 0),
        ],
    ),
    ("/ip tftp find", 0, &[]),
    ("/ip tftp remove", 0, &[]),
    ("/tool fetch", 0, &[("dst-path", 0), ("url", 0)]),
];

/// What version 7.`minor` has, by the table.
fn table(minor: u8) -> Console {
    let has = |(_, since): &&(&str, u8)| *since <= minor;
    COMMANDS
        .iter()
        .filter(|(_, since, _)| *since <= minor)
        .map(|(command, _, arguments)| {
            let arguments = arguments.iter().filter(has).map(|(name, _)| (*name).to_owned()).collect();
            ((*command).to_owned(), arguments)
        })
        .collect()
}

fn fixtures() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("MOXXIE_ROUTEROS_FIXTURES") {
        return Some(folder.into());
    }
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().ok()?;
    Some(project.parent()?.join("shared/fixtures/routeros")).filter(|folder| folder.is_dir())
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
            let find = format!("{} {}", command.menu, command.target.replace("~\"", "=\""));
            commands(&find).iter().for_each(|command| check(command, console, &mut missing));
        }
    }
    // `[/menu …]`, which the reader takes for values.
    for part in script.split('[').skip(1).filter(|part| part.starts_with('/')) {
        let part = part.split(']').next().unwrap().replace("~\"", "=\"");
        commands(&part).iter().for_each(|command| check(command, console, &mut missing));
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
                let name = argument.as_str();
                argument == "dynamic"
                    || arguments.contains(name)
                    || add.is_some_and(|add| add.contains(name))
                    || add.is_none() && arguments.contains("where")
            }
            _ => arguments.contains(argument),
        };
        if !found {
            missing.insert(format!("{name} {argument}="));
        }
    }
}

#[test]
fn every_command_and_argument_is_in_the_table_for_its_version() {
    for (version, minors) in [("6", &[0, 3][..]), ("7.4", &[4, 15]), ("7.16", &[16, 24])] {
        for minor in minors {
            for written in of_version(version) {
                for text in [&written.script, &written.undo] {
                    let missing = unknown(text, &table(*minor));
                    assert_eq!(missing, BTreeSet::new(), "{version} on 7.{minor}:\n{text}");
                }
            }
        }
    }
    it_can_fail(&table(12));
}

/// What 7.16 wants, an older console does not know.
fn it_can_fail(old: &Console) {
    let missing = unknown(&written(&[]).script, old);
    let expected = ["/ip dhcp-server matcher add comment=", "/ip dhcp-server matcher add matching-type="];
    assert_eq!(missing, expected.map(str::to_owned).into());
    let broken = "{\n:if ([:len [/ip dhcp-serve find]] > 0) do={ /ip tftp print; /ip tftp remove [find where colour=red] enabled=yes }\n}\n";
    let expected = ["/ip dhcp-serve find", "/ip tftp find colour=", "/ip tftp remove enabled="];
    let missing = unknown(broken, old);
    assert!(expected.iter().all(|text| missing.contains(*text)), "{missing:?}");
}

/// The table says nothing that a console denies.
fn agrees(console: &Console, minor: u8) {
    for (command, arguments) in table(minor) {
        if command == "/ip pool find" {
            continue;
        }
        let has = console.get(&command).unwrap_or_else(|| panic!("7.{minor} has no {command}"));
        let finds = command.ends_with(" find");
        for argument in arguments.iter().filter(|_| !finds) {
            assert!(has.contains(argument), "7.{minor} has no {command} {argument}=");
        }
    }
    // And what it says to be newer is not there.
    for (command, _, arguments) in COMMANDS {
        for (argument, _) in arguments.iter().filter(|(_, since)| *since > minor) {
            assert!(!console[*command].contains(*argument), "7.{minor} has {command} {argument}=");
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
    it_can_fail(&console(&folder, "7.12.2"));
    for (name, minor) in [("7.12.2", 12), ("7.15", 15), ("7.16", 16), ("7.20.1", 20), ("7.24", 24)] {
        agrees(&console(&folder, name), minor);
    }
}
