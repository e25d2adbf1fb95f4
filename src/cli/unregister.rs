//! `unregister`: takes a node out of the directory by hand.

use std::io;

use nym_mixnode_directory::{Client, Directory, DirectoryError, Signer, Unregistered};
use nym_mixnode_keys::store::{self, KeyFiles};

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
    /// Let programs that do not sign, such as those of 0.9.2, register this identity afterwards. Stop the node first:
    /// it takes the identity back when it is restarted.
    #[arg(long)]
    release: bool,
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
    let what = match remove(&client, &signer, args.release).await {
        Ok(Unregistered::Removed) if signs && args.release => {
            "is released: programs that do not sign can register it, until it signs again."
        }
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

async fn remove(client: &Client, signer: &Signer, releases: bool) -> Result<Unregistered, DirectoryError> {
    let identity = signer.identity();
    let proof = if releases { signer.sign_release()? } else { signer.sign_unregistration()? };
    match proof {
        Some(proof) if releases => client.release_signed(identity, &proof).await.map(|()| Unregistered::Removed),
        Some(proof) => client.unregister_signed(identity, &proof).await,
        // A directory that knows no signatures asks for none.
        None => client.unregister(identity).await,
    }
}
