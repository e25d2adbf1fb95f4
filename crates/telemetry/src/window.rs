//! Packet counts that are safe to export: of closed one-minute windows, each rounded up.
//!
//! Exact counts, read at times of the reader's choice, would show which packets were dropped or are still queued, and
//! so narrow down which incoming packet an outgoing one can be.
//!
//! Tests drive the windows without a clock: [`Windows::end`] takes the time and the exact [`Sample`], and returns what
//! may be exported from then on.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::instruments::LAG_BOUNDS;
use super::process::Usage;

/// Default window length. Windows end at multiples of it by the wall clock.
pub const WINDOW: Duration = Duration::from_mins(1);

/// Packet counts are rounded up to a multiple of this.
const PACKETS: u64 = 64;
/// Drops and malformed frames are rarer; their counts are rounded up to a multiple of this.
const DROPS: u64 = 8;
/// The most that rounding adds to an exported count of drops.
pub(super) const ROUNDED_UP_MAX: u64 = DROPS - 1;
/// Counts of connections, descriptors, threads and tasks are rounded up to a multiple of this.
const FEW: u64 = 4;
/// Memory sizes are rounded up to a multiple of this.
const MEMORY: u64 = 1 << 20;
/// CPU time of unwrapping is rounded up to a multiple of this.
const CPU_MS: u64 = 10;
/// Fraction of the workers' time per window to which the process's CPU time is rounded up, in whole seconds. A packet
/// that crosses from one worker to another costs one more wake-up than a packet that does not, and that would narrow
/// down the matching; the step is larger than the sum of these wake-ups in a busy window.
const PROCESS_CPU_PARTS: u32 = 20;
/// Tolerated difference between a timer and the wall clock at the end of a window.
const SLACK: Duration = Duration::from_secs(1);
/// The lag is not exported until it covers at least this many packets.
const LAG_PACKETS_MIN: u64 = 256;

/// Number of packets per lag bucket: one for each of [`LAG_BOUNDS`], and one for all longer lags.
pub type Lag = [u64; LAG_BOUNDS.len() + 1];

/// Packet counts since the start of the node or over one window.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Complete frames received from the network.
    pub received: u64,
    /// Unwrapped packets, whatever happens to them afterwards.
    pub unwrapped: u64,
    /// Packets whose mix delay has passed.
    pub delayed: u64,
    /// Packets completely written to the network.
    pub forwarded: u64,
    /// Packets for which this node is the last hop.
    #[serde(rename = "final")]
    pub final_hop: u64,
    /// Dropped packets, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// Malformed frames, each of which closed its connection.
    pub bad_frames: u64,
    /// Connections refused because of a connection limit.
    pub refusals: u64,
    /// Connections closed because of a timeout.
    pub timeouts: u64,
    /// Connections to next hops that failed or broke.
    pub failures: u64,
    /// Generations of the replay filter that filled up early.
    pub replay_early_ends: u64,
    /// How often each [limit](super::instruments::Limit) was reached; only those that were.
    pub limits: BTreeMap<String, u64>,
}

/// Values that go up and down, sampled at the end of a window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Levels {
    /// Packets in their mix delay.
    pub pool: u64,
    /// Packets queued for unwrapping or for entry into the pool.
    pub queue_unwrap: u64,
    /// Packets queued for their next hop.
    pub queue_forward: u64,
    /// Incoming connections.
    pub connections_in: u64,
    /// Outgoing connections.
    pub connections_out: u64,
}

/// Resources used, since the start of the node or at present.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Effort {
    /// CPU time of unwrapping.
    pub unwrap_cpu: Duration,
    /// Tasks of the Tokio runtimes.
    pub tasks: u64,
    pub process: Usage,
}

/// Exact values of all counts and measurements at one time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sample {
    pub counts: Counts,
    pub levels: Levels,
    pub lag: Lag,
    pub effort: Effort,
}

/// Everything that may be exported about a [`Sample`] and those before it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Published {
    pub packets: Packets,
    /// Since the start of the node.
    pub lag: Lag,
    pub effort: Effort,
}

