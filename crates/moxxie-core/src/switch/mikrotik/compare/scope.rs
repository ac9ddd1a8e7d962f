//! Which items of a router belong to the network that a script is for: a router has others, with
//! DHCP servers, leases and TFTP rules of their own.

use super::{Item, LEASE, MATCHER, NETWORK, OPTION, SERVER, SETS, TFTP};
use crate::switch::mikrotik::export::{Command, commands};
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;

/// The network of a script, as the router has it.
pub struct Scope {
    /// What is made for this network is called so: `moxxie-10-0-0-0`.
    label: String,
    subnet: Option<Ipv4Net>,
    /// The DHCP server, where exactly one fits.
    pub server: Option<Server>,
    /// Whether the script needs one and the router has none or several.
    pub unclear: bool,
    /// The pool that matchers have to name.
    pub pool: Option<String>,
}

/// A DHCP server of the router.
pub struct Server {
    /// Its name.
    pub name: String,
}

impl Scope {
    /// What a script says of its network, looked up in a router.
    pub fn of(script: &str, wanted: &[Item], running: &[Item]) -> Scope {
        let subnet = wanted
            .iter()
            .find(|item| item.command.menu == NETWORK)
            .and_then(|item| item.key.parse::<Ipv4Net>().ok());
        let sought = sought(script);
        let fits = |item: &&Item| {
            item.command.menu == SERVER
                && match &sought {
                    Some(find) if !find.text("name").is_empty() || !find.text("interface").is_empty() => {
                        ["name", "interface"].into_iter().all(|name| {
                            find.text(name).is_empty() || find.text(name) == item.command.text(name)
                        })
                    }
                    _ => item.enabled(),
                }
        };
        let mut servers = running.iter().filter(fits);
        let server = match (servers.next(), servers.next()) {
            (Some(item), None) => Some(item),
            _ => None,
        };
        let own = || server.map(|item| item.text_or_default("address-pool").to_owned());
        Scope {
            label: subnet.map_or_else(String::new, |subnet| {
                format!("moxxie-{}", subnet.network().to_string().replace('.', "-"))
            }),
            subnet,
            server: server.map(|item| Server { name: item.key.clone() }),
            unclear: sought.is_some() && server.is_none(),
            pool: named_pool(script).or_else(own),
        }
    }

    /// Whether an item was made for this network.
    pub fn ours(&self, item: &Item) -> bool {
        let prefixed = |text: &str, then: char| {
            text.strip_prefix(self.label.as_str()).is_some_and(|rest| rest.starts_with(then))
        };
        let file = item.text("real-filename");
        match item.command.menu.as_str() {
            _ if self.label.is_empty() => false,
            TFTP => {
                item.text("comment") == self.label
                    || prefixed(file.strip_prefix("flash/").unwrap_or(file), '-')
            }
            LEASE => prefixed(item.text("comment"), ':'),
            OPTION | SETS | MATCHER => prefixed(&item.key, '-'),
            _ => false,
        }
    }

    /// Whether the DHCP server of this name, or all, serves this network. Where the server is not
    /// known, any may.
    pub fn serves(&self, server: &str) -> bool {
        let known = self.server.as_ref();
        server.is_empty() || server == "all" || known.is_none_or(|known| known.name == server)
    }

    /// Whether a DHCP server or a lease can reach this network's machines.
    pub fn reaches(&self, item: &Item) -> bool {
        match item.command.menu.as_str() {
            SERVER => self.server.as_ref().is_some_and(|server| server.name == item.key),
            LEASE => {
                let address = item.text("address").parse::<Ipv4Addr>();
                let elsewhere = |subnet: Ipv4Net| address.is_ok_and(|address| !subnet.contains(&address));
                self.serves(item.text("server")) && !self.subnet.is_some_and(elsewhere)
            }
            NETWORK => item.key.parse::<Ipv4Net>().is_ok_and(|subnet| Some(subnet) == self.subnet),
            _ => false,
        }
    }

    /// Whether a TFTP rule answers machines of this network; what is not an address or a network may.
    pub fn answers(&self, rule: &Item) -> bool {
        let list = rule.text("ip-addresses");
        let Some(ours) = self.subnet else { return true };
        list.is_empty()
            || list.split(',').any(|part| {
                let host = part.parse::<Ipv4Addr>().map(Ipv4Net::from).ok();
                let theirs = host.or_else(|| part.parse::<Ipv4Net>().ok());
                theirs.is_none_or(|theirs| theirs.contains(&ours) || ours.contains(&theirs))
            })
    }
}

/// How the script looks for the DHCP server: its line `:local found [… find where …]`.
fn sought(script: &str) -> Option<Command> {
    let line = script.lines().find_map(|line| line.strip_prefix(":local found ["))?;
    commands(line.strip_suffix(']').unwrap_or(line)).into_iter().next()
}

/// The pool that the script names; else it takes the server's own.
fn named_pool(script: &str) -> Option<String> {
    let name = script.lines().find_map(|line| line.strip_prefix(":local pool \""))?;
    name.strip_suffix('"').map(str::to_owned)
}
