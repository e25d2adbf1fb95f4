//! Flags that several commands share.

use std::fmt;
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::error::ErrorKind;
use clap::{ArgMatches, Command, FromArgMatches};
use nym_mixnode_config::address::Host;
use nym_mixnode_config::environment::{self, Environment};
use nym_mixnode_config::settings::About;
use nym_mixnode_config::{ConfigError, NodeHome, NodeId, Role, Source, Values, settings as s};
use nym_mixnode_mix::Rule;
use strum::VariantNames;

use super::Failure;
use super::addresses::AddressFlags;
use super::load::Sources;
use super::table_flags::TableFlags;

/// The selected node.
#[derive(Debug)]
pub(super) struct NodeFlags {
    pub(super) id: NodeId,
    id_source: Source,
    home: Option<PathBuf>,
}

/// Flags as given on the command line; each also has an environment variable.
#[derive(Debug, clap::Args)]
struct NodeFlagsAsGiven {
    /// Name of the node on this machine, of your choice; also `NYM_MIXNODE_ID`
    #[arg(long, value_name = "ID")]
    id: Option<NodeId>,
    /// Directory of all nodes' files, instead of ~/.nym; also `NYM_MIXNODE_HOME`
    #[arg(long, value_name = "DIR")]
    home: Option<PathBuf>,
}

/// Id of a node that was created without one.
const DEFAULT_ID: &str = "mixnode";

impl NodeFlags {
    pub(super) fn home(&self) -> Result<NodeHome, Failure> {
        self.home_of(Role::Mixnode)
    }

    pub(super) fn home_of(&self, role: Role) -> Result<NodeHome, Failure> {
        Ok(NodeHome::of_role(role, self.home.as_deref(), &self.id)?)
    }

    /// The id as a setting.
    pub(super) fn values(&self) -> Values {
        let mut values = Values::default();
        values.set(&s::NODE_ID.about, self.id.as_str(), &self.id_source);
        values
    }

    /// Node selected by these flags or the environment; `None` if neither selects one.
    pub(super) fn if_given(id: Option<NodeId>, home: Option<PathBuf>) -> Result<Option<Self>, Failure> {
        let environment = Environment::of_process();
        if home.is_some() {
            return Ok(Some(Self::resolve(NodeFlagsAsGiven { id, home }, &environment, false)?));
        }
        Ok(Self::find(NodeFlagsAsGiven { id, home }, &environment, false)?)
    }

    fn resolve(given: NodeFlagsAsGiven, environment: &Environment, makes_itself: bool) -> Result<Self, ConfigError> {
        Self::find(given, environment, makes_itself)?.ok_or(ConfigError::NoNode { variable: environment::ID })
    }

    /// Id from the flag or the variable, or else the default id.
    fn find(
        given: NodeFlagsAsGiven,
        environment: &Environment,
        makes_itself: bool,
    ) -> Result<Option<Self>, ConfigError> {
        let home = given.home.or_else(|| environment.path(environment::HOME));
        let node = |id, id_source| Ok(Some(Self { id, id_source, home }));
        if let Some(id) = given.id {
            return node(id, Source::Flag(s::NODE_ID.about.flag()));
        }
        if let Some(id) = environment.parse(environment::ID)? {
            return node(id, Source::Variable(environment::ID));
        }
        if makes_itself || environment.init_if_missing()? {
            return match DEFAULT_ID.parse() {
                Ok(id) => node(id, Source::Program),
                Err(_) => Err(ConfigError::unset(&s::NODE_ID.about)),
            };
        }
        Ok(None)
    }
}

impl clap::Args for NodeFlags {
    fn augment_args(command: Command) -> Command {
        NodeFlagsAsGiven::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        NodeFlagsAsGiven::augment_args_for_update(command)
    }
}

impl FromArgMatches for NodeFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let makes_itself = matches!(matches.try_get_one::<bool>(INIT_IF_MISSING_FLAG), Ok(Some(true)));
        let given = NodeFlagsAsGiven::from_arg_matches(matches)?;
        Self::resolve(given, &Environment::of_process(), makes_itself)
            .map_err(|problem| clap::Error::raw(ErrorKind::MissingRequiredArgument, format!("{problem}\n")))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Name of `run`'s flag within clap.
const INIT_IF_MISSING_FLAG: &str = "init_if_missing";

impl fmt::Display for NodeFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--id {}", quoted(self.id.as_str()))?;
        match &self.home {
            Some(home) => write!(f, " --home {}", quoted(&home.to_string_lossy())),
            None => Ok(()),
        }
    }
}

/// Flags that select this node, for commands quoted in messages.
pub(super) fn naming(home: &NodeHome, id: &NodeId) -> String {
    let home = home.given_root().map(|root| format!(" --home {}", quoted(&root.to_string_lossy()))).unwrap_or_default();
    format!("--id {}{home}", quoted(id.as_str()))
}

/// Quotes a word for a shell.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    if word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

