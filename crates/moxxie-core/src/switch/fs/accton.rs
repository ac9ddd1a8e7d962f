//! Accton style: S3900. Sourced are the words for ports; those for a relay or a pool are not.

use super::rgos::{Words, ports};
use super::{Family, Job, Lines, Problem};

pub(super) static FAMILY: Family = Family {
    name: "accton",
    title: "FS.com S3900 (Accton style)",
    mark: "!",
    ports: (&["ethernet"], "ethernet 1/1"),
    write,
};

fn write(job: &Job<'_>, lines: &mut Lines) -> Result<(), Problem> {
    job.refuse_pool()?;
    super::guide::by_hand(job, "!", lines);
    lines.verify.push("show running-config".into());
    ports(job, &Words { edge: "spanning-tree edgeport", trust: "dhcp snooping trust" }, lines);
    lines.configure("configure");
    Ok(())
}
