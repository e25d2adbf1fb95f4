//! `init`: creates a node's keys and configuration file, all or nothing.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use nym_mixnode_api::Topology;
use nym_mixnode_base::redact::redacted;
use nym_mixnode_base::staging::{self, CreateError, Placed, StagedDir};
use nym_mixnode_config as config;
use nym_mixnode_config::address::Host;
use nym_mixnode_config::home::CONFIG_FILE;
use nym_mixnode_config::{Config, Environment, Layers, NodeHome, Role, Source, Values, settings as s};
use nym_mixnode_directory::{Client, ClientLimits, Directory, DirectoryConfig, DirectoryError, is_retired};
use nym_mixnode_keys::{KeyError, KeyFile, KeyFiles, KeysConfig, NodeKeys, store};
use nym_mixnode_net::BindAddr;
use thiserror::Error;

use super::addresses::settle_announced;
use super::flags::{NodeFlags, SettingFlags, naming};
use super::load::{load_config, read_telemetry, without_layer};
use super::node_files::{self, KeyState};
use super::output::{print_to, without_last_slash};
use super::{Exit, Failure, upgrade};

/// Layer of a node for which neither a layer nor a directory is set.
const LAYER_WITHOUT_DIRECTORY: u64 = 1;
/// Deadline for the directory's answer to `init`.
const DIRECTORY_TIMEOUT: Duration = Duration::from_secs(5);

/// Initialise a mixnode: create its keys and its configuration file
///
/// Everything is created in ~/.nym/mixnodes/ID/, or nothing at all. Existing keys are never replaced: the new node uses
/// keys that have no configuration file, as after `keys restore`.
#[derive(Debug, clap::Args)]
#[command(after_help = after_help())]
pub(super) struct Args {
    #[command(flatten)]
    node: NodeFlags,
    /// IP address of this machine to accept packets on, and port if it differs from --port
    ///
    /// IPv4 or IPv6. To listen on several, repeat the flag or separate them by commas. By default the node listens
    /// on all addresses of this machine.
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', help_heading = "Addresses")]
    host: Vec<Host>,
    #[command(flatten)]
    settings: SettingFlags,
}

fn after_help() -> String {
    format!(
        "Defaults:\n  \
         port {}; announced: the listening addresses, or, if others cannot reach them, what `detect` finds;\n  \
         the layer with the fewest nodes; {} without a directory\n  \
         the directory is that of the public Nym 0.9 network, which is gone: `nym-mixnode registry` starts one\n  \
         metrics go to the directory\n  \
         packets go to nodes of the directory (topology)\n\n\
         Examples:\n  \
         nym-mixnode init --id winston-smithnode --validator http://167.70.75.1:8081\n  \
         nym-mixnode init --id winston-smithnode --host 167.70.75.75 --location YourCity\n  \
         nym-mixnode init --id winston-smithnode --host 10.126.5.7 --announce-host 36.68.243.18\n  \
         nym-mixnode init --id winston-smithnode --host 127.0.0.1 --allow-private",
        s::DEFAULT_PORT,
        LAYER_WITHOUT_DIRECTORY,
    )
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    run_as(Role::Mixnode, args).await
}

/// Creates a node of this role.
pub(super) async fn run_as(role: Role, args: Args) -> Result<(), Failure> {
    let home = args.node.home_of(role)?;
    upgrade::refuse_older(&home, &args.node.id)?;
    let id = &args.node.id;
    let values = settings(role, &args)?;
    if node_files::finish(&home, &values)? && home.config_file().exists() {
        return finished(&home, &args.node);
    }
    refuse_existing(&home, &node_files::keys_config(&values))?;
    print_to(io::stdout(), format_args!("Initialising {} {id}...", role.name()))?;
    let NewNode { config, unanswered } = complete(values, &mut io::stdout()).await?;
    let kept = matches!(KeyState::of(&home, &config.keys), KeyState::All { .. });
    let keys = create_node(&home, &config).map_err(|failure| match failure.exit {
        Exit::PERMISSION => failure.with_advice("name a directory that this user may write to with --home"),
        _ => failure,
    })?;
    print_to(io::stdout(), summary(&home, &keys, kept))?;
    if let Some(problem) = unanswered {
        print_to(io::stderr(), directory_warning(&home, &config, &problem))?;
    }
    print_next_steps(&home, &args.node, &config)
}

/// Warning of a new node whose directory did not answer. It may still be starting, so this is no failure.
fn directory_warning(home: &NodeHome, config: &Config, problem: &DirectoryError) -> String {
    format!(
        "\nWarning: {problem}\n\
         If the URL {url} is wrong, correct directory.url in\n\
         {file}\n\
         The node is in layer {layer}, picked at random; node.layer is set in the same file.",
        url = without_last_slash(&config.directory.url),
        file = home.config_file().display(),
        layer = config.node.layer,
    )
}

