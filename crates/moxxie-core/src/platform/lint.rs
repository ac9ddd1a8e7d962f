//! Whether booting a profile can erase a disk. Works on template source and on rendered text.
//!
//! A reason too many costs an admin one click; a reason too few costs somebody's data. So rules
//! look for words, not for meaning, and only lines that are comments beyond doubt are skipped.

mod external;

pub use external::foreign_shell;

use crate::render::{BOOT_PARAMS, CONFIG_TEMPLATE};

/// One reason to take a profile for destructive. Two are the same when their codes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// Stable name of the rule.
    pub code: &'static str,
    /// `profile_type`, `boot_params` or `config_template`.
    pub field: &'static str,
    /// The line in that field, from 1.
    pub line: Option<u32>,
    /// What it would do.
    pub text: &'static str,
}

/// How a rule finds its word. Everything is compared in lower case.
enum Find {
    /// The text anywhere.
    Part(&'static str),
    /// The text as a word of its own.
    Word(&'static str),
    /// A key, followed by `:` or `=` and any value but a clear no.
    On(&'static str),
    /// A key followed by `:` or `=`.
    Key(&'static str),
    /// A key that begins a section: nothing or an opening brace follows. Kubernetes manifests
    /// inside of configs have a `storage: 10Gi` that is something else.
    Section(&'static str),
    /// Both texts on one line.
    Both(&'static str, &'static str),
}

use Find::{Both, Key, On, Part, Section, Word};

struct Rule {
    code: &'static str,
    find: &'static [Find],
    text: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        code: "talos.wipe",
        find: &[Part("talos.experimental.wipe"), On("wipe")],
        text: "Talos wipes the disk before it installs",
    },
    Rule {
        code: "kickstart.partitioning",
        find: &[
            Word("clearpart"),
            Word("zerombr"),
            Word("autopart"),
            Word("part"),
            Word("partition"),
            Word("reqpart"),
            Word("logvol"),
            Word("volgroup"),
            Word("ignoredisk"),
            Word("ostreecontainer"),
        ],
        text: "the installer repartitions disks",
    },
    Rule {
        code: "autoinstall",
        find: &[Word("autoinstall"), Key("autoinstall")],
        text: "Ubuntu's autoinstall takes a whole disk, with and without a storage section",
    },
    Rule {
        code: "autoinstall.storage",
        find: &[
            Section("storage"),
            Key("disk_setup"),
            Key("curtin"),
            Both("layout", "lvm"),
            Both("layout", "direct"),
        ],
        text: "the installer partitions disks",
    },
    Rule { code: "preseed.partman", find: &[Part("partman")], text: "Debian's installer partitions disks" },
    Rule {
        code: "coreos.install",
        find: &[
            Part("coreos.inst.install_dev"),
            Part("coreos.inst="),
            Part("coreos-installer"),
            Part("flatcar-install"),
        ],
        text: "the installer writes an image over a disk",
    },
    Rule {
        code: "ignition.wipe",
        find: &[
            On("wipetable"),
            On("wipe_table"),
            On("wipefilesystem"),
            On("wipe_filesystem"),
            On("wipepartitionentry"),
            On("wipe_partition_entry"),
        ],
        text: "Ignition wipes a partition table or a file system",
    },
    Rule {
        code: "disk.wipe",
        find: &[
            Part("wipe_disks"),
            Part("wipefs"),
            Part("sgdisk"),
            Part("sfdisk"),
            Part("blkdiscard"),
            Part("nwipe"),
            Part("autonuke"),
            Part("dban"),
            Word("shred"),
            Both("nvme", "format"),
            Both("nvme", "sanitize"),
            Both("hdparm", "security-erase"),
            Both("zpool", "labelclear"),
            Part("zap-all"),
            Part("zero-superblock"),
        ],
        text: "a tool erases disks",
    },
    Rule {
        code: "disk.write",
        find: &[
            Both("of=", "/dev/"),
            Both("of=", "{{"),
            Part("of=$"),
            Part("mkfs"),
            Part("mkswap"),
            Word("parted"),
            Word("fdisk"),
            Word("gdisk"),
            Word("pvcreate"),
            Word("vgremove"),
            Word("lvremove"),
            Part("luksformat"),
            Both("zpool", "create"),
            Both("mdadm", "--create"),
            Word("disko"),
            Both("> /dev/", "sd"),
            Both("> /dev/", "nvme"),
            Both(">/dev/", "sd"),
            Both(">/dev/", "nvme"),
            Word("diskpart"),
        ],
        text: "a tool writes to disks",
    },
    Rule {
        code: "autoyast",
        find: &[Part("<partitioning"), Key("autoyast"), Key("autoyast2"), Part("<drive>")],
        text: "AutoYaST partitions disks",
    },
    Rule { code: "agama", find: &[Part("inst.auto=")], text: "Agama partitions disks" },
    Rule {
        code: "proxmox.install",
        find: &[
            Part("disk-setup"),
            Part("disk_setup"),
            Part("disk-list"),
            Part("proxmox-start-auto-installer"),
        ],
        text: "the Proxmox installer takes whole disks",
    },
    Rule {
        code: "windows.disk",
        find: &[Part("willwipedisk"), Part("<diskconfiguration")],
        text: "Windows Setup repartitions disks",
    },
    Rule {
        code: "esxi.install",
        find: &[Both("install", "--firstdisk"), Part("overwritevmfs"), Both("install", "--disk")],
        text: "the ESXi installer takes a whole disk",
    },
    Rule {
        code: "xcp.install",
        find: &[Part("<primary-disk")],
        text: "the XCP-ng installer takes a whole disk",
    },
    Rule {
        code: "image.restore",
        find: &[
            Part("restoredisk"),
            Part("restoreparts"),
            Part("ocs-sr"),
            Part("ocs_live_run"),
            Part("partclone.restore"),
        ],
        text: "an image is written over a disk",
    },
    Rule {
        code: "installer.automatic",
        find: &[
            On("harvester.install.automatic"),
            Part("install-mode"),
            Part("kairos.ram.create_partitions"),
            Part("elemental install"),
        ],
        text: "the installer takes a disk without asking",
    },
    Rule {
        code: EXTERNAL,
        find: &[Part("preseed/include"), Part("preseed/run")],
        text: "the installer takes its instructions from elsewhere",
    },
];

/// Instructions that Moxxie cannot read before a machine follows them.
const EXTERNAL: &str = "external-config";

/// Every reason to take a profile for destructive; empty for a safe one. A rule gives at most one
/// reason for each field, at its first line. Templates that can be rendered should be passed both
/// as source and rendered.
pub fn destructive_reasons(profile_type: &str, boot_params: &str, config: Option<&str>) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if profile_type == "custom" || super::find(profile_type).is_none() {
        reasons.push(Reason {
            code: "custom",
            field: "profile_type",
            line: None,
            text: "nobody can tell what a custom profile does",
        });
    }
    let args = external::words(boot_params);
    scan(BOOT_PARAMS, boot_params, |_| false, &mut reasons);
    external::args(&args, None, &mut reasons);
    if let Some(config) = config {
        scan(CONFIG_TEMPLATE, config, is_comment, &mut reasons);
        external::scripts(config, is_comment, &mut reasons);
    }
    reasons
}

/// The same for what is about to be sent: a kernel's finished arguments, one a word. `base_url` is
/// the service's own, below which a config is no stranger's.
pub fn rendered_args_reasons<'w>(args: impl Iterator<Item = &'w str>, base_url: &str) -> Vec<Reason> {
    let args: Vec<String> = args.map(str::to_owned).collect();
    let configs = format!("{}/boot/configs/", base_url.to_lowercase());
    let mut reasons = Vec::new();
    for arg in &args {
        // The service's own URLs say nothing, and a random token may spell any word.
        if !arg.to_lowercase().contains(&configs) {
            scan(BOOT_PARAMS, arg, |_| false, &mut reasons);
        } else if let Some((key, _)) = arg.split_once('=') {
            scan(BOOT_PARAMS, key, |_| false, &mut reasons);
        }
    }
    // Rules of two words.
    let rest: Vec<&str> =
        args.iter().map(String::as_str).filter(|a| !a.to_lowercase().contains(&configs)).collect();
    scan(BOOT_PARAMS, &rest.join(" "), |_| false, &mut reasons);
    external::args(&args, Some(&configs), &mut reasons);
    reasons
}

/// The same for a config that is ready to be sent. A line in it is a comment only when the
/// template has that very line: what a value brought may be read as something else.
pub fn rendered_config_reasons(template: &str, rendered: &str) -> Vec<Reason> {
    let known: std::collections::HashSet<&str> =
        lines(template).filter(|line| is_comment(line)).map(str::trim).collect();
    let comment = |line: &str| is_comment(line) && known.contains(line.trim());
    let mut reasons = Vec::new();
    scan(CONFIG_TEMPLATE, rendered, comment, &mut reasons);
    external::scripts(rendered, comment, &mut reasons);
    reasons
}

/// The lines of a text, by every break that YAML knows.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(at) = text.find(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']) else {
            return rest.take();
        };
        let (line, tail) = text.split_at(at);
        let mut skipped = tail.chars();
        let broken = skipped.next();
        rest = Some(match broken {
            Some('\r') => skipped.as_str().strip_prefix('\n').unwrap_or(skipped.as_str()),
            _ => skipped.as_str(),
        });
        Some(line)
    })
}

