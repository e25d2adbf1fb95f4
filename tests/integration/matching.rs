//! Why single delays are not exported: how many packets an observer matches with and without them.
//!
//! A simulation, not a test of the node: it shows the size of what `docs/telemetry.md` keeps out. That the node's own
//! telemetry adds nothing to the wire is shown by the test of non-interference.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Exp};

const PACKETS: usize = 20_000;
const PER_SECOND: f64 = 100.0;
const MEAN_DELAY: f64 = 0.2;
/// The default of `mix.release_interval`.
const RELEASE_INTERVAL: f64 = 0.001;

/// Arrivals in order, and when each one is due, in seconds.
fn traffic(per_second: f64) -> (Vec<f64>, Vec<f64>) {
    let mut rng = StdRng::seed_from_u64(6);
    let (gap, delay) = (Exp::new(per_second).unwrap(), Exp::new(1.0 / MEAN_DELAY).unwrap());
    let mut now = rng.random::<f64>();
    let arrivals: Vec<f64> = (0..PACKETS)
        .map(|_| {
            now += gap.sample(&mut rng);
            now
        })
        .collect();
    let due = arrivals.iter().map(|arrival| arrival + delay.sample(&mut rng)).collect();
    (arrivals, due)
}

/// Departures at the ends of release intervals.
fn released(due: &[f64]) -> Vec<f64> {
    due.iter().map(|due| (due / RELEASE_INTERVAL).ceil() * RELEASE_INTERVAL).collect()
}

/// The share of packets whose arrival `guess` finds.
fn matched(arrivals: &[f64], departures: &[f64], guess: impl Fn(usize) -> usize) -> f64 {
    let right = (0..departures.len()).filter(|packet| guess(*packet) == *packet).count();
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let share = right as f64 / arrivals.len() as f64;
    share
}

/// The arrival that is nearest to a moment.
fn nearest(arrivals: &[f64], moment: f64) -> usize {
    let after = arrivals.partition_point(|arrival| *arrival < moment);
    let candidates = [after.saturating_sub(1), after.min(arrivals.len() - 1)];
    let distance = |candidate: &usize| (arrivals[*candidate] - moment).abs();
    candidates.into_iter().min_by(|one, other| distance(one).total_cmp(&distance(other))).unwrap()
}

/// With exponential delays the last arrival is the likeliest, whatever the wire has shown before.
fn last_arrival(arrivals: &[f64], departure: f64) -> usize {
    arrivals.partition_point(|arrival| *arrival <= departure).saturating_sub(1)
}

#[test]
fn delays_of_single_packets_undo_the_mixing() {
    let (arrivals, departures) = traffic(PER_SECOND);
    let wire = matched(&arrivals, &departures, |packet| last_arrival(&arrivals, departures[packet]));
    // A span for each packet says how long it was held, in milliseconds.
    let spans = matched(&arrivals, &departures, |packet| {
        let held = ((departures[packet] - arrivals[packet]) * 1000.0).round() / 1000.0;
        nearest(&arrivals, departures[packet] - held)
    });
    assert!(wire < 0.06, "{wire}");
    assert!(spans > 0.90, "{spans}");
}

/// Release intervals hide an exact delay among the packets that leave together, and nothing from the wire alone.
#[test]
fn release_intervals_hide_exact_delays_among_the_packets_of_an_interval() {
    for (per_second, wire_max, exact_max) in [(PER_SECOND, 0.06, 0.98), (10_000.0, 0.001, 0.20)] {
        let (arrivals, due) = traffic(per_second);
        let departures = released(&due);
        for departures in [&due, &departures] {
            let wire = matched(&arrivals, departures, |packet| last_arrival(&arrivals, departures[packet]));
            assert!(wire < wire_max, "{wire} at {per_second} per second");
        }
        // Somebody knows the delay that the sender chose, to the nanosecond, and that packets wait for half an interval.
        let exact = |departures: &[f64], wait: f64| {
            let guess = |packet| nearest(&arrivals, departures[packet] - wait - (due[packet] - arrivals[packet]));
            matched(&arrivals, departures, guess)
        };
        let (without, with) = (exact(&due, 0.0), exact(&departures, RELEASE_INTERVAL / 2.0));
        assert!(without > 0.99 && with < exact_max, "{without} and {with} at {per_second} per second");
    }
}
