//! Answers when a boot fails: symptoms with cause, check and fix; error codes of iPXE and of PXE
//! firmware; and a search over all of them. Tables and pure functions: it works without a server,
//! and on the machine of somebody who has only a photo of a screen.

pub mod ipxe;
pub mod pxe;
mod search;
mod symptoms;

pub use search::{Hit, MAX_QUERY, search};
pub use symptoms::{Symptom, all, for_dialect, symptom};
