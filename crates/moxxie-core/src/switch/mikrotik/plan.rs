//! What a RouterOS device can do for a network, by version, and what the operator has to know of it.
//!
//! Matchers have no order (the menu has no `move`), and iPXE sends option 93 like the firmware
//! before it. So no two matchers here can fit one client: either they look at the architecture only,
//! and iPXE finds the menu without DHCP, or there is one matcher, for iPXE, and one loader for all.

use crate::switch::{Arch, KNOWS_AUTOEXEC, Network, Pool, Problem, Stage, Tftp};

/// Fixed addresses in one script above which safe mode may not take all of it back: it holds up to
/// 100 changes.
const SAFE_LEASES: usize = 50;

/// The versions that need texts of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// 6 and 7.0 to 7.3: no generic matcher.
    V6,
    /// 7.4 to 7.15: matchers without `matching-type` and `comment`.
    V74,
    /// 7.16 and later: `matching-type` is required.
    V716,
}

impl Version {
    /// The version that was chosen.
    pub fn of(network: &Network) -> Version {
        match network.choice("version") {
            "6" => Version::V6,
            "7.4" => Version::V74,
            _ => Version::V716,
        }
    }

    /// The choice that a version number falls into, such as `7.20.1`, `7.16rc2` or `6.49.10`.
    /// A bare `7` could be either of three, and is none.
    pub fn choice(text: &str) -> Option<&'static str> {
        let number = |text: &str| {
            let fine = (1..=3).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
            fine.then(|| text.parse::<u16>().ok()).flatten()
        };
        let mut parts = text.splitn(3, '.');
        let major = number(parts.next()?)?;
        let minor = parts.next().unwrap_or(if major == 6 { "0" } else { "" });
        let (minor, pre) = match ["beta", "rc"].iter().find_map(|word| minor.split_once(word)) {
            Some((minor, pre)) => (minor, Some(pre)),
            None => (minor, None),
        };
        let minor = number(minor)?;
        for rest in [pre, parts.next()].into_iter().flatten() {
            number(rest)?;
        }
        match (major, minor) {
            (6, _) | (7, 0..=3) => Some("6"),
            (7, 4..=15) => Some("7.4"),
            (7, _) => Some("7.16"),
            _ => None,
        }
    }

    /// The heading of a script.
    pub fn title(self) -> &'static str {
        match self {
            Version::V6 => "MikroTik RouterOS 6 and 7.0 to 7.3",
            Version::V74 => "MikroTik RouterOS 7.4 to 7.15",
            Version::V716 => "MikroTik RouterOS 7.16 and later",
        }
    }
}

/// How clients get the right file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// A matcher for each architecture; iPXE has its script in itself or reads `autoexec.ipxe`.
    ByArch,
    /// The network's option set for this kind of client, and one matcher for iPXE.
    ByClass(Arch),
    /// The network's boot file name, for this kind of client.
    One(Arch),
}

/// What is written, decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The version.
    pub version: Version,
    /// What everything that is made for this network is called: `moxxie-10-0-0-0`.
    pub label: String,
    /// How clients get their file.
    pub way: Way,
    /// The kinds of clients that are served, in order.
    pub arches: Vec<Arch>,
    /// What TFTP hands out, by the names that firmware asks for.
    pub files: Vec<String>,
    /// What to know, what to do.
    pub warnings: Vec<String>,
}

impl Plan {
    /// Decides, or says which parameter stands in the way.
    pub fn new(network: &Network) -> Result<Plan, Problem> {
        if let Some(Pool::Range(range)) = &network.pool {
            return Err(Problem::new(
                "pool",
                format!(
                    "{}-{} is a range, RouterOS wants a pool's name: see /ip pool print, or leave it out for the DHCP server's own",
                    range.first, range.last
                ),
            ));
        }
        let version = Version::of(network);
        let way = way(network, version)?;
        let arches = match way {
            Way::ByArch => network.arches.clone(),
            Way::ByClass(arch) | Way::One(arch) => vec![arch],
        };
        let mut warnings = network.warnings.clone();
        if version == Version::V6 && network.pool.is_some() {
            warnings.push("pool was given, but this version has no matcher that could use it.".into());
        }
        warn_of_way(network, way, &mut warnings);
        warn_of_second_stage(network, way, &arches, &mut warnings);
        let leases = network.leases.len();
        if leases > SAFE_LEASES {
            warnings.push(format!(
                "Safe mode takes back up to 100 changes and this script, with {leases} fixed addresses, may make more: rely on the backup (/export file=before)."
            ));
        }
        let files = network.files(&arches);
        let label = format!("moxxie-{}", network.label());
        Ok(Plan { version, label, way, arches, files, warnings })
    }

    /// What finds the names of matchers, sets and options of this network, and of no other.
    pub fn ours(&self) -> String {
        format!("^{}-", self.label)
    }

    /// What finds its files on the router.
    pub fn our_files(&self) -> String {
        format!("^(flash/)?{}-", self.label)
    }

    /// What finds its leases: no other comment begins like this by chance.
    pub fn our_leases(&self) -> String {
        format!("^{}: ", self.label)
    }

