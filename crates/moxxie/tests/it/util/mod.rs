//! What the tests stand on.

pub mod app;
pub mod iso;
pub mod machine;
pub mod origin;
pub mod recipes;
pub mod text;
pub mod wire;

pub use app::{Answer, Site};
pub use machine::Machine;
