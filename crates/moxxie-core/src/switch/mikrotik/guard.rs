//! What a script looks at before it changes anything: whether server, pool and network are there, and
//! what others have made that would be lost or get in the way.

use super::plan::{Plan, Version, Way};
use super::write::q;
use crate::switch::{Network, Pool, Problem};
use std::fmt::Write as _;

/// Finds server, pool and network, and stops before anything is changed.
pub fn guards(out: &mut String, network: &Network, plan: &Plan) -> Result<(), Problem> {
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
    before(out, network, plan)?;
    Ok(())
}

/// What the network says now. A boot file that is somebody else's is not taken away; the rest is
/// told, because the undo cannot know it.
fn before(out: &mut String, network: &Network, plan: &Plan) -> Result<(), Problem> {
    let (subnet, server) = (network.subnet, network.next_server);
    let get = "[:tostr [/ip dhcp-server network get $net";
    let _ = writeln!(out, ":local file {get} boot-file-name]]\n:local next {get} next-server]]");
    // Whether nothing says that an earlier run of this script wrote it, for this version or for 6.
    let rules = format!("[:len [/ip tftp find where real-filename~{}]] = 0", q(&plan.our_files())?);
    let foreign = match plan.way {
        Way::One(arch) => {
            let file = q(&network.loader(arch))?;
            format!("{rules} and !($file = {file} and $next = \"{server}\")")
        }
        _ => {
            format!("{rules} and [:len [/ip dhcp-server option find where name~{}]] = 0", q(&plan.ours())?)
        }
    };
    let has = q(&format!("moxxie: {subnet} has a boot file of its own: next-server "))?;
    let clear = q(&format!(
        ". Machines may boot by it, and this script would replace it. To let it: write both down, then /ip dhcp-server network set [find where address={subnet}] boot-file-name=\"\""
    ))?;
    let between = q(", boot-file-name ")?;
    let values = format!("$next . {between} . $file");
    let _ =
        writeln!(out, ":if ([:len $file] > 0 and {foreign}) do={{ :error ({has} . {values} . {clear}) }}");
    let was = q(&format!("moxxie: before this run {subnet} had next-server "))?;
    let _ = writeln!(out, ":local was ({was} . {values})\n:put $was\n:log info $was");
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
    let theirs = format!("disabled=no and (server=$srv or server=\"all\") and !(name~{})", q(&plan.ours())?);
    let overlap = q(
        "moxxie: another matcher looks at option 77 or 93. Two that fit one client have no order: remove or disable it; one of Moxxie's for another network, with that network's undo. See /ip dhcp-server matcher print.",
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
        q(&format!("^({}-|none$)", plan.label))?
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