/// Prints the next steps; a missing directory comes first.
fn print_next_steps(home: &NodeHome, node: &NodeFlags, config: &Config) -> Result<(), Failure> {
    print_if_retired(home, node, config)?;
    print_to(io::stdout(), format_args!("\nStart it with: {} run {node}", home.role().program()))
}

/// Explains what to do if the node's directory is that of the retired network.
pub(super) fn print_if_retired(home: &NodeHome, node: &NodeFlags, config: &Config) -> Result<(), Failure> {
    let DirectoryConfig { url, metrics_url, .. } = &config.directory;
    if !is_retired(url) {
        return Ok(());
    }
    let metrics = if metrics_url == url { "" } else { " (and remove directory.metrics_url)" };
    let private = if config.announce.detection.allow_private { " --allow-private" } else { "" };
    let (listen, registry) = match loopback(config) {
        // A registry accepts loopback addresses only if it listens on them alone.
        Some(ip) => (SocketAddr::new(ip, 8081).to_string(), format!("http://{}", SocketAddr::new(ip, 8081))),
        None => ("0.0.0.0:8081".to_owned(), "http://ADDRESS:8081".to_owned()),
    };
    let text = format!(
        "The public Nym 0.9 network is gone, and with it the directory of this node,\n\
         {directory}. Start a directory of your own with\n\
         `nym-mixnode registry --listen {listen}{private}`, then set its URL as directory.url{metrics} in\n\
         {file}\n\
         or for one run with `{program} run {node} --validator {registry}`.{layer}",
        directory = without_last_slash(url),
        file = home.config_file().display(),
        program = home.role().program(),
        layer = layer_words(home.role(), config.node.layer),
    );
    print_to(io::stdout(), format_args!("\n{text}"))
}

fn layer_words(role: Role, layer: u64) -> String {
    match role {
        Role::Gateway => String::new(),
        Role::Mixnode => {
            format!("\nThe node is in layer {layer}; every layer needs a node, and node.layer is set in the same file.")
        }
    }
}

/// The first announced address, if it is a loopback address.
fn loopback(config: &Config) -> Option<IpAddr> {
    let announced = config.announce.addresses.first().map(|announced| announced.address.get().ip());
    announced.filter(|ip| ip.to_canonical().is_loopback())
}

/// Completes an `init` that was interrupted after creating all files, before moving them into place.
fn finished(home: &NodeHome, node: &NodeFlags) -> Result<(), Failure> {
    let config = load_config(home, &node.id, &node.values())?;
    let keys = store::load(&KeyFiles::new(home.dir(), &config.keys))?;
    let id = &node.id;
    print_to(
        io::stdout(),
        format_args!("Completed {} {id} of an interrupted init, with the settings given then", home.role().name()),
    )?;
    print_to(io::stdout(), summary(home, &keys, false))?;
    print_next_steps(home, node, &config)
}

/// Settings of the new node: defaults of 0.9.2, overridden by the environment, then by the flags.
fn settings(role: Role, args: &Args) -> Result<Values, Failure> {
    let mut layers = Layers::default();
    layers.values(&defaults_of(role));
    layers.environment(&Environment::of_process());
    layers.values(&args.node.values());
    layers.values(&args.settings.values(&args.host));
    read_telemetry(&mut layers);
    let mut values = layers.check_places()?;
    if values.of(&s::LISTEN_ADDRESSES.about).is_empty() {
        let everywhere = BindAddr::everywhere(args.settings.port.unwrap_or(s::DEFAULT_PORT));
        values.set(&s::LISTEN_ADDRESSES.about, everywhere.to_string(), &Source::Program);
    }
    Ok(values)
}

/// Creates a new node's configuration file, and its keys unless they exist: all or nothing.
///
/// # Errors
/// When the node exists, or when its files cannot be created.
pub(super) fn create_node(home: &NodeHome, config: &Config) -> Result<NodeKeys, Failure> {
    refuse_existing(home, &config.keys)?;
    create(home, config).map_err(|error| {
        let exists = matches!(&error, CreateNodeError::Create(CreateError::Exists(_)));
        let failure = Failure::from(error);
        match exists {
            true if home.config_file().exists() => failure.with_advice(CONFIGURATION_WITHOUT_KEYS),
            true => failure.with_advice("move it away, or choose another --id"),
            false => failure,
        }
    })
}

