//! The reader of images, without what takes files out of them.

#[path = "../../crates/moxxie/src/iso/error.rs"]
mod error;
#[path = "../../crates/moxxie/src/iso/index.rs"]
mod index;
#[path = "../../crates/moxxie/src/iso/name.rs"]
mod name;
#[path = "../../crates/moxxie/src/iso/source.rs"]
mod source;
#[path = "../../crates/moxxie/src/iso/walk.rs"]
mod walk;

pub use error::IsoError;
use error::shown;
pub use walk::read;
