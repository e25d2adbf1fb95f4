//! Counts that may be told: of closed windows of a minute, each rounded up.
//!
//! Exact counts at times of the asker's choosing would tell which packets were dropped or still wait, and so narrow
//! down which incoming packet an outgoing one can be.
//!
//! A test drives the windows without a clock: [`Windows::end`] takes the time and the exact [`Sample`], and gives what
//! may be told from then on.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::instruments::LAG_BOUNDS;

/// Windows end on multiples of this by the wall clock, unless the configuration says otherwise.
pub const WINDOW: Duration = Duration::from_mins(1);

/// Packets are told in multiples of this.
const PACKETS: u64 = 64;
/// Drops and bad frames are rarer, and told in multiples of this.
const DROPS: u64 = 8;
/// What rounding adds to a count of drops that is told, at the most.
pub(super) const ROUNDED_UP_MAX: u64 = DROPS - 1;
/// Connections, descriptors, threads and tasks are told in multiples of this.
const FEW: u64 = 4;
/// Memory is told in multiples of this.
const MEMORY: u64 = 1 << 20;
/// CPU time of unwrapping is told in multiples of this.
const CPU_MS: u64 = 10;
/// CPU time of the process is told, by the window, in multiples of one part in so many of the workers' time, and of
/// whole seconds. A packet that crosses from one worker to another costs a wake-up more than one that does not, and
/// which do is part of the matching: what all of a busy window's cost has to be less than this.
const PROCESS_CPU_PARTS: u32 = 20;
/// Timers and the wall clock may disagree by this where a window ends.
const SLACK: Duration = Duration::from_secs(1);
/// The lag of fewer packets than these is held back, until there are so many.
const LAG_PACKETS_MIN: u64 = 256;

/// How many packets were late by how much: one count for each of [`LAG_BOUNDS`], and one for all that were later.
pub type Lag = [u64; LAG_BOUNDS.len() + 1];

/// What is counted, since the start of the node or over one window.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Whole frames taken from the network.
    pub received: u64,
    /// Packets that were unwrapped, whatever came of them.
    pub unwrapped: u64,
    /// Packets whose delay has passed.
    pub delayed: u64,
    /// Packets handed whole to the network.
    pub forwarded: u64,
    /// Packets that ended here.
    #[serde(rename = "final")]
    pub final_hop: u64,
    /// Packets given up, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// Frames that were none and closed their connection.
    pub bad_frames: u64,
    /// Connections closed at once, for there were too many.
    pub refusals: u64,
    /// Connections closed because they took too long.
    pub timeouts: u64,
    /// Connections to next hops that failed or broke.
    pub failures: u64,
    /// Generations of the replay filter that were full before their time.
    pub replay_early_ends: u64,
}

/// What goes up and down, at the end of a window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Levels {
    /// Packets that wait for their delay to pass.
    pub pool: u64,
    /// Packets that wait to be unwrapped, or for their place in the pool.
    pub queue_unwrap: u64,
    /// Packets that wait for their next hop.
    pub queue_forward: u64,
    /// Incoming connections.
    pub connections_in: u64,
    /// Outgoing connections.
    pub connections_out: u64,
}

/// What the work takes, since the start of the node or now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Effort {
    /// CPU time of unwrapping.
    pub unwrap_cpu: Duration,
    /// CPU time of the process.
    pub process_cpu: Duration,
    /// Tasks of the runtimes.
    pub tasks: u64,
    /// Resident memory, in bytes.
    pub memory: u64,
    /// Virtual memory, in bytes.
    pub memory_virtual: u64,
    /// Open file descriptors.
    pub descriptors: u64,
    /// Threads.
    pub threads: u64,
}

/// Everything that is counted or measured, exactly, at one time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sample {
    pub counts: Counts,
    pub levels: Levels,
    pub lag: Lag,
    pub effort: Effort,
}

/// Everything that may be told of a [`Sample`] and those before it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    pub packets: Packets,
    /// Since the start of the node.
    pub lag: Lag,
    pub effort: Effort,
}

/// A window that is over, rounded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Window {
    /// The multiple of a window's length at which it began, in seconds since the epoch.
    pub started_at: u64,
    /// The multiple of a window's length at which it ended, in seconds since the epoch.
    pub ended_at: u64,
    /// How long it was, in seconds; less than from the one to the other where the node started in between.
    pub seconds: u64,
    /// CPU time of unwrapping in it, in milliseconds; for the spans.
    #[serde(skip)]
    pub unwrap_cpu_ms: u64,
    /// What was counted in it.
    #[serde(flatten)]
    pub counts: Counts,
    /// The levels at its end.
    #[serde(flatten)]
    pub levels: Levels,
}

