//! `nym-mixnode registry remove` and `registry release`: what the operator of a running registry does to an entry.

use std::io;
use std::path::PathBuf;

use nym_mixnode_api::signing;
use nym_mixnode_config::http_url;
use nym_mixnode_directory::{Client, ClientLimits, MonitorToken};
use url::Url;

use super::{RegistryCommandError, TOKEN_FILE, store_path};
use crate::cli::ca_file::CaFileFlag;
use crate::cli::output::print_to;

// Without a comment for users: each command has its own.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct OperatorArgs {
    /// Identity key in base58.
    #[arg(value_name = "IDENTITY", value_parser = identity)]
    identity: String,
    /// URL of the registry.
    #[arg(long, value_name = "URL", value_parser = http_url, default_value = "http://127.0.0.1:8081")]
    directory: Url,
    #[command(flatten)]
    ca_file: CaFileFlag,
    /// File with the registry's token [default: ~/.nym/registry/monitor.token].
    #[arg(long, value_name = "FILE")]
    monitor_token_file: Option<PathBuf>,
}

impl OperatorArgs {
    fn connect(&self) -> Result<(Client, MonitorToken), RegistryCommandError> {
        let token_file = match &self.monitor_token_file {
            Some(file) => file.clone(),
            None => store_path(None)?.with_file_name(TOKEN_FILE),
        };
        let client = Client::trusting(self.ca_file.path(), &self.directory, &self.directory, ClientLimits::default())?;
        Ok((client, MonitorToken::read(&token_file)?))
    }
}

pub(super) async fn remove(args: OperatorArgs) -> Result<(), RegistryCommandError> {
    let (client, token) = args.connect()?;
    client.remove(&args.identity, &token).await?;
    let identity = args.identity;
    // Done, even if the output cannot be written.
    print_to(io::stdout(), format_args!("{identity} is removed, until its node is started again")).ok();
    Ok(())
}

pub(super) async fn release(args: OperatorArgs) -> Result<(), RegistryCommandError> {
    let (client, token) = args.connect()?;
    client.release(&args.identity, &token).await?;
    let identity = args.identity;
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
