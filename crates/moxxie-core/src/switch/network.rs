//! One network that machines boot in: what was asked for, what Moxxie knows, checked and typed.

mod read;

use super::name::{Arch, BootUrl, Name, NameError, Vlan};
use crate::mac::MacAddr;
use crate::name::NodeName;
use ipnet::Ipv4Net;
use read::Reader;
use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;

/// The parameters, with what they mean. Choices of a dialect (`version`, `family`, `mode`) come on top.
pub const KEYS: &[(&str, &str)] = &[
    ("subnet", "the machines' network, such as 10.0.0.0/24"),
    ("gateway", "their router; default: the first address of the subnet"),
    ("dns", "their name servers, separated by commas; default: the gateway"),
    ("interface", "the device's interface towards the machines"),
    ("uplink", "the port towards the DHCP server, where DHCP snooping has to trust"),
    ("dhcp_server", "the name of the DHCP server on the device, or the address to relay to"),
    ("pool", "the name of the address pool on the device, or a range such as 10.0.0.100-10.0.0.199"),
    ("next_server", "the TFTP server's address; default: the gateway, or Moxxie with tftp=moxxie"),
    ("tftp", "who hands out the loaders: switch (default) or moxxie"),
    ("boot_url", "the menu's URL; default: this server's /boot/menu.ipxe"),
    (
        "arch",
        "kinds of clients, separated by commas: bios, ia32, x64, arm64, http-x64, http-arm64; default: all",
    ),
    ("secure_boot", "yes: UEFI machines load the signed shim first; default: no"),
    (
        "loader",
        "for UEFI: ipxe (default) has network drivers of its own, snponly uses the firmware's; take it where ipxe hangs at initialising devices",
    ),
    (
        "stage2",
        "how iPXE finds the menu: auto (default), class (DHCP tells it) or embedded (the loader knows)",
    ),
    ("vlan", "the machines' VLAN, 1 to 4094"),
    (
        "leases",
        "static: a fixed address for each assigned machine that has the parameter ip or address; seen: else where it was seen last; default: none",
    ),
];

/// What a dialect lets one choose; the first value is the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// The parameter.
    pub key: &'static str,
    /// Its values, each with what it means.
    pub values: &'static [(&'static str, &'static str)],
}

/// A value that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct Problem {
    /// The parameter.
    pub key: &'static str,
    /// What is the matter, and what to do.
    pub message: String,
}

impl Problem {
    /// A problem with this parameter.
    pub fn new(key: &'static str, message: impl fmt::Display) -> Problem {
        Problem { key, message: message.to_string() }
    }
}

/// Who hands out the loaders by TFTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tftp {
    /// The device that is configured.
    Switch,
    /// Moxxie itself (`moxxie serve --tftp`).
    Moxxie,
}

/// How iPXE, once loaded, finds the menu instead of its own loader again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// As the dialect does it best.
    Auto,
    /// DHCP recognizes iPXE and gives it another name.
    Class,
    /// The loader has the script in it (BIOS) or fetches `autoexec.ipxe` (UEFI).
    Embedded,
}

/// Addresses that are handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first.
    pub first: Ipv4Addr,
    /// The last.
    pub last: Ipv4Addr,
}

/// What `pool=` says: it depends on the vendor which of the two makes sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pool {
    /// A pool that exists on the device.
    Name(Name),
    /// The addresses themselves.
    Range(Range),
}

/// An assigned machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Its address on the wire.
    pub mac: MacAddr,
    /// What the cluster calls it.
    pub node: NodeName,
    /// Its fixed address.
    pub address: Ipv4Addr,
    /// What firmware it asked with last, if it ever did.
    pub arch: Option<Arch>,
}

/// What the server knows before anything is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// The URL of its menu, as machines reach it.
    pub boot_url: Option<BootUrl>,
    /// The network that its settings name for machines.
    pub subnet: Option<Ipv4Net>,
    /// Whether it hands out loaders by TFTP itself.
    pub tftp: bool,
    /// Assigned machines with addresses, for `leases=static`.
    pub leases: Vec<Lease>,
}

/// A network that machines boot in. Every value was checked when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// The machines' network, without host bits, of 8 to 30 bits.
    pub subnet: Ipv4Net,
    /// Their router, within the subnet.
    pub gateway: Ipv4Addr,
    /// Their name servers, at least one: the Debian installer stops without.
    pub dns: Vec<Ipv4Addr>,
    /// The device's interface towards the machines.
    pub interface: Option<Name>,
    /// The port towards the DHCP server.
    pub uplink: Option<Name>,
    /// The DHCP server's name on the device, or what to relay to.
    pub dhcp_server: Option<Name>,
    /// The pool, by name or as a range within the subnet.
    pub pool: Option<Pool>,
    /// The TFTP server.
    pub next_server: Ipv4Addr,
    /// Whether somebody named it; else it is the default for `tftp`.
    pub next_server_given: bool,
    /// Who that is.
    pub tftp: Tftp,
    /// What iPXE is to load.
    pub boot_url: BootUrl,
    /// The kinds of clients to serve, in order, each once, at least one.
    pub arches: Vec<Arch>,
    /// Whether UEFI machines load the signed shim.
    pub secure_boot: bool,
    /// Whether UEFI machines load the build that uses the firmware's network driver.
    pub snponly: bool,
    /// How iPXE finds the menu.
    pub stage2: Stage,
    /// The machines' VLAN.
    pub vlan: Option<Vlan>,
    /// Fixed addresses, by MAC address; empty unless asked for.
    pub leases: Vec<Lease>,
    /// What was guessed or ignored while reading.
    pub warnings: Vec<String>,
    choices: BTreeMap<&'static str, &'static str>,
}

