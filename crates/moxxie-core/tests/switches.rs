//! Walks over every dialect and everything it lets one choose: each script is exactly its golden
//! text, and keeps the promises that all of them make.
//! `UPDATE_GOLDEN=1 cargo test -p moxxie-core --test switches` writes the golden files anew.

#![allow(clippy::unwrap_used)]

use moxxie_core::switch::{Arch, DIALECTS, Dialect, KEYS, Known, Lease, Network, Written, find};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// What a server in a usual site knows.
fn known() -> Known {
    let lease = |mac: &str, node: &str, address: &str, arch| Lease {
        mac: mac.parse().unwrap(),
        node: node.parse().unwrap(),
        address: address.parse().unwrap(),
        arch,
    };
    Known {
        boot_url: Some("http://10.0.0.10:8080/boot/menu.ipxe".parse().unwrap()),
        subnet: Some("10.0.0.0/24".parse().unwrap()),
        tftp: true,
        leases: vec![
            lease("52:54:00:aa:00:01", "cp-1", "10.0.0.51", Some(Arch::X64)),
            lease("52:54:00:aa:00:02", "worker-1.rack2", "10.0.0.52", Some(Arch::Bios)),
            lease("52:54:00:aa:00:03", "worker-2", "10.0.0.53", None),
        ],
    }
}

