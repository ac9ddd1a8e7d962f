//! The scripts. Everything stands in one `{ }`: RouterOS reads the whole of it before the first
//! command runs, and variables live on from line to line. First comes what can fail, then the removal
//! of what an earlier run made (matchers before sets before options, as they refer to each other),
//! then the new.

use super::guard::guards;
use super::plan::{Plan, Version, Way};
use super::quote::{OptionText, RouterString};
use super::remarks::remarks;
use crate::switch::{NameError, Network, Problem, Remarks, comment_block};
use std::fmt::Write as _;

/// How iPXE names itself in option 77: four bytes, without the length that RFC 3004 wants.
const IPXE: &str = "0x69505845";

/// A text in quotes.
pub fn q(text: &str) -> Result<RouterString, Problem> {
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
    leases(&mut out, network, plan)?;
    out.push_str("}\n");
    remarks(&mut out, network)?;
    Ok(out)
}

/// What takes it all away.
pub fn undo(network: &Network, plan: &Plan) -> Result<String, Problem> {
    let mut out = comment_block(
        "#",
        &format!(
            "Takes away everything on the router that is called {}. What next-server and boot-file-name of {} were before stands in the router's log until its next restart (/log print where message~\"moxxie\"), this script does not know it.",
            plan.label, network.subnet
        ),
    );
    out.push_str("{\n");
    remove(&mut out, plan)?;
    let _ = writeln!(out, "/ip dhcp-server lease remove [find where comment~{}]", q(&plan.our_leases())?);
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
    let _ = writeln!(
        out,
        "/file remove [find where name~{}]",
        q(&format!("{}.*\\.(efi|kpxe|ipxe)$", plan.our_files()))?
    );
    out.push_str("}\n");
    out.push_str(&comment_block(
        "#",
        "What you added by hand from the script's remarks stays: firewall rules with the comment moxxie, and edge=yes or pvid on bridge ports.",
    ));
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
        "Or paste everything into a terminal. Running it again gives the same state.",
        &format!(
            "It makes and removes what is called {}, and changes {} of {} in /ip dhcp-server network. Other networks of this router keep theirs.",
            plan.label,
            match plan.way {
                Way::ByClass(_) => "next-server, boot-file-name and dhcp-option-set",
                _ => "next-server and boot-file-name",
            },
            network.subnet
        ),
    ];
    Remarks { mark: "#", title: plan.version.title(), apply: &apply }.head(network, &plan.warnings)
}

/// What points to something goes before it. A lease that somebody gave one of these sets loses it:
/// it would point to nothing.
fn remove(out: &mut String, plan: &Plan) -> Result<(), Problem> {
    let ours = q(&plan.ours())?;
    if plan.version != Version::V6 {
        let _ = write!(
            out,
            "/ip dhcp-server matcher remove [find where name~{ours}]\n\
             /ip dhcp-server network unset [find where dhcp-option-set~{ours}] dhcp-option-set\n\
             /ip dhcp-server lease unset [find where dhcp-option-set~{ours}] dhcp-option-set\n\
             /ip dhcp-server option sets remove [find where name~{ours}]\n\
             /ip dhcp-server option remove [find where name~{ours}]\n\
             /ip tftp remove [find where comment={}]\n",
            q(&plan.label)?
        );
    }
    // Whether version 6 keeps comments here is not known.
    let _ = writeln!(out, "/ip tftp remove [find where real-filename~{}]", q(&plan.our_files())?);
    Ok(())
}

/// Who loads what: the name stands in one place only.
fn rules(out: &mut String, network: &Network, plan: &Plan) -> Result<(), Problem> {
    let (subnet, server) = (network.subnet, network.next_server);
    let set_network =
        format!("/ip dhcp-server network set [find where address={subnet}] next-server={server}");
    match plan.way {
        Way::One(arch) => {
            out.push_str("\n# boot-file-name is taken to fill the header only, where iPXE looks first; not verified.\n");
            let _ = writeln!(out, "{set_network} boot-file-name={}", q(&network.loader(arch))?);
        }
        Way::ByArch => {
            out.push_str("\n# Option 93 is the client's architecture, 67 the file it gets.\n");
            for &arch in &plan.arches {
                option_set(out, plan, arch.name(), &network.loader(arch), arch.is_http())?;
                for code in arch.codes() {
                    let (name, set) = (format!("{}-{code}", arch.name()), arch.name());
                    matcher(out, plan, &name, 93, &format!("0x{code:04x}"), set)?;
                }
            }
            let _ = writeln!(out, "{set_network} boot-file-name=\"\"");
        }
        Way::ByClass(arch) => {
            out.push_str("\n# iPXE says so in option 77 and gets the menu; the rest gets the loader.\n");
            option_set(out, plan, arch.name(), &network.loader(arch), arch.is_http())?;
            option_set(out, plan, "ipxe", network.boot_url.as_str(), false)?;
            matcher(out, plan, "ipxe", 77, IPXE, "ipxe")?;
            let set = q(&format!("{}-{}", plan.label, arch.name()))?;
            let _ = writeln!(out, "{set_network} boot-file-name=\"\" dhcp-option-set={set}");
        }
    }
    Ok(())
}

