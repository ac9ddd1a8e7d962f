//! The command line: one file for each subcommand, one tree that names them all.

pub mod apply;
pub mod approve;
pub mod asset;
pub mod assignment;
pub mod audit;
pub mod backup;
pub mod bundle;
pub mod client;
pub mod config;
pub mod doctor;
pub mod events;
pub mod explain;
pub mod export;
#[cfg(test)]
mod fake;
pub mod firmware;
pub mod input;
pub mod machine;
pub mod network_config;
pub mod out;
pub mod profile;
pub mod progress;
pub mod restore;
pub mod secrets;
pub mod serve;
pub mod token;
pub mod trouble;
pub mod when;
pub mod work;
pub mod yaml;

use clap::{Args, Parser, Subcommand};
use client::{Client, ClientError, Secret};
use out::Format;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Refused or failed.
pub const FAILED: u8 = 1;
/// Wrong usage.
pub const USAGE: u8 = 2;
/// The database belongs to a newer version.
pub const NEWER_DATABASE: u8 = 3;

/// Network boot for people who run their own metal.
#[derive(Debug, Parser)]
#[command(
    name = "moxxie",
    version,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Example:
  moxxie serve
  moxxie profile create rescue --type custom --kernel vmlinuz --initrd initrd.img
  moxxie asset upload rescue ./vmlinuz
  moxxie assignment create 5254.0012.3456 node-1 rescue
  moxxie events --follow

Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 the database belongs to a newer version."
)]
pub struct Cli {
    /// How to reach the server.
    #[command(flatten)]
    pub options: ClientOptions,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Where the server is, who asks, and how answers are printed.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Client options")]
pub struct ClientOptions {
    /// The server's address.
    #[arg(
        long,
        global = true,
        env = "MOXXIE_SERVER",
        value_name = "URL",
        default_value = "http://127.0.0.1:8080"
    )]
    pub server: String,
    /// API token [default: what is in <data-dir>/admin-token, when readable].
    #[arg(long, global = true, env = "MOXXIE_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    pub token: Option<Secret>,
    /// The data directory of a server on this machine [default: ./moxxie-data].
    #[arg(long, global = true, env = "MOXXIE_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// How results are printed: table, json or yaml.
    #[arg(long, global = true, value_name = "FORMAT", default_value = "table", hide_possible_values = true)]
    pub output: Format,
}

impl ClientOptions {
    /// The local data directory.
    pub fn data_dir(&self) -> &Path {
        self.data_dir.as_deref().unwrap_or(Path::new("./moxxie-data"))
    }

    /// The client that these options describe.
    pub fn client(&self) -> Result<Client, ClientError> {
        let local = || std::fs::read_to_string(self.data_dir().join("admin-token")).ok();
        let token = match &self.token {
            Some(token) => Some(token.clone()),
            None => local().map(|text| Secret::new(&text)),
        };
        Client::new(&self.server, token.filter(|token| !token.is_empty()))
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server.
    #[command(
        after_help = "Example:\n  moxxie serve\n  moxxie serve --listen 10.0.0.5:80 --data-dir /var/lib/moxxie"
    )]
    Serve(serve::ServeArgs),
    /// Recipes for what machines boot.
    #[command(subcommand)]
    Profile(profile::ProfileCommand),
    /// Which machine boots which profile.
    #[command(subcommand)]
    Assignment(assignment::AssignmentCommand),
    /// Let a machine boot that waits for approval.
    Approve(approve::ApproveArgs),
    /// Kernels, initrds and other files of a profile.
    #[command(subcommand)]
    Asset(asset::AssetCommand),
    /// The loaders that firmware fetches first: iPXE for every kind of machine.
    #[command(subcommand)]
    Firmware(firmware::FirmwareCommand),
    /// What a machine would boot, and why. Changes nothing.
    Explain(explain::ExplainArgs),
    /// Machines that were seen.
    #[command(subcommand)]
    Machine(machine::MachineCommand),
    /// What machines did.
    Events(events::EventsArgs),
    /// What people and tokens did.
    Audit(audit::AuditArgs),
    /// API tokens.
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// The keys that stored secrets are sealed with.
    #[command(subcommand)]
    Secrets(secrets::SecretsCommand),
    /// Bring profiles and assignments to what files say.
    Apply(apply::ApplyArgs),
    /// Print profiles and assignments as files for `apply`.
    Export(export::ExportArgs),
    /// Save the whole site to a directory.
    Backup(backup::BackupArgs),
    /// Replace the whole site by a backup.
    Restore(restore::RestoreArgs),
    /// Profiles and their files as one file, for sites without a network to the outside.
    #[command(subcommand)]
    Bundle(bundle::BundleCommand),
    /// The configuration for the site's switch or router.
    NetworkConfig(network_config::NetworkConfigArgs),
    /// Check, show and reload the settings of a server.
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Check server, token, clock and links, one line for each.
    #[command(
        after_help = "Example:\n  moxxie doctor --server http://10.0.0.5:8080\n  moxxie doctor dhcp --interface eth0\n  moxxie doctor ipxe-error 3e11623b"
    )]
    Doctor(doctor::DoctorArgs),
}

