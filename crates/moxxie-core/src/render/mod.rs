//! Operators' templates.
