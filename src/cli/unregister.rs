//! `unregister`: takes a node out of the directory by hand.

use std::io;

use crate::directory::{Client, Directory, DirectoryError, Signer, Unregistered};
use crate::keys::store::{self, KeyFiles};

use super::Failure;
use super::flags::NodeFlags;
use super::load::load_config;
use super::output::say;

/// Take a mixnode out of the network's directory
///
/// Its reputation is no longer measured then, and it can move to another machine. A node that still runs keeps mixing,
/// is not ready, and registers again when it is restarted. A node that is stopped with ctrl-c or SIGTERM unregisters
/// itself.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    node: NodeFlags,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let home = args.node.home()?;
    let config = load_config(&home, &args.node.id, &args.node.values())?;
    let keys = store::load(&KeyFiles::new(home.dir(), &config.keys))?;
    let id = &args.node.id;
    let identity = &keys.identity_public;
    let client = Client::new(&config.directory.url, &config.directory.metrics_url)?;
    let signer = Signer::of_config(&keys, &config.directory)?;
    let signs = signer.ask(&client, true).await?;
    let unregistered = match signer.sign_unregistration()? {
        Some(proof) => client.unregister_signed(identity, &proof).await,
        None => client.unregister(identity).await,
    };
    let what = match unregistered {
        Ok(Unregistered::Removed) if signs => {
            "is unregistered. If it still runs, it stays unregistered until it is restarted."
        }
        Ok(Unregistered::Removed) => {
            "is unregistered. This directory knows no signatures, so a node that still runs registers again: stop it first."
        }
        Ok(Unregistered::NotListed) => "was not registered; there is nothing to do.",
        Err(error @ DirectoryError::Refused { status: 403, .. }) if !signs => {
            return Err(Failure::from(error).with_advice("only the registered host may do this, so run it there"));
        }
        Err(error) => return Err(error.into()),
    };
    say(io::stdout(), format_args!("Mixnode {id} ({identity}) {what}"))
}
