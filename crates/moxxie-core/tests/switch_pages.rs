//! The vendors' pages in docs/switches, made from the same table as the configurations.
//! `UPDATE_GOLDEN=1 cargo test -p moxxie-core --test switch_pages` writes them anew.

#![allow(clippy::unwrap_used)]

use moxxie_core::switch::{DIALECTS, Dialect, KEYS, Known, Network, Written};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/switches")
}

fn known() -> Known {
    Known {
        boot_url: Some("http://10.0.0.10:8080/boot/menu.ipxe".parse().unwrap()),
        subnet: Some("10.0.0.0/24".parse().unwrap()),
        tftp: true,
        leases: Vec::new(),
    }
}

fn example(dialect: &dyn Dialect) -> Written {
    let network = Network::read(dialect, &[], &known()).unwrap();
    dialect.write(&network).unwrap()
}

/// How a block of this language is marked in a page.
fn language(dialect: &dyn Dialect) -> &'static str {
    match dialect.name() {
        "windows" => "powershell",
        "openwrt" | "proxmox-sdn" => "sh",
        _ => "text",
    }
}

fn list(out: &mut String, items: &[&str], ordered: bool) {
    for (i, item) in items.iter().enumerate() {
        let _ = match ordered {
            true => writeln!(out, "{}. {item}", i + 1),
            false => writeln!(out, "- {item}"),
        };
    }
}

fn page(dialect: &dyn Dialect) -> String {
    let (guide, written, name) = (dialect.guide(), example(dialect), dialect.name());
    let mut out = format!(
        "<!-- Made from the table of dialects: UPDATE_GOLDEN=1 cargo test -p moxxie-core --test switch_pages -->\n\
         # {}\n\n    moxxie network-config {name} subnet=10.0.0.0/24\n\nGives {}.\n\n## What you need\n\n",
        dialect.title(),
        dialect.summary()
    );
    list(&mut out, guide.needs, false);
    let _ = writeln!(out, "\n## What you can choose\n");
    for choice in dialect.choices() {
        for (i, (value, meaning)) in choice.values.iter().enumerate() {
            let default = if i == 0 { " (default)" } else { "" };
            let _ = writeln!(out, "- `{}={value}`{default}: {meaning}", choice.key);
        }
    }
    for (key, meaning) in KEYS.iter().filter(|(key, _)| dialect.reads().contains(key)) {
        let _ = writeln!(out, "- `{key}=`: {}", dialect.means(key).unwrap_or(meaning));
    }
    let _ = writeln!(out, "\n## Apply\n");
    list(&mut out, guide.apply, true);
    let mark = language(dialect);
    let _ = writeln!(
        out,
        "\nWith nothing but `subnet=10.0.0.0/24`, on a server at `http://10.0.0.10:8080`:\n\n```{mark}\n{}```\n",
        written.script
    );
    for (file, text) in &written.companions {
        let _ = writeln!(out, "Beside it, `{file}`:\n\n```text\n{text}```\n");
    }
    let _ = writeln!(out, "## Verify\n");
    for line in &written.verify {
        let _ = writeln!(out, "- {line}");
    }
    let _ = writeln!(out, "\n## Undo\n");
    list(&mut out, guide.undo, true);
    let _ = writeln!(
        out,
        "\n`moxxie network-config {name} --undo`, with the same parameters, prints:\n\n```{mark}\n{}```\n",
        written.undo
    );
    let _ = writeln!(out, "## What goes wrong\n");
    list(&mut out, guide.traps, false);
    let symptoms: Vec<String> = moxxie_core::trouble::for_dialect(name)
        .map(|symptom| format!("[{}](../symptoms.md#{})", symptom.title, symptom.id))
        .collect();
    if !symptoms.is_empty() {
        let _ = writeln!(out, "\nSymptoms that this vendor's settings cause or cure:\n");
        list(&mut out, &symptoms.iter().map(String::as_str).collect::<Vec<_>>(), false);
    }
    let _ = writeln!(out, "\n## What was checked\n");
    list(&mut out, guide.checked, false);
    let _ = writeln!(out, "\nSources: {}.", written.sources.join("; "));
    out
}

/// What stands before the table.
const INTRODUCTION: &str = include_str!("switch_pages.md");

fn index() -> String {
    let mut out = format!("{INTRODUCTION}\n| vendor | page | gives | choose |\n|---|---|---|---|\n");
    for dialect in DIALECTS {
        let choices: Vec<String> = dialect
            .choices()
            .iter()
            .map(|choice| {
                let values: Vec<&str> = choice.values.iter().map(|(value, _)| *value).collect();
                format!("`{}`: {}", choice.key, values.join(", "))
            })
            .collect();
        let (name, title) = (dialect.name(), dialect.title());
        let _ = writeln!(
            out,
            "| `{name}` | [{title}]({name}.md) | {} | {} |",
            dialect.summary(),
            choices.join("; ")
        );
    }
    out
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

#[test]
fn every_vendor_has_a_page() {
    for dialect in DIALECTS {
        let guide = dialect.guide();
        for (part, list) in [
            ("needs", guide.needs),
            ("apply", guide.apply),
            ("undo", guide.undo),
            ("traps", guide.traps),
            ("checked", guide.checked),
        ] {
            assert!(!list.is_empty(), "the page of {} says nothing under {part}", dialect.name());
        }
        golden(&docs().join(format!("{}.md", dialect.name())), &page(*dialect));
    }
    golden(&docs().join("README.md"), &index());
}
