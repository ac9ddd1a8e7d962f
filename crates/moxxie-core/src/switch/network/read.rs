//! Reads a network out of what was asked for: every problem at once, each with its parameter.

use super::{KEYS, Known, Lease, Network, Pool, Problem, Range, Stage, Tftp};
use crate::switch::{Arch, BootUrl, Dialect, Name};
use ipnet::Ipv4Net;
use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

pub(super) struct Reader<'a> {
    pub(super) dialect: &'a dyn Dialect,
    pub(super) given: &'a [(String, String)],
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<String>,
}

impl Reader<'_> {
    fn text(&self, key: &str) -> Option<&str> {
        self.given.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str()).filter(|v| !v.is_empty())
    }

    fn parse<T: FromStr>(&mut self, key: &'static str) -> Option<T>
    where
        T::Err: fmt::Display,
    {
        match self.text(key)?.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.refuse(key, error);
                None
            }
        }
    }

    fn refuse(&mut self, key: &'static str, message: impl fmt::Display) {
        self.problems.push(Problem::new(key, message));
    }

    fn address(&mut self, key: &'static str) -> Option<Ipv4Addr> {
        let text = self.text(key)?.to_owned();
        let address = usable(&text);
        if address.is_none() {
            self.refuse(key, "not an IPv4 address of a host, such as 10.0.0.10");
        }
        address
    }

    fn one_of<T: Copy>(&mut self, key: &'static str, values: &[(&str, T)], default: T) -> T {
        let Some(text) = self.text(key) else { return default };
        match values.iter().find(|(name, _)| *name == text) {
            Some((_, value)) => *value,
            None => {
                let names: Vec<&str> = values.iter().map(|(name, _)| *name).collect();
                self.refuse(key, format!("write one of {}", names.join(", ")));
                default
            }
        }
    }

    fn unknown_keys(&mut self) {
        let choices = self.dialect.choices();
        for (i, (key, _)) in self.given.iter().enumerate() {
            let known = KEYS
                .iter()
                .map(|(known, _)| *known)
                .chain(choices.iter().map(|choice| choice.key))
                .find(|k| k == key);
            if self.given[..i].iter().any(|(earlier, _)| earlier == key) {
                self.problems.push(Problem::new(known.unwrap_or("parameters"), "is given twice"));
                continue;
            }
            match known {
                None => {
                    let all: Vec<&str> =
                        self.dialect.reads().iter().copied().chain(choices.iter().map(|c| c.key)).collect();
                    let shown: String = key.chars().take(40).collect();
                    self.problems.push(Problem::new(
                        "parameters",
                        format!(
                            "{shown:?} is no parameter of {}; it reads {}",
                            self.dialect.name(),
                            all.join(", ")
                        ),
                    ));
                }
                Some(known) => {
                    let used =
                        self.dialect.reads().contains(&known) || choices.iter().any(|c| c.key == known);
                    if !used {
                        self.warnings.push(format!(
                            "{known} was given, but {} has no use for it",
                            self.dialect.name()
                        ));
                    }
                }
            }
        }
    }

    fn choices(&mut self) -> BTreeMap<&'static str, &'static str> {
        let mut chosen = BTreeMap::new();
        for choice in self.dialect.choices() {
            let values: Vec<(&'static str, &'static str)> =
                choice.values.iter().map(|(name, _)| (*name, *name)).collect();
            let Some((default, _)) = values.first().copied() else { continue };
            let meant = self.text(choice.key).and_then(|text| self.dialect.choose(choice.key, text));
            let value = meant.unwrap_or_else(|| self.one_of(choice.key, &values, default));
            chosen.insert(choice.key, value);
        }
        chosen
    }

    pub(super) fn network(mut self, known: &Known) -> Result<Network, Vec<Problem>> {
        self.unknown_keys();
        let choices = self.choices();
        let Some(boot_url) = self.boot_url(known) else { return Err(self.problems) };
        let subnet = self.subnet(known, boot_url.address());
        let inside = |address: Ipv4Addr| {
            subnet.contains(&address) && address != subnet.network() && address != subnet.broadcast()
        };
        let gateway = self.address("gateway");
        if gateway.is_some_and(|address| !inside(address)) {
            self.refuse("gateway", format!("is not a host of {subnet}: machines could not reach it"));
        }
        let gateway = gateway
            .filter(|address| inside(*address))
            .or_else(|| subnet.hosts().next())
            .unwrap_or(subnet.addr());
        let tftp = self.one_of("tftp", &[("switch", Tftp::Switch), ("moxxie", Tftp::Moxxie)], Tftp::Switch);
        if tftp == Tftp::Moxxie && !known.tftp {
            self.warnings.push("tftp=moxxie: this server has no TFTP listener yet; start it with moxxie serve --tftp 0.0.0.0:69".into());
        }
        let next_server = match (self.address("next_server"), tftp, boot_url.address()) {
            (Some(address), _, _) => address,
            (None, Tftp::Switch, _) => gateway,
            (None, Tftp::Moxxie, Some(address)) => address,
            (None, Tftp::Moxxie, None) => {
                if self.text("next_server").is_none() {
                    self.refuse(
                        "next_server",
                        "name Moxxie's address: the boot URL has a name, and firmware loads by address",
                    );
                }
                gateway
            }
        };
        if next_server == subnet.network() || next_server == subnet.broadcast() {
            self.refuse("next_server", format!("is no host of {subnet}"));
        }
        let next_server_given = self.text("next_server").is_some();
        let arches = self.arches();
        let https = boot_url.is_https();
        if https && arches.contains(&Arch::Bios) {
            self.warnings.push("the boot URL is https, which BIOS builds of iPXE do not speak: give boot_url=http://… or arch without bios".into());
        }
        let dns = self.dns(gateway);
        if dns.iter().any(|address| *address == subnet.network() || *address == subnet.broadcast()) {
            self.refuse("dns", format!("holds an address that is no host of {subnet}"));
        }
        let pool = self.pool(subnet);
        let taken = [
            ("gateway", Some(gateway)),
            ("next_server", Some(next_server)),
            ("address of Moxxie", boot_url.address()),
        ];
        if let Some(Pool::Range(range)) = &pool {
            let held = |(_, address): &(&str, Option<Ipv4Addr>)| {
                address.is_some_and(|address| (range.first..=range.last).contains(&address))
            };
            if let Some((what, _)) = taken.iter().find(|taken| held(taken)) {
                let Range { first, last } = range;
                self.refuse(
                    "pool",
                    format!(
                        "{first}-{last} holds the {what}, which would be handed out: give a range without it"
                    ),
                );
            }
        }
        let secure_boot = self.one_of("secure_boot", &[("no", false), ("yes", true)], false);
        let snponly = self.one_of("loader", &[("ipxe", false), ("snponly", true)], false);
        let stages = [("auto", Stage::Auto), ("class", Stage::Class), ("embedded", Stage::Embedded)];
        let stage2 = self.one_of("stage2", &stages, Stage::Auto);
        let taken: Vec<Ipv4Addr> = [Some(gateway), Some(next_server), boot_url.address()]
            .into_iter()
            .flatten()
            .chain(dns.clone())
            .collect();
        let leases = self.leases(known, subnet, &taken);
        let network = Network {
            subnet,
            gateway,
            dns,
            interface: self.parse("interface"),
            uplink: self.parse("uplink"),
            dhcp_server: self.parse("dhcp_server"),
            pool,
            next_server,
            next_server_given,
            tftp,
            boot_url,
            arches,
            secure_boot,
            snponly,
            stage2,
            vlan: self.parse("vlan"),
            leases,
            warnings: std::mem::take(&mut self.warnings),
            choices,
        };
        let range = network.range();
        if !matches!(network.pool, Some(Pool::Range(_)))
            && taken.iter().any(|a| (range.first..=range.last).contains(a))
        {
            self.refuse("subnet", format!("{subnet} has no address left for machines"));
        }
        if network.interface.is_some() && network.interface == network.uplink {
            self.refuse(
                "uplink",
                "is the same as interface: one leads to the machines, the other to the DHCP server",
            );
        }
        for arch in network.arches.iter().filter(|arch| arch.is_http()) {
            let url = network.loader(*arch);
            if url.len() > BootUrl::MAX {
                self.refuse(
                    "boot_url",
                    format!(
                        "the loader's URL {url} would have {} bytes: DHCP has room for {}",
                        url.len(),
                        BootUrl::MAX
                    ),
                );
            }
        }
        if self.problems.is_empty() { Ok(network) } else { Err(self.problems) }
    }

    fn boot_url(&mut self, known: &Known) -> Option<BootUrl> {
        let url = match self.text("boot_url") {
            Some(_) => self.parse::<BootUrl>("boot_url")?,
            None => {
                match known.boot_url.clone() {
                    Some(url) => url,
                    None => {
                        self.refuse("boot_url", "is needed: this server does not know by which URL machines reach it (public_url)");
                        return None;
                    }
                }
            }
        };
        let nobody = |address: &Ipv4Addr| !address.is_loopback() && usable(&address.to_string()).is_none();
        if url.address().as_ref().is_some_and(nobody) {
            self.refuse("boot_url", format!("{} is no machine's address", url.host()));
        }
        if url.address().is_some_and(|address| address.is_loopback()) || url.host() == "localhost" {
            self.warnings.push(format!(
                "{url} is this computer only, machines cannot reach it: give boot_url=, or set public_url"
            ));
        }
        Some(url)
    }

    fn subnet(&mut self, known: &Known, moxxie: Option<Ipv4Addr>) -> Ipv4Net {
        let example = Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 88, 0), 24);
        if let Some(text) = self.text("subnet") {
            let text = text.to_owned();
            let net = match text.parse::<Ipv4Net>() {
                Ok(net) if net.addr() != net.network() => {
                    Err(format!("has host bits; the network is {}", net.trunc()))
                }
                Ok(net) if !(8..=30).contains(&net.prefix_len()) => {
                    Err("a network for machines has 8 to 30 bits".into())
                }
                Ok(net) if usable(&net.network().to_string()).is_none() => {
                    Err("is no network for machines".into())
                }
                Ok(net) => Ok(net),
                Err(_) => Err("not an IPv4 network, such as 10.0.0.0/24".to_owned()),
            };
            return net.unwrap_or_else(|message| {
                self.refuse("subnet", message);
                example
            });
        }
        if let Some(net) = known.subnet.filter(|net| (8..=30).contains(&net.prefix_len())) {
            return net.trunc();
        }
        let guess = match moxxie.filter(|address| !address.is_loopback()) {
            Some(address) => Ipv4Net::new(address, 24).map(|net| net.trunc()).unwrap_or(example),
            None => example,
        };
        self.warnings.push(format!("{guess} is a guess: give subnet= if your machines are elsewhere"));
        guess
    }

    fn arches(&mut self) -> Vec<Arch> {
        let Some(text) = self.text("arch").map(str::to_owned) else { return Arch::ALL.to_vec() };
        let mut arches = Vec::new();
        for word in text.split(',') {
            match word.trim().parse::<Arch>() {
                Ok(arch) if !arches.contains(&arch) => arches.push(arch),
                Ok(_) => {}
                Err(error) => self.refuse("arch", error),
            }
        }
        arches.sort_unstable();
        arches
    }

    fn dns(&mut self, gateway: Ipv4Addr) -> Vec<Ipv4Addr> {
        let Some(text) = self.text("dns") else { return vec![gateway] };
        let addresses: Option<Vec<Ipv4Addr>> = text.split(',').map(|word| usable(word.trim())).collect();
        match addresses {
            Some(addresses) if addresses.len() <= 4 => addresses,
            _ => {
                self.refuse("dns", "write one to four IPv4 addresses, separated by commas");
                vec![gateway]
            }
        }
    }

    fn pool(&mut self, subnet: Ipv4Net) -> Option<Pool> {
        let text = self.text("pool")?.to_owned();
        let range =
            text.split_once('-').and_then(|(a, b)| Some((a.trim().parse().ok()?, b.trim().parse().ok()?)));
        let Some((first, last)) = range else { return self.parse::<Name>("pool").map(Pool::Name) };
        let inside = |a: Ipv4Addr| subnet.contains(&a) && a != subnet.network() && a != subnet.broadcast();
        if !inside(first) || !inside(last) || first > last {
            self.refuse("pool", format!("{first}-{last} is not a range of hosts in {subnet}"));
        }
        Some(Pool::Range(Range { first, last }))
    }

    /// `taken`: what stands in the network already.
    fn leases(&mut self, known: &Known, subnet: Ipv4Net, taken: &[Ipv4Addr]) -> Vec<Lease> {
        // Which addresses `Known` has, those that are written down or also those that were seen, is the
        // caller's part of this choice.
        if !self.one_of("leases", &[("none", false), ("static", true), ("seen", true)], false) {
            return Vec::new();
        }
        let mut leases = known.leases.clone();
        leases.sort_by_key(|lease| lease.mac);
        let mut elsewhere = 0;
        let mut holders = BTreeMap::new();
        let mut kept = Vec::new();
        for lease in leases {
            let Lease { mac, node, address, .. } = &lease;
            let why = if !subnet.contains(address) {
                elsewhere += 1;
                continue;
            } else if *address == subnet.network() || *address == subnet.broadcast() {
                "which is no machine's".to_owned()
            } else if taken.contains(address) {
                "which router, name server, TFTP server or Moxxie have".to_owned()
            } else if let Some(other) = holders.get(address) {
                format!("which {other} has, too")
            } else {
                holders.insert(*address, *mac);
                kept.push(lease);
                continue;
            };
            self.warnings.push(format!("{node} ({mac}) is left out: its address is {address}, {why}"));
        }
        if elsewhere > 0 {
            self.warnings.push(format!(
                "{elsewhere} assigned machines have addresses outside {subnet} and are left out"
            ));
        }
        if kept.is_empty() {
            self.warnings.push(
                "no assigned machine has a known address in this network: give it one with the parameter ip"
                    .into(),
            );
        }
        kept
    }
}

/// The address of one host: not zero, loopback, multicast or broadcast.
fn usable(text: &str) -> Option<Ipv4Addr> {
    let address: Ipv4Addr = text.parse().ok()?;
    let first = address.octets()[0];
    (first != 0 && first != 127 && first < 224).then_some(address)
}
