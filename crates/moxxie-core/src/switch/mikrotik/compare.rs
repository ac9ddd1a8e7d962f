//! What differs between a script of ours and a router's `/export`.
//!
//! An export leaves out what has its default value, so a missing argument is compared as that.

mod others;
mod scope;

use super::export::{Command, Value, commands};
use super::plan::Version;
use crate::switch::{Difference, DifferenceKind};
use scope::Scope;
use std::collections::BTreeSet;

/// The longest export that is read, in bytes. One of a large router with thousands of leases has
/// about 1 MB.
pub const MAX_EXPORT: usize = 16 << 20;
/// Differences after which it says no more.
const MAX_DIFFERENCES: usize = 500;

const OPTION: &str = "/ip dhcp-server option";
const SETS: &str = "/ip dhcp-server option sets";
const MATCHER: &str = "/ip dhcp-server matcher";
const NETWORK: &str = "/ip dhcp-server network";
const LEASE: &str = "/ip dhcp-server lease";
const SERVER: &str = "/ip dhcp-server";
const TFTP: &str = "/ip tftp";

/// The menus that a script fills, and the argument that names an item there.
const MENUS: &[(&str, &str)] = &[
    (OPTION, "name"),
    (SETS, "name"),
    (MATCHER, "name"),
    (NETWORK, "address"),
    (TFTP, "req-filename"),
    (LEASE, "mac-address"),
];

const AGAIN: &str = "Run the script again.";

/// What differs. `wanted` is a script of this dialect.
pub fn compare(wanted: &str, running: &str) -> Vec<Difference> {
    if running.len() > MAX_EXPORT {
        return vec![not_an_export("longer than 16 MB")];
    }
    let (script, raw) = (wanted, running);
    let wanted = items(commands(wanted));
    let running = items(commands(running));
    if !running.iter().any(|item| item.command.menu == NETWORK || item.command.menu == SERVER) {
        return vec![not_an_export("nothing of /ip dhcp-server in it")];
    }
    if let Some(other) = other_version(script, raw) {
        return vec![other];
    }
    let scope = Scope::of(script, &wanted, &running);
    let mut found = Vec::new();
    if scope.unclear {
        found.push(difference(
            DifferenceKind::Missing,
            SERVER.into(),
            "exactly one DHCP server that fits",
            "none, or several",
            "Give dhcp_server= or interface= as /ip dhcp-server has them.",
        ));
    }
    for item in &wanted {
        expected(item, &running, &scope, &mut found);
    }
    others::left_over(&wanted, &running, &scope, &mut found);
    others::other_matchers(&wanted, &running, &scope, &mut found);
    others::other_rules(&wanted, &running, &scope, &mut found);
    others::other_options(&wanted, &running, &scope, &mut found);
    found.truncate(MAX_DIFFERENCES);
    found
}

/// Something that has a name in its menu.
struct Item {
    command: Command,
    key: String,
}

impl Item {
    fn text(&self, name: &str) -> &str {
        self.command.text(name)
    }

    /// What a person would call it.
    fn what(&self) -> String {
        format!("{} {}", self.command.menu, self.key)
    }

    /// An argument, or what the router takes for it where it is absent.
    fn text_or_default(&self, name: &str) -> &str {
        match self.command.args.get(name) {
            Some(value) => value.text(),
            None => default(name),
        }
    }

    fn enabled(&self) -> bool {
        self.text("disabled") != "yes"
    }
}

/// The items that commands make or set.
fn items(commands: Vec<Command>) -> Vec<Item> {
    commands
        .into_iter()
        .filter_map(|command| {
            if command.menu == SERVER && command.verb == "add" {
                let key = command.text("name").to_owned();
                return Some(Item { command, key });
            }
            let (_, name) = MENUS.iter().find(|(menu, _)| *menu == command.menu)?;
            let key = match command.verb.as_str() {
                "add" => command.text(name).to_owned(),
                "set" => command.target_value(name)?,
                _ => return None,
            };
            Some(Item { command, key })
        })
        .collect()
}

/// What an item says where an export says nothing.
fn default(name: &str) -> &'static str {
    match name {
        "allow" => "yes",
        "read-only" | "force" | "disabled" => "no",
        "matching-type" => "exact",
        "address-pool" => "static-only",
        "server" => "all",
        _ => "",
    }
}

