//! `gateway`: commands for a gateway, with the settings, files and interfaces of a mixnode.

mod backup;

use clap::Subcommand;
use nym_mixnode_config::Role;

use super::{Failure, doctor, health, init, keys, run, unregister};

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
    /// Remove a gateway from the network's directory
    ///
    /// Clients then choose other gateways, and messages no longer reach the clients of this one. A running gateway is not
    /// ready, and registers again when it is restarted. A gateway stopped with ctrl-c or SIGTERM unregisters itself.
    Unregister(unregister::Args),
    /// Show a gateway's public keys, back up its keys, or restore them
    ///
    /// The store of the gateway can be read only with the keys that it was written with. Without its store, a restored
    /// gateway has lost undelivered messages, and its clients register again.
    Keys(keys::Args),
    /// Copy the store, with the accounts of clients and their inboxes, to a new file, also while the gateway runs
    ///
    /// The copy is encrypted as the store is: it can be read only with the keys of the gateway. To restore both, restore
    /// the keys, put the copy in the place of data/gateway.sqlite, remove data/gateway.sqlite-wal and
    /// data/gateway.sqlite-shm, and start the gateway. Clients do not receive again what they have received since.
    Backup(backup::Args),
    /// Ask a running gateway whether it is alive and ready
    ///
    /// Prints one line. The exit code is 0 when the gateway is ready, and 1 when it is not or does not answer within 3 s.
    Health(health::Args),
    /// Check a gateway for problems that keep it from serving clients, and print how to fix them
    ///
    /// Checks the configuration, the keys, the addresses for packets and for clients, the limits, the connectivity, the
    /// directory and the registration. If the gateway was started with flags that override its file, give the same flags
    /// here. No packets are sent through a gateway.
    Doctor(doctor::Args),
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    match args.command {
        GatewayCommand::Init(args) => init::run_as(Role::Gateway, args).await,
        GatewayCommand::Run(args) => run::run_as(Role::Gateway, args).await,
        GatewayCommand::Unregister(args) => unregister::run_as(Role::Gateway, args).await,
        GatewayCommand::Keys(args) => keys::run_as(Role::Gateway, args),
        GatewayCommand::Backup(args) => backup::run(args).await,
        GatewayCommand::Health(args) => health::run_as(Role::Gateway, args).await,
        GatewayCommand::Doctor(args) => doctor::run_as(Role::Gateway, args).await,
    }
}
