//! Measurements of network monitors, the reputation derived from them, and the nodes' own packet counts.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

use nym_mixnode_api::{MixStatus, MixStatusReport, PersistedMixMetric, PersistedMixStatus};

use super::addresses::RENEW_EVERY;
use super::history::HOUR;
use super::{Rejection, Service};
use crate::caps::nanoseconds;
use crate::majority::{PRESENT_FOR, Reporter};
use crate::reputation::ReputationRules;
use crate::store::{LayerHour, Measured, Standing, Tests, Transaction, Windows, number};

/// Far above any earned reputation, far below an overflow.
pub(crate) const REPUTATION_MAX: i64 = 1_000_000_000;

/// Maximum number of packets of one report in the totals of a layer: far more than a node forwards in an interval.
const PACKETS_MAX: u64 = 1_000_000_000;

/// Maximum number of measurements in a history, newest first.
const HISTORY_MAX: i64 = 1000;

/// Maximum length of an identity in a measurement; base58 of 32 bytes has at most 44 digits.
const IDENTITY_BYTES_MAX: usize = 64;

const MINUTE: i64 = 60 * 1_000_000_000;
const DAY: i64 = 24 * 60 * MINUTE;

/// Shortest time between two metrics reports of a node, in seconds.
const REPORT_INTERVAL_MIN_S: u64 = 5;

/// Above 250 nodes, nodes report less often, so that this many reports arrive per second.
const REPORTS_PER_SECOND: u64 = 50;

impl Service {
    /// Stores the measurements that follow from a monitor's verdicts, updates the reputation of registered nodes, and
    /// renews those that passed, in one transaction.
    pub(crate) async fn add_statuses(
        &self,
        reporter: &Reporter,
        verdicts: &[MixStatus],
        now: i64,
    ) -> Result<(), Rejection> {
        check_identities(verdicts)?;
        let mut transaction = self.store().begin().await?;
        let statuses = measurements(&mut transaction, reporter, verdicts, now).await?;
        transaction.add_statuses(&statuses, now).await?;
        let measured: HashSet<&str> = statuses.iter().map(|status| status.pub_key.as_str()).collect();
        let standings = transaction.standings(&Vec::from_iter(measured)).await?;
        let round = Round::of(&statuses, standings, &self.0.reputation, now / HOUR);
        transaction.put_reputations(&round.reputations).await?;
        transaction.count_tests(&round.tests).await?;
        for layer in &round.layers {
            transaction.count_in_layer(layer).await?;
        }
        // Whatever the majority is: a test that passes shows that the node is there.
        let passed = verdicts.iter().filter(|status| status.up).map(|status| status.pub_key.as_str());
        transaction.renew_all(&passed.collect::<Vec<_>>(), now.saturating_sub(RENEW_EVERY), now).await?;
        let committed =
            if statuses.is_empty() { transaction.commit_unlisted().await } else { transaction.commit().await };
        Ok(committed?)
    }

    /// Sets the reputation of a node that is or was registered.
    pub(crate) async fn set_reputation(&self, identity: &str, reputation: i64) -> Result<(), Rejection> {
        if !(0..=REPUTATION_MAX).contains(&reputation) {
            let message = format!("reputation {reputation} is not between 0 and {REPUTATION_MAX}");
            return Err(Rejection::OutOfRange(message));
        }
        let mut transaction = self.store().begin().await?;
        let is_known = transaction.set_reputation(identity, reputation).await?;
        transaction.commit().await?;
        let unknown = "no node with this identity is registered or has reputation";
        if is_known { Ok(()) } else { Err(Rejection::Unknown(unknown)) }
    }

    /// The node's newest measurements, newest first.
    pub(crate) async fn statuses(&self, identity: &str) -> Result<Vec<PersistedMixStatus>, Rejection> {
        Ok(self.store().statuses(identity, HISTORY_MAX).await?)
    }

    /// The node's uptime.
    pub(crate) async fn report(&self, identity: &str, now: i64) -> Result<MixStatusReport, Rejection> {
        let measured = self.store().measured_of(identity, windows(now)).await?;
        reports(&measured).pop().ok_or(Rejection::Unknown("this node has not been measured yet"))
    }

    /// The uptime of every node that was measured in the last day.
    pub(crate) async fn full_report(&self, now: i64) -> Result<Vec<MixStatusReport>, Rejection> {
        Ok(reports(&self.store().measured(windows(now)).await?))
    }

    /// The measurements of the nodes that are registered now and were measured in the last day.
    pub(crate) async fn measured_nodes(&self, now: i64) -> Result<Vec<Measured>, Rejection> {
        Ok(self.store().measured_nodes(windows(now)).await?)
    }

    /// Stores a node's own packet count; returns after how many seconds to report again.
    pub(crate) async fn add_metric(
        &self,
        identity: &str,
        received: u64,
        from: Option<IpAddr>,
        now: i64,
    ) -> Result<u64, Rejection> {
        let mut transaction = self.store().begin().await?;
        let Some(layer) = transaction.layer(identity).await? else {
            transaction.rollback().await?;
            return Err(Rejection::Unknown("pubKey is not registered; register the node first"));
        };
        transaction.put_metric(identity, received, now).await?;
        let received = i64::try_from(received.min(PACKETS_MAX)).unwrap_or_default();
        let counts = LayerHour { hour: now / HOUR, layer, received, ..LayerHour::default() };
        transaction.count_in_layer(&counts).await?;
        self.renew(&mut transaction, identity, from, now).await?;
        transaction.commit_unlisted().await?;
        Ok(REPORT_INTERVAL_MIN_S.max(self.store().node_count().await? / REPORTS_PER_SECOND))
    }

