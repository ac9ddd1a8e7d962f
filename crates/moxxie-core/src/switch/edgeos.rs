//! Ubiquiti EdgeOS: EdgeRouters whose DHCP server is dnsmasq (`use-dnsmasq`), told line by line with
//! `service dns forwarding options`.
//!
//! Source of the syntax: creeksidenetworks/ipxe, reference/edgerouter.cmd, a configuration in use.

use super::dnsmasq::line::Line;
use super::dnsmasq::{loaders, root_note, rules, tftp};
use super::{Dialect, Guide, NameError, Network, Problem, Remarks, Written, served};
use std::fmt;

/// EdgeOS.
#[derive(Debug)]
pub struct EdgeOs;

/// Survives firmware updates, as everything below `/config` does.
const TFTP_ROOT: &str = "/config/user-data/moxxie-tftp";

/// A value in single quotes, as the configuration shell takes it. Vyatta's configuration file cannot
/// carry quotes or backslashes, and `?` asks the shell for help, so these are refused.
#[derive(Debug, Clone, PartialEq, Eq)]
struct EdgeString(String);

impl EdgeString {
    fn new(text: &str) -> Result<EdgeString, NameError> {
        match text.chars().find(|c| !(' '..='~').contains(c) || "'\"\\?".contains(*c)) {
            Some(wrong) => Err(NameError(format!("{wrong:?} cannot stand in EdgeOS's configuration"))),
            None => Ok(EdgeString(format!("'{text}'"))),
        }
    }
}

