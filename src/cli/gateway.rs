//! `gateway`: commands for a gateway, with the settings, files and interfaces of a mixnode.

use clap::Subcommand;
use nym_mixnode_config::Role;

use super::{Failure, init, run};

/// Create and run a gateway, which connects clients with the mix network and keeps their messages while they are away
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: GatewayCommand,
}

#[derive(Debug, Subcommand)]
enum GatewayCommand {
    /// Initialise a gateway: create its keys and its configuration file
    ///
    /// Everything is created in ~/.nym/gateways/ID/, or nothing at all. Existing keys are never replaced: those of a
    /// gateway of 0.9.2 are taken over. Its clients register again.
    #[command(
        after_help = "Defaults:\n  port 1789 for packets, 9000 for clients, on all addresses of this machine\n  \
        announced: the listening addresses, or, if others cannot reach them, what `detect` finds\n\n\
        Examples:\n  \
        nym-mixnode gateway init --id home --validator http://167.70.75.1:8081\n  \
        nym-mixnode gateway init --id home --host 10.126.5.7 --announce-host 36.68.243.18\n  \
        nym-mixnode gateway init --id home --gateway-announce-url ws://gateway.example:9000"
    )]
    Init(init::Args),
    /// Run an initialised gateway
    ///
    /// It registers once it listens. On ctrl-c or SIGTERM it unregisters, puts undelivered messages into inboxes, and
    /// stops; a second signal stops it at once. Flags override the configuration file for this run.
    Run(run::Args),
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    match args.command {
        GatewayCommand::Init(args) => init::run_as(Role::Gateway, args).await,
        GatewayCommand::Run(args) => run::run_as(Role::Gateway, args).await,
    }
}
