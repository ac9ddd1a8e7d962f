//! OPNsense with its dnsmasq as DHCP server: a drop-in for `/usr/local/etc/dnsmasq.conf.d`, which its
//! generated configuration includes, and the same as rows of the web interface.
//!
//! Ranges, gateway and name servers stay where OPNsense keeps them; the drop-in only says what to
//! load. Tags have no dashes, because OPNsense strips them from its own.

use super::dnsmasq::line::Tag;
use super::dnsmasq::rules::{self, tag};
use super::dnsmasq::{self, loaders};
use super::{Dialect, Guide, Network, Problem, Remarks, Written, comment_block, served};
use std::fmt::Write as _;

/// OPNsense.
#[derive(Debug)]
pub struct Opnsense;

/// One file for each network, so that they stand beside each other.
fn file(network: &Network) -> String {
    format!("/usr/local/etc/dnsmasq.conf.d/moxxie-{}.conf", network.label())
}

const FOLDER: &str = "/usr/local/moxxie-tftp";

impl Dialect for Opnsense {
    fn name(&self) -> &'static str {
        "opnsense"
    }

    fn title(&self) -> &'static str {
        "OPNsense with Dnsmasq as DHCP server"
    }

    fn summary(&self) -> &'static str {
        "a file for /usr/local/etc/dnsmasq.conf.d, and the same for the web interface"
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
                "the device of the machines' interface, such as igc1 or vlan0.10; without it the rules reach every network",
            ),
            "next_server" => Some(loaders::MEANS_NEXT_SERVER),
            "tftp" => Some("who hands out the loaders: switch (default) is this OPNsense, or moxxie"),
            _ => None,
        }
    }

    fn write(&self, network: &Network) -> Result<Written, Problem> {
        // dnsmasq gives each request the name of the interface that it came in by as a tag.
        let interface = network.interface.as_ref().map(|name| Tag::named(name.word()?)).transpose();
        let interface = interface.map_err(|e| ("interface", e))?;
        let mut warnings = network.warnings.clone();
        warnings.push("ranges, gateway and name servers stay in Services: Dnsmasq DNS & DHCP. Other DHCP servers on this interface (Kea, ISC) have to be off".into());
        if interface.is_none() {
            warnings.push("no interface= was given (such as igc1 or vlan0.10, as Interfaces: Overview calls the device): this holds for every network that this dnsmasq serves".into());
        }
        warnings.extend(served::stage_note(network));
        warnings.push("dhcp-no-override holds for every network of this dnsmasq: boot files of the others stand in the BOOTP header from now on, which cuts them after 127 bytes".into());
        warnings.extend(dnsmasq::root_note(network));
        let file = file(network);
        let apply: &[&str] = &[
            &format!("Save as {file}, then test and start it at the shell:"),
            &format!("dnsmasq --test -C {file} && configctl dnsmasq restart"),
        ];
        let mut script = Remarks { mark: "#", title: self.title(), apply }.head(network, &warnings);
        let own = loaders::needed(network);
        if own {
            tftp(&mut script, network)?;
        }
        rules(&mut script, network, interface.as_ref())?;
        gui(&mut script, network);
        let mut undo = format!("rm -f {file}\nconfigctl dnsmasq restart\n");
        if own {
            let _ = writeln!(undo, "# The loaders, if nobody else uses them: rm -r {FOLDER}");
        }
        Ok(Written {
            script,
            undo,
            warnings,
            verify: vec![
                format!("dnsmasq --test -C {file}"),
                "Services: Dnsmasq DNS & DHCP: Log File".into(),
                served::doctor(network),
            ],
            sources: vec![
                "opnsense/core: src/opnsense/service/templates/OPNsense/Dnsmasq/dnsmasq.conf",
                "the rules: checked on the wire against dnsmasq 2.90, not run on OPNsense",
            ],
            companions: Vec::new(),
        })
    }

    fn guide(&self) -> Guide {
        GUIDE
    }
}

