use std::collections::HashMap;
use std::net::SocketAddr;

use nym_mixnode_api::Topology;
use nym_mixnode_keys::IdentityKeyPair;
use nym_mixnode_message::final_hop::delivery;
use nym_mixnode_sphinx::{Engine, HEADER_LEN, Outcome, PacketSize, UnwrapError, plaintext, public_key};

use super::*;

/// A network in memory: unwraps packets at once and hands messages and acknowledgements to their clients.
struct World {
    keys: HashMap<SocketAddr, [u8; 32]>,
    network: Network,
    gateway: [u8; 32],
}

impl World {
    fn new() -> Self {
        let mut topology: Topology = crate::network::tests::topology();
        let gateway = *IdentityKeyPair::generate().unwrap().public();
        topology.gateways[0].registration.identity_key = bs58::encode(gateway).into_string();
        let mut keys = HashMap::new();
        let hosts = topology
            .mix_nodes
            .iter_mut()
            .map(|mix| (mix.registration.mix_host.clone(), &mut mix.registration.sphinx_key));
        let gateways = topology
            .gateways
            .iter_mut()
            .map(|gateway| (gateway.registration.mix_host.clone(), &mut gateway.registration.sphinx_key));
        for (number, (host, key)) in (1..).zip(hosts.chain(gateways)) {
            keys.insert(host.parse().unwrap(), [number; 32]);
            *key = bs58::encode(public_key(&[number; 32])).into_string();
        }
        Self { keys, network: Network::of(&topology), gateway }
    }

    fn client(&self, settings: Settings) -> Core {
        let identity = IdentityKeyPair::generate().unwrap();
        let encryption = SphinxKeyPair::generate().unwrap();
        let address = ClientAddress::new(*identity.public(), *encryption.public(), self.gateway).unwrap();
        let keys = ClientKeys { address, encryption, ack: AckKey::generate(&mut rand::rng()) };
        let mut core = Core::new(keys, settings);
        core.set_network(self.network.clone());
        core
    }

    /// The plaintext at the gateway.
    fn carry(&self, mut hop: SocketAddr, mut packet: Vec<u8>) -> ([u8; 32], PacketSize, Vec<u8>) {
        let size = PacketSize::from_packet_len(packet.len()).unwrap();
        loop {
            let (mut batch, mut outcomes) = ([packet], Vec::new());
            Engine::new(self.keys[&hop]).unwrap_batch(&mut batch, &mut outcomes, |_| Ok::<_, UnwrapError>(()));
            [packet] = batch;
            match outcomes[0] {
                Outcome::Forward { next_hop, .. } => hop = next_hop,
                Outcome::Final { destination, .. } => {
                    return (destination, size, plaintext(&packet[HEADER_LEN..]).unwrap().to_vec());
                }
                Outcome::Drop(error) => panic!("{error}"),
            }
        }
    }

    /// Delivers a packet to one of the clients, and its acknowledgement to another.
    fn deliver(&self, request: ForwardRequest, clients: &mut [&mut Core], now: Instant) -> Vec<Event> {
        let mut events = Vec::new();
        let mut packets = vec![(request.next_hop, request.packet)];
        while let Some((hop, packet)) = packets.pop() {
            let (destination, size, plaintext) = self.carry(hop, packet);
            let delivery = delivery(size, &plaintext).unwrap();
            packets.extend(delivery.return_packet.map(|packet| (packet.first_hop, packet.packet.to_vec())));
            let client = clients.iter_mut().find(|core| core.address().identity() == &destination).unwrap();
            events.push(client.received(delivery.message, now));
        }
        events
    }
}

