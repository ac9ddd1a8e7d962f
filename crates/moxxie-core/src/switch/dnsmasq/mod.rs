//! dnsmasq: one file for its `conf-dir`, as the DHCP server of a network or as proxyDHCP beside one.
//!
//! Measured with dnsmasq 2.90: of several `dhcp-boot` lines that fit, the last in the file wins, so
//! no two fit; a `dhcp-boot` with two fields puts an address into `sname`, so there are three; with
//! `dhcp-no-override` the name stands in the BOOTP header only, where both iPXE and UEFI read it; a
//! ping before each offer makes boots fail when many machines start at once.
//!
//! One file for each network, so nothing is written that takes something from another: no
//! `interface`, which makes dnsmasq deaf elsewhere, to DNS too; of several `tftp-root` lines the last
//! wins, unless each names an interface; `enable-tftp` without an interface, where the root has one,
//! hands out every file of the computer on the others.

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
fn net(network: &Network) -> Result<Tag, Problem> {
    let name = format!("moxxie_net_{}", network.label().replace('-', "_"));
    Ok(Tag::named(&name).map_err(|e| ("subnet", e))?)
}

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

    fn means(&self, key: &str) -> Option<&'static str> {
        match key {
            "interface" => Some(
                "the computer's interface towards the machines: its TFTP server hands out loaders there only",
            ),
            "next_server" => Some(loaders::MEANS_NEXT_SERVER),
            "tftp" => Some("who hands out the loaders: switch (default) is this dnsmasq, or moxxie"),
            "pool" => Some(served::MEANS_POOL),
            _ => None,
        }
    }

    fn write(&self, network: &Network) -> Result<Written, Problem> {
        let proxy = network.choice("mode") == "proxy";
        let mut warnings = network.warnings.clone();
        warnings.extend(served::stage_note(network));
        let own = loaders::needed(network);
        if own {
            warnings.push(format!(
                "loaders come from this computer's {TFTP_ROOT}: the script moxxie-loaders.sh fetches them from Moxxie"
            ));
        }
        warnings.extend(root_note(network));
        if !proxy {
            warnings.push(
                "no-ping, dhcp-authoritative and dhcp-no-override hold for every network of this dnsmasq: boot files of the \
                 others stand in the BOOTP header from now on, which cuts them after 127 bytes"
                    .into(),
            );
        }
        let file = format!("/etc/dnsmasq.d/moxxie-{}.conf", network.label());
        let lines = match proxy {
            true => proxied(network, &mut warnings)?,
            false => serving(network)?,
        };
        let mut script = Remarks {
            mark: "#",
            title: if proxy { "dnsmasq, proxyDHCP beside another server" } else { "dnsmasq" },
            apply: &[&format!("Save as {file}, then: dnsmasq --test && systemctl restart dnsmasq")],
        }
        .head(network, &warnings);
        for line in lines.into_iter().chain(tftp(network, TFTP_ROOT)?) {
            script.push_str(&format!("{line}\n"));
        }
        let mut undo = format!("rm -f {file}\nsystemctl restart dnsmasq\n");
        let mut companions = Vec::new();
        if own {
            undo.push_str(&empty_root());
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
                "Save the script under the name that its head says, such as /etc/dnsmasq.d/moxxie-10-0-0-0.conf: each network has a file of its own. Debian's dnsmasq reads that folder; elsewhere conf-dir=/etc/dnsmasq.d has to stand in /etc/dnsmasq.conf.",
                "With tftp=switch, run moxxie-loaders.sh as root: it fetches the loaders into /var/lib/moxxie-tftp. Run it again after each import of loaders.",
                "Run dnsmasq --test, then systemctl restart dnsmasq. A reload is not enough: dnsmasq reads such files at its start only.",
            ],
            undo: &[
                "Remove the network's file and restart dnsmasq. The folder /var/lib/moxxie-tftp goes with the last file that names it. Nothing else was changed.",
            ],
            traps: &[
                "dnsmasq --test does not see a wrong order of rules, an address such as 999.1.1.1, or a file name that is too long: look at the wire with moxxie doctor dhcp.",
                "A dhcp-boot, dhcp-option=66 or dhcp-option=67 without a tag elsewhere in dnsmasq's files reaches plain clients too. Debian's installer runs such a URL as its preseed file: remove it.",
                "dnsmasq does not reserve an address that it has offered. In a pool of 231 addresses, 27 of 50 machines that started at once were refused; with 4090 addresses none was. Use leases=static or a wider subnet for many machines.",
                "no-ping stands in the script because a ping before each offer makes iPXE give up when many machines start at once. It holds for all networks of this dnsmasq, as dhcp-authoritative and dhcp-no-override do.",
                "dhcp-no-override puts the boot files of all networks of this dnsmasq into the BOOTP header instead of option 67, and the header cuts what is longer than 127 bytes.",
                "A dnsmasq that hands out files of its own by TFTP: without interface=, Moxxie's tftp-root and the one in another file are one setting, and the last that is read wins. With interface=, a plain enable-tftp in another file no longer reaches other interfaces: write enable-tftp=NAME there for each. With tftp=moxxie none of this is written.",
                "The script has no interface= line, which would make dnsmasq deaf on all other interfaces, to DNS as well: dhcp-range already keeps it to the subnet. Which interfaces dnsmasq listens on stays as it was.",
                "dnsmasq hands out the name of a fixed address up to its first dot only.",
                "mode=proxy: UEFI HTTP boot gets no answer, and the UEFI firmware of virtual machines (OVMF) ignores proxyDHCP offers. Both need mode=server, or options in the DHCP server itself.",
                "mode=proxy in another network than the machines': their relay has to forward to this dnsmasq as well as to the DHCP server.",
                "Before dnsmasq 2.76, mode=proxy appends .0 to the name of the BIOS loader: put a copy named undionly.kpxe.0 beside it.",
            ],
            checked: &[
                "Checked against dnsmasq 2.90: dnsmasq --test on every golden file, and twelve kinds of clients sent as packets, in both modes; what TFTP settings of two files do to each other was tried.",
                "Not run with other versions.",
            ],
        }
    }
}

