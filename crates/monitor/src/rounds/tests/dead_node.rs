//! How many rounds pass until a dead node is down, in simulated time.

use super::*;

const TICK: Duration = Duration::from_millis(50);
/// Sum of a packet's delays at the mixes: several times the mean of the monitors.
const DELAY: Duration = Duration::from_millis(100);

/// Packets of a network in which one node dies right after a packet has returned from it.
struct Simulation {
    rounds: Rounds,
    now: Instant,
    died: bool,
    /// Packets that will be given up, with the times.
    lost: Vec<(Instant, Label)>,
}

impl Simulation {
    async fn new(settings: RoundSettings) -> Self {
        let (mut rounds, now) = (Rounds::new(settings, IpFamily::ALL.to_vec()), Instant::now());
        rounds.begin(Some(network().await), now);
        Self { rounds, now, died: false, lost: Vec::new() }
    }

    /// What happens in one tick, in the order of a monitor.
    fn tick(&mut self) -> Option<BatchMixStatus> {
        self.now += TICK;
        let late = |(at, _): &mut (Instant, Label)| *at <= self.now;
        let given_up: Vec<_> = self.lost.extract_if(.., late).collect();
        for (_, label) in given_up {
            let retry = self.rounds.on_loss(label, self.now);
            self.send(retry);
        }
        let due = self.rounds.due(self.now);
        self.send(due);
        let (results, _) = self.rounds.end(self.now)?;
        self.rounds.begin(None, self.now);
        Some(results)
    }

    fn send(&mut self, tests: impl IntoIterator<Item = Test>) {
        for Test { label, .. } in tests {
            let is_victim = name_of(&label) == Some(("b".to_owned(), IpFamily::V4));
            if is_victim && self.died {
                self.lost.push((self.now + DELAY + self.rounds.settings().timeout, label));
            } else {
                self.rounds.on_return(label, self.now);
                self.died |= is_victim;
            }
        }
    }

    /// For each round that ends after the death, the reported result of the dead node.
    fn results_after_death(&mut self, rounds: usize) -> Vec<Option<bool>> {
        while !self.died {
            assert!(self.tick().is_none(), "it is tested in the first round");
        }
        let mut results = Vec::new();
        while results.len() < rounds {
            results.extend(self.tick().map(|batch| {
                let of_victim = |status: &&MixStatus| status.pub_key == "b" && status.ip_version == IpVersion::V4;
                batch.status.iter().find(of_victim).map(|status| status.up)
            }));
        }
        results
    }
}

#[tokio::test]
async fn a_dead_node_is_down_after_two_finished_rounds_whatever_their_interval() {
    for seconds in [1, 2, 5, 9, 10, 15, 20, 60, 300] {
        for _ in 0..20 {
            let settings =
                RoundSettings { settle: Duration::ZERO, ..RoundSettings::every(Duration::from_secs(seconds)) };
            // The first result is that of the round in which the node died.
            let [own, first, second] = Simulation::new(settings).await.results_after_death(3)[..] else { panic!() };
            assert_eq!(own, Some(true));
            assert!(first != Some(true) && second != Some(true), "{first:?}, {second:?} in rounds of {seconds} s");
            assert!(first.or(second) == Some(false), "{first:?}, {second:?} in rounds of {seconds} s");
        }
    }
}

#[tokio::test]
async fn a_dead_node_fails_in_each_long_round_and_in_every_second_short_one() {
    for (seconds, expected) in [(1, 5), (5, 5), (10, 5), (30, 9), (60, 9)] {
        let settings = RoundSettings { settle: Duration::ZERO, ..RoundSettings::every(Duration::from_secs(seconds)) };
        let results = Simulation::new(settings).await.results_after_death(11);
        let failures = results.iter().filter(|result| **result == Some(false)).count();
        assert!(failures >= expected, "{failures} in rounds of {seconds} s: {results:?}");
    }
}
