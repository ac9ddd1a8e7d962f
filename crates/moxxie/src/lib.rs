//! What Moxxie *does*: the server, the command line, and the composition of both.

pub mod app;
pub mod boots;
pub mod cli;
pub mod clock;
pub mod compose;
pub mod config;
pub mod downloads;
pub mod events;
pub mod feed;
pub mod firstrun;
pub mod http;
pub mod import;
pub mod iso;
pub mod limits;
pub mod openapi;
pub mod scrub;
pub mod serve;
pub mod server;
pub mod shelf;
pub mod snapshot;
pub mod telemetry;
pub mod uploads;
pub mod watch;
pub mod waves;
