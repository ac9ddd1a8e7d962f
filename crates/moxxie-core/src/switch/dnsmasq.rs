//! dnsmasq: one file for its `conf-dir`.
//!
//! Behavior measured with dnsmasq 2.90: of several `dhcp-boot` lines that match, the last in the
//! file wins, so every loader's line says `tag:!ipxe`; the third field is the TFTP server; with
//! `dhcp-no-override` the name stands in the BOOTP header only, where both iPXE and UEFI read it.

use super::{Arch, Dialect, Guide, Network, Problem, Remarks, Written};
use std::fmt::Write as _;

/// dnsmasq.
#[derive(Debug)]
pub struct Dnsmasq;

/// dnsmasq's tags have no dashes: OPNsense strips them.
fn tag(arch: Arch) -> &'static str {
    match arch {
        Arch::Bios => "bios",
        Arch::Ia32 => "efi32",
        Arch::X64 => "efi64",
        Arch::Arm64 => "arm64",
        Arch::HttpX64 => "http64",
        Arch::HttpArm64 => "httparm",
    }
}

impl Dialect for Dnsmasq {
    fn name(&self) -> &'static str {
        "dnsmasq"
    }

    fn title(&self) -> &'static str {
        "dnsmasq 2.80 and later"
    }

    fn summary(&self) -> &'static str {
        "a file for /etc/dnsmasq.d"
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
            "leases",
        ]
    }

    fn write(&self, network: &Network) -> Result<Written, Problem> {
        let warnings = network.warnings.clone();
        let mut script = Remarks {
            mark: "#",
            title: "dnsmasq",
            apply: &["Save as /etc/dnsmasq.d/moxxie.conf, then: dnsmasq --test && systemctl restart dnsmasq"],
        }
        .head(network, &warnings);
        write_rules(&mut script, network);
        Ok(Written {
            script,
            undo: "rm /etc/dnsmasq.d/moxxie.conf\nsystemctl restart dnsmasq\n".into(),
            warnings,
            verify: vec!["dnsmasq --test".into(), "moxxie doctor dhcp --interface eth0".into()],
            sources: vec!["dnsmasq(8)", "checked on the wire against dnsmasq 2.90"],
            companions: Vec::new(),
        })
    }

    fn guide(&self) -> Guide {
        Guide { needs: &[], apply: &[], undo: &[], traps: &[], checked: &[] }
    }
}

fn write_rules(out: &mut String, network: &Network) {
    let range = network.range();
    let mask = network.subnet.netmask();
    let server = network.next_server;
    if let Some(interface) = &network.interface {
        let _ = writeln!(out, "interface={interface}");
    }
    let _ = writeln!(out, "dhcp-range={},{},{mask},1h", range.first, range.last);
    let _ = writeln!(out, "dhcp-option=option:router,{}", network.gateway);
    let dns: Vec<String> = network.dns.iter().map(ToString::to_string).collect();
    let _ = writeln!(out, "dhcp-option=option:dns-server,{}", dns.join(","));
    let _ = writeln!(out, "dhcp-no-override\ndhcp-userclass=set:ipxe,iPXE\ndhcp-match=set:ipxe,175");
    for arch in &network.arches {
        for code in arch.codes() {
            let _ = writeln!(out, "dhcp-match=set:{},option:client-arch,{code}", tag(*arch));
        }
    }
    for &arch in &network.arches {
        let (tag, loader) = (tag(arch), network.loader(arch));
        match arch.is_http() {
            true => {
                let _ = writeln!(
                    out,
                    "dhcp-option-force=tag:{tag},60,HTTPClient\ndhcp-boot=tag:!ipxe,tag:{tag},{loader}"
                );
            }
            false => {
                let _ = writeln!(out, "dhcp-boot=tag:!ipxe,tag:{tag},{loader},,{server}");
            }
        }
    }
    let _ = writeln!(out, "dhcp-boot=tag:ipxe,{}", network.boot_url);
    for lease in &network.leases {
        let _ = writeln!(out, "dhcp-host={},{},{}", lease.mac, lease.address, lease.node);
    }
}
