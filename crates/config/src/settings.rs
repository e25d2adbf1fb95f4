//! Definitions of all settings: key, help, default and parser.
//!
//! The file written by `init`, the parser, the variables, the flags, the reference and the errors all use this table.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use url::Url;

use super::address::Host;
use super::home::NodeId;
pub use super::kind::Kind;
use super::kind::{Bytes, HasKind};
use super::parse::{
    address_or_off, count, duration, host_or_off, id, path, registry_key, seconds, service, size, switch, text, url,
    websocket_url,
};
use nym_mixnode_telemetry::OtlpProtocol;

use nym_mixnode_address::{AnnounceSource, CloudChoice};
use nym_mixnode_keys::KeyFile;
use nym_mixnode_mix::Rule;
use nym_mixnode_sphinx::{EngineChoice, PacketSize};
use nym_mixnode_telemetry::log::{LogFilter, LogFormat};

/// A setting whose texts parse to `T`; a list has several texts.
#[derive(Debug)]
pub struct Setting<T: 'static> {
    pub about: About,
    pub(super) parse: fn(&str) -> Option<T>,
}

/// The description of a setting.
#[derive(Debug)]
pub struct About {
    /// `section.key`.
    pub key: &'static str,
    pub help: &'static str,
    /// The allowed values, as the complement of "is not …".
    pub allowed: &'static str,
    pub when_unset: WhenUnset,
    pub kind: Kind,
    allows: fn(&str) -> bool,
    names: LazyLock<Names>,
}

/// The names of a setting outside the file.
#[derive(Debug)]
struct Names {
    variable: String,
    flag: String,
}