/// All that may be told of the packets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Packets {
    /// The last window that is over; none in the first minute.
    pub window: Option<Window>,
    /// The sums over all windows that are over, each rounded, since the start of the node.
    pub total: Counts,
}

/// The windows of one run of a node.
#[derive(Debug)]
pub struct Windows {
    length: Duration,
    /// What the process's CPU time of a window is rounded up to.
    process_cpu_step: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The exact counts at the end of the last window.
    exact: Counts,
    /// The exact lag that has been told.
    lag: Lag,
    /// The exact effort at the end of the last window.
    effort: Effort,
    since: Instant,
    /// Where the last window ended, by the wall clock.
    ended_at: Option<Duration>,
    /// Set once the window that is open is the last.
    last: Option<Last>,
    told: Told,
}

/// What was known of the last window before the node drained.
#[derive(Debug, Clone, Copy)]
struct Last {
    /// The boundary that it is told to end at.
    ended_at: Duration,
    length: Duration,
    may_be_told: bool,
}

impl Counts {
    /// Joins each number with the same one of `other`. A reason that one of them lacks is 0 there.
    fn join(&self, other: &Self, join: impl Fn(u64, u64) -> u64) -> Self {
        let dropped = |counts: &Self, reason| counts.dropped.get(reason).copied().unwrap_or_default();
        let reasons = self.dropped.keys().chain(other.dropped.keys());
        Self {
            received: join(self.received, other.received),
            unwrapped: join(self.unwrapped, other.unwrapped),
            delayed: join(self.delayed, other.delayed),
            forwarded: join(self.forwarded, other.forwarded),
            final_hop: join(self.final_hop, other.final_hop),
            dropped: reasons
                .map(|reason| (reason.clone(), join(dropped(self, reason), dropped(other, reason))))
                .collect(),
            bad_frames: join(self.bad_frames, other.bad_frames),
            refusals: join(self.refusals, other.refusals),
            timeouts: join(self.timeouts, other.timeouts),
            failures: join(self.failures, other.failures),
            replay_early_ends: join(self.replay_early_ends, other.replay_early_ends),
        }
    }

    fn since(&self, earlier: &Self) -> Self {
        self.join(earlier, u64::saturating_sub)
    }

    fn add(&mut self, window: &Self) {
        *self = self.join(window, u64::saturating_add);
    }

    fn rounded_up(self) -> Self {
        let dropped = self.dropped.into_iter().map(|(reason, count)| (reason, round_up(count, DROPS)));
        Self {
            received: round_up(self.received, PACKETS),
            unwrapped: round_up(self.unwrapped, PACKETS),
            delayed: round_up(self.delayed, PACKETS),
            forwarded: round_up(self.forwarded, PACKETS),
            final_hop: round_up(self.final_hop, PACKETS),
            dropped: dropped.filter(|(_, count)| *count > 0).collect(),
            bad_frames: round_up(self.bad_frames, DROPS),
            refusals: round_up(self.refusals, DROPS),
            timeouts: round_up(self.timeouts, DROPS),
            failures: round_up(self.failures, DROPS),
            // Exact: each is of a fixed number of packets, and of many.
            replay_early_ends: self.replay_early_ends,
        }
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
    /// Rounded; to the CPU time of the process, of which `told` was told so far, comes what there was since `earlier`.
    fn rounded_up(self, earlier: &Self, told: &Self, process_cpu_step: Duration) -> Self {
        let process_cpu = self.process_cpu.saturating_sub(earlier.process_cpu);
        Self {
            unwrap_cpu: round_up_time(self.unwrap_cpu),
            process_cpu: told.process_cpu + next_multiple(process_cpu, process_cpu_step),
            tasks: round_up(self.tasks, FEW),
            memory: round_up(self.memory, MEMORY),
            memory_virtual: round_up(self.memory_virtual, MEMORY),
            descriptors: round_up(self.descriptors, FEW),
            threads: round_up(self.threads, FEW),
        }
    }
}

impl Default for Windows {
    fn default() -> Self {
        Self::new(WINDOW, 1)
    }
}

impl Windows {
    /// Windows of this length, of a node with so many workers.
    #[must_use]
    pub fn new(length: Duration, workers: usize) -> Self {
        let state = State {
            exact: Counts::default(),
            lag: Lag::default(),
            effort: Effort::default(),
            since: Instant::now(),
            ended_at: None,
            last: None,
            told: Told::default(),
        };
        let workers_time = length * u32::try_from(workers).unwrap_or(u32::MAX);
        let process_cpu_step = next_multiple(workers_time / PROCESS_CPU_PARTS, Duration::from_secs(1));
        Self { length, process_cpu_step, state: Mutex::new(state) }
    }

    /// How long a window is.
    #[must_use]
    pub const fn length(&self) -> Duration {
        self.length
    }

