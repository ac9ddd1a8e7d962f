//! What differs between a script of ours and a router's `/export`.
//!
//! An export leaves out what has its default value, so a missing argument is compared as that.

use super::export::{Command, Value, commands};
use crate::switch::{Difference, DifferenceKind};
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

const AGAIN: &str = "run the script again";

/// What differs. `wanted` is a script of this dialect.
pub fn compare(wanted: &str, running: &str) -> Vec<Difference> {
    if running.len() > MAX_EXPORT {
        return vec![not_an_export("longer than 16 MB")];
    }
    let wanted = items(commands(wanted));
    let running = items(commands(running));
    if !running.iter().any(|item| item.command.menu == NETWORK || item.command.menu == SERVER) {
        return vec![not_an_export("nothing of /ip dhcp-server in it")];
    }
    let mut found = Vec::new();
    for item in &wanted {
        expected(item, &running, &mut found);
    }
    left_over(&wanted, &running, &mut found);
    other_matchers(&wanted, &running, &mut found);
    other_options(&wanted, &running, &mut found);
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

    /// Whether it carries Moxxie's name.
    fn ours(&self) -> bool {
        match self.command.menu.as_str() {
            TFTP => self.text("comment") == "moxxie" || ours_by_file(self.text("real-filename")),
            LEASE => self.text("comment").starts_with("moxxie: "),
            OPTION | SETS | MATCHER => self.key.starts_with("moxxie-"),
            _ => false,
        }
    }

    fn enabled(&self) -> bool {
        self.text("disabled") != "yes"
    }
}

fn ours_by_file(file: &str) -> bool {
    file.strip_prefix("flash/").unwrap_or(file).starts_with("moxxie-")
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
        _ => "",
    }
}

fn expected(wanted: &Item, running: &[Item], found: &mut Vec<Difference>) {
    let same =
        |item: &&Item| item.command.menu == wanted.command.menu && item.key.eq_ignore_ascii_case(&wanted.key);
    let mut all = running.iter().filter(same);
    let Some(item) = all.next() else {
        let fix = match wanted.command.menu.as_str() {
            NETWORK => "give subnet= as it stands in /ip dhcp-server network",
            _ => AGAIN,
        };
        found.push(difference(DifferenceKind::Missing, wanted.what(), shown(&wanted.command), "", fix));
        return;
    };
    if all.next().is_some() {
        found.push(difference(
            DifferenceKind::Extra,
            wanted.what(),
            "",
            "it is there more than once",
            "remove all but one",
        ));
    }
    if !item.enabled() {
        found.push(difference(
            DifferenceKind::Changed,
            wanted.what(),
            "enabled",
            "disabled=yes",
            "enable it",
        ));
    }
    for (name, value) in &wanted.command.args {
        if name == "comment" {
            continue;
        }
        let is = item.command.args.get(name).map_or(default(name), Value::text);
        let (fits, should) = match value {
            Value::Text(text) => (equal(name, text, is), text.clone()),
            Value::Open(ending) => (is.ends_with(ending.as_str()), ending.clone()),
        };
        if !fits {
            let fix = match (wanted.command.menu.as_str(), item.ours()) {
                (LEASE, false) => "somebody else made this lease: remove it, then run the script again",
                _ => AGAIN,
            };
            let (should, is) = (format!("{name}={should}"), format!("{name}={is}"));
            found.push(difference(DifferenceKind::Changed, wanted.what(), should, is, fix));
        }
    }
}

/// Whether two values mean the same to the router.
fn equal(name: &str, a: &str, b: &str) -> bool {
    match name {
        "options" => a.split(',').collect::<BTreeSet<_>>() == b.split(',').collect::<BTreeSet<_>>(),
        // Hexadecimal and MAC addresses; a name in an option keeps its capitals.
        _ if a.starts_with("0x") || name == "mac-address" => a.eq_ignore_ascii_case(b),
        _ => a == b,
    }
}

