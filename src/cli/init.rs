//! `init`: makes a node's keys and configuration file, everything or nothing.

use std::io;
use std::time::Duration;

use thiserror::Error;

use crate::address::BindAddr;
use crate::api::Topology;
use crate::config::address::Host;
use crate::config::home::CONFIG_FILE;
use crate::config::staging::{self, StagedDir};
use crate::config::{
    self, Config, CreateError, CreateFileError, DirectoryConfig, KeysConfig, NodeHome, Source, Values, settings as s,
};
use crate::directory::{Client, ClientLimits, Directory, DirectoryError};
use crate::keys::store::{self, KeyFiles};
use crate::keys::{KeyError, NodeKeys};

use super::addresses::{AddressFlags, announcing, find_missing};
use super::flags::{NodeFlags, SettingFlags};
use super::output::say;
use super::{Exit, Failure};

/// Layers of the Nym network.
const LAYERS: u64 = 3;
/// How long somebody who runs `init` waits for the directory.
const DIRECTORY_TIMEOUT: Duration = Duration::from_secs(5);

/// Initialise a mixnode: make its keys and its configuration file
///
/// Everything is created in ~/.nym/mixnodes/ID/, or nothing at all. Existing keys are never replaced.
#[derive(Debug, clap::Args)]
#[command(after_help = after_help())]
pub(super) struct Args {
    #[command(flatten)]
    node: NodeFlags,
    /// IP address of this machine to accept packets on, and port if it isn't the usual
    ///
    /// IPv4 or IPv6. Several, given one by one or separated by commas, are all listened on. Without it, every address
    /// of this machine is.
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', help_heading = "Addresses")]
    host: Vec<Host>,
    #[command(flatten)]
    addresses: AddressFlags,
    #[command(flatten)]
    settings: SettingFlags,
}

fn after_help() -> String {
    format!(
        "Unless given:\n  \
         port {}; announced is what is listened on, or, where others cannot reach that, what `detect` finds;\n  \
         the layer is the one with the fewest nodes\n  \
         directory {}\n  \
         metrics   {} (with --validator, that server)\n  \
         packets go to nodes of the directory (topology)\n\n\
         Examples:\n  \
         nym-mixnode init --id winston-smithnode\n  \
         nym-mixnode init --id winston-smithnode --host 167.70.75.75 --location YourCity\n  \
         nym-mixnode init --id winston-smithnode --host 10.126.5.7 --announce-host 36.68.243.18",
        s::DEFAULT_PORT,
        s::DEFAULT_DIRECTORY,
        s::DEFAULT_METRICS,
    )
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let home = args.node.home()?;
    refuse_existing_keys(&home)?;
    let id = &args.node.id;
    say(io::stdout(), format_args!("Initialising mixnode {id}..."))?;

    let mut values = testnet();
    values.set(&s::NODE_ID.about, id.as_str(), &Source::Flag("--id"));
    values.replace_with(&args.settings.values(&args.host));
    values.replace_with(&args.addresses.values());
    if args.host.is_empty() {
        let everywhere = BindAddr::everywhere(args.settings.port.unwrap_or(s::DEFAULT_PORT));
        values.set(&s::LISTEN_ADDRESSES.about, everywhere.to_string(), &Source::Program);
    }
    if args.settings.layer.is_none() {
        let layer = choose_layer(&values).await?;
        values.set(&s::NODE_LAYER.about, layer.to_string(), &Source::Program);
    }
    // Found once more at each start, and so not written down: a machine's public address may change.
    if let Some((_, detection)) = find_missing(&Config::from_values(&values)?).await? {
        for detected in &detection.announce {
            say(io::stdout(), announcing(detected))?;
        }
    }
    let (_, keys) = create_node(&home, &values)?;
    say(io::stdout(), summary(&home, &keys))?;
    say(io::stdout(), format_args!("\nStart it with: nym-mixnode run {}", args.node))
}

/// Creates the keys and the configuration file of a new node: everything, or nothing at all.
///
/// # Errors
/// When a setting isn't allowed, when the node exists, or when its files cannot be created.
pub fn create_node(home: &NodeHome, values: &Values) -> Result<(Config, NodeKeys), Failure> {
    refuse_existing_keys(home)?;
    let config = Config::from_values(values)?;
    let create = || {
        let staged = StagedDir::begin(home.dir())?;
        let keys = store::create(&staged.path().join("data"))?;
        staging::create_private_dirs(&staged.path().join("config"))?;
        config::create_file(&staged.path().join(CONFIG_FILE), values)?;
        staged.commit()?;
        Ok(keys)
    };
    let keys = create().map_err(|error: CreateNodeError| {
        let exists = matches!(&error, CreateNodeError::Create(CreateError::Exists(_)));
        let failure = Failure::from(error);
        if exists { failure.with_advice("move it away, or choose another --id") } else { failure }
    })?;
    Ok((config, keys))
}

