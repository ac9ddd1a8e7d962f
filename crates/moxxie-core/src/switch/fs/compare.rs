//! How a running configuration differs from a script. Both are read by indentation, or line by line
//! where every line begins with `set`; what is not understood is passed over, and nothing of it is
//! repeated but the line that a difference is about.

use super::tree::{HELPER, Tree};
use crate::mac::MacAddr;
use crate::switch::{Difference, DifferenceKind};
use ipnet::Ipv4Net;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// The differences, or `None` when there is no command to compare, or not in the form to read.
pub(super) fn compare(wanted: &str, running: &str) -> Option<Vec<Difference>> {
    let is_set = |line: &str| line.trim_start().starts_with("set ");
    if wanted.lines().any(is_set) {
        let readable = running.trim().is_empty() || running.lines().any(is_set);
        return readable.then(|| set_lines(wanted, running));
    }
    let tree = Tree::read(wanted);
    let head = Head::read(wanted);
    // A script that only says what to look at is compared all the same, where pools can be read.
    let readable = !tree.0.is_empty() || head.rgos;
    readable.then(|| Report { head, running: Tree::read(running), found: Vec::new() }.of(&tree))
}

/// What the remarks of a script say about it.
struct Head {
    rgos: bool,
    relay: bool,
    pool: bool,
    subnet: Option<Ipv4Net>,
}

impl Head {
    fn read(script: &str) -> Head {
        let mut lines = script.lines();
        let title = lines.next().unwrap_or("");
        let subnet =
            lines.next().and_then(|line| line.split(' ').find_map(|word| word.parse::<Ipv4Net>().ok()));
        Head {
            rgos: title.contains(", family rgos, mode "),
            relay: title.ends_with("mode relay"),
            pool: title.ends_with("mode uefi-pool"),
            subnet,
        }
    }

    /// Whether a pool answers in the machines' network; one that cannot be read is taken to.
    fn overlaps(&self, pool: &[String]) -> bool {
        let Some(subnet) = self.subnet else { return true };
        pool.iter().filter_map(|line| line.strip_prefix("network ").or(line.strip_prefix("host "))).any(
            |rest| match network(rest) {
                Some(net) => net.contains(&subnet.network()) || subnet.contains(&net.network()),
                None => true,
            },
        )
    }
}

/// `10.0.0.0 255.255.255.0`, `10.0.0.0 /24`, `10.0.0.0/24`.
fn network(text: &str) -> Option<Ipv4Net> {
    if let Ok(net) = text.parse() {
        return Some(net);
    }
    let mut words = text.split(' ');
    let address: Ipv4Addr = words.next()?.parse().ok()?;
    let mask = words.next()?;
    match mask.strip_prefix('/') {
        Some(bits) => Ipv4Net::new(address, bits.parse().ok()?).ok(),
        None => Ipv4Net::with_netmask(address, mask.parse().ok()?).ok(),
    }
}

struct Report {
    head: Head,
    running: Tree,
    found: Vec<Difference>,
}

impl Report {
    fn add(&mut self, kind: DifferenceKind, what: &str, wanted: &str, found: &str, fix: String) {
        self.found.push(difference(kind, what, wanted, found, fix));
    }

    fn of(mut self, wanted: &Tree) -> Vec<Difference> {
        for (head, below) in &wanted.0 {
            if let Some(positive) = head.strip_prefix("no ") {
                if self.running.has(positive) {
                    self.add(DifferenceKind::Extra, positive, "", positive, head.clone());
                }
            } else if let Some(name) = head.strip_prefix("ip dhcp pool ") {
                self.pool(name, below);
            } else if below.is_empty() {
                self.global(head);
            } else {
                self.interface(head, below);
            }
        }
        self.in_the_way(wanted);
        self.found
    }

    fn global(&mut self, line: &str) {
        let off = format!("no {line}");
        if self.running.has(&off) {
            self.add(DifferenceKind::Changed, line, line, &off, line.to_owned());
        } else if !self.running.has(line) {
            self.add(DifferenceKind::Missing, line, line, "", line.to_owned());
        }
    }

    fn interface(&mut self, head: &str, wanted: &[String]) {
        let below = self.running.below(head).unwrap_or_default().to_vec();
        // An interface's own list counts; without one, the switch's does.
        let own_list = below.iter().any(|line| line.starts_with(HELPER));
        for line in wanted {
            let global = line.starts_with(HELPER) && !own_list && self.running.has(line);
            if !below.contains(line) && !global {
                let fix = format!("{head}, then {line}");
                self.add(DifferenceKind::Missing, &format!("{head}: {line}"), line, "", fix);
            }
        }
    }

    fn pool(&mut self, name: &str, wanted: &[String]) {
        let head = format!("ip dhcp pool {name}");
        let only_removes = wanted.iter().all(|line| line.starts_with("no "));
        let Some(below) = self.running.below(&head).map(<[String]>::to_vec) else {
            if !only_removes {
                let all = wanted.join("; ");
                self.add(DifferenceKind::Missing, &head, &all, "", "paste the script".into());
            }
            return;
        };
        for line in wanted {
            let what = |key: &str| format!("{head}: {key}");
            if let Some(key) = line.strip_prefix("no ") {
                let prefix = format!("{key} ");
                for found in below.iter().filter(|found| found.starts_with(&prefix)) {
                    self.add(DifferenceKind::Extra, &what(key), "", found, format!("{head}, then {line}"));
                }
                continue;
            }
            if below.iter().any(|found| same(line, found)) {
                continue;
            }
            let key = line.split(' ').next().unwrap_or(line);
            let prefix = format!("{key} ");
            let found: Vec<&str> =
                below.iter().map(String::as_str).filter(|found| found.starts_with(&prefix)).collect();
            let kind = if found.is_empty() { DifferenceKind::Missing } else { DifferenceKind::Changed };
            self.add(kind, &what(key), line, &found.join("; "), format!("{head}, then {line}"));
        }
        self.boot_words(
            name,
            &below,
            &["option 60 ", "option 66 ", "option 67 "],
            "the file stands in bootfile only",
        );
    }

