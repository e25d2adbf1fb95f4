//! `unregister`: takes a node out of the directory by hand.

use std::io;

use crate::directory::{Client, Directory, DirectoryError, Unregistered};
use crate::keys::store::{self, KeyFiles};

use super::Failure;
use super::flags::NodeFlags;
use super::load::load_config;
use super::output::say;

/// Take a mixnode out of the network's directory
///
/// Its reputation is no longer measured then, and it can move to another machine. A node that is stopped with ctrl-c
/// or SIGTERM does this itself, and it registers again when it is run.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    node: NodeFlags,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let home = args.node.home()?;
    let config = load_config(&home, &args.node.id, &args.node.values())?;
    let identity = store::load_identity_public(&KeyFiles::new(home.dir(), &config.keys))?;
    let id = &args.node.id;
    let client = Client::new(&config.directory.url, &config.directory.metrics_url)?;
    let what = match client.unregister(&identity).await {
        Ok(Unregistered::Removed) => "is unregistered.",
        Ok(Unregistered::NotListed) => "was not registered; there is nothing to do.",
        Err(error @ DirectoryError::Refused { status: 403, .. }) => {
            return Err(Failure::from(error).with_advice("only the registered host may do this, so run it there"));
        }
        Err(error) => return Err(error.into()),
    };
    say(io::stdout(), format_args!("Mixnode {id} ({identity}) {what}"))
}
