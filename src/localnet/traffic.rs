//! Sends test packets through the whole network at a rate that it can take, and counts returning ones.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use nym_mixnode_monitor::{IpFamily, Prober, Report, Returned, Tally};
use nym_mixnode_sphinx::Hop;
use nym_mixnode_telemetry::process::cpu_of_thread;
use rand::seq::IndexedRandom;
use tokio::time::{Instant, sleep_until};

use super::load::{ADJUST_EVERY, Interval, Limit, Load, LoadControl};
use super::pace::Pace;

/// How long a node keeps a packet for a slow next hop before it drops it.
const HELD_FOR_NEXT_HOP: Duration = Duration::from_secs(10);
/// Extra time for the hops between the nodes.
const BETWEEN_NODES: Duration = Duration::from_secs(5);
/// Time after its delays when a packet with a dead node on its route counts as lost with that node.
const DEAD_ROUTE_PATIENCE: Duration = Duration::from_secs(2);
/// A node counts as up if a packet came through it within this time plus the packets' travel time.
const UP_WITHIN: Duration = Duration::from_secs(10);
/// Most packets on their way per node: about a third of what a node's memory holds.
const UNDER_WAY_PER_NODE: usize = 30_000;

/// Node of the network, as a hop of routes.
#[derive(Debug, Clone)]
pub(super) struct Mix {
    /// Index among all nodes.
    pub(super) number: usize,
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) sphinx_key: [u8; 32],
}

/// Route of one packet.
#[derive(Debug)]
pub(super) struct Route {
    family: IpFamily,
    nodes: Vec<usize>,
}

/// Requested traffic.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// Packets per second, over the whole network.
    pub(super) rate: u32,
    /// Mean delay requested of each mix.
    pub(super) mean_delay: Duration,
}

/// Sends packets and counts them.
#[derive(Debug)]
pub(super) struct Traffic {
    prober: Prober<Route>,
    /// Live nodes.
    layers: Vec<Vec<Mix>>,
    families: Vec<IpFamily>,
    next_family: usize,
    pace: Pace,
    control: LoadControl,
    measured: Measured,
    sending: bool,
    tally: Tally,
    last_return: Vec<[Option<Instant>; 2]>,
    dead: HashSet<usize>,
    lost_with_dead: u64,
    under_way_max: usize,
    patience: Duration,
    up_within: Duration,
}

/// Events since the load was last adjusted.
#[derive(Debug)]
struct Measured {
    since: Instant,
    cpu_before: Duration,
    sent: u64,
    returned: u64,
    refused: u64,
}

impl Measured {
    fn from(now: Instant) -> Self {
        Self { since: now, cpu_before: cpu_of_thread(), sent: 0, returned: 0, refused: 0 }
    }
}

impl Traffic {
    pub(super) fn new(prober: Prober<Route>, layers: Vec<Vec<Mix>>, families: Vec<IpFamily>, plan: Plan) -> Self {
        let nodes: usize = layers.iter().map(Vec::len).sum();
        let hops = u32::try_from(layers.len()).unwrap_or(u32::MAX);
        let delay = plan.mean_delay.saturating_mul(hops);
        let control = LoadControl::new(plan.rate, delay);
        let now = Instant::now();
        Self {
            prober,
            layers,
            families,
            next_family: 0,
            pace: Pace::new(control.rate(), now),
            control,
            measured: Measured::from(now),
            sending: false,
            tally: Tally::default(),
            last_return: vec![[None; 2]; nodes],
            dead: HashSet::new(),
            lost_with_dead: 0,
            under_way_max: nodes * UNDER_WAY_PER_NODE,
            patience: HELD_FOR_NEXT_HOP.saturating_mul(hops) + BETWEEN_NODES,
            up_within: UP_WITHIN + 3 * delay,
        }
    }

    pub(super) fn start_sending(&mut self, now: Instant) {
        self.pace.restart(now);
        self.measured = Measured::from(now);
        self.sending = true;
    }

    pub(super) fn stop_sending(&mut self, now: Instant) {
        self.adjust(now);
        self.sending = false;
    }

    /// Sends due packets or receives one returning packet, whichever comes first. Cancel-safe.
    pub(super) async fn step(&mut self) {
        tokio::select! {
            returned = self.prober.returned() => self.on_return(&returned, Instant::now()),
            () = sleep_until(self.pace.next()), if self.sending => self.send_due(Instant::now()),
            () = sleep_until(self.measured.since + ADJUST_EVERY), if self.sending => self.adjust(Instant::now()),
        }
    }