fn text(rules: &[Rule]) -> Result<Vec<Line>, Problem> {
    let lines: Result<Vec<Line>, NameError> = rules.iter().map(Rule::line).collect();
    Ok(lines.map_err(|e| ("boot_url", e))?)
}

/// dnsmasq as the DHCP server. Which file and options go out hangs on the tag of its own range. The
/// three lines without a value hold for every network: that `dhcp-no-override` moves the others' file
/// names into the header is said in a note.
fn serving(network: &Network) -> Result<Vec<Line>, Problem> {
    let range = served::range(network)?;
    let within = net(network)?;
    let mut lines = vec![
        Line::new("dhcp-authoritative"),
        Line::new("no-ping"),
        Line::new("dhcp-range")
            .with(within.set())
            .all([range.first, range.last, network.subnet.netmask()])
            .with("1h"),
        Line::new("dhcp-option").with(&within).with("option:router").with(network.gateway),
        Line::new("dhcp-option").with(&within).with("option:dns-server").all(network.dns.iter().copied()),
        Line::new("dhcp-no-override"),
    ];
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
    let within = net(network)?;
    let mut lines = vec![
        Line::new("dhcp-range")
            .with(within.set())
            .with(network.subnet.network())
            .with("proxy")
            .with(network.subnet.netmask()),
    ];
    let told: Vec<Rule> = rules::rules(network, Some(&within), None)
        .into_iter()
        .filter(|rule| match rule {
            Rule::IpxeClass | Rule::IpxeOption => true,
            Rule::Boot { name, .. } => *name == IPXE,
            _ => false,
        })
        .collect();
    lines.extend(text(&told)?);
    // One entry that is taken at once: no menu, no waiting.
    lines.push(Line::new("pxe-prompt").with(&within).with("Moxxie").with(0));
    for &arch in network.arches.iter().filter(|arch| !arch.is_http()) {
        for &system in systems(arch) {
            let loader = Field::text(&network.loader(arch)).map_err(|e| ("arch", e))?;
            let line = Line::new("pxe-service")
                .with(&within)
                .with(&Tag::lacks(IPXE))
                .with(system)
                .with("Moxxie")
                .with(loader);
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

/// dnsmasq's own TFTP server, where it is the one; on one interface where that is known, and then
/// with both lines (see the top). It starts without the folder too, because DNS and addresses matter
/// more than loaders.
pub(super) fn tftp(network: &Network, folder: &'static str) -> Result<Vec<Line>, Problem> {
    if !loaders::needed(network) {
        return Ok(Vec::new());
    }
    let interface = match &network.interface {
        Some(name) => Some(name.word().and_then(Field::text).map_err(|e| ("interface", e))?),
        None => None,
    };
    Ok(vec![
        Line::new("enable-tftp").all(interface.clone()),
        Line::new("tftp-no-fail"),
        Line::new("tftp-root").with(folder).all(interface),
    ])
}

/// What these lines do to a dnsmasq that has a TFTP server already.
pub(super) fn root_note(network: &Network) -> Option<String> {
    loaders::needed(network).then(|| match &network.interface {
        None => "a tftp-root of your own is replaced: with tftp=moxxie it stays".to_owned(),
        Some(name) => format!(
            "a plain enable-tftp of your own reaches {name} only from now on: write enable-tftp=NAME instead, for each \
             interface, or take tftp=moxxie"
        ),
    })
}

/// Removes the loaders with the last file that names their folder.
pub(super) fn empty_root() -> String {
    format!("grep -qs {TFTP_ROOT} /etc/dnsmasq.d/*.conf /etc/dnsmasq.d/*/*.conf || rm -rf {TFTP_ROOT}\n")
}
