//! Test packets through the whole network, at a steady rate, and what comes back.

use std::net::SocketAddr;
use std::time::Duration;

use rand::seq::IndexedRandom;
use tokio::time::{Instant, sleep_until};

use crate::probe::packets::Hop;
use crate::probe::{IpFamily, Prober, Report, Returned, Tally};

/// A packet later than this beyond its delays is lost: longer than a node holds one for a slow next hop.
const PATIENCE: Duration = Duration::from_secs(15);
/// A node counts as up when a packet came through it this recently.
const UP_WITHIN: Duration = Duration::from_secs(10);
/// Packets sent in one go, before returning ones are looked at.
const BURST_MAX: u64 = 8;
/// A machine too slow for the rate falls behind; beyond this the missed packets are not made up for.
const BEHIND_MAX: Duration = Duration::from_secs(1);

/// A node of the network as a stop on routes.
#[derive(Debug, Clone)]
pub(super) struct Mix {
    /// Its place among all nodes.
    pub(super) number: usize,
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) sphinx_key: [u8; 32],
}

/// The way of one packet.
#[derive(Debug)]
pub(super) struct Route {
    family: IpFamily,
    nodes: Vec<usize>,
}

/// Sends packets and counts them.
#[derive(Debug)]
pub(super) struct Traffic {
    prober: Prober<Route>,
    layers: Vec<Vec<Mix>>,
    families: Vec<IpFamily>,
    next_family: usize,
    pace: Pace,
    sending: bool,
    tally: Tally,
    last_return: Vec<[Option<Instant>; 2]>,
}

impl Traffic {
    pub(super) fn new(prober: Prober<Route>, layers: Vec<Vec<Mix>>, families: Vec<IpFamily>, rate: u32) -> Self {
        let nodes = layers.iter().map(Vec::len).sum();
        let pace = Pace::new(rate, Instant::now());
        Self {
            prober,
            layers,
            families,
            next_family: 0,
            pace,
            sending: false,
            tally: Tally::default(),
            last_return: vec![[None; 2]; nodes],
        }
    }

    pub(super) fn start_sending(&mut self, now: Instant) {
        self.pace.restart(now);
        self.sending = true;
    }

    pub(super) fn stop_sending(&mut self) {
        self.sending = false;
    }

    /// Sends what is due, or takes one returning packet, whichever comes first. Cancel-safe.
    pub(super) async fn step(&mut self) {
        tokio::select! {
            returned = self.prober.returned() => self.on_return(&returned, Instant::now()),
            () = sleep_until(self.pace.next()), if self.sending => self.send_due(Instant::now()),
        }
    }

    /// Counts as lost what has not come back in time.
    pub(super) fn give_up_late(&mut self) {
        for route in self.prober.give_up_late(PATIENCE) {
            self.tally.lost(route.family);
        }
    }

    /// Packets on their way.
    pub(super) fn in_transit(&self) -> usize {
        self.prober.in_transit()
    }

    /// The numbers so far.
    pub(super) fn report(&self) -> Report {
        self.tally.report()
    }

    /// Whether a packet over this family came back through this node of late; `None` if the family is not tested.
    pub(super) fn is_up(&self, node: usize, family: IpFamily) -> Option<bool> {
        if !self.families.contains(&family) {
            return None;
        }
        let last = self.last_return.get(node)?[family as usize];
        Some(last.is_some_and(|at| at.elapsed() < UP_WITHIN))
    }

    fn on_return(&mut self, returned: &Returned<Route>, now: Instant) {
        let Route { family, nodes } = &returned.label;
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
        match self.prober.send(&hops, last, Route { family, nodes }) {
            Ok(()) => self.tally.sent(family),
            Err(error) => tracing::error!(%error, "packet not sent"),
        }
    }
}

/// One random node of each layer, in the order of the layers; `None` when one has no node with such an address.
fn choose_route(layers: &[Vec<Mix>], family: IpFamily) -> Option<(Vec<Hop>, Vec<usize>)> {
    let mut rng = rand::rng();
    let mut hop = |layer: &Vec<Mix>| {
        let mix = layer.choose(&mut rng)?;
        let address = family.first_in(&mix.addresses)?;
        Some((Hop { address, sphinx_key: mix.sphinx_key }, mix.number))
    };
    layers.iter().map(&mut hop).collect()
}

/// When packets are due at a steady rate.
#[derive(Debug)]
struct Pace {
    interval: Duration,
    next: Instant,
}

impl Pace {
    fn new(rate: u32, now: Instant) -> Self {
        Self { interval: Duration::from_secs(1) / rate.max(1), next: now }
    }

    fn restart(&mut self, now: Instant) {
        self.next = now;
    }

    fn next(&self) -> Instant {
        self.next
    }

    /// How many packets to send now.
    fn due(&mut self, now: Instant) -> u64 {
        let earliest = now.checked_sub(BEHIND_MAX).unwrap_or(self.next);
        self.next = self.next.max(earliest);
        let mut count = 0;
        while self.next <= now && count < BURST_MAX {
            self.next += self.interval;
            count += 1;
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::Endpoint;
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

    #[test]
    fn the_pace_is_steady_and_a_long_pause_is_not_made_up_for() {
        let start = Instant::now();
        let mut pace = Pace::new(100, start);
        let sent: u64 = (0..=1000).map(|ms| pace.due(start + Duration::from_millis(ms))).sum();
        assert_eq!(sent, 101);
        let later = start + Duration::from_mins(1);
        let mut made_up = 0;
        while pace.next() <= later {
            made_up += pace.due(later);
        }
        assert_eq!(made_up, 101);
    }

    #[tokio::test]
    async fn families_take_turns_and_what_never_returns_is_not_up() {
        let endpoints = ["127.0.0.1:0", "[::1]:0"]
            .map(|announce| Endpoint { bind: "127.0.0.1:0".parse().unwrap(), announce: announce.parse().unwrap() });
        let prober = Prober::bind(&endpoints, Duration::ZERO).unwrap();
        let mut traffic = Traffic::new(prober, layers(), IpFamily::ALL.to_vec(), 100);
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
}
