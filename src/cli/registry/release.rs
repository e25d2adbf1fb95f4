//! `nym-mixnode registry release`: allows unsigned calls again for an identity that has signed.

use std::io;
use std::path::PathBuf;

use nym_mixnode_api::signing;
use nym_mixnode_config::http_url;
use nym_mixnode_directory::{Client, MonitorToken};
use url::Url;

use super::{RegistryCommandError, TOKEN_FILE, store_path};
use crate::cli::output::print_to;

/// Remove the entry of an identity, and accept unsigned calls for it again
///
/// An identity that has signed a call must sign all later ones, so release 0.9.2 cannot register it. After the
/// release it can, and other nodes can use its addresses. Stop its node first: a node that signs claims the identity
/// again when it is restarted. The identity's owner needs no token: `nym-mixnode unregister --release`.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ReleaseArgs {
    /// Identity key in base58.
    #[arg(value_name = "IDENTITY", value_parser = identity)]
    identity: String,
    /// URL of the registry.
    #[arg(long, value_name = "URL", value_parser = http_url, default_value = "http://127.0.0.1:8081")]
    directory: Url,
    /// File with the registry's token [default: ~/.nym/registry/monitor.token].
    #[arg(long, value_name = "FILE")]
    monitor_token_file: Option<PathBuf>,
}

pub(super) async fn run(args: ReleaseArgs) -> Result<(), RegistryCommandError> {
    let ReleaseArgs { identity, directory, monitor_token_file } = args;
    let token_file = match monitor_token_file {
        Some(file) => file,
        None => store_path(None)?.with_file_name(TOKEN_FILE),
    };
    let token = MonitorToken::read(&token_file)?;
    Client::new(&directory, &directory)?.release(&identity, &token).await?;
    // The identity is released even if the output cannot be written.
    let line = format_args!("{identity} is released: the registry accepts unsigned calls for it until it signs again");
    print_to(io::stdout(), line).ok();
    Ok(())
}

/// Parses base58 of 32 bytes.
fn identity(text: &str) -> Result<String, String> {
    match signing::decode::<32>(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err("not an identity key (32 bytes in base58); `nym-mixnode keys show` prints it".to_owned()),
    }
}
