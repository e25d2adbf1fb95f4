//! Network monitor: runs rounds with a prober, and exchanges lists and results with the registry meanwhile.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use nym_mixnode_api::BatchMixStatus;
use nym_mixnode_net::Reach;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{debug, info, warn};

use crate::family::IpFamily;
use crate::gateways::{GatewayTests, Scope};
use crate::prober::Prober;
use crate::rounds::{Label, Listing, RoundSettings, Rounds, Summary, Test};

/// Interval at which packets are sent and late ones given up.
const TICK: Duration = Duration::from_millis(50);

/// Pause after a list that could not be read, before the first round.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// Unchanged results are logged at most this often.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// Registry as seen by a monitor.
pub trait Network: Send + Sync + 'static {
    /// Addresses that nodes of this network can have.
    fn reach(&self) -> Reach;
    /// What it lists now. The error is one line for the operator.
    fn listing(&self) -> impl Future<Output = Result<Listing, String>> + Send;
    /// Reports the results of a round.
    fn report(&self, results: BatchMixStatus) -> impl Future<Output = Result<(), String>> + Send;
}

/// What a task of the monitor returns: the list for the next round.
type Listed = Result<Listing, String>;

/// A monitor of one network. The caller owns the prober, which may have other uses.
#[derive(Debug)]
pub struct Monitor<N> {
    network: Arc<N>,
    rounds: Rounds,
    gateways: GatewayTests,
    /// Requests to the registry: at most one task.
    requests: JoinSet<Listed>,
    /// When the next round may begin after a failed request.
    wait_until: Instant,
    is_running: bool,
    is_away: bool,
}

impl<N: Network> Monitor<N> {
    /// Monitor whose packets return to this prober.
    #[must_use]
    pub fn new<L>(network: N, settings: RoundSettings, prober: &Prober<L>) -> Self {
        let families = IpFamily::ALL.into_iter().filter(|family| prober.last_hop(*family).is_some()).collect();
        Self {
            network: Arc::new(network),
            rounds: Rounds::new(settings, families),
            gateways: GatewayTests::default(),
            requests: JoinSet::new(),
            wait_until: Instant::now(),
            is_running: false,
            is_away: false,
        }
    }

    /// Time after which a packet is lost, beyond its delays.
    #[must_use]
    pub const fn timeout(&self) -> Duration {
        self.rounds.settings().timeout
    }

    /// Sends what is due; begins and ends rounds. Returns the result of a round that ended.
    pub fn tick<L: From<Label>>(&mut self, prober: &mut Prober<L>, now: Instant) -> Option<Summary> {
        self.take_listing(now);
        for test in self.rounds.due(now) {
            send(prober, test);
        }
        if let Some((mut results, mut summary)) = self.rounds.end(now) {
            self.is_running = false;
            let tested = self.gateways.take();
            let silent = self.gateways.silent_families(&tested);
            summary.add_gateways(tested, &silent, &mut results);
            self.request(Some(results));
            return Some(summary);
        }
        if !self.is_running && self.requests.is_empty() && now >= self.wait_until {
            self.request(None);
        }
        None
    }

    /// Takes note of a packet that returned.
    pub fn on_return(&mut self, label: Label, now: Instant) {
        self.rounds.on_return(label, now);
    }

    /// Takes note of a lost packet; sends another one before the verdict.
    pub fn on_loss<L: From<Label>>(&mut self, prober: &mut Prober<L>, label: Label, now: Instant) {
        if let Some(test) = self.rounds.on_loss(label, now) {
            send(prober, test);
        }
    }

    /// Reports results, if any, then reads the list for the next round, so that it contains their effect.
    fn request(&mut self, results: Option<BatchMixStatus>) {
        let network = Arc::clone(&self.network);
        self.requests.spawn(async move {
            if let Some(results) = results.filter(|results| !results.status.is_empty())
                && let Err(error) = network.report(results).await
            {
                // Later reports would be dated wrongly: the registry dates results by their arrival.
                warn!(error, "cannot report the results of this round; they are lost");
            }
            network.listing().await
        });
    }

    fn take_listing(&mut self, now: Instant) {
        let Some(Ok(listed)) = self.requests.try_join_next() else { return };
        let is_away = listed.is_err();
        if is_away != self.is_away {
            if let Err(error) = &listed {
                warn!(error, "cannot read the list of nodes; testing those of the last one");
            } else {
                info!("the registry answers again");
            }
            self.is_away = is_away;
        }
        let listing = listed.ok();
        if listing.is_none() && !self.rounds.has_listing() {
            self.wait_until = now + RETRY_EVERY;
            return;
        }
        self.is_running = true;
        self.rounds.begin(listing, now);
        let scope = Scope { families: self.rounds.families().to_vec(), reach: self.network.reach() };
        self.gateways.begin(self.rounds.gateways(), scope, self.rounds.settings());
    }
}

fn send<L: From<Label>>(prober: &mut Prober<L>, Test { mixes, family, label }: Test) {
    let Some(last_hop) = prober.last_hop(family) else { return };
    if let Err(error) = prober.send_once(&mixes, last_hop, label.into()) {
        debug!(%error, "cannot build a test packet");
    }
}

/// Runs a monitor with a prober of its own.
pub async fn run_monitor<N: Network>(
    mut monitor: Monitor<N>,
    prober: &mut Prober<Label>,
    mut on_round: impl FnMut(&Summary),
) -> Infallible {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            // Packets that have returned are never given up.
            biased;
            returned = prober.returned() => monitor.on_return(returned.label, Instant::now()),
            _ = ticks.tick() => {
                let now = Instant::now();
                for label in prober.give_up_late(monitor.timeout()) {
                    monitor.on_loss(prober, label, now);
                }
                if let Some(summary) = monitor.tick(prober, now) {
                    on_round(&summary);
                }
            }
        }
    }
}

/// Logs one line for each round, but unchanged results of short rounds only every ten seconds.
#[derive(Debug, Default)]
pub struct RoundLog(Option<(Instant, Summary)>);

impl RoundLog {
    /// Logs the result of a round.
    pub fn note(&mut self, summary: &Summary, now: Instant) {
        if self.0.as_ref().is_some_and(|(at, last)| now < *at + LOG_EVERY && !summary.differs(last)) {
            return;
        }
        let is_new = |of: fn(&Summary) -> bool| self.0.as_ref().is_none_or(|(_, last)| !of(last)) && of(summary);
        if is_new(|summary| summary.settling) {
            info!("waiting until the nodes know this monitor: they read the registry's list every 30 s by default");
        }
        if !summary.withheld.is_empty() {
            let families: Vec<_> = summary.withheld.iter().map(ToString::to_string).collect();
            let over = families.join(" and ");
            warn!(over, "none of several nodes passed: check this monitor's own address; failures are not reported");
        }
        let down: Vec<_> = summary.down.iter().map(|(identity, family)| format!("{identity} over {family}")).collect();
        let down = (!down.is_empty()).then(|| down.join(", "));
        if down.is_some() || summary.is_overdue {
            warn!(down, "{summary}");
        } else {
            info!("{summary}");
        }
        self.0 = Some((now, summary.clone()));
    }
}

#[cfg(test)]
mod tests;