fn scan(field: &'static str, text: &str, comment: impl Fn(&str) -> bool, reasons: &mut Vec<Reason>) {
    for (index, line) in lines(text).enumerate() {
        if comment(line) {
            continue;
        }
        let plain = line.to_lowercase();
        let decoded = decoded(line).map(|line| line.to_lowercase());
        for rule in RULES {
            let on = |find: &Find| find.on(&plain) || decoded.as_deref().is_some_and(|line| find.on(line));
            if rule.find.iter().any(on) {
                push(field, rule.code, rule.text, index, reasons);
            }
        }
        if field == CONFIG_TEMPLATE && hides_its_key(line) {
            push(field, "hidden-keys", "the config hides its keys", index, reasons);
        }
    }
}

/// Adds a reason unless the field has one of this code.
fn push(
    field: &'static str,
    code: &'static str,
    text: &'static str,
    index: usize,
    reasons: &mut Vec<Reason>,
) {
    if !reasons.iter().any(|r| r.code == code && r.field == field) {
        reasons.push(Reason { code, field, line: u32::try_from(index + 1).ok(), text });
    }
}

/// A line that is a comment in every format here. One with a template tag may turn into something
/// else when rendered.
fn is_comment(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with('#') && !line.contains("{{") && !line.contains("{%")
}

