//! The announce addresses of a command: those that are configured, or those that are found.

use std::io::Write;

use nym_mixnode_address::{AnnounceAddr, Announced, DetectError, Detection, Detector};
use nym_mixnode_config::{Config, Source, Values, settings as s};
use nym_mixnode_net::{Listening, NotPublic};
use nym_mixnode_telemetry::otel::Telemetry;

use super::output::say;
use super::{Exit, Failure};

/// Flags about finding the announce addresses.
#[derive(Debug, clap::Args)]
pub(super) struct AddressFlags {
    /// Cloud whose metadata tells the public addresses: auto, none, aws, gcp, azure, digitalocean and others
    ///
    /// The firmware names it (auto); in a container that may be hidden. All: auto, none, aws, gcp, azure, digitalocean,
    /// hetzner, oracle, openstack, vultr.
    #[arg(long, value_name = "CLOUD", help_heading = "Addresses")]
    cloud: Option<String>,
    /// Announce also addresses that the internet cannot reach: for closed networks
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

/// What a node that was told no announce address has found, and what found it.
pub(super) struct Found {
    pub(super) detector: Detector,
    pub(super) detection: Detection,
}

/// Finds the announce addresses of a configuration that has none; `None` when it has some.
///
/// # Errors
/// When nothing is found, and nothing comes by itself.
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
        tracing::warn!("looking for the announce addresses: {}: {}", step.asked, step.answer);
    }
    Ok(Some(Found { detector, detection }))
}

/// Why a node has no address to announce. Whoever makes it listen on a private address only, and nowhere else, has
/// most likely a network of private addresses in mind.
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

/// Makes sure that a new node has something to announce, and tells on `out` what is found.
///
/// It is found once more at each start, and so not written down: a machine's public address may change.
///
/// # Errors
/// When a setting isn't allowed, or nothing is configured and nothing found.
pub(super) async fn settle_announced(values: &Values, out: &mut impl Write) -> Result<(), Failure> {
    let mut values = values.clone();
    if values.of(&s::NODE_LAYER.about).is_empty() {
        // Any layer will do for this; which one it becomes is decided later.
        values.set(&s::NODE_LAYER.about, "1", &Source::Program);
    }
    if let Some(Found { detection, .. }) = find_missing(&Config::from_values(&values)?, &Telemetry::default()).await? {
        for line in announcing(&detection) {
            say(&mut *out, line)?;
        }
    }
    Ok(())
}

/// The lines that tell of the addresses that were found, or are waited for.
pub(super) fn announcing(detection: &Detection) -> Vec<String> {
    if detection.is_awaited {
        return vec![format!("Waiting for an address to announce: {}", detection.tried())];
    }
    let found = detection.announce.iter();
    found.map(|Announced { address, source }| announcing_line(*address, Some(source))).collect()
}

/// One such line; what is configured needs no source.
pub(super) fn announcing_line(address: AnnounceAddr, source: Option<&str>) -> String {
    let source = source.map(|source| format!(" ({source})")).unwrap_or_default();
    format!("Announcing the following socket address: {address}{source}")
}