    /// Counts overdue packets as lost.
    pub(super) fn give_up_late(&mut self) {
        let dead = &self.dead;
        let through_dead = |route: &Route| route.nodes.iter().any(|node| dead.contains(node));
        let died = if dead.is_empty() { Vec::new() } else { self.prober.give_up(DEAD_ROUTE_PATIENCE, through_dead) };
        let late = self.prober.give_up_late(self.patience);
        self.lose(died.into_iter().chain(late));
    }

    /// Counts packets past their delays as lost; for a network whose nodes hold no packets any more.
    pub(super) fn give_up_overdue(&mut self) {
        let overdue = self.prober.give_up_late(Duration::ZERO);
        self.lose(overdue.into_iter());
    }

    fn lose(&mut self, routes: impl Iterator<Item = Route>) {
        for Route { family, nodes } in routes {
            self.tally.lost(family);
            self.lost_with_dead += u64::from(nodes.iter().any(|node| self.dead.contains(node)));
        }
    }

    /// Excludes a node from further routes. Returns `false` if its layer has no other node.
    pub(super) fn route_around(&mut self, node: usize) -> bool {
        self.dead.insert(node);
        for layer in &mut self.layers {
            layer.retain(|mix| mix.number != node);
        }
        !self.layers.iter().any(Vec::is_empty)
    }

    /// Number of packets on their way.
    pub(super) fn in_transit(&self) -> usize {
        self.prober.in_transit()
    }

    /// Whether all packets on their way are past their delays.
    pub(super) fn is_overdue(&self) -> bool {
        self.prober.overdue() == self.prober.in_transit()
    }

    /// Longest remaining delay of the packets on their way.
    pub(super) fn longest_delay_left(&self) -> Duration {
        self.prober.longest_delay_left()
    }

    /// Counts so far.
    pub(super) fn report(&self) -> Report {
        self.tally.report()
    }

    /// Lost packets with a dead node on their route.
    pub(super) const fn lost_with_dead(&self) -> u64 {
        self.lost_with_dead
    }

    /// Load so far.
    pub(super) fn load(&self) -> Load {
        self.control.load()
    }

    /// Current rate, and the reason if it is below the requested one.
    pub(super) const fn rate_now(&self) -> (f64, Option<Limit>) {
        (self.control.rate(), self.control.limit())
    }

    /// Whether a packet over this family recently came back through this node; `None` if the family is not tested.
    pub(super) fn is_up(&self, node: usize, family: IpFamily) -> Option<bool> {
        if !self.families.contains(&family) {
            return None;
        }
        let last = self.last_return.get(node)?[family as usize];
        Some(last.is_some_and(|at| at.elapsed() < self.up_within))
    }

    fn on_return(&mut self, returned: &Returned<Route>, now: Instant) {
        let Route { family, nodes } = &returned.label;
        self.measured.returned += 1;
        self.tally.returned(*family, returned.over_delay_ms);
        for &node in nodes {
            self.last_return[node][*family as usize] = Some(now);
        }
    }

    fn send_due(&mut self, now: Instant) {
        for _ in 0..self.pace.due(now) {
            self.send_one();
        }
    }

    fn send_one(&mut self) {
        let family = self.families[self.next_family];
        self.next_family = (self.next_family + 1) % self.families.len();
        let Some(last) = self.prober.last_hop(family) else { return };
        let Some((hops, nodes)) = choose_route(&self.layers, family) else { return };
        if !hops.first().is_some_and(|first| self.prober.has_room(first.address)) {
            self.measured.refused += 1;
            return;
        }
        match self.prober.send(&hops, last, Route { family, nodes }) {
            Ok(()) => {
                self.measured.sent += 1;
                self.tally.sent(family);
            }
            Err(error) => tracing::error!(%error, "packet not sent"),
        }
    }

    /// Adjusts the rate after an interval.
    fn adjust(&mut self, now: Instant) {
        let Measured { since, cpu_before, sent, returned, refused } = self.measured;
        self.measured = Measured::from(now);
        self.control.observe(&Interval {
            elapsed: now.saturating_duration_since(since),
            sent,
            returned,
            refused,
            overdue: self.prober.overdue(),
            is_full: self.prober.in_transit() >= self.under_way_max,
            cpu: self.measured.cpu_before.saturating_sub(cpu_before),
        });
        self.pace.set_rate(self.control.rate(), now);
    }
}

