//! Loading and starting a kernel.

use super::ask::READ;
use super::script::{PAUSE, TRIES};
use super::{Piece, Script, Text, Word};
use crate::boot::plan::{BootPlan, Image};

/// The name of the image that a report's answer becomes. It is freed at once: on BIOS every image
/// that is still registered at `boot` becomes part of the initrd (`src/arch/x86/image/bzimage.c`).
pub const REPORT_IMAGE: &str = "moxxie-report";

/// More bytes of kernel command line than this are refused. x86 Linux reads 2047; some others
/// read 4096.
pub const MAX_COMMAND_LINE: usize = 4096;

/// Why a plan cannot be written as a script.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BootError {
    /// More than [`MAX_COMMAND_LINE`] bytes.
    #[error(
        "the kernel command line has {0} bytes; at most {MAX_COMMAND_LINE} are possible, and x86 Linux reads only 2047"
    )]
    CommandLine(usize),
    /// Two images under one name: `initrd=` could not tell them apart.
    #[error("two files are named {0}; kernel and initrds need different names")]
    SameName(Word),
    /// iPXE does not send what stands behind `#`.
    #[error("the URL {0} contains #, which ends a URL; write %23")]
    Fragment(Word),
}

/// Fetches kernel and initrds, each in at most three tries, and starts the kernel. When that
/// fails it reports (if the plan says where), says so, waits, and comes back to `again`, the menu
/// URL with this machine's labels; if even that fails the firmware goes on to its next entry.
pub fn boot(plan: &BootPlan, title: &Text, again: &Word) -> Result<String, BootError> {
    check(plan)?;
    let mut script = Script::new();
    script
        .say(&[Piece::Fixed("Moxxie: "), Piece::Text(title)])
        // Images of earlier attempts, and this script itself, would become part of the initrd.
        .fixed("imgfree ||");
    let initrds: Vec<Piece<'_>> = plan
        .initrds
        .iter()
        // Needed by UEFI builds of 2019, harmless elsewhere. In front of the arguments, because a
        // Debian installer copies what stands behind `---` to the installed system.
        .flat_map(|i| [Piece::Fixed(" initrd="), Piece::Word(&i.name)])
        .collect();
    let arguments = plan.args.iter().flat_map(|a| [Piece::Fixed(" "), Piece::Word(a)]);
    // Everything on the kernel line: a later `imgargs` would replace it (image_cmd.c).
    let command_line: Vec<Piece<'_>> = initrds.into_iter().chain(arguments).collect();
    let report = plan.report.as_ref();
    fetch(&mut script, 0, "kernel --name=", &plan.kernel, &command_line, report);
    for (number, initrd) in (1u64..).zip(&plan.initrds) {
        fetch(&mut script, number, "initrd --name=", initrd, &[], report);
    }
    script
        .fixed("boot || goto refused")
        .fixed("goto failed")
        .fixed(":refused")
        .fixed("set why ${errno}")
        .say(&[
            Piece::Fixed("Moxxie: "),
            Piece::Word(&plan.kernel.name),
            Piece::Fixed(" does not start: error ${why}"),
        ]);
    tell(&mut script, report, "could%20not%20start%20", &plan.kernel);
    script
        .fixed(":failed")
        .fixed("imgfree ||")
        .say(&[
            Piece::Fixed("Moxxie: this boot failed. Asking the server again in "),
            Piece::Number(READ.into()),
            Piece::Fixed(" seconds; Ctrl-C asks now."),
        ])
        .wait(READ)
        .line("chain --replace --autofree -- ", &[Piece::Word(again), Piece::Fixed(" ||")])
        .say(&[Piece::Fixed("Moxxie: the server does not answer. Going on to the next boot device.")])
        .wait(PAUSE)
        .fixed("exit 1");
    Ok(script.finish())
}

fn check(plan: &BootPlan) -> Result<(), BootError> {
    let length = plan.command_line_len();
    if length > MAX_COMMAND_LINE {
        return Err(BootError::CommandLine(length));
    }
    let mut names: Vec<String> = vec![REPORT_IMAGE.into()];
    for image in std::iter::once(&plan.kernel).chain(&plan.initrds) {
        // UEFI looks files up without regard to case (src/interface/efi/efi_file.c).
        let name = image.name.as_str().to_ascii_lowercase();
        if names.contains(&name) {
            return Err(BootError::SameName(image.name.clone()));
        }
        names.push(name);
        no_fragment(&image.url)?;
    }
    plan.report.as_ref().map_or(Ok(()), no_fragment)
}

fn no_fragment(url: &Word) -> Result<(), BootError> {
    if url.as_str().contains('#') { Err(BootError::Fragment(url.clone())) } else { Ok(()) }
}

/// One file: at most [`TRIES`] tries. Labels are numbered, never named after the file.
fn fetch(
    script: &mut Script,
    number: u64,
    command: &'static str,
    image: &Image,
    rest: &[Piece<'_>],
    report: Option<&Word>,
) {
    let n = Piece::Number(number);
    let name = Piece::Word(&image.name);
    // `--name=x` in one word and `--` before the URL: neither can be taken for an option.
    let mut line = vec![name, Piece::Fixed(" -- "), Piece::Word(&image.url)];
    line.extend_from_slice(rest);
    line.extend([Piece::Fixed(" && goto done"), n, Piece::Fixed(" ||")]);
    script
        .fixed("set try 1")
        .line(":get", &[n])
        .line(command, &line)
        .fixed("set why ${errno}")
        // A file that arrived but is no kernel stays registered; a second one must not join it.
        .line("imgfree -- ", &[name, Piece::Fixed(" ||")])
        .say(&[
            Piece::Fixed("Moxxie: could not load "),
            name,
            Piece::Fixed(" (error ${why}), try ${try} of "),
            Piece::Number(TRIES.into()),
        ])
        .say(&[Piece::Fixed("  "), Piece::Word(&image.url)])
        .count_try(&[Piece::Fixed("lost"), n], &[Piece::Fixed("get"), n], PAUSE)
        .line(":lost", &[n]);
    tell(script, report, "could%20not%20load%20", image);
    script.fixed("goto failed").line(":done", &[n]);
}

/// Reports a failure to the server, if the boot has a session. Never holds the machine up for
/// long, never fails, and leaves no image behind.
fn tell(script: &mut Script, report: Option<&Word>, what: &'static str, image: &Image) {
    let Some(url) = report else { return };
    let separator = if url.as_str().contains('?') { "&" } else { "?" };
    script
        .line(
            "imgfetch --timeout 10000 --name moxxie-report -- ",
            &[
                Piece::Word(url),
                Piece::Fixed(separator),
                Piece::Fixed("stage=progress&message=iPXE%20"),
                Piece::Fixed(what),
                Piece::Slug(&image.name),
                Piece::Fixed(",%20error%20${why} ||"),
            ],
        )
        .fixed("imgfree moxxie-report ||");
}
