//! The way of packets through an outgoing connection, with a clock of the test's own.

use super::*;
use nym_mixnode_sphinx::PacketSize;
use nym_mixnode_wire::{BufferPool, FrameHeader, PacketMode};

const SECOND: Duration = Duration::from_secs(1);
const SETTINGS: Settings = Settings {
    connect_timeout: Duration::from_secs(2),
    backoff_initial: Duration::from_secs(10),
    backoff_max: Duration::from_secs(40),
    stale_after: Duration::from_secs(30),
    queue_packets_max: 100,
    budget_bytes: 64 << 20,
    next_hops_max: 1,
    idle_timeout: Duration::from_secs(300),
    dial_rates: DialRates::NODE,
};
const HEADER: FrameHeader = FrameHeader::v0_9(PacketSize::Ack, PacketMode::Mix);
const LEN: usize = HEADER.frame_len();

/// A connection, and the seconds since the start as its clock.
struct Scene {
    outgoing: Outgoing,
    counters: Arc<Counters>,
    drops: Arc<DropCounters>,
    pool: Arc<BufferPool>,
    start: Instant,
}

impl Scene {
    fn new() -> Self {
        let (counters, drops) = (Arc::<Counters>::default(), Arc::<DropCounters>::default());
        let outgoing = Outgoing::new(Arc::new(SETTINGS), Arc::clone(&counters), Arc::clone(&drops));
        Self { outgoing, counters, drops, pool: BufferPool::new(1 << 20), start: Instant::now() }
    }

    /// A connection that is up, with packets that became due at these times.
    fn up(due: &[u32]) -> Self {
        let mut scene = Self::new();
        for due in due {
            scene.push(*due);
        }
        scene.outgoing.connected();
        scene
    }

    fn at(&self, seconds: u32) -> Instant {
        self.start + SECOND * seconds
    }

    fn packet(&self, due: u32) -> Scheduled {
        let packet = self.pool.take(HEADER, &vec![0; LEN]);
        Scheduled { packet, next_hop: ([192, 0, 2, 1], 1789).into(), due: self.at(due) }
    }

    fn push(&mut self, due: u32) {
        let packet = self.packet(due);
        self.outgoing.push(packet).unwrap();
    }

    fn next(&mut self, seconds: u32) -> Step {
        let now = self.at(seconds);
        self.outgoing.next(now)
    }

    fn wrote(&mut self, bytes: usize, seconds: u32) {
        let now = self.at(seconds);
        self.outgoing.wrote(bytes, now);
    }

    fn fail(&mut self, seconds: u32) {
        let now = self.at(seconds);
        self.outgoing.failed(io::ErrorKind::ConnectionRefused.into(), now);
    }

    /// Lengths of the frames to write.
    fn frames(&self) -> Vec<usize> {
        self.outgoing.frames().map(<[u8]>::len).collect()
    }

    fn unreachable(&self) -> u64 {
        self.drops.get(DropReason::NextHopUnreachable)
    }
}

#[test]
fn a_packet_is_dialled_for_and_written_and_the_connection_stays_until_it_is_idle() {
    let mut scene = Scene::new();
    assert_eq!(scene.next(0), Step::Wait { until: scene.at(300) });
    scene.push(5);
    assert_eq!(scene.next(5), Step::Dial { until: scene.at(7) });
    scene.outgoing.connected();
    assert_eq!(scene.next(6), Step::Write { until: scene.at(35) });
    scene.push(6);
    assert_eq!(scene.frames(), [LEN, LEN]);
    scene.wrote(LEN + 100, 6);
    assert_eq!((scene.frames(), scene.counters.forwarded()), (vec![LEN - 100], 1));
    scene.wrote(LEN - 100, 6);
    assert_eq!((scene.counters.forwarded(), scene.counters.queued(), scene.pool.packets_in_flight()), (2, 0, 0));
    assert_eq!(scene.next(6), Step::Wait { until: scene.at(306) });
    assert_eq!(scene.next(305), Step::Wait { until: scene.at(306) });
    assert_eq!((scene.next(306), scene.counters.connections()), (Step::End, 0));
    let late = scene.packet(306);
    assert!(matches!(scene.outgoing.push(late), Err(Rejected::Closed(_))));
}