/// Option 67 as text, even for clients that do not ask for it; option 60 for UEFI HTTP boot, which
/// takes no offer without it.
fn option_set(out: &mut String, plan: &Plan, name: &str, file: &str, http: bool) -> Result<(), Problem> {
    let add = "/ip dhcp-server option add";
    let (set, bootfile) = (format!("{}-{name}", plan.label), format!("{}-bf-{name}", plan.label));
    let value = OptionText::new(file).map_err(refused)?;
    let _ = writeln!(out, "{add} name={} code=67 value={value} force=yes", q(&bootfile)?);
    let mut options = bootfile;
    if http {
        let class = format!("{}-class-{name}", plan.label);
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
    plan: &Plan,
    name: &str,
    code: u8,
    value: &str,
    set: &str,
) -> Result<(), Problem> {
    let newer = match plan.version {
        Version::V716 => " matching-type=exact comment=\"moxxie\"",
        _ => "",
    };
    let (name, set) = (q(&format!("{}-{name}", plan.label))?, q(&format!("{}-{set}", plan.label))?);
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
        let file = q(&format!("{}-{loader}", plan.label))?;
        let log = q(&format!("moxxie: {loader} was not fetched"))?;
        let failed = q(&format!(
            "moxxie: {loader} was not fetched from {origin}: see moxxie firmware list, and the free space here"
        ))?;
        let _ = writeln!(
            out,
            ":do {{ /tool fetch url={url} dst-path=($dir . {file}) }} on-error={{ :put {failed}; :log warning {log} }}"
        );
    }
    let comment = match plan.version {
        Version::V6 => String::new(),
        _ => format!(" comment={}", q(&plan.label)?),
    };
    let enabled = "[:len [/ip tftp find where disabled=no";
    let moxxies = q("^(flash/)?moxxie-")?;
    let note = q(
        "moxxie: note: other TFTP rules come before these; one that fits the same names wins. See /ip tftp print.",
    )?;
    let _ = writeln!(out, ":if ({enabled}]] > {enabled} and real-filename~{moxxies}]]) do={{ :put {note} }}");
    for loader in &plan.files {
        let (asked, file) = (q(&loader.replace('.', "\\."))?, q(&format!("{}-{loader}", plan.label))?);
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
fn leases(out: &mut String, network: &Network, plan: &Plan) -> Result<(), Problem> {
    if network.leases.is_empty() {
        return Ok(());
    }
    let _ = writeln!(
        out,
        "\n# Fixed addresses of assigned machines.\n/ip dhcp-server lease remove [find where comment~{}]",
        q(&plan.our_leases())?
    );
    for lease in &network.leases {
        // `find` compares addresses of this kind as text, in capitals.
        let (mac, address) = (lease.mac.to_string().to_ascii_uppercase(), lease.address);
        let comment = q(&format!("{}: {}", plan.label, lease.node))?;
        let theirs = q(&format!(
            "moxxie: {mac} ({}) has a lease already, which is not this script's: left alone",
            lease.node
        ))?;
        let failed = q(&format!(
            "moxxie: {mac} ({}) got no fixed address: see who has {address} in /ip dhcp-server lease print, then run this again",
            lease.node
        ))?;
        let _ = writeln!(
            out,
            ":if ([:len [/ip dhcp-server lease find where dynamic=no and mac-address=\"{mac}\" and (server=$srv or server=\"all\")]] > 0) do={{ :put {theirs} }} else={{ :do {{ /ip dhcp-server lease add server=$srv mac-address={mac} address={address} comment={comment} }} on-error={{ :put {failed} }} }}"
        );
    }
    Ok(())
}
