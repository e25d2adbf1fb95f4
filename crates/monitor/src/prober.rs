//! Sends test packets, recognises them when they return, and gives up late ones.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use nym_mixnode_keys::IdentityKeyPair;
use nym_mixnode_sphinx::{BuildError, Hop};
use thiserror::Error;
use tokio::time::Instant;

use super::family::IpFamily;
use super::keys::ProberKeys;
use super::packets::{MixDelays, Tag, TestPacket};
use super::receiver::{BindError, Receiver};
use super::sender::Sender;

/// Listen address and announced address of a prober.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint {
    /// Local address; port 0 takes any free one.
    pub bind: SocketAddr,
    /// Address in packets and in the directory; port 0 means the bound port.
    pub announce: SocketAddr,
}

impl Endpoint {
    /// Endpoint that announces its bind address.
    #[must_use]
    pub const fn local(address: SocketAddr) -> Self {
        Self { bind: address, announce: address }
    }
}

/// Error while starting a prober.
#[derive(Debug, Error)]
pub enum ProberError {
    /// An address cannot be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The system's random number generator or the key generation failed.
    #[error("cannot generate a key pair for the prober: the system's random number generator failed")]
    Keys,
}

/// Packet that returned.
#[derive(Debug)]
pub struct Returned<L> {
    /// Label given to [`Prober::send`].
    pub label: L,
    /// Transit time beyond the requested delays. Negative when a mix forwarded the packet too early.
    pub over_delay_ms: f64,
}

/// Sends packets labelled `L` and matches those that return.
#[derive(Debug)]
pub struct Prober<L> {
    keys: ProberKeys,
    addresses: Vec<SocketAddr>,
    opened_at: Instant,
    delays: MixDelays,
    receiver: Receiver,
    sender: Sender,
    in_transit: HashMap<Tag, Flight<L>>,
}

#[derive(Debug)]
struct Flight<L> {
    sent_at: Instant,
    delay: Duration,
    label: L,
}

impl<L> Flight<L> {
    /// Earliest possible time of return, without network latency.
    fn due(&self) -> Instant {
        self.sent_at + self.delay
    }
}

impl<L> Prober<L> {
    /// Generates keys and listens on all endpoints.
    ///
    /// # Errors
    /// When an endpoint cannot be bound.
    pub fn bind(endpoints: &[Endpoint], mean_delay: Duration) -> Result<Self, ProberError> {
        let keys = ProberKeys::generate().map_err(|_| ProberError::Keys)?;
        let binds: Vec<SocketAddr> = endpoints.iter().map(|endpoint| endpoint.bind).collect();
        let receiver = Receiver::bind(&binds, &keys.sphinx_private)?;
        let addresses = endpoints.iter().zip(receiver.bound()).map(|(endpoint, bound)| announced(*endpoint, *bound));
        Ok(Self {
            addresses: addresses.collect(),
            opened_at: Instant::now(),
            keys,
            delays: MixDelays::with_mean(mean_delay),
            receiver,
            sender: Sender::new(),
            in_transit: HashMap::new(),
        })
    }

