//! Test of one node over one family: settling, then counting, then done.

use std::time::Duration;

use nym_mixnode_sphinx::{BuildError, Hop};
use tokio::time::Instant;

use super::{Doubt, FamilyReport, Plan};
use crate::family::IpFamily;
use crate::prober::Prober;
use crate::report::{Counts, Tally};

/// Packet interval while a lane settles: short enough for timing, long enough to cause no load.
const SETTLING_EVERY: Duration = Duration::from_secs(1);

/// After this, nodes with the default refresh interval (30 s) have the prober in their topology.
const HEARD_AFTER: Duration = Duration::from_secs(35);

/// Identifies the lane and the kind of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label {
    /// Number of the lane.
    pub lane: usize,
    counted: bool,
}

#[derive(Debug)]
pub(super) struct Lane {
    target: usize,
    family: IpFamily,
    first: Hop,
    last: Hop,
    packets: u32,
    phase: Phase,
    reached_after: Option<Duration>,
    tally: Tally,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    Settling { until: Instant, next: Instant },
    Unreached { since: Instant },
    Counting,
}

impl Lane {
    pub(super) fn open(target: usize, family: IpFamily, (first, last): (Hop, Hop), plan: &Plan, now: Instant) -> Self {
        let phase = if plan.settle.is_zero() {
            Phase::Counting
        } else {
            Phase::Settling { until: now + plan.settle, next: now }
        };
        let (tally, packets) = (Tally::default(), plan.packets);
        Self { target, family, first, last, packets, phase, reached_after: None, tally }
    }

    /// Sends the packets that are due.
    pub(super) fn advance(
        &mut self,
        prober: &mut Prober<Label>,
        number: usize,
        now: Instant,
    ) -> Result<(), BuildError> {
        let counted = match &mut self.phase {
            Phase::Settling { until, .. } if now >= *until => {
                self.phase = Phase::Unreached { since: now };
                return Ok(());
            }
            Phase::Settling { next, .. } if now >= *next => {
                *next = now + SETTLING_EVERY;
                false
            }
            Phase::Counting if self.tally.total().sent < u64::from(self.packets) => true,
            Phase::Settling { .. } | Phase::Unreached { .. } | Phase::Counting => return Ok(()),
        };
        prober.send(&[self.first], self.last, Label { lane: number, counted })?;
        if counted {
            self.tally.sent(self.family);
        }
        Ok(())
    }

    pub(super) fn on_return(&mut self, label: Label, over_delay_ms: f64, since_start: Duration) {
        self.reached_after.get_or_insert(since_start);
        if label.counted {
            self.tally.returned(self.family, over_delay_ms);
        } else {
            // Even a packet that returns just after the lane gave up shows that the node mixes.
            self.phase = Phase::Counting;
        }
    }

    pub(super) fn on_loss(&mut self, label: Label) {
        // A lost settling packet means only that the node does not forward to the prober yet.
        if label.counted {
            self.tally.lost(self.family);
        }
    }

    pub(super) fn is_done(&self) -> bool {
        let counts = self.counts();
        match self.phase {
            Phase::Settling { .. } => false,
            Phase::Unreached { .. } => true,
            Phase::Counting => counts.sent == u64::from(self.packets) && counts.in_transit() == 0,
        }
    }

    pub(super) fn is_settling(&self) -> bool {
        matches!(self.phase, Phase::Settling { .. })
    }

    pub(super) fn is_unreached(&self) -> bool {
        matches!(self.phase, Phase::Unreached { .. })
    }

    pub(super) fn is_of(&self, target: usize, family: IpFamily) -> bool {
        self.target == target && self.family == family
    }

    pub(super) fn counts(&self) -> Counts {
        self.tally.counts(self.family)
    }

    pub(super) fn report(&self, prober: &Prober<Label>, started: Instant) -> FamilyReport {
        let Some(reached_after) = self.reached_after else { return self.silence(prober, started) };
        FamilyReport::Tested {
            reached_after_s: to_tenths(reached_after.as_secs_f64()),
            counts: self.counts(),
            latency_over_delay_ms: self.tally.report().latency_over_delay_ms,
        }
    }

    /// Report when no packet returned: the node is at fault only if it can know and reach the prober.
    fn silence(&self, prober: &Prober<Label>, started: Instant) -> FamilyReport {
        let until = match self.phase {
            Phase::Unreached { since } => since,
            Phase::Settling { .. } | Phase::Counting => Instant::now(),
        };
        let after_s = to_tenths((until - started).as_secs_f64());
        if let Some(reason) = prober.trouble(self.first.address) {
            return FamilyReport::NotReached { after_s, reason: Some(reason) };
        }
        if prober.age() < HEARD_AFTER {
            return FamilyReport::Undecided { after_s, doubt: Doubt::NotHeardYet };
        }
        match prober.unreached_address(self.family) {
            Some(prober) => FamilyReport::Undecided { after_s, doubt: Doubt::ProberNotReached { prober } },
            None => FamilyReport::NotReached { after_s, reason: None },
        }
    }
}

