//! Windows Server: PowerShell for its DHCP server. Policies match the beginning of the vendor class,
//! where firmware says its kind, and iPXE's user class.
//!
//! A client that is iPXE matches both kinds of policies. That is no riddle here: for each option the
//! policy with the lowest processing order wins, and iPXE's is the first.

mod parts;

use super::{Arch, Dialect, Guide, Network, Problem, Remarks, Stage, Written, served};
use parts::{DEFINE_60, PREPARE, RESERVE, UNDO};
use std::fmt::{self, Write as _};

/// Windows Server's DHCP server.
#[derive(Debug)]
pub struct Windows;

impl Dialect for Windows {
    fn name(&self) -> &'static str {
        "windows"
    }

    fn title(&self) -> &'static str {
        "Windows Server DHCP (2012 R2 and later)"
    }

    fn summary(&self) -> &'static str {
        "a PowerShell script for the DHCP server: classes and policies in one scope"
    }

    fn reads(&self) -> &'static [&'static str] {
        &["subnet", "next_server", "tftp", "boot_url", "arch", "secure_boot", "loader", "stage2", "leases"]
    }

    fn means(&self, key: &str) -> Option<&'static str> {
        match key {
            "next_server" => Some(
                "the TFTP server's address; default: the first address of the subnet, or Moxxie with tftp=moxxie",
            ),
            "tftp" => Some(served::MEANS_TFTP),
            _ => None,
        }
    }

    fn write(&self, network: &Network) -> Result<Written, Problem> {
        let mut warnings = network.warnings.clone();
        warnings.extend(served::tftp_note(network, "Windows DHCP"));
        warnings.push("options 60 and 67 of the whole scope are removed, because they reach every machine and contradict the policies; the script shows them and saves them for the undo. Option 66 stays, because telephones use it: the policies have their own".into());
        match served::stage_note(network) {
            Some(note) => warnings.push(note),
            None => warnings.push("iPXE is told apart by its user class, which it sends without the length byte of RFC 3004; if a machine loads iPXE again and again, this server does not match that: use stage2=embedded".into()),
        }
        let apply = &[
            "Save as moxxie.ps1 and run it as administrator on the DHCP server. Running it again does no harm.",
        ];
        let mut script = Remarks { mark: "#", title: self.title(), apply }.head(network, &warnings);
        let scope = Text::new("subnet", &network.subnet.network().to_string())?;
        let _ = write!(script, "$ErrorActionPreference = 'Stop'\n$scope = {scope}\n{PREPARE}");
        policies(&mut script, network)?;
        reservations(&mut script, network)?;
        Ok(Written {
            script,
            undo: format!(
                "# Windows Server DHCP: takes away what Moxxie's script made in this scope\n$ErrorActionPreference = 'Stop'\n$scope = {scope}\n{UNDO}"
            ),
            warnings,
            verify: vec![
                format!("Get-DhcpServerv4Policy -ScopeId {}", network.subnet.network()),
                format!(
                    "Get-DhcpServerv4OptionValue -ScopeId {} -PolicyName NAME, for each of them",
                    network.subnet.network()
                ),
                served::doctor(network),
            ],
            sources: vec![
                "MicrosoftDocs/windows-powershell-docs, DhcpServer (winserver2025)",
                "parsed by tree-sitter-powershell 0.26.4, structure checked by own tests; not run on Windows Server",
            ],
            companions: Vec::new(),
        })
    }

    fn guide(&self) -> Guide {
        GUIDE
    }
}

/// A text in single quotes, where PowerShell sees nothing but a doubled quote. It also takes
/// typographic quotes for quotes, so only ASCII is let in.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Text(String);

impl Text {
    fn new(key: &'static str, text: &str) -> Result<Text, Problem> {
        match text.bytes().all(|b| (0x20..0x7f).contains(&b)) {
            true => Ok(Text(text.replace('\'', "''"))),
            false => Err(Problem::new(key, format!("{text:?} cannot stand in a PowerShell string"))),
        }
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}'", self.0)
    }
}

/// What firmware's vendor class begins with. The UNDI version that follows differs, so a policy
/// matches by prefix.
fn vendor_class(arch: Arch, code: u16) -> String {
    format!("{}:Arch:{code:05}", if arch.is_http() { "HTTPClient" } else { "PXEClient" })
}

