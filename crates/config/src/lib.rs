//! The node's configuration: one typed, immutable value, parsed once.
//!
//! Unknown settings and invalid values are errors; they never fall back to a default.

pub mod address;
mod announce;
pub mod environment;
mod error;
mod file;
pub mod home;
mod kind;
mod layers;
pub mod migrate;
mod nearest;
mod parse;
pub mod reference;
mod running;
pub mod schema;
mod service_link;
pub mod settings;
mod values;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use announce::{announced, listening};
pub use environment::Environment;
pub use error::{ConfigError, ConfigErrors, InvalidValue};
pub use home::{NodeHome, NodeId};
pub use layers::Layers;
pub use parse::http_url;
pub use values::{Source, Value, Values};

use announce::{announce, listen, listen_addresses};
use nym_mixnode_address::{Announced, DetectionConfig};
use nym_mixnode_base::open_files::LimitsConfig;
use nym_mixnode_base::staging::{self, CreateError};
use nym_mixnode_directory::DirectoryConfig;
use nym_mixnode_keys::{KeyPaths, KeysConfig};
use nym_mixnode_mix::ReplayWindow;
use nym_mixnode_net::{BindAddr, Listening};
use nym_mixnode_sphinx::PacketSizes;
use nym_mixnode_telemetry::TelemetryConfig;
use nym_mixnode_telemetry::log::{LogFilter, LogFormat};
use settings as s;

/// Memory limit of the configured replay filter: far more than any node needs.
const REPLAY_MEMORY_MAX: usize = 64 << 30;

/// The complete configuration, parsed and checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub node: NodeConfig,
    pub listen: ListenConfig,
    pub announce: AnnounceConfig,
    pub directory: DirectoryConfig,
    pub keys: KeysConfig,
    pub mix: MixConfig,
    pub replay: ReplayConfig,
    pub forward: ForwardConfig,
    pub connections: ConnectionsConfig,
    pub http: HttpConfig,
    pub log: LogConfig,
    pub telemetry: TelemetryConfig,
    pub shutdown: ShutdownConfig,
    pub limits: LimitsConfig,
    /// The texts that the sections were parsed from, each with its source.
    pub values: Values,
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
    pub addresses: Vec<Listening>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct AnnounceConfig {
    /// `host:port`, one or two (IPv4 and IPv6); empty if they are to be detected.
    pub addresses: Vec<Announced>,
    /// Port of detected addresses.
    pub port: u16,
    /// How addresses are detected.
    pub detection: DetectionConfig,
}

#[derive(Debug, Clone, PartialEq)]
pub struct MixConfig {
    /// Worker threads; 0 means one for each core.
    pub workers: usize,
    /// Longest delay that a sender may request.
    pub delay_max: Duration,
    /// Byte budget for all packets in the node.
    pub memory_bytes: usize,
    /// Packet sizes that are mixed; others are dropped.
    pub packet_sizes: PacketSizes,
}

/// Settings of the replay filter.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplayConfig {
    pub window: ReplayWindow,
}

/// Permitted next hops.
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
    /// Packets for an unreachable next hop are dropped this long after their mix delay has passed.
    pub stale_after: Duration,
    /// Limit of packets queued for one next hop.
    pub queue_packets_max: usize,
    /// Limit of next hops with a queue.
    pub next_hops_max: usize,
    /// Timeout of outgoing connections without packets.
    pub idle_timeout: Duration,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ConnectionsConfig {
    /// Limit of incoming connections in total.
    pub total_max: usize,
    /// Limit of incoming connections from one IPv4 address or IPv6 /64.
    pub per_address_max: usize,
    /// Deadline for the rest of a frame after its first byte.
    pub frame_deadline: Duration,
    /// Timeout of incoming connections without data.
    pub idle_timeout: Duration,
}

/// The operator's HTTP endpoints.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpConfig {
    /// `None` disables HTTP; port 0 takes any free one.
    pub listen: Option<SocketAddr>,
    /// Whether the address was configured. The default address may be in use, for example by a second node.
    pub is_chosen: bool,
}

/// Format and filter of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct LogConfig {
    pub format: LogFormat,
    /// `None` keeps the filter of `RUST_LOG` or the default.
    filter: Option<LogFilter>,
    /// Whether the filter comes from the file, over which `RUST_LOG` takes precedence.
    is_of_file: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ShutdownConfig {
    /// How long the node keeps mixing after it unregistered, while clients still use the old topology.
    pub linger: Duration,
    /// Longest wait for delayed packets to leave.
    pub drain_deadline: Duration,
}

