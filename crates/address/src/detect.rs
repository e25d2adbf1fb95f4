//! Detects the addresses at which others reach this machine, from several sources in a fixed order.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use nym_mixnode_base::redact::redacted;
use nym_mixnode_net::Families;
use strum::{EnumString, VariantNames};
use thiserror::Error;
use url::Url;

use super::cloud::Cloud;
use super::inquiry::{Found, Public, Step};
use super::{AnnounceAddr, Announced, Unannounceable, dmi, echo, interfaces, kubernetes};

/// Selects the cloud whose metadata service is queried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CloudChoice {
    /// The cloud that the machine's firmware names.
    #[default]
    Auto,
    /// No cloud, regardless of the firmware.
    None,
    /// This cloud, regardless of the firmware: in a container the firmware may be hidden, or that of the host.
    Is(Cloud),
}

impl CloudChoice {
    /// The names in the configuration, besides those of the clouds.
    pub const NAMES: [&str; 10] =
        ["auto", "none", "aws", "gcp", "azure", "digitalocean", "hetzner", "oracle", "openstack", "vultr"];
}

impl FromStr for CloudChoice {
    type Err = strum::ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "none" => Ok(Self::None),
            name => name.parse().map(Self::Is),
        }
    }
}

/// Selects the source of detected announce addresses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, EnumString, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum AnnounceSource {
    /// The cloud's metadata, then this machine's interfaces, then the echo service.
    #[default]
    Auto,
    /// The Node on which the pod runs.
    KubernetesNode,
    /// The load balancer of a Service.
    KubernetesService,
}

/// Settings of the detection.
#[derive(Clone, PartialEq, Eq)]
pub struct DetectionConfig {
    /// The cloud to query.
    pub cloud: CloudChoice,
    /// The source of the addresses.
    pub source: AnnounceSource,
    /// The Service of [`AnnounceSource::KubernetesService`].
    pub service: String,
    /// A service that returns the caller's address, if the operator configured one.
    pub echo_url: Option<Url>,
    /// Whether private addresses are accepted, for closed networks.
    pub allow_private: bool,
    /// The families that the node listens on.
    pub listened: Families,
    /// Interval between two detections.
    pub recheck: Duration,
}

impl DetectionConfig {
    /// The cloud on which the machine runs, as far as that is known without a network request.
    #[must_use]
    pub fn known_cloud(&self) -> Option<&'static str> {
        match self.cloud {
            CloudChoice::None => None,
            CloudChoice::Is(cloud) => Some(cloud.into()),
            CloudChoice::Auto => dmi::cloud(Path::new(dmi::DMI_DIR)).ok().map(|(cloud, _)| cloud.into()),
        }
    }
}

impl fmt::Debug for DetectionConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DetectionConfig")
            .field("cloud", &self.cloud)
            .field("source", &self.source)
            .field("service", &self.service)
            .field("echo_url", &self.echo_url.as_ref().map(redacted))
            .field("allow_private", &self.allow_private)
            .field("listened", &self.listened)
            .field("recheck", &self.recheck)
            .finish()
    }
}

/// Detects announce addresses, any number of times.
#[derive(Debug, Clone)]
pub struct Detector {
    config: DetectionConfig,
    /// Port of the detected addresses.
    port: u16,
    dmi_dir: PathBuf,
    /// URL that replaces the cloud's metadata service in tests.
    metadata: Option<String>,
}

/// The result of a detection, with all its steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detection {
    /// At most one IPv4 and one IPv6 address, in this order.
    pub announce: Vec<Announced>,
    /// The steps in order.
    pub steps: Vec<Step>,
    /// Whether there is no address yet but one may appear, for example while a load balancer is being created.
    pub is_awaited: bool,
}

/// No address was detected.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "no address was found that other nodes can reach; tried: {}; set it with --announce-host ADDRESS or \
     NYM_MIXNODE_ANNOUNCE_ADDRESSES, name the cloud with --cloud, or, in a network of private addresses, pass \
     --allow-private",
    tried(.0)
)]
pub struct DetectError(
    /// The steps that were tried.
    pub Vec<Step>,
);

impl DetectError {
    /// The steps and their answers, in one line.
    #[must_use]
    pub fn tried(&self) -> String {
        tried(&self.0)
    }
}

/// Steps and their answers, in one line.
pub(super) fn tried<'s>(steps: impl IntoIterator<Item = &'s Step>) -> String {
    let steps = steps.into_iter().map(|Step { asked, answer, .. }| format!("{asked}: {answer}"));
    steps.collect::<Vec<_>>().join("; ")
}

impl Detector {
    /// Creates a detector of addresses with this port.
    #[must_use]
    pub fn new(config: DetectionConfig, port: u16) -> Self {
        Self { config, port, dmi_dir: dmi::DMI_DIR.into(), metadata: None }
    }

    /// Interval between two detections.
    #[must_use]
    pub fn recheck(&self) -> Duration {
        self.config.recheck
    }