fn policies(out: &mut String, network: &Network) -> Result<(), Problem> {
    let mut order = 0;
    if network.stage2 != Stage::Embedded {
        order += 1;
        let url = Text::new("boot_url", network.boot_url.as_str())?;
        let _ = write!(
            out,
            "\n# iPXE, whatever firmware loaded it: first, so that its file wins.\n$class = Get-MoxxieClass 'User' 'iPXE' 'moxxie-ipxe'\nAdd-DhcpServerv4Policy -ScopeId $scope -Name 'moxxie-ipxe' -Description 'moxxie' -Condition OR -UserClass @('EQ', $class) -ProcessingOrder {order}\nSet-DhcpServerv4OptionValue -ScopeId $scope -PolicyName 'moxxie-ipxe' -OptionId 67 -Value {url}\n"
        );
    }
    if network.arches.iter().any(|arch| arch.is_http()) {
        out.push_str(DEFINE_60);
    }
    let server = Text::new("next_server", &network.next_server.to_string())?;
    for &arch in &network.arches {
        order += 1;
        let name = Text::new("arch", &format!("moxxie-{}", arch.name()))?;
        let loader = Text::new("boot_url", &network.loader(arch))?;
        let _ = write!(out, "\n# {}\n$match = @('EQ')\n", arch.name());
        for &code in arch.codes() {
            let data = Text::new("arch", &vendor_class(arch, code))?;
            let class = Text::new("arch", &format!("moxxie-{}-{code}", arch.name()))?;
            let _ = writeln!(out, "$match += (Get-MoxxieClass 'Vendor' {data} {class}) + '*'");
        }
        let _ = writeln!(
            out,
            "Add-DhcpServerv4Policy -ScopeId $scope -Name {name} -Description 'moxxie' -Condition OR -VendorClass $match -ProcessingOrder {order}"
        );
        let set = format!("Set-DhcpServerv4OptionValue -ScopeId $scope -PolicyName {name} -OptionId");
        let _ = match arch.is_http() {
            true => writeln!(out, "{set} 60 -Value 'HTTPClient'"),
            false => writeln!(out, "{set} 66 -Value {server}"),
        };
        let _ = writeln!(out, "{set} 67 -Value {loader}");
    }
    Ok(())
}

fn reservations(out: &mut String, network: &Network) -> Result<(), Problem> {
    if network.leases.is_empty() {
        return Ok(());
    }
    out.push_str(RESERVE);
    for lease in &network.leases {
        let _ = writeln!(
            out,
            "Add-MoxxieReservation {} {} {}",
            Text::new("leases", &lease.address.to_string())?,
            Text::new("leases", &lease.mac.hyphenated())?,
            Text::new("leases", lease.node.as_str())?
        );
    }
    Ok(())
}

const GUIDE: Guide = Guide {
    needs: &[
        "Windows Server 2012 R2 or later with the DHCP role and its PowerShell module.",
        "A scope for the machines' network, with router and name servers; the script does not touch those.",
        "A TFTP server with the loaders: Windows DHCP has none (tftp=moxxie uses Moxxie's). UEFI HTTP boot needs none.",
    ],
    apply: &[
        "Read the script, save it as moxxie.ps1, run it in a PowerShell as administrator on the DHCP server.",
        "With DHCP failover, run Invoke-DhcpServerv4FailoverReplication afterwards; classes have to be made on the partner, too.",
    ],
    undo: &[
        "Run the undo script on the same server: it removes policies, reservations and classes that are named or described as Moxxie's, and sets the saved scope options again. The saved values are those of before the first run.",
    ],
    traps: &[
        "WDS on the same server sets option 60 to PXEClient for everybody: machines then ask port 4011 and stop there (PXE-E55).",
        "Options 60 and 67 of the scope or the whole server contradict the policies: the script removes those of the scope and only warns of the server's. It removes no option 66, which telephones use, and warns of it.",
        "A policy matches by prefix only with the trailing *: firmware adds its UNDI version to the class.",
        "EDK2 takes the TFTP server from the header, not from option 66. Whether this server fills the header from option 66 is what moxxie doctor dhcp shows.",
        "Other policies of the scope that set option 67 belong behind Moxxie's: Set-DhcpServerv4Policy -ProcessingOrder.",
        "Machines whose firmware sends its UUID as client identifier do not get their reservation.",
    ],
    checked: &[
        "Written from Microsoft's reference; parsed without error by the tree-sitter grammar of PowerShell; structure checked by Moxxie's own tests; not run on Windows Server.",
    ],
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// How PowerShell reads a string in single quotes, written down a second time.
    fn read(quoted: &str) -> Option<String> {
        let mut text = String::new();
        let mut chars = quoted.strip_prefix('\'')?.chars();
        while let Some(c) = chars.next() {
            match c {
                '\'' => match chars.next() {
                    Some('\'') => text.push('\''),
                    Some(_) => return None,
                    None => return Some(text),
                },
                '\u{2018}'..='\u{201b}' => return None,
                c => text.push(c),
            }
        }
        None
    }

    proptest! {
        #[test]
        fn texts_come_back(text in "[ -~]{0,40}|.{0,20}|['\u{2018}\u{2019}]{0,9}") {
            match Text::new("pool", &text) {
                Ok(quoted) => prop_assert_eq!(read(&quoted.to_string()), Some(text)),
                Err(_) => prop_assert!(text.chars().any(|c| !(' '..='~').contains(&c))),
            }
        }
    }

    #[test]
    fn vendor_classes() {
        assert_eq!(vendor_class(Arch::X64, 7), "PXEClient:Arch:00007");
        assert_eq!(vendor_class(Arch::HttpArm64, 19), "HTTPClient:Arch:00019");
    }
}
