//! FS.com: five unrelated command lines under one name. A family is recognized by `show version`,
//! never by the maker's name.
//!
//! No source says that any of them chooses a boot file by the kind of client. So the default is a
//! relay to a server that does, and its configuration comes along as a companion file.

mod accton;
mod bdcom;
mod centec;
mod compare;
mod guide;
mod job;
mod picos;
mod pool;
mod quote;
mod rgos;
mod tree;

use super::{
    Choice, Dialect, Difference, Guide, Network, Problem, Remarks, Written, relayed, served, single,
};
use job::{Job, Mode};
use quote::{Port, Word};

/// FS.com.
#[derive(Debug)]
pub struct Fs;

/// One command line out of the five.
struct Family {
    /// The spelling in `family=`.
    name: &'static str,
    /// Models and lineage, for the head of the script.
    title: &'static str,
    /// What begins a remark.
    mark: &'static str,
    /// How its interfaces begin, in lower case, and one as an example.
    ports: (&'static [&'static str], &'static str),
    /// What goes below the head.
    write: fn(&Job<'_>, &mut Lines) -> Result<(), Problem>,
}

static FAMILIES: &[&Family] =
    &[&rgos::FAMILY, &accton::FAMILY, &bdcom::FAMILY, &centec::FAMILY, &picos::FAMILY];

/// What a family writes, without the head.
#[derive(Default)]
struct Lines {
    script: String,
    undo: String,
    warnings: Vec<String>,
    verify: Vec<String>,
}

impl Lines {
    fn warn(&mut self, text: impl Into<String>) {
        self.warnings.push(text.into());
    }

    /// Puts the commands between this one and `end`; remarks alone stay as they are.
    fn configure(&mut self, command: &str) {
        for text in [&mut self.script, &mut self.undo] {
            if text.lines().any(|line| !line.starts_with('!')) {
                *text = format!("{command}\n{text}end\n");
            }
        }
    }

    fn remark(&mut self, mark: &str, text: &str) {
        self.script.push_str(&super::comment_block(mark, text));
    }
}

impl Dialect for Fs {
    fn name(&self) -> &'static str {
        "fs"
    }

    fn title(&self) -> &'static str {
        "FS.com switches (RGOS, Accton, BDCOM, Centec, PicOS)"
    }

    fn summary(&self) -> &'static str {
        "commands for the switch, and a file for the DHCP server behind it"
    }

    fn choices(&self) -> &'static [Choice] {
        &[
            Choice {
                key: "family",
                values: &[
                    ("rgos", "S3410, S5810, S5860: interfaces like TenGigabitEthernet 0/1"),
                    ("accton", "S3900: interfaces like ethernet 1/1"),
                    ("bdcom", "S3400, S3700: interfaces like g0/1"),
                    ("centec", "S5800, S5850: interfaces like eth-0-1"),
                    ("picos", "PicOS: set and commit"),
                ],
            },
            Choice {
                key: "mode",
                values: &[
                    ("relay", "the switch relays to a DHCP server that knows all kinds of clients"),
                    ("uefi-pool", "the switch is the DHCP server, for one kind of client"),
                    ("proxydhcp-beside", "the switch keeps its pool, a proxyDHCP server tells what to boot"),
                ],
            },
        ]
    }

    fn reads(&self) -> &'static [&'static str] {
        &[
            "subnet",
            "gateway",
            "dns",
            "interface",
            "uplink",
            "dhcp_server",
            "pool",
            "next_server",
            "tftp",
            "boot_url",
            "arch",
            "secure_boot",
            "loader",
            "stage2",
            "vlan",
            "leases",
        ]
    }

    fn means(&self, key: &str) -> Option<&'static str> {
        guide::means(key)
    }

    fn write(&self, network: &Network) -> Result<Written, Problem> {
        let name = network.choice("family");
        let Some(family) = FAMILIES.iter().find(|family| family.name == name) else {
            return Err(Problem::new("family", "is none of these families"));
        };
        let mut lines = Lines { warnings: network.warnings.clone(), ..Lines::default() };
        let job = Job::read(network, family, &mut lines)?;
        (family.write)(&job, &mut lines)?;
        if lines.undo.is_empty() {
            lines.undo = super::comment_block(
                family.mark,
                "The script has no commands: there is nothing to take away.",
            );
        }
        let companions = match job.mode {
            Mode::Relay => relayed::server_files(network, &job.helpers)?,
            Mode::Beside => relayed::proxy_files(network)?,
            Mode::Pool => Vec::new(),
        };
        let title = format!("{}, family {name}, mode {}", family.title, network.choice("mode"));
        let remarks = |apply| Remarks { mark: family.mark, title: &title, apply };
        let apply = &[
            "Compare with show version first: FS sells five command lines that have nothing in common.",
            "Keep a copy of the running configuration, then paste this. Save it only when a machine has booted.",
        ];
        let script = remarks(apply.as_slice()).head(network, &lines.warnings) + &lines.script;
        let undo = remarks(&["Takes away what the script of the same values made."]).head(network, &[])
            + &lines.undo;
        lines.verify.push(match job.mode {
            Mode::Pool => single::doctor(network),
            Mode::Relay | Mode::Beside => served::doctor(network),
        });
        Ok(Written {
            script,
            undo,
            warnings: lines.warnings,
            verify: lines.verify,
            sources: guide::SOURCES.to_vec(),
            companions,
        })
    }

    fn guide(&self) -> Guide {
        guide::GUIDE
    }

    fn compared(&self) -> Option<&'static str> {
        Some("show running-config of the families rgos and accton, set lines of picos")
    }

    fn compare(&self, wanted: &str, running: &str) -> Option<Vec<Difference>> {
        compare::compare(wanted, running)
    }
}

/// A dynamic text as an argument; what is wrong with it names the parameter that it came from.
fn word(key: &'static str, text: &str) -> Result<Word, Problem> {
    Word::new(text).map_err(|error| Problem::new(key, error))
}
