//! What recognition looks at, and how texts out of an image become words of ours.

/// Members whose text says what an image is; those that exist are read, a few KiB each.
pub const TEXTS: &[&str] = &[
    // Debian and Ubuntu: name, version, name of the release, architecture, date.
    ".disk/info",
    // Fedora and the RHEL family: an INI file.
    ".treeinfo",
    // Proxmox: shell variables.
    ".cd-info",
    ".alpine-release",
    "sysresccd/version",
    "arch/version",
    "boot/grub/grub.cfg",
    "media.1/products",
];

/// The parts of an image that say what it is.
#[derive(Debug, Clone, Default)]
pub struct Contents<'c> {
    label: &'c str,
    /// Sorted.
    paths: Vec<&'c str>,
    texts: Vec<(&'c str, String)>,
}

impl<'c> Contents<'c> {
    /// From the volume id, the paths of all regular files and the [`TEXTS`] that exist, whatever
    /// the case of their paths.
    pub fn new(
        label: &'c str,
        paths: impl IntoIterator<Item = &'c str>,
        texts: Vec<(&'c str, String)>,
    ) -> Contents<'c> {
        let mut paths: Vec<&str> = paths.into_iter().collect();
        paths.sort_unstable();
        Contents { label, paths, texts }
    }

    pub(super) fn label(&self) -> &'c str {
        self.label
    }

    pub(super) fn paths(&self) -> impl Iterator<Item = &'c str> {
        self.paths.iter().copied()
    }

    /// The member of this path. A `*` stands for any rest of a name, and the member without a rest
    /// is preferred, then the last one: the newest of several kernels.
    pub(super) fn find(&self, pattern: &str) -> Option<&'c str> {
        let (start, end) = match pattern.split_once('*') {
            None => (pattern, None),
            Some((start, end)) => (start, Some(end)),
        };
        let first = self.paths.partition_point(|path| *path < start);
        let mut matching =
            self.paths[first..].iter().take_while(|path| path.starts_with(start)).copied().filter(|path| {
                match end {
                    None => path.len() == start.len(),
                    Some(end) => path[start.len()..].ends_with(end) && !path[start.len()..].contains('/'),
                }
            });
        let shortest = matching.next()?;
        let exact = shortest.len() == start.len() + end.map_or(0, str::len);
        if exact { Some(shortest) } else { Some(matching.last().unwrap_or(shortest)) }
    }

    /// The text of one of [`TEXTS`]; empty when it does not exist.
    pub(super) fn text(&self, path: &str) -> &str {
        self.texts.iter().find(|(known, _)| known.eq_ignore_ascii_case(path)).map_or("", |(_, text)| text)
    }

    /// The value of a line `KEY = 'VALUE'` in a text, the first such line of any section.
    pub(super) fn value(&self, path: &str, key: &str) -> Option<&str> {
        self.text(path).lines().find_map(|line| {
            let (name, value) = line.split_once('=')?;
            let value = value.trim().trim_matches(['"', '\'']);
            (name.trim().eq_ignore_ascii_case(key) && !value.is_empty()).then_some(value)
        })
    }
}

/// The first version number in a text: a word of digits with dots between them, perhaps after
/// a `v`.
pub(super) fn version(text: &str) -> Option<String> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_'))).find_map(|word| {
        let word = word.strip_prefix(['v', 'V']).unwrap_or(word).trim_end_matches('.');
        let number = word.len() <= 24
            && word.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
        number.then(|| word.to_owned())
    })
}

/// The first parts of a version: of 24.04.1, two are 24.04.
pub(super) fn digits(version: &str, parts: usize) -> String {
    version.split('.').take(parts).collect::<Vec<_>>().join(".")
}

/// Lower-case letters and digits with single hyphens between them: what a profile's name may have.
pub(super) fn slug(text: &str) -> String {
    let mut slug = String::new();
    for c in text.chars() {
        match c.to_ascii_lowercase() {
            c if c.is_ascii_lowercase() || c.is_ascii_digit() => slug.push(c),
            _ if !slug.is_empty() && !slug.ends_with('-') => slug.push('-'),
            _ => {}
        }
        if slug.len() >= 40 {
            break;
        }
    }
    slug.trim_end_matches('-').to_owned()
}

/// A short text of an image for people: letters, digits and the signs that names have.
pub(super) fn plain(text: &str) -> String {
    let fine = |c: &char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '.' | '-' | '_' | '+' | '(' | ')');
    text.chars().filter(fine).take(60).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbers_with_dots() {
        let cases = [
            ("Ubuntu-Server 24.04.1 LTS \"Noble Numbat\" - Release amd64 (20240827)", Some("24.04.1")),
            ("Debian GNU/Linux 12.5.0 \"Bookworm\" - Official amd64 NETINST", Some("12.5.0")),
            ("TALOS_V1_13_9", None),
            ("v1.13.9", Some("1.13.9")),
            ("alpine-std 3.20.0 x86_64", Some("3.20.0")),
            ("Fedora-S-dvd-x86_64-41", Some("41")),
            ("nothing at all", None),
            ("...", None),
            ("", None),
        ];
        for (text, want) in cases {
            assert_eq!(version(text).as_deref(), want, "{text}");
        }
    }

    #[test]
    fn names_are_reduced_to_what_they_may_have() {
        assert_eq!(slug("Rocky Linux"), "rocky-linux");
        assert_eq!(slug("--A..b__/../${x}; rm"), "a-b-x-rm");
        assert_eq!(slug("\u{202e}\n"), "");
        assert!(slug(&"a-".repeat(100)).len() <= 40);
        assert_eq!(plain("Rocky\u{1b}[2J Linux\n{{ x }}"), "Rocky2J Linux x");
    }

    #[test]
    fn a_star_prefers_the_plain_name_and_then_the_newest() {
        let paths = ["live/vmlinuz-6.1.0-9", "live/vmlinuz-6.1.0-18", "live/vmlinuz/x", "live/a"];
        let contents = Contents::new("", paths, vec![]);
        assert_eq!(contents.find("live/vmlinuz*"), Some("live/vmlinuz-6.1.0-9"));
        assert_eq!(contents.find("live/vmlinuz"), None);
        let contents = Contents::new("", ["a/k", "a/k-1", "a/k-2"], vec![]);
        assert_eq!(contents.find("a/k*"), Some("a/k"));
        assert_eq!(contents.find("a/*-2"), Some("a/k-2"));
        assert_eq!(contents.find("b*"), None);
    }
}
