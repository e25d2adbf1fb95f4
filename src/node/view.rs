//! What a running mix reports to its operator.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use nym_mixnode_address::{AddressReport, Announcing};
use nym_mixnode_api::PROTOCOL_VERSION;
use nym_mixnode_base::redact::redacted;
use nym_mixnode_config::Config;
use nym_mixnode_directory::HeartbeatState;
use nym_mixnode_keys::NodeKeys;
use nym_mixnode_mix::Rule;
use nym_mixnode_telemetry::http::{Answer, Problem, Reason, ReplayStatus, Status, StatusSource};
use nym_mixnode_telemetry::instruments as i;
use nym_mixnode_telemetry::log::lost_lines;
use nym_mixnode_telemetry::losses::Losses;
use nym_mixnode_telemetry::otel::Telemetry;
use nym_mixnode_telemetry::readings::{self, Reading};
use nym_mixnode_telemetry::window::{Published, Sample, Window, Windows};
use tracing::warn;

use super::operator::Reports;
use super::state::Shared;
use super::vitals::{self, Vitals, problem};

/// Data for the endpoints.
pub(super) struct View {
    shared: Arc<Shared>,
    heartbeat: HeartbeatState,
    announcing: Arc<Announcing>,
    windows: Windows,
    vitals: Vitals,
    telemetry: Telemetry,
    losses: Arc<Losses>,
    facts: Facts,
}

impl Reports for View {
    const WORKING: &'static str = "mixing, and listed by the directory";

    fn vitals(&self) -> &Vitals {
        &self.vitals
    }

    fn windows(&self) -> &Windows {
        &self.windows
    }

    fn count(&self) -> Sample {
        self.shared.sample()
    }

    fn export(&self, published: &Published) {
        if let Some(window) = &published.packets.window {
            self.warn_of_early_ends(window);
            vitals::warn_of_limits(window);
            self.telemetry.window_ended(window, self.readings());
        }
    }
}

/// Facts that do not change while the node runs.
struct Facts {
    identity_key: String,
    sphinx_key: String,
    layer: u64,
    listen: Vec<AddressReport>,
    directory: String,
    memory_bytes: usize,
    connections_max: usize,
}

impl View {
    pub(super) fn new(
        config: &Config,
        keys: &NodeKeys,
        shared: &Arc<Shared>,
        heartbeat: HeartbeatState,
        announcing: Arc<Announcing>,
        telemetry: Telemetry,
    ) -> Self {
        let facts = Facts {
            identity_key: keys.identity_public.clone(),
            sphinx_key: keys.sphinx.public_base58(),
            layer: config.node.layer,
            listen: config.listen.addresses.iter().map(AddressReport::from).collect(),
            directory: redacted(&config.directory.url),
            memory_bytes: config.mix.memory_bytes,
            connections_max: shared.connections.total_max(),
        };
        Self {
            shared: Arc::clone(shared),
            heartbeat,
            announcing,
            windows: Windows::new(config.telemetry.window, shared.pools.len()),
            vitals: Vitals::new(),
            losses: telemetry.losses(),
            telemetry,
            facts,
        }
    }

    /// Begins to count, before the first window.
    pub(super) fn begin(&self) {
        self.windows.begin(self.shared.effort());
    }

    fn of_node(&self) -> Vec<Reading> {
        let mut all = self.vitals.readings(&self.heartbeat, self.readiness().is_ok(), self.liveness().is_ok());
        all.extend([
            Reading::whole(&i::WORKERS, self.shared.pools.len() as u64),
            Reading::time(&i::WINDOW, self.windows.length()),
            Reading::whole(&i::ANNOUNCE_CHANGES, self.shared.announce_changes.load(Ordering::Relaxed)),
        ]);
        all.extend(vitals::of_topology(&self.heartbeat, &self.shared.listed.usable()));
        all
    }

    fn replay(&self) -> ReplayStatus {
        let window = self.shared.keys.replay_window();
        ReplayStatus {
            window_s: window.length.as_secs(),
            expected_rate: window.expected_rate,
            memory_bytes: window.memory_bytes(),
            early_ends: self.windows.packets().total.replay_early_ends,
        }
    }

    /// Warns at the end of a window, because data that depends on packet counts is exported only then.
    fn warn_of_early_ends(&self, window: &Window) {
        if window.counts.replay_early_ends > 0 {
            let expected = self.shared.keys.replay_window();
            warn!(
                early_ends = window.counts.replay_early_ends,
                window_s = expected.length.as_secs(),
                expected_rate = expected.expected_rate,
                "the replay filter was full before its time, so copies are recognised for less than replay.window; \
                 raise replay.expected_rate"
            );
        }
    }
}

impl StatusSource for View {
    fn liveness(&self) -> Result<(), Problem> {
        if self.shared.pulses.is_stalled() {
            return Err(problem(Reason::WorkerStalled, "a worker is stalled; restart the node"));
        }
        Ok(())
    }

    fn readiness(&self) -> Result<(), Problem> {
        self.vitals.running()?;
        self.liveness()?;
        vitals::listed(&self.announcing, &self.heartbeat)?;
        if self.shared.policy.rule() == Rule::Topology && self.shared.policy.listed() == 0 {
            return Err(problem(Reason::NoTopology, vitals::no_next_hop(&self.shared.listed.usable())));
        }
        Ok(())
    }

    fn status(&self) -> Status {
        let packets = self.windows.packets();
        Status {
            version: env!("CARGO_PKG_VERSION"),
            protocol_version: PROTOCOL_VERSION,
            identity_key: self.facts.identity_key.clone(),
            sphinx_key: self.facts.sphinx_key.clone(),
            layer: Some(self.facts.layer),
            uptime_s: self.vitals.uptime().as_secs(),
            ready: Answer::from(self.readiness()),
            live: Answer::from(self.liveness()),
            listen: self.facts.listen.clone(),
            announce: self.announcing.now().iter().map(AddressReport::from).collect(),
            directory: vitals::directory(self.facts.directory.clone(), &self.heartbeat),
            topology: vitals::topology(&self.heartbeat, &self.shared.listed.usable()),
            workers: self.shared.pools.len(),
            engine: self.shared.keys.engine_kind().name(),
            limits: vitals::limits(self.facts.memory_bytes, self.facts.connections_max, &packets),
            replay: self.replay(),
            packets: Some(packets),
        }
    }

    fn readings(&self) -> Vec<Reading> {
        let mut all = readings::of_windows(&self.windows.published());
        all.extend(self.of_node());
        all.extend(readings::of_losses(&self.losses));
        all.push(Reading::whole(&i::LOST, lost_lines()).with("signal", "logs").with("reason", "queue_full"));
        all
    }
}
