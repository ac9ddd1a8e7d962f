//! Temporary.
use clap::Parser;
#[derive(Parser)]
enum C { Serve(moxxie::cli::serve::ServeArgs) }
#[tokio::main]
async fn main() -> std::process::ExitCode {
    let C::Serve(a) = C::parse();
    match moxxie::cli::serve::run(a).await { Ok(c) => c, Err(e) => { eprintln!("{e:#}"); 1.into() } }
}