    /// Announced addresses, in the order of the endpoints.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Identity under which the prober registers.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.keys.identity
    }

    /// Keys of that identity.
    pub(super) fn identity_keys(&self) -> Arc<IdentityKeyPair> {
        Arc::clone(&self.keys.identity_keys)
    }

    /// Base58 of the public Sphinx key of the last hop.
    #[must_use]
    pub(crate) fn sphinx_key_base58(&self) -> String {
        bs58::encode(self.keys.sphinx_public).into_string()
    }

    /// The prober as the last hop of routes over this family, if it has such an address.
    #[must_use]
    pub fn last_hop(&self, family: IpFamily) -> Option<Hop> {
        family.first_in(&self.addresses).map(|address| Hop { address, sphinx_key: self.keys.sphinx_public })
    }

    /// Sends one packet through `mixes` to `last_hop`, without waiting for the network.
    ///
    /// # Errors
    /// When no packet can be built for this route.
    pub fn send(&mut self, mixes: &[Hop], last_hop: Hop, label: L) -> Result<(), BuildError> {
        let packet = TestPacket::build(mixes, last_hop, &self.delays)?;
        let flight = Flight { sent_at: Instant::now(), delay: packet.delay, label };
        self.in_transit.insert(packet.tag, flight);
        self.sender.send(&packet);
        Ok(())
    }

    /// As [`Prober::send`], over a connection that is closed afterwards.
    ///
    /// # Errors
    /// When no packet can be built for this route.
    pub fn send_once(&mut self, mixes: &[Hop], last_hop: Hop, label: L) -> Result<(), BuildError> {
        let packet = TestPacket::build(mixes, last_hop, &self.delays)?;
        let flight = Flight { sent_at: Instant::now(), delay: packet.delay, label };
        self.in_transit.insert(packet.tag, flight);
        self.sender.send_once(&packet);
        Ok(())
    }

    /// Whether the queue for this first hop has capacity; a full queue drops packets.
    #[must_use]
    pub fn has_room(&self, first_hop: SocketAddr) -> bool {
        self.sender.has_room(first_hop)
    }

    /// Waits for the next packet that returns. Cancel-safe.
    pub async fn returned(&mut self) -> Returned<L> {
        loop {
            let arrival = self.receiver.next().await;
            // Unknown tag: given up before, a replay, or not a test packet.
            let Some(flight) = self.in_transit.remove(&arrival.tag) else { continue };
            let took = arrival.at.saturating_duration_since(flight.sent_at).as_secs_f64();
            return Returned { label: flight.label, over_delay_ms: (took - flight.delay.as_secs_f64()) * 1e3 };
        }
    }

    /// Gives up packets that are late by more than `patience` beyond their delays; returns their labels.
    pub fn give_up_late(&mut self, patience: Duration) -> Vec<L> {
        self.give_up(patience, |_| true)
    }

    /// Gives up packets whose label is `hopeless` and that are late by more than `patience`.
    pub fn give_up(&mut self, patience: Duration, hopeless: impl Fn(&L) -> bool) -> Vec<L> {
        let now = Instant::now();
        let given_up = |_: &Tag, flight: &mut Flight<L>| flight.due() + patience <= now && hopeless(&flight.label);
        self.in_transit.extract_if(given_up).map(|(_, flight)| flight.label).collect()
    }

    /// Number of packets in transit whose delays have passed.
    #[must_use]
    pub fn overdue(&self) -> usize {
        let now = Instant::now();
        self.in_transit.values().filter(|flight| flight.due() <= now).count()
    }

    /// Longest remaining delay of the packets in transit.
    #[must_use]
    pub fn longest_delay_left(&self) -> Duration {
        let last = self.in_transit.values().map(Flight::due).max();
        last.map_or(Duration::ZERO, |due| due.saturating_duration_since(Instant::now()))
    }

    /// Number of packets in transit.
    #[must_use]
    pub fn in_transit(&self) -> usize {
        self.in_transit.len()
    }

    /// Time since the prober started. Nodes cannot have known it before.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.opened_at.elapsed()
    }

    /// Address of this family, if no peer has ever connected to it.
    #[must_use]
    pub(crate) fn unreached_address(&self, family: IpFamily) -> Option<SocketAddr> {
        let is_of_family = |address: &&SocketAddr| IpFamily::of(address.ip()) == family;
        let (listener, address) = self.addresses.iter().enumerate().find(|(_, address)| is_of_family(address))?;
        (!self.receiver.was_connected(listener)).then_some(*address)
    }

    /// Error of the last attempt to send to this first hop, if it failed.
    #[must_use]
    pub fn trouble(&self, first_hop: SocketAddr) -> Option<String> {
        self.sender.trouble(first_hop)
    }
}

fn announced(endpoint: Endpoint, bound: SocketAddr) -> SocketAddr {
    let mut address = endpoint.announce;
    if address.port() == 0 {
        address.set_port(bound.port());
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prober() -> Prober<u8> {
        Prober::bind(&[Endpoint::local("127.0.0.1:0".parse().unwrap())], Duration::ZERO).unwrap()
    }

    #[tokio::test]
    async fn a_port_that_the_system_chose_is_announced() {
        let endpoint = Endpoint { bind: "127.0.0.1:0".parse().unwrap(), announce: "192.0.2.1:0".parse().unwrap() };
        let prober = Prober::<()>::bind(&[endpoint], Duration::ZERO).unwrap();
        let address = prober.addresses()[0];
        assert_eq!(address.ip().to_string(), "192.0.2.1");
        assert_ne!(address.port(), 0);
        assert!(prober.last_hop(IpFamily::V4).is_some());
        assert!(prober.last_hop(IpFamily::V6).is_none());
        assert_eq!(prober.unreached_address(IpFamily::V4), Some(address));
        assert_eq!(prober.unreached_address(IpFamily::V6), None);
    }

    #[tokio::test]
    async fn a_packet_that_is_never_forwarded_is_given_up_with_its_label() {
        let mut prober = prober();
        let hop = prober.last_hop(IpFamily::V4).unwrap();
        // The first hop is the prober itself, which forwards no packets.
        prober.send(&[hop], hop, 42).unwrap();
        assert_eq!(prober.in_transit(), 1);
        assert!(prober.give_up_late(Duration::from_hours(1)).is_empty());
        assert_eq!((prober.overdue(), prober.longest_delay_left()), (1, Duration::ZERO));
        assert!(prober.give_up(Duration::ZERO, |label| *label != 42).is_empty());
        assert_eq!(prober.give_up_late(Duration::ZERO), vec![42]);
        assert_eq!(prober.in_transit(), 0);
    }
}
