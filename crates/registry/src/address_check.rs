//! Proves addresses with test packets: each goes to one claimed address, under the claimed Sphinx key. Only a node that
//! has this key and is reachable there can return it.
//!
//! The registry limits the packets per second, and sends packets for the same claim at growing intervals. Its own monitor,
//! if it runs one, uses the same prober.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use nym_mixnode_monitor::rounds::{Label, RoundSettings};
use nym_mixnode_monitor::{Endpoint, IpFamily, Monitor, Prober, RoundLog};
use nym_mixnode_sphinx::Hop;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{debug, error, info, warn};

use super::monitor_lease::{MonitorLease, MonitorTurn};
use super::now_ns;
use super::own_monitor::OwnNetwork;
use super::service::{DueClaim, Service};

const CLAIMS_EVERY: Duration = Duration::from_millis(250);

/// Interval at which the monitor sends packets.
const MONITOR_EVERY: Duration = Duration::from_millis(50);

/// Mean delay of the packets at each node: as little as keeps them like others.
const MEAN_DELAY: Duration = Duration::from_millis(20);

/// Maximum number of test packets per tick.
const PACKETS_PER_TICK: i64 = 8;

/// A packet that takes longer counts as lost.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends test packets to claimed addresses and receives them back.
#[derive(Debug)]
pub(super) struct AddressCheck {
    prober: Prober<Test>,
    monitoring: Option<Monitoring>,
}

/// The registry's own monitor.
#[derive(Debug)]
struct Monitoring {
    network: OwnNetwork,
    rounds: RoundSettings,
    turn: MonitorTurn,
    /// `None` while another registry tests the nodes.
    monitor: Option<Monitor<OwnNetwork>>,
    log: RoundLog,
}

/// What a packet tests.
#[derive(Debug)]
enum Test {
    Claim(DueClaim),
    Node(Label),
}

impl From<Label> for Test {
    fn from(label: Label) -> Self {
        Self::Node(label)
    }
}

impl AddressCheck {
    /// Listens for returning packets at the given return addresses or, without any, on the registry's listen addresses.
    /// Skips addresses that cannot be bound: calls and admission still prove addresses.
    pub(super) fn bind(listen: &[SocketAddr], given: &[SocketAddr], port: u16) -> Option<Self> {
        let endpoints =
            if given.is_empty() { endpoints(listen, port) } else { given.iter().map(|at| forwarded(*at)).collect() };
        let usable: Vec<Endpoint> = endpoints.into_iter().filter(|endpoint| is_usable(*endpoint)).collect();
        match Prober::bind(&usable, MEAN_DELAY) {
            Ok(prober) if !usable.is_empty() => Some(Self { prober, monitoring: None }),
            Ok(_) => {
                warn!("test packets are disabled: they have no address to return to; pass --test-address");
                None
            }
            Err(error) => {
                warn!(%error, "test packets are disabled: the receiver cannot listen");
                None
            }
        }
    }

    /// Addresses to which test packets return. Nodes must be able to reach them and must forward to them.
    pub(super) fn addresses(&self) -> &[SocketAddr] {
        self.prober.addresses()
    }

    /// Runs a monitor with the same prober, while this registry has the lease that is returned.
    pub(super) fn run_monitor(
        &mut self,
        service: &Service,
        network: OwnNetwork,
        rounds: RoundSettings,
    ) -> MonitorLease {
        let lease = MonitorLease::new(service.clone(), self.prober.identity().to_owned());
        let turn = lease.turn();
        self.monitoring = Some(Monitoring { network, rounds, turn, monitor: None, log: RoundLog::default() });
        lease
    }

