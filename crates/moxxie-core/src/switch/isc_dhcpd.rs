//! ISC dhcpd: a file that `dhcpd.conf` includes.
//!
//! Measured with ISC dhcpd 4.4.3-P1: an option of two bytes is compared as `00:07`, never as a
//! number; a text without quotes never matches; a file name that is too long is cut. All three pass
//! `dhcpd -t`. An address of a `host` is not taken out of a `range` by itself.

use super::{Arch, Dialect, Guide, NameError, Network, Problem, Remarks, Stage, Written, served};
use std::fmt;

/// ISC dhcpd.
#[derive(Debug)]
pub struct IscDhcpd;

/// A text in double quotes. A backslash escapes (`read_string` in common/conflex.c); printable ASCII
/// can be carried, the rest is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
struct DhcpdString(String);

impl DhcpdString {
    fn new(text: &str) -> Result<DhcpdString, NameError> {
        match text.chars().find(|c| !(' '..='~').contains(c)) {
            Some(wrong) => Err(NameError(format!("{wrong:?} cannot stand in dhcpd's configuration"))),
            None => Ok(DhcpdString(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))),
        }
    }
}

impl fmt::Display for DhcpdString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What tells options apart, before any network. Declared twice with the same words is no error, so
/// that two networks' files can stand beside each other (4.4.3-P1).
const OPTIONS: &str = "\
option moxxie-arch code 93 = array of unsigned integer 16;
option space ipxe;
option ipxe-encap-opts code 175 = encapsulate ipxe;
option ipxe.no-pxedhcp code 176 = unsigned integer 8;
";

/// Within the subnet, so that other networks stay as they are.
const MANNERS: &str = "  authoritative;
  # An answer must not wait for a ping: iPXE gives up when many machines start at once.
  ping-check false;
";

/// One chain, so that exactly one branch is taken, and iPXE's comes first.
fn branches(network: &Network) -> Result<String, NameError> {
    let mut text = String::from(
        "  if option user-class = \"iPXE\" or exists ipxe-encap-opts {\n\
         \x20   # Nobody else will answer: iPXE need not wait two seconds for a proxyDHCP server.\n\
         \x20   option ipxe.no-pxedhcp 1;\n",
    );
    if network.stage2 != Stage::Embedded {
        text.push_str(&format!("    filename {};\n", DhcpdString::new(network.boot_url.as_str())?));
    }
    text.push_str("  }");
    for &arch in &network.arches {
        let codes: Vec<String> = arch
            .codes()
            .iter()
            .map(|code| format!("option moxxie-arch = {:02x}:{:02x}", code >> 8, code & 0xff))
            .collect();
        let first = match arch {
            // Asked for or not (3c is 60): without it the firmware drops the answer.
            Arch::HttpX64 | Arch::HttpArm64 => "option vendor-class-identifier \"HTTPClient\";\n    \
                 option dhcp-parameter-request-list = concat(option dhcp-parameter-request-list, 3c)"
                .to_owned(),
            _ => format!("next-server {}", network.next_server),
        };
        let loader = DhcpdString::new(&network.loader(arch))?;
        text.push_str(&format!(
            " elsif {} {{\n    {first};\n    filename {loader};\n  }}",
            codes.join(" or ")
        ));
    }
    text.push('\n');
    Ok(text)
}

