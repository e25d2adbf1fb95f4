//! `gateway backup`: copies the store of a gateway, also while it runs.

use std::io;
use std::path::PathBuf;

use nym_mixnode_config::Role;
use nym_mixnode_gateway::store::{BackupError, back_up};

use crate::cli::flags::NodeFlags;
use crate::cli::output::print_to;
use crate::cli::{Exit, Failure};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file to write, which must not exist
    file: PathBuf,
    #[command(flatten)]
    node: NodeFlags,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let store = args.node.home_of(Role::Gateway)?.store_file();
    back_up(&store, &args.file).await?;
    // The copy exists even if the output cannot be written.
    print_to(io::stdout(), format_args!("{} is a copy of {}", args.file.display(), store.display())).ok();
    Ok(())
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        let exit = if matches!(error, BackupError::Missing(_)) { Exit::CONFIG } else { Exit::CANNOT_CREATE };
        Self::new(exit, error)
    }
}
