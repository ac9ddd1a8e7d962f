//! The `moxxie` binary: reads the command line and calls what it names.

use clap::Parser as _;
use moxxie::cli::{self, Cli, Command};
use std::process::ExitCode;

/// After so many turns a thread looks for new connections and for what the network has to say. A
/// turn can be megabytes of a file, so tokio's own 61 would let menus wait behind downloads.
const TURNS: u32 = 8;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    match runtime.enable_all().event_interval(TURNS).global_queue_interval(TURNS).build() {
        // On a thread of the runtime, so that what it spawns queues with everything else there.
        Ok(runtime) => match runtime.block_on(runtime.spawn(run(cli))) {
            Ok(code) => code,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(error) => cli::exit(Err(error.into())),
            },
        },
        Err(error) => cli::exit(Err(error.into())),
    }
}

async fn run(cli: Cli) -> ExitCode {
    let Cli { options, command } = cli;
    let result = match command {
        Command::Serve(args) => cli::serve::run(args).await,
        Command::Profile(args) => cli::profile::run(&options, args).await,
        Command::Assignment(args) => cli::assignment::run(&options, args).await,
        Command::Asset(args) => cli::asset::run(&options, args).await,
        Command::Explain(args) => cli::explain::run(&options, args).await,
        Command::Machine(args) => cli::machine::run(&options, args).await,
        Command::Events(args) => cli::events::run(&options, args).await,
        Command::Approve(args) => cli::approve::run(&options, args).await,
        Command::Audit(args) => cli::audit::run(&options, args).await,
        Command::Token(args) => cli::token::run(&options, args).await,
        Command::Secrets(args) => cli::secrets::run(&options, args).await,
        Command::Apply(args) => cli::apply::run(&options, args).await,
        Command::Export(args) => cli::export::run(&options, args).await,
        Command::Backup(args) => cli::backup::run(&options, args).await,
        Command::Restore(args) => cli::restore::run(&options, args).await,
        Command::Bundle(args) => cli::bundle::run(&options, args).await,
        Command::NetworkConfig(args) => cli::network_config::run(&options, args).await,
        Command::Config(args) => cli::config::run(&options, args).await,
        Command::Doctor(args) => cli::doctor::run(&options, args).await,
    };
    cli::exit(result)
}
