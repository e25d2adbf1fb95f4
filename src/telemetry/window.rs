//! Counts that may be told: of closed windows of a minute, each rounded up.
//!
//! Exact counts at times of the asker's choosing would tell which packets were dropped or still wait, and so narrow
//! down which incoming packet an outgoing one can be.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tokio::time::{Instant, sleep};

/// Windows end on multiples of this, by the wall clock.
pub const WINDOW: Duration = Duration::from_mins(1);

/// No window is shorter, at the start of the node or after a step of the clock: the next boundary ends it instead.
const WINDOW_MIN: Duration = Duration::from_secs(30);

/// Packets are told in multiples of this.
const PACKETS: u64 = 64;
/// Drops and bad frames are rarer, and told in multiples of this.
const DROPS: u64 = 8;
/// Connections are told in multiples of this.
const CONNECTIONS: u64 = 4;

/// What is counted, since the start of the node or over one window.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Whole frames taken from the network.
    pub received: u64,
    /// Packets handed whole to the network.
    pub forwarded: u64,
    /// Packets that ended here.
    #[serde(rename = "final")]
    pub final_hop: u64,
    /// Packets given up, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// Frames that were none and closed their connection.
    pub bad_frames: u64,
}

/// What goes up and down, at the end of a window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Levels {
    /// Packets that wait for their delay to pass.
    pub pool: u64,
    /// Incoming connections.
    pub connections_in: u64,
    /// Outgoing connections.
    pub connections_out: u64,
}

/// A window that is over, rounded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Window {
    /// When it ended, in seconds since the epoch.
    pub ended_at: u64,
    /// How long it was, in seconds.
    pub seconds: u64,
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
pub struct Windows(Mutex<State>);

#[derive(Debug)]
struct State {
    /// The exact counts at the end of the last window.
    exact: Counts,
    since: Instant,
    told: Packets,
}

impl Counts {
    fn since(&self, earlier: &Self) -> Self {
        let before = |reason: &String| earlier.dropped.get(reason).copied().unwrap_or_default();
        let dropped = self.dropped.iter().map(|(reason, count)| (reason.clone(), count.saturating_sub(before(reason))));
        Self {
            received: self.received.saturating_sub(earlier.received),
            forwarded: self.forwarded.saturating_sub(earlier.forwarded),
            final_hop: self.final_hop.saturating_sub(earlier.final_hop),
            dropped: dropped.collect(),
            bad_frames: self.bad_frames.saturating_sub(earlier.bad_frames),
        }
    }

    fn rounded_up(self) -> Self {
        let dropped = self.dropped.into_iter().map(|(reason, count)| (reason, round_up(count, DROPS)));
        Self {
            received: round_up(self.received, PACKETS),
            forwarded: round_up(self.forwarded, PACKETS),
            final_hop: round_up(self.final_hop, PACKETS),
            dropped: dropped.filter(|(_, count)| *count > 0).collect(),
            bad_frames: round_up(self.bad_frames, DROPS),
        }
    }

    fn add(&mut self, window: &Self) {
        self.received += window.received;
        self.forwarded += window.forwarded;
        self.final_hop += window.final_hop;
        self.bad_frames += window.bad_frames;
        for (reason, count) in &window.dropped {
            *self.dropped.entry(reason.clone()).or_default() += count;
        }
    }
}

impl Levels {
    fn rounded_up(self) -> Self {
        Self {
            pool: round_up(self.pool, PACKETS),
            connections_in: round_up(self.connections_in, CONNECTIONS),
            connections_out: round_up(self.connections_out, CONNECTIONS),
        }
    }
}

impl Default for Windows {
    fn default() -> Self {
        let told = Packets::default();
        Self(Mutex::new(State { exact: Counts::default(), since: Instant::now(), told }))
    }
}

