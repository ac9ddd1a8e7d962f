//! TFTP as a server that only reads speaks it: packets, and one transfer as a state machine.
//! Datagrams and silence in, datagrams out; sockets and files are elsewhere.

pub mod packet;
mod transfer;

pub use transfer::{End, Event, Limits, Out, Step, Transfer};

#[cfg(test)]
mod tests;
