//! The `moxxie` binary: reads the command line and calls what it names.

use clap::Parser as _;
use moxxie::cli::{self, Cli, Command};
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { options, command } = Cli::parse();
    let result = match command {
        Command::Serve(args) => cli::serve::run(args).await,
        Command::Profile(args) => cli::profile::run(&options, args).await,
        Command::Assignment(args) => cli::assignment::run(&options, args).await,
        Command::Asset(args) => cli::asset::run(&options, args).await,
        Command::Explain(args) => cli::explain::run(&options, args).await,
        Command::Machine(args) => cli::machine::run(&options, args).await,
        Command::Events(args) => cli::events::run(&options, args).await,
        Command::Audit(args) => cli::audit::run(&options, args).await,
        Command::Token(args) => cli::token::run(&options, args).await,
        Command::Apply(args) => cli::apply::run(&options, args).await,
        Command::Export(args) => cli::export::run(&options, args).await,
        Command::Backup(args) => cli::backup::run(&options, args).await,
        Command::Restore(args) => cli::restore::run(&options, args).await,
        Command::Bundle(args) => cli::bundle::run(&options, args).await,
        Command::NetworkConfig(args) => cli::network_config::run(&options, args).await,
        Command::Doctor => cli::doctor::run(&options).await,
    };
    cli::exit(result)
}
