//! The announce addresses of a command: those that are configured, or those that are found.

use std::io::Write;

use crate::address::{Detected, Detection, Detector};
use crate::config::settings as s;
use crate::config::{Config, Source, Values};

use super::Failure;
use super::output::say;

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

/// Finds the announce addresses of a configuration that has none; `None` when it has some.
///
/// # Errors
/// When nothing is found.
pub(super) async fn find_missing(config: &Config) -> Result<Option<(Detector, Detection)>, Failure> {
    if !config.announce.addresses.is_empty() {
        return Ok(None);
    }
    let detector = Detector::new(config.announce.detection.clone(), config.announce.port);
    let detection = detector.detect().await.found()?;
    for step in detection.steps.iter().filter(|step| step.failed) {
        tracing::warn!("looking for the announce addresses: {}: {}", step.asked, step.answer);
    }
    Ok(Some((detector, detection)))
}

/// Makes sure that a new node has something to announce, and tells on `out` what is found.
///
/// It is found once more at each start, and so not written down: a machine's public address may change.
///
/// # Errors
/// When a setting isn't allowed, or nothing is configured and nothing found.
pub(super) async fn settle_announced(values: &Values, out: &mut impl Write) -> Result<(), Failure> {
    if let Some((_, detection)) = find_missing(&Config::from_values(values)?).await? {
        for detected in &detection.announce {
            say(&mut *out, announcing(detected))?;
        }
    }
    Ok(())
}

/// The line that tells of an address that was found.
pub(super) fn announcing(detected: &Detected) -> String {
    format!("Announcing the following socket address: {} ({})", detected.address, detected.source)
}
