//! An independent judge: reads a script as iPXE does and says what it did.
//!
//! For tests of every crate. It shares no code with the builder and is written from iPXE's
//! sources: `src/image/script.c` (lines, labels), `src/core/exec.c` (words, operators),
//! `src/core/settings.c` (`${…}`), `src/core/getopt.c` (options) and `src/hci/commands/`. It knows
//! the commands that the oldest stock BIOS build in the field has and that Moxxie uses; any other
//! is "command not found", as it would be there.
//!
//! ```
//! use moxxie_core::ipxe::interpreter::{Client, Outcome, Reply};
//!
//! let script = "#!ipxe\nkernel http://h/k quiet || goto end\nboot\n:end\nexit 1\n";
//! let run = Client::bios().run(script, &mut |_url: &str| Reply::not_found());
//! assert_eq!(run.fetched, ["http://h/k"]);
//! assert_eq!(run.outcome, Outcome::Exit(1));
//! ```

mod commands;
mod lines;
mod options;
mod words;

use commands::Machine;
use std::collections::{BTreeMap, BTreeSet};

/// What the network answers to a fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// A success with this body. One that begins with `#!ipxe` and a blank is a script; any other
    /// can be loaded by `kernel` and `initrd`.
    Body(Vec<u8>),
    /// A success with a body that is neither a script nor anything that can be started.
    Garbage,
    /// A failure with iPXE's error number, which becomes `${errno}`.
    Failed(u32),
}

impl Reply {
    /// HTTP 404 on the 2019 build.
    pub fn not_found() -> Reply {
        Reply::Failed(0x2d0c_613b)
    }
    /// HTTP 500 or 503 without `Retry-After`, on the 2019 build.
    pub fn server_error() -> Reply {
        Reply::Failed(0x1d0c_6539)
    }
    /// A success with this text.
    pub fn text(body: impl Into<String>) -> Reply {
        Reply::Body(body.into().into_bytes())
    }
}

/// What the person in front of a menu does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// Nothing, until the time-out.
    TimeOut,
    /// Escape.
    Cancel,
    /// The entry with this label.
    Pick(String),
    /// The entry with this key.
    Key(char),
}

/// A menu as shown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ShownMenu {
    /// The title.
    pub title: String,
    /// The lines, in order.
    pub items: Vec<ShownItem>,
    /// The time-out; 0 waits for ever.
    pub timeout_ms: u32,
}

/// One line of a menu.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ShownItem {
    /// What it sets; `None` for a gap.
    pub label: Option<String>,
    /// What is read.
    pub text: String,
    /// Its key.
    pub key: Option<char>,
    /// Marked `--default`.
    pub default: bool,
}

/// What is outside the machine. A closure from URL to [`Reply`] is one.
pub trait World {
    /// Answers a fetch.
    fn fetch(&mut self, url: &str) -> Reply;
    /// What the person does at a menu.
    fn choose(&mut self, _menu: &ShownMenu) -> Choice {
        Choice::TimeOut
    }
    /// Whether the kernel starts.
    fn starts(&mut self, _booted: &Booted) -> bool {
        true
    }
    /// Whether a DHCP server answers.
    fn dhcp(&mut self) -> bool {
        true
    }
    /// Whether this disk boots.
    fn disk_boots(&mut self, _drive: u32) -> bool {
        true
    }
}

impl<F: FnMut(&str) -> Reply> World for F {
    fn fetch(&mut self, url: &str) -> Reply {
        self(url)
    }
}

