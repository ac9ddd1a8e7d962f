//! OpenWrt: `uci` commands for the dnsmasq in it. Everything is a named section, so that it can be
//! taken away exactly; what has to change in dnsmasq's own section is remembered first.
//!
//! Source: openwrt/openwrt, package/network/services/dnsmasq/files/dnsmasq.init (23.05.4, and an
//! older one). A `boot` section is skipped without all of filename, servername and serveraddress in
//! the older; `networkid` is written behind `tag:` or `net:`, so further tags are appended to it.

use super::dnsmasq::line::Tag;
use super::dnsmasq::loaders::{self, ShellWord};
use super::dnsmasq::rules::{self, IPXE, Rule};
use super::{Arch, Dialect, Guide, NameError, Network, Problem, Remarks, Written, served};

/// OpenWrt.
#[derive(Debug)]
pub struct OpenWrt;

/// On the router's flash, where loaders survive a restart.
const TFTP_ROOT: &str = "/srv/moxxie-tftp";

/// Which loaders in the TFTP folder Moxxie put there, for a folder that somebody else uses too.
const LIST: &str = ".moxxie";

/// Removes every section of Moxxie's but the memory of what was there before, and the fixed addresses
/// of other networks.
fn clear(network: &Network) -> String {
    format!(
        "for section in $(uci -q show dhcp | sed -n 's/^dhcp\\.\\(moxxie_[a-z0-9_]*\\)=.*/\\1/p'); do\n    \
         case $section in\n        \
         moxxie_before) ;;\n        \
         {}*) uci -q delete \"dhcp.$section\" ;;\n        \
         moxxie_host_*) ;;\n        \
         *) uci -q delete \"dhcp.$section\" ;;\n    \
         esac\ndone\n",
        hosts(network)
    )
}

/// What the names of this network's fixed addresses begin with.
fn hosts(network: &Network) -> String {
    format!("moxxie_host_{}_", network.label().replace('-', "_"))
}

/// The settings of dnsmasq's own section that the script changes.
const KEYS: &str = "noping enable_tftp tftp_root";

/// Commands of one section.
struct Section(String);

impl Section {
    fn new(name: &str, kind: &str) -> Result<Section, NameError> {
        Ok(Section(String::new())).and_then(|s| s.put(name, "", kind))
    }

    /// One value, quoted for the shell. The name of the section is Moxxie's own.
    fn put(mut self, name: &str, key: &str, value: &str) -> Result<Section, NameError> {
        let dot = if key.is_empty() { "" } else { "." };
        let value = ShellWord::new(value)?;
        self.0.push_str(&format!("uci set dhcp.{name}{dot}{key}={value}\n"));
        Ok(self)
    }
}

/// Tags as a `networkid` has them: the init script writes `tag:` before the first.
fn network_id(when: &[Tag]) -> String {
    when.iter().map(Tag::as_str).collect::<Vec<_>>().join(",tag:")
}

fn section(rule: &Rule, network: &Network) -> Result<Section, NameError> {
    match rule {
        Rule::IpxeClass => {
            let name = "moxxie_ipxe_class";
            Section::new(name, "userclass")?.put(name, "networkid", IPXE)?.put(name, "userclass", "iPXE")
        }
        Rule::IpxeOption => {
            let name = "moxxie_ipxe_option";
            Section::new(name, "match")?.put(name, "networkid", IPXE)?.put(name, "match", "175")
        }
        Rule::Arch(arch, code) => {
            let name = format!("{}_{code}", rules::tag(*arch));
            Section::new(&name, "match")?.put(&name, "networkid", rules::tag(*arch))?.put(
                &name,
                "match",
                &format!("option:client-arch,{code}"),
            )
        }
        Rule::SayHttp { arch, when } => {
            // A tag section's name is its tag, which cannot be two; the boot section can have options.
            let name = format!("{}_boot", rules::tag(*arch));
            let mut section = boot(&name, when, &network.loader(*arch), network)?.put(&name, "force", "1")?;
            section.0.push_str(&format!("uci add_list dhcp.{name}.dhcp_option='60,HTTPClient'\n"));
            Ok(section)
        }
        Rule::Boot { name, when, file, .. } => boot(&format!("{name}_boot"), when, file, network),
        Rule::Host(lease) => {
            let name = format!("{}{}", hosts(network), lease.mac.hyphenated().replace('-', ""));
            let section = Section::new(&name, "host")?.put(&name, "mac", &lease.mac.to_string())?.put(
                &name,
                "ip",
                &lease.address.to_string(),
            )?;
            match rules::is_host_name(lease.node.as_str()) {
                true => section.put(&name, "name", lease.node.as_str()),
                false => Ok(section),
            }
        }
    }
}

