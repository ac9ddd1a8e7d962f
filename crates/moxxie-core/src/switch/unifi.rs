//! UniFi: no command line for this, so a list of what to write into which field. One boot
//! server and one file name per network, for all machines; who has several kinds puts a proxyDHCP
//! server beside it.

use super::served::{self, tftp_note};
use super::single::{doctor, single};
use super::{Choice, Dialect, Guide, Network, Problem, Remarks, Written, comment_block, relayed};

/// UniFi.
#[derive(Debug)]
pub struct Unifi;

const MODES: Choice = Choice {
    key: "mode",
    values: &[
        ("fields", "one boot file, typed into the network's settings"),
        ("proxydhcp-beside", "UniFi hands out addresses, a proxyDHCP server beside it the boot files"),
    ],
};

impl Dialect for Unifi {
    fn name(&self) -> &'static str {
        "unifi"
    }

    fn title(&self) -> &'static str {
        "Ubiquiti UniFi Network"
    }

    fn summary(&self) -> &'static str {
        "what to type into which field; there is no configuration to paste"
    }

    fn choices(&self) -> &'static [Choice] {
        &[MODES]
    }

    fn reads(&self) -> &'static [&'static str] {
        &["subnet", "next_server", "tftp", "boot_url", "arch", "secure_boot", "loader", "stage2", "vlan"]
    }

    fn means(&self, key: &str) -> Option<&'static str> {
        Some(match key {
            "next_server" => {
                "the TFTP server's address; default in mode=fields: the gateway, where one has to be, because UniFi is none; in mode=proxydhcp-beside: the proxyDHCP server; with tftp=moxxie: Moxxie"
            }
            "tftp" => {
                "who hands out the loaders: moxxie, or switch (default), which stands for the server that next_server= describes, because UniFi is none"
            }
            "stage2" => {
                "how iPXE finds the menu: auto (default), class (DHCP tells it; mode=proxydhcp-beside only) or embedded (the loader knows)"
            }
            _ => return None,
        })
    }

    fn write(&self, network: &Network) -> Result<Written, Problem> {
        match network.choice("mode") {
            "proxydhcp-beside" => beside(network),
            _ => fields(network),
        }
    }

    fn guide(&self) -> Guide {
        GUIDE
    }
}

fn steps(steps: &[String]) -> String {
    let number = |(i, step): (usize, &String)| comment_block("#", &format!("{}. {step}", i + 1));
    steps.iter().enumerate().map(number).collect()
}

fn which(network: &Network) -> String {
    let vlan = network.vlan.map(|vlan| format!(" (VLAN {vlan})")).unwrap_or_default();
    format!("Open UniFi Network, Settings, Networks, and the network {}{vlan}.", network.subnet)
}

fn head(network: &Network, title: &str, warnings: &[String]) -> String {
    let apply = &[
        "UniFi has no command line for this: type what follows into its settings. Names of fields differ a little between versions.",
    ];
    Remarks { mark: "#", title, apply }.head(network, warnings)
}

fn fields(network: &Network) -> Result<Written, Problem> {
    let one = single(network, "UniFi", "use mode=proxydhcp-beside")?;
    let mut warnings = network.warnings.clone();
    warnings.extend(one.warnings);
    warnings.extend(tftp_note(network, "UniFi"));
    let script = head(network, "UniFi: one boot file for a network", &warnings)
        + &steps(&[
            which(network),
            "Write down what stands under Network Boot and TFTP Server now: the way back needs it.".into(),
            "DHCP Mode is DHCP Server; open its service management (Show Options in some versions).".into(),
            format!("Network Boot: on. Server: {}. File name: {}.", network.next_server, one.file),
            "TFTP Server (option 66) stays empty. The file name belongs into Network Boot and nowhere else."
                .into(),
            "Apply, and wait until the gateway is provisioned.".into(),
        ]);
    Ok(Written {
        script,
        undo: undo(network),
        warnings,
        verify: verify(doctor(network)),
        sources: SOURCES.to_vec(),
        companions: Vec::new(),
    })
}

fn beside(network: &Network) -> Result<Written, Problem> {
    let mut warnings = network.warnings.clone();
    if network.arches.iter().all(|arch| arch.is_http()) {
        return Err(Problem::new(
            "arch",
            "UEFI HTTP boot gets no answer from a proxyDHCP server, and UniFi has none for it either: put a DHCP server into its place, such as dnsmasq or Kea",
        ));
    }
    let proxy = relayed::proxy_files(network)?;
    let names: Vec<&str> = proxy.iter().map(|(name, _)| name.as_str()).collect();
    let files = format!("Start dnsmasq there with what belongs to it: {}.", names.join(", "));
    if network.arches.iter().any(|arch| arch.is_http()) {
        warnings.push(
            "UEFI HTTP boot is not served this way: as proxyDHCP server, dnsmasq does not answer such clients".into(),
        );
    }
    let script = head(network, "UniFi: a proxyDHCP server beside it", &warnings)
        + &steps(&[
            which(network),
            "Write down what stands under Network Boot, TFTP Server and the custom options now: the way back needs it.".into(),
            "Network Boot: off. TFTP Server (option 66): empty. No custom option 43, 60, 66 or 67: two answers would contradict each other.".into(),
            "Put the proxyDHCP server into the same network: it has to hear the machines' broadcasts.".into(),
            files,
            "Where DHCP Guarding is on, add the proxyDHCP server's address to the trusted servers.".into(),
            "Apply, and wait until the gateway is provisioned.".into(),
        ]);
    Ok(Written {
        script,
        undo: undo(network),
        warnings,
        verify: verify(served::doctor(network)),
        sources: SOURCES.to_vec(),
        companions: proxy,
    })
}

fn undo(network: &Network) -> String {
    steps(&[
        which(network),
        "Put Network Boot, TFTP Server and custom options back to what you wrote down; off and empty if there was nothing."
            .into(),
        "Stop the proxyDHCP server, if there is one beside it, and take it out of DHCP Guarding.".into(),
        "Apply.".into(),
    ])
}

fn verify(doctor: String) -> Vec<String> {
    vec!["Start a machine and look at its screen: it names the file that it loads.".into(), doctor]
}

const SOURCES: &[&str] = &[
    "paultyng/terraform-provider-unifi#143",
    "linuxserver/docker-netbootxyz#67",
    "not tried on a UniFi gateway",
];

const GUIDE: Guide = Guide {
    needs: &[
        "A UniFi gateway that is the DHCP server of the machines' network.",
        "For mode=fields: machines of one kind, and a TFTP server with the loaders (tftp=moxxie is one).",
        "For mode=proxydhcp-beside: a computer in the machines' network that runs dnsmasq as proxyDHCP server.",
    ],
    apply: &[
        "Follow the numbered steps in UniFi Network. Nothing is pasted.",
        "The page says provisioning until the gateway has taken the settings over.",
    ],
    undo: &[
        "Put the fields back to what you wrote down before: the steps change Network Boot, TFTP Server and custom options of the network, and the trusted servers of DHCP Guarding.",
    ],
    traps: &[
        "There is one boot server and one file name for a network: a BIOS machine that gets ipxe.efi, or the other way round, does not start.",
        "A file name both in Network Boot and in a custom option 67 makes firmware and iPXE read different ones.",
        "DHCP Guarding hides a proxyDHCP server that it does not know.",
        "Virtual machines with OVMF ignore proxyDHCP: test with a real computer.",
    ],
    checked: &[
        "Written from public reports; not tried on a UniFi gateway, and names of fields change between versions.",
    ],
};
