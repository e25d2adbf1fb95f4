//! `unregister`: removes a node from the directory.

use std::io;

use nym_mixnode_config::Role;
use nym_mixnode_directory::{Client, ClientLimits, Directory, DirectoryError, Signer, Unregistered};
use nym_mixnode_keys::{KeyFiles, store};

use super::Failure;
use super::flags::{NodeFlags, OverrideFlags};
use super::load::Sources;
use super::output::print_to;

/// Remove a mixnode from the network's directory
///
/// The directory then stops measuring its reputation, and the node can move to another machine. A running node keeps
/// mixing, is not ready, and registers again when it is restarted. A node stopped with ctrl-c or SIGTERM unregisters
/// itself.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    node: NodeFlags,
    /// Let programs that do not sign, such as those of 0.9.2, register this identity afterwards. Stop the node first:
    /// it claims the identity again when it is restarted.
    #[arg(long)]
    release: bool,
    #[command(flatten)]
    settings: OverrideFlags,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    run_as(Role::Mixnode, args).await
}

/// Unregisters a node of this role.
pub(super) async fn run_as(role: Role, args: Args) -> Result<(), Failure> {
    let home = args.node.home_of(role)?;
    let mut sources = Sources::read(&home, &args.node.id, &args.settings.values(&args.node));
    args.settings.move_port(&mut sources);
    let config = sources.config()?;
    let keys = store::load(&KeyFiles::new(home.dir(), &config.keys))?;
    let id = &args.node.id;
    let identity = &keys.identity_public;
    let client = Client::of(&config.directory, ClientLimits::default())?;
    let signer = Signer::of_config(&keys, &config.directory)?;
    let signs = signer.ask(&client, true).await?;
    let what = match remove(&client, &signer, args.release).await {
        Ok(Unregistered::Removed) if signs && args.release => {
            "is released: programs that do not sign can register it, until it signs again."
        }
        Ok(Unregistered::Removed) if signs => {
            "is unregistered. If it still runs, it notices at its next refresh, and stays unregistered until it is restarted."
        }
        Ok(Unregistered::Removed) => {
            "is unregistered. This directory checks no signatures, so a running node registers again: stop it first."
        }
        Ok(Unregistered::NotListed) => "was not registered; there is nothing to do.",
        Err(error @ DirectoryError::Refused { status: 403, .. }) if !signs => {
            return Err(Failure::from(error).with_advice("only the registered host may unregister it: run this there"));
        }
        Err(error) => return Err(error.into()),
    };
    print_to(io::stdout(), format_args!("{} {id} ({identity}) {what}", role.title()))
}

async fn remove(client: &Client, signer: &Signer, releases: bool) -> Result<Unregistered, DirectoryError> {
    let identity = signer.identity();
    let proof = if releases { signer.sign_release()? } else { signer.sign_unregistration()? };
    match proof {
        Some(proof) if releases => client.release_signed(identity, &proof).await.map(|()| Unregistered::Removed),
        proof => client.unregister(identity, proof.as_ref()).await,
    }
}
