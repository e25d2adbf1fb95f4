//! The load that the generator offers: the rate asked for, or less where this machine cannot take it.
//!
//! Packets that are past their time and have not returned are the measure. A network that keeps up has few of them at
//! any rate; one that does not has ever more, until nodes or kernel drop some. So the rate falls when they take long to
//! clear, and rises again step by step.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

/// How often the rate is adjusted.
pub(super) const ADJUST_EVERY: Duration = Duration::from_millis(200);
/// A higher rate is reached step by step. Any machine takes this one.
const START_PER_S: f64 = 500.0;
const LOWEST_PER_S: f64 = 10.0;
/// Overload: packets past their time would take longer than this to clear.
const CLEAR_MAX: Duration = Duration::from_millis(300);
/// The rate rises again once they would take less than this.
const CLEAR_LOW: Duration = Duration::from_millis(100);
/// Few packets past their time are no sign of anything.
const OVERDUE_LOW: usize = 64;
/// A node queues 2000 packets for one next hop, and drops those beyond.
const OVERDUE_MAX: usize = 1500;
/// The share of an overloaded network's throughput that is offered while it recovers.
const RECOVERY: f64 = 0.8;
/// The rate's rise in one step after the first overload: fast up to near the rate that was too high, then slowly.
const RISE_FAST: f64 = 1.15;
const RISE: f64 = 1.03;
const NEAR: f64 = 0.8;
/// The first rise doubles the rate in this time, or in twice the time that packets take if that is longer.
const DOUBLING_MIN: Duration = Duration::from_millis(500);
/// What a lower rate needs to show, beyond the time that packets take: until then it is not lowered again.
const SETTLING: Duration = Duration::from_millis(600);
/// The weight of the last interval in the throughput, which one pause of a busy machine must not spoil.
const LAST_WEIGHT: f64 = 0.2;
/// The generator's thread is the limit when it has worked for this share of the time.
const BUSY: f64 = 0.85;
/// Less than this share of the packets asked for is no limit worth a word.
const SHORTFALL_MIN: f64 = 0.02;

/// What keeps the rate below the one asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// The generator's thread cannot make and take back more packets.
    Generator,
    /// The nodes cannot pass on more packets in time.
    Nodes,
    /// Nothing yet: a high rate is reached step by step.
    Start,
}

impl Limit {
    const ALL: [Self; 3] = [Self::Generator, Self::Nodes, Self::Start];
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Generator => "the generator makes no more on this machine",
            Self::Nodes => "the nodes take no more on this machine",
            Self::Start => "the rate rises step by step",
        })
    }
}

/// The load over the whole run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Load {
    /// Packets per second, as asked for.
    pub asked_per_s: u32,
    /// Packets per second that were sent on average.
    pub offered_per_s: f64,
    /// Packets that were due at the rate asked for and never sent. None of them counts as lost.
    pub not_sent: u64,
    /// What kept most of them back; `None` when nearly all were sent.
    pub limited_by: Option<Limit>,
}

impl Load {
    /// What was asked for, what was offered, and why, if that is less.
    #[must_use]
    pub fn words(&self) -> Option<String> {
        let limit = self.limited_by?;
        let Self { asked_per_s, offered_per_s, not_sent, .. } = self;
        Some(format!(
            "Asked for {asked_per_s} packets per second, offered {offered_per_s:.0}: {limit}. The {not_sent} packets \
             not sent are not lost."
        ))
    }
}

/// What one interval has shown.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Interval {
    pub(super) elapsed: Duration,
    pub(super) sent: u64,
    pub(super) returned: u64,
    /// Packets that were due and found the way to their first hop full.
    pub(super) refused: u64,
    /// Packets past their time at the end.
    pub(super) overdue: usize,
    /// More packets are under way than the nodes' memory is meant for.
    pub(super) is_full: bool,
    /// CPU time of the generator's thread.
    pub(super) cpu: Duration,
}

/// Chooses the rate.
#[derive(Debug)]
pub(super) struct LoadControl {
    asked: f64,
    allowed: f64,
    /// The rise in one step before the first overload.
    first_rise: f64,
    /// The last rate that was too high.
    too_high: f64,
    /// Packets that return per second, smoothed.
    throughput: Option<f64>,
    /// Since the rate was lowered.
    lowered_ago: Duration,
    settling: Duration,
    /// Packets past their time are so many that none is added.
    is_paused: bool,
    limit: Option<Limit>,
    /// Packets not sent, for each of [`Limit::ALL`].
    shortfall: [f64; 3],
    sent: u64,
    elapsed: Duration,
}

impl LoadControl {
    /// For a rate, and packets that take `delay` on their way on average.
    pub(super) fn new(asked_per_s: u32, delay: Duration) -> Self {
        let asked = f64::from(asked_per_s.max(1));
        let doubling = (2 * delay).max(DOUBLING_MIN).as_secs_f64();
        let settling = delay + SETTLING;
        let allowed = asked.min(START_PER_S);
        Self {
            asked,
            allowed,
            first_rise: (ADJUST_EVERY.as_secs_f64() / doubling).exp2(),
            too_high: f64::INFINITY,
            throughput: None,
            lowered_ago: settling,
            settling,
            is_paused: false,
            limit: (allowed < asked).then_some(Limit::Start),
            shortfall: [0.0; 3],
            sent: 0,
            elapsed: Duration::ZERO,
        }
    }