    /// Whether the router itself hands out loaders.
    pub fn serves_files(&self, network: &Network) -> bool {
        network.tftp == Tftp::Switch && !self.files.is_empty()
    }
}

fn way(network: &Network, version: Version) -> Result<Way, Problem> {
    if version == Version::V6 {
        if network.stage2 == Stage::Class {
            return Err(Problem::new(
                "stage2",
                "RouterOS before 7.4 cannot tell iPXE from firmware: use stage2=embedded, or version=7.4 or 7.16",
            ));
        }
        let loads_a_file = |arch: &&Arch| !arch.is_http();
        let first = network.arches.iter().find(loads_a_file).copied();
        let served = if network.serves(Arch::X64) { Some(Arch::X64) } else { first };
        return served.map(Way::One).ok_or_else(|| {
            Problem::new(
                "arch",
                "this script has no matchers before RouterOS 7.4, and UEFI HTTP boot needs option 60 for its clients alone: add x64 or bios, or use version=7.4 or 7.16",
            )
        });
    }
    match (network.stage2, network.arches.as_slice()) {
        (Stage::Embedded, _) => Ok(Way::ByArch),
        // One loader for all that are not iPXE: with HTTP boot's every client there, PXE or not, would
        // be forced option 60 and a URL as its file.
        (Stage::Auto | Stage::Class, &[arch]) if !arch.is_http() => Ok(Way::ByClass(arch)),
        (Stage::Class, &[_]) => Err(Problem::new(
            "stage2",
            "with class, every client that is not iPXE gets the same options, and those of UEFI HTTP boot would stop the others from booting: use stage2=embedded",
        )),
        (Stage::Class, _) => Err(Problem::new(
            "stage2",
            "RouterOS matchers have no order, so one for iPXE and one for its architecture would overlap: name a single arch=, or use stage2=embedded",
        )),
        (Stage::Auto, _) => Ok(Way::ByArch),
    }
}

fn warn_of_way(network: &Network, way: Way, warnings: &mut Vec<String>) {
    match way {
        Way::ByArch => {}
        Way::ByClass(arch) => warnings.push(format!(
            "Every client of {} but iPXE gets {}, whatever its kind. iPXE gets the menu by a matcher; that it beats the network's option set is not documented. If iPXE loops: stage2=embedded.",
            network.subnet,
            network.loader(arch)
        )),
        Way::One(arch) => {
            let others: Vec<&str> =
                network.arches.iter().filter(|other| **other != arch).map(|other| other.name()).collect();
            let others = match others.is_empty() {
                true => String::new(),
                false => format!(
                    " The others ({}) need RouterOS 7.4 or later, a network of their own, or a relay to dnsmasq or Kea (moxxie network-config dnsmasq, kea).",
                    others.join(", ")
                ),
            };
            warnings.push(format!(
                "This version cannot tell clients apart: every client of {} gets {}, which is for {}.{others}",
                network.subnet,
                network.loader(arch),
                arch.name()
            ));
            let odd: Vec<&str> = network
                .leases
                .iter()
                .filter(|lease| lease.arch.is_some_and(|other| other != arch))
                .map(|lease| lease.node.as_str())
                .take(8)
                .collect();
            if !odd.is_empty() {
                warnings.push(format!(
                    "{} asked as another kind of client and cannot boot from this network. Their leases get no file of their own: a second name beside the network's is read by some firmware and not by other.",
                    odd.join(", ")
                ));
            }
        }
    }
}

fn warn_of_second_stage(network: &Network, way: Way, arches: &[Arch], warnings: &mut Vec<String>) {
    if matches!(way, Way::ByClass(_)) {
        return;
    }
    let origin = network.boot_url.origin();
    if arches.contains(&Arch::Bios) {
        warnings.push(format!(
            "undionly.kpxe must carry Moxxie's script, or BIOS machines load it again and again: get {origin}/boot/firmware/embed.ipxe, run make bin/undionly.kpxe EMBED=embed.ipxe in iPXE's src folder, then moxxie firmware import bin/undionly.kpxe.",
        ));
    }
    if arches.iter().any(|arch| *arch != Arch::Bios) {
        warnings.push(format!(
            "UEFI machines find the menu by autoexec.ipxe beside their loader. What reads it: {KNOWS_AUTOEXEC}. For HTTP boot take iPXE 2.0. An older one loads itself again and again.",
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_that_people_type() {
        for (text, choice) in [
            ("7.16", "7.16"),
            ("7.16.2", "7.16"),
            ("7.16rc1", "7.16"),
            ("7.24beta3", "7.16"),
            ("7.20.8", "7.16"),
            ("7.15.3", "7.4"),
            ("7.12.2", "7.4"),
            ("7.4", "7.4"),
            ("7.3.1", "6"),
            ("7.0", "6"),
            ("6", "6"),
            ("6.49.10", "6"),
        ] {
            assert_eq!(Version::choice(text), Some(choice), "{text}");
        }
        for text in
            ["", "7", "8.1", "5.26", "7.", ".7", "7.16.", "7.x", "7.16;", "7.16 ", "v7.16", "+7.16", "7.1e1"]
        {
            assert_eq!(Version::choice(text), None, "{text:?}");
        }
    }
}
