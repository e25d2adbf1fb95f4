//! The node's configuration: one typed, immutable value, parsed once.
//!
//! Unknown settings and invalid values are errors; they never fall back to a default.

pub mod address;
mod announce;
pub mod environment;
mod error;
mod file;
mod gateway;
pub mod home;
mod kind;
mod layers;
pub mod migrate;
mod nearest;
mod parse;
mod reader;
pub mod reference;
mod running;
pub mod schema;
mod service_link;
pub mod settings;
mod values;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use announce::{announced, listening};
pub use environment::Environment;
pub use error::{ConfigError, ConfigErrors, InvalidValue};
pub use gateway::{GatewayConfig, GatewayTlsConfig};
pub use home::{NodeHome, NodeId, Role};
pub use layers::Layers;
pub use parse::http_url;
pub use running::{RunningMark, RunsAlready};
pub use values::{Source, Value, Values};

use announce::{announce, listen, listen_addresses};
use nym_mixnode_address::{Announced, DetectionConfig};
use nym_mixnode_base::open_files::LimitsConfig;
use nym_mixnode_base::staging::{self, CreateError};
use nym_mixnode_directory::DirectoryConfig;
use nym_mixnode_keys::{KeyPaths, KeysConfig};
use nym_mixnode_mix::{ReplayWindow, Rule, outgoing};
use nym_mixnode_net::{BindAddr, Listening};
use nym_mixnode_sphinx::{EngineChoice, PacketSizes};
use nym_mixnode_telemetry::TelemetryConfig;
use nym_mixnode_telemetry::log::{LogFilter, LogFormat};
use nym_mixnode_wire::Deadlines;
use reader::Reader;
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
    pub unwrap: UnwrapConfig,
    pub replay: ReplayConfig,
    pub forward: ForwardConfig,
    pub connections: ConnectionsConfig,
    pub gateway: GatewayConfig,
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
    /// Length of the intervals at whose ends packets leave; 0 is off.
    pub release_interval: Duration,
    /// Byte budget for all packets in the node.
    pub memory_bytes: usize,
    /// Packet sizes that are mixed; others are dropped.
    pub packet_sizes: PacketSizes,
}

/// Settings of the removal of a packet's layer.
#[derive(Debug, Clone, PartialEq)]
pub struct UnwrapConfig {
    /// Whether the CPU can run it is found at the start.
    pub engine: EngineChoice,
}

