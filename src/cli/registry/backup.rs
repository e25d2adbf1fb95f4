//! `nym-mixnode registry backup`: copies the store, also while the registry runs.

use std::io;
use std::path::PathBuf;

use nym_mixnode_registry::backup;

use super::{RegistryCommandError, store_path};
use crate::cli::output::print_to;

/// Copy the store to a new file, also while the registry runs
///
/// The copy contains the private key of the registry: only its owner can read it. To restore it, stop the registry, put
/// the copy in the place of registry.sqlite, remove registry.sqlite-wal and registry.sqlite-shm, and start the registry. A
/// PostgreSQL database has tools of its own, such as `pg_dump`.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct BackupArgs {
    /// New file for the copy.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// File of the store, or its folder [default: ~/.nym/registry/registry.sqlite].
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
}

pub(super) async fn run(args: BackupArgs) -> Result<(), RegistryCommandError> {
    let store = store_path(args.data)?;
    backup(&store, &args.file).await?;
    // The copy exists even if the output cannot be written.
    print_to(io::stdout(), format_args!("{} is a copy of {}", args.file.display(), store.display())).ok();
    Ok(())
}
