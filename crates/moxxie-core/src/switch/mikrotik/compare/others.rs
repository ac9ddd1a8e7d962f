//! What is on the router and not in the script: left over from an earlier one, or somebody else's and
//! in the way.

use super::scope::Scope;
use super::{AGAIN, Item, LEASE, MATCHER, NETWORK, OPTION, SETS, TFTP, difference, shown};
use crate::switch::{Difference, DifferenceKind};
use std::collections::BTreeSet;

/// What carries this network's name and is not in the script.
pub fn left_over(wanted: &[Item], running: &[Item], scope: &Scope, found: &mut Vec<Difference>) {
    let has_leases = wanted.iter().any(|item| item.command.menu == LEASE);
    let known: BTreeSet<(&str, String)> =
        wanted.iter().map(|item| (item.command.menu.as_str(), item.key.to_ascii_lowercase())).collect();
    for item in running.iter().filter(|item| scope.ours(item)) {
        let menu = item.command.menu.as_str();
        // Without leases=static the script leaves leases alone.
        if !known.contains(&(menu, item.key.to_ascii_lowercase())) && (menu != LEASE || has_leases) {
            found.push(difference(DifferenceKind::Extra, item.what(), "", shown(&item.command), AGAIN));
        }
    }
}

/// Matchers of others that could fit the same client.
pub fn other_matchers(wanted: &[Item], running: &[Item], scope: &Scope, found: &mut Vec<Difference>) {
    if !wanted.iter().any(|item| item.command.menu == MATCHER) {
        return;
    }
    let near = running.iter().filter(|item| {
        item.command.menu == MATCHER
            && !scope.ours(item)
            && item.enabled()
            && ["60", "77", "93"].contains(&item.text("code"))
            && scope.serves(item.text("server"))
    });
    for item in near {
        found.push(difference(
            DifferenceKind::Extra,
            item.what(),
            "",
            shown(&item.command),
            "Matchers have no order: remove or disable it if it can fit network boot clients.",
        ));
    }
}

/// TFTP rules of others that come first and may answer for the same files.
pub fn other_rules(wanted: &[Item], running: &[Item], scope: &Scope, found: &mut Vec<Difference>) {
    let names: Vec<String> = wanted
        .iter()
        .filter(|item| item.command.menu == TFTP)
        .map(|item| item.key.replace('\\', ""))
        .collect();
    if names.is_empty() {
        return;
    }
    let before = running
        .iter()
        .filter(|item| item.command.menu == TFTP)
        .take_while(|item| !scope.ours(item))
        .filter(|item| item.enabled() && scope.answers(item) && may_fit(&item.key, &names));
    for item in before {
        found.push(difference(
            DifferenceKind::Extra,
            item.what(),
            "",
            shown(&item.command),
            "It comes before Moxxie's rules and may answer in their place: move it behind them (/ip tftp move), or name other ip-addresses in it.",
        ));
    }
}

/// Whether a regular expression may fit one of these names. One that is more than a text may.
fn may_fit(pattern: &str, names: &[String]) -> bool {
    let text = pattern.replace("\\.", ".");
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/".contains(&b));
    !plain || names.iter().any(|name| name.contains(&text))
}

/// Options 66 and 67 that reach clients by another way than the script's.
pub fn other_options(wanted: &[Item], running: &[Item], scope: &Scope, found: &mut Vec<Difference>) {
    let boot: BTreeSet<&str> = running
        .iter()
        .filter(|item| item.command.menu == OPTION && !scope.ours(item))
        .filter(|item| ["66", "67"].contains(&item.text("code")))
        .map(|item| item.key.as_str())
        .collect();
    let has_boot = |list: &str| list.split(',').any(|name| boot.contains(name));
    let sets: BTreeSet<&str> = running
        .iter()
        .filter(|item| item.command.menu == SETS && has_boot(item.text("options")))
        .map(|item| item.key.as_str())
        .collect();
    for item in running.iter().filter(|item| scope.reaches(item)) {
        let menu = item.command.menu.as_str();
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
                "It sends option 66 or 67, so the boot file would be named in two places: take it out.",
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
