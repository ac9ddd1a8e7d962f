//! A configuration as a tree of two levels, by indentation. Lines are read, never understood: any
//! text gives a tree, in time that grows with its length.

use std::collections::BTreeMap;

/// Commands, each with those below it.
pub(super) struct Tree(pub(super) BTreeMap<String, Vec<String>>);

impl Tree {
    pub(super) fn read(text: &str) -> Tree {
        let mut tree: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut open: Option<String> = None;
        for raw in text.lines() {
            let line = raw.split_whitespace().collect::<Vec<_>>().join(" ");
            if line.is_empty() || line.starts_with(['!', '#']) {
                continue;
            }
            let indented = raw.starts_with([' ', '\t']);
            match open.as_ref().and_then(|head| tree.get_mut(head)) {
                Some(below) if indented => {
                    if line != "exit" {
                        below.push(line);
                    }
                }
                _ if matches!(line.as_str(), "exit" | "end" | "configure" | "configure terminal") => {
                    open = None
                }
                _ => {
                    let head = match line.strip_prefix("interface ") {
                        Some(name) => format!("interface {}", name.replace(' ', "").to_ascii_lowercase()),
                        None => line,
                    };
                    tree.entry(head.clone()).or_default();
                    open = Some(head);
                }
            }
        }
        Tree(tree)
    }

    pub(super) fn has(&self, line: &str) -> bool {
        self.0.contains_key(line)
    }

    /// What stands below a command; interfaces may be abbreviated on either side.
    pub(super) fn below(&self, head: &str) -> Option<&[String]> {
        if let Some(lines) = self.0.get(head) {
            return Some(lines);
        }
        let (kind, number) = split_port(head.strip_prefix("interface ")?);
        let found = self.0.iter().find(|(other, _)| {
            other.strip_prefix("interface ").map(split_port).is_some_and(|(k, n)| {
                n == number
                    && !number.is_empty()
                    && (k.starts_with(kind) || kind.starts_with(k))
                    && !k.is_empty()
                    && !kind.is_empty()
            })
        });
        found.map(|(_, lines)| lines.as_slice())
    }

    pub(super) fn pools(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.0
            .iter()
            .filter_map(|(head, lines)| Some((head.strip_prefix("ip dhcp pool ")?, lines.as_slice())))
    }

    pub(super) fn helpers(&self) -> impl Iterator<Item = &String> {
        self.0.keys().filter(|line| line.starts_with(HELPER))
    }
}

/// How a line with an address to relay to begins.
pub(super) const HELPER: &str = "ip helper-address ";

fn split_port(name: &str) -> (&str, &str) {
    name.split_at(name.find(|c: char| c.is_ascii_digit()).unwrap_or(name.len()))
}