impl fmt::Display for EdgeString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Dialect for EdgeOs {
    fn name(&self) -> &'static str {
        "edgeos"
    }

    fn title(&self) -> &'static str {
        "Ubiquiti EdgeOS 1.9 and later, with dnsmasq"
    }

    fn summary(&self) -> &'static str {
        "commands for an EdgeRouter that is already the network's DHCP server"
    }

    fn reads(&self) -> &'static [&'static str] {
        &[
            "subnet",
            "interface",
            "next_server",
            "tftp",
            "boot_url",
            "arch",
            "secure_boot",
            "loader",
            "stage2",
            "leases",
        ]
    }

    fn means(&self, key: &str) -> Option<&'static str> {
        match key {
            "interface" => Some(
                "the router's interface towards the machines, such as eth1: its TFTP server hands out loaders there only",
            ),
            "next_server" => Some(loaders::MEANS_NEXT_SERVER),
            "tftp" => Some("who hands out the loaders: switch (default) is this router, or moxxie"),
            _ => None,
        }
    }

    fn write(&self, network: &Network) -> Result<Written, Problem> {
        let mut warnings = network.warnings.clone();
        warnings.extend(served::stage_note(network));
        warnings.push(
            "these rules hold for every network that this router serves: EdgeOS has no way to bind them to one".into(),
        );
        warnings.push(
            "EdgeOS keeps old lines: before you paste a script with other values, paste the undo of the old one."
                .into(),
        );
        warnings.push(
            "use-dnsmasq changes the program that hands out addresses, where it was another: dynamic leases start anew, static \
             mappings stay. Do it when nobody minds."
                .into(),
        );
        warnings.extend(root_note(network));
        let own = loaders::needed(network);
        let rules: Result<Vec<Line>, NameError> =
            rules::rules(network, None, loaders::server(network)).iter().map(|rule| rule.line()).collect();
        let mut lines = rules.map_err(|e| ("boot_url", e))?;
        // Lines that another may have set before, last: the undo says so.
        let shared = lines.len();
        lines.push(Line::new("no-ping"));
        lines.extend(tftp(network, TFTP_ROOT)?);
        let values: Result<Vec<EdgeString>, NameError> =
            lines.iter().map(|line| EdgeString::new(&line.to_string())).collect();
        let values = values.map_err(|e| ("boot_url", e))?;

        let mut script = Remarks {
            mark: "#",
            title: self.title(),
            apply: &["Paste into a terminal of the router, logged in as an administrator."],
        }
        .head(network, &warnings);
        if own {
            script.push_str("# The TFTP folder has to be there before dnsmasq starts with it.\n");
            let fetch = loaders::fetch(network, TFTP_ROOT, "sudo ", "curl -fsS -o");
            script.push_str(&fetch.map_err(|e| ("boot_url", e))?);
        }
        script.push_str("configure\nset service dhcp-server use-dnsmasq enable\n");
        let mut undo = String::from("configure\n");
        for (i, value) in values.iter().enumerate() {
            if i == shared {
                undo.push_str("# Leave out what stood there before Moxxie:\n");
            }
            script.push_str(&format!("set service dns forwarding options {value}\n"));
            undo.push_str(&format!("delete service dns forwarding options {value}\n"));
        }
        script.push_str("commit\nsave\nexit\n");
        undo.push_str(
            "# If the router's DHCP server was not dnsmasq before, which Moxxie cannot know:\n\
             # delete service dhcp-server use-dnsmasq\ncommit\nsave\nexit\n",
        );
        if own {
            undo.push_str(&format!("sudo rm -rf {TFTP_ROOT}\n"));
        }
        Ok(Written {
            script,
            undo,
            warnings,
            verify: vec![
                "show service dns forwarding, in configure".into(),
                "grep moxxie /etc/dnsmasq.conf: every line of the script has to be there".into(),
                served::doctor(network),
            ],
            sources: vec![
                "creeksidenetworks/ipxe: reference/edgerouter.cmd",
                "dnsmasq(8)",
                "the dnsmasq lines were checked on the wire against dnsmasq 2.90; not run on an EdgeRouter",
            ],
            companions: Vec::new(),
        })
    }

    fn guide(&self) -> Guide {
        Guide {
            needs: &[
                "An EdgeRouter with EdgeOS 1.9 or later that is the network's DHCP server: set service dhcp-server shared-network-name … exists, with its subnet, range, default-router and dns-server.",
                "DNS forwarding that listens on the machines' interface: set service dns forwarding listen-on INTERFACE.",
                "A firewall that lets the machines reach the router's UDP ports 67 and 69, and Moxxie's port by TCP.",
                "The loaders, imported into Moxxie with moxxie firmware import.",
            ],
            apply: &[
                "Log in by SSH as an administrator and paste the script. With tftp=switch it first fetches the loaders into /config/user-data/moxxie-tftp, about three megabytes.",
                "Look for errors between configure and commit: a refused commit leaves the router as it was.",
            ],
            undo: &[
                "Paste the undo. It deletes exactly the lines that the script set. no-ping, enable-tftp and tftp-no-fail may have been there before: leave those out then.",
                "The rules are one set for all networks of the router: the undo takes them from all of them.",
                "If use-dnsmasq was off before, also delete service dhcp-server use-dnsmasq: the script cannot know.",
            ],
            traps: &[
                "use-dnsmasq changes the program that hands out addresses: dynamic leases start anew, static mappings stay. Do it when nobody minds.",
                "A tftp-root that stood in the options before is replaced while the script's is there, unless interface= was given; then a plain enable-tftp reaches that interface only. With tftp=moxxie both stay.",
                "Options of the other DHCP program (bootfile-name, bootfile-server, subnet-parameters) in the same shared network can send a second file name: delete them.",
                "EdgeOS keeps every options line until it is deleted. Two generations of the script at once give two rules for one client, and dnsmasq takes the last.",
                "Static leases are set as dnsmasq lines here, not as static-mapping. The address must not be mapped to another machine there.",
            ],
            checked: &[
                "The dnsmasq lines were checked on the wire against dnsmasq 2.90; the set commands follow a published configuration in use.",
                "Not run on an EdgeRouter.",
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// In single quotes a shell changes nothing and ends at the next one (POSIX 2.2.2).
        #[test]
        fn what_is_quoted_ends_where_it_should(text in "[ -~]{0,40}") {
            let carried = !text.contains(['\'', '"', '\\', '?']);
            let quoted = EdgeString::new(&text).ok().map(|quoted| quoted.to_string());
            prop_assert_eq!(quoted.is_some(), carried);
            if let Some(quoted) = quoted {
                let parts: Vec<&str> = quoted.split('\'').collect();
                prop_assert_eq!(parts, vec!["", text.as_str(), ""]);
            }
        }

        #[test]
        fn what_is_not_printable_is_refused(before in "[a-z]{0,5}", wrong in "[^ -~]") {
            let text = format!("{before}{wrong}");
            prop_assert!(EdgeString::new(&text).is_err());
        }
    }
}