/// What carries Moxxie's name and is not in the script.
fn left_over(wanted: &[Item], running: &[Item], found: &mut Vec<Difference>) {
    let has_leases = wanted.iter().any(|item| item.command.menu == LEASE);
    let known: BTreeSet<(&str, String)> =
        wanted.iter().map(|item| (item.command.menu.as_str(), item.key.to_ascii_lowercase())).collect();
    for item in running.iter().filter(|item| item.ours()) {
        let menu = item.command.menu.as_str();
        // Without leases=static the script leaves leases alone.
        if !known.contains(&(menu, item.key.to_ascii_lowercase())) && (menu != LEASE || has_leases) {
            found.push(difference(DifferenceKind::Extra, item.what(), "", shown(&item.command), AGAIN));
        }
    }
}

/// Matchers of others that could fit the same client.
fn other_matchers(wanted: &[Item], running: &[Item], found: &mut Vec<Difference>) {
    let mut ours = wanted.iter().filter(|item| item.command.menu == MATCHER).peekable();
    if ours.peek().is_none() {
        return;
    }
    // The script asks the router for the server, unless it was told its name.
    let named = ours.map(|item| item.text("server")).find(|server| !server.is_empty());
    let near = running.iter().filter(|item| {
        let server = item.text("server");
        item.command.menu == MATCHER
            && !item.ours()
            && item.enabled()
            && ["60", "77", "93"].contains(&item.text("code"))
            && (server == "all" || named.is_none_or(|named| named == server))
    });
    for item in near {
        found.push(difference(
            DifferenceKind::Extra,
            item.what(),
            "",
            shown(&item.command),
            "matchers have no order: remove or disable it if it can fit network boot clients",
        ));
    }
}

/// Options 66 and 67 that reach clients by another way than the script's.
fn other_options(wanted: &[Item], running: &[Item], found: &mut Vec<Difference>) {
    let boot: BTreeSet<&str> = running
        .iter()
        .filter(|item| item.command.menu == OPTION && !item.ours())
        .filter(|item| ["66", "67"].contains(&item.text("code")))
        .map(|item| item.key.as_str())
        .collect();
    let has_boot = |list: &str| list.split(',').any(|name| boot.contains(name));
    let sets: BTreeSet<&str> = running
        .iter()
        .filter(|item| item.command.menu == SETS && has_boot(item.text("options")))
        .map(|item| item.key.as_str())
        .collect();
    let subnets: BTreeSet<&str> =
        wanted.iter().filter(|item| item.command.menu == NETWORK).map(|item| item.key.as_str()).collect();
    for item in running {
        let menu = item.command.menu.as_str();
        if !(menu == LEASE || menu == SERVER || menu == NETWORK && subnets.contains(item.key.as_str())) {
            continue;
        }
        if has_boot(item.text("dhcp-option")) || sets.contains(item.text("dhcp-option-set")) {
            let is = ["dhcp-option", "dhcp-option-set"]
                .into_iter()
                .filter(|name| !item.text(name).is_empty())
                .map(|name| format!("{name}={}", item.text(name)))
                .collect::<Vec<_>>()
                .join(" ");
            found.push(difference(
                DifferenceKind::Extra,
                item.what(),
                "",
                is,
                "it sends option 66 or 67: the boot file would be named in two places. Take it out",
            ));
        }
        if menu == NETWORK
            && item.text("dhcp-option-set").starts_with("moxxie-")
            && !wanted.iter().any(|w| w.key == item.key && !w.text("dhcp-option-set").is_empty())
        {
            let is = format!("dhcp-option-set={}", item.text("dhcp-option-set"));
            found.push(difference(DifferenceKind::Extra, item.what(), "", is, AGAIN));
        }
    }
}

fn not_an_export(why: &str) -> Difference {
    difference(
        DifferenceKind::Missing,
        "the export".into(),
        "what /export terse file=running writes",
        why,
        "run /export terse file=running on the router and compare running.rsc",
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
