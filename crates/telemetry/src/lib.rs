//! Telemetry for the operator. It reads the counters of other modules; the data path never waits for it.
//!
//! The rule for all exported data: it follows from what can be observed on the network, from public configuration, and
//! from local state that does not depend on which incoming packet became which outgoing one. So counts are of closed
//! windows and rounded up, and there is no data about a single packet or peer.

pub mod exposition;
pub mod health;
pub mod http;
pub mod instruments;
pub mod log;
pub mod losses;
pub mod otel;
pub mod process;
pub mod readings;
pub mod reference;
pub mod window;

use std::fmt;
use std::time::Duration;

use nym_mixnode_base::redact::redacted;
use strum::{Display, EnumString, VariantNames};
use url::Url;

/// Settings of packet counting and export.
#[derive(Clone, PartialEq)]
pub struct TelemetryConfig {
    /// Length of the windows that packets are counted over.
    pub window: Duration,
    /// The collector, unless the standard variables set one.
    pub otlp_endpoint: Option<Url>,
    /// The protocol of the collector, unless the standard variables set it.
    pub otlp_protocol: OtlpProtocol,
}

/// The OTLP protocols; their texts are the names in the standard variables.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Display, EnumString, VariantNames)]
pub enum OtlpProtocol {
    #[default]
    #[strum(serialize = "http/protobuf")]
    Http,
    #[strum(serialize = "grpc")]
    Grpc,
}

/// Default settings.
impl Default for TelemetryConfig {
    fn default() -> Self {
        Self { window: Duration::from_mins(1), otlp_endpoint: None, otlp_protocol: OtlpProtocol::Http }
    }
}

impl fmt::Debug for TelemetryConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TelemetryConfig")
            .field("window", &self.window)
            .field("otlp_endpoint", &self.otlp_endpoint.as_ref().map(redacted))
            .field("otlp_protocol", &self.otlp_protocol)
            .finish()
    }
}