/// Settings of the replay filter.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplayConfig {
    pub window: ReplayWindow,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ForwardConfig {
    /// Permitted next hops.
    pub policy: Rule,
    pub limits: outgoing::Settings,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ConnectionsConfig {
    /// Limit of incoming connections in total.
    pub total_max: usize,
    /// Limit of incoming connections from one IPv4 address or IPv6 /64.
    pub per_address_max: usize,
    pub deadlines: Deadlines,
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
        Reader::read(values, Self::sections)?.ok_or_else(|| ConfigError::unset(&s::DIRECTORY_URL.about).into())
    }

    /// All sections; `None` after an error.
    fn sections(reader: &mut Reader) -> Option<Self> {
        let (addresses, mix, directory) = (listen_addresses(reader), mix(reader), directory(reader));
        Some(Self {
            node: node(reader),
            announce: announce(reader, &addresses),
            listen: listen(addresses),
            keys: keys_section(reader),
            unwrap: UnwrapConfig { engine: reader.get(&s::UNWRAP_ENGINE) },
            replay: replay(reader),
            forward: forward(reader, mix.memory_bytes),
            mix,
            connections: connections(reader),
            gateway: gateway::section(reader),
            http: http(reader),
            log: log(reader),
            telemetry: telemetry_section(reader),
            shutdown: shutdown(reader),
            limits: limits(reader),
            values: reader.values.clone(),
            // Last, because the errors of the other sections must be collected before.
            directory: directory?,
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
    pub fn from_values(values: &Values) -> Result<Self, ConfigErrors> {
        Reader::read(values, http)
    }
}

impl LogConfig {
    /// Parses only the log section, independent of the others.
    ///
    /// # Errors
    /// If a value is not allowed.
    pub fn from_values(values: &Values) -> Result<Self, ConfigErrors> {
        Reader::read(values, log)
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
    let DirectoryConfig { ca_file, join_token_file, .. } = &config.directory;
    let tls = config.gateway.tls.as_ref().and_then(|tls| tls.files.as_ref());
    let (certificate, key) = (tls.map(|files| &files.certificate), tls.map(|files| &files.key));
    for (setting, file) in [
        (&s::DIRECTORY_CA_FILE, ca_file.as_ref()),
        (&s::DIRECTORY_JOIN_TOKEN_FILE, join_token_file.as_ref()),
        (&s::GATEWAY_TLS_CERTIFICATE_FILE, certificate),
        (&s::GATEWAY_TLS_KEY_FILE, key),
    ] {
        let about = &setting.about;
        if let (Some(file), Some(Value { source, .. })) = (file, values.of(about).last()) {
            // Absolute: later commands may run in other working directories.
            let source = source.clone();
            values.set(about, file.to_string_lossy(), &source);
        }
    }
    staging::create_file(path, 0o644, file::render(&values).as_bytes())
}

fn node(reader: &mut Reader) -> NodeConfig {
    NodeConfig {
        id: reader.with_source(&s::NODE_ID).map(|(id, _)| id.to_string()).unwrap_or_default(),
        layer: reader.get(&s::NODE_LAYER),
        location: reader.get(&s::NODE_LOCATION),
        incentives_address: reader.get(&s::NODE_INCENTIVES_ADDRESS),
    }
}

/// `None` without a valid URL.
fn directory(reader: &mut Reader) -> Option<DirectoryConfig> {
    let url = reader.with_source(&s::DIRECTORY_URL).map(|(url, _)| url);
    let metrics_url = reader.if_set(&s::DIRECTORY_METRICS_URL);
    let topology_refresh = reader.get(&s::DIRECTORY_TOPOLOGY_REFRESH);
    let key = reader.if_set(&s::DIRECTORY_KEY);
    let ca_file = reader.list(&s::DIRECTORY_CA_FILE).pop().map(located);
    let join_token_file = reader.list(&s::DIRECTORY_JOIN_TOKEN_FILE).pop().map(located);
    let url = url?;
    let metrics_url = metrics_url.unwrap_or_else(|| url.clone());
    Some(DirectoryConfig { url, metrics_url, topology_refresh, key, ca_file, join_token_file, take_over: false })
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
pub fn keys(values: &Values) -> Result<KeysConfig, ConfigErrors> {
    Reader::read(values, keys_section)
}

fn keys_section(reader: &mut Reader) -> KeysConfig {
    let mut paths = KeyPaths::in_dir(&reader.get(&s::KEYS_DIR));
    for (file, setting) in s::KEY_FILES {
        if let Some(path) = reader.if_set(setting) {
            paths.set(file, path);
        }
    }
    KeysConfig { paths, allow_group_read: reader.get(&s::KEYS_ALLOW_GROUP_READ) }
}

fn mix(reader: &mut Reader) -> MixConfig {
    let sizes = reader.list(&s::MIX_PACKET_SIZES);
    MixConfig {
        workers: reader.get(&s::MIX_WORKERS),
        delay_max: reader.get(&s::MIX_DELAY_MAX),
        release_interval: reader.get(&s::MIX_RELEASE_INTERVAL),
        memory_bytes: reader.get(&s::MIX_MEMORY).0,
        packet_sizes: if sizes.is_empty() {
            PacketSizes::default()
        } else {
            sizes.into_iter().map(|(size, _)| size).collect()
        },
    }
}

fn replay(reader: &mut Reader) -> ReplayConfig {
    let length = reader.get(&s::REPLAY_WINDOW);
    let (expected_rate, place) = reader.with_source(&s::REPLAY_EXPECTED_RATE).unwrap_or((0, Source::Program));
    let window = ReplayWindow { length, expected_rate };
    if window.memory_bytes() > REPLAY_MEMORY_MAX {
        let problem = format!(
            "takes {} GiB of memory with a replay.window of {}, more than {} GiB",
            window.memory_bytes() >> 30,
            humantime::format_duration(length),
            REPLAY_MEMORY_MAX >> 30
        );
        reader.reject(place, s::REPLAY_EXPECTED_RATE.about.key, expected_rate, &problem);
    }
    ReplayConfig { window }
}

fn forward(reader: &mut Reader, budget_bytes: usize) -> ForwardConfig {
    let backoff_initial = reader.get(&s::FORWARD_BACKOFF_INITIAL);
    let (backoff_max, place) = reader.with_source(&s::FORWARD_BACKOFF_MAX).unwrap_or((Duration::MAX, Source::Program));
    if backoff_max < backoff_initial {
        let value = humantime::format_duration(backoff_max);
        reader.reject(place, s::FORWARD_BACKOFF_MAX.about.key, value, "is less than forward.backoff_initial");
    }
    let limits = outgoing::Settings {
        connect_timeout: reader.get(&s::FORWARD_CONNECT_TIMEOUT),
        backoff_initial,
        backoff_max,
        stale_after: reader.get(&s::FORWARD_STALE_AFTER),
        queue_packets_max: reader.get(&s::FORWARD_QUEUE_PACKETS_MAX),
        budget_bytes,
        next_hops_max: reader.get(&s::FORWARD_NEXT_HOPS_MAX),
        idle_timeout: reader.get(&s::FORWARD_IDLE_TIMEOUT),
        dial_rates: outgoing::DialRates::NODE,
    };
    ForwardConfig { policy: reader.get(&s::FORWARD_POLICY), limits }
}

fn connections(reader: &mut Reader) -> ConnectionsConfig {
    ConnectionsConfig {
        total_max: reader.get(&s::CONNECTIONS_TOTAL_MAX),
        per_address_max: reader.get(&s::CONNECTIONS_PER_ADDRESS_MAX),
        deadlines: Deadlines {
            frame: reader.get(&s::CONNECTIONS_FRAME_DEADLINE),
            idle: reader.get(&s::CONNECTIONS_IDLE_TIMEOUT),
        },
    }
}

fn http(reader: &mut Reader) -> HttpConfig {
    let is_chosen = !reader.values.of(&s::HTTP_LISTEN.about).is_empty();
    HttpConfig { listen: reader.get(&s::HTTP_LISTEN), is_chosen }
}

fn log(reader: &mut Reader) -> LogConfig {
    let is_of_file =
        reader.values.of(&s::LOG_FILTER.about).iter().any(|value| matches!(value.source, Source::File { .. }));
    LogConfig { format: reader.get(&s::LOG_FORMAT), filter: reader.if_set(&s::LOG_FILTER), is_of_file }
}

/// Parses only the telemetry section, independent of the others.
///
/// # Errors
/// If a value is not allowed.
pub fn telemetry(values: &Values) -> Result<TelemetryConfig, ConfigErrors> {
    Reader::read(values, telemetry_section)
}

fn telemetry_section(reader: &mut Reader) -> TelemetryConfig {
    TelemetryConfig {
        window: reader.get(&s::TELEMETRY_WINDOW),
        otlp_endpoint: reader.if_set(&s::TELEMETRY_OTLP_ENDPOINT),
        otlp_protocol: reader.get(&s::TELEMETRY_OTLP_PROTOCOL),
    }
}

fn shutdown(reader: &mut Reader) -> ShutdownConfig {
    ShutdownConfig { linger: reader.get(&s::SHUTDOWN_LINGER), drain_deadline: reader.get(&s::SHUTDOWN_DRAIN_DEADLINE) }
}

fn limits(reader: &mut Reader) -> LimitsConfig {
    LimitsConfig { nofile: reader.get(&s::LIMITS_NOFILE), nofile_strict: reader.get(&s::LIMITS_NOFILE_STRICT) }
}

#[cfg(test)]
mod tests;
