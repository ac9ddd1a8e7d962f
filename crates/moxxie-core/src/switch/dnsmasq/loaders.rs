//! The TFTP folder of a device: which files belong into it, and a shell script that fetches them.

use crate::switch::{NameError, Network, Tftp, comment_block};
use std::fmt;
use std::net::Ipv4Addr;

/// A word that a POSIX shell takes as it is: in single quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShellWord(String);

impl ShellWord {
    /// Any printable ASCII text.
    pub(crate) fn new(text: &str) -> Result<ShellWord, NameError> {
        match text.chars().find(|c| !(' '..='~').contains(c)) {
            Some(wrong) => Err(NameError(format!("{wrong:?} cannot stand in a shell command here"))),
            None => Ok(ShellWord(format!("'{}'", text.replace('\'', r"'\''")))),
        }
    }
}

impl fmt::Display for ShellWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What `next_server=` means to every device with dnsmasq in it.
pub(crate) const MEANS_NEXT_SERVER: &str =
    "the TFTP server's address; default: the device itself, or Moxxie with tftp=moxxie";

/// Whether the device's own dnsmasq is the TFTP server: with `tftp=switch`, unless `next_server`
/// names one, be it the default.
pub(crate) fn is_own(network: &Network) -> bool {
    network.tftp == Tftp::Switch && !network.next_server_given
}

/// Whether that server has anything to hand out: UEFI HTTP boot fetches from Moxxie.
pub(crate) fn needed(network: &Network) -> bool {
    is_own(network) && network.arches.iter().any(|arch| !arch.is_http())
}

/// Who hands out loaders, as `dhcp-boot` wants it: nobody named is dnsmasq's own address, whichever
/// of the device's that is.
pub(crate) fn server(network: &Network) -> Option<Ipv4Addr> {
    (!is_own(network)).then_some(network.next_server)
}

/// Shell commands that fill `folder` from Moxxie, each with `sudo` before it where the shell is not
/// root's. A file appears under its name only when it is whole; running this again fetches newer
/// loaders. They end no shell, because they are pasted into one: `missing` says whether one is.
pub(crate) fn fetch(network: &Network, folder: &str, sudo: &str, get: &str) -> Result<String, NameError> {
    let (before, steps) = fetching(network, folder, sudo, get)?;
    Ok(format!("{before}{steps}done\n"))
}

/// [`fetch`] in two parts, up to the loop's first line and its steps without `done`, for who has more to do there.
pub(crate) fn fetching(
    network: &Network,
    folder: &str,
    sudo: &str,
    get: &str,
) -> Result<(String, String), NameError> {
    let names: Result<Vec<String>, NameError> =
        network.files(&network.arches).iter().map(|file| Ok(ShellWord::new(file)?.to_string())).collect();
    let names = names?.join(" ");
    let origin = ShellWord::new(&format!("{}/boot/firmware/", network.boot_url.origin()))?;
    let folder = ShellWord::new(folder)?;
    let before = format!(
        "folder={folder}\n\
         missing=\n\
         {sudo}mkdir -p \"$folder\"\n\
         for file in {names}; do\n"
    );
    let steps = format!(
        "    if {sudo}{get} \"$folder/$file.part\" {origin}\"$file\"; then\n        \
         {sudo}mv \"$folder/$file.part\" \"$folder/$file\"\n    \
         else\n        \
         {sudo}rm -f \"$folder/$file.part\"\n        \
         missing=1\n        \
         echo \"moxxie: $file was not fetched\" >&2\n    \
         fi\n"
    );
    Ok((before, steps))
}

/// [`fetch`] as a file of its own, which fails when a file was not fetched.
pub(crate) fn companion(network: &Network, folder: &str) -> Result<(String, String), NameError> {
    let about = "Fetches the loaders from Moxxie into dnsmasq's TFTP folder. Run it as root, and again after moxxie firmware import.";
    let fetch = fetch(network, folder, "", "curl -fsS -o")?;
    let text = format!("#!/bin/sh\n{}{fetch}[ -z \"$missing\" ] || exit 1\n", comment_block("#", about));
    Ok(("moxxie-loaders.sh".to_owned(), text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// One word as POSIX sh reads it, of single quotes and backslashes (2.2.1, 2.2.2).
    fn read(word: &str) -> Option<String> {
        let (mut text, mut chars) = (String::new(), word.chars());
        while let Some(c) = chars.next() {
            match c {
                '\'' => loop {
                    match chars.next()? {
                        '\'' => break,
                        c => text.push(c),
                    }
                },
                '\\' => text.push(chars.next()?),
                c if c.is_ascii_alphanumeric() => text.push(c),
                _ => return None,
            }
        }
        Some(text)
    }

    proptest! {
        #[test]
        fn a_shell_reads_back_what_was_put_in(text in "[ -~]{0,40}") {
            prop_assert_eq!(read(&ShellWord::new(&text).unwrap().to_string()), Some(text));
        }

        #[test]
        fn what_is_not_printable_is_refused(before in "[ -~]{0,5}", wrong in "[^ -~]") {
            let text = format!("{before}{wrong}");
            prop_assert!(ShellWord::new(&text).is_err());
        }
    }
}