    pub(super) async fn run(mut self, service: &Service) -> Infallible {
        let [mut claims, mut monitor] = [CLAIMS_EVERY, MONITOR_EVERY].map(interval);
        claims.set_missed_tick_behavior(MissedTickBehavior::Delay);
        monitor.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // Packets that have returned are never given up.
                biased;
                returned = self.prober.returned() => self.note_return(service, returned.label).await,
                _ = claims.tick() => self.send_due(service).await,
                _ = monitor.tick(), if self.monitoring.is_some() => self.advance_monitor(),
            }
        }
    }

    fn advance_monitor(&mut self) {
        let (Some(Monitoring { network, rounds, turn, monitor, log }), now) = (&mut self.monitoring, Instant::now())
        else {
            return;
        };
        if !turn.has_come(now) {
            // Its packets that return later are unknown.
            *monitor = None;
        }
        for test in self.prober.give_up(rounds.timeout, |test| matches!(test, Test::Node(_))) {
            if let (Test::Node(label), Some(monitor)) = (test, monitor.as_mut()) {
                monitor.on_loss(&mut self.prober, label, now);
            }
        }
        if !turn.has_come(now) {
            return;
        }
        let monitor = monitor.get_or_insert_with(|| Monitor::new(network.clone(), *rounds, &self.prober));
        if let Some(summary) = monitor.tick(&mut self.prober, now) {
            log.note(&summary, now);
        }
    }

    async fn send_due(&mut self, service: &Service) {
        self.prober.give_up(PATIENCE, |test| matches!(test, Test::Claim(_)));
        let due = match service.due_claims(PACKETS_PER_TICK, now_ns()).await {
            Ok(due) => due,
            Err(error) => return error!(%error, "cannot read the claims that are due for a test packet"),
        };
        for claim in due {
            self.send(claim);
        }
    }

    fn send(&mut self, claim: DueClaim) {
        let family = if claim.address.is_ipv4() { IpFamily::V4 } else { IpFamily::V6 };
        let return_hop = self.prober.last_hop(family).or_else(|| self.prober.last_hop(IpFamily::V4));
        let Some(last_hop) = return_hop.or_else(|| self.prober.last_hop(IpFamily::V6)) else { return };
        let hop = Hop { address: claim.address, sphinx_key: claim.sphinx_key };
        if let Err(error) = self.prober.send_once(&[hop], last_hop, Test::Claim(claim)) {
            debug!(%error, "cannot build a test packet for a claimed Sphinx key");
        }
    }

    async fn note_return(&mut self, service: &Service, test: Test) {
        let claim = match test {
            Test::Claim(claim) => claim,
            Test::Node(label) => {
                if let Some(Monitoring { monitor: Some(monitor), .. }) = &mut self.monitoring {
                    monitor.on_return(label, Instant::now());
                }
                return;
            }
        };
        match service.prove_by_packet(&claim, now_ns()).await {
            Ok(true) => info!(identity = claim.identity, "a test packet proved an announced address"),
            Ok(false) => debug!("a test packet returned for a claim that no longer exists"),
            Err(error) => error!(%error, "cannot store the proof of an address"),
        }
    }
}

/// A return address that is forwarded to the same port of this machine.
fn forwarded(announce: SocketAddr) -> Endpoint {
    let any: IpAddr = if announce.is_ipv4() { [0, 0, 0, 0].into() } else { [0; 16].into() };
    Endpoint { bind: SocketAddr::new(any, announce.port()), announce }
}

/// This port, or a free one for port 0, on the addresses at which nodes reach the registry.
fn endpoints(listen: &[SocketAddr], port: u16) -> Vec<Endpoint> {
    let mut ips: Vec<IpAddr> = Vec::new();
    for address in listen {
        if !address.ip().is_unspecified() {
            ips.push(address.ip());
            continue;
        }
        let takes = |ip: &IpAddr| ip.is_ipv4() || address.is_ipv6();
        let own = own_ips();
        ips.extend(own.iter().copied().filter(takes).find(IpAddr::is_ipv4));
        ips.extend(own.iter().copied().filter(takes).find(IpAddr::is_ipv6));
    }
    let mut seen = Vec::new();
    ips.retain(|ip| {
        !seen.contains(ip) && {
            seen.push(*ip);
            true
        }
    });
    ips.into_iter().map(|ip| Endpoint::local(SocketAddr::new(ip, port))).collect()
}

/// Addresses of this machine's interfaces, loopback addresses last.
fn own_ips() -> Vec<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let mut ips: Vec<IpAddr> =
        interfaces.iter().filter(|interface| !interface.is_link_local()).map(if_addrs::Interface::ip).collect();
    ips.sort_by_key(IpAddr::is_loopback);
    ips
}

fn is_usable(endpoint: Endpoint) -> bool {
    let bound = std::net::TcpListener::bind(endpoint.bind);
    if let Err(error) = &bound {
        warn!(address = %endpoint.bind, %error, "cannot receive test packets on this address; pass --test-address");
    }
    bound.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_return_where_nodes_reach_the_registry() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let local =
            |listen: &[SocketAddr]| endpoints(listen, 0).iter().map(|endpoint| endpoint.announce).collect::<Vec<_>>();
        assert_eq!(local(&[at("127.0.0.1:8081"), at("127.0.0.1:8082")]), [at("127.0.0.1:0")]);
        assert_eq!(local(&[at("127.0.0.1:1"), at("[::1]:1")]), [at("127.0.0.1:0"), at("[::1]:0")]);
        let of_any = local(&[at("0.0.0.0:8081")]);
        assert!(of_any.iter().all(|address| address.is_ipv4() && !address.ip().is_unspecified()), "{of_any:?}");
        let Endpoint { bind, announce } = forwarded(at("203.0.113.1:1790"));
        assert_eq!((bind, announce), (at("0.0.0.0:1790"), at("203.0.113.1:1790")));
    }
}
