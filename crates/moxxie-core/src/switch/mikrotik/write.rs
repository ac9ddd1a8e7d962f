//! The scripts. Everything stands in one `{ }`: RouterOS reads the whole of it before the first
//! command runs, and variables live on from line to line. First comes what can fail, then the removal
//! of what an earlier run made (matchers before sets before options, as they refer to each other),
//! then the new.

use super::plan::{Plan, Version, Way};
use super::quote::{OptionText, RouterString};
use crate::switch::{NameError, Network, Pool, Problem, Remarks, Tftp, comment_block};
use std::fmt::Write as _;

/// What Moxxie's matchers, sets, options and files are called.
const OURS: &str = "^moxxie-";
/// The files that a script fetches: the operator's own `moxxie-….rsc` stay.
const OUR_FILES: &str = "^(flash/)?moxxie-.*\\.(efi|kpxe|ipxe)$";
/// What a lease of Moxxie's says: no other comment begins like this by chance.
const OUR_LEASES: &str = "^moxxie: ";
/// How iPXE names itself in option 77: four bytes, without the length that RFC 3004 wants.
const IPXE: &str = "0x69505845";

/// A text in quotes.
fn q(text: &str) -> Result<RouterString, Problem> {
    RouterString::new(text).map_err(refused)
}

fn refused(error: NameError) -> Problem {
    Problem::new("parameters", error)
}

/// The script.
pub fn script(network: &Network, plan: &Plan) -> Result<String, Problem> {
    let mut out = head(network, plan);
    out.push_str("{\n");
    guards(&mut out, network, plan)?;
    out.push_str("\n# What an earlier run made.\n");
    remove(&mut out, plan)?;
    rules(&mut out, network, plan)?;
    if plan.serves_files(network) {
        serve_files(&mut out, network, plan)?;
    }
    leases(&mut out, network)?;
    out.push_str("}\n");
    remarks(&mut out, network)?;
    Ok(out)
}

/// What takes it all away.
pub fn undo(network: &Network, plan: &Plan) -> Result<String, Problem> {
    let mut out = comment_block(
        "#",
        "Takes away everything on the router that carries Moxxie's name. What next-server and boot-file-name were before stands in the router's log until its next restart (/log print where message~\"moxxie\"), this script does not know it.",
    );
    out.push_str("{\n");
    remove(&mut out, plan)?;
    let _ = writeln!(out, "/ip dhcp-server lease remove [find where comment~{}]", q(OUR_LEASES)?);
    let (subnet, server) = (network.subnet, network.next_server);
    match (plan.version, plan.way) {
        (Version::V6, Way::One(arch)) => {
            let file = q(&network.loader(arch))?;
            let _ = writeln!(
                out,
                "/ip dhcp-server network set [find where address={subnet} and boot-file-name={file}] boot-file-name=\"\""
            );
            out.push_str(&comment_block(
                "#",
                "next-server stays: without a boot file name nobody asks for it, and not every version 6 can clear it.",
            ));
        }
        _ => {
            let _ = writeln!(
                out,
                "/ip dhcp-server network unset [find where address={subnet} and next-server={server}] next-server"
            );
        }
    }
    let _ = writeln!(out, "/file remove [find where name~{}]", q(OUR_FILES)?);
    out.push_str("}\n");
    Ok(out)
}

fn head(network: &Network, plan: &Plan) -> String {
    let dry = match plan.version {
        Version::V716 => {
            "Upload as moxxie.rsc. /import file-name=moxxie.rsc verbose=yes dry-run changes nothing and shows errors; then /import file-name=moxxie.rsc, in safe mode (Ctrl-X)."
        }
        _ => "Upload as moxxie.rsc, then /import file-name=moxxie.rsc verbose=yes, in safe mode (Ctrl-X).",
    };
    let apply = [
        dry,
        "Or paste everything into a terminal. Running it again gives the same state. It changes only what carries Moxxie's name, and next-server and boot-file-name of this one network. It also replaces what a run for another network of this router made.",
    ];
    Remarks { mark: "#", title: plan.version.title(), apply: &apply }.head(network, &plan.warnings)
}

