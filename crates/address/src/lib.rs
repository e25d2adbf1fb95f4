//! Where the node listens, and under which addresses the others reach it: two different things on a cloud machine.
//!
//! Who writes no announce address has it found: from the cloud's metadata, from Kubernetes, from this machine's
//! interfaces, or from an echo service that the operator named. Every address found knows its source, every question
//! asked is kept with its answer, and nothing is ever announced that the internet cannot reach, unless the network is
//! a closed one.

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