#[test]
fn failed_attempts_are_further_and_further_apart_until_a_write_succeeds() {
    let mut scene = Scene::new();
    for (attempt, longest) in [10, 20, 40, 40].into_iter().enumerate() {
        let now = u32::try_from(attempt).unwrap() * 100;
        scene.push(now + 60);
        assert!(matches!(scene.next(now), Step::Dial { .. }));
        scene.fail(now);
        let Step::Wait { until } = scene.next(now) else { unreachable!("attempt {attempt}") };
        let wait = until - scene.at(now);
        assert!((longest * SECOND / 2..=longest * SECOND).contains(&wait), "{wait:?}");
        assert!(scene.outgoing.trouble().is_some());
    }
    assert_eq!((scene.counters.connect_failures(), scene.unreachable()), (4, 3));
    assert_eq!(scene.next(360), Step::Dial { until: scene.at(362) });
    scene.outgoing.connected();
    scene.wrote(LEN, 361);
    assert!(scene.outgoing.trouble().is_none());
    scene.fail(361);
    let Step::Wait { until } = scene.next(361) else { unreachable!() };
    assert!(until <= scene.at(371));
}

#[test]
fn packets_for_an_unreachable_next_hop_wait_until_they_are_stale() {
    let mut scene = Scene::new();
    (0..4).for_each(|_| scene.fail(0));
    scene.push(1);
    scene.push(9);
    // Four failures: at least 20 s, and the first packet is stale at 31 s.
    scene.fail(20);
    assert_eq!(scene.next(20), Step::Wait { until: scene.at(31) });
    assert_eq!((scene.next(31), scene.unreachable()), (Step::Wait { until: scene.at(39) }, 1));
    assert_eq!((scene.counters.queued(), scene.pool.packets_in_flight()), (1, 1));
}

#[test]
fn a_partly_written_packet_is_not_stale_and_starts_again_on_another_connection() {
    let mut scene = Scene::up(&[0, 0, 20]);
    assert!(matches!(scene.next(1), Step::Write { .. }));
    scene.wrote(10, 1);
    assert!(matches!(scene.next(30), Step::Write { .. }));
    assert_eq!((scene.frames(), scene.unreachable()), (vec![LEN - 10, LEN], 1));
    scene.wrote(LEN - 10, 30);
    scene.wrote(10, 31);
    scene.fail(31);
    assert_eq!(scene.frames(), [LEN]);
    assert_eq!((scene.counters.forwarded(), scene.counters.connections()), (1, 0));
}

#[test]
fn a_next_hop_that_needs_too_long_for_one_packet_loses_its_connection() {
    let mut scene = Scene::up(&[0, 25, 50]);
    assert_eq!(scene.next(0), Step::Write { until: scene.at(30) });
    scene.wrote(LEN + 1, 20);
    // The second packet waits from its first attempt on, however many bytes trickle.
    assert_eq!(scene.next(21), Step::Write { until: scene.at(51) });
    for second in 22..51 {
        assert_eq!(scene.next(second), Step::Write { until: scene.at(51) });
        assert!(scene.outgoing.blocked(scene.at(second)).is_ok());
        scene.wrote(1, second);
    }
    assert_eq!(scene.outgoing.blocked(scene.at(51)).unwrap_err().kind(), io::ErrorKind::TimedOut);
    // A complete packet starts the time anew.
    scene.wrote(LEN - 30, 51);
    assert_eq!(scene.counters.forwarded(), 2);
    assert_eq!(scene.next(52), Step::Write { until: scene.at(80) });
    assert!(scene.outgoing.blocked(scene.at(79)).is_ok());
}

#[test]
fn a_blocked_connection_drops_what_becomes_stale_behind_its_first_packet() {
    let mut scene = Scene::up(&[0, 10]);
    scene.next(0);
    scene.wrote(1, 0);
    assert_eq!(scene.next(20), Step::Write { until: scene.at(40) });
    assert!(matches!(scene.next(40), Step::Write { .. }));
    assert_eq!((scene.frames(), scene.unreachable()), (vec![LEN - 1], 1));
}

#[test]
fn a_connection_that_its_peer_closes_between_packets_is_no_failure() {
    let mut scene = Scene::up(&[0]);
    scene.wrote(LEN, 0);
    assert_eq!(scene.counters.connections(), 1);
    scene.outgoing.disconnected();
    assert_eq!(scene.next(10), Step::Wait { until: scene.at(310) });
    scene.push(20);
    assert_eq!(scene.next(20), Step::Dial { until: scene.at(22) });
    assert_eq!((scene.counters.connect_failures(), scene.counters.connections()), (0, 0));
}

#[test]
fn a_closed_queue_ends_when_its_packets_are_sent_or_stale() {
    let mut sent = Scene::up(&[0]);
    sent.outgoing.close();
    assert!(matches!(sent.next(0), Step::Write { .. }));
    sent.wrote(LEN, 0);
    assert_eq!(sent.next(0), Step::End);

    let mut stale = Scene::new();
    stale.push(0);
    stale.outgoing.close();
    (0..4).for_each(|_| stale.fail(29));
    assert_eq!(stale.next(29), Step::Wait { until: stale.at(30) });
    assert_eq!((stale.next(30), stale.unreachable()), (Step::End, 1));
}