    /// Queries the sources in order until each family that the node listens on has an address.
    pub async fn detect(&self) -> Detection {
        let mut steps = Vec::new();
        let (public, may_come) = match self.config.source {
            AnnounceSource::Auto => (self.on_a_machine(&mut steps).await, false),
            AnnounceSource::KubernetesNode => self.in_kubernetes(None, &mut steps).await,
            AnnounceSource::KubernetesService => self.in_kubernetes(Some(&self.config.service), &mut steps).await,
        };
        let announce = [public.v4, public.v6].into_iter().flatten();
        let announce: Vec<_> = announce.filter(|found| self.is_listened_on(found, &mut steps)).collect();
        let announce: Vec<_> = announce.into_iter().filter_map(|found| self.announced(found, &mut steps)).collect();
        let is_awaited = may_come && announce.is_empty();
        Detection { announce, steps, is_awaited }
    }

    async fn on_a_machine(&self, steps: &mut Vec<Step>) -> Public {
        let allow_private = self.config.allow_private;
        let mut public = Public::default();
        if let Some(cloud) = self.cloud(steps) {
            public = cloud.look_up(self.metadata.as_deref(), allow_private, steps).await;
        }
        if self.missing(&public).any() {
            let local = interfaces::look_up(allow_private, steps);
            public.add(local.v4);
            public.add(local.v6);
        }
        if let Some(url) = self.config.echo_url.as_ref() {
            let missing = self.missing(&public);
            let outgoing = echo::look_up(url, allow_private, missing, steps).await;
            public.add(outgoing.v4);
            public.add(outgoing.v6);
        }
        public
    }

    /// Reads the firmware first, so that machines outside a cloud do not wait for a metadata service.
    fn cloud(&self, steps: &mut Vec<Step>) -> Option<Cloud> {
        let (answer, cloud) = match self.config.cloud {
            CloudChoice::None => ("none, as configured (--cloud, address.cloud)".to_owned(), None),
            CloudChoice::Is(cloud) => (format!("{cloud}, as configured (--cloud, address.cloud)"), Some(cloud)),
            CloudChoice::Auto => match dmi::cloud(&self.dmi_dir) {
                Ok((cloud, why)) => (format!("{cloud}: {why}"), Some(cloud)),
                Err(why) => (why, None),
            },
        };
        steps.push(Step { asked: "cloud".to_owned(), answer, failed: false });
        cloud
    }

    async fn in_kubernetes(&self, service: Option<&str>, steps: &mut Vec<Step>) -> (Public, bool) {
        kubernetes::look_up(kubernetes::Access::of_pod(), service, self.config.allow_private, steps).await
    }

    /// The families that the node listens on and that have no address yet.
    fn missing(&self, public: &Public) -> Families {
        let Families { v4, v6 } = self.config.listened;
        Families { v4: v4 && public.v4.is_none(), v6: v6 && public.v6.is_none() }
    }

    /// Whether connections to the address can reach the node. A load balancer may translate one family to the other.
    fn is_listened_on(&self, found: &Found, steps: &mut Vec<Step>) -> bool {
        let listened = self.config.listened;
        let is_listened_on = listened.contain(found.ip) || self.config.source == AnnounceSource::KubernetesService;
        if !is_listened_on {
            let answer = format!("{} is not announced: the node listens on {listened}", found.ip);
            steps.push(Step { asked: found.source.clone(), answer, failed: false });
        }
        is_listened_on
    }

    fn announced(&self, found: Found, steps: &mut Vec<Step>) -> Option<Announced> {
        let address = (found.ip, self.port).into();
        match AnnounceAddr::new(address, self.config.allow_private) {
            Ok(address) => Some(Announced { address, source: found.source }),
            Err(Unannounceable { kind }) => {
                steps.push(Step { asked: found.source, answer: format!("{address} is {kind}"), failed: true });
                None
            }
        }
    }
}

impl Detection {
    /// Returns the detection if it found an address.
    ///
    /// # Errors
    /// If it found none.
    pub fn found(self) -> Result<Self, DetectError> {
        if self.announce.is_empty() { Err(DetectError(self.steps)) } else { Ok(self) }
    }

    /// The steps and their answers, in one line.
    #[must_use]
    pub fn tried(&self) -> String {
        tried(&self.steps)
    }