/// A started kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Booted {
    /// Its URL.
    pub kernel: String,
    /// The name it was given.
    pub name: String,
    /// Its command line, word by word as iPXE joined them.
    pub args: Vec<String>,
    /// Every other registered image, as name and URL: on BIOS, and on UEFI since 2021, all of
    /// them become the initrd, wanted or not.
    pub initrds: Vec<(String, String)>,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A kernel runs.
    Booted(Booted),
    /// `exit` with this status.
    Exit(u32),
    /// A disk boots.
    Sanboot(u32),
    /// A person has a shell.
    Shell,
    /// Another script was fetched and would run now (only without [`Client::follow`]).
    Chain(String),
    /// A command without `||` behind it failed.
    Failed {
        /// The command after expansion.
        command: Vec<String>,
        /// Its error number.
        errno: u32,
    },
    /// The last line was passed.
    RanOffEnd,
    /// A menu without a time-out, and nobody there.
    WaitsForever,
    /// More commands than [`Client::steps`].
    StepLimit,
    /// The text is not a script.
    NotAScript,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// Every command that ran, in order, after expansion. Commands that `||` or `&&` left out are
    /// not here.
    pub commands: Vec<Vec<String>>,
    /// What was printed by `echo`.
    pub output: Vec<String>,
    /// Every URL asked for, in order.
    pub fetched: Vec<String>,
    /// Menus shown, in order.
    pub menus: Vec<ShownMenu>,
    /// Seconds slept in all.
    pub slept: u64,
    /// Names of the images still registered at the end.
    pub images: Vec<String>,
    /// Settings at the end.
    pub settings: BTreeMap<String, String>,
    /// How it ended.
    pub outcome: Outcome,
}

impl Trace {
    /// The commands of this name.
    pub fn ran(&self, name: &str) -> Vec<&[String]> {
        self.commands.iter().filter(|c| c.first().is_some_and(|n| n == name)).map(Vec::as_slice).collect()
    }
    /// Everything printed.
    pub fn screen(&self) -> String {
        self.output.join("\n")
    }
}

/// A machine with iPXE in it.
#[derive(Debug, Clone)]
pub struct Client {
    /// Settings, by the name inside `${…}`. Types: a name with its type (`serial:hexraw`) is
    /// looked up first, then the type is applied to the plain setting.
    pub settings: BTreeMap<String, String>,
    /// Commands this build lacks.
    pub missing: BTreeSet<String>,
    /// Whether the processor has a 64-bit mode (`cpuid --ext 29`).
    pub long_mode: bool,
    /// Whether `chain` runs the script it fetched (true) or ends with [`Outcome::Chain`].
    pub follow: bool,
    /// Stop after so many commands.
    pub steps: usize,
}

impl Client {
    /// A 64-bit PC with BIOS: `${platform}` is `pcbios`, `${buildarch}` is `i386`.
    pub fn bios() -> Client {
        let settings = [
            ("platform", "pcbios"),
            ("buildarch", "i386"),
            ("version", "1.0.0+git-20190125.36a4c85-5.1"),
            ("ip", "10.0.2.15"),
            ("uuid", "4c4c4544-004b-3510-8051-b4c04f4c4d32"),
            ("manufacturer", "QEMU"),
            ("product", "Standard PC (i440FX + PIIX, 1996)"),
        ];
        let settings = settings.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
        let client =
            Client { settings, missing: BTreeSet::new(), long_mode: true, follow: true, steps: 10_000 };
        client.mac("52:54:00:12:34:56")
    }

    /// A 64-bit PC with UEFI: `${platform}` is `efi`, `${buildarch}` is `x86_64`.
    pub fn efi() -> Client {
        Client::bios().set("platform", "efi").set("buildarch", "x86_64")
    }

    /// Changes a setting.
    pub fn set(mut self, name: &str, value: &str) -> Client {
        self.settings.insert(name.into(), value.into());
        self
    }

    /// Changes the MAC address of its only, booting NIC.
    pub fn mac(self, mac: &str) -> Client {
        self.set("mac", mac).set("netX/mac", mac).set("net0/mac", mac)
    }

    /// Takes a command away.
    pub fn without(mut self, command: &str) -> Client {
        self.missing.insert(command.into());
        self
    }

    /// Ends at a `chain` that succeeds instead of running what it fetched.
    pub fn stop_at_chain(mut self) -> Client {
        self.follow = false;
        self
    }

    /// Runs a script as if DHCP had named it.
    pub fn run<W: World>(&self, script: impl AsRef<[u8]>, world: &mut W) -> Trace {
        Machine::new(self, world).run(script.as_ref())
    }
}