#[derive(Debug, Error)]
#[error(transparent)]
enum CreateNodeError {
    Create(#[from] CreateError),
    Keys(#[from] KeyError),
    Config(#[from] CreateFileError),
}

impl From<CreateNodeError> for Failure {
    fn from(error: CreateNodeError) -> Self {
        match error {
            CreateNodeError::Keys(error) => error.into(),
            CreateNodeError::Config(CreateFileError::Config(error)) => error.into(),
            CreateNodeError::Create(error) | CreateNodeError::Config(CreateFileError::Create(error)) => error.into(),
        }
    }
}

/// The settings that only the Nym testnet has.
fn testnet() -> Values {
    let mut values = Values::default();
    values.set(&s::DIRECTORY_URL.about, s::DEFAULT_DIRECTORY, &Source::Program);
    values.set(&s::DIRECTORY_METRICS_URL.about, s::DEFAULT_METRICS, &Source::Program);
    values
}

fn refuse_existing_keys(home: &NodeHome) -> Result<(), Failure> {
    let files = KeyFiles::new(home.dir(), &KeysConfig::default());
    let paths = [files.private_identity, files.public_identity, files.private_sphinx, files.public_sphinx];
    match paths.iter().find(|path| path.symlink_metadata().is_ok()) {
        None => Ok(()),
        Some(path) => Err(Failure::new(
            Exit::CANNOT_CREATE,
            format_args!(
                "{} exists, and init never replaces keys: start the node with `run`, or choose another --id",
                path.display()
            ),
        )),
    }
}

/// The layer with the fewest nodes; a random one when the directory doesn't tell.
async fn choose_layer(values: &Values) -> Result<u64, Failure> {
    // Any layer will do to check the rest, so that nobody waits for the network to hear of a typing error.
    let mut checked = values.clone();
    checked.set(&s::NODE_LAYER.about, "1", &Source::Program);
    let directory = Config::from_values(&checked)?.directory;

    say(io::stdout(), format_args!("Asking {} for the layer with the fewest nodes...", directory.url))?;
    match topology(&directory).await {
        Ok(topology) => {
            let layer = emptiest_layer(&topology);
            say(io::stdout(), format_args!("Layer {layer}: the one with the fewest nodes"))?;
            Ok(layer)
        }
        Err(problem) => {
            let layer = rand::random_range(1..=LAYERS);
            say(io::stdout(), format_args!("Layer {layer}, picked at random (--layer chooses another): {problem}"))?;
            Ok(layer)
        }
    }
}

async fn topology(directory: &DirectoryConfig) -> Result<Topology, DirectoryError> {
    let limits = ClientLimits { total_timeout: DIRECTORY_TIMEOUT, ..ClientLimits::default() };
    Client::with_limits(&directory.url, &directory.metrics_url, limits)?.topology().await
}

fn emptiest_layer(topology: &Topology) -> u64 {
    let nodes_in = |layer: &u64| topology.mix_nodes.iter().filter(|mix| mix.registration.layer == *layer).count();
    (1..=LAYERS).min_by_key(nodes_in).unwrap_or(1)
}

fn summary(home: &NodeHome, keys: &NodeKeys) -> String {
    format!(
        "Saved mixnet identity and sphinx keypairs\n\
         Saved configuration file to {}\n\
         Identity key: {}\n\
         Sphinx key: {}\n\
         Mixnode configuration completed.",
        home.config_file().display(),
        keys.identity_public,
        keys.sphinx.public_base58(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{MixRegistration, RegisteredMix};

    fn topology(layers: &[u64]) -> Topology {
        let mix = |layer: &u64| RegisteredMix {
            registration: MixRegistration {
                mix_host: "192.0.2.1:1789".to_owned(),
                mix_hosts: Vec::new(),
                identity_key: String::new(),
                sphinx_key: String::new(),
                version: "0.9.2".to_owned(),
                location: String::new(),
                incentives_address: String::new(),
                layer: *layer,
            },
            registration_time: 0,
            reputation: 0,
        };
        Topology { mix_nodes: layers.iter().map(mix).collect(), ..Topology::default() }
    }

    #[test]
    fn a_new_node_joins_the_layer_with_the_fewest_nodes() {
        assert_eq!(emptiest_layer(&topology(&[])), 1);
        assert_eq!(emptiest_layer(&topology(&[1, 1, 2, 3])), 2);
        assert_eq!(emptiest_layer(&topology(&[1, 2, 2, 9, 0])), 3);
        assert_eq!(emptiest_layer(&topology(&[2, 3])), 1);
    }
}