fn to_tenths(seconds: f64) -> f64 {
    (seconds * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prober::Endpoint;

    const COUNTED: Label = Label { lane: 0, counted: true };
    const SETTLING: Label = Label { lane: 0, counted: false };

    fn lane(settle: Duration) -> (Prober<Label>, Lane, Instant) {
        let endpoint = Endpoint::local("127.0.0.1:0".parse().unwrap());
        let prober = Prober::bind(&[endpoint], Duration::ZERO).unwrap();
        let hop = prober.last_hop(IpFamily::V4).unwrap();
        let plan = Plan { packets: 2, timeout: Duration::from_secs(10), settle };
        let now = Instant::now();
        (prober, Lane::open(0, IpFamily::V4, (hop, hop), &plan, now), now)
    }

    #[tokio::test]
    async fn settling_packets_go_out_every_second_and_are_never_counted() {
        let (mut prober, mut lane, start) = lane(Duration::from_secs(40));
        for ms in [0, 50, 999, 1000, 1050] {
            lane.advance(&mut prober, 0, start + Duration::from_millis(ms)).unwrap();
        }
        assert_eq!(prober.in_transit(), 2);
        lane.on_loss(SETTLING);
        assert!(lane.is_settling());
        assert_eq!(lane.counts(), Counts::default());
    }

    #[tokio::test]
    async fn the_first_return_starts_the_counted_packets() {
        let (mut prober, mut lane, start) = lane(Duration::from_secs(40));
        lane.advance(&mut prober, 0, start).unwrap();
        lane.on_return(SETTLING, 1.0, Duration::from_millis(1234));
        for _ in 0..5 {
            lane.advance(&mut prober, 0, start).unwrap();
        }
        assert_eq!(lane.counts().sent, 2);
        lane.on_return(COUNTED, 1.0, Duration::from_secs(2));
        assert!(!lane.is_done());
        lane.on_loss(COUNTED);
        assert!(lane.is_done());
        let FamilyReport::Tested { reached_after_s, counts, .. } = lane.report(&prober, start) else { unreachable!() };
        assert!((reached_after_s - 1.2).abs() < 1e-9, "{reached_after_s}");
        assert_eq!(counts, Counts { sent: 2, returned: 1, lost: 1 });
        assert_eq!(lane.report(&prober, start).is_mixing(), Some(false));
    }

    /// Report of a lane without returns, given up after `settle` with a simulated clock.
    async fn given_up(settle: Duration, connects: bool) -> FamilyReport {
        let (mut prober, mut lane, start) = lane(settle);
        if connects {
            drop(tokio::net::TcpStream::connect(prober.addresses()[0]).await.unwrap());
            while prober.unreached_address(IpFamily::V4).is_some() {
                tokio::task::yield_now().await;
            }
        }
        tokio::time::pause();
        tokio::time::advance(settle).await;
        lane.advance(&mut prober, 0, start + settle).unwrap();
        assert!(lane.is_done() && lane.is_unreached());
        lane.report(&prober, start)
    }

    #[tokio::test]
    async fn a_silent_node_that_cannot_know_the_prober_yet_is_not_blamed() {
        let report = given_up(Duration::from_secs(5), true).await;
        assert_eq!(report, FamilyReport::Undecided { after_s: 5.0, doubt: Doubt::NotHeardYet });
        assert_eq!(report.is_mixing(), None);
    }

    #[tokio::test]
    async fn silence_over_a_family_without_connections_to_the_prober_is_undecided() {
        let report = given_up(Duration::from_secs(40), false).await;
        let FamilyReport::Undecided { after_s: 40.0, doubt: Doubt::ProberNotReached { prober } } = report else {
            unreachable!("{report:?}")
        };
        assert!(prober.ip().is_loopback());
    }

    #[tokio::test]
    async fn a_node_that_is_silent_for_longer_does_not_mix() {
        let report = given_up(Duration::from_secs(40), true).await;
        assert_eq!(report, FamilyReport::NotReached { after_s: 40.0, reason: None });
    }

    #[tokio::test]
    async fn without_settling_the_first_packet_counts() {
        let (mut prober, mut lane, start) = lane(Duration::ZERO);
        lane.advance(&mut prober, 0, start).unwrap();
        assert_eq!(lane.counts().sent, 1);
    }
}
