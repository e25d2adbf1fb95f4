//! Windows, driven without a clock and with one.

use super::*;
use tokio::time::advance;

fn counts(received: u64, replays: u64) -> Counts {
    let dropped = if replays > 0 { [("replay".to_owned(), replays)].into() } else { BTreeMap::new() };
    Counts { received, forwarded: received, dropped, ..Counts::default() }
}

fn sample(received: u64, replays: u64, levels: Levels) -> Sample {
    Sample { counts: counts(received, replays), levels, ..Sample::default() }
}

#[tokio::test(start_paused = true)]
async fn counts_are_published_after_a_window_has_ended_and_rounded() {
    let windows = Windows::default();
    assert_eq!(windows.packets(), Packets::default());
    advance(WINDOW).await;
    let levels = Levels { pool: 1, connections_in: 5, connections_out: 4, ..Levels::default() };
    windows.end(Duration::from_millis(120_003), sample(65, 1, levels)).unwrap();
    let published = windows.packets();
    assert_eq!(published.total, counts(128, 8));
    let window = published.window.unwrap();
    assert_eq!((window.started_at, window.ended_at, window.seconds), (60, 120, 60));
    assert_eq!(window.counts, counts(128, 8));
    let rounded = Levels { pool: 64, connections_in: 8, connections_out: 4, ..Levels::default() };
    assert_eq!(window.levels, rounded);

    // A window without traffic: nothing is added, and earlier drops are not exported again.
    advance(WINDOW).await;
    windows.end(Duration::from_secs(180), sample(65, 1, Levels::default())).unwrap();
    assert_eq!(windows.packets().total, counts(128, 8));
    assert_eq!(windows.packets().window.unwrap().counts, counts(0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_short_window_is_merged_into_the_next() {
    let windows = Windows::default();
    advance(WINDOW / 2 - Duration::from_millis(1)).await;
    assert_eq!(windows.end(Duration::from_secs(60), sample(1, 0, Levels::default())), None);
    assert_eq!(windows.packets(), Packets::default());
    advance(WINDOW).await;
    windows.end(Duration::from_secs(120), sample(2, 0, Levels::default())).unwrap();
    let window = windows.packets().window.unwrap();
    assert_eq!((window.started_at, window.seconds, window.counts.received), (60, 90, 64));
}

#[tokio::test(start_paused = true)]
async fn a_last_window_of_at_least_half_the_length_includes_the_drain() {
    let windows = Windows::default();
    advance(WINDOW).await;
    windows.end(WINDOW, sample(1, 0, Levels::default())).unwrap();
    advance(WINDOW / 2).await;
    windows.begin_last(WINDOW * 3 / 2);
    // A drain may take longer than a window; it belongs to the window before it.
    advance(WINDOW).await;
    assert_eq!(windows.end(2 * WINDOW, sample(65, 8, Levels::default())), None);
    let window = windows.end_last(sample(66, 9, Levels::default())).unwrap().packets.window.unwrap();
    assert_eq!((window.started_at, window.ended_at, window.seconds), (60, 120, 30));
    assert_eq!(window.counts, counts(128, 16));
    assert_eq!(windows.packets().total, counts(192, 16));
}

#[tokio::test(start_paused = true)]
async fn a_last_window_below_half_the_length_is_not_published() {
    let windows = Windows::default();
    advance(WINDOW).await;
    let published = windows.end(WINDOW, sample(1, 0, Levels::default()));
    advance(WINDOW / 2 - Duration::from_millis(1)).await;
    windows.begin_last(WINDOW * 3 / 2 - Duration::from_millis(1));
    advance(WINDOW).await;
    assert_eq!(windows.end_last(sample(500, 100, Levels::default())), None);
    assert_eq!(Some(windows.published()), published);
}

#[tokio::test(start_paused = true)]
async fn windows_end_without_traffic_too() {
    let windows = Windows::new(Duration::from_secs(10), 1);
    let ends = std::cell::Cell::new(0);
    let start = Instant::now();
    let now = || Duration::from_millis(1_588_694_467_802) + start.elapsed();
    tokio::select! {
        never = windows.run(now, || sample(1, 0, Levels::default()), |_| ends.set(ends.get() + 1)) => {
            match never {}
        }
        () = sleep(Duration::from_secs(100)) => {}
    }
    assert!(windows.packets().window.is_some());
    assert_eq!(ends.get(), 9);
}

/// A window of a node whose clock makes a step.
#[derive(Debug)]
struct Ended {
    from: u64,
    to: u64,
    received: u64,
    /// Seconds since the start of the node.
    uptime: u64,
}

/// Time of the clock's step, since the start of the node.
const STEP_AT: Duration = Duration::from_secs(150);
/// The time since the epoch at the start of the node.
const STARTED_AT: Duration = Duration::from_secs(1_200);

/// The windows of a node that runs for ten minutes and receives 64 packets a second. Its clock makes this step, in
/// seconds, after two and a half minutes.
async fn windows_around(step: i64) -> Vec<Ended> {
    let windows = Windows::default();
    let start = Instant::now();
    let now = || {
        let elapsed = start.elapsed();
        let step = if elapsed < STEP_AT { 0 } else { step };
        let magnitude = Duration::from_secs(step.unsigned_abs());
        let by_clock = STARTED_AT + elapsed;
        if step < 0 { by_clock.saturating_sub(magnitude) } else { by_clock + magnitude }
    };
    let ends = std::cell::RefCell::new(Vec::new());
    let end = |published: &Published| {
        let Window { started_at, ended_at, counts, .. } = published.packets.window.clone().unwrap();
        let uptime = start.elapsed().as_secs();
        ends.borrow_mut().push(Ended { from: started_at, to: ended_at, received: counts.received, uptime });
    };
    let read = || sample(64 * start.elapsed().as_secs(), 0, Levels::default());
    tokio::select! {
        never = windows.run(now, read, end) => match never {},
        () = sleep(Duration::from_mins(10)) => {}
    }
    ends.take()
}

#[tokio::test(start_paused = true)]
async fn windows_end_at_boundaries_and_not_in_the_future_whatever_step_the_clock_makes() {
    for step in [-1_100, -500, -121, -120, -100, -90, -60, -40, -30, -1, 0, 1, 29, 30, 31, 59, 60, 61, 90, 3600] {
        let windows = windows_around(step).await;
        assert!(windows.iter().all(|window| window.from < window.to && window.to % 60 == 0), "{step}: {windows:?}");
        let by_clock = |window: &Ended| {
            let step = if window.uptime < STEP_AT.as_secs() { 0 } else { step };
            STARTED_AT.as_secs().saturating_add_signed(step) + window.uptime
        };
        assert!(windows.iter().all(|window| window.to <= by_clock(window) + 1), "{step}: {windows:?}");
        // Two windows of one node overlap only where its clock repeats a time.
        let overlaps = windows.windows(2).filter(|two| two[1].from < two[0].to).count();
        assert!(overlaps <= usize::from(step < 0), "{step}: {windows:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_any_step_of_the_clock_counts_go_on_within_two_windows_and_none_is_lost() {
    for step in [-1_300, -1_100, -500, -121, -120, -100, -90, -60, -40, -30, -1, 0, 1, 30, 60, 90, 3600, 31_536_000] {
        let windows = windows_around(step).await;
        let pauses = windows.windows(2).map(|two| two[1].uptime - two[0].uptime);
        assert!(pauses.max().unwrap() <= 120, "{step}: {windows:?}");
        let (first, last) = (windows.first().unwrap(), windows.last().unwrap());
        assert!(first.uptime <= 120 && last.uptime >= 480, "{step}: {windows:?}");
        let received: u64 = windows.iter().map(|window| window.received).sum();
        assert_eq!(received, 64 * last.uptime, "{step}: {windows:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_small_step_of_the_clock_moves_the_end_of_one_window() {
    let bounds = |windows: &[Ended]| windows.iter().map(|window| (window.from, window.to)).collect::<Vec<_>>();
    assert_eq!(bounds(&windows_around(-40).await[1..3]), [(1_260, 1_320), (1_320, 1_380)]);
    assert_eq!(bounds(&windows_around(40).await[1..4]), [(1_260, 1_320), (1_320, 1_380), (1_440, 1_500)]);
}

#[tokio::test(start_paused = true)]
async fn the_last_window_is_published_after_the_clock_went_back() {
    let windows = Windows::default();
    advance(WINDOW).await;
    windows.end(10 * WINDOW, sample(1, 0, Levels::default())).unwrap();
    advance(WINDOW).await;
    windows.begin_last(3 * WINDOW);
    let window = windows.end_last(sample(65, 0, Levels::default())).unwrap().packets.window.unwrap();
    assert_eq!((window.started_at, window.ended_at, window.counts.received), (120, 180, 64));
}

#[tokio::test(start_paused = true)]
async fn cpu_time_of_the_process_is_rounded_up_by_the_window_and_the_more_the_more_workers_it_has() {
    for (workers, step) in [(1, 3), (2, 6), (7, 21)] {
        let windows = Windows::new(WINDOW, workers);
        let effort =
            |ms| Effort { process: Usage { cpu: Duration::from_millis(ms), ..Usage::default() }, ..Effort::default() };
        windows.begin(effort(20));
        let mut published = vec![windows.published().effort.process.cpu.as_secs()];
        for (minute, ms) in (1..).zip([30, 40, 40, step * 1000 + 40, step * 2000 + 41]) {
            advance(WINDOW).await;
            let published_then = windows.end(WINDOW * minute, Sample { effort: effort(ms), ..Sample::default() });
            published.push(published_then.unwrap().effort.process.cpu.as_secs());
        }
        assert_eq!(published, [1, 2, 3, 3, 4, 6].map(|steps| steps * step), "{workers}");
    }
    let short = Windows::new(Duration::from_secs(10), 1);
    assert_eq!(short.process_cpu_step, Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn the_lag_of_few_packets_is_not_published() {
    let windows = Windows::default();
    let lag = |on_time: u64, late: u64| Sample { lag: [on_time, 0, 0, 0, 0, 0, late], ..Sample::default() };
    advance(WINDOW).await;
    assert_eq!(windows.end(WINDOW, lag(254, 1)).unwrap().lag, Lag::default());
    advance(WINDOW).await;
    assert_eq!(windows.end(2 * WINDOW, lag(255, 1)).unwrap().lag, [256, 0, 0, 0, 0, 0, 8]);
    advance(WINDOW).await;
    assert_eq!(windows.end(3 * WINDOW, lag(300, 9)).unwrap().lag, [256, 0, 0, 0, 0, 0, 8]);
}

#[tokio::test(start_paused = true)]
async fn resource_usage_is_rounded_up() {
    let windows = Windows::default();
    advance(WINDOW).await;
    let effort = Effort {
        unwrap_cpu: Duration::from_micros(1),
        process: Usage { memory: 1, descriptors: 5, ..Usage::default() },
        ..Effort::default()
    };
    let published = windows.end(WINDOW, Sample { effort, ..Sample::default() }).unwrap();
    let expected = Effort {
        unwrap_cpu: Duration::from_millis(10),
        process: Usage { memory: 1 << 20, descriptors: 8, ..Usage::default() },
        ..Effort::default()
    };
    assert_eq!(published.effort, expected);
    assert_eq!(published.packets.window.unwrap().unwrap_cpu_ms, 10);
    advance(WINDOW).await;
    let published = windows.end(2 * WINDOW, Sample { effort, ..Sample::default() }).unwrap();
    assert_eq!(published.packets.window.unwrap().unwrap_cpu_ms, 0);
}

#[test]
fn windows_end_on_whole_minutes() {
    let at = |ms| until_boundary(Duration::from_millis(ms), WINDOW);
    assert_eq!(at(0), WINDOW);
    assert_eq!(at(59_999), Duration::from_millis(1));
    assert_eq!(at(1_588_694_467_802), Duration::from_millis(52_198));
}
