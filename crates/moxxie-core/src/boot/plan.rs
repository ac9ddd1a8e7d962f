//! What a machine is told to load.

use crate::ipxe::Word;

/// A file that iPXE fetches, under the name the kernel line refers to it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The name iPXE knows it by (`--name`), which `initrd=` repeats.
    pub name: Word,
    /// Where from.
    pub url: Word,
}

/// A boot, ready to be written as a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootPlan {
    /// The kernel.
    pub kernel: Image,
    /// Initrds in the order they are concatenated.
    pub initrds: Vec<Image>,
    /// Kernel arguments, without the `initrd=` ones, which the script adds.
    pub args: Vec<Word>,
    /// Where the script reports a failed fetch, when the boot has a session: a URL that
    /// `&stage=…&message=…` may be appended to.
    pub report: Option<Word>,
}

impl BootPlan {
    /// Length in bytes of the command line that the kernel receives.
    pub fn command_line_len(&self) -> usize {
        let args: usize = self.args.iter().map(|w| w.as_str().len() + 1).sum();
        let initrds: usize = self.initrds.iter().map(|i| i.name.as_str().len() + 8).sum();
        args + initrds
    }
}
