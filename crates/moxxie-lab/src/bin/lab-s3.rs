//! An S3 server for scripts: prints how to reach it, and runs until SIGTERM; then it says how many
//! reads it answered, and with how many bytes.
//!
//! It never ends by itself: a script lets it write into a file, waits for the line with
//! `MOXXIE_ASSETS_URL`, and reads the file with `.`.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> ExitCode {
    let usage = "usage: lab-s3 [--listen 127.0.0.1:0] --dir DIR";
    let mut listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut dir = None;
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match (word.as_str(), words.next()) {
            ("--listen", Some(address))
                if address.parse::<SocketAddr>().is_ok_and(|a| a.ip().is_loopback()) =>
            {
                listen = address.parse().unwrap_or(listen);
            }
            ("--dir", Some(path)) => dir = Some(PathBuf::from(path)),
            _ => return fail(usage),
        }
    }
    let Some(dir) = dir else { return fail(usage) };
    let server = match lab::s3::TestS3::at(listen, &dir).await {
        Ok(server) => server,
        Err(error) => return fail(&format!("lab-s3: {error}")),
    };
    let mut out = std::io::stdout().lock();
    for (name, value) in server.env() {
        let _ = writeln!(out, "export {name}={value}");
    }
    let _ = writeln!(out, "export MOXXIE_ASSETS_URL=s3://{}/assets", lab::s3::BUCKET);
    let _ = out.flush();
    let Ok(mut term) = signal(SignalKind::terminate()) else { return fail("lab-s3: no signals here") };
    term.recv().await;
    let _ = writeln!(out, "# {} reads, {} bytes", server.count("GET"), server.sent());
    ExitCode::SUCCESS
}

fn fail(text: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "{text}");
    ExitCode::from(2)
}
