//! PicOS: `set` and `commit`. The relay's words are in two independent public sources; those for a
//! DHCP server or edge ports in none.

use super::{Family, Job, Lines, Mode, Problem, word};
use std::fmt::Write as _;

pub(super) static FAMILY: Family = Family {
    name: "picos",
    title: "FS.com N series and others with PicOS",
    mark: "#",
    ports: (&["ge-", "te-", "qe-", "xe-", "ae", "vlan"], "te-1/1/1"),
    write,
};

fn write(job: &Job<'_>, lines: &mut Lines) -> Result<(), Problem> {
    job.refuse_pool()?;
    if job.mode != Mode::Relay {
        super::guide::by_hand(job, "#", lines);
        super::guide::ports_by_hand(job, "#", lines);
        lines.verify.push("the lines about DHCP, with show in configuration mode".into());
        return Ok(());
    }
    // As it was written, or as it is usually called.
    let named = job.network.interface.as_ref().map(|name| name.as_str().to_owned());
    let called = named.filter(|name| name.to_ascii_lowercase().starts_with("vlan"));
    let Some(interface) = called.or_else(|| job.vlan.map(|vlan| format!("vlan{vlan}"))) else {
        return Err(Problem::new(
            "vlan",
            "is needed, such as vlan=10, or interface=vlan10: PicOS relays for one VLAN's interface at a time",
        ));
    };
    let interface = word("interface", &interface)?;
    lines.warn(format!(
        "the VLAN's interface is taken to be called {interface} and to have the address {}: compare with the running configuration, and give interface= for another name",
        job.network.gateway
    ));
    let path = format!("protocols dhcp relay interface {interface}");
    let _ = writeln!(lines.script, "set ip routing enable true\nset {path} disable false");
    for helper in &job.helpers {
        let _ = writeln!(lines.script, "set {path} dhcp-server-address {helper}");
    }
    let _ = writeln!(lines.script, "set {path} relay-agent-address {}\ncommit", job.network.gateway);
    let _ = writeln!(lines.undo, "set {path} disable true\ncommit");
    let text = "The relay's lines stay, turned off. What stood there before, and whether routing was on, is not known here.";
    lines.undo.push_str(&crate::switch::comment_block("#", text));
    lines.remark("#", "Paste the lines that begin with set or commit, in configuration mode.");
    super::guide::ports_by_hand(job, "#", lines);
    lines.verify.push("the relay's lines, with show in configuration mode".into());
    Ok(())
}
