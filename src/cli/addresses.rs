//! Announce addresses of a command: configured or detected.

use std::io::Write;

use nym_mixnode_address::{AnnounceAddr, Announced, DetectError, Detection, Detector};
use nym_mixnode_config::{Config, Source, Values, settings as s};
use nym_mixnode_net::{Listening, NotPublic};
use nym_mixnode_telemetry::otel::Telemetry;

use super::output::print_to;
use super::{Exit, Failure};

/// Flags of the announce-address detection.
#[derive(Debug, clap::Args)]
pub(super) struct AddressFlags {
    /// Cloud whose metadata service provides the public addresses: auto, none, aws, gcp, azure, digitalocean and others
    ///
    /// `auto` reads it from the firmware, which a container may hide. All: auto, none, aws, gcp, azure, digitalocean,
    /// hetzner, oracle, openstack, vultr.
    #[arg(long, value_name = "CLOUD", help_heading = "Addresses")]
    cloud: Option<String>,
    /// Also announce addresses that the internet cannot reach: for closed networks
    #[arg(long, help_heading = "Addresses")]
    allow_private: bool,
}

impl AddressFlags {
    /// The settings that these flags set.
    pub(super) fn values(&self) -> Values {
        let mut values = Values::default();
        if let Some(cloud) = &self.cloud {
            values.set(&s::ADDRESS_CLOUD.about, cloud, &Source::Flag("--cloud"));
        }
        if self.allow_private {
            values.set(&s::ANNOUNCE_ALLOW_PRIVATE.about, "true", &Source::Flag("--allow-private"));
        }
        values
    }
}

/// Detected announce addresses, each with its source.
pub(super) struct Found {
    pub(super) detector: Detector,
    pub(super) detection: Detection,
}

/// Detects the announce addresses of a configuration without any; `None` if it has some.
///
/// # Errors
/// When no address is found and none can appear later.
pub(super) async fn find_missing(config: &Config, telemetry: &Telemetry) -> Result<Option<Found>, Failure> {
    if !config.announce.addresses.is_empty() {
        return Ok(None);
    }
    let detector = Detector::new(config.announce.detection.clone(), config.announce.port);
    let detection = telemetry.detect(detector.detect()).await;
    let detection = if detection.is_awaited {
        detection
    } else {
        detection.found().map_err(|error| nothing_to_announce(config, &error))?
    };
    for step in detection.steps.iter().filter(|step| step.failed) {
        tracing::warn!("detecting the announce addresses: {}: {}", step.asked, step.answer);
    }
    Ok(Some(Found { detector, detection }))
}

/// Why a node has no address to announce. A node that listens on private addresses only is most likely meant for
/// a network of private addresses.
fn nothing_to_announce(config: &Config, error: &DetectError) -> Failure {
    let private = config.listen.addresses.iter().find_map(|Listening { address, source }| {
        let kind = NotPublic::of(address.get().ip()).filter(|kind| !kind.is_nowhere())?;
        Some(format!(
            "{source}: the node listens on {address}, {kind}, which the internet cannot reach: in a network of your \
             own pass --allow-private to announce it, elsewhere give the public address with --announce-host (looked \
             for it: {})",
            error.tried()
        ))
    });
    match private {
        Some(message) => Failure::new(Exit::UNAVAILABLE, message),
        None => Failure::new(Exit::UNAVAILABLE, error),
    }
}

/// Checks that a new node has an address to announce, and prints the detected ones to `out`.
///
/// Each start detects them again, so they are not saved: a machine's public address may change.
///
/// # Errors
/// When no address is configured and none is found.
pub(super) async fn settle_announced(config: &Config, out: &mut impl Write) -> Result<(), Failure> {
    if let Some(Found { detection, .. }) = find_missing(config, &Telemetry::default()).await? {
        for line in announcing(&detection) {
            print_to(&mut *out, line)?;
        }
    }
    Ok(())
}

/// Lines that list the detected addresses, or what the node waits for.
pub(super) fn announcing(detection: &Detection) -> Vec<String> {
    if detection.is_awaited {
        return vec![format!("Waiting for an address to announce: {}", detection.tried())];
    }
    let found = detection.announce.iter();
    found.map(|Announced { address, source }| announcing_line(*address, Some(source))).collect()
}

/// Line for one address; `source` is `None` for a configured one.
pub(super) fn announcing_line(address: AnnounceAddr, source: Option<&str>) -> String {
    let source = source.map(|source| format!(" ({source})")).unwrap_or_default();
    format!("Announcing the following socket address: {address}{source}")
}
