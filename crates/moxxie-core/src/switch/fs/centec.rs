//! Centec style: S5800, S5850. No source has the words for DHCP or edge ports, so nothing is made up.

use super::{Family, Job, Lines, Problem};

pub(super) static FAMILY: Family = Family {
    name: "centec",
    title: "FS.com S5800, S5850 (Centec style)",
    mark: "!",
    ports: (&["eth-"], "eth-0-1"),
    write,
};

fn write(job: &Job<'_>, lines: &mut Lines) -> Result<(), Problem> {
    job.refuse_pool()?;
    super::guide::by_hand(job, "!", lines);
    super::guide::ports_by_hand(job, "!", lines);
    lines.remark("!", "A port here is interface eth-0-1, and VLANs stand in vlan database.");
    lines.verify.push("show running-config".into());
    Ok(())
}