/// The line with the escapes of YAML, JSON and TOML spelled out, when it has any: `"wi\x70e"` is a
/// key that means the same.
fn decoded(line: &str) -> Option<String> {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find('\\') {
        let (before, tail) = rest.split_at(at);
        out.push_str(before);
        let digits = match tail.as_bytes().get(1) {
            Some(b'x') => 2,
            Some(b'u') => 4,
            Some(b'U') => 8,
            _ => 0,
        };
        let code = tail.get(2..2 + digits).filter(|_| digits > 0);
        match code.and_then(|hex| u32::from_str_radix(hex, 16).ok()).and_then(char::from_u32) {
            Some(c) => {
                out.push(c);
                rest = tail.get(2 + digits..).unwrap_or_default();
            }
            None => {
                out.push('\\');
                rest = tail.get(1..).unwrap_or_default();
            }
        }
    }
    out.push_str(rest);
    (out != line).then_some(out)
}

/// YAML's keys that stand apart from their `:`: explicit ones (`? wipe`) and aliases (`*key :`).
fn hides_its_key(line: &str) -> bool {
    let mut line = line.trim();
    while let Some(item) = line.strip_prefix("- ") {
        line = item.trim_start();
    }
    let explicit = |text: &str| text == "?" || text.starts_with("? ") || text.starts_with("?\t");
    let flow = line.match_indices(['{', '[', ',']).any(|(at, _)| explicit(line[at + 1..].trim_start()));
    let alias = line.match_indices('*').any(|(at, _)| {
        let rest = &line[at + 1..];
        let name = rest.trim_start_matches(|c: char| c.is_alphanumeric() || matches!(c, '_' | '-'));
        name.len() < rest.len() && name.starts_with([' ', '\t']) && name.trim_start().starts_with(':')
    });
    explicit(line) || flow || alias
}

impl Find {
    fn on(&self, line: &str) -> bool {
        match self {
            Part(text) => line.contains(text),
            Word(word) => occurrences(line, word).next().is_some(),
            Both(one, other) => line.contains(one) && line.contains(other),
            Key(key) => occurrences(line, key).any(|rest| value(rest).is_some()),
            Section(key) => occurrences(line, key).any(|rest| {
                value(rest).is_some_and(|v| v.is_empty() || v.starts_with(['{', '[', '#', '&', '*']))
            }),
            On(key) => occurrences(line, key).any(|rest| value(rest).is_some_and(is_on)),
        }
    }
}

/// What follows each occurrence of a word that stands alone.
fn occurrences<'l>(line: &'l str, word: &'l str) -> impl Iterator<Item = &'l str> {
    let part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    line.match_indices(word).filter_map(move |(at, _)| {
        let rest = &line[at + word.len()..];
        let alone = !line[..at].ends_with(part) && !rest.starts_with(part);
        alone.then_some(rest)
    })
}

/// The value after a key, when it is one.
fn value(rest: &str) -> Option<&str> {
    let rest = rest.strip_prefix(['"', '\'']).unwrap_or(rest).trim_start();
    rest.strip_prefix([':', '=']).map(str::trim)
}