/// Finds server, pool and network, and stops before anything is changed.
fn guards(out: &mut String, network: &Network, plan: &Plan) -> Result<(), Problem> {
    let (mut filter, mut named) = (String::new(), String::new());
    if let Some(name) = &network.dhcp_server {
        let _ = write!(filter, " name={}", q(name.as_str())?);
        let _ = write!(named, " named {name}");
    }
    if let Some(interface) = &network.interface {
        filter.push_str(if filter.is_empty() { "" } else { " and" });
        let _ = write!(filter, " interface={}", q(interface.as_str())?);
        let _ = write!(named, " on {interface}");
    }
    // Version 6 has no use for the server but in leases; one that was named should exist.
    if plan.version != Version::V6 || !network.leases.is_empty() || !filter.is_empty() {
        server(out, network, plan, &filter, &named)?;
    }
    let subnet = network.subnet;
    let none = q(&format!(
        "moxxie: /ip dhcp-server network does not have {subnet} exactly once. Give subnet= as it stands there."
    ))?;
    let _ = writeln!(out, ":local net [/ip dhcp-server network find where address={subnet}]");
    let _ = writeln!(out, ":if ([:len $net] != 1) do={{ :error {none} }}");
    if plan.version != Version::V6 {
        foreign(out, network, plan)?;
    }
    for property in ["next-server", "boot-file-name"] {
        let was = q(&format!("moxxie: {property} of {subnet} was "))?;
        let _ = writeln!(out, ":log info ({was} . [:tostr [/ip dhcp-server network get $net {property}]])");
    }
    Ok(())
}

/// The DHCP server, and the pool that its clients get addresses from.
fn server(
    out: &mut String,
    network: &Network,
    plan: &Plan,
    filter: &str,
    named: &str,
) -> Result<(), Problem> {
    let filter = if filter.is_empty() { " disabled=no" } else { filter };
    let none = q(&format!(
        "moxxie: there is not exactly one DHCP server{named}. See /ip dhcp-server print, then give dhcp_server= or interface=."
    ))?;
    let _ = writeln!(out, ":local found [/ip dhcp-server find where{filter}]");
    let _ = writeln!(out, ":if ([:len $found] != 1) do={{ :error {none} }}");
    if plan.version != Version::V6 || !network.leases.is_empty() {
        let _ = writeln!(out, ":local srv [/ip dhcp-server get $found name]");
    }
    if plan.version != Version::V6 {
        pool(out, network)?;
    }
    Ok(())
}

fn pool(out: &mut String, network: &Network) -> Result<(), Problem> {
    match &network.pool {
        Some(Pool::Name(name)) => {
            let none = q(&format!("moxxie: there is no pool {name}. See /ip pool print."))?;
            let _ = writeln!(out, ":local pool {}", q(name.as_str())?);
            let _ =
                writeln!(out, ":if ([:len [/ip pool find where name=$pool]] != 1) do={{ :error {none} }}");
        }
        _ => {
            let _ = writeln!(out, ":local pool [/ip dhcp-server get $found address-pool]");
        }
    }
    Ok(())
}

/// What others have made and what would get in the way.
fn foreign(out: &mut String, network: &Network, plan: &Plan) -> Result<(), Problem> {
    let theirs = format!("disabled=no and (server=$srv or server=\"all\") and !(name~{})", q(OURS)?);
    let overlap = q(
        "moxxie: another matcher looks at option 77 or 93. Two that fit one client have no order: remove or disable it. See /ip dhcp-server matcher print.",
    )?;
    let _ = writeln!(
        out,
        ":if ([:len [/ip dhcp-server matcher find where (code=77 or code=93) and {theirs}]] > 0) do={{ :error {overlap} }}"
    );
    let near = q(
        "moxxie: note: another matcher looks at option 60. If it fits network boot clients, it is undefined which matcher wins.",
    )?;
    let _ = writeln!(
        out,
        ":if ([:len [/ip dhcp-server matcher find where code=60 and {theirs}]] > 0) do={{ :put {near} }}"
    );
    let subnet = network.subnet;
    let other_set = format!(
        "[/ip dhcp-server network find where address={subnet} and dhcp-option-set~\".\" and !(dhcp-option-set~{})]",
        q("^(moxxie-|none$)")?
    );
    match plan.way {
        Way::ByClass(_) => {
            let set = q(&format!(
                "moxxie: {subnet} has an option set of its own, which this script would replace. Clear it, or use stage2=embedded."
            ))?;
            let _ = writeln!(out, ":if ([:len {other_set}] > 0) do={{ :error {set} }}");
        }
        _ => {
            let set =
                q(&format!("moxxie: note: {subnet} has an option set. Option 66 or 67 must not be in it."))?;
            let _ = writeln!(out, ":if ([:len {other_set}] > 0) do={{ :put {set} }}");
        }
    }
    let options =
        q(&format!("moxxie: note: {subnet} has dhcp-option of its own. Option 66 or 67 must not be in it."))?;
    let _ = writeln!(
        out,
        ":if ([:len [/ip dhcp-server network get $net dhcp-option]] > 0) do={{ :put {options} }}"
    );
    Ok(())
}