    /// Whether a source failed to answer.
    #[must_use]
    pub fn has_failures(&self) -> bool {
        self.steps.iter().any(|step| step.failed)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::cloud::stand_in::{StandIn, answers};
    use super::*;

    pub(crate) fn detector(cloud: CloudChoice, metadata: Option<&StandIn>) -> Detector {
        let config = DetectionConfig {
            cloud,
            source: AnnounceSource::Auto,
            service: String::new(),
            echo_url: None,
            allow_private: false,
            listened: Families::BOTH,
            recheck: Duration::from_secs(300),
        };
        let mut detector = Detector::new(config, 1789);
        detector.metadata = metadata.map(StandIn::url);
        detector
    }

    #[tokio::test]
    async fn metadata_gives_the_address_and_its_source() {
        let service = answers(&[(200, "36.68.243.18")]);
        let detection = detector(CloudChoice::Is(Cloud::Vultr), Some(&service)).detect().await.found().unwrap();
        assert_eq!(detection.announce[0].address.to_string(), "36.68.243.18:1789");
        assert_eq!(detection.announce[0].source, "vultr metadata: ipv4");
    }

    #[tokio::test]
    async fn a_family_that_the_node_does_not_listen_on_is_not_announced() {
        for (listened, announced, left_out) in [
            (Families { v4: true, v6: false }, "36.68.243.18:1789", "2600::7"),
            (Families { v4: false, v6: true }, "[2600::7]:1789", "36.68.243.18"),
        ] {
            let service = answers(&[(200, "36.68.243.18"), (200, "2600::7")]);
            let mut detector = detector(CloudChoice::Is(Cloud::DigitalOcean), Some(&service));
            detector.config.listened = listened;
            let detection = detector.detect().await;
            let found: Vec<_> = detection.announce.iter().map(|one| one.address.to_string()).collect();
            assert_eq!(found, [announced], "{:?}", detection.steps);
            let why = format!("{left_out} is not announced: the node listens on {listened}");
            assert!(detection.tried().contains(&why), "{}", detection.tried());
            // A failed source would keep an address that was announced before.
            assert!(!detection.has_failures(), "{:?}", detection.steps);
        }
    }

    #[test]
    fn a_load_balancer_may_translate_families() {
        let found = |ip: &str| Found { ip: ip.parse().unwrap(), source: "ingress".to_owned() };
        let mut detector = detector(CloudChoice::None, None);
        detector.config.listened = Families { v4: true, v6: false };
        for (source, is_announced) in [
            (AnnounceSource::Auto, false),
            (AnnounceSource::KubernetesNode, false),
            (AnnounceSource::KubernetesService, true),
        ] {
            detector.config.source = source;
            assert_eq!(detector.is_listened_on(&found("2600::7"), &mut Vec::new()), is_announced, "{source:?}");
            assert!(detector.is_listened_on(&found("36.68.243.18"), &mut Vec::new()), "{source:?}");
        }
    }

    #[tokio::test]
    async fn the_firmware_selects_the_cloud() {
        let firmware = tempfile::tempdir().unwrap();
        std::fs::write(firmware.path().join("sys_vendor"), "DigitalOcean\n").unwrap();
        let service = answers(&[(200, "36.68.243.18"), (200, "2600::7")]);
        let mut detector = detector(CloudChoice::Auto, Some(&service));
        detector.dmi_dir = firmware.path().to_owned();
        let detection = detector.detect().await;
        assert_eq!(detection.steps[0].answer, "digitalocean: sys_vendor is \"DigitalOcean\"");
        assert_eq!(detection.announce[1].address.to_string(), "[2600::7]:1789");
        assert!(!detection.has_failures());
    }

    #[tokio::test(start_paused = true)]
    async fn a_machine_outside_a_cloud_does_not_wait_for_metadata() {
        let firmware = tempfile::tempdir().unwrap();
        std::fs::write(firmware.path().join("sys_vendor"), "Dell Inc.\n").unwrap();
        let mut detector = detector(CloudChoice::Auto, None);
        detector.dmi_dir = firmware.path().to_owned();
        let began = tokio::time::Instant::now();
        let detection = detector.detect().await;
        assert_eq!(began.elapsed(), Duration::ZERO);
        assert_eq!(detection.steps.len(), 2, "{:?}", detection.steps);
    }

    #[tokio::test]
    async fn a_configured_echo_service_is_the_last_resort() {
        let echo = answers(&[(200, "36.68.243.18\n")]);
        let mut detector = detector(CloudChoice::None, None);
        detector.config.echo_url = Some(echo.url().parse().unwrap());
        let detection = detector.detect().await;
        // The machine that runs the test may have a public address.
        if detection.announce.is_empty() || detection.announce[0].source.starts_with("echo") {
            assert_eq!(detection.announce[0].address.to_string(), "36.68.243.18:1789", "{:?}", detection.steps);
        }
    }

    #[test]
    fn every_name_of_a_choice_parses() {
        assert!(CloudChoice::NAMES.iter().all(|name| name.parse::<CloudChoice>().is_ok()));
        assert!(Cloud::VARIANTS.iter().all(|name| CloudChoice::NAMES.contains(name)));
    }

    #[test]
    fn nothing_found_lists_what_was_tried_and_the_flag() {
        let step = |step: &str, answer: &str| Step { asked: step.into(), answer: answer.into(), failed: false };
        let steps = vec![step("cloud", "no cloud"), step("local interface", "eth0 has 10.0.0.1 (a private address)")];
        let error = Detection { announce: Vec::new(), steps, is_awaited: false }.found().unwrap_err().to_string();
        for part in ["cloud: no cloud; local interface: eth0 has 10.0.0.1", "--announce-host", "--cloud"] {
            assert!(error.contains(part), "{error}");
        }
    }
}
