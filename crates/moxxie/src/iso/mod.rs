//! ISO 9660 images: which files are in one, and where their bytes lie.
//!
//! An image is somebody else's, so reading one is bounded in every direction: bytes read, entries,
//! depth, lengths of names, and each file lies inside of the image. Nothing is ever written by a
//! name out of an image: a member is asked for by its exact path and found in the index, or not.

mod error;
mod extract;
mod images;
mod index;
mod name;
mod source;
mod walk;

pub use error::IsoError;
pub use extract::{Extracted, Wanted, extract};
pub use images::Images;
pub use index::{Extent, FindError, Index, Member};
pub use source::ReadAt;
pub use walk::{Limits, read, read_within};

use error::shown;