fn remove(out: &mut String, plan: &Plan) -> Result<(), Problem> {
    let ours = q(OURS)?;
    if plan.version != Version::V6 {
        let _ = write!(
            out,
            "/ip dhcp-server matcher remove [find where name~{ours}]\n\
             /ip dhcp-server network unset [find where dhcp-option-set~{ours}] dhcp-option-set\n\
             /ip dhcp-server option sets remove [find where name~{ours}]\n\
             /ip dhcp-server option remove [find where name~{ours}]\n\
             /ip tftp remove [find where comment=\"moxxie\"]\n"
        );
    } else {
        // Whether version 6 keeps comments here is not known.
        let _ = writeln!(out, "/ip tftp remove [find where real-filename~{}]", q("^(flash/)?moxxie-")?);
    }
    Ok(())
}

/// Who loads what: the name stands in one place only.
fn rules(out: &mut String, network: &Network, plan: &Plan) -> Result<(), Problem> {
    let (subnet, server) = (network.subnet, network.next_server);
    let set_network =
        format!("/ip dhcp-server network set [find where address={subnet}] next-server={server}");
    match plan.way {
        Way::One(arch) => {
            out.push_str("\n# The name stands in the header only: iPXE reads it there first, UEFI last.\n");
            let _ = writeln!(out, "{set_network} boot-file-name={}", q(&network.loader(arch))?);
        }
        Way::ByArch => {
            out.push_str("\n# Option 93 is the client's architecture, 67 the file it gets.\n");
            for &arch in &plan.arches {
                option_set(out, arch.name(), &network.loader(arch), arch.is_http())?;
                for code in arch.codes() {
                    let (name, set) = (format!("{}-{code}", arch.name()), arch.name());
                    matcher(out, plan.version, &name, 93, &format!("0x{code:04x}"), set)?;
                }
            }
            let _ = writeln!(out, "{set_network} boot-file-name=\"\"");
        }
        Way::ByClass(arch) => {
            out.push_str("\n# iPXE says so in option 77 and gets the menu; the rest gets the loader.\n");
            option_set(out, arch.name(), &network.loader(arch), arch.is_http())?;
            option_set(out, "ipxe", network.boot_url.as_str(), false)?;
            matcher(out, plan.version, "ipxe", 77, IPXE, "ipxe")?;
            let set = q(&format!("moxxie-{}", arch.name()))?;
            let _ = writeln!(out, "{set_network} boot-file-name=\"\" dhcp-option-set={set}");
        }
    }
    Ok(())
}

/// Option 67 as text, even for clients that do not ask for it; option 60 for UEFI HTTP boot, which
/// takes no offer without it.
fn option_set(out: &mut String, name: &str, file: &str, http: bool) -> Result<(), Problem> {
    let add = "/ip dhcp-server option add";
    let (set, bootfile) = (format!("moxxie-{name}"), format!("moxxie-bf-{name}"));
    let value = OptionText::new(file).map_err(refused)?;
    let _ = writeln!(out, "{add} name={} code=67 value={value} force=yes", q(&bootfile)?);
    let mut options = bootfile;
    if http {
        let class = format!("moxxie-class-{name}");
        let value = OptionText::new("HTTPClient").map_err(refused)?;
        let _ = writeln!(out, "{add} name={} code=60 value={value} force=yes", q(&class)?);
        options = format!("{options},{class}");
    }
    let _ = writeln!(out, "/ip dhcp-server option sets add name={} options={}", q(&set)?, q(&options)?);
    Ok(())
}

/// Without `address-pool` a matcher gives addresses to static leases only.
fn matcher(
    out: &mut String,
    version: Version,
    name: &str,
    code: u8,
    value: &str,
    set: &str,
) -> Result<(), Problem> {
    let newer = match version {
        Version::V716 => " matching-type=exact comment=\"moxxie\"",
        _ => "",
    };
    let (name, set) = (q(&format!("moxxie-{name}"))?, q(&format!("moxxie-{set}"))?);
    let _ = writeln!(
        out,
        "/ip dhcp-server matcher add name={name} server=$srv address-pool=$pool code={code} value={value} option-set={set}{newer}"
    );
    Ok(())
}