/// Settings that `init` writes to the configuration file and `run` overrides for one run.
#[derive(Debug, clap::Args)]
pub(super) struct SettingFlags {
    /// Port of addresses that are given without one
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..), help_heading = "Addresses")]
    pub(super) port: Option<u16>,
    /// Public IP address at which the network reaches the node, and port if it differs from --port
    ///
    /// Needed if the machine's own address is not its public one, as on AWS or Google Cloud. To announce an IPv4 and an
    /// IPv6 address, repeat the flag or separate them by a comma.
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', help_heading = "Addresses")]
    announce_host: Vec<Host>,
    #[command(flatten)]
    addresses: AddressFlags,
    /// Layer of the mix network, from 1 up
    #[arg(long, value_name = "LAYER", help_heading = "Network")]
    pub(super) layer: Option<String>,
    /// Location of the node, such as a city; optional, helps to debug the network
    #[arg(long, value_name = "PLACE", help_heading = "Network")]
    location: Option<String>,
    /// Liquid address that receives the incentives program's tokens
    #[arg(long, value_name = "ADDRESS", help_heading = "Network")]
    #[arg(aliases = ["incentives--address", "incentives"])]
    incentives_address: Option<String>,
    /// URL of the directory server, which lists the nodes
    #[arg(long, value_name = "URL", help_heading = "Network")]
    validator: Option<String>,
    /// Alias of --validator, as in all other commands
    #[arg(long, value_name = "URL", conflicts_with = "validator", help_heading = "Network", hide_short_help = true)]
    directory: Option<String>,
    /// URL of the metrics server, if it differs from the directory's
    #[arg(long, value_name = "URL", help_heading = "Network")]
    metrics_server: Option<String>,
    /// Allowed next hops: nodes of the directory, any public address, or (closed networks only) any address
    #[arg(long, value_name = "POLICY", help_heading = "Network")]
    #[arg(value_parser = PossibleValuesParser::new(Rule::VARIANTS))]
    forward_policy: Option<String>,
    /// How often the list of nodes is fetched, such as 30s
    #[arg(long, value_name = "DURATION", help_heading = "Network", hide_short_help = true)]
    topology_refresh: Option<String>,
    /// How long the node continues to mix after it has unregistered, such as 5s
    #[arg(long, value_name = "DURATION", help_heading = "Network", hide_short_help = true)]
    shutdown_linger: Option<String>,
    // Must be last: it adds only flags that the other groups do not define.
    #[command(flatten)]
    table: TableFlags,
}

impl SettingFlags {
    /// Settings from these flags and `--host`.
    pub(super) fn values(&self, hosts: &[Host]) -> Values {
        let mut values = Values::default();
        values.replace_with(self.table.values());
        values.replace_with(&self.addresses.values());
        if !hosts.is_empty() {
            let port = self.port.unwrap_or(s::DEFAULT_PORT);
            let addresses = hosts.iter().map(|host| host.with_default_port(port).to_string());
            values.set_list(&s::LISTEN_ADDRESSES.about, addresses, &Source::Flag("--host"));
        }
        if !self.announce_host.is_empty() {
            let addresses = self.announce_host.iter().map(Host::to_string);
            values.set_list(&s::ANNOUNCE_ADDRESSES.about, addresses, &Source::Flag("--announce-host"));
        }
        let flags: [(&'static About, _, _); 9] = [
            (&s::NODE_LAYER.about, "--layer", &self.layer),
            (&s::NODE_LOCATION.about, "--location", &self.location),
            (&s::NODE_INCENTIVES_ADDRESS.about, "--incentives-address", &self.incentives_address),
            (&s::DIRECTORY_URL.about, "--validator", &self.validator),
            (&s::DIRECTORY_URL.about, "--directory", &self.directory),
            (&s::DIRECTORY_METRICS_URL.about, "--metrics-server", &self.metrics_server),
            (&s::FORWARD_POLICY.about, "--forward-policy", &self.forward_policy),
            (&s::DIRECTORY_TOPOLOGY_REFRESH.about, "--topology-refresh", &self.topology_refresh),
            (&s::SHUTDOWN_LINGER.about, "--shutdown-linger", &self.shutdown_linger),
        ];
        for (about, flag, text) in flags {
            if let Some(text) = text {
                values.set(about, text, &Source::Flag(flag));
            }
        }
        values
    }
}

/// Settings that override the configuration file for one run; `doctor` and `unregister` accept the same flags.
#[derive(Debug, clap::Args)]
pub(super) struct OverrideFlags {
    /// IP address of this machine to accept packets on, and port if it differs from --port
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', help_heading = "Addresses")]
    host: Vec<Host>,
    /// Number of worker threads; 0 means one for each core
    #[arg(long, value_name = "N")]
    workers: Option<String>,
    // Must be last: it adds flags of settings that no other flag defines.
    #[command(flatten)]
    settings: SettingFlags,
}

impl OverrideFlags {
    /// The settings that these flags and `node` set.
    pub(super) fn values(&self, node: &NodeFlags) -> Values {
        let mut values = node.values();
        values.replace_with(&self.settings.values(&self.host));
        if let Some(workers) = &self.workers {
            values.set(&s::MIX_WORKERS.about, workers, &Source::Flag("--workers"));
        }
        values
    }

    /// Applies `--port` without `--host`, which moves the configured bind addresses.
    pub(super) fn move_port(&self, sources: &mut Sources) {
        if let (Some(port), []) = (self.settings.port, self.host.as_slice()) {
            sources.listen_on(port);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(quoted("mix090"), "mix090");
        assert_eq!(quoted("my node"), "'my node'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