impl Config {
    /// Reads a node's configuration file and applies `overrides`.
    ///
    /// # Errors
    /// If the file cannot be read, or a setting is unknown, missing or not allowed.
    pub fn load(path: &Path, overrides: &Values) -> Result<Self, ConfigErrors> {
        let mut layers = Layers::default();
        if !layers.file(path) {
            return Err(ConfigError::NotFound(path.to_owned()).into());
        }
        layers.values(overrides);
        layers.finish()
    }

    /// Parses and checks the settings.
    ///
    /// # Errors
    /// Lists every setting that is missing or not allowed.
    pub fn from_values(values: &Values) -> Result<Self, ConfigErrors> {
        let mut invalid: Vec<_> = values.refused().collect();
        // Each section checks its rules between settings; the settings check their own values.
        let broken =
            [listen_addresses(values).err(), announced(values).err(), forward(values).err(), replay(values).err()];
        for problem in broken.into_iter().flatten() {
            if let ConfigError::Invalid(value) = problem
                && !invalid.contains(&value)
            {
                invalid.push(value);
            }
        }
        let unset = values.unset().map(ConfigError::unset);
        let problems: Vec<_> = invalid.into_iter().map(ConfigError::from).chain(unset).collect();
        match Self::sections(values) {
            Ok(config) if problems.is_empty() => Ok(config),
            Err(problem) if problems.is_empty() => Err(problem.into()),
            _ => Err(ConfigErrors(problems)),
        }
    }

    fn sections(values: &Values) -> Result<Self, ConfigError> {
        let addresses = listen_addresses(values)?;
        Ok(Self {
            node: node(values)?,
            announce: announce(values, &addresses)?,
            listen: listen(addresses),
            directory: directory(values)?,
            keys: keys(values)?,
            mix: mix(values)?,
            replay: replay(values)?,
            forward: forward(values)?,
            connections: connections(values)?,
            http: http(values)?,
            log: log(values)?,
            telemetry: telemetry(values)?,
            shutdown: shutdown(values)?,
            limits: limits(values)?,
            values: values.clone(),
        })
    }
}

impl ListenConfig {
    /// The addresses without their sources.
    #[must_use]
    pub fn bind_addresses(&self) -> Vec<BindAddr> {
        self.addresses.iter().map(|listening| listening.address).collect()
    }
}

impl HttpConfig {
    /// Parses only the HTTP section, independent of the others.
    ///
    /// # Errors
    /// If the address is not allowed.
    pub fn from_values(values: &Values) -> Result<Self, ConfigError> {
        http(values)
    }
}

impl LogConfig {
    /// Parses only the log section, independent of the others.
    ///
    /// # Errors
    /// If a value is not allowed.
    pub fn from_values(values: &Values) -> Result<Self, ConfigError> {
        log(values)
    }

    /// The filter to apply, given whether `RUST_LOG` is set.
    #[must_use]
    pub fn filter(&self, rust_log: Option<LogFilter>) -> LogFilter {
        let configured = self.filter.clone();
        let chosen = if self.is_of_file { rust_log.or(configured) } else { configured.or(rust_log) };
        chosen.unwrap_or_else(LogFilter::info)
    }
}

/// Writes a new configuration file for these settings, with comments.
///
/// Values from `_FILE` variables are not written to it.
///
/// # Errors
/// If the file exists or cannot be created.
pub fn create_file(path: &Path, config: &Config) -> Result<(), CreateError> {
    let mut values = config.values.clone();
    let about = &s::DIRECTORY_JOIN_TOKEN_FILE.about;
    if let (Some(file), Some(Value { source, .. })) = (&config.directory.join_token_file, values.of(about).last()) {
        // Absolute: later commands may run in other working directories.
        let source = source.clone();
        values.set(about, file.to_string_lossy(), &source);
    }
    staging::create_file(path, 0o644, file::render(&values).as_bytes())
}

fn node(values: &Values) -> Result<NodeConfig, ConfigError> {
    Ok(NodeConfig {
        id: values.parse(&s::NODE_ID)?.to_string(),
        layer: values.parse(&s::NODE_LAYER)?,
        location: values.parse(&s::NODE_LOCATION)?,
        incentives_address: values.parse(&s::NODE_INCENTIVES_ADDRESS)?,
    })
}