fn tftp(out: &mut String, network: &Network) -> Result<(), Problem> {
    let origin = network.boot_url.origin();
    out.push_str(&comment_block("#", "The loaders, once, at the shell:"));
    out.push_str(&comment_block("#", &format!("  mkdir -p {FOLDER} && cd {FOLDER}")));
    for file in network.files(&network.arches) {
        out.push_str(&comment_block("#", &format!("  fetch {origin}/boot/firmware/{file}")));
    }
    out.push_str(&comment_block("#", "A firewall rule has to let UDP 69 from the machines in."));
    for line in dnsmasq::tftp(network, FOLDER)? {
        let _ = writeln!(out, "{line}");
    }
    Ok(())
}

/// What is loaded by whom: the rules of every dnsmasq, on this interface only where one was named.
fn rules(out: &mut String, network: &Network, interface: Option<&Tag>) -> Result<(), Problem> {
    out.push_str("dhcp-no-override\n");
    for rule in rules::rules(network, interface, loaders::server(network)) {
        let line = rule.line().map_err(|e| ("boot_url", e))?;
        let _ = writeln!(out, "{line}");
    }
    Ok(())
}

/// The rows of the web interface. Its rows take tags but not their absence, so iPXE cannot be told
/// apart there without two rows that match it: this way needs the second stage in the loader.
fn gui(out: &mut String, network: &Network) {
    let mut say = |text: &str| out.push_str(&comment_block("#", text));
    if network.arches.iter().all(|arch| arch.is_http()) {
        return;
    }
    say(
        "If you cannot save a file: these rows do less, by hand in Services: Dnsmasq DNS & DHCP: DHCP options (and Tags):",
    );
    for &arch in network.arches.iter().filter(|arch| !arch.is_http()) {
        for code in arch.codes() {
            say(&format!("  type Match, option client-arch [93], value {code}, tag {}", tag(arch)));
        }
        let server = loaders::server(network).map_or("left empty".to_owned(), |address| address.to_string());
        say(&format!(
            "  type Boot, tag {}, filename {}, server address {server}",
            tag(arch),
            network.loader(arch)
        ));
    }
    say(
        "Rows know no 'not iPXE': with rows alone, iPXE gets its own file again, so BIOS loaders need embed.ipxe inside and UEFI loaders autoexec.ipxe beside them. UEFI HTTP boot needs the file.",
    );
}

const GUIDE: Guide = Guide {
    needs: &[
        "An OPNsense whose Dnsmasq page has the tab DHCP options, with Dnsmasq serving DHCP on the machines' network; Kea and ISC off there.",
        "A root shell (SSH, or option 8 of the console) for the file, or the web interface for the rows.",
        "A firewall rule that lets the machines reach Moxxie's port, and UDP 69 of OPNsense if it hands out the loaders.",
    ],
    apply: &[
        "Save the text under the name that its head says, such as /usr/local/etc/dnsmasq.conf.d/moxxie-10-0-0-0.conf: each network has a file of its own.",
        "With tftp=switch, make the folder and fetch the loaders as the remarks say.",
        "Test it: dnsmasq --test -C and the file.",
        "configctl dnsmasq restart. The file survives changes in the web interface.",
    ],
    undo: &[
        "Remove the file and restart dnsmasq. Nothing else was changed. Rows made by hand are removed in the web interface.",
    ],
    traps: &[
        "OPNsense strips dashes from tags, so tags here have none.",
        "dnsmasq also answers DNS: a mistake in the file stops name resolution for the whole network, so test before the restart.",
        "Boot rows of the web interface and this file at the same time: the last line that matches wins, and nobody knows which that is. Use one of them.",
        "dhcp-no-override in the file moves the boot files of all networks of this dnsmasq into the BOOTP header, which cuts them after 127 bytes.",
        "A tftp-root of your own in another file is replaced, unless interface= was given; then a plain enable-tftp there reaches that interface only. With tftp=moxxie both stay.",
        "Kea on OPNsense can do the same by custom options with match code 93 and hexadecimal match data; its form is another one.",
        "Backups of the configuration do not contain the file.",
    ],
    checked: &[
        "The rules were checked on the wire against dnsmasq 2.90; not run on OPNsense.",
        "Folder and form of the rows come from OPNsense's source.",
    ],
};
