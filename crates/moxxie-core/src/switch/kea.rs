//! Kea's DHCPv4 server: a whole `kea-dhcp4.conf`.
//!
//! Measured with Kea 2.2.0: of several classes that fit, the first one's file wins, and `member()`
//! knows earlier classes only; an option's number has to be written with as many digits as its bytes
//! have (`0x7` never matches two bytes); a reservation's file would override iPXE's class, so
//! reservations have none; a class's `boot-file-name` stands in the BOOTP header.

use super::dnsmasq::rules::tag;
use super::{Arch, Dialect, Guide, NameError, Network, Problem, Remarks, Stage, Written, served};
use serde::{Serialize, Serializer};
use std::net::Ipv4Addr;

/// Kea.
#[derive(Debug)]
pub struct Kea;

const UNDO: &str = "\
if [ -e /etc/kea/kea-dhcp4.conf.before-moxxie ]; then
    mv /etc/kea/kea-dhcp4.conf.before-moxxie /etc/kea/kea-dhcp4.conf
    systemctl restart kea-dhcp4-server
else
    systemctl stop kea-dhcp4-server
    rm -f /etc/kea/kea-dhcp4.conf
fi
";

const IPXE: &str = "moxxie-ipxe";

/// A text within the configuration. JSON's own writer quotes it; what is not printable ASCII is
/// refused, because Kea's answers carry bytes and its log would show them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct KeaText(String);

impl KeaText {
    fn new(text: &str) -> Result<KeaText, NameError> {
        match text.chars().find(|c| !(' '..='~').contains(c)) {
            Some(wrong) => Err(NameError(format!("{wrong:?} cannot stand in Kea's configuration here"))),
            None => Ok(KeaText(text.to_owned())),
        }
    }
}