#[test]
fn a_message_arrives_whole_and_its_sender_learns_it() {
    let (world, now) = (World::new(), Instant::now());
    let (mut alice, mut bob) = (world.client(Settings::default()), world.client(Settings::default()));
    let data: Vec<u8> = (0..500_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    let id = alice.send(*bob.address(), data.clone(), false, &mut rand::rng()).unwrap();
    assert_eq!(alice.queued(), 312);
    let (mut received, mut acknowledged) = (Vec::new(), Vec::new());
    while let Some(packet) = alice.real_packet(now, &mut rand::rng()) {
        assert_eq!(packet.packet.len(), PacketSize::Regular.packet_len());
        for event in world.deliver(packet, &mut [&mut alice, &mut bob], now) {
            match event {
                Event::Received(content) => received.push(content.data),
                Event::Acknowledged(id) => acknowledged.push(id),
                Event::ReceivedReply(_) | Event::Part(_) | Event::Nothing => {}
            }
        }
    }
    assert!(received == [data]);
    assert_eq!(acknowledged, [id]);
    assert_eq!((alice.next_deadline(), alice.unsent_bytes, alice.messages.len()), (None, 0, 0));
}

#[test]
fn what_is_not_acknowledged_is_sent_again_later_each_time() {
    let (world, start) = (World::new(), Instant::now());
    let (mut alice, mut bob) = (world.client(Settings::default()), world.client(Settings::default()));
    alice.send(*bob.address(), b"hello".to_vec(), false, &mut rand::rng()).unwrap();
    let (mut now, mut packets, mut waits) = (start, Vec::new(), Vec::new());
    for _ in 0..12 {
        packets.push(alice.real_packet(now, &mut rand::rng()).unwrap());
        assert!(alice.real_packet(now, &mut rand::rng()).is_none());
        let deadline = alice.next_deadline().unwrap();
        waits.push(deadline - now);
        alice.expire(deadline.checked_sub(Duration::from_nanos(1)).unwrap());
        assert_eq!(alice.queued(), 0);
        now = deadline;
        alice.expire(now);
    }
    assert!(waits[0] >= Duration::from_millis(1500));
    assert!(waits[6] >= Duration::from_secs(17) && waits[11] == Duration::from_mins(1), "{waits:?}");
    // Nothing in two packets of one fragment is alike, and both bring the message once.
    assert_ne!(packets[0].packet[..32], packets[1].packet[..32]);
    let mut arrived = 0;
    for packet in packets.into_iter().take(2) {
        let events = world.deliver(packet, &mut [&mut alice, &mut bob], now);
        arrived += events.iter().filter(|event| matches!(event, Event::Received(_))).count();
    }
    assert_eq!(arrived, 1);
    // The acknowledgement came while the fragment waited for its turn.
    assert!(alice.real_packet(now, &mut rand::rng()).is_none());
}

#[test]
fn a_reply_finds_its_way_without_an_address() {
    let (world, now) = (World::new(), Instant::now());
    let (mut alice, mut bob) = (world.client(Settings::default()), world.client(Settings::default()));
    alice.send(*bob.address(), b"who are you?".to_vec(), true, &mut rand::rng()).unwrap();
    let packet = alice.real_packet(now, &mut rand::rng()).unwrap();
    let events = world.deliver(packet, &mut [&mut alice, &mut bob], now);
    let Some(Event::Received(content)) = events.into_iter().find(|event| matches!(event, Event::Received(_))) else {
        panic!("nothing received")
    };
    bob.reply(content.reply_block.unwrap(), b"bob".to_vec()).unwrap();
    let packet = bob.real_packet(now, &mut rand::rng()).unwrap();
    for _copy in 0..2 {
        let events = world.deliver(packet.clone(), &mut [&mut alice, &mut bob], now);
        assert!(matches!(&events[0], Event::ReceivedReply(data) if data == b"bob"), "{events:?}");
    }
}

#[test]
fn cover_looks_like_a_message_and_means_nothing() {
    let (world, now) = (World::new(), Instant::now());
    let mut alice = world.client(Settings::default());
    let cover = alice.cover_packet(&mut rand::rng()).unwrap();
    assert_eq!(cover.packet.len(), PacketSize::Regular.packet_len());
    let events = world.deliver(cover, &mut [&mut alice], now);
    assert!(matches!(events[..], [Event::Nothing, Event::Nothing]), "{events:?}");
}

#[test]
fn what_cannot_be_sent_is_an_error() {
    let world = World::new();
    let settings = Settings { unsent_bytes_max: 1000, ..Settings::default() };
    let (mut alice, bob) = (world.client(settings), world.client(settings));
    let mut send = |to: ClientAddress, len| alice.send(to, vec![0; len], false, &mut rand::rng());
    let elsewhere = ClientAddress::new(*bob.address().identity(), [9; 32], *bob.address().identity()).unwrap();
    assert!(matches!(send(elsewhere, 1), Err(SendError::NoRoute(NoRoute::UnknownGateway(_)))));
    let first = send(*bob.address(), 600).unwrap();
    assert!(matches!(send(*bob.address(), 600), Err(SendError::Full(600))));
    alice.cancel(first);
    assert!(alice.real_packet(Instant::now(), &mut rand::rng()).is_none());
    assert!(alice.send(*bob.address(), vec![0; 600], false, &mut rand::rng()).is_ok());
}

#[test]
fn without_a_route_a_fragment_waits_and_is_not_lost() {
    let (world, start) = (World::new(), Instant::now());
    let (mut alice, bob) = (world.client(Settings::default()), world.client(Settings::default()));
    alice.send(*bob.address(), b"hello".to_vec(), false, &mut rand::rng()).unwrap();
    alice.set_network(Network::default());
    assert!(alice.real_packet(start, &mut rand::rng()).is_none());
    assert!(alice.cover_packet(&mut rand::rng()).is_none());
    let deadline = alice.next_deadline().unwrap();
    alice.set_network(world.network.clone());
    alice.expire(deadline);
    assert!(alice.real_packet(deadline, &mut rand::rng()).is_some());
}