/// Every combination of what a dialect lets one choose.
fn combinations(dialect: &dyn Dialect) -> Vec<Vec<(String, String)>> {
    dialect.choices().iter().fold(vec![Vec::new()], |all, choice| {
        all.iter()
            .flat_map(|chosen| {
                choice.values.iter().map(move |(value, _)| {
                    let mut chosen = chosen.clone();
                    chosen.push((choice.key.to_owned(), (*value).to_owned()));
                    chosen
                })
            })
            .collect()
    })
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

/// What is asked for in the golden files, beside the choices.
fn variants(dialect: &dyn Dialect) -> Vec<(&'static str, Vec<(String, String)>)> {
    let all = [
        ("plain", vec![]),
        (
            "full",
            vec![
                ("gateway", "10.0.0.1"),
                ("interface", "bridge1"),
                ("tftp", "moxxie"),
                ("secure_boot", "yes"),
                ("leases", "static"),
                ("vlan", "10"),
            ],
        ),
        ("uefi", vec![("arch", "x64")]),
    ];
    let reads = |key: &str| dialect.reads().contains(&key);
    all.into_iter()
        .map(|(name, list)| (name, pairs(&list.into_iter().filter(|(k, _)| reads(k)).collect::<Vec<_>>())))
        .collect()
}

fn golden(path: &Path, text: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let expected = std::fs::read_to_string(path)
        .unwrap_or_else(|e| panic!("{}: {e}; write it with UPDATE_GOLDEN=1", path.display()));
    assert_eq!(text, expected, "{}", path.display());
}

fn path(dialect: &dyn Dialect, chosen: &[(String, String)], variant: &str) -> PathBuf {
    let words: Vec<&str> = chosen.iter().map(|(_, value)| value.as_str()).chain([variant]).collect();
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/switch")
        .join(dialect.name())
        .join(format!("{}.txt", words.join("-")))
}

fn shown(written: &Written) -> String {
    let mut text = written.script.clone();
    let _ = write!(text, "\n----- undo -----\n{}", written.undo);
    for (name, companion) in &written.companions {
        let _ = write!(text, "\n----- {name} -----\n{companion}");
    }
    let _ = writeln!(text, "\n----- verify -----\n{}", written.verify.join("\n"));
    text
}

#[test]
fn every_script_is_as_before_and_keeps_the_promises() {
    let mut seen = BTreeSet::new();
    for dialect in DIALECTS {
        let name = dialect.name();
        assert!(seen.insert(name), "{name} stands in the table twice");
        assert_eq!(find(name).unwrap().title(), dialect.title());
        for key in dialect.reads() {
            assert!(KEYS.iter().any(|(known, _)| known == key), "{name} reads {key}, which is no parameter");
        }
        for chosen in combinations(*dialect) {
            for (variant, extra) in variants(*dialect) {
                let given = [chosen.clone(), extra].concat();
                let network = Network::read(*dialect, &given, &known())
                    .unwrap_or_else(|e| panic!("{name} {given:?}: {e:?}"));
                let written = match dialect.write(&network) {
                    Ok(written) => written,
                    Err(problem) if may_refuse(*dialect, &given, problem.key) => {
                        golden(&path(*dialect, &chosen, variant), &format!("refused: {problem}\n"));
                        continue;
                    }
                    Err(problem) => panic!("{name} {given:?}: {problem}"),
                };
                keeps_the_promises(name, &written);
                assert_eq!(
                    dialect.write(&network).unwrap(),
                    written,
                    "{name} writes something else each time"
                );
                golden(&path(*dialect, &chosen, variant), &shown(&written));
            }
        }
    }
}

/// A vendor may not be able to do what was chosen, or not without a value that was not given.
fn may_refuse(dialect: &dyn Dialect, given: &[(String, String)], key: &str) -> bool {
    let chosen = dialect.choices().iter().any(|choice| choice.key == key);
    chosen || (dialect.reads().contains(&key) && given.iter().all(|(other, _)| other != key))
}

fn keeps_the_promises(name: &str, written: &Written) {
    for text in [&written.script, &written.undo] {
        assert!(
            text.ends_with('\n') && !text.trim().is_empty(),
            "{name}: empty, or its last line does not end"
        );
        for line in text.lines() {
            assert!(line.bytes().all(|b| (0x20..0x7f).contains(&b)), "{name}: not printable ASCII: {line:?}");
            assert_eq!(line.trim_end(), line, "{name}: spaces at the end of {line:?}");
        }
    }
    assert!(
        !written.verify.is_empty() && !written.sources.is_empty(),
        "{name} says neither how to verify nor from where"
    );
    let all = written.companions.iter().fold(written.script.clone(), |all, (_, text)| all + text);
    assert!(all.contains("10.0.0.10:8080"), "{name} nowhere names the server");
    // Remarks are folded: without marks and line ends every warning stands there, word for word.
    let words = |text: &str| {
        let marks = ["#", "!", "//", "NOTE:"];
        let all: Vec<&str> = text.split_whitespace().filter(|word| !marks.contains(word)).collect();
        all.join(" ")
    };
    let script = words(&written.script);
    for warning in &written.warnings {
        assert!(script.contains(&words(warning)), "{name} does not say in its script: {warning}");
    }
}

/// What a person could put into a parameter to get a command into a script.
const HOSTILE: &[&str] = &[
    "a\"b",
    "a'b",
    "a$b",
    "a;b",
    "a\nb",
    "a\r\nb",
    "a[b",
    "a]b",
    "a{b",
    "a}b",
    "a`b",
    "a\\b",
    "a|b",
    "a&b",
    "a#b",
    "a?b",
    "a\0b",
    "a<b",
    "a>b",
    "a!b",
    "a(b",
    "a)b",
    "a%b",
    "a\u{2028}b",
    "\u{202e}a",
    " a",
    "a ",
    "-a",
    "$(reboot)",
    "\"; /system reset-configuration; \"",
];

#[test]
fn hostile_values_reach_no_script() {
    for dialect in DIALECTS {
        for (key, _) in KEYS {
            for value in HOSTILE {
                let given = pairs(&[(key, value)]);
                let problems = Network::read(*dialect, &given, &known()).unwrap_err();
                assert!(
                    problems.iter().any(|problem| problem.key == *key),
                    "{} {key}={value:?}: {problems:?}",
                    dialect.name()
                );
            }
        }
        for choice in dialect.choices() {
            for value in HOSTILE {
                assert!(
                    Network::read(*dialect, &pairs(&[(choice.key, value)]), &known()).is_err(),
                    "{} {value:?}",
                    choice.key
                );
            }
        }
    }
}

#[test]
fn values_that_make_no_sense_are_refused_with_their_name() {
    let dialect = find("dnsmasq").unwrap();
    for (key, value) in [
        ("subnet", "10.0.0.5/24"),
        ("subnet", "10.0.0.0"),
        ("subnet", "10.0.0.0/31"),
        ("subnet", "0.0.0.0/0"),
        ("subnet", "::/64"),
        ("subnet", "127.0.0.0/8"),
        ("subnet", "224.0.0.0/8"),
        ("gateway", "10.0.1.1"),
        ("gateway", "10.0.0.0"),
        ("gateway", "10.0.0.255"),
        ("gateway", "010.0.0.1"),
        ("gateway", "x"),
        ("dns", "10.0.0.1;10.0.0.2"),
        ("dns", ","),
        ("pool", "10.0.0.9-10.0.0.3"),
        ("pool", "10.0.0.1-10.0.0.254"),
        ("pool", "10.0.1.1-10.0.1.9"),
        ("next_server", "0.0.0.0"),
        ("next_server", "tftp.example"),
        ("tftp", "yes"),
        ("boot_url", "http://10.0.0.10/x?mac=${mac}"),
        ("arch", "x86"),
        ("arch", "bios,,x64"),
        ("vlan", "4095"),
        ("leases", "dynamic"),
        ("secure_boot", "1"),
        ("stage2", "no"),
    ] {
        let problems = Network::read(dialect, &pairs(&[(key, value)]), &known()).unwrap_err();
        assert_eq!(problems.iter().map(|p| p.key).collect::<Vec<_>>(), [key], "{key}={value}");
    }
    let twice = Network::read(dialect, &pairs(&[("vlan", "1"), ("vlan", "2")]), &known()).unwrap_err();
    assert_eq!(twice[0].to_string(), "vlan: is given twice");
    let unknown = Network::read(dialect, &pairs(&[("colour", "red")]), &known()).unwrap_err();
    assert!(unknown[0].message.contains("\"colour\" is no parameter of"), "{unknown:?}");
}

#[test]
fn ranges_leave_room_for_what_stands_there() {
    let dialect = find("dnsmasq").unwrap();
    let range = |list: &[(&str, &str)]| {
        let network = Network::read(dialect, &pairs(list), &known()).unwrap();
        let range = network.range();
        format!("{}-{}", range.first, range.last)
    };
    assert_eq!(range(&[]), "10.0.0.128-10.0.0.254");
    assert_eq!(range(&[("gateway", "10.0.0.254")]), "10.0.0.128-10.0.0.253");
    assert_eq!(range(&[("gateway", "10.0.0.200"), ("next_server", "10.0.0.140")]), "10.0.0.141-10.0.0.199");
    assert_eq!(range(&[("subnet", "10.0.0.0/30")]), "10.0.0.2-10.0.0.2");
    assert_eq!(range(&[("pool", "10.0.0.20-10.0.0.30")]), "10.0.0.20-10.0.0.30");
}
