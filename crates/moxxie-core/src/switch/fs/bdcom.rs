//! BDCOM style: S3400, S3700. No source has the words for DHCP or edge ports, so nothing is made up.

use super::{Family, Job, Lines, Problem};

pub(super) static FAMILY: Family = Family {
    name: "bdcom",
    title: "FS.com S3400, S3700 (BDCOM style)",
    mark: "!",
    ports: (&["g", "tg", "f"], "g0/1"),
    write,
};

fn write(job: &Job<'_>, lines: &mut Lines) -> Result<(), Problem> {
    job.refuse_pool()?;
    super::guide::by_hand(job, "!", lines);
    super::guide::ports_by_hand(job, "!", lines);
    lines.remark("!", "A port here is interface g0/1, and write all saves. MSTP is on by default.");
    lines.verify.push("show running-config".into());
    Ok(())
}
