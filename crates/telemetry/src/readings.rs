//! Values of the metrics at one time, for both `/metrics` and OTLP.

use std::time::Duration;

use nym_mixnode_mix::DropReason;

use super::instruments as i;
use super::instruments::Metric;
use super::losses::Losses;
use super::window::{Counts, Lag, Published};

/// One value of one metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    pub metric: &'static Metric,
    /// Attributes: keys of the metric with allowed values.
    pub attributes: Vec<(&'static str, String)>,
    pub value: Value,
}

/// A value of a metric.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Whole(u64),
    Seconds(f64),
    /// Histogram: one count per bucket.
    Buckets(Lag),
}

impl Reading {
    /// Creates a reading without attributes.
    #[must_use]
    pub const fn new(metric: &'static Metric, value: Value) -> Self {
        Self { metric, attributes: Vec::new(), value }
    }

    /// Creates an integer reading without attributes.
    #[must_use]
    pub const fn whole(metric: &'static Metric, value: u64) -> Self {
        Self::new(metric, Value::Whole(value))
    }

    /// Creates a reading in seconds.
    #[must_use]
    pub const fn time(metric: &'static Metric, time: Duration) -> Self {
        Self::new(metric, Value::Seconds(time.as_secs_f64()))
    }

    /// Adds an attribute.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.attributes.push((key, value.into()));
        self
    }
}

/// Readings of the windows. Every stage and every reason has a value from the start.
#[must_use]
pub fn of_windows(published: &Published) -> Vec<Reading> {
    let Published { packets, lag, effort } = published;
    let levels = packets.window.as_ref().map(|window| window.levels).unwrap_or_default();
    let mut all = of_counts(&packets.total);
    all.extend([
        Reading::whole(&i::POOL_SIZE, levels.pool),
        Reading::whole(&i::QUEUE_SIZE, levels.queue_unwrap).with("queue", "unwrap"),
        Reading::whole(&i::QUEUE_SIZE, levels.queue_forward).with("queue", "forward"),
        Reading::whole(&i::CONNECTIONS, levels.connections_in).with("direction", "in"),
        Reading::whole(&i::CONNECTIONS, levels.connections_out).with("direction", "out"),
        Reading::new(&i::FORWARD_LAG, Value::Buckets(*lag)),
        Reading::time(&i::UNWRAP_CPU, effort.unwrap_cpu),
        Reading::time(&i::PROCESS_CPU, effort.process.cpu),
        Reading::whole(&i::PROCESS_MEMORY, effort.process.memory),
        Reading::whole(&i::PROCESS_VIRTUAL, effort.process.memory_virtual),
        Reading::whole(&i::PROCESS_OPEN_FDS, effort.process.descriptors),
        Reading::whole(&i::PROCESS_THREADS, effort.process.threads),
        Reading::whole(&i::TOKIO_TASKS, effort.tasks),
    ]);
    all
}

fn of_counts(total: &Counts) -> Vec<Reading> {
    let stages = [
        ("received", total.received),
        ("unwrapped", total.unwrapped),
        ("delayed", total.delayed),
        ("forwarded", total.forwarded),
        ("final", total.final_hop),
    ];
    let stages = stages.into_iter().map(|(stage, count)| Reading::whole(&i::PACKETS, count).with("stage", stage));
    let dropped = DropReason::ALL.iter().map(|reason| {
        let count = total.dropped.get(reason.label()).copied().unwrap_or_default();
        Reading::whole(&i::DROPPED, count).with("reason", reason.label())
    });
    let others = [
        Reading::whole(&i::BAD_FRAMES, total.bad_frames),
        Reading::whole(&i::CONNECTION_REFUSALS, total.refusals),
        Reading::whole(&i::CONNECTION_TIMEOUTS, total.timeouts),
        Reading::whole(&i::CONNECTION_FAILURES, total.failures),
        Reading::whole(&i::REPLAY_EARLY_ENDS, total.replay_early_ends),
    ];
    stages.chain(dropped).chain(others).chain(of_limits(total, &i::Limit::OF_MIX)).collect()
}

/// Readings of how often these limits were reached.
pub fn of_limits<'a>(total: &'a Counts, limits: &'a [i::Limit]) -> impl Iterator<Item = Reading> + 'a {
    limits.iter().map(|limit| {
        let count = total.limits.get(limit.label()).copied().unwrap_or_default();
        Reading::whole(&i::LIMITS_REACHED, count).with("limit", limit.label())
    })
}

/// Readings of the export counters.
#[must_use]
pub fn of_losses(losses: &Losses) -> Vec<Reading> {
    let exported = losses.exported().map(|(signal, count)| Reading::whole(&i::EXPORTED, count).with("signal", signal));
    let lost = losses
        .lost()
        .map(|(signal, reason, count)| Reading::whole(&i::LOST, count).with("signal", signal).with("reason", reason));
    exported.chain(lost).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_have_the_attributes_of_their_metrics_with_allowed_values() {
        let all = [of_windows(&Published::default()), of_losses(&Losses::default())].concat();
        for Reading { metric, attributes, .. } in &all {
            let keys: Vec<_> = metric.attributes.iter().map(|attribute| attribute.key).collect();
            assert_eq!(attributes.iter().map(|(key, _)| *key).collect::<Vec<_>>(), keys, "{}", metric.name);
            for (attribute, (_, value)) in metric.attributes.iter().zip(attributes) {
                assert!(attribute.values.allow(value), "{}: {value}", metric.name);
            }
        }
        assert!(all.iter().any(|reading| reading.attributes == [("reason", "replay".to_owned())]));
    }
}
