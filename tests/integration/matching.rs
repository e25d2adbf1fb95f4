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

/// Arrivals in order, and each one's departure, in seconds.
fn traffic() -> (Vec<f64>, Vec<f64>) {
    let mut rng = StdRng::seed_from_u64(6);
    let (gap, delay) = (Exp::new(PER_SECOND).unwrap(), Exp::new(1.0 / MEAN_DELAY).unwrap());
    let mut now = rng.random::<f64>();
    let arrivals: Vec<f64> = (0..PACKETS)
        .map(|_| {
            now += gap.sample(&mut rng);
            now
        })
        .collect();
    let departures = arrivals.iter().map(|arrival| arrival + delay.sample(&mut rng)).collect();
    (arrivals, departures)
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

#[test]
fn delays_of_single_packets_undo_the_mixing() {
    let (arrivals, departures) = traffic();
    // With exponential delays the last arrival is the likeliest, whatever the wire has shown before.
    let wire = matched(&arrivals, &departures, |packet| {
        arrivals.partition_point(|arrival| *arrival <= departures[packet]).saturating_sub(1)
    });
    // A span for each packet says how long it was held, in milliseconds.
    let spans = matched(&arrivals, &departures, |packet| {
        let held = ((departures[packet] - arrivals[packet]) * 1000.0).round() / 1000.0;
        nearest(&arrivals, departures[packet] - held)
    });
    assert!(wire < 0.06, "{wire}");
    assert!(spans > 0.90, "{spans}");
}