#[test]
fn an_abort_drops_and_counts_what_is_queued() {
    let mut scene = Scene::up(&[0, 0, 100]);
    scene.wrote(1, 0);
    scene.outgoing.abort();
    assert_eq!((scene.drops.get(DropReason::Shutdown), scene.pool.packets_in_flight()), (3, 0));
    assert_eq!((scene.next(0), scene.counters.connections()), (Step::End, 0));
}

#[test]
fn a_full_queue_rejects_packets() {
    let mut scene = Scene::new();
    (0..100).for_each(|_| scene.push(0));
    assert!(scene.outgoing.is_full());
    let another = scene.packet(0);
    assert!(matches!(scene.outgoing.push(another), Err(Rejected::Full)));
    assert_eq!(scene.pool.packets_in_flight(), 100);
}

#[test]
fn sent_packets_are_counted_by_their_lateness() {
    let mut scene = Scene::up(&[0, 7]);
    scene.wrote(2 * LEN, 7);
    assert_eq!(scene.counters.lag(), [1, 0, 0, 0, 0, 0, 1]);
}

#[test]
fn a_next_hop_that_fails_gives_up_its_place_first_and_one_with_packets_keeps_it() {
    let mut working = Scene::up(&[0]);
    assert_eq!(
        (working.next(0), working.outgoing.standing(working.at(0))),
        (Step::Write { until: working.at(30) }, None)
    );
    working.wrote(LEN, 0);
    assert!(matches!(working.next(1), Step::Wait { .. }));
    assert_eq!(working.outgoing.standing(working.at(1)), None, "not idle yet");
    let idle = working.outgoing.standing(working.at(2)).unwrap();
    assert_eq!(idle, Standing::Idle(working.at(1)));

    let mut failing = Scene::new();
    failing.push(0);
    assert_eq!(
        (failing.next(0), failing.outgoing.standing(failing.at(0))),
        (Step::Dial { until: failing.at(2) }, None)
    );
    failing.fail(0);
    let once = failing.outgoing.standing(failing.at(0)).unwrap();
    failing.fail(1);
    let twice = failing.outgoing.standing(failing.at(1)).unwrap();
    assert!(twice < once && once < idle, "{twice:?} {once:?} {idle:?}");

    failing.outgoing.evict();
    assert_eq!((failing.next(1), failing.unreachable(), failing.pool.packets_in_flight()), (Step::End, 1, 0));
    working.outgoing.evict();
    assert_eq!((working.next(2), working.unreachable(), working.counters.connections()), (Step::End, 0, 0));
}

#[test]
fn a_next_hop_whose_last_attempt_failed_is_given_up_after_the_longest_back_off() {
    let mut scene = Scene::new();
    scene.push(0);
    scene.fail(0);
    let Step::Wait { until: retry } = scene.next(0) else { unreachable!() };
    assert!(retry <= scene.at(10));
    assert!(matches!(scene.next(10), Step::Dial { .. }));
    scene.fail(12);
    // The packet is stale, and the last pause over.
    assert_eq!((scene.next(32), scene.unreachable()), (Step::Wait { until: scene.at(72) }, 1));
    assert_eq!(scene.next(72), Step::End);
}

#[test]
fn an_attempt_beyond_the_rate_waits_and_failures_take_none_of_the_first_attempts() {
    let rate = |burst| DialRate { per_second: 1, burst };
    let settings = Settings { dial_rates: DialRates { first: rate(2), repeated: rate(1) }, ..SETTINGS };
    let mut scenes: Vec<_> = (0..4).map(|_| Scene::new()).collect();
    let (counters, drops, start) = (Arc::clone(&scenes[0].counters), Arc::clone(&scenes[0].drops), scenes[0].start);
    for scene in &mut scenes {
        scene.start = start;
        scene.outgoing = Outgoing::new(Arc::new(settings.clone()), Arc::clone(&counters), Arc::clone(&drops));
        scene.push(0);
    }
    let is_dial = |step| matches!(step, Step::Dial { .. });
    assert!(is_dial(scenes[0].next(0)) && is_dial(scenes[1].next(0)));
    let Step::Wait { until } = scenes[2].next(0) else { unreachable!() };
    assert!(scenes[2].at(5) <= until && until <= scenes[2].at(10), "{until:?}");
    assert_eq!((counters.dials_deferred(), counters.connect_failures()), (1, 0));
    assert!(is_dial(scenes[2].next(10)), "later");
    // Two fail, and one repeats its attempt.
    scenes[0].fail(10);
    scenes[1].fail(10);
    assert!(is_dial(scenes[0].next(20)) && !is_dial(scenes[1].next(20)));
    assert!(is_dial(scenes[3].next(20)));
}