fn expected(wanted: &Item, running: &[Item], scope: &Scope, found: &mut Vec<Difference>) {
    let menu = wanted.command.menu.as_str();
    let missing = |fix| difference(DifferenceKind::Missing, wanted.what(), shown(&wanted.command), "", fix);
    // The same MAC address on another server, the same file for another network: none of ours.
    let here = |item: &&Item| {
        item.command.menu == menu
            && item.key.eq_ignore_ascii_case(&wanted.key)
            && match menu {
                LEASE => scope.serves(item.text("server")),
                TFTP => scope.ours(item) || item.text("ip-addresses") == wanted.text("ip-addresses"),
                _ => true,
            }
    };
    let all: Vec<&Item> = running.iter().filter(here).collect();
    let Some(&item) = all.iter().find(|item| scope.ours(item)).or(all.first()) else {
        found.push(missing(match menu {
            NETWORK => "Give subnet= as it stands in /ip dhcp-server network.",
            _ => AGAIN,
        }));
        return;
    };
    if all.len() > 1 {
        found.push(difference(
            DifferenceKind::Extra,
            wanted.what(),
            "",
            "it is there more than once",
            "Remove all but one.",
        ));
    }
    let mut changed = |should: String, is: String, fix| {
        found.push(difference(DifferenceKind::Changed, wanted.what(), should, is, fix));
    };
    if !item.enabled() {
        changed("enabled".into(), "disabled=yes".into(), "Enable it.");
    }
    let code = wanted.text("code");
    for (name, value) in &wanted.command.args {
        if name == "comment" {
            continue;
        }
        let is = item.text_or_default(name);
        // What the script leaves to the router is looked up as the script does.
        let open = match name.as_str() {
            "server" => scope.server.as_ref().map(|server| server.name.as_str()),
            "address-pool" => scope.pool.as_deref(),
            _ => None,
        };
        let (fits, should) = match (value, open) {
            (Value::Text(text), _) => (equal(name, code, text, is), text.as_str()),
            // One for all servers is none that the script made, but the address is fixed all the same.
            (Value::Open(_), Some(should)) => (is == should || menu == LEASE && is == "all", should),
            (Value::Open(_), None) if name == "address-pool" => (is != default(name), "a pool"),
            (Value::Open(ending), None) => (is.ends_with(ending.as_str()), ending.as_str()),
        };
        if !fits {
            let fix = match (menu, scope.ours(item)) {
                (LEASE, false) => "Somebody else made this lease: remove it, then run the script again.",
                _ => AGAIN,
            };
            changed(format!("{name}={should}"), format!("{name}={is}"), fix);
        }
    }
}

/// Whether two values mean the same to the router. `code` is the option's, where there is one.
fn equal(name: &str, code: &str, a: &str, b: &str) -> bool {
    match name {
        "options" => a.split(',').collect::<BTreeSet<_>>() == b.split(',').collect::<BTreeSet<_>>(),
        "mac-address" => a.eq_ignore_ascii_case(b),
        "value" => a == b || same_number(a, b) || same_bytes(code, a, b),
        _ => a == b,
    }
}

/// `0x0007` and `0x7`.
fn same_number(a: &str, b: &str) -> bool {
    let digits = |text: &str| {
        let digits = text.strip_prefix("0x")?;
        let fine = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
        fine.then(|| digits.trim_start_matches('0').to_ascii_lowercase())
    };
    digits(a).is_some_and(|a| Some(a) == digits(b))
}

/// The text `s'…'` and its bytes in hexadecimal. A boot file's name may have a NUL at its end, which
/// some firmware needs.
fn same_bytes(code: &str, text: &str, hex: &str) -> bool {
    let text = text.strip_prefix("s'").and_then(|text| text.strip_suffix('\''));
    let (Some(text), Some(hex)) = (text, hex.strip_prefix("0x")) else { return false };
    let bytes: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    let hex = hex.to_ascii_lowercase();
    hex == bytes || code == "67" && hex.strip_suffix("00") == Some(bytes.as_str())
}

/// An export says in its first lines from which version it is; a script for another one has nothing
/// in common with it.
fn other_version(script: &str, export: &str) -> Option<Difference> {
    let version = export.lines().take(5).find_map(|line| {
        let (_, rest) = line.strip_prefix('#')?.split_once("by RouterOS ")?;
        rest.split_whitespace().next()
    })?;
    let choice = Version::choice(version)?;
    let title = [Version::V6, Version::V74, Version::V716].map(Version::title).into_iter();
    let written = title.zip(["6", "7.4", "7.16"]).find(|(title, _)| script.contains(title))?.1;
    (choice != written).then(|| {
        difference(
            DifferenceKind::Changed,
            "the version".into(),
            format!("version={written}"),
            version,
            &format!("Compare with version={choice}: the script is for other versions than this export."),
        )
    })
}

fn not_an_export(why: &str) -> Difference {
    difference(
        DifferenceKind::Missing,
        "the export".into(),
        "what /export terse file=running writes",
        why,
        "Run /export terse file=running on the router and compare running.rsc.",
    )
}

/// A command's arguments, for people.
fn shown(command: &Command) -> String {
    let words: Vec<String> = command
        .args
        .iter()
        .filter(|(name, _)| *name != "comment")
        .map(|(name, value)| match value {
            Value::Text(text) => format!("{name}={text}"),
            Value::Open(ending) => format!("{name}=...{ending}"),
        })
        .collect();
    words.join(" ")
}

fn difference(
    kind: DifferenceKind,
    what: String,
    wanted: impl Into<String>,
    found: impl Into<String>,
    fix: &str,
) -> Difference {
    // An export is somebody else's text: no control characters reach a terminal.
    let short = |text: String| {
        let plain: String = text.chars().take(300).map(|c| if c.is_control() { '?' } else { c }).collect();
        if text.chars().nth(300).is_some() { plain + "..." } else { plain }
    };
    Difference {
        kind,
        what: short(what),
        wanted: short(wanted.into()),
        found: short(found.into()),
        fix: fix.into(),
    }
}

#[cfg(test)]
mod tests;