/// A boot section. Its server's name is the address: dnsmasq sends it as option 66.
fn boot(name: &str, when: &[Tag], file: &str, network: &Network) -> Result<Section, NameError> {
    let server = network.next_server.to_string();
    Section::new(name, "boot")?
        .put(name, "networkid", &network_id(when))?
        .put(name, "filename", file)?
        .put(name, "servername", &server)?
        .put(name, "serveraddress", &server)
}

impl Dialect for OpenWrt {
    fn name(&self) -> &'static str {
        "openwrt"
    }

    fn title(&self) -> &'static str {
        "OpenWrt 21.02 and later"
    }

    fn summary(&self) -> &'static str {
        "uci commands for a router that is already the network's DHCP server"
    }

    fn reads(&self) -> &'static [&'static str] {
        &[
            "subnet",
            "gateway",
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
            "gateway" => Some(
                "the router's own address in the machines' network, where it hands out the loaders; default: the first of the subnet",
            ),
            "next_server" => {
                Some("the TFTP server's address; default: the router, or Moxxie with tftp=moxxie")
            }
            "tftp" => Some("who hands out the loaders: switch (default) is this router, or moxxie"),
            _ => None,
        }
    }

    fn write(&self, network: &Network) -> Result<Written, Problem> {
        let mut warnings = network.warnings.clone();
        warnings.extend(served::stage_note(network));
        warnings.push(
            "these rules hold for every network that this router's dnsmasq serves, and replace those of Moxxie's script for another"
                .into(),
        );
        let own = loaders::needed(network);
        if own {
            warnings.push(format!(
                "loaders are fetched into {TFTP_ROOT}, or into the TFTP folder that dnsmasq has already; about three megabytes of flash"
            ));
        }
        let mut script = Remarks {
            mark: "#",
            title: self.title(),
            apply: &["Paste into a root shell of the router (ssh root@ROUTER). Running it again gives the same state."],
        }
        .head(network, &warnings);
        script.push_str(&clear(network));
        script.push_str(&remember());
        script.push_str("uci set 'dhcp.@dnsmasq[0].noping=1'\n");
        if own {
            script.push_str(&tftp(network).map_err(|e| ("boot_url", e))?);
        }
        let rules = rules::rules(network, None, Some(network.next_server));
        // An HTTP kind's boot section has its option in it, so it is written once.
        let kept = rules.iter().filter(|rule| !matches!(rule, Rule::Boot { name, .. } if is_http(name)));
        for rule in kept {
            script.push_str(&section(rule, network).map_err(|e| ("boot_url", e))?.0);
        }
        script.push_str("uci commit dhcp\n/etc/init.d/dnsmasq restart\n");
        let mut undo = clear(network);
        if own {
            undo.push_str(&untftp());
        }
        undo.push_str(&restore());
        undo.push_str("uci commit dhcp\n/etc/init.d/dnsmasq restart\n");
        if own {
            undo.push_str(&format!("rm -rf {TFTP_ROOT}\n"));
        }
        Ok(Written {
            script,
            undo,
            warnings,
            verify: vec![
                "uci show dhcp | grep moxxie".into(),
                "grep moxxie /var/etc/dnsmasq.conf.*: every section has become a line".into(),
                served::doctor(network),
            ],
            sources: vec![
                "openwrt/openwrt: package/network/services/dnsmasq/files/dnsmasq.init",
                "dnsmasq(8)",
                "the lines that its init script makes of this were checked on the wire against dnsmasq 2.90; not run on a router",
            ],
            companions: Vec::new(),
        })
    }

    fn guide(&self) -> Guide {
        Guide {
            needs: &[
                "OpenWrt 21.02 or later whose dnsmasq is the network's DHCP server, as it is after installation.",
                "With tftp=switch, about three megabytes of free flash for the loaders; tftp=moxxie needs none.",
                "A firewall that lets the machines reach the router's UDP ports 67 and 69, as the zone lan does, and Moxxie's port by TCP.",
                "The loaders, imported into Moxxie with moxxie firmware import.",
            ],
            apply: &[
                "Log in by SSH as root and paste the script.",
                "Read what uci show dhcp | grep moxxie says, and make a machine start.",
            ],
            undo: &[
                "Paste the undo. It removes the sections whose names begin with moxxie_ and the loaders that the script fetched, and gives dnsmasq's own section the values back that the script had found.",
                "The rules are one set for all networks of the router: the undo takes them from all of them. Fixed addresses of another network stay until its own undo.",
            ],
            traps: &[
                "The script changes noping, enable_tftp and tftp_root in dnsmasq's own section; it writes down first what they were. A TFTP folder that is set there stays, and so do files of the same names in it: the script says which it left alone.",
                "OpenWrt without the config match section (before 21.02) skips the rules for kinds of clients without a word: update it.",
                "A dhcp_boot in dnsmasq's own section, or a boot section without networkid, reaches plain clients too. Debian's installer runs such a URL as its preseed file: remove it.",
                "A router with odhcpd as its main DHCP server (uci get dhcp.odhcpd.maindhcp says 1) does not read these sections for IPv4.",
                "DNS rebind protection drops answers with private addresses: name Moxxie by address in the boot URL, or add rebind_domain.",
            ],
            checked: &[
                "Checked against the init script of OpenWrt 23.05.4: the lines it makes were run through dnsmasq 2.90 and checked on the wire.",
                "Not run on a router.",
            ],
        }
    }
}

