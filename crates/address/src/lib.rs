//! Bind addresses and announce addresses of the node, which usually differ on a cloud machine.
//!
//! Without a configured announce address it is detected: from the cloud's metadata, from Kubernetes, from this
//! machine's interfaces, or from an echo service that the operator configured. Every address has its source, every
//! request is recorded with its answer, and addresses that are not reachable from the internet are never announced,
//! except in a closed network.

mod announce;
mod cloud;
mod detect;
mod dmi;
mod echo;
mod inquiry;
mod interfaces;
mod kubernetes;
mod report;
mod watch;

pub use announce::{AnnounceAddr, Announced, Unannounceable};
pub use cloud::Cloud;
pub use detect::{AnnounceSource, CloudChoice, DetectError, Detection, DetectionConfig, Detector};
pub use inquiry::Step;
pub use report::AddressReport;
pub use watch::{AnnounceWatch, Announcing, watch};
