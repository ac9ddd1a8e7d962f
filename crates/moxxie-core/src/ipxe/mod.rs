//! iPXE text that is safe by construction.
//!
//! iPXE has no quoting. It splits a line into words at blanks, *then* expands `${…}` again and
//! again, and reads `||`, `&&`, `;` and `#` as syntax (`src/core/exec.c`, `src/image/script.c`,
//! `expand_settings` in `src/core/settings.c`). A value that breaks out of its place runs as a
//! command on a machine that is about to install an operating system. So values enter a script
//! only as one of two types that cannot break out:
//!
//! * [`Word`]: one word, refused when it could be read as anything else;
//! * [`Text`]: a sentence for people, changed until it is harmless.
//!
//! Everything else in a script is a literal of this crate ([`Piece::Fixed`]). The functions here
//! return whole scripts; [`interpreter`] reads them back as iPXE would and is what tests ask.

mod approve;
mod ask;
mod boot;
pub mod interpreter;
mod local;
mod menu;
pub mod script;
pub mod text;
mod wait;
pub mod word;

pub use approve::{Held, approve, frozen};
pub use ask::{autoexec, hold, identify};
pub use boot::{BootError, REPORT_IMAGE, boot};
pub use local::{failed, local_disk};
pub use menu::{Menu, MenuItem, menu};
pub use script::{Piece, Script};
pub use text::Text;
pub use wait::{WAITING_TRIES, Wait, wait};
pub use word::{Word, WordError};