    /// Ends windows by the clock, whatever the traffic, for as long as it is polled.
    /// `on_end` gets what may be told then.
    ///
    /// `now` is the time since the epoch.
    pub async fn run(
        &self,
        now: impl Fn() -> Duration,
        read: impl Fn() -> Sample,
        on_end: impl Fn(&Told),
    ) -> Infallible {
        loop {
            sleep(until_boundary(now(), self.length)).await;
            if let Some(told) = self.end(now(), read()) {
                on_end(&told);
            }
        }
    }

    /// What may be told of packets: the same from one end of a window to the next.
    pub fn told(&self) -> Packets {
        self.lock().told.packets.clone()
    }

    /// All that may be told: the same from one end of a window to the next.
    pub fn all_told(&self) -> Told {
        self.lock().told.clone()
    }

    /// What is taken as told before the first window ends: the work that a start takes, of which no packet is part.
    pub fn begin(&self, effort: Effort) {
        self.lock().tell_effort(effort, self.process_cpu_step);
    }

    /// Ends the window at the boundary that has just passed; `at` is the time since the epoch.
    ///
    /// A later boundary ends the window instead when it is shorter than half of one, as at the start of the node, or
    /// when the last window ended at this same boundary, as after a step of the clock by less than a window.
    pub fn end(&self, at: Duration, sample: Sample) -> Option<Told> {
        let mut state = self.lock();
        let length = state.since.elapsed();
        let ended_at = boundary_before(at + SLACK, self.length);
        if state.last.is_some() || length < self.length / 2 || !state.is_next(ended_at) {
            return None;
        }
        Some(self.tell(&mut state, ended_at, length, sample))
    }

    /// The window that is open now is the last: no boundary ends it any more. `at` is the time since the epoch.
    ///
    /// Whether it will be told, and as of when, is decided here, before the drain: as long as any, if it is half of one
    /// now. How long the drain then takes depends on what becomes of the packets that wait.
    pub fn begin_last(&self, at: Duration) {
        let mut state = self.lock();
        let length = state.since.elapsed();
        let ended_at = nearest_multiple(at, self.length);
        let may_be_told = length >= self.length / 2 && state.is_next(ended_at);
        state.last = Some(Last { ended_at, length, may_be_told });
    }

    /// Ends the last window, once the node is empty; what a short one has counted is never told.
    pub fn end_last(&self, sample: Sample) -> Option<Told> {
        let mut state = self.lock();
        let Last { ended_at, length, .. } = state.last.filter(|last| last.may_be_told)?;
        Some(self.tell(&mut state, ended_at, length, sample))
    }

    fn tell(&self, state: &mut State, ended_at: Duration, length: Duration, sample: Sample) -> Told {
        let window = sample.counts.since(&state.exact).rounded_up();
        state.told.packets.total.add(&window);
        state.tell_lag(&sample.lag);
        let unwrap_cpu = round_up_time(sample.effort.unwrap_cpu.saturating_sub(state.effort.unwrap_cpu));
        state.tell_effort(sample.effort, self.process_cpu_step);
        let windows = nearest_multiple(length, self.length).max(self.length);
        let started_at = ended_at.saturating_sub(windows).max(state.start_min(ended_at));
        state.told.packets.window = Some(Window {
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
        state.told.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing between lock and unlock can fail half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether a window may end there: at no boundary twice in succession.
    ///
    /// After the clock went back, windows go on by the new time at once. They then repeat times of earlier ones, which
    /// cannot be helped: the clock does so, too.
    fn is_next(&self, ended_at: Duration) -> bool {
        if let Some(back) = self.ended_at.and_then(|last| last.checked_sub(ended_at)).filter(|back| !back.is_zero()) {
            let back = humantime::format_duration(back);
            warn!(%back, "The clock went back; windows go on by the new time");
        }
        self.ended_at != Some(ended_at)
    }

    /// The earliest start of a window that ends there: the end of the last one, unless the clock went back since.
    fn start_min(&self, ended_at: Duration) -> Duration {
        self.ended_at.filter(|last| *last < ended_at).unwrap_or_default()
    }

    fn tell_effort(&mut self, effort: Effort, process_cpu_step: Duration) {
        self.told.effort = effort.rounded_up(&self.effort, &self.told.effort, process_cpu_step);
        self.effort = effort;
    }

    fn tell_lag(&mut self, exact: &Lag) {
        let new: Lag = std::array::from_fn(|bucket| exact[bucket].saturating_sub(self.lag[bucket]));
        if new.iter().sum::<u64>() < LAG_PACKETS_MIN {
            return;
        }
        for (told, new) in self.told.lag.iter_mut().zip(new) {
            *told += round_up(new, DROPS);
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
#[path = "window_tests.rs"]
mod tests;