fn is_on(value: &str) -> bool {
    let value = value.trim_start_matches(['"', '\'']);
    let word: String = value.chars().take_while(|c| c.is_alphanumeric()).collect();
    !["false", "no", "off", "0", "n"].contains(&word.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn codes(platform: &str, args: &str, config: &str) -> Vec<&'static str> {
        destructive_reasons(platform, args, Some(config)).iter().map(|r| r.code).collect()
    }

    #[test]
    fn every_known_way_to_lose_a_disk() {
        let args = [
            ("talos.experimental.wipe=system", "talos.wipe"),
            ("autoinstall ds=nocloud", "autoinstall"),
            ("coreos.inst.install_dev=/dev/sda", "coreos.install"),
            ("coreos.inst=yes", "coreos.install"),
            ("partman-auto/disk=/dev/sda", "preseed.partman"),
            ("wipe_disks=1", "disk.wipe"),
            ("nwipe=\"--autonuke\"", "disk.wipe"),
            ("--autonuke", "disk.wipe"),
            ("autoyast=http://x/y.xml", "autoyast"),
            ("inst.auto=http://x", "agama"),
            ("proxmox-start-auto-installer", "proxmox.install"),
            ("harvester.install.automatic=true", "installer.automatic"),
            ("ocs_live_run=\"ocs-sr -x restoredisk\"", "image.restore"),
        ];
        for (text, code) in args {
            assert!(codes("talos", text, "").contains(&code), "{text}");
        }
        let configs = [
            ("machine:\n  install:\n    wipe: true", "talos.wipe"),
            ("wipe: {{ params.wipe }}", "talos.wipe"),
            ("wipe:\n  yes", "talos.wipe"),
            ("{\"install\": {\"wipe\": true}}", "talos.wipe"),
            ("machine: {install: {wipe: True}}", "talos.wipe"),
            ("clearpart --all", "kickstart.partitioning"),
            ("zerombr", "kickstart.partitioning"),
            ("part / --size=1", "kickstart.partitioning"),
            ("#cloud-config\nautoinstall:\n  version: 1", "autoinstall"),
            ("  storage:\n    layout:\n      name: lvm", "autoinstall.storage"),
            ("d-i partman-auto/method string lvm", "preseed.partman"),
            ("d-i  PARTMAN/confirm boolean true", "preseed.partman"),
            ("wipefs -a /dev/sda", "disk.wipe"),
            ("dd if=x of=/dev/sda", "disk.write"),
            ("dd if=x of=$DISK", "disk.write"),
            ("dd if=x of={{ params.disk }}", "disk.write"),
            ("cat img > /dev/sda", "disk.write"),
            ("flatcar-install -d /dev/sda", "coreos.install"),
            ("\"wipeTable\": true", "ignition.wipe"),
            ("<partitioning config:type=\"list\">", "autoyast"),
            ("[disk-setup]\nfilesystem = \"ext4\"", "proxmox.install"),
            ("<WillWipeDisk>true</WillWipeDisk>", "windows.disk"),
            ("install --firstdisk --overwritevmfs", "esxi.install"),
            ("<primary-disk>sda</primary-disk>", "xcp.install"),
            ("#{{ '\\n' }}clearpart --all", "kickstart.partitioning"),
        ];
        for (text, code) in configs {
            assert!(codes("talos", "", text).contains(&code), "{text}");
        }
        assert_eq!(codes("custom", "", ""), ["custom"]);
        assert_eq!(codes("unheard-of", "", ""), ["custom"]);
    }

    #[test]
    fn a_plain_talos_node_is_safe() {
        let config = "# clearpart --all\nmachine:\n  install:\n    disk: /dev/sda\n    wipe: false\n  \
                      # wipe: true\n  kubelet:\n    image: x\n\"wipe\": \"false\"\n";
        let args = "talos.platform=metal console=tty0 talos.halt_if_installed=1";
        assert_eq!(destructive_reasons("talos", args, Some(config)), []);
    }

    #[test]
    fn says_where() {
        let reasons = destructive_reasons("debian", "x", Some("a\nb\nd-i partman/confirm boolean true\n"));
        assert_eq!(reasons.len(), 1);
        assert_eq!((reasons[0].field, reasons[0].line), ("config_template", Some(3)));
        assert_eq!(reasons[0].code, "preseed.partman");
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "[a-z:=#{}\u{130}\u{df} \n\"-]{0,80}") {
            destructive_reasons("talos", &text, Some(&text));
        }

        #[test]
        fn a_destructive_line_is_found_wherever_it_stands(before in "[a-z \n]{0,30}", after in "[a-z \n]{0,30}") {
            let text = format!("{before}\nclearpart --all\n{after}");
            prop_assert!(codes("talos", "", &text).contains(&"kickstart.partitioning"));
        }
    }
}