    /// The latest packet counts of the registered nodes.
    pub(crate) async fn metrics(&self) -> Result<Vec<PersistedMixMetric>, Rejection> {
        Ok(self.store().metrics().await?)
    }
}

/// The measurements that follow from verdicts of a monitor and those of the others.
async fn measurements(
    transaction: &mut Transaction,
    reporter: &Reporter,
    verdicts: &[MixStatus],
    now: i64,
) -> sqlx::Result<Vec<MixStatus>> {
    let identities: HashSet<&str> = verdicts.iter().map(|verdict| verdict.pub_key.as_str()).collect();
    let present = nanoseconds(PRESENT_FOR);
    // Verdicts from the future: the clock was set back.
    let (after, until) = (now.saturating_sub(present), now.saturating_add(present));
    let mut by_node = transaction.verdicts(&Vec::from_iter(identities), after, until).await?;
    let mut statuses = Vec::with_capacity(verdicts.len());
    let reporter = reporter.to_string();
    for MixStatus { pub_key, ip_version, up } in verdicts {
        let of_node = by_node.entry((pub_key.clone(), number(*ip_version))).or_default();
        let measured = of_node.add(&reporter, *up, now);
        statuses.extend(measured.map(|up| MixStatus { pub_key: pub_key.clone(), ip_version: *ip_version, up }));
    }
    transaction.put_verdicts(&by_node).await?;
    Ok(statuses)
}

/// What a batch of measurements of registered nodes changes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Round {
    reputations: Vec<(String, i64)>,
    tests: Vec<Tests>,
    layers: Vec<LayerHour>,
}

impl Round {
    fn of(
        statuses: &[MixStatus],
        mut standings: HashMap<String, Standing>,
        rules: &ReputationRules,
        hour: i64,
    ) -> Self {
        let mut tests: BTreeMap<(&str, i64), Tests> = BTreeMap::new();
        let mut layers: BTreeMap<i64, LayerHour> = BTreeMap::new();
        for MixStatus { pub_key, ip_version, up } in statuses {
            let Some(standing) = standings.get_mut(pub_key) else { continue };
            standing.reputation = reputation_after(standing.reputation, *up, rules);
            let (version, up) = (number(*ip_version), i64::from(*up));
            let of_node = tests.entry((pub_key, version)).or_default();
            (of_node.up, of_node.total) = (of_node.up + up, of_node.total + 1);
            let of_layer = layers.entry(standing.layer).or_default();
            (of_layer.up, of_layer.total) = (of_layer.up + up, of_layer.total + 1);
        }
        let reputation = |identity: &str| standings.get(identity).map_or(0, |standing| standing.reputation);
        let tests = tests.into_iter().map(|((identity, ip_version), counts)| {
            let reputation = reputation(identity);
            Tests { identity: identity.to_owned(), ip_version, hour, reputation, ..counts }
        });
        Self {
            tests: tests.collect(),
            layers: layers.into_iter().map(|(layer, counts)| LayerHour { hour, layer, ..counts }).collect(),
            reputations: standings.into_iter().map(|(identity, standing)| (identity, standing.reputation)).collect(),
        }
    }
}

/// Rejects texts that no identity key can be: they would fill the store, and PostgreSQL stores no NUL characters.
fn check_identities(statuses: &[MixStatus]) -> Result<(), Rejection> {
    match statuses.iter().find(|status| status.pub_key.len() > IDENTITY_BYTES_MAX || status.pub_key.contains('\0')) {
        Some(_) => Err(Rejection::OutOfRange("a pubKey of the measurements is not an identity key".to_owned())),
        None => Ok(()),
    }
}

fn reputation_after(score: i64, passed: bool, rules: &ReputationRules) -> i64 {
    let change = if passed { rules.passed } else { -rules.failed };
    score.saturating_add(change).clamp(0, REPUTATION_MAX)
}

fn windows(now: i64) -> Windows {
    Windows { minutes: now - 5 * MINUTE, hour: now - 60 * MINUTE, day: now - DAY }
}

/// One report for each node, from measurements in the order of identities.
fn reports(measured: &[Measured]) -> Vec<MixStatusReport> {
    let of_node = |measured: &[Measured]| {
        let mut report = MixStatusReport::default();
        for of in measured {
            report.pub_key.clone_from(&of.identity);
            let minutes = per_cent(of.minutes_passed, of.minutes);
            let (hour, day) = (per_cent(of.hour_passed, of.hour), per_cent(of.day_passed, of.day));
            if of.ip_version == 4 {
                report.most_recent_ipv4 = of.up != 0;
                (report.last_5_minutes_ipv4, report.last_hour_ipv4, report.last_day_ipv4) = (minutes, hour, day);
            } else {
                report.most_recent_ipv6 = of.up != 0;
                (report.last_5_minutes_ipv6, report.last_hour_ipv6, report.last_day_ipv6) = (minutes, hour, day);
            }
        }
        report
    };
    measured.chunk_by(|one, other| one.identity == other.identity).map(of_node).collect()
}

/// Whole per cent; 0 without measurements.
fn per_cent(passed: i64, all: i64) -> u8 {
    u8::try_from((100 * passed).checked_div(all).unwrap_or_default()).unwrap_or_default()
}