    /// Packets per second to send from now on.
    pub(super) const fn rate(&self) -> f64 {
        if self.is_paused { LOWEST_PER_S } else { self.allowed }
    }

    /// What keeps the rate down now.
    pub(super) const fn limit(&self) -> Option<Limit> {
        self.limit
    }

    /// Adjusts the rate to what the last interval has shown.
    pub(super) fn observe(&mut self, interval: &Interval) {
        let seconds = interval.elapsed.as_secs_f64();
        if seconds <= 0.0 {
            return;
        }
        self.sent += interval.sent;
        self.elapsed += interval.elapsed;
        self.lowered_ago = self.lowered_ago.saturating_add(interval.elapsed);
        self.is_paused = interval.overdue > OVERDUE_MAX;
        let throughput = self.smooth(as_f64(interval.returned) / seconds);
        let is_busy = interval.cpu.as_secs_f64() / seconds >= BUSY;
        if is_overload(interval, throughput) {
            self.limit = Some(if is_busy { Limit::Generator } else { Limit::Nodes });
            self.lower(throughput);
        } else if self.allowed < self.asked && has_recovered(interval, throughput) {
            self.allowed = (self.allowed * self.rise()).min(self.asked);
        }
        self.count_shortfall(interval, seconds, is_busy);
        if self.allowed >= self.asked {
            self.limit = None;
        }
    }

    fn smooth(&mut self, returned_per_s: f64) -> f64 {
        let before = self.throughput.filter(|before| *before > 0.0).unwrap_or(returned_per_s);
        let throughput = before + (returned_per_s - before) * LAST_WEIGHT;
        self.throughput = Some(throughput);
        throughput
    }

    fn lower(&mut self, throughput: f64) {
        if self.lowered_ago < self.settling {
            return;
        }
        self.lowered_ago = Duration::ZERO;
        self.too_high = self.allowed;
        let reached = throughput.clamp(self.allowed / 2.0, self.allowed);
        self.allowed = (reached * RECOVERY).max(LOWEST_PER_S).min(self.asked);
    }

    fn rise(&self) -> f64 {
        match self.limit {
            Some(Limit::Start) => self.first_rise,
            _ if self.allowed < self.too_high * NEAR => RISE_FAST,
            _ => RISE,
        }
    }

    fn count_shortfall(&mut self, interval: &Interval, seconds: f64, is_busy: bool) {
        let shortfall = self.asked * seconds - as_f64(interval.sent);
        // At the full rate too: a busy thread, or none of the CPU, comes late to packets that are due.
        let limit = self.limit.unwrap_or(if is_busy { Limit::Generator } else { Limit::Nodes });
        self.shortfall[limit as usize] += shortfall;
    }

    /// The load so far.
    pub(super) fn load(&self) -> Load {
        let seconds = self.elapsed.as_secs_f64();
        let due = self.asked * seconds;
        let not_sent = (due - as_f64(self.sent)).max(0.0);
        let is_limited = not_sent > due * SHORTFALL_MIN && not_sent >= 2.0;
        let worst =
            Limit::ALL.into_iter().max_by(|a, b| self.shortfall[*a as usize].total_cmp(&self.shortfall[*b as usize]));
        let offered_per_s = if seconds > 0.0 { as_f64(self.sent) / seconds } else { 0.0 };
        Load {
            asked_per_s: whole(self.asked),
            offered_per_s: (offered_per_s * 10.0).round() / 10.0,
            not_sent: if is_limited { u64::from(whole(not_sent)) } else { 0 },
            limited_by: worst.filter(|_| is_limited),
        }
    }
}

fn is_overload(interval: &Interval, returned_per_s: f64) -> bool {
    let slow = interval.overdue > OVERDUE_LOW && clearing(interval, returned_per_s) > CLEAR_MAX.as_secs_f64();
    slow || interval.overdue > OVERDUE_MAX || interval.refused > 0 || interval.is_full
}

fn has_recovered(interval: &Interval, returned_per_s: f64) -> bool {
    interval.overdue <= OVERDUE_LOW || clearing(interval, returned_per_s) < CLEAR_LOW.as_secs_f64()
}

/// Seconds until the packets past their time are through, at the pace of the last interval.
fn clearing(interval: &Interval, returned_per_s: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts of packets are far below 2^53")]
    let overdue = interval.overdue as f64;
    overdue / returned_per_s.max(1.0)
}

#[expect(clippy::cast_precision_loss, reason = "counts of packets are far below 2^53")]
const fn as_f64(count: u64) -> f64 {
    count as f64
}

/// Rounded; of no negative number, and capped at the type's range.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast from a float saturates")]
fn whole(value: f64) -> u32 {
    value.round() as u32
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