impl Network {
    /// Reads the parameters of a request for a dialect. Names nothing twice; every problem at once.
    pub fn read(
        dialect: &dyn super::Dialect,
        given: &[(String, String)],
        known: &Known,
    ) -> Result<Network, Vec<Problem>> {
        Reader { dialect, given, problems: Vec::new(), warnings: Vec::new() }.network(known)
    }

    /// What was chosen for this key, or its default; empty for a key that the dialect has not.
    pub fn choice(&self, key: &str) -> &'static str {
        self.choices.get(key).copied().unwrap_or("")
    }

    /// The same network for another dialect, such as a companion file's: `chosen` there, and that
    /// dialect's defaults for the rest.
    pub fn for_dialect(&self, dialect: &dyn super::Dialect, chosen: &[(&str, &str)]) -> Network {
        let choose = |choice: &Choice| {
            let wanted = chosen.iter().find(|(key, _)| *key == choice.key).map(|(_, value)| *value);
            let names = || choice.values.iter().map(|(name, _)| *name);
            let value = names().find(|name| Some(*name) == wanted).or_else(|| names().next())?;
            Some((choice.key, value))
        };
        Network { choices: dialect.choices().iter().filter_map(choose).collect(), ..self.clone() }
    }

    /// `10-0-0-0`: tells the networks of one device apart in the names of what is made there.
    pub fn label(&self) -> String {
        self.subnet.network().to_string().replace('.', "-")
    }

    /// Whether this kind of client is served.
    pub fn serves(&self, arch: Arch) -> bool {
        self.arches.contains(&arch)
    }

    /// The file that a kind of client loads first: a name for TFTP, or a whole URL for HTTP boot.
    pub fn loader(&self, arch: Arch) -> String {
        let stem = if self.snponly { "snponly" } else { "ipxe" };
        let file = match (arch, self.secure_boot) {
            (Arch::Bios, _) => "undionly.kpxe".to_owned(),
            // There is no signed chain for 32-bit UEFI.
            (Arch::Ia32, _) => format!("{stem}-i386.efi"),
            (Arch::X64 | Arch::HttpX64, false) => format!("{stem}.efi"),
            (Arch::X64 | Arch::HttpX64, true) => format!("{stem}-sb-shimx64.efi"),
            (Arch::Arm64 | Arch::HttpArm64, false) => format!("{stem}-arm64.efi"),
            (Arch::Arm64 | Arch::HttpArm64, true) => format!("{stem}-arm64-sb-shimaa64.efi"),
        };
        match arch.is_http() {
            true => format!("{}/boot/firmware/{file}", self.boot_url.origin()),
            false => file,
        }
    }

    /// The files that these kinds of clients ask a TFTP server for, each once: their loaders, what a
    /// shim starts, which is its own name without the shim in it (ipxe/shim), and `autoexec.ipxe`,
    /// which iPXE on UEFI looks for beside itself.
    pub fn files(&self, arches: &[Arch]) -> Vec<String> {
        let mut files = Vec::new();
        let by_tftp = || arches.iter().filter(|arch| !arch.is_http());
        for &arch in by_tftp() {
            let loader = self.loader(arch);
            let second = loader.replace("-shimx64", "").replace("-shimaa64", "");
            files.extend([loader, second]);
        }
        if by_tftp().any(|arch| *arch != Arch::Bios) {
            files.push("autoexec.ipxe".to_owned());
        }
        let mut once = Vec::new();
        for file in files {
            if !once.contains(&file) {
                once.push(file);
            }
        }
        once
    }

    /// The range to hand out: the pool's, else the upper half of the subnet without the addresses
    /// of router, TFTP server and Moxxie.
    pub fn range(&self) -> Range {
        if let Some(Pool::Range(range)) = self.pool {
            return range;
        }
        let (network, broadcast) = (u32::from(self.subnet.network()), u32::from(self.subnet.broadcast()));
        let middle = network + (broadcast - network).div_ceil(2);
        let taken = [Some(self.gateway), Some(self.next_server), self.boot_url.address()];
        let taken: Vec<u32> =
            taken.into_iter().flatten().chain(self.dns.iter().copied()).map(u32::from).collect();
        // The longest run of free addresses in that half.
        let mut best = (middle, middle);
        let mut first = None;
        let (mut begin, end) = (middle.max(network + 1), broadcast - 1);
        let mut cuts: Vec<u32> = taken.into_iter().filter(|a| (begin..=end).contains(a)).collect();
        cuts.sort_unstable();
        cuts.push(end + 1);
        for cut in cuts {
            if cut > begin && first.is_none_or(|length| cut - begin > length) {
                first = Some(cut - begin);
                best = (begin, cut - 1);
            }
            begin = begin.max(cut + 1);
        }
        Range { first: best.0.into(), last: best.1.into() }
    }
}

impl From<(&'static str, NameError)> for Problem {
    fn from((key, error): (&'static str, NameError)) -> Problem {
        Problem::new(key, error)
    }
}