/// Picks one random node of each layer, in order; `None` if a layer has no node with such an address.
fn choose_route(layers: &[Vec<Mix>], family: IpFamily) -> Option<(Vec<Hop>, Vec<usize>)> {
    let mut rng = rand::rng();
    let mut hop = |layer: &Vec<Mix>| {
        let mix = layer.choose(&mut rng)?;
        let address = family.first_in(&mix.addresses)?;
        Some((Hop { address, sphinx_key: mix.sphinx_key }, mix.number))
    };
    layers.iter().map(&mut hop).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nym_mixnode_monitor::Endpoint;
    use std::collections::HashSet;

    fn layers() -> Vec<Vec<Mix>> {
        let mix = |number: usize| Mix {
            number,
            addresses: vec![
                format!("127.0.0.1:{}", 1000 + number).parse().unwrap(),
                format!("[::1]:{}", 1000 + number).parse().unwrap(),
            ],
            sphinx_key: [9; 32],
        };
        vec![vec![mix(0), mix(1)], vec![mix(2), mix(3)], vec![mix(4), mix(5)]]
    }

    fn traffic() -> Traffic {
        let endpoints = ["127.0.0.1:0", "[::1]:0"]
            .map(|announce| Endpoint { bind: "127.0.0.1:0".parse().unwrap(), announce: announce.parse().unwrap() });
        let prober = Prober::bind(&endpoints, Duration::ZERO).unwrap();
        Traffic::new(prober, layers(), IpFamily::ALL.to_vec(), Plan { rate: 100, mean_delay: Duration::ZERO })
    }

    #[test]
    fn routes_take_one_node_of_each_layer_in_order_and_in_one_family() {
        let mut seen = HashSet::new();
        for _ in 0..200 {
            let (hops, nodes) = choose_route(&layers(), IpFamily::V6).unwrap();
            assert!(hops.iter().all(|hop| hop.address.is_ipv6()));
            assert_eq!(nodes.iter().map(|node| node / 2).collect::<Vec<_>>(), [0, 1, 2]);
            assert!(hops.iter().zip(&nodes).all(|(hop, node)| usize::from(hop.address.port()) == 1000 + node));
            seen.extend(nodes);
        }
        assert_eq!(seen.len(), 6, "every node gets its share");
    }

    #[test]
    fn a_layer_without_an_address_of_the_family_gives_no_route() {
        let mut layers = layers();
        layers[1].iter_mut().for_each(|mix| mix.addresses.truncate(1));
        assert!(choose_route(&layers, IpFamily::V4).is_some());
        assert!(choose_route(&layers, IpFamily::V6).is_none());
        assert!(choose_route(&[Vec::new()], IpFamily::V4).is_none());
    }

    #[tokio::test]
    async fn families_take_turns_and_what_never_returns_is_not_up() {
        let mut traffic = traffic();
        let start = Instant::now();
        traffic.start_sending(start);
        traffic.send_due(start + Duration::from_millis(30));
        let report = traffic.report();
        assert_eq!((report.total.sent, report.ipv4.sent, report.ipv6.sent), (4, 2, 2));
        assert_eq!(traffic.in_transit(), 4);
        assert_eq!(traffic.is_up(0, IpFamily::V4), Some(false));
        traffic.on_return(
            &Returned { label: Route { family: IpFamily::V4, nodes: vec![0, 2, 4] }, over_delay_ms: 1.0 },
            start,
        );
        assert_eq!(traffic.is_up(0, IpFamily::V4), Some(true));
        assert_eq!(traffic.is_up(0, IpFamily::V6), Some(false));
        assert_eq!(traffic.is_up(1, IpFamily::V4), Some(false));
    }

    #[tokio::test]
    async fn a_packet_that_finds_its_first_hop_full_is_not_sent_and_not_lost() {
        let mut traffic = traffic();
        let start = Instant::now();
        traffic.start_sending(start);
        // The queues of the two first hops are not emptied before this test awaits.
        for _ in 0..5000 {
            traffic.send_one();
        }
        let report = traffic.report();
        assert!(report.total.sent < 1100, "{report:?}");
        traffic.stop_sending(start + Duration::from_secs(50));
        let load = traffic.load();
        assert_eq!(load.limited_by, Some(Limit::Nodes), "{load:?}");
        assert_eq!(load.not_sent, 5000 - report.total.sent);
        assert_eq!(traffic.report().total.lost, 0);
    }

    #[tokio::test]
    async fn routes_go_around_a_dead_node_and_its_losses_are_counted_separately() {
        let mut traffic = traffic();
        for _ in 0..40 {
            traffic.send_one();
        }
        assert!(traffic.route_around(2), "mix 3 is left in its layer");
        for _ in 0..100 {
            let (_, nodes) = choose_route(&traffic.layers, IpFamily::V4).unwrap();
            assert!(!nodes.contains(&2));
        }
        traffic.give_up_overdue();
        let report = traffic.report();
        assert_eq!((report.total.lost, traffic.in_transit()), (40, 0));
        let with_dead = traffic.lost_with_dead();
        assert!(with_dead > 0 && with_dead < 40, "{with_dead} of 40 had it on their routes");
        assert!(!traffic.route_around(3), "now the layer is empty");
    }
}
