//! dnsmasq: one file for its `conf-dir`, as the DHCP server of a network or as proxyDHCP beside one.
//!
//! Measured with dnsmasq 2.90: of several `dhcp-boot` lines that fit, the last in the file wins, so
//! no two fit; a `dhcp-boot` with two fields puts an address into `sname`, so there are three; with
//! `dhcp-no-override` the name stands in the BOOTP header only, where both iPXE and UEFI read it; a
//! ping before each offer makes boots fail when many machines start at once.

pub(super) mod line;
pub(super) mod loaders;
pub(super) mod rules;

use super::{Arch, Choice, Dialect, Guide, NameError, Network, Problem, Remarks, Written, served};
use line::{Field, Line, Tag};
use rules::{IPXE, Rule};

/// dnsmasq.
#[derive(Debug)]
pub struct Dnsmasq;

/// Where the loaders lie when dnsmasq hands them out: a folder of Moxxie's own.
pub(super) const TFTP_ROOT: &str = "/var/lib/moxxie-tftp";

/// The tag of addresses out of this network's range.
const NET: &str = "moxxie_net";

impl Dialect for Dnsmasq {
    fn name(&self) -> &'static str {
        "dnsmasq"
    }

    fn title(&self) -> &'static str {
        "dnsmasq 2.80 and later"
    }

    fn summary(&self) -> &'static str {
        "a file for /etc/dnsmasq.d: the network's DHCP server, or proxyDHCP beside another"
    }

    fn choices(&self) -> &'static [Choice] {
        &[Choice {
            key: "mode",
            values: &[
                ("server", "dnsmasq hands out the addresses"),
                ("proxy", "another server does, dnsmasq adds what to boot (proxyDHCP)"),
            ],
        }]
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

    fn write(&self, network: &Network) -> Result<Written, Problem> {
        served::fits(network)?;
        let proxy = network.choice("mode") == "proxy";
        let mut warnings = network.warnings.clone();
        warnings.extend(served::stage_note(network));
        let own = loaders::is_own(network);
        let by_tftp = network.arches.iter().any(|arch| !arch.is_http());
        if own && by_tftp {
            warnings.push(format!(
                "loaders come from this computer's {TFTP_ROOT}: the script moxxie-loaders.sh fetches them from Moxxie"
            ));
        }
        let lines = match proxy {
            true => proxied(network, &mut warnings)?,
            false => serving(network)?,
        };
        let mut script = Remarks {
            mark: "#",
            title: if proxy { "dnsmasq, proxyDHCP beside another server" } else { "dnsmasq" },
            apply: &["Save as /etc/dnsmasq.d/moxxie.conf, then: dnsmasq --test && systemctl restart dnsmasq"],
        }
        .head(network, &warnings);
        for line in lines.into_iter().chain(tftp(network)) {
            script.push_str(&format!("{line}\n"));
        }
        let mut undo = "rm -f /etc/dnsmasq.d/moxxie.conf\nsystemctl restart dnsmasq\n".to_owned();
        let mut companions = Vec::new();
        if own && by_tftp {
            undo.push_str(&format!("rm -rf {TFTP_ROOT}\n"));
            companions.push(loaders::companion(network, TFTP_ROOT).map_err(|e| ("boot_url", e))?);
        }
        Ok(Written {
            script,
            undo,
            warnings,
            verify: vec![
                "dnsmasq --test".into(),
                "journalctl -u dnsmasq -f while a machine starts: dnsmasq-dhcp lines name its address and tags".into(),
                served::doctor(network),
            ],
            sources: vec![
                "dnsmasq(8)",
                "RFC 4578 (options 93, 94, 97), RFC 3004 (option 77), PXE 2.1",
                "checked on the wire against dnsmasq 2.90",
            ],
            companions,
        })
    }

    fn guide(&self) -> Guide {
        Guide {
            needs: &[
                "dnsmasq 2.80 or later on a Linux computer with an address in the machines' network.",
                "For mode=server: no other DHCP server in that network. For mode=proxy: one that hands out addresses and no boot file.",
                "UDP ports 67 and, with tftp=switch, 69 open towards the machines; for mode=proxy also 4011. Machines reach Moxxie's port by TCP.",
                "The loaders, imported into Moxxie with moxxie firmware import.",
            ],
            apply: &[
                "Save the script as /etc/dnsmasq.d/moxxie.conf. Debian's dnsmasq reads that folder; elsewhere conf-dir=/etc/dnsmasq.d has to stand in /etc/dnsmasq.conf.",
                "With tftp=switch, run moxxie-loaders.sh as root: it fetches the loaders into /var/lib/moxxie-tftp. Run it again after each import of loaders.",
                "Run dnsmasq --test, then systemctl restart dnsmasq. A reload is not enough: dnsmasq reads such files at its start only.",
            ],
            undo: &[
                "Remove /etc/dnsmasq.d/moxxie.conf and restart dnsmasq. Nothing else was changed, apart from the folder /var/lib/moxxie-tftp.",
            ],
            traps: &[
                "dnsmasq --test does not see a wrong order of rules, an address such as 999.1.1.1, or a file name that is too long: look at the wire with moxxie doctor dhcp.",
                "A dhcp-boot, dhcp-option=66 or dhcp-option=67 without a tag elsewhere in dnsmasq's files reaches plain clients too. Debian's installer runs such a URL as its preseed file: remove it.",
                "dnsmasq does not reserve an address that it has offered. In a pool of 231 addresses, 27 of 50 machines that started at once were refused; with 4090 addresses none was. Use leases=static or a wider subnet for many machines.",
                "no-ping stands in the script because a ping before each offer makes iPXE give up when many machines start at once. It holds for all networks of this dnsmasq.",
                "dnsmasq hands out the name of a fixed address up to its first dot only.",
                "dnsmasq refuses to start when bind-interfaces stands in another file and interface= was given: bind-dynamic takes its place.",
                "mode=proxy: UEFI HTTP boot gets no answer, and the UEFI firmware of virtual machines (OVMF) ignores proxyDHCP offers. Both need mode=server, or options in the DHCP server itself.",
                "mode=proxy in another network than the machines': their relay has to forward to this dnsmasq as well as to the DHCP server.",
                "Before dnsmasq 2.76, mode=proxy appends .0 to the name of the BIOS loader: put a copy named undionly.kpxe.0 beside it.",
            ],
            checked: &[
                "Checked against dnsmasq 2.90: dnsmasq --test on every golden file, and twelve kinds of clients sent as packets, in both modes.",
                "Not run with other versions.",
            ],
        }
    }
}