/// A closed window, with rounded counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Window {
    /// The multiple of the window length at which it began, in seconds since the epoch.
    pub started_at: u64,
    /// The multiple of the window length at which it ended, in seconds since the epoch.
    pub ended_at: u64,
    /// Its duration in seconds; shorter than the nominal length if the node started within it.
    pub seconds: u64,
    /// CPU time of unwrapping in this window, in milliseconds; for the spans.
    #[serde(skip)]
    pub unwrap_cpu_ms: u64,
    /// Rounded counts of this window.
    #[serde(flatten)]
    pub counts: Counts,
    /// Levels at the end of this window.
    #[serde(flatten)]
    pub levels: Levels,
}

/// Everything that may be exported about packets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Packets {
    /// The last closed window; `None` in the first minute.
    pub window: Option<Window>,
    /// Sums of the rounded counts over all closed windows since the start of the node.
    pub total: Counts,
}

/// The windows of one run of a node.
#[derive(Debug)]
pub struct Windows {
    length: Duration,
    /// Step to which the process's CPU time of a window is rounded up.
    process_cpu_step: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The exact counts at the end of the last window.
    exact: Counts,
    /// The exact lag that has been exported.
    lag: Lag,
    /// The exact effort at the end of the last window.
    effort: Effort,
    since: Instant,
    /// End of the last window, by the wall clock.
    ended_at: Option<Duration>,
    /// Set once the open window is the last one.
    last: Option<Last>,
    published: Published,
}

/// The last window as it was when the drain began.
#[derive(Debug, Clone, Copy)]
struct Last {
    /// The boundary at which this window ends in the exported data.
    ended_at: Duration,
    length: Duration,
    publish: bool,
}

impl Counts {
    /// Combines each number with its counterpart in `other`; `join` also gets the step that the number is rounded up
    /// to. A reason or limit missing from one side counts as 0.
    fn join(&self, other: &Self, join: impl Fn(u64, u64, u64) -> u64) -> Self {
        let join_each = |own: &BTreeMap<String, u64>, others: &BTreeMap<String, u64>| {
            let of = |counts: &BTreeMap<String, u64>, key| counts.get(key).copied().unwrap_or_default();
            let keys = own.keys().chain(others.keys());
            let joined = keys.map(|key| (key.clone(), join(of(own, key), of(others, key), DROPS)));
            joined.filter(|(_, count)| *count > 0).collect()
        };
        Self {
            received: join(self.received, other.received, PACKETS),
            unwrapped: join(self.unwrapped, other.unwrapped, PACKETS),
            delayed: join(self.delayed, other.delayed, PACKETS),
            forwarded: join(self.forwarded, other.forwarded, PACKETS),
            final_hop: join(self.final_hop, other.final_hop, PACKETS),
            dropped: join_each(&self.dropped, &other.dropped),
            bad_frames: join(self.bad_frames, other.bad_frames, DROPS),
            refusals: join(self.refusals, other.refusals, DROPS),
            timeouts: join(self.timeouts, other.timeouts, DROPS),
            failures: join(self.failures, other.failures, DROPS),
            // Exact: each value covers a fixed, large number of packets.
            replay_early_ends: join(self.replay_early_ends, other.replay_early_ends, 1),
            limits: join_each(&self.limits, &other.limits),
        }
    }

    /// The counts since `earlier`, rounded up.
    fn rounded_since(&self, earlier: &Self) -> Self {
        self.join(earlier, |now, earlier, step| round_up(now.saturating_sub(earlier), step))
    }

    fn add(&mut self, window: &Self) {
        *self = self.join(window, |total, window, _| total.saturating_add(window));
    }
}

impl Levels {
    fn rounded_up(self) -> Self {
        Self {
            pool: round_up(self.pool, PACKETS),
            queue_unwrap: round_up(self.queue_unwrap, PACKETS),
            queue_forward: round_up(self.queue_forward, PACKETS),
            connections_in: round_up(self.connections_in, FEW),
            connections_out: round_up(self.connections_out, FEW),
        }
    }
}