    fn boot_words(&mut self, pool: &str, below: &[String], words: &[&str], why: &str) {
        for line in below.iter().filter(|line| words.iter().any(|word| line.starts_with(word))) {
            let key: Vec<&str> =
                line.split(' ').take(if line.starts_with("option ") { 2 } else { 1 }).collect();
            let key = key.join(" ");
            let fix = format!("ip dhcp pool {pool}, then no {key}, because {why}");
            self.add(DifferenceKind::Extra, &format!("ip dhcp pool {pool}: {key}"), "", line, fix);
        }
    }

    /// What nobody asked for and makes the rest worthless.
    fn in_the_way(&mut self, wanted: &Tree) {
        let ours: BTreeSet<&str> = wanted.pools().map(|(name, _)| name).collect();
        let pools: Vec<(String, Vec<String>)> = self
            .running
            .pools()
            .filter(|(name, below)| !ours.contains(name) && self.head.overlaps(below))
            .map(|(name, below)| (name.to_owned(), below.to_vec()))
            .collect();
        for (name, below) in &pools {
            let head = format!("ip dhcp pool {name}");
            if self.head.relay {
                let fix =
                    format!("no {head}, because a switch with a pool for the network does not relay it");
                self.add(DifferenceKind::Extra, &head, "", &below.join("; "), fix);
            } else if !self.head.pool {
                let words = ["bootfile ", "option 60 ", "option 66 ", "option 67 "];
                self.boot_words(
                    name,
                    below,
                    &words,
                    "firmware believes the pool instead of the proxyDHCP server",
                );
            } else if name.starts_with("moxxie-") {
                let fix = format!("no {head}, because it is left over from an earlier script");
                self.add(DifferenceKind::Extra, &head, "", &below.join("; "), fix);
            } else if below.iter().any(|line| line.starts_with("network ")) {
                let fix = format!("decide for one of the two; to drop this one: no {head}");
                self.add(DifferenceKind::Extra, &head, "", &below.join("; "), fix);
            }
        }
        if self.head.pool {
            let global = self.running.helpers().cloned().map(|line| (String::new(), line));
            let own = self.running.0.iter().filter(|(head, _)| head.starts_with("interface ")).flat_map(
                |(head, below)| {
                    below
                        .iter()
                        .filter(|line| line.starts_with(HELPER))
                        .map(move |line| (format!("{head}: "), line.clone()))
                },
            );
            for (place, line) in global.chain(own).collect::<Vec<_>>() {
                let fix = "a pool ends relaying: take mode=relay, or take this line away".to_owned();
                self.add(DifferenceKind::Extra, &format!("{place}{line}"), "", &line, fix);
            }
        }
    }
}

/// Whether two lines of a pool say the same: MAC addresses by their value, however they are spelt, and
/// with or without Ethernet's name or number behind them.
fn same(wanted: &str, found: &str) -> bool {
    let mac = |line: &str| -> Option<MacAddr> {
        let mut words = line.strip_prefix("hardware-address ")?.split(' ');
        let mac = words.next()?.parse().ok()?;
        matches!(words.next(), None | Some("ethernet" | "1")).then_some(mac)
    };
    wanted == found || mac(wanted).is_some_and(|wanted| mac(found) == Some(wanted))
}

/// PicOS: `set` lines, each a path and a value.
fn set_lines(wanted: &str, running: &str) -> Vec<Difference> {
    let lines = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| line.trim_start().starts_with("set "));
        lines.map(|line| line.replace('"', "").split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    };
    let found = lines(running);
    let there: BTreeSet<&str> = found.iter().map(String::as_str).collect();
    let mut differences = Vec::new();
    for line in lines(wanted).iter().filter(|line| !there.contains(line.as_str())) {
        let Some((path, value)) = line.rsplit_once(' ') else { continue };
        let prefix = format!("{path} ");
        // There may be several addresses to relay to.
        let several = path.ends_with(" dhcp-server-address");
        let other = found.iter().find(|other| !several && other.starts_with(&prefix));
        let (kind, other) = match other {
            Some(other) => (DifferenceKind::Changed, &other[prefix.len()..]),
            None => (DifferenceKind::Missing, ""),
        };
        differences.push(difference(
            kind,
            path.trim_start_matches("set "),
            value,
            other,
            format!("{line}, then commit"),
        ));
    }
    differences
}

fn difference(kind: DifferenceKind, what: &str, wanted: &str, found: &str, fix: String) -> Difference {
    let shown = |text: &str| text.chars().filter(|c| (' '..='~').contains(c)).take(300).collect();
    Difference { kind, what: shown(what), wanted: shown(wanted), found: shown(found), fix: shown(&fix) }
}
