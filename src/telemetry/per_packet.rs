//! Traces of single packets: what telemetry must never be, for development on loopback, behind locks.
//!
//! They say which packet that left is which packet that came. So they exist only in a program that was built with the
//! feature `unsafe-per-packet-traces`, which no release has; only if the flag of the same name is given; and only as
//! long as every address that the node knows of is a loopback one. It says once a minute what it is.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use crate::api::Topology;
use crate::config::{Config, ForwardPolicy};

mod recorder;

pub use recorder::{PacketTrace, Recorder};

/// The flag that asks for them.
pub const FLAG: &str = "--unsafe-per-packet-traces";

/// Whose lines of the log are single packets.
const TARGET: &str = "nym_mixnode::packet";

const WARN_EVERY: Duration = Duration::from_secs(60);
const TELL_EVERY: Duration = Duration::from_secs(1);

/// The program was built without them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "{FLAG}: this program was built without traces of single packets, as every release is; for development on loopback \
     build one with them: cargo build --features unsafe-per-packet-traces --bin nym-mixnode-unsafe"
)]
pub struct NotBuilt;

/// Writes a trace to the log.
pub fn log(trace: &PacketTrace) {
    let PacketTrace { received_at, held, lag, next_hop, bytes } = trace;
    let received_at = humantime::format_rfc3339_millis(*received_at);
    tracing::trace!(target: TARGET, %received_at, ?held, ?lag, %next_hop, bytes, "a packet");
}

/// Something is not on loopback, or not bound to be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{FLAG} gives away which packet is which, so everything has to be on loopback, and {what} is {value}: {advice}"
)]
pub struct NotLoopback {
    what: &'static str,
    value: String,
    advice: &'static str,
}

/// Traces of single packets, switched on.
#[derive(Debug, Clone)]
pub struct PerPacket {
    /// The lock that has sprung, once one has.
    sprung: Arc<watch::Sender<Option<NotLoopback>>>,
    recorder: Arc<Recorder>,
}

impl PerPacket {
    /// What the flag asks for.
    ///
    /// # Errors
    /// In a program that was built without it.
    #[cfg_attr(
        feature = "unsafe-per-packet-traces",
        expect(clippy::unnecessary_wraps, reason = "without the feature it always fails")
    )]
    pub fn by_flag() -> Result<Self, NotBuilt> {
        #[cfg(feature = "unsafe-per-packet-traces")]
        return Ok(Self::new());
        #[cfg(not(feature = "unsafe-per-packet-traces"))]
        Err(NotBuilt)
    }

    #[cfg(any(test, feature = "unsafe-per-packet-traces"))]
    pub(crate) fn new() -> Self {
        Self { sprung: Arc::new(watch::channel(None).0), recorder: Arc::default() }
    }

    /// Where traces are kept until somebody takes them.
    #[must_use]
    pub fn recorder(&self) -> &Arc<Recorder> {
        &self.recorder
    }

    /// Whether a configuration keeps everything on loopback.
    ///
    /// # Errors
    /// With the first thing in it that does not.
    pub fn check(config: &Config) -> Result<(), NotLoopback> {
        let listen = config.listen.addresses.iter().map(|address| ("a listening address", address.address.get()));
        let announce = config.announce.addresses.iter().map(|address| ("an announced address", address.address.get()));
        let advice = "set it to 127.0.0.1 or [::1], or leave the flag away";
        if let Some((what, address)) = listen.chain(announce).find(|(_, address)| !address.ip().is_loopback()) {
            return Err(NotLoopback { what, value: address.to_string(), advice });
        }
        if config.announce.addresses.is_empty() {
            return Err(NotLoopback { what: "the announced address", value: "to be detected".to_owned(), advice });
        }
        match config.forward.policy {
            ForwardPolicy::Topology => Ok(()),
            _ => Err(NotLoopback {
                what: "forward.policy",
                value: "not topology".to_owned(),
                advice: "packets could go anywhere; set it to topology",
            }),
        }
    }

    /// Whether a topology keeps everything on loopback. One that does not ends the node, see [`Self::sprung`].
    ///
    /// # Errors
    /// With the first address in it that is not one.
    pub fn check_topology(&self, topology: &Topology) -> Result<(), NotLoopback> {
        let mixes = topology.mix_nodes.iter().map(|mix| (&mix.registration.mix_host, &mix.registration.mix_hosts));
        let gateways = topology.gateways.iter().map(|one| (&one.registration.mix_host, &one.registration.mix_hosts));
        let mut hosts = mixes.chain(gateways).flat_map(|(first, all)| std::iter::once(first).chain(all));
        let is_loopback = |host: &String| host.parse().is_ok_and(|address: SocketAddr| address.ip().is_loopback());
        let Some(host) = hosts.find(|host| !is_loopback(host)) else { return Ok(()) };
        let problem = NotLoopback {
            what: "an address that the directory lists",
            value: format!("{host:?}"),
            advice: "use a directory of your own, as `localnet` does, or leave the flag away",
        };
        self.sprung.send_replace(Some(problem.clone()));
        Err(problem)
    }

    /// Warns each minute, and passes the traces on; completes when a lock has sprung: the node must not go on.
    pub async fn watch(&self, mut tell: impl FnMut(&PacketTrace)) -> NotLoopback {
        let mut sprung = self.sprung.subscribe();
        let mut minute = interval(WARN_EVERY);
        minute.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut second = interval(TELL_EVERY);
        loop {
            if let Some(problem) = sprung.borrow_and_update().clone() {
                return problem;
            }
            tokio::select! {
                _ = minute.tick() => warn!(
                    "{FLAG}: this node tells which packet is which, in the log with the filter {TARGET}=trace; \
                     it protects nobody"
                ),
                _ = second.tick() => self.recorder.take().iter().for_each(&mut tell),
                // The sender is ours and lives as long as we do.
                _ = sprung.changed() => {}
            }
        }
    }
}

#[cfg(test)]
#[path = "per_packet/per_packet_tests.rs"]
mod tests;