impl Effort {
    /// Rounds up. For the CPU time of the process it adds the rounded time since `earlier` to what `exported` has.
    fn rounded_up(self, earlier: &Self, published: &Self, process_cpu_step: Duration) -> Self {
        let process_cpu = self.process.cpu.saturating_sub(earlier.process.cpu);
        Self {
            unwrap_cpu: round_up_time(self.unwrap_cpu),
            tasks: round_up(self.tasks, FEW),
            process: Usage {
                cpu: published.process.cpu + next_multiple(process_cpu, process_cpu_step),
                memory: round_up(self.process.memory, MEMORY),
                memory_virtual: round_up(self.process.memory_virtual, MEMORY),
                descriptors: round_up(self.process.descriptors, FEW),
                threads: round_up(self.process.threads, FEW),
            },
        }
    }
}

impl Default for Windows {
    fn default() -> Self {
        Self::new(WINDOW, 1)
    }
}

impl Windows {
    /// Creates windows of this length for a node with this many workers.
    #[must_use]
    pub fn new(length: Duration, workers: usize) -> Self {
        let state = State {
            exact: Counts::default(),
            lag: Lag::default(),
            effort: Effort::default(),
            since: Instant::now(),
            ended_at: None,
            last: None,
            published: Published::default(),
        };
        let workers_time = length * u32::try_from(workers).unwrap_or(u32::MAX);
        let process_cpu_step = next_multiple(workers_time / PROCESS_CPU_PARTS, Duration::from_secs(1));
        Self { length, process_cpu_step, state: Mutex::new(state) }
    }

    /// The length of a window.
    #[must_use]
    pub const fn length(&self) -> Duration {
        self.length
    }

    /// Ends windows by the clock, with or without traffic, for as long as it is polled. Calls `on_end` with what may be
    /// exported from then on.
    ///
    /// `now` is the time since the epoch.
    pub async fn run(
        &self,
        now: impl Fn() -> Duration,
        read: impl Fn() -> Sample,
        on_end: impl Fn(&Published),
    ) -> Infallible {
        loop {
            sleep(until_boundary(now(), self.length)).await;
            if let Some(published) = self.end(now(), read()) {
                on_end(&published);
            }
        }
    }

    /// The exportable packet counts; they are constant between the ends of two windows.
    pub fn packets(&self) -> Packets {
        self.lock().published.packets.clone()
    }

    /// Everything that may be exported; it is constant between the ends of two windows.
    pub fn published(&self) -> Published {
        self.lock().published.clone()
    }

    /// Counts resources used by the start as exported before the first window ends: no packet is part of them.
    pub fn begin(&self, effort: Effort) {
        self.lock().publish_effort(effort, self.process_cpu_step);
    }

    /// Ends the window at the boundary that has just passed; `at` is the time since the epoch.
    ///
    /// Does not end a window that is shorter than half the length, as at the start of the node, or whose start is this
    /// same boundary, as after the clock went back by less than a window. Such a window is merged into the next.
    pub fn end(&self, at: Duration, sample: Sample) -> Option<Published> {
        let mut state = self.lock();
        let length = state.since.elapsed();
        let ended_at = boundary_before(at + SLACK, self.length);
        if state.last.is_some() || length < self.length / 2 || !state.is_next(ended_at) {
            return None;
        }
        Some(self.publish(&mut state, ended_at, length, sample))
    }

    /// Makes the open window the last one: no later boundary ends it. `at` is the time since the epoch.
    ///
    /// Decides, before the drain, whether the last window is exported (if it is at least half a window long now) and
    /// with which end. So the exported data does not depend on how long the drain takes, which depends on the queued
    /// packets.
    pub fn begin_last(&self, at: Duration) {
        let mut state = self.lock();
        let length = state.since.elapsed();
        let ended_at = nearest_multiple(at, self.length);
        let publish = length >= self.length / 2 && state.is_next(ended_at);
        state.last = Some(Last { ended_at, length, publish });
    }

    /// Ends the last window once the node is empty. The counts of a last window that is too short are never exported.
    pub fn end_last(&self, sample: Sample) -> Option<Published> {
        let mut state = self.lock();
        let Last { ended_at, length, .. } = state.last.filter(|last| last.publish)?;
        Some(self.publish(&mut state, ended_at, length, sample))
    }