/// The listener, in both modes.
fn listen(network: &Network) -> Result<Vec<Line>, Problem> {
    let Some(interface) = &network.interface else { return Ok(Vec::new()) };
    let name = interface.word().and_then(Field::text).map_err(|e| ("interface", e))?;
    Ok(vec![Line::new("interface").with(name), Line::new("bind-dynamic")])
}

fn text(rules: &[Rule]) -> Result<Vec<Line>, Problem> {
    let lines: Result<Vec<Line>, NameError> = rules.iter().map(Rule::line).collect();
    Ok(lines.map_err(|e| ("boot_url", e))?)
}

/// dnsmasq as the DHCP server. Everything hangs on the tag of its own range, so that other networks
/// of the same dnsmasq boot as before.
fn serving(network: &Network) -> Result<Vec<Line>, Problem> {
    let range = served::range(network)?;
    let within = Tag::has(NET);
    let mut lines = listen(network)?;
    lines.extend([
        Line::new("dhcp-authoritative"),
        Line::new("no-ping"),
        Line::new("dhcp-range")
            .with("set:moxxie_net")
            .all([range.first, range.last, network.subnet.netmask()])
            .with("1h"),
        Line::new("dhcp-option").with(&within).with("option:router").with(network.gateway),
        Line::new("dhcp-option").with(&within).with("option:dns-server").all(network.dns.iter().copied()),
        Line::new("dhcp-no-override"),
    ]);
    lines.extend(text(&rules::rules(network, Some(&within), loaders::server(network)))?);
    Ok(lines)
}

/// dnsmasq beside a DHCP server: BIOS and UEFI read `pxe-service`, iPXE reads `dhcp-boot`.
fn proxied(network: &Network, warnings: &mut Vec<String>) -> Result<Vec<Line>, Problem> {
    if network.arches.iter().all(|arch| arch.is_http()) {
        return Err(Problem::new(
            "arch",
            "UEFI HTTP boot gets no answer from a proxyDHCP server: use mode=server",
        ));
    }
    if network.arches.iter().any(|arch| arch.is_http()) {
        warnings.push(
            "UEFI HTTP boot (http-x64, http-arm64) gets no answer from a proxyDHCP server: those machines boot by PXE, \
             or the DHCP server itself has to say HTTPClient and the URL"
                .into(),
        );
    }
    if !network.leases.is_empty() {
        warnings.push(
            "static leases belong into the server that hands out the addresses: mode=proxy hands out none"
                .into(),
        );
    }
    let mut lines = listen(network)?;
    lines.push(
        Line::new("dhcp-range").with(network.subnet.network()).with("proxy").with(network.subnet.netmask()),
    );
    let told: Vec<Rule> = rules::rules(network, None, None)
        .into_iter()
        .filter(|rule| match rule {
            Rule::IpxeClass | Rule::IpxeOption => true,
            Rule::Boot { name, .. } => *name == IPXE,
            _ => false,
        })
        .collect();
    lines.extend(text(&told)?);
    // One entry that is taken at once: no menu, no waiting.
    lines.push(Line::new("pxe-prompt").with("Moxxie").with(0));
    for &arch in network.arches.iter().filter(|arch| !arch.is_http()) {
        for &system in systems(arch) {
            let loader = Field::text(&network.loader(arch)).map_err(|e| ("arch", e))?;
            let line =
                Line::new("pxe-service").with(&Tag::lacks(IPXE)).with(system).with("Moxxie").with(loader);
            lines.push(match loaders::server(network) {
                Some(address) => line.with(address),
                None => line,
            });
        }
    }
    Ok(lines)
}

/// dnsmasq's names of the numbers in option 93 (its `CSA` table).
fn systems(arch: Arch) -> &'static [&'static str] {
    match arch {
        Arch::Bios => &["x86PC"],
        Arch::Ia32 => &["IA32_EFI"],
        Arch::X64 => &["BC_EFI", "X86-64_EFI"],
        Arch::Arm64 => &["ARM64_EFI"],
        Arch::HttpX64 | Arch::HttpArm64 => &[],
    }
}

/// dnsmasq's own TFTP server, where it is the one. It starts without the folder too, because DNS and
/// addresses matter more than loaders.
pub(super) fn tftp(network: &Network) -> Vec<Line> {
    if !loaders::is_own(network) || network.arches.iter().all(|arch| arch.is_http()) {
        return Vec::new();
    }
    vec![Line::new("enable-tftp"), Line::new("tftp-no-fail"), Line::new("tftp-root").with(TFTP_ROOT)]
}