/// Loaders on the router: fetched from Moxxie, into the folder that outlives a restart where there
/// is one, and published under the names that clients ask for, which are regular expressions here.
fn serve_files(out: &mut String, network: &Network, plan: &Plan) -> Result<(), Problem> {
    out.push_str(
        "\n# The loaders, from Moxxie. Where there is a folder flash, the rest is lost at a restart.\n:local dir \"\"\n\
         :if ([:len [/file find where name=\"flash\"]] = 1) do={ :set dir \"flash/\" }\n",
    );
    let origin = network.boot_url.origin();
    for loader in &plan.files {
        let url = q(&format!("{origin}/boot/firmware/{loader}"))?;
        let file = q(&format!("moxxie-{loader}"))?;
        let log = q(&format!("moxxie: {loader} was not fetched"))?;
        let failed = q(&format!(
            "moxxie: {loader} was not fetched from {origin}: see moxxie firmware list, and the free space here"
        ))?;
        let _ = writeln!(
            out,
            ":do {{ /tool fetch url={url} dst-path=($dir . {file}) }} on-error={{ :put {failed}; :log warning {log} }}"
        );
    }
    let comment = if plan.version == Version::V6 { "" } else { " comment=\"moxxie\"" };
    for loader in &plan.files {
        let (asked, file) = (q(&loader.replace('.', "\\."))?, q(&format!("moxxie-{loader}"))?);
        let _ = writeln!(
            out,
            "/ip tftp add req-filename={asked} real-filename=($dir . {file}) ip-addresses={} allow=yes read-only=yes{comment}",
            network.subnet
        );
    }
    Ok(())
}

/// Fixed addresses. A lease that somebody else made stays; one that cannot be added does not stop
/// the others.
fn leases(out: &mut String, network: &Network) -> Result<(), Problem> {
    if network.leases.is_empty() {
        return Ok(());
    }
    let _ = writeln!(
        out,
        "\n# Fixed addresses of assigned machines.\n/ip dhcp-server lease remove [find where comment~{}]",
        q(OUR_LEASES)?
    );
    for lease in &network.leases {
        // `find` compares addresses of this kind as text, in capitals.
        let (mac, address) = (lease.mac.to_string().to_ascii_uppercase(), lease.address);
        let comment = q(&format!("moxxie: {}", lease.node))?;
        let theirs =
            q(&format!("moxxie: {mac} ({}) has a lease that is not Moxxie's: left alone", lease.node))?;
        let failed = q(&format!(
            "moxxie: {mac} ({}) got no fixed address: see who has {address} in /ip dhcp-server lease print, then run this again",
            lease.node
        ))?;
        let _ = writeln!(
            out,
            ":if ([:len [/ip dhcp-server lease find where dynamic=no and mac-address=\"{mac}\"]] > 0) do={{ :put {theirs} }} else={{ :do {{ /ip dhcp-server lease add server=$srv mac-address={mac} address={address} comment={comment} }} on-error={{ :put {failed} }} }}"
        );
    }
    Ok(())
}

/// What depends on the rest of the configuration, and is for the operator to decide.
fn remarks(out: &mut String, network: &Network) -> Result<(), Problem> {
    let mut say = |text: &str, command: &str| {
        out.push('\n');
        out.push_str(&comment_block("#", text));
        let _ = writeln!(out, "# {command}");
    };
    let interface = match &network.interface {
        Some(name) => q(name.as_str())?.to_string(),
        None => "INTERFACE".to_owned(),
    };
    let ports = if network.tftp == Tftp::Switch { "67,69" } else { "67" };
    say(
        "A firewall that drops what it does not know has to let the machines ask the router (before the rule that drops):",
        &format!(
            "/ip firewall filter add chain=input action=accept protocol=udp dst-port={ports} in-interface={interface} comment=\"moxxie\""
        ),
    );
    let url = &network.boot_url;
    let host = url.address().filter(|address| !network.subnet.contains(address));
    if let Some(host) = host {
        say(
            "and to let them reach Moxxie:",
            &format!(
                "/ip firewall filter add chain=forward action=accept protocol=tcp dst-port={} dst-address={host} in-interface={interface} comment=\"moxxie\"",
                url.port()
            ),
        );
    }
    if network.tftp == Tftp::Moxxie && !network.subnet.contains(&network.next_server) {
        say(
            "and its TFTP server, whose answers come from another port, so that the router's helper for TFTP (/ip firewall service-port) must be on:",
            &format!(
                "/ip firewall filter add chain=forward action=accept protocol=udp dst-port=69 dst-address={} in-interface={interface} comment=\"moxxie\"",
                network.next_server
            ),
        );
    }
    let edge = "A port that waits for spanning tree misses the firmware's first DHCP requests.";
    match network.vlan {
        None => say(
            &format!("{edge} For each port with a machine on it:"),
            "/interface bridge port set [find where interface=\"etherN\"] edge=yes",
        ),
        Some(vlan) => say(
            &format!(
                "{edge} And firmware asks untagged: on a bridge with vlan-filtering=yes, which this script never changes, VLAN {vlan} has to be the port's own. For each port with a machine on it:"
            ),
            &format!(
                "/interface bridge port set [find where interface=\"etherN\"] edge=yes pvid={vlan} frame-types=admit-only-untagged-and-priority-tagged"
            ),
        ),
    }
    Ok(())
}