/// The value of a setting that is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenUnset {
    /// This text.
    Value(&'static str),
    /// Derived; the text describes how.
    Follows(&'static str),
    /// No default: it must be set.
    Required,
}

/// The port of the Nym network's mixnodes.
pub const DEFAULT_PORT: u16 = 1789;
/// The port of a gateway's clients.
pub const DEFAULT_CLIENTS_PORT: u16 = 9000;
/// The port of a gateway's clients with TLS.
pub const DEFAULT_CLIENTS_TLS_PORT: u16 = 9443;
/// The directory server of the 0.9 testnet.
pub const DEFAULT_DIRECTORY: &str = "http://testnet-validator1.nymtech.net:8081";
/// The metrics server of the 0.9 testnet.
pub(super) const DEFAULT_METRICS: &str = "http://testnet-metrics.nymtech.net:8080";

/// Prefix of all environment variables of this program.
pub(super) const VARIABLE_PREFIX: &str = "NYM_MIXNODE_";

const MS: fn(u64) -> Duration = Duration::from_millis;
const SEC: fn(u64) -> Duration = Duration::from_secs;

macro_rules! settings {
    ($($name:ident: $type:ty = $key:literal, $when_unset:expr, $parse:expr, $allowed:literal, $help:literal;)*) => {
        $(
            #[doc = $help]
            pub static $name: Setting<$type> = Setting {
                about: About {
                    key: $key,
                    help: $help,
                    allowed: $allowed,
                    when_unset: $when_unset,
                    kind: <$type as HasKind>::KIND,
                    allows: |text| $name.allows(text),
                    names: LazyLock::new(|| Names::of($key)),
                },
                parse: $parse,
            };
        )*
        /// All settings, in the order of the file; the keys of a section are adjacent.
        pub static ALL: &[&About] = &[$(&$name.about),*];
    };
}

use WhenUnset::{Follows, Required, Value};

settings! {
    NODE_ID: NodeId = "node.id", Required, id,
        "a node's id, which is the name of its directory",
        "The node's name on this machine: also the name of the directory that contains this file.";
    NODE_LAYER: u64 = "node.layer", Required, |t| count(t, 1..=u64::MAX),
        "a layer: a whole number from 1 up",
        "The layer of the mix network that the node belongs to.";
    NODE_LOCATION: String = "node.location", Value("unknown"), text,
        "a text of at most 128 characters on one line",
        "The location of the node, as free text; it helps to debug the network.";
    NODE_INCENTIVES_ADDRESS: String = "node.incentives_address", Value(""), text,
        "a text of at most 128 characters on one line",
        "The address that receives the incentives program's tokens.";

    LISTEN_ADDRESSES: Host = "listen.addresses", Follows("every address of this machine"), |t| t.parse().ok(),
        "an IP address, with or without a port",
        "Bind addresses for packets; 0.0.0.0 and [::] are all addresses of this machine.";
    ANNOUNCE_ADDRESSES: Host = "announce.addresses",
        Follows("the listen addresses that others can reach, or else the detected ones"), |t| t.parse().ok(),
        "an IP address, with or without a port",
        "Public addresses at which other nodes reach this one: at most one IPv4 and one IPv6.";
    ANNOUNCE_PORT: u16 = "announce.port", Follows("the port of the first listen address"),
        |t| count(t, 1..=u16::MAX),
        "a whole number from 1 to 65535",
        "The port of announce addresses that are detected or written without a port. Set it if it differs from the\n\
         listen port: for a Kubernetes node port, a load balancer or a forwarded port.";
    ANNOUNCE_SOURCE: AnnounceSource = "announce.source", Value("auto"), |t| t.parse().ok(),
        "auto, kubernetes-node or kubernetes-service",
        "The source of announce addresses if none are set: the cloud's metadata and this machine's interfaces (auto),\n\
         or in Kubernetes the Node's external addresses or the ingress of a Service.";
    ANNOUNCE_SERVICE: String = "announce.service", Value(""), service,
        "the name of a Kubernetes Service",
        "The Service for announce.source kubernetes-service, in the pod's own namespace.";
    ANNOUNCE_ECHO_URL: Url = "announce.echo_url", Follows("no such service is used"), url,
        "an http:// or https:// URL without query or fragment",
        "A service that returns its caller's address, used last. It learns that the node exists.";
    ANNOUNCE_ALLOW_PRIVATE: bool = "announce.allow_private", Value("false"), switch,
        "true or false",
        "Allow announce addresses that are not reachable from the internet: for closed networks.";
    ANNOUNCE_RECHECK: Duration = "announce.recheck", Value("5m"), |t| duration(t, MS(100)..=SEC(86_400)),
        "a duration from 100ms to 1day, such as 5m",
        "How often the address detection is repeated; SIGHUP repeats it at once.";
    ADDRESS_CLOUD: CloudChoice = "address.cloud", Value("auto"), |t| t.parse().ok(),
        "auto, none, aws, gcp, azure, digitalocean, hetzner, oracle, openstack or vultr",
        "The cloud whose metadata is used; auto selects the one that the machine's firmware names.";

    DIRECTORY_URL: Url = "directory.url", Value(DEFAULT_DIRECTORY), url,
        "an http:// or https:// URL without query or fragment",
        "The directory server, which lists the nodes of the network (\"validator\" in 0.9.2).";
    DIRECTORY_METRICS_URL: Url = "directory.metrics_url", Follows("directory.url"), url,
        "an http:// or https:// URL without query or fragment",
        "The server to which the node reports its packet counts.";
    DIRECTORY_TOPOLOGY_REFRESH: Duration = "directory.topology_refresh", Value("30s"),
        |t| duration(t, MS(100)..=SEC(3600)),
        "a duration from 100ms to 1h, such as 30s",
        "How often the list of nodes is fetched.";
    DIRECTORY_KEY: String = "directory.key",
        Follows("the first key of the directory is kept until the node stops"), registry_key,
        "the `registryKey` of the directory's topology: base58 of 32 bytes",
        "The key with which the directory must sign its answers. If it is not set, a change of the key is logged as an\n\
         error.";
    DIRECTORY_CA_FILE: PathBuf = "directory.ca_file", Follows("the authorities of the system are trusted"), path,
        "a path without a slash at its end",
        "A file with the certificates of the authorities (in PEM) that are trusted for https:// URLs of the directory,\n\
         instead of those of the system. A relative path begins as that of `directory.join_token_file`.";
    DIRECTORY_JOIN_TOKEN_FILE: PathBuf = "directory.join_token_file", Follows("no token is sent"), path,
        "a path without a slash at its end",
        "A file with the token for registration at a closed directory (`registry --join-token-file`). A relative path\n\
         in this file begins at the node's directory, one of a flag or variable at the working directory.";

    KEYS_DIR: PathBuf = "keys.dir", Value("data"), path,
        "a path without a slash at its end",
        "The directory of the four key files; relative paths begin at the node's directory.\n\
         It can be read-only, such as a mounted secret: existing keys are only read.";
    KEYS_PRIVATE_IDENTITY: PathBuf = "keys.private_identity", Follows("private_identity.pem in keys.dir"), path,
        "a path without a slash at its end",
        "The identity's private key.";
    KEYS_PUBLIC_IDENTITY: PathBuf = "keys.public_identity", Follows("public_identity.pem in keys.dir"), path,
        "a path without a slash at its end",
        "The identity's public key, under which the network lists the node.";
    KEYS_PRIVATE_SPHINX: PathBuf = "keys.private_sphinx", Follows("private_sphinx.pem in keys.dir"), path,
        "a path without a slash at its end",
        "The private key that decrypts packets.";
    KEYS_PUBLIC_SPHINX: PathBuf = "keys.public_sphinx", Follows("public_sphinx.pem in keys.dir"), path,
        "a path without a slash at its end",
        "The public key for which senders encrypt packets.";
    KEYS_ALLOW_GROUP_READ: bool = "keys.allow_group_read", Value("false"), switch,
        "true or false",
        "Accept private keys that their group can read, as in a Kubernetes secret mounted with fsGroup.";

    MIX_WORKERS: usize = "mix.workers", Value("0"), |t| count(t, 0..=1024),
        "a whole number from 0 to 1024",
        "Worker threads; 0 is one for each core.";
    MIX_DELAY_MAX: Duration = "mix.delay_max", Value("10s"), |t| duration(t, MS(1)..=SEC(3600)),
        "a duration from 1ms to 1h, such as 10s",
        "The longest mix delay that a sender may request; packets that request more are dropped.";
    MIX_RELEASE_INTERVAL: Duration = "mix.release_interval", Value("1ms"), |t| duration(t, MS(0)..=MS(100)),
        "a duration from 0ms to 100ms, such as 1ms",
        "Packets that become due within such an interval leave together at its end, in random order; 0ms turns this off.";
    MIX_MEMORY: Bytes = "mix.memory", Value("256MiB"), |t| size(t, 1 << 20..=1 << 40).map(Bytes),
        "a size from 1MiB to 1TiB, such as 256MiB",
        "The byte budget for all packets in the node together.";
    MIX_PACKET_SIZES: PacketSize = "mix.packet_sizes", Follows("regular and ack"), PacketSize::from_name,
        "regular, ack, extended8, extended16 or extended32",
        "Packet sizes that the node mixes; packets of any other size are dropped. Add an extended size only if many\n\
         senders use it: among few packets of its size a packet is easy to follow.";

    UNWRAP_ENGINE: EngineChoice = "unwrap.engine", Value("auto"), EngineChoice::from_name,
        "auto, portable, avx2 or avx512",
        "The implementation that unwraps packets: the fastest for this CPU (auto), the one for every CPU (portable), or\n\
         the one for AVX2 with FMA (avx2) or for AVX-512 IFMA (avx512). The node does not start if the CPU cannot run it.";

    REPLAY_WINDOW: Duration = "replay.window", Value("10m"), |t| duration(t, SEC(10)..=SEC(86_400)),
        "a duration from 10s to 1day, such as 10m",
        "The minimum time for which copies of a packet are recognised and dropped.";
    REPLAY_EXPECTED_RATE: u64 = "replay.expected_rate", Value("9000"), |t| count(t, 100..=10_000_000),
        "a whole number from 100 to 10000000",
        "Forwarded packets per second for which replay.window is guaranteed. The reserved memory is proportional to\n\
         the product of both: 35 MiB for the defaults. At higher rates the window is shorter, and the node warns.";

    FORWARD_POLICY: Rule = "forward.policy", Value("topology"), |t| t.parse().ok(),
        "topology, public or any",
        "Permitted next hops: the nodes of the directory (topology), every public address (public), or every address\n\
         (any: only for closed networks, because senders can then reach this machine's neighbours).";
    FORWARD_CONNECT_TIMEOUT: Duration = "forward.connect_timeout", Value("1500ms"),
        |t| duration(t, MS(10)..=SEC(60)),
        "a duration from 10ms to 1m, such as 1500ms",
        "Timeout for connecting to a next hop.";
    FORWARD_BACKOFF_INITIAL: Duration = "forward.backoff_initial", Value("500ms"), |t| duration(t, MS(1)..=SEC(600)),
        "a duration from 1ms to 10m, such as 500ms",
        "The back-off after the first failed connection; it doubles with each further failure.";
    FORWARD_BACKOFF_MAX: Duration = "forward.backoff_max", Value("60s"), |t| duration(t, MS(1)..=SEC(3600)),
        "a duration from 1ms to 1h, such as 60s",
        "The longest back-off.";
    FORWARD_STALE_AFTER: Duration = "forward.stale_after", Value("10s"), |t| duration(t, MS(1)..=SEC(3600)),
        "a duration from 1ms to 1h, such as 10s",
        "Packets for an unreachable next hop are dropped this long after their mix delay has passed.";
    FORWARD_QUEUE_PACKETS_MAX: usize = "forward.queue_packets_max", Value("2000"), |t| count(t, 1..=1_000_000),
        "a whole number from 1 to 1000000",
        "Limit of packets queued for one next hop.";
    FORWARD_NEXT_HOPS_MAX: usize = "forward.next_hops_max", Value("4096"), |t| count(t, 1..=65_536),
        "a whole number from 1 to 65536",
        "Limit of next hops with a queue.";
    FORWARD_IDLE_TIMEOUT: Duration = "forward.idle_timeout", Value("5m"), |t| duration(t, MS(100)..=SEC(86_400)),
        "a duration from 100ms to 1day, such as 5m",
        "Outgoing connections without packets are closed after this time.";

    CONNECTIONS_TOTAL_MAX: usize = "connections.total_max", Value("16384"), |t| count(t, 1..=1_000_000),
        "a whole number from 1 to 1000000",
        "Limit of incoming connections in total.";
    CONNECTIONS_PER_ADDRESS_MAX: usize = "connections.per_address_max", Value("1024"), |t| count(t, 1..=1_000_000),
        "a whole number from 1 to 1000000",
        "Limit of incoming connections from one IPv4 address or one IPv6 /64.";
    CONNECTIONS_FRAME_DEADLINE: Duration = "connections.frame_deadline", Value("10s"),
        |t| duration(t, MS(100)..=SEC(600)),
        "a duration from 100ms to 10m, such as 10s",
        "Deadline for receiving the rest of a packet after its first byte.";
    CONNECTIONS_IDLE_TIMEOUT: Duration = "connections.idle_timeout", Value("10m"),
        |t| duration(t, MS(100)..=SEC(86_400)),
        "a duration from 100ms to 1day, such as 10m",
        "Incoming connections without packets are closed after this time.";

    GATEWAY_LISTEN: Host = "gateway.listen", Follows("port 9000 of every address of this machine"), |t| t.parse().ok(),
        "an IP address, with or without a port",
        "Bind address for clients. The settings of this section are those of `nym-mixnode gateway`; mixnodes ignore them.";
    GATEWAY_ANNOUNCE_URL: String = "gateway.announce_url",
        Follows("ws:// with the first announce address and the port of gateway.listen"),
        |t| websocket_url(t, "ws"),
        "a ws:// URL of at most 128 characters, without query or fragment",
        "The URL at which clients reach the gateway, if it differs: for a name, a proxy or a forwarded port.";
    GATEWAY_TLS_LISTEN: Option<Host> = "gateway.tls_listen", Follows("port 9443 of every address of this machine"),
        host_or_off,
        "an IP address, with or without a port, or off",
        "Bind address for clients with TLS, which those of this program use; off serves clients without TLS alone.";
    GATEWAY_TLS_ANNOUNCE_URL: String = "gateway.tls_announce_url",
        Follows("wss:// with the first announce address and the port of gateway.tls_listen"),
        |t| websocket_url(t, "wss"),
        "a wss:// URL of at most 128 characters, without query or fragment",
        "The URL at which clients reach the gateway with TLS, if it differs. A proxy in between must not end TLS.";
    GATEWAY_TLS_CERTIFICATE_FILE: PathBuf = "gateway.tls_certificate_file",
        Follows("a self-signed certificate, with a key derived from the identity key"), path,
        "a path without a slash at its end",
        "A file with the certificate for clients (in PEM), read again when it changes. Clients check only its key, whose\n\
         hash the gateway announces: keep the key in renewals. A relative path begins as that of `directory.ca_file`.";
    GATEWAY_TLS_KEY_FILE: PathBuf = "gateway.tls_key_file", Follows("the key is derived from the identity key"), path,
        "a path without a slash at its end",
        "A file with the private key of this certificate (in PEM), which others cannot read.";
    GATEWAY_CLIENTS_MAX: u64 = "gateway.clients_max", Value("100000"), |t| count(t, 1..=10_000_000),
        "a whole number from 1 to 10000000",
        "Limit of registered clients.";
    GATEWAY_INBOX_MESSAGES_MAX: u64 = "gateway.inbox_messages_max", Value("10000"), |t| count(t, 1..=10_000_000),
        "a whole number from 1 to 10000000",
        "Limit of stored messages for one absent client; 10000 take 16 MB.";
    GATEWAY_MESSAGES_MAX: u64 = "gateway.messages_max", Value("1000000"), |t| count(t, 1..=100_000_000),
        "a whole number from 1 to 100000000",
        "Limit of stored messages for all absent clients; 1000000 take 1.7 GB.";
    GATEWAY_MESSAGE_AGE_MAX: Duration = "gateway.message_age_max", Value("14day"),
        |t| duration(t, SEC(3600)..=SEC(31_622_400)),
        "a duration from 1h to 366day, such as 14day",
        "Stored messages are removed at this age.";
    GATEWAY_CONNECTIONS_MAX: usize = "gateway.connections_max", Value("16384"), |t| count(t, 1..=1_000_000),
        "a whole number from 1 to 1000000",
        "Limit of connections of clients in total.";
    GATEWAY_CONNECTIONS_PER_ADDRESS_MAX: usize = "gateway.connections_per_address_max", Value("128"),
        |t| count(t, 1..=1_000_000),
        "a whole number from 1 to 1000000",
        "Limit of connections of clients from one IPv4 address or one IPv6 /64.";

    HTTP_LISTEN: Option<SocketAddr> = "http.listen", Value("127.0.0.1:8000"), address_or_off,
        "an IP address with its port, such as 127.0.0.1:8000, or off",
        "The bind address of the HTTP endpoints for operators: /livez, /readyz, /status and /metrics.\n\
         Use loopback, or an address that only you can reach.";

    LOG_FORMAT: LogFormat = "log.format", Value("text"), |t| t.parse().ok(),
        "text or json",
        "The format of the log on standard error: lines for people (text), or one object per line (json).\n\
         SIGHUP reloads this setting and the filter.";
    LOG_FILTER: LogFilter = "log.filter", Follows("info"), |t| t.parse().ok(),
        "a log filter such as info or warn,nym_mixnode::directory=debug",
        "The log filter. The variable `RUST_LOG` takes precedence over this file; the flag and the variable of this\n\
         setting take precedence over `RUST_LOG`.";

    TELEMETRY_WINDOW: Duration = "telemetry.window", Value("1m"), |t| seconds(t, SEC(10)..=SEC(300)),
        "a duration of whole seconds from 10s to 5m, such as 1m",
        "Packets are counted over windows of this length, which end at multiples of it. Longer ones reveal less;\n\
         the supplied alert rules and dashboards work up to the maximum.";
    TELEMETRY_OTLP_ENDPOINT: Url = "telemetry.otlp_endpoint",
        Follows("OTEL_EXPORTER_OTLP_ENDPOINT; without it nothing is exported"), url,
        "an http:// or https:// URL without query or fragment",
        "The OpenTelemetry collector for spans and metrics. The standard OTEL_ variables take precedence over it.";
    TELEMETRY_OTLP_PROTOCOL: OtlpProtocol = "telemetry.otlp_protocol", Value("http/protobuf"), |t| t.parse().ok(),
        "http/protobuf or grpc",
        "The protocol of the collector: http/protobuf (usually port 4318) or grpc (4317).";

    SHUTDOWN_LINGER: Duration = "shutdown.linger", Value("5s"), |t| duration(t, MS(0)..=SEC(3600)),
        "a duration from 0s to 1h, such as 5s",
        "How long the node continues to mix after it unregistered, for senders that still use the old topology.";
    SHUTDOWN_DRAIN_DEADLINE: Duration = "shutdown.drain_deadline", Value("15s"), |t| duration(t, MS(0)..=SEC(3600)),
        "a duration from 0s to 1h, such as 15s",
        "The longest wait for delayed packets to leave.";

    LIMITS_NOFILE: u64 = "limits.nofile", Value("65535"), |t| count(t, 64..=1 << 30),
        "a whole number from 64 to 1073741824",
        "The limit on open files that the node sets at the start, as far as the hard limit allows.";
    LIMITS_NOFILE_STRICT: bool = "limits.nofile_strict", Value("false"), switch,
        "true or false",
        "Refuse to start if the hard limit on open files is lower than limits.nofile.";
}

/// The settings of the key files' paths.
pub static KEY_FILES: [(KeyFile, &Setting<PathBuf>); KeyFile::ALL.len()] = [
    (KeyFile::PrivateIdentity, &KEYS_PRIVATE_IDENTITY),
    (KeyFile::PublicIdentity, &KEYS_PUBLIC_IDENTITY),
    (KeyFile::PrivateSphinx, &KEYS_PRIVATE_SPHINX),
    (KeyFile::PublicSphinx, &KEYS_PUBLIC_SPHINX),
];

/// The setting with this key.
pub fn find(key: &str) -> Option<&'static About> {
    ALL.iter().copied().find(|about| about.key == key)
}

