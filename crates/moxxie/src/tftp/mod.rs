//! A TFTP server that only reads, for the loaders of sites whose switch has none. What is said is
//! decided in `moxxie_core::tftp`; here are sockets, limits and files.
//!
//! Each transfer has a socket of its own, bound to the address that the request was sent to and
//! connected to the client: on a machine with several addresses an answer from another one is no
//! answer to firmware, and what anybody else sends never reaches the transfer.

mod listener;
mod seats;
mod server;
mod source;

pub use listener::Listener;
pub use seats::ALL as TRANSFERS;
pub use server::serve;
pub use source::{Loaders, Outage, Source};