fn is_http(name: &str) -> bool {
    Arch::ALL.iter().any(|arch| arch.is_http() && rules::tag(*arch) == name)
}

/// Writes down what dnsmasq's own section says, the first time only.
fn remember() -> String {
    format!(
        "uci -q get dhcp.moxxie_before >/dev/null || {{\n    uci set dhcp.moxxie_before='moxxie'\n    \
         for key in {KEYS}; do\n        \
         value=$(uci -q get \"dhcp.@dnsmasq[0].$key\") && uci set \"dhcp.moxxie_before.$key=$value\"\n    done\n}}\n"
    )
}

/// Gives it back.
fn restore() -> String {
    format!(
        "uci -q get dhcp.moxxie_before >/dev/null && {{\n    for key in {KEYS}; do\n        \
         if value=$(uci -q get \"dhcp.moxxie_before.$key\"); then\n            \
         uci set \"dhcp.@dnsmasq[0].$key=$value\"\n        else\n            \
         uci -q delete \"dhcp.@dnsmasq[0].$key\"\n        fi\n    done\n    uci -q delete dhcp.moxxie_before\n}}\n"
    )
}

/// The TFTP server in dnsmasq, and its files. A folder that somebody has chosen stays, and so do the
/// files in it that are not on Moxxie's list.
fn tftp(network: &Network) -> Result<String, NameError> {
    let (before, steps) = loaders::fetching(network, TFTP_ROOT, "", "wget -q -O")?;
    let (first, rest) = before.split_once('\n').unwrap_or_default();
    Ok(format!(
        "{first}\nbefore=$(uci -q get 'dhcp.@dnsmasq[0].tftp_root') && folder=$before\n{rest}    \
         if [ -e \"$folder/$file\" ] && ! grep -qsxF \"$file\" \"$folder/{LIST}\"; then\n        \
         echo \"moxxie: $folder/$file is yours and stays: take tftp=moxxie\" >&2\n        \
         continue\n    \
         fi\n{steps}    \
         [ ! -e \"$folder/$file\" ] || grep -qsxF \"$file\" \"$folder/{LIST}\" || echo \"$file\" >> \"$folder/{LIST}\"\n\
         done\n\
         uci set 'dhcp.@dnsmasq[0].enable_tftp=1'\nuci set \"dhcp.@dnsmasq[0].tftp_root=$folder\"\n"
    ))
}

/// Takes away what [`tftp`] fetched, while the folder is still set.
fn untftp() -> String {
    format!(
        "folder=$(uci -q get 'dhcp.@dnsmasq[0].tftp_root')\n\
         if [ -f \"$folder/{LIST}\" ]; then\n    \
         while read -r file; do rm -f \"$folder/$file\"; done < \"$folder/{LIST}\"\n    \
         rm -f \"$folder/{LIST}\"\n\
         fi\n"
    )
}
