//! Booting from the machine's own disk.

use super::{Piece, Script, Text};
use crate::profile::LocalBoot;

/// Says who the machine is, why it boots its own disk and what happens next, and does it.
/// `None` for [`LocalBoot::NotFound`], whose answer is not a script but HTTP status 404.
pub fn local_disk(how: LocalBoot, why: &Text, who: &Text) -> Option<String> {
    if how == LocalBoot::NotFound {
        return None;
    }
    let mut script = Script::new();
    script
        .say(&[Piece::Fixed("Moxxie: "), Piece::Text(who)])
        .say(&[Piece::Fixed("Reason: "), Piece::Text(why)])
        .say(&[Piece::Fixed("Next: this machine boots from its own disk.")]);
    from_disk(&mut script, how);
    Some(script.finish())
}

/// A refusal that can be read, and then the local disk.
pub fn failed(message: &Text, local: LocalBoot) -> String {
    let mut script = Script::new();
    script
        .say(&[Piece::Fixed("Moxxie: "), Piece::Text(message)])
        .say(&[Piece::Fixed("Next: this machine boots from its own disk.")])
        .wait(10);
    from_disk(&mut script, local);
    script.finish()
}

/// The last lines of a script that ends at the local disk.
pub(super) fn from_disk(script: &mut Script, how: LocalBoot) {
    match how {
        // On UEFI an exit without a status stops in the set-up menu; with status 1 the firmware
        // goes on to its next boot entry. BIOS goes on either way, but may have nothing behind the
        // network, so its first disk is tried first.
        LocalBoot::Auto => script
            .fixed("iseq ${platform} efi && exit 1 ||")
            .fixed("sanboot --no-describe --drive 0x80 || exit 1"),
        LocalBoot::Exit => script.fixed("exit"),
        LocalBoot::Sanboot => script.fixed("sanboot --no-describe --drive 0x80 || exit 1"),
        // Inside a script the nearest thing to a 404 is to fail.
        LocalBoot::NotFound => script.fixed("exit 1"),
    };
}