impl Dialect for IscDhcpd {
    fn name(&self) -> &'static str {
        "isc-dhcpd"
    }

    fn title(&self) -> &'static str {
        "ISC dhcpd 4.4 (no longer maintained)"
    }

    fn summary(&self) -> &'static str {
        "a file that /etc/dhcp/dhcpd.conf includes"
    }

    fn reads(&self) -> &'static [&'static str] {
        &[
            "subnet",
            "gateway",
            "dns",
            "interface",
            "pool",
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
            "interface" => Some("the computer's interface towards the machines, for INTERFACESv4"),
            "pool" => Some(served::MEANS_POOL),
            "tftp" => Some(served::MEANS_TFTP),
            _ => None,
        }
    }

    fn write(&self, network: &Network) -> Result<Written, Problem> {
        let range = served::range(network)?;
        let mut warnings = network.warnings.clone();
        warnings.push(
            "ISC dhcpd has had no maintainer since 2022. Kea and dnsmasq do the same job and are maintained."
                .into(),
        );
        warnings.extend(served::stage_note(network));
        warnings.extend(served::tftp_note(network, "ISC dhcpd"));
        let interface = match &network.interface {
            Some(name) => Some(name.word().and_then(DhcpdString::new).map_err(|e| ("interface", e))?),
            None => None,
        };
        let listen = interface
            .map(|name| format!("/etc/default/isc-dhcp-server has to say INTERFACESv4={name}"))
            .unwrap_or_default();
        let file = format!("/etc/dhcp/moxxie-{}.conf", network.label());
        let include = format!("include \"{file}\";");
        let mut script = Remarks {
            mark: "#",
            title: self.title(),
            apply: &[
                &format!("Save as {file} and add this line at the end of /etc/dhcp/dhcpd.conf:"),
                &include,
                "then: dhcpd -t -cf /etc/dhcp/dhcpd.conf && systemctl restart isc-dhcp-server",
                &listen,
            ],
        }
        .head(network, &warnings);
        script.push_str(OPTIONS);
        script.push_str(&format!(
            "\nsubnet {} netmask {} {{\n",
            network.subnet.network(),
            network.subnet.netmask()
        ));
        script.push_str(MANNERS);
        for gap in served::gaps(range, network) {
            script.push_str(&format!("  range {} {};\n", gap.first, gap.last));
        }
        script.push_str(&format!(
            "  default-lease-time 3600;\n  max-lease-time 7200;\n  option routers {};\n  option domain-name-servers {};\n",
            network.gateway,
            served::list(&network.dns, ", ")
        ));
        script.push_str(&branches(network).map_err(|e| ("boot_url", e))?);
        script.push_str("}\n");
        for lease in &network.leases {
            let name = DhcpdString::new(lease.node.as_str()).map_err(|e| ("leases", e))?;
            script.push_str(&format!(
                "\nhost moxxie-{} {{\n  hardware ethernet {};\n  fixed-address {};\n  option host-name {name};\n}}\n",
                lease.mac.hyphenated(),
                lease.mac,
                lease.address
            ));
        }
        Ok(Written {
            script,
            undo: format!(
                "sed -i '\\|^{include}$|d' /etc/dhcp/dhcpd.conf\nrm -f {file}\nsystemctl restart isc-dhcp-server\n"
            ),
            warnings,
            verify: vec![
                "dhcpd -t -cf /etc/dhcp/dhcpd.conf".into(),
                "journalctl -u isc-dhcp-server -f while a machine starts".into(),
                served::doctor(network),
            ],
            sources: vec![
                "dhcpd.conf(5), dhcp-options(5), dhcp-eval(5)",
                "ipxe.org/howto/dhcpd, RFC 4578 (options 93, 94, 97)",
                "checked on the wire against ISC dhcpd 4.4.3-P1",
            ],
            companions: Vec::new(),
        })
    }

    fn guide(&self) -> Guide {
        Guide {
            needs: &[
                "ISC dhcpd 4.4 (Debian: isc-dhcp-server) on a computer with an address in the machines' network. It has had no maintainer since 2022: take Kea or dnsmasq for anything new.",
                "No other DHCP server in that network, and no declaration of the same subnet in dhcpd.conf.",
                "A TFTP server for the loaders, since dhcpd has none: Moxxie's (tftp=moxxie) or another (next_server=).",
                "The loaders, imported into Moxxie with moxxie firmware import.",
            ],
            apply: &[
                "Save the script under the name that its head says, such as /etc/dhcp/moxxie-10-0-0-0.conf, and add its include line at the end of /etc/dhcp/dhcpd.conf, once. Each network has a file of its own.",
                "Name the interface in /etc/default/isc-dhcp-server: INTERFACESv4=\"eth0\".",
                "Run dhcpd -t -cf /etc/dhcp/dhcpd.conf, then systemctl restart isc-dhcp-server.",
            ],
            undo: &[
                "Remove the include line and the file, and restart. Nothing else was changed. Leases that were given run out by themselves.",
            ],
            traps: &[
                "dhcpd -t accepts what never matches: option arch = 16, iPXE without quotes, a file name that is longer than its field. Look at the wire with moxxie doctor dhcp.",
                "A filename outside of the subnet, or in a host or group, is a second one: iPXE then loads its loader again. Remove it.",
                "authoritative and ping-check stand within the subnet. What holds for the whole server are the names of options, and fixed addresses, whose host entries begin with moxxie-.",
                "Where dhcpd.conf defines option space ipxe with other numbers, keep one of the two definitions.",
            ],
            checked: &[
                "Checked against ISC dhcpd 4.4.3-P1: dhcpd -t on every golden file, and twelve kinds of clients sent as packets.",
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A string as dhcpd reads it; other escapes than these two are not written.
    fn read(quoted: &str) -> Option<String> {
        let (mut text, mut chars) = (String::new(), quoted.strip_prefix('"')?.chars());
        loop {
            match chars.next()? {
                '"' => return chars.next().is_none().then_some(text),
                '\\' => text.push(chars.next().filter(|c| "\"\\".contains(*c))?),
                c => text.push(c),
            }
        }
    }

    proptest! {
        #[test]
        fn dhcpd_reads_back_what_was_put_in(text in "[ -~]{0,40}") {
            prop_assert_eq!(read(&DhcpdString::new(&text).unwrap().to_string()), Some(text));
        }

        #[test]
        fn what_is_not_printable_is_refused(before in "[ -~]{0,5}", wrong in "[^ -~]") {
            let text = format!("{before}{wrong}");
            prop_assert!(DhcpdString::new(&text).is_err());
        }
    }
}