fn directory(values: &Values) -> Result<DirectoryConfig, ConfigError> {
    let url = values.parse(&s::DIRECTORY_URL)?;
    let metrics_url = match values.of(&s::DIRECTORY_METRICS_URL.about) {
        [] => url.clone(),
        _ => values.parse(&s::DIRECTORY_METRICS_URL)?,
    };
    let topology_refresh = values.parse(&s::DIRECTORY_TOPOLOGY_REFRESH)?;
    let key = match values.of(&s::DIRECTORY_KEY.about) {
        [] => None,
        _ => Some(values.parse(&s::DIRECTORY_KEY)?),
    };
    let join_token_file = match values.of(&s::DIRECTORY_JOIN_TOKEN_FILE.about) {
        [] => None,
        _ => Some(located(values.parse_with_source(&s::DIRECTORY_JOIN_TOKEN_FILE)?)),
    };
    Ok(DirectoryConfig { url, metrics_url, topology_refresh, key, join_token_file, take_over: false })
}

/// A path of the file begins at the node's directory, any other one at the working directory.
fn located((path, source): (PathBuf, Source)) -> PathBuf {
    match source {
        Source::File { path: file, .. } => home::dir_of(&file).join(path),
        _ => std::path::absolute(&path).unwrap_or(path),
    }
}

/// Parses only the section of the key files, independent of the others.
///
/// # Errors
/// If a path is not allowed.
pub fn keys(values: &Values) -> Result<KeysConfig, ConfigError> {
    let mut paths = KeyPaths::in_dir(&values.parse(&s::KEYS_DIR)?);
    for (file, setting) in s::KEY_FILES {
        if let Some(path) = values.parse_if_set(setting)? {
            paths.set(file, path);
        }
    }
    Ok(KeysConfig { paths, allow_group_read: values.parse(&s::KEYS_ALLOW_GROUP_READ)? })
}

fn mix(values: &Values) -> Result<MixConfig, ConfigError> {
    Ok(MixConfig {
        workers: values.parse(&s::MIX_WORKERS)?,
        delay_max: values.parse(&s::MIX_DELAY_MAX)?,
        memory_bytes: values.parse(&s::MIX_MEMORY)?.0,
        packet_sizes: packet_sizes(values)?,
    })
}

fn packet_sizes(values: &Values) -> Result<PacketSizes, ConfigError> {
    let sizes = values.parse_list(&s::MIX_PACKET_SIZES)?;
    if sizes.is_empty() {
        return Ok(PacketSizes::default());
    }
    Ok(sizes.into_iter().map(|(size, _)| size).collect())
}

fn replay(values: &Values) -> Result<ReplayConfig, ConfigError> {
    let length = values.parse(&s::REPLAY_WINDOW)?;
    let (expected_rate, place) = values.parse_with_source(&s::REPLAY_EXPECTED_RATE)?;
    let window = ReplayWindow { length, expected_rate };
    if window.memory_bytes() > REPLAY_MEMORY_MAX {
        let problem = format!(
            "takes {} GiB of memory with a replay.window of {}, more than {} GiB",
            window.memory_bytes() >> 30,
            humantime::format_duration(length),
            REPLAY_MEMORY_MAX >> 30
        );
        return Err(invalid(place, s::REPLAY_EXPECTED_RATE.about.key, expected_rate, &problem));
    }
    Ok(ReplayConfig { window })
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

fn http(values: &Values) -> Result<HttpConfig, ConfigError> {
    let is_chosen = !values.of(&s::HTTP_LISTEN.about).is_empty();
    Ok(HttpConfig { listen: values.parse(&s::HTTP_LISTEN)?, is_chosen })
}

fn log(values: &Values) -> Result<LogConfig, ConfigError> {
    let is_of_file = values.of(&s::LOG_FILTER.about).iter().any(|value| matches!(value.source, Source::File { .. }));
    let (format, filter) = (values.parse(&s::LOG_FORMAT)?, values.parse_if_set(&s::LOG_FILTER)?);
    Ok(LogConfig { format, filter, is_of_file })
}

/// Parses only the telemetry section, independent of the others.
///
/// # Errors
/// If a value is not allowed.
pub fn telemetry(values: &Values) -> Result<TelemetryConfig, ConfigError> {
    Ok(TelemetryConfig {
        window: values.parse(&s::TELEMETRY_WINDOW)?,
        otlp_endpoint: values.parse_if_set(&s::TELEMETRY_OTLP_ENDPOINT)?,
        otlp_protocol: values.parse(&s::TELEMETRY_OTLP_PROTOCOL)?,
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

#[cfg(test)]
mod tests;
