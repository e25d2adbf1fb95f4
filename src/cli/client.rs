//! `client`: commands of a client, which sends and receives files through the mix network.

mod init;
mod receive;
mod running;
mod send;
mod serve;
mod status;
mod way;

use std::io;
use std::path::PathBuf;

use clap::Subcommand;
use nym_mixnode_client::profile::{Profile, ProfileError};
use nym_mixnode_config::home::default_root;
use nym_mixnode_config::{Environment, NodeId, environment};

use super::output::print_to;
use super::{Exit, Failure};
use crate::stop_request::die_with_parent;

/// Send and receive files through the mix network
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: ClientCommand,
}

#[derive(Debug, Subcommand)]
enum ClientCommand {
    Init(init::Args),
    Address(AddressArgs),
    Run(serve::Args),
    Send(send::Args),
    Receive(receive::Args),
    Status(status::Args),
}

/// Print the address of a client, to which others send
#[derive(Debug, clap::Args)]
struct AddressArgs {
    #[command(flatten)]
    client: ClientFlags,
}

/// The selected client.
#[derive(Debug, clap::Args)]
struct ClientFlags {
    /// Name of the client on this machine, of your choice
    #[arg(long, value_name = "ID")]
    id: NodeId,
    /// Directory of all clients' files, instead of ~/.nym; also `NYM_MIXNODE_HOME`
    #[arg(long, value_name = "DIR")]
    home: Option<PathBuf>,
}

impl ClientFlags {
    fn profile(&self) -> Result<Profile, Failure> {
        let given = self.home.clone().or_else(|| Environment::of_process().path(environment::HOME));
        let root = match given {
            Some(root) => std::path::absolute(&root).unwrap_or(root),
            None => default_root()?,
        };
        Ok(Profile::new(&root, self.id.as_str()))
    }
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    match args.command {
        ClientCommand::Init(args) => init::run(args).await,
        ClientCommand::Address(args) => address(&args),
        ClientCommand::Run(args) => serve::run(args).await,
        ClientCommand::Send(args) => send::run(args).await,
        ClientCommand::Receive(args) => receive::run(args).await,
        ClientCommand::Status(args) => status::run(args).await,
    }
}

fn address(args: &AddressArgs) -> Result<(), Failure> {
    let profile = args.client.profile()?;
    print_to(io::stdout(), running::address(&profile.config()?, &profile.keys()?)?)
}

/// Lets no client of a `localnet` outlive it.
fn die_with_supervisor(is_supervised: bool) -> Result<(), Failure> {
    if !is_supervised {
        return Ok(());
    }
    die_with_parent().map_err(|error| {
        Failure::new(Exit::TRY_AGAIN, format_args!("cannot bind the client to its supervisor: {error}"))
    })
}

impl From<ProfileError> for Failure {
    fn from(error: ProfileError) -> Self {
        let exit = match &error {
            ProfileError::Missing(_) | ProfileError::Config { .. } => Exit::CONFIG,
            ProfileError::Exists(_) | ProfileError::Create(_) => Exit::CANNOT_CREATE,
            ProfileError::Read { source, .. } => super::failure::read_exit(source),
            ProfileError::Key { .. } | ProfileError::Address(_) => Exit::DATA,
            ProfileError::Loose(_) => Exit::PERMISSION,
            ProfileError::Generate(_) | ProfileError::InUse(_) => Exit::TRY_AGAIN,
        };
        match error {
            ProfileError::Create(error) => error.into(),
            error => Self::new(exit, error),
        }
    }
}