/// The closest known setting to an unknown key.
pub fn nearest(key: &str) -> Option<&'static str> {
    super::nearest::to(key, ALL.iter().map(|about| about.key))
}

/// The settings of one section.
pub(super) fn in_section(section: &str) -> impl Iterator<Item = &'static About> {
    ALL.iter().copied().filter(move |about| about.section_and_name().0 == section)
}

/// The sections, in the order of the file.
pub fn sections() -> Vec<&'static str> {
    let mut sections: Vec<_> = ALL.iter().map(|about| about.section_and_name().0).collect();
    sections.dedup();
    sections
}

impl<T> Setting<T> {
    fn allows(&self, text: &str) -> bool {
        (self.parse)(text).is_some()
    }
}

impl About {
    /// The environment variable of the setting.
    pub fn variable(&'static self) -> &'static str {
        &self.names.variable
    }

    /// The flag of the setting.
    pub fn flag(&'static self) -> &'static str {
        &self.names.flag
    }

    /// Whether the setting allows a text.
    pub fn allows(&self, text: &str) -> bool {
        (self.allows)(text)
    }

    /// Whether the setting is a list of values.
    pub fn is_list(&self) -> bool {
        self.key.ends_with(".addresses") || self.key.ends_with("_sizes")
    }

    /// The two parts of the key.
    pub(super) fn section_and_name(&self) -> (&'static str, &'static str) {
        self.key.split_once('.').unwrap_or((self.key, ""))
    }
}

impl Names {
    fn of(key: &str) -> Self {
        // The id names the node before any file is read, and keeps its short name of 0.9.2.
        let key = if key == "node.id" { "id" } else { key };
        Self {
            variable: format!("{VARIABLE_PREFIX}{}", key.replace('.', "_").to_ascii_uppercase()),
            flag: format!("--{}", key.replace(['.', '_'], "-")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nym_mixnode_keys::KeyPaths;
    use std::collections::BTreeSet;
    use std::path::Path;

    #[test]
    fn names_follow_from_the_key() {
        assert_eq!(DIRECTORY_METRICS_URL.about.variable(), "NYM_MIXNODE_DIRECTORY_METRICS_URL");
        assert_eq!(DIRECTORY_METRICS_URL.about.flag(), "--directory-metrics-url");
        assert_eq!((NODE_ID.about.variable(), NODE_ID.about.flag()), ("NYM_MIXNODE_ID", "--id"));
    }

    #[test]
    fn each_key_file_has_a_setting_of_its_own_which_names_its_default() {
        for file in KeyFile::ALL {
            let own: Vec<_> = KEY_FILES.iter().filter(|(of, _)| *of == file).collect();
            let [(_, setting)] = own[..] else { panic!("{file:?}: {own:?}") };
            let (_, name) = setting.about.section_and_name();
            let usual = KeyPaths::in_dir(Path::new(""));
            assert_eq!(&usual[file], Path::new(name).with_extension("pem"), "{file:?}");
            let Follows(default) = setting.about.when_unset else { panic!("{file:?}") };
            assert_eq!(default, format!("{name}.pem in keys.dir"));
        }
    }

    #[test]
    fn no_two_settings_share_a_name() {
        let variables: BTreeSet<_> = ALL.iter().map(|about| about.variable().to_owned()).collect();
        let flags: BTreeSet<_> = ALL.iter().map(|about| about.flag()).collect();
        assert_eq!((variables.len(), flags.len()), (ALL.len(), ALL.len()));
        // The variable of a setting must not equal the `…_FILE` variable of another.
        assert!(variables.iter().all(|variable| !variables.contains(&format!("{variable}_FILE"))));
    }

    #[test]
    fn the_default_of_a_setting_is_of_its_kind() {
        for about in ALL {
            if let Value(text) = about.when_unset {
                assert!(about.allows(text) && about.kind.describes(text), "{}: {text:?}", about.key);
            }
        }
    }
}
