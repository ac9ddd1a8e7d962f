//! What Moxxie *is*: identities, profiles, assignments, the one boot decision and its state
//! machine, iPXE text that is safe by construction, platforms and template rendering.
//!
//! Values in, values out. Nothing here reads a clock, draws a random number, opens a file or
//! awaits: time and chance arrive as arguments, so every rule can be tested as a table.

pub mod access;
pub mod asset;
pub mod assignment;
pub mod audit;
pub mod boot;
pub mod forwarded;
pub mod ipxe;
mod keyed;
pub mod keyring;
pub mod limit;
pub mod loader;
pub mod mac;
pub mod machine;
pub mod media;
pub mod name;
pub mod net;
pub mod params;
pub mod platform;
pub mod profile;
pub mod proxy;
pub mod render;
pub mod seal;
pub mod secret;
pub mod site;
pub mod switch;
pub mod tftp;
pub mod time;
pub mod token;
pub mod trouble;
