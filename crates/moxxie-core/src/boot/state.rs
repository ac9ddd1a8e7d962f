//! The state machine of one assignment's boot window.

/// How far a window has come.
#[derive(Debug, Clone, PartialEq)]
pub struct BootRecord {}