impl Windows {
    /// Ends windows by the clock, whatever the traffic, for as long as it is polled.
    ///
    /// `now` is the time since the epoch.
    pub async fn run(&self, now: impl Fn() -> Duration, read: impl Fn() -> (Counts, Levels)) -> Infallible {
        loop {
            sleep(until_boundary(now())).await;
            let (counts, levels) = read();
            self.end(now(), counts, levels);
        }
    }

    /// What may be told: the same from one end of a window to the next.
    pub fn told(&self) -> Packets {
        self.lock().told.clone()
    }

    fn end(&self, at: Duration, counts: Counts, levels: Levels) {
        let mut state = self.lock();
        let length = state.since.elapsed();
        if length < WINDOW_MIN {
            return;
        }
        let window = counts.since(&state.exact).rounded_up();
        state.told.total.add(&window);
        let seconds = length.as_secs_f64().round();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive number of seconds")]
        let seconds = seconds as u64;
        state.told.window =
            Some(Window { ended_at: at.as_secs(), seconds, counts: window, levels: levels.rounded_up() });
        state.exact = counts;
        state.since = Instant::now();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing between lock and unlock can fail half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn round_up(count: u64, multiple: u64) -> u64 {
    count.checked_next_multiple_of(multiple).unwrap_or(u64::MAX)
}

fn until_boundary(now: Duration) -> Duration {
    let window_ns = WINDOW.as_nanos();
    let left_ns = window_ns - now.as_nanos() % window_ns;
    u64::try_from(left_ns).map_or(WINDOW, Duration::from_nanos)
}

/// Time since the epoch.
#[expect(clippy::disallowed_methods, reason = "windows of all nodes end together, by the wall clock")]
pub fn wall_clock() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    fn counts(received: u64, replays: u64) -> Counts {
        let dropped = if replays > 0 { [("replay".to_owned(), replays)].into() } else { BTreeMap::new() };
        Counts { received, forwarded: received, final_hop: 0, dropped, bad_frames: 0 }
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_told_before_a_window_is_over_and_then_only_rounded() {
        let windows = Windows::default();
        assert_eq!(windows.told(), Packets::default());
        advance(WINDOW).await;
        windows.end(Duration::from_secs(120), counts(65, 1), Levels { pool: 1, connections_in: 5, connections_out: 4 });
        let told = windows.told();
        assert_eq!(told.total, counts(128, 8));
        let window = told.window.unwrap();
        assert_eq!((window.ended_at, window.seconds, window.counts), (120, 60, counts(128, 8)));
        assert_eq!(window.levels, Levels { pool: 64, connections_in: 8, connections_out: 4 });

        // A quiet window: nothing is added, and what was dropped before is not told again.
        advance(WINDOW).await;
        windows.end(Duration::from_secs(180), counts(65, 1), Levels::default());
        assert_eq!(windows.told().total, counts(128, 8));
        assert_eq!(windows.told().window.unwrap().counts, counts(0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_window_is_merged_into_the_next() {
        let windows = Windows::default();
        advance(WINDOW_MIN - Duration::from_millis(1)).await;
        windows.end(Duration::from_secs(60), counts(1, 0), Levels::default());
        assert_eq!(windows.told(), Packets::default());
        advance(WINDOW).await;
        windows.end(Duration::from_secs(120), counts(2, 0), Levels::default());
        let window = windows.told().window.unwrap();
        assert_eq!((window.seconds, window.counts.received), (90, 64));
    }

    #[tokio::test(start_paused = true)]
    async fn windows_end_without_traffic_too() {
        let windows = Windows::default();
        tokio::select! {
            never = windows.run(wall_clock, || (counts(1, 0), Levels::default())) => match never {},
            () = sleep(3 * WINDOW) => {}
        }
        assert!(windows.told().window.is_some());
    }

    #[test]
    fn windows_end_on_whole_minutes() {
        let at = |ms| until_boundary(Duration::from_millis(ms));
        assert_eq!(at(0), WINDOW);
        assert_eq!(at(59_999), Duration::from_millis(1));
        assert_eq!(at(1_588_694_467_802), Duration::from_millis(52_198));
    }
}
