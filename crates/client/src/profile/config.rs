//! `config.toml` of a client, with the fields of 0.9.2 that apply and the key of the registry.

use std::fmt::Write;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use thiserror::Error;

use crate::endpoint::{Access, Endpoint};

/// Shortest and longest time of these settings.
pub const DURATIONS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_hours(1);
/// Versions of 0.9.2 show these names for what is not set.
const PROTOCOL: &str = "0.9.2";

/// The settings of a client.
#[derive(Debug, Clone, PartialEq)]
pub struct ProfileConfig {
    pub id: String,
    /// URL of the registry.
    pub registry: String,
    /// Base58 of the registry's key; registries of 0.9.2 have none.
    pub registry_key: Option<String>,
    /// Base58 of the gateway's identity.
    pub gateway_id: String,
    /// URL of the gateway without TLS.
    pub gateway_listener: String,
    /// The gateway with TLS, if it had that when the client was created.
    pub gateway_tls: Option<Endpoint>,
    /// Whether to connect without TLS, whatever the gateway announces.
    pub gateway_plain: bool,
    /// Mean delay at each mix, of packets.
    pub packet_delay: Duration,
    /// Mean delay at each mix, of acknowledgements.
    pub ack_delay: Duration,
    /// Mean time between cover packets of the second process.
    pub cover: Duration,
    /// Mean time between packets of the first process.
    pub sending: Duration,
}

/// Why a text is no configuration.
#[derive(Debug, Error)]
pub enum ConfigError {
    #[error("{0}")]
    Toml(#[from] toml::de::Error),
    #[error("{key} is {value:?}, which is no duration from 1ms to 1h")]
    Duration { key: &'static str, value: Duration },
    #[error("gateway_tls_key is {0:?}, which is not base64 of 32 bytes: restore it, or create the client again")]
    TlsKey(String),
}

#[derive(Deserialize)]
struct File {
    client: ClientSection,
    #[serde(default)]
    debug: DebugSection,
}

#[derive(Deserialize)]
struct ClientSection {
    id: String,
    validator_rest_url: String,
    #[serde(default)]
    registry_key: Option<String>,
    gateway_id: String,
    gateway_listener: String,
    #[serde(default)]
    gateway_tls_listener: String,
    #[serde(default)]
    gateway_tls_key: String,
    #[serde(default)]
    gateway_plain: bool,
}

#[derive(Deserialize)]
#[serde(default)]
#[expect(clippy::struct_field_names, reason = "the names in the file")]
struct DebugSection {
    #[serde(deserialize_with = "duration")]
    average_packet_delay: Duration,
    #[serde(deserialize_with = "duration")]
    average_ack_delay: Duration,
    #[serde(deserialize_with = "duration")]
    loop_cover_traffic_average_delay: Duration,
    #[serde(deserialize_with = "duration")]
    message_sending_average_delay: Duration,
}

impl Default for DebugSection {
    fn default() -> Self {
        Self {
            average_packet_delay: Duration::from_millis(50),
            average_ack_delay: Duration::from_millis(50),
            loop_cover_traffic_average_delay: Duration::from_millis(200),
            message_sending_average_delay: Duration::from_millis(20),
        }
    }
}

/// A text such as `50ms`, or a number of milliseconds.
fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Text(String),
        Milliseconds(u64),
    }
    match Written::deserialize(deserializer)? {
        Written::Text(text) => humantime::parse_duration(&text).map_err(serde::de::Error::custom),
        Written::Milliseconds(number) => Ok(Duration::from_millis(number)),
    }
}

impl ClientSection {
    fn gateway_tls(&self) -> Result<Option<Endpoint>, ConfigError> {
        if self.gateway_tls_listener.is_empty() {
            return Ok(None);
        }
        let key = self.gateway_tls_key.parse().map_err(|_| ConfigError::TlsKey(self.gateway_tls_key.clone()))?;
        Ok(Some(Endpoint::tls(self.gateway_tls_listener.clone(), key)))
    }
}

impl ProfileConfig {
    /// # Errors
    /// When a field is missing or invalid. Unknown fields are those of 0.9.2 that do not apply.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        let File { client, debug } = toml::from_str(text)?;
        let gateway_tls = client.gateway_tls()?;
        let config = Self {
            id: client.id,
            registry: client.validator_rest_url,
            registry_key: client.registry_key.filter(|key| !key.is_empty()),
            gateway_id: client.gateway_id,
            gateway_listener: client.gateway_listener,
            gateway_tls,
            gateway_plain: client.gateway_plain,
            packet_delay: debug.average_packet_delay,
            ack_delay: debug.average_ack_delay,
            cover: debug.loop_cover_traffic_average_delay,
            sending: debug.message_sending_average_delay,
        };
        // Without pauses, a client would use all of the machine; without delays, the mixes would not hide it.
        for (key, value) in config.durations() {
            if !DURATIONS.contains(&value) {
                return Err(ConfigError::Duration { key, value });
            }
        }
        Ok(config)
    }

    /// Where the client connects, until it knows what its gateway, with this identity, announces.
    #[must_use]
    pub fn access(&self, gateway: [u8; 32]) -> Access {
        let plain = || Endpoint::plain(self.gateway_listener.clone());
        let known = self.gateway_tls.clone().filter(|_| !self.gateway_plain).unwrap_or_else(plain);
        Access::new(gateway, known, self.gateway_plain)
    }

    fn durations(&self) -> [(&'static str, Duration); 4] {
        [
            ("average_packet_delay", self.packet_delay),
            ("average_ack_delay", self.ack_delay),
            ("loop_cover_traffic_average_delay", self.cover),
            ("message_sending_average_delay", self.sending),
        ]
    }

    /// The text of the file.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut text =
            String::from("# A client of nym-mixnode. The names of the fields are those of 0.9.2.\n\n[client]\n");
        let mut field = |key: &str, value: &str| {
            // A JSON string is a TOML string. Writing to a string does not fail.
            writeln!(text, "{key} = {}", serde_json::Value::from(value)).ok();
        };
        field("version", PROTOCOL);
        field("id", &self.id);
        field("validator_rest_url", &self.registry);
        field("registry_key", self.registry_key.as_deref().unwrap_or_default());
        field("gateway_id", &self.gateway_id);
        field("gateway_listener", &self.gateway_listener);
        let tls = self.gateway_tls.as_ref();
        field("gateway_tls_listener", tls.map(Endpoint::url).unwrap_or_default());
        field("gateway_tls_key", &tls.and_then(Endpoint::key).map(|key| key.to_string()).unwrap_or_default());
        text.push_str(
            "# Connects without TLS even if the gateway announces it: others on the way can then recognise messages.\n",
        );
        writeln!(text, "gateway_plain = {}", self.gateway_plain).ok();
        text.push_str(
            "\n[logging]\n\n# Mean times; all packets are alike, whether they carry something or not.\n[debug]\n",
        );
        for (key, value) in self.durations() {
            writeln!(text, "{key} = \"{}\"", humantime::format_duration(value)).ok();
        }
        text
    }
}