fn create(home: &NodeHome, config: &Config) -> Result<NodeKeys, CreateNodeError> {
    let keys = KeyState::of(home, &config.keys);
    // The directory may hold restored keys; the other files are added to it.
    let staged = if keys.is_at_home(home) { StagedDir::begin_in(home.dir()) } else { StagedDir::begin(home.dir()) }?;
    staging::create_private_dirs(&staged.path().join("config"))?;
    config::create_file(&staged.path().join(CONFIG_FILE), &of_file(home.role(), config))?;
    let (keys, made) = match keys {
        KeyState::All { files } => (store::load(&files)?, None),
        KeyState::Elsewhere { missing } | KeyState::Half { missing, .. } => {
            return Err(KeyError::Missing(missing).into());
        }
        KeyState::None { dir } => {
            let inside = dir.strip_prefix(home.dir()).map(|inside| staged.path().join(inside));
            let (made, keys) = store::stage(inside.as_ref().unwrap_or(&dir))?;
            (keys, Some(made))
        }
    };
    // Keys first: the next attempt can use keys without a configuration, but not the reverse.
    let placed = made.map(StagedDir::commit).transpose()?;
    // The node's directory also holds the saved topology, wherever the keys are.
    let has_data = home.dir().join("data").exists();
    let data = if has_data { Ok(()) } else { staging::create_private_dirs(&staged.path().join("data")) };
    let whole = data.and_then(|()| staged.commit());
    if let Err(error) = whole {
        placed.into_iter().for_each(Placed::undo);
        return Err(error.into());
    }
    Ok(keys)
}

/// The configuration as it is written.
fn of_file(role: Role, config: &Config) -> Config {
    let mut config = config.clone();
    if role == Role::Gateway {
        config.values.set_list(&s::NODE_LAYER.about, Vec::<String>::new(), &Source::Program);
    }
    config
}

const CONFIGURATION_WITHOUT_KEYS: &str =
    "it holds a configuration without keys: restore its keys from your backup, or move it away to make a new node";