/// The exit code of a command, after its error was said on standard error.
pub fn exit(result: anyhow::Result<ExitCode>) -> ExitCode {
    let error = match result {
        Ok(code) => return code,
        Err(error) => error,
    };
    // `moxxie … | head` is no failure.
    let is_broken_pipe =
        error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe);
    if is_broken_pipe {
        return ExitCode::SUCCESS;
    }
    out::note(format!("moxxie: {error:#}"));
    match error.downcast_ref::<ClientError>() {
        Some(ClientError::Usage(_)) => ExitCode::from(USAGE),
        _ => ExitCode::from(FAILED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_tree_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example() {
        fn walk(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            if !command.has_subcommands() {
                let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(help.contains("moxxie "), "{path} has no example");
            }
            command.get_subcommands().for_each(|sub| walk(sub, &path));
        }
        walk(&Cli::command(), "");
    }

    #[test]
    fn examples_are_true() {
        fn walk(command: &clap::Command, examples: &mut Vec<String>) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            examples.extend(help.lines().filter_map(|l| l.trim().strip_prefix("moxxie ").map(str::to_owned)));
            command.get_subcommands().for_each(|sub| walk(sub, examples));
        }
        let mut examples = Vec::new();
        walk(&Cli::command(), &mut examples);
        assert!(examples.len() > 15);
        for example in examples {
            let words = example.split(['|', '>']).next().unwrap().split_whitespace();
            let words = words.map(|word| word.trim_matches('\''));
            if let Err(error) = Cli::try_parse_from(std::iter::once("moxxie").chain(words)) {
                panic!("{example}: {error}");
            }
        }
    }

    #[test]
    fn client_options_go_anywhere_and_serve_shares_the_data_directory() {
        for args in [
            ["moxxie", "--server", "http://x:1", "profile", "list"],
            ["moxxie", "profile", "list", "--server", "http://x:1"],
        ] {
            assert_eq!(Cli::try_parse_from(args).unwrap().options.server, "http://x:1");
        }
        for args in [["moxxie", "--data-dir", "/d", "serve"], ["moxxie", "serve", "--data-dir", "/d"]] {
            let Command::Serve(serve) = Cli::try_parse_from(args).unwrap().command else {
                panic!("not serve");
            };
            assert_eq!(serve.data_dir.as_deref(), Some(Path::new("/d")));
        }
        let Command::Serve(serve) = Cli::try_parse_from(["moxxie", "serve"]).unwrap().command else {
            panic!("not serve");
        };
        assert_eq!((serve.data_dir, serve.listen, serve.public_url), (None, None, None));
    }

    #[test]
    fn the_token_is_never_printed() {
        let cli = Cli::try_parse_from(["moxxie", "--token", "mox_canary", "doctor"]).unwrap();
        assert!(!format!("{cli:?}").contains("canary"));
        let error = Cli::try_parse_from(["moxxie", "--token", "mox_canary", "nonsense"]).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"));
    }

    #[test]
    fn the_local_token_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_str().unwrap();
        let client = |args: &[&str]| {
            let all = [&["moxxie", "--data-dir", path], args, &["doctor"]].concat();
            Cli::try_parse_from(all).unwrap().options.client().unwrap()
        };
        assert!(!client(&[]).has_token());
        std::fs::write(dir.path().join("admin-token"), "mox_x\n").unwrap();
        assert!(client(&[]).has_token());
        assert!(!client(&["--token", ""]).has_token());
    }
}
