//! The node's configuration: one typed, immutable value, parsed once.
//!
//! A setting that isn't known, or a value that isn't allowed, is an error; it never falls back to a default.

pub mod address;
mod file;
pub mod home;
mod parse;
pub mod settings;
pub(crate) mod staging;
mod values;

use std::fmt;
use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;
use url::Url;

pub use home::{NodeHome, NodeId};
pub use staging::CreateError;
pub use values::{Source, Values};

use crate::address::{AnnounceAddr, AnnounceSource, BindAddr, DetectionConfig};
use settings as s;

/// Everything a node needs to know, parsed and checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub node: NodeConfig,
    pub listen: ListenConfig,
    pub announce: AnnounceConfig,
    pub directory: DirectoryConfig,
    pub keys: KeysConfig,
    pub mix: MixConfig,
    pub forward: ForwardConfig,
    pub connections: ConnectionsConfig,
    pub shutdown: ShutdownConfig,
    pub limits: LimitsConfig,
}

#[derive(Debug, Clone, PartialEq)]
pub struct NodeConfig {
    pub id: String,
    /// 1-based.
    pub layer: u64,
    pub location: String,
    pub incentives_address: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ListenConfig {
    pub addresses: Vec<BindAddr>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct AnnounceConfig {
    /// `host:port`, one or two (IPv4 and IPv6); none when they are to be detected.
    pub addresses: Vec<AnnounceAddr>,
    /// How.
    pub detection: DetectionConfig,
}

#[derive(Debug, Clone, PartialEq)]
pub struct DirectoryConfig {
    pub url: Url,
    pub metrics_url: Url,
    pub topology_refresh: Duration,
    /// Replace a registration of the same identity at another host (`run --force`; no setting of the file).
    pub take_over: bool,
}

/// The key files; relative paths are relative to the node's directory.
#[derive(Debug, Clone, PartialEq)]
pub struct KeysConfig {
    pub private_identity: PathBuf,
    pub public_identity: PathBuf,
    pub private_sphinx: PathBuf,
    pub public_sphinx: PathBuf,
}

#[derive(Debug, Clone, PartialEq)]
pub struct MixConfig {
    /// Worker threads; 0 means one for each core.
    pub workers: usize,
    /// Longest delay a sender may ask for.
    pub delay_max: Duration,
    /// Byte budget for everything in flight.
    pub memory_bytes: usize,
}

/// Where packets may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardPolicy {
    /// Only exact `ip:port` pairs of the directory's topology.
    Topology,
    /// Any globally routable address.
    Public,
    /// Anywhere: for closed networks.
    Any,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ForwardConfig {
    pub policy: ForwardPolicy,
    pub connect_timeout: Duration,
    pub backoff_initial: Duration,
    pub backoff_max: Duration,
    /// A packet that waited longer than this past its time for an unreachable next hop is dropped.
    pub stale_after: Duration,
    /// Packets queued for one next hop.
    pub queue_packets_max: usize,
    /// Next hops with a queue at one time.
    pub next_hops_max: usize,
    /// An outgoing connection without packets is closed after this.
    pub idle_timeout: Duration,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ConnectionsConfig {
    /// Incoming connections in total.
    pub total_max: usize,
    /// Incoming connections from one IPv4 address or IPv6 /64.
    pub per_address_max: usize,
    /// A frame that has begun must be whole within this.
    pub frame_deadline: Duration,
    /// An incoming connection without bytes is closed after this.
    pub idle_timeout: Duration,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ShutdownConfig {
    /// How long the node keeps mixing after it unregistered, while clients still hold the old topology.
    pub linger: Duration,
    /// Longest wait for pooled packets to leave.
    pub drain_deadline: Duration,
}

/// What the node asks of the system.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitsConfig {
    /// Open files that the process raises its limit to, as far as the hard limit allows.
    pub nofile: u64,
    /// Refuse to start when the hard limit is lower.
    pub nofile_strict: bool,
}

/// The configuration cannot be read or makes no sense.
#[derive(Debug, Error)]
pub enum ConfigError {
    #[error("{} does not exist", .0.display())]
    NotFound(PathBuf),
    #[error("{} cannot be read: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}:{line}: {problem}", path.display())]
    Syntax { path: PathBuf, line: u64, problem: String },
    #[error("{}:{line}: {key} is not a setting; here stand {known}", path.display())]
    UnknownKey { path: PathBuf, line: u64, key: String, known: String },
    #[error("{0} is not set and has no default")]
    Unset(&'static str),
    #[error(transparent)]
    Invalid(#[from] InvalidValue),
}

/// A setting has a value that it doesn't allow.
#[derive(Debug, Error)]
#[error("{place}: {key} {value:?} {problem}")]
pub struct InvalidValue {
    pub place: Source,
    pub key: &'static str,
    pub value: String,
    /// A predicate, such as "is not a layer".
    pub problem: String,
}

impl Config {
    /// Reads a node's configuration file and replaces what `overrides` has set.
    ///
    /// # Errors
    /// When the file cannot be read, or a setting is unknown, missing or not allowed.
    pub fn load(path: &Path, overrides: &Values) -> Result<Self, ConfigError> {
        let mut values = file::read(path)?;
        values.replace_with(overrides);
        Self::from_values(&values)
    }

    /// Parses and checks the settings.
    ///
    /// # Errors
    /// When a setting is missing or not allowed.
    pub fn from_values(values: &Values) -> Result<Self, ConfigError> {
        let listen = listen_addresses(values)?;
        Ok(Self {
            node: node(values)?,
            announce: announce(values, &listen)?,
            listen: ListenConfig { addresses: listen.into_iter().map(BindAddr::new).collect() },
            directory: directory(values)?,
            keys: keys(values)?,
            mix: mix(values)?,
            forward: forward(values)?,
            connections: connections(values)?,
            shutdown: shutdown(values)?,
            limits: limits(values)?,
        })
    }
}

/// Writes a new configuration file for these settings, commented for people.
///
/// # Errors
/// When the settings are not allowed, or the file exists or cannot be created.
pub fn create_file(path: &Path, values: &Values) -> Result<(), CreateFileError> {
    Config::from_values(values)?;
    Ok(staging::create_file(path, 0o644, file::render(values).as_bytes())?)
}

/// A configuration file was not created.
#[derive(Debug, Error)]
#[error(transparent)]
pub enum CreateFileError {
    Config(#[from] ConfigError),
    Create(#[from] CreateError),
}

fn node(values: &Values) -> Result<NodeConfig, ConfigError> {
    Ok(NodeConfig {
        id: values.parse(&s::NODE_ID)?.to_string(),
        layer: values.parse(&s::NODE_LAYER)?,
        location: values.parse(&s::NODE_LOCATION)?,
        incentives_address: values.parse(&s::NODE_INCENTIVES_ADDRESS)?,
    })
}

fn listen_addresses(values: &Values) -> Result<Vec<SocketAddr>, ConfigError> {
    let key = s::LISTEN_ADDRESSES.about.key;
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for (host, place) in values.parse_list(&s::LISTEN_ADDRESSES)? {
        let address = host.with_default_port(s::DEFAULT_PORT);
        if addresses.contains(&address) {
            return Err(invalid(place, key, address, "is there twice"));
        }
        addresses.push(address);
    }
    if addresses.is_empty() {
        addresses.push(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), s::DEFAULT_PORT));
    }
    Ok(addresses)
}

/// What is announced as configured; what is listened on, where others can reach that; nothing, which is detected.
fn announce(values: &Values, listen: &[SocketAddr]) -> Result<AnnounceConfig, ConfigError> {
    let detection = detection(values)?;
    let key = s::ANNOUNCE_ADDRESSES.about.key;
    let port = listen.first().map_or(s::DEFAULT_PORT, SocketAddr::port);
    let mut addresses: Vec<AnnounceAddr> = Vec::new();
    for (host, place) in values.parse_list(&s::ANNOUNCE_ADDRESSES)? {
        let address = host.with_default_port(port);
        let announced = AnnounceAddr::new(address, detection.allow_private)
            .map_err(|problem| invalid(place.clone(), key, address, &problem.to_string()))?;
        if has_family(&addresses, address) {
            return Err(invalid(place, key, address, ONE_TOO_MANY));
        }
        addresses.push(announced);
    }
    if addresses.is_empty() {
        for (address, place) in listen.iter().zip(listen_sources(values)) {
            let Ok(announced) = AnnounceAddr::new(*address, detection.allow_private) else { continue };
            if has_family(&addresses, *address) {
                return Err(invalid(place, key, address, ONE_TOO_MANY));
            }
            addresses.push(announced);
        }
    }
    Ok(AnnounceConfig { addresses, detection })
}

const ONE_TOO_MANY: &str =
    "is one too many: a node announces at most one IPv4 and one IPv6 address, choose them with --announce-host";

fn has_family(addresses: &[AnnounceAddr], address: SocketAddr) -> bool {
    addresses.iter().any(|other| other.get().is_ipv4() == address.is_ipv4())
}

fn listen_sources(values: &Values) -> impl Iterator<Item = Source> {
    let written = values.of(&s::LISTEN_ADDRESSES.about).iter().map(|value| value.source.clone());
    written.chain(std::iter::repeat(Source::Program))
}

/// How addresses are detected, which does not take a whole configuration.
///
/// # Errors
/// When one of these settings is not allowed.
pub fn detection(values: &Values) -> Result<DetectionConfig, ConfigError> {
    let echo_url = match values.of(&s::ANNOUNCE_ECHO_URL.about) {
        [] => None,
        _ => Some(values.parse(&s::ANNOUNCE_ECHO_URL)?),
    };
    let (source, place) = values.parse_with_source(&s::ANNOUNCE_SOURCE)?;
    let service = values.parse(&s::ANNOUNCE_SERVICE)?;
    if source == AnnounceSource::KubernetesService && service.is_empty() {
        let problem = "needs the Service's name in announce.service";
        return Err(invalid(place, s::ANNOUNCE_SOURCE.about.key, "kubernetes-service", problem));
    }
    Ok(DetectionConfig {
        cloud: values.parse(&s::ADDRESS_CLOUD)?,
        source,
        service,
        echo_url,
        allow_private: values.parse(&s::ANNOUNCE_ALLOW_PRIVATE)?,
        recheck: values.parse(&s::ANNOUNCE_RECHECK)?,
    })
}

fn directory(values: &Values) -> Result<DirectoryConfig, ConfigError> {
    let url = values.parse(&s::DIRECTORY_URL)?;
    let metrics_url = match values.of(&s::DIRECTORY_METRICS_URL.about) {
        [] => url.clone(),
        _ => values.parse(&s::DIRECTORY_METRICS_URL)?,
    };
    let topology_refresh = values.parse(&s::DIRECTORY_TOPOLOGY_REFRESH)?;
    Ok(DirectoryConfig { url, metrics_url, topology_refresh, take_over: false })
}

fn keys(values: &Values) -> Result<KeysConfig, ConfigError> {
    Ok(KeysConfig {
        private_identity: values.parse(&s::KEYS_PRIVATE_IDENTITY)?,
        public_identity: values.parse(&s::KEYS_PUBLIC_IDENTITY)?,
        private_sphinx: values.parse(&s::KEYS_PRIVATE_SPHINX)?,
        public_sphinx: values.parse(&s::KEYS_PUBLIC_SPHINX)?,
    })
}

fn mix(values: &Values) -> Result<MixConfig, ConfigError> {
    Ok(MixConfig {
        workers: values.parse(&s::MIX_WORKERS)?,
        delay_max: values.parse(&s::MIX_DELAY_MAX)?,
        memory_bytes: values.parse(&s::MIX_MEMORY)?,
    })
}

fn forward(values: &Values) -> Result<ForwardConfig, ConfigError> {
    let backoff_initial = values.parse(&s::FORWARD_BACKOFF_INITIAL)?;
    let (backoff_max, place) = values.parse_with_source(&s::FORWARD_BACKOFF_MAX)?;
    if backoff_max < backoff_initial {
        let value = humantime::format_duration(backoff_max);
        return Err(invalid(place, s::FORWARD_BACKOFF_MAX.about.key, value, "is less than forward.backoff_initial"));
    }
    Ok(ForwardConfig {
        policy: values.parse(&s::FORWARD_POLICY)?,
        connect_timeout: values.parse(&s::FORWARD_CONNECT_TIMEOUT)?,
        backoff_initial,
        backoff_max,
        stale_after: values.parse(&s::FORWARD_STALE_AFTER)?,
        queue_packets_max: values.parse(&s::FORWARD_QUEUE_PACKETS_MAX)?,
        next_hops_max: values.parse(&s::FORWARD_NEXT_HOPS_MAX)?,
        idle_timeout: values.parse(&s::FORWARD_IDLE_TIMEOUT)?,
    })
}

fn connections(values: &Values) -> Result<ConnectionsConfig, ConfigError> {
    Ok(ConnectionsConfig {
        total_max: values.parse(&s::CONNECTIONS_TOTAL_MAX)?,
        per_address_max: values.parse(&s::CONNECTIONS_PER_ADDRESS_MAX)?,
        frame_deadline: values.parse(&s::CONNECTIONS_FRAME_DEADLINE)?,
        idle_timeout: values.parse(&s::CONNECTIONS_IDLE_TIMEOUT)?,
    })
}

fn shutdown(values: &Values) -> Result<ShutdownConfig, ConfigError> {
    Ok(ShutdownConfig {
        linger: values.parse(&s::SHUTDOWN_LINGER)?,
        drain_deadline: values.parse(&s::SHUTDOWN_DRAIN_DEADLINE)?,
    })
}

fn limits(values: &Values) -> Result<LimitsConfig, ConfigError> {
    Ok(LimitsConfig {
        nofile: values.parse(&s::LIMITS_NOFILE)?,
        nofile_strict: values.parse(&s::LIMITS_NOFILE_STRICT)?,
    })
}

fn invalid(place: Source, key: &'static str, value: impl fmt::Display, problem: &str) -> ConfigError {
    InvalidValue { place, key, value: value.to_string(), problem: problem.to_owned() }.into()
}

// Whoever builds a configuration in code gets the defaults of the table, and cannot get others.
macro_rules! defaults_from_table {
    ($($section:ty: $read:ident;)*) => {$(
        impl Default for $section {
            fn default() -> Self {
                // Constant texts, and a test parses each of them.
                $read(&Values::default()).expect("the defaults are allowed values")
            }
        }
    )*};
}

defaults_from_table! {
    KeysConfig: keys;
    MixConfig: mix;
    ForwardConfig: forward;
    ConnectionsConfig: connections;
    ShutdownConfig: shutdown;
    LimitsConfig: limits;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minimal() -> Values {
        let mut values = Values::default();
        values.set(&s::NODE_ID.about, "mix090", &Source::Program);
        values.set(&s::NODE_LAYER.about, "2", &Source::Program);
        values.set(&s::LISTEN_ADDRESSES.about, "36.68.243.1", &Source::Flag("--host"));
        values
    }

    fn with(about: &'static settings::About, texts: &[&str]) -> Result<Config, String> {
        let mut values = minimal();
        values.set_list(about, texts.iter().copied(), &Source::Flag("--flag"));
        Config::from_values(&values).map_err(|error| error.to_string())
    }

    fn announced(config: &Config) -> Vec<SocketAddr> {
        config.announce.addresses.iter().map(|address| address.get()).collect()
    }

    #[test]
    fn what_is_not_set_has_the_documented_default() {
        let config = Config::from_values(&minimal()).unwrap();
        let address: SocketAddr = "36.68.243.1:1789".parse().unwrap();
        assert_eq!(config.listen.addresses, [BindAddr::new(address)]);
        assert_eq!(announced(&config), [address]);
        assert_eq!(config.directory.metrics_url, config.directory.url);
        assert_eq!(config.mix, MixConfig { workers: 0, delay_max: Duration::from_secs(10), memory_bytes: 256 << 20 });
        assert_eq!(config.forward, ForwardConfig::default());
        assert_eq!(config.connections, ConnectionsConfig::default());
        assert_eq!(config.shutdown, ShutdownConfig::default());
        assert_eq!(config.keys, KeysConfig::default());
    }

    #[test]
    fn the_file_gives_what_was_written_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.yaml");
        let mut values = minimal();
        values.set(&s::NODE_LOCATION.about, "Null Island: \"0, 0\"", &Source::Program);
        values.set(&s::FORWARD_POLICY.about, "any", &Source::Program);
        values.set_list(&s::ANNOUNCE_ADDRESSES.about, ["36.68.243.9", "[2600::1]:7"], &Source::Program);
        create_file(&path, &values).unwrap();
        let config = Config::load(&path, &Values::default()).unwrap();
        assert_eq!(config, Config::from_values(&values).unwrap());
        assert_eq!(config.node.location, "Null Island: \"0, 0\"");

        let mut overrides = Values::default();
        overrides.set(&s::MIX_WORKERS.about, "3", &Source::Flag("--workers"));
        let overridden = Config::load(&path, &overrides).unwrap();
        assert_eq!(overridden.mix.workers, 3);
        assert_eq!(Config { mix: config.mix.clone(), ..overridden }, config);
        assert!(matches!(create_file(&path, &values), Err(CreateFileError::Create(CreateError::Exists(_)))));
    }

    #[test]
    fn every_setting_refuses_what_it_does_not_allow_and_says_what_it_does() {
        for about in settings::ALL {
            let error = with(about, &["\u{7}/"]).unwrap_err();
            assert_eq!(error, format!("--flag: {} \"\\u{{7}}/\" is not {}", about.key, about.allowed));
        }
    }

    #[test]
    fn required_settings_are_asked_for() {
        for about in settings::ALL.iter().filter(|about| about.when_unset == settings::WhenUnset::Required) {
            let mut values = minimal();
            values.set_list(about, [""; 0], &Source::Program);
            let error = Config::from_values(&values).unwrap_err().to_string();
            assert_eq!(error, format!("{} is not set and has no default", about.key));
        }
    }

    #[test]
    fn announced_addresses_are_reachable_ones_one_of_each_family() {
        let set = |texts: &[&str]| with(&s::ANNOUNCE_ADDRESSES.about, texts).map(|config| announced(&config).len());
        assert_eq!(set(&["36.68.243.9", "2600::1"]), Ok(2));
        assert!(set(&["36.68.243.9", "36.68.243.10"]).unwrap_err().contains("one too many"));
        assert!(set(&["2600::1", "2600::2"]).unwrap_err().contains("one too many"));
        let error = set(&["0.0.0.0"]).unwrap_err();
        assert!(error.starts_with("--flag: announce.addresses \"0.0.0.0:1789\" is every"), "{error}");
        assert!(set(&["::"]).unwrap_err().contains("is every"));
        let error = set(&["10.126.5.7"]).unwrap_err();
        assert!(error.contains("is a private address") && error.contains("--announce-host"), "{error}");
        let two = with(&s::LISTEN_ADDRESSES.about, &["36.68.243.9", "36.68.243.10"]).unwrap_err();
        assert!(two.starts_with("--flag: announce.addresses \"36.68.243.10:1789\" is one too many"), "{two}");
    }

    #[test]
    fn what_others_cannot_reach_is_not_announced_but_detected_unless_the_network_is_closed() {
        for listen in ["10.126.5.7", "0.0.0.0", "::", "127.0.0.1"] {
            assert_eq!(announced(&with(&s::LISTEN_ADDRESSES.about, &[listen]).unwrap()), [], "{listen}");
        }
        let mut values = minimal();
        values.set(&s::LISTEN_ADDRESSES.about, "10.126.5.7:7", &Source::Program);
        values.set(&s::ANNOUNCE_ALLOW_PRIVATE.about, "true", &Source::Program);
        assert_eq!(announced(&Config::from_values(&values).unwrap()), ["10.126.5.7:7".parse().unwrap()]);
        values.set_list(&s::LISTEN_ADDRESSES.about, [""; 0], &Source::Program);
        let config = Config::from_values(&values).unwrap();
        assert_eq!(config.listen.addresses, [BindAddr::new("[::]:1789".parse().unwrap())]);
        assert_eq!(announced(&config), []);
    }

    #[test]
    fn an_announced_host_without_a_port_has_the_port_that_is_listened_on() {
        let mut values = minimal();
        values.set(&s::LISTEN_ADDRESSES.about, "10.0.0.1:2000", &Source::Program);
        values.set(&s::ANNOUNCE_ADDRESSES.about, "36.68.243.9", &Source::Program);
        let config = Config::from_values(&values).unwrap();
        assert_eq!(announced(&config), ["36.68.243.9:2000".parse().unwrap()]);
    }

    #[test]
    fn contradictions_are_refused() {
        let error = with(&s::FORWARD_BACKOFF_MAX.about, &["100ms"]).unwrap_err();
        assert_eq!(error, "--flag: forward.backoff_max \"100ms\" is less than forward.backoff_initial");
        let error = with(&s::ANNOUNCE_SOURCE.about, &["kubernetes-service"]).unwrap_err();
        assert!(error.contains("announce.service"), "{error}");
        let error = with(&s::LISTEN_ADDRESSES.about, &["36.68.243.1", "36.68.243.1:1789"]).unwrap_err();
        assert_eq!(error, "--flag: listen.addresses \"36.68.243.1:1789\" is there twice");
    }
}