#[derive(Debug, Error)]
#[error(transparent)]
enum CreateNodeError {
    Create(#[from] CreateError),
    Keys(#[from] KeyError),
}

impl From<CreateNodeError> for Failure {
    fn from(error: CreateNodeError) -> Self {
        match error {
            CreateNodeError::Keys(error) => error.into(),
            CreateNodeError::Create(error) => error.into(),
        }
    }
}

/// Settings of a new node that its file contains.
pub(super) fn defaults_of(role: Role) -> Values {
    let mut values = default_directory();
    if role == Role::Gateway {
        values.replace_with(&without_layer());
        let everywhere = BindAddr::everywhere(s::DEFAULT_CLIENTS_PORT);
        values.set(&s::GATEWAY_LISTEN.about, everywhere.to_string(), &Source::Program);
    }
    values
}

/// Directory of the public Nym 0.9 network. Its metrics server is omitted: written to the file, it would remain
/// after the operator sets another directory.
fn default_directory() -> Values {
    let mut values = Values::default();
    values.set(&s::DIRECTORY_URL.about, s::DEFAULT_DIRECTORY, &Source::Program);
    values
}

/// Keeps existing keys: without a configuration file they were restored for this node.
fn refuse_existing(home: &NodeHome, keys: &KeysConfig) -> Result<(), Failure> {
    let exists = match KeyState::of(home, keys) {
        KeyState::All { files } if home.config_file().exists() => {
            let (exists, config) = (files.paths[KeyFile::PrivateIdentity].display(), home.config_file());
            let advice = format_args!(
                "start the node with `{} run {}`, change its settings in {}, or choose another --id",
                home.role().program(),
                naming(home, home.id()),
                config.display()
            );
            let problem = format_args!("{exists} exists, and init never replaces keys: {advice}");
            return Err(Failure::new(Exit::CANNOT_CREATE, problem));
        }
        KeyState::Half { present, .. } => present,
        KeyState::Elsewhere { missing } => return Err(KeyError::Missing(missing).into()),
        // Report it before any request to the network.
        KeyState::None { .. } if home.config_file().exists() => {
            let exists = CreateError::Exists(home.dir().to_owned());
            return Err(Failure::from(exists).with_advice(CONFIGURATION_WITHOUT_KEYS));
        }
        KeyState::All { .. } | KeyState::None { .. } => return Ok(()),
    };
    Err(Failure::new(
        Exit::CANNOT_CREATE,
        format_args!("{} exists, and init never replaces keys: move it away, or choose another --id", exists.display()),
    ))
}

/// The settings of a new node.
pub(super) struct NewNode {
    pub(super) config: Config,
    /// Why the directory did not choose the layer; it is then a random one.
    pub(super) unanswered: Option<DirectoryError>,
}

/// Checks the settings of a new node before it is created, and chooses its layer unless that is set. Prints the
/// detected addresses and the layer to `out`.
///
/// # Errors
/// When a setting is invalid, or the node has no address to announce.
pub(super) async fn complete(mut values: Values, out: &mut impl Write) -> Result<NewNode, Failure> {
    let about = &s::NODE_LAYER.about;
    let has_layer = !values.of(about).is_empty();
    if !has_layer {
        // Until it is chosen: all settings are checked before any request to the network.
        values.set(about, "1", &Source::Program);
    }
    let config = Config::from_values(&values)?;
    // Before the request to the directory: without an address no node can be created.
    settle_announced(&config, out).await?;
    if has_layer {
        return Ok(NewNode { config, unanswered: None });
    }
    let (layer, unanswered) = choose_layer(&config.directory, out).await?;
    values.set(about, layer.to_string(), &Source::Program);
    Ok(NewNode { config: Config::from_values(&values)?, unanswered })
}

/// Chooses the layer with the fewest nodes, or a random one if the directory does not answer, and prints it to `out`.
/// A random choice spreads nodes that start before their directory over the layers.
///
/// The retired network's directory is not asked: the node gets [`LAYER_WITHOUT_DIRECTORY`], always the same one,
/// because there are no other nodes to spread over, and the operator sets directory and layer together later.
async fn choose_layer(
    directory: &DirectoryConfig,
    out: &mut impl Write,
) -> Result<(u64, Option<DirectoryError>), Failure> {
    if is_retired(&directory.url) {
        let layer = LAYER_WITHOUT_DIRECTORY;
        print_to(out, format_args!("Layer {layer}: no directory to ask for the layer with the fewest nodes"))?;
        return Ok((layer, None));
    }
    print_to(&mut *out, format_args!("Asking {} for the layer with the fewest nodes...", redacted(&directory.url)))?;
    match topology(directory).await {
        Ok(topology) => {
            let layer = emptiest_layer(&topology);
            print_to(out, format_args!("Layer {layer}: the one with the fewest nodes"))?;
            Ok((layer, None))
        }
        Err(problem) => {
            let layer = rand::random_range(1..=Topology::default().layer_count());
            print_to(out, format_args!("Layer {layer}, picked at random (--layer chooses another): {problem}"))?;
            Ok((layer, Some(problem)))
        }
    }
}

async fn topology(directory: &DirectoryConfig) -> Result<Topology, DirectoryError> {
    let limits = ClientLimits { total_timeout: DIRECTORY_TIMEOUT, ..ClientLimits::default() };
    Client::of(directory, limits)?.topology().await
}

/// Picks a layer with the fewest nodes, at random among equals: nodes that start together see the same topology.
fn emptiest_layer(topology: &Topology) -> u64 {
    let nodes_in = |layer: u64| topology.mix_nodes.iter().filter(|mix| mix.registration.layer == layer).count();
    (1..=topology.layer_count()).min_by_key(|layer| (nodes_in(*layer), rand::random::<u64>())).unwrap_or(1)
}

/// Summary of the created files; `kept` means that the keys existed before.
pub(super) fn summary(home: &NodeHome, keys: &NodeKeys, kept: bool) -> String {
    format!(
        "{} mixnet identity and sphinx keypairs\n\
         Saved configuration file to {}\n\
         Identity key: {}\n\
         Sphinx key: {}\n\
         {} configuration completed.",
        if kept { "Kept the existing" } else { "Saved" },
        home.config_file().display(),
        keys.identity_public,
        keys.sphinx.public_base58(),
        home.role().title(),
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use nym_mixnode_api::{MixRegistration, testing};

    fn topology(layers: &[u64]) -> Topology {
        let mix =
            |layer: &u64| testing::listed(MixRegistration { layer: *layer, ..testing::mix("", "192.0.2.1:1789") });
        Topology { mix_nodes: layers.iter().map(mix).collect(), ..Topology::default() }
    }

    #[test]
    fn a_new_node_joins_the_layer_with_the_fewest_nodes() {
        assert_eq!(emptiest_layer(&topology(&[1, 1, 2, 3, 3])), 2);
        assert_eq!(emptiest_layer(&topology(&[1, 2, 2, 9, 0])), 3);
        assert_eq!(emptiest_layer(&topology(&[2, 3])), 1);
        let of_four = Topology { layers: Some(4), ..topology(&[1, 2, 3]) };
        assert_eq!(emptiest_layer(&of_four), 4);
    }

    #[test]
    fn nodes_that_start_together_spread_over_layers_that_are_alike() {
        let chosen =
            |layers: &[u64]| -> BTreeSet<u64> { (0..200).map(|_| emptiest_layer(&topology(layers))).collect() };
        assert_eq!(chosen(&[]), BTreeSet::from([1, 2, 3]));
        assert_eq!(chosen(&[2, 2, 1]), BTreeSet::from([3]));
        assert_eq!(chosen(&[1]), BTreeSet::from([2, 3]));
    }
}