    fn publish(&self, state: &mut State, ended_at: Duration, length: Duration, sample: Sample) -> Published {
        let window = sample.counts.rounded_since(&state.exact);
        state.published.packets.total.add(&window);
        state.publish_lag(&sample.lag);
        let unwrap_cpu = round_up_time(sample.effort.unwrap_cpu.saturating_sub(state.effort.unwrap_cpu));
        state.publish_effort(sample.effort, self.process_cpu_step);
        let windows = nearest_multiple(length, self.length).max(self.length);
        let started_at = ended_at.saturating_sub(windows).max(state.start_min(ended_at));
        state.published.packets.window = Some(Window {
            started_at: started_at.as_secs(),
            ended_at: ended_at.as_secs(),
            seconds: (length + Duration::from_millis(500)).as_secs(),
            unwrap_cpu_ms: u64::try_from(unwrap_cpu.as_millis()).unwrap_or(u64::MAX),
            counts: window,
            levels: sample.levels.rounded_up(),
        });
        state.exact = sample.counts;
        state.since = Instant::now();
        state.ended_at = Some(ended_at);
        state.published.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Poisoning can be ignored: no code between lock and unlock leaves the state half-changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether a window may end there: never twice in a row at the same boundary.
    ///
    /// After the clock went back, windows follow the new time at once. Their times then repeat earlier ones, as the
    /// clock does.
    fn is_next(&self, ended_at: Duration) -> bool {
        if let Some(back) = self.ended_at.and_then(|last| last.checked_sub(ended_at)).filter(|back| !back.is_zero()) {
            let back = humantime::format_duration(back);
            warn!(%back, "The clock went back; windows follow the new time");
        }
        self.ended_at != Some(ended_at)
    }

    /// The earliest start of a window that ends there: the end of the last one, unless the clock has gone back since.
    fn start_min(&self, ended_at: Duration) -> Duration {
        self.ended_at.filter(|last| *last < ended_at).unwrap_or_default()
    }

    fn publish_effort(&mut self, effort: Effort, process_cpu_step: Duration) {
        self.published.effort = effort.rounded_up(&self.effort, &self.published.effort, process_cpu_step);
        self.effort = effort;
    }

    fn publish_lag(&mut self, exact: &Lag) {
        let new: Lag = std::array::from_fn(|bucket| exact[bucket].saturating_sub(self.lag[bucket]));
        if new.iter().sum::<u64>() < LAG_PACKETS_MIN {
            return;
        }
        for (published, new) in self.published.lag.iter_mut().zip(new) {
            *published += round_up(new, DROPS);
        }
        self.lag = *exact;
    }
}

fn round_up(count: u64, multiple: u64) -> u64 {
    count.checked_next_multiple_of(multiple).unwrap_or(u64::MAX)
}

fn round_up_time(time: Duration) -> Duration {
    let millis = u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
    Duration::from_millis(round_up(millis, CPU_MS))
}

fn next_multiple(time: Duration, of: Duration) -> Duration {
    let (time, of) = (time.as_nanos(), of.as_nanos().max(1));
    u64::try_from(time.next_multiple_of(of)).map_or(Duration::MAX, Duration::from_nanos)
}

fn boundary_before(time: Duration, window: Duration) -> Duration {
    let ms = time.as_millis() / window.as_millis().max(1) * window.as_millis();
    u64::try_from(ms).map_or(Duration::MAX, Duration::from_millis)
}

fn nearest_multiple(time: Duration, of: Duration) -> Duration {
    let (time, of) = (time.as_millis(), of.as_millis().max(1));
    u64::try_from((time + of / 2) / of * of).map_or(Duration::MAX, Duration::from_millis)
}

fn until_boundary(now: Duration, window: Duration) -> Duration {
    let window_ns = window.as_nanos().max(1);
    let left_ns = window_ns - now.as_nanos() % window_ns;
    u64::try_from(left_ns).map_or(window, Duration::from_nanos)
}

/// Time since the epoch.
#[expect(clippy::disallowed_methods, reason = "windows of all nodes end together, by the wall clock")]
pub fn wall_clock() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests;