impl Serialize for KeaText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[derive(Serialize)]
struct File {
    #[serde(rename = "Dhcp4")]
    dhcp4: Dhcp4,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Dhcp4 {
    interfaces_config: Interfaces,
    lease_database: Leases,
    authoritative: bool,
    valid_lifetime: u32,
    client_classes: Vec<Class>,
    subnet4: [Subnet; 1],
}

#[derive(Serialize)]
struct Interfaces {
    interfaces: [KeaText; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Leases {
    r#type: &'static str,
    persist: bool,
    lfc_interval: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Class {
    name: String,
    test: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_server: Option<Ipv4Addr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    boot_file_name: Option<KeaText>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    option_data: Vec<Data>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Data {
    name: &'static str,
    data: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    always_send: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Subnet {
    id: u32,
    subnet: String,
    pools: [PoolRange; 1],
    option_data: [Data; 2],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reservations: Vec<Reservation>,
}

#[derive(Serialize)]
struct PoolRange {
    pool: String,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Reservation {
    hw_address: String,
    ip_address: Ipv4Addr,
    hostname: KeaText,
}

/// The tags of dnsmasq, as Kea's classes are written.
fn class_name(arch: Arch) -> String {
    tag(arch).replace('_', "-")
}

/// iPXE first, because the others name it.
fn classes(network: &Network) -> Result<Vec<Class>, NameError> {
    let menu = match network.stage2 {
        Stage::Embedded => None,
        Stage::Auto | Stage::Class => Some(KeaText::new(network.boot_url.as_str())?),
    };
    let mut classes = vec![Class {
        name: IPXE.to_owned(),
        test: "option[77].hex == 'iPXE' or option[175].exists".to_owned(),
        next_server: None,
        boot_file_name: menu,
        option_data: Vec::new(),
    }];
    for &arch in &network.arches {
        let codes: Vec<String> =
            arch.codes().iter().map(|code| format!("option[93].hex == 0x{code:04x}")).collect();
        let http = Data { name: "vendor-class-identifier", data: "HTTPClient".to_owned(), always_send: true };
        classes.push(Class {
            name: class_name(arch),
            test: format!("not member('{IPXE}') and ({})", codes.join(" or ")),
            next_server: (!arch.is_http()).then_some(network.next_server),
            boot_file_name: Some(KeaText::new(&network.loader(arch))?),
            option_data: arch.is_http().then_some(http).into_iter().collect(),
        });
    }
    Ok(classes)
}

fn file(network: &Network) -> Result<File, Problem> {
    let range = served::range(network)?;
    let interface = match &network.interface {
        Some(name) => name.word().and_then(KeaText::new),
        None => KeaText::new("*"),
    };
    let reservations: Result<Vec<Reservation>, NameError> = network
        .leases
        .iter()
        .map(|lease| {
            Ok(Reservation {
                hw_address: lease.mac.to_string(),
                ip_address: lease.address,
                hostname: KeaText::new(lease.node.as_str())?,
            })
        })
        .collect();
    let data = |name, data| Data { name, data, always_send: false };
    Ok(File {
        dhcp4: Dhcp4 {
            interfaces_config: Interfaces { interfaces: [interface.map_err(|e| ("interface", e))?] },
            lease_database: Leases { r#type: "memfile", persist: true, lfc_interval: 3600 },
            authoritative: true,
            valid_lifetime: 3600,
            client_classes: classes(network).map_err(|e| ("boot_url", e))?,
            subnet4: [Subnet {
                // One for each network, so that two can stand in one file.
                id: network.subnet.network().into(),
                subnet: network.subnet.to_string(),
                pools: [PoolRange { pool: format!("{} - {}", range.first, range.last) }],
                option_data: [
                    data("routers", network.gateway.to_string()),
                    data("domain-name-servers", served::list(&network.dns, ", ")),
                ],
                reservations: reservations.map_err(|e| ("leases", e))?,
            }],
        },
    })
}

impl Dialect for Kea {
    fn name(&self) -> &'static str {
        "kea"
    }

    fn title(&self) -> &'static str {
        "ISC Kea DHCPv4 2.2 and later"
    }

    fn summary(&self) -> &'static str {
        "a whole kea-dhcp4.conf, whose client-classes also fit into another"
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
            "interface" => Some("the computer's interface towards the machines; default: Kea answers on all"),
            "pool" => Some(served::MEANS_POOL),
            "tftp" => Some(served::MEANS_TFTP),
            _ => None,
        }
    }

    fn write(&self, network: &Network) -> Result<Written, Problem> {
        let mut warnings = network.warnings.clone();
        warnings.extend(served::stage_note(network));
        warnings.extend(served::tftp_note(network, "Kea"));
        if network.interface.is_none() {
            warnings.push("Kea answers on every interface of the computer: interface= names the one".into());
        }
        let mut script = Remarks {
            mark: "//",
            title: self.title(),
            apply: &[
                "Keep what is there: cp -n /etc/kea/kea-dhcp4.conf /etc/kea/kea-dhcp4.conf.before-moxxie",
                "Save as /etc/kea/kea-dhcp4.conf, then:",
                "kea-dhcp4 -t /etc/kea/kea-dhcp4.conf && systemctl restart kea-dhcp4-server",
                "For a Kea that serves other networks: put client-classes and subnet4 into its file instead, and the classes once.",
            ],
        }
        .head(network, &warnings);
        let json = serde_json::to_string_pretty(&file(network)?)
            .map_err(|e| Problem::new("parameters", format!("cannot be written as JSON: {e}")))?;
        script.push_str(&json);
        script.push('\n');
        Ok(Written {
            script,
            undo: UNDO.into(),
            warnings,
            verify: vec![
                "kea-dhcp4 -t /etc/kea/kea-dhcp4.conf".into(),
                "journalctl -u kea-dhcp4-server: DHCP4_STARTED, and no DHCPSRV_OPEN_SOCKET_FAIL".into(),
                served::doctor(network),
            ],
            sources: vec![
                "Kea Administrator Reference Manual, Client Classification (isc-projects/kea: doc/sphinx/arm/classify.rst)",
                "RFC 4578 (options 93, 94, 97), RFC 3004 (option 77)",
                "checked on the wire against Kea 2.2.0",
            ],
            companions: Vec::new(),
        })
    }

    fn guide(&self) -> Guide {
        Guide {
            needs: &[
                "Kea 2.2 or later (Debian: kea-dhcp4-server) on a computer with an address in the machines' network, or behind a DHCP relay.",
                "No other DHCP server in that network.",
                "A TFTP server for the loaders, since Kea has none: Moxxie's (tftp=moxxie) or another (next_server=).",
                "The loaders, imported into Moxxie with moxxie firmware import.",
            ],
            apply: &[
                "Keep a copy of /etc/kea/kea-dhcp4.conf as kea-dhcp4.conf.before-moxxie, as the head of the script says.",
                "Save the script as /etc/kea/kea-dhcp4.conf. Where Kea serves other networks too, Moxxie's or not, saving it would end their service: put its client-classes and its subnet into the file that is there, the classes once.",
                "Run kea-dhcp4 -t on it, then systemctl restart kea-dhcp4-server.",
            ],
            undo: &[
                "Put the copy back and restart; the script is a whole file, so all of what stood there returns. Where there was no file before, it is removed.",
                "In a merged file, remove the subnet, and with the last one of Moxxie's the classes whose names begin with moxxie-.",
            ],
            traps: &[
                "kea-dhcp4 -t fails when the interface does not exist yet, and Kea then starts without answering: name one that is up, or leave interface= out.",
                "A boot-file-name in a host reservation overrides iPXE's class, and iPXE loads itself for ever. The generated reservations have none; keep it so.",
                "The first class that fits gives the file. Put classes of your own that set boot-file-name behind Moxxie's, and not over the same clients.",
                "In a merged file the classes hold for all subnets of this Kea. Two of Moxxie's networks share them, so both have to have the same loaders, TFTP server and menu.",
                "kea-dhcp4 -t accepts tests that never match, such as option[93].hex == 0x7: two bytes need four digits.",
                "Debian's Kea runs under AppArmor, which lets it read its configuration below /etc/kea only.",
            ],
            checked: &[
                "Checked against Kea 2.2.0: kea-dhcp4 -t on every golden file, and twelve kinds of clients sent as packets.",
                "Only words that Kea 2.2 and the manual of 2.7 both know are used. Not run with a later version than 2.2.0.",
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// One JSON string, read by hand (RFC 8259, section 7).
    fn read(json: &str) -> Option<String> {
        let (mut text, mut chars) = (String::new(), json.strip_prefix('"')?.chars());
        loop {
            match chars.next()? {
                '"' => return chars.next().is_none().then_some(text),
                '\\' => match chars.next()? {
                    c @ ('"' | '\\' | '/') => text.push(c),
                    _ => return None,
                },
                c if c >= ' ' => text.push(c),
                _ => return None,
            }
        }
    }

    proptest! {
        #[test]
        fn json_reads_back_what_was_put_in(text in "[ -~]{0,40}") {
            let json = serde_json::to_string(&KeaText::new(&text).unwrap()).unwrap();
            prop_assert_eq!(read(&json), Some(text));
        }

        #[test]
        fn what_is_not_printable_is_refused(before in "[ -~]{0,5}", wrong in "[^ -~]") {
            let text = format!("{before}{wrong}");
            prop_assert!(KeaText::new(&text).is_err());
        }
    }
}
