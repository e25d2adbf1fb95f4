//! The load that the generator offers: the requested rate, or less if this machine cannot take it.
//!
//! The number of overdue packets decides. A network that keeps up has few of them at
//! any rate; otherwise their number grows until nodes or the kernel drop some. So the rate falls when overdue packets
//! would take long to clear, and then rises again step by step.

use nym_mixnode_base::count::counted;
use std::time::Duration;

use serde::Serialize;
use strum::{Display, VariantArray};

/// How often the rate is adjusted.
pub(super) const ADJUST_EVERY: Duration = Duration::from_millis(200);
/// First rate, which any machine can take; higher rates are reached step by step.
const START_PER_S: f64 = 500.0;
const LOWEST_PER_S: f64 = 10.0;
/// Overload: the overdue packets would take longer than this to clear.
const CLEAR_MAX: Duration = Duration::from_millis(300);
/// The rate rises again when the overdue packets would take less than this to clear.
const CLEAR_LOW: Duration = Duration::from_millis(100);
/// Fewer overdue packets than this are ignored.
const OVERDUE_LOW: usize = 64;
/// A node queues 2000 packets for one next hop, and drops those beyond.
const OVERDUE_MAX: usize = 1500;
/// Share of an overloaded network's throughput that is offered while it recovers.
const RECOVERY: f64 = 0.8;
/// Rise of the rate per step after the first overload: fast up to near the rate that was too high, then slow.
const RISE_FAST: f64 = 1.15;
const RISE: f64 = 1.03;
const NEAR: f64 = 0.8;
/// Doubling time of the first rise, or twice the packets' travel time if that is longer.
const DOUBLING_MIN: Duration = Duration::from_millis(500);
/// Time beyond the packets' travel time before the rate is lowered again.
const SETTLING: Duration = Duration::from_millis(600);
/// Weight of the last interval in the throughput, which smooths pauses of a busy machine.
const LAST_WEIGHT: f64 = 0.2;
/// CPU share from which the generator's thread is the limit.
const BUSY: f64 = 0.85;
/// A smaller share of unsent packets is not reported.
const SHORTFALL_MIN: f64 = 0.02;

/// Reason for a rate below the requested one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Display, VariantArray)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// The generator's thread cannot create and receive more packets.
    #[strum(to_string = "the packet generator is at its limit on this machine")]
    Generator,
    /// The nodes cannot forward more packets in time.
    #[strum(to_string = "the nodes are at their limit on this machine")]
    Nodes,
    #[strum(to_string = "the rate is still rising")]
    Start,
}

/// The load over the whole run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Load {
    /// Requested packets per second.
    pub asked_per_s: u32,
    /// Packets per second sent on average.
    pub offered_per_s: f64,
    /// Packets due at the requested rate but never sent; they do not count as lost.
    pub not_sent: u64,
    /// Reason for most of them; `None` if nearly all were sent.
    pub limited_by: Option<Limit>,
}

impl Load {
    /// Sentence about requested and offered load if they differ.
    #[must_use]
    pub fn words(&self) -> Option<String> {
        let limit = self.limited_by?;
        let Self { asked_per_s, offered_per_s, not_sent, .. } = self;
        let asked = counted(*asked_per_s, "packet", "packets");
        let unsent = counted(*not_sent, "packet that was not sent is", "packets that were not sent are");
        Some(format!("Requested {asked} per second, offered {offered_per_s:.0}: {limit}. The {unsent} not lost."))
    }
}

/// Measurements of one interval.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Interval {
    pub(super) elapsed: Duration,
    pub(super) sent: u64,
    pub(super) returned: u64,
    /// Packets that were due, but the queue to their first hop was full.
    pub(super) refused: u64,
    /// Overdue packets at the end.
    pub(super) overdue: usize,
    /// More packets are on their way than the nodes' memory can hold.
    pub(super) is_full: bool,
    /// CPU time of the generator's thread.
    pub(super) cpu: Duration,
}

/// Chooses the rate.
#[derive(Debug)]
pub(super) struct LoadControl {
    asked: f64,
    allowed: f64,
    /// Rise per step before the first overload.
    first_rise: f64,
    /// Last rate that was too high.
    too_high: f64,
    /// Packets that return per second, smoothed.
    throughput: Option<f64>,
    /// Time since the rate was lowered.
    lowered_ago: Duration,
    settling: Duration,
    /// Sending is paused because too many packets are overdue.
    is_paused: bool,
    limit: Option<Limit>,
    /// Packets not sent, for each [`Limit`].
    shortfall: [f64; 3],
    sent: u64,
    elapsed: Duration,
}

impl LoadControl {
    /// Creates it for a rate and the packets' average travel time, `delay`.
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

    /// Reason for the current rate.
    pub(super) const fn limit(&self) -> Option<Limit> {
        self.limit
    }

    /// Adjusts the rate after an interval.
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
        // Also at the full rate: a busy or starved thread sends due packets late.
        let limit = self.limit.unwrap_or(if is_busy { Limit::Generator } else { Limit::Nodes });
        self.shortfall[limit as usize] += shortfall;
    }

    /// The load so far.
    pub(super) fn load(&self) -> Load {
        let seconds = self.elapsed.as_secs_f64();
        let due = self.asked * seconds;
        let not_sent = (due - as_f64(self.sent)).max(0.0);
        let is_limited = not_sent > due * SHORTFALL_MIN && not_sent >= 2.0;
        let worst = Limit::VARIANTS
            .iter()
            .copied()
            .max_by(|a, b| self.shortfall[*a as usize].total_cmp(&self.shortfall[*b as usize]));
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

/// Seconds to clear the overdue packets at the throughput of the last interval.
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
mod tests;
