//! Clients and mixes of a gateway under test: everything that they can cause, good or bad.

use std::net::SocketAddr;
use std::time::Duration;

use nym_mixnode_client::connection::{Connection, FromGateway, authenticate, register};
use nym_mixnode_client::endpoint::Endpoint;
use nym_mixnode_gateway::run::Gateway;
use nym_mixnode_keys::IdentityKeyPair;
use nym_mixnode_message::ack::{ACK_LEN, ReturnPacket};
use nym_mixnode_message::gateway::{ForwardRequest, Mode, SharedKey};
use nym_mixnode_message::sealed::Sealed;
use nym_mixnode_sphinx::{CLIENT_HOPS, ClientHeader, Engine, Hop, PacketSize, UnwrapError};
use nym_mixnode_wire::{FrameDecoder, FrameHeader, PacketMode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What happens in a world.
#[derive(Debug, Clone, Copy)]
pub(super) enum Traffic {
    None,
    /// Two clients, of which this one stays connected and gets a third of so many messages.
    Some {
        present: usize,
        messages: usize,
    },
}

/// The gateway.
pub(super) struct Target {
    pub(super) mixes: SocketAddr,
    pub(super) clients: SocketAddr,
    pub(super) identity: [u8; 32],
    /// Private and public.
    pub(super) sphinx: ([u8; 32], [u8; 32]),
}

/// What has happened, counted outside the gateway.
#[derive(Debug, Default)]
pub(super) struct Counts {
    acknowledged: usize,
    forwarded: usize,
    received: usize,
    collected: usize,
}

/// Packets of the present client for the first mix.
const FORWARDED: usize = 7;
/// Messages that an inbox holds.
const INBOX: usize = 10;

/// A registered client.
struct Member {
    identity: IdentityKeyPair,
    key: SharedKey,
    connection: Option<Connection>,
}

impl Counts {
    /// That the gateway has met all of this.
    pub(super) fn check(&self, gateway: &Gateway) {
        let (delivered, mixing) = (gateway.delivered(), gateway.mixing());
        if self.forwarded == 0 {
            assert_eq!((delivered.pushed(), delivered.stored(), gateway.connected()), (0, 0, 0));
            return;
        }
        let [unknown, full, failed] = delivered.dropped();
        assert!(delivered.pushed() > 0 && delivered.stored() > 0 && unknown > 0 && full > 0 && failed == 0, "{self:?}");
        assert!(mixing.dropped().iter().all(|dropped| *dropped > 0), "{:?}", mixing.dropped());
        assert_eq!((self.forwarded, self.collected), (FORWARDED, INBOX));
        assert_eq!(self.acknowledged, self.received + self.collected);
    }
}

impl Traffic {
    pub(super) async fn cause(self, target: Target, first_mix: TcpListener) -> Counts {
        let Self::Some { present, messages } = self else { return Counts::default() };
        let mut members = [target.register().await, target.register().await];
        members[1 - present].connection = None;
        target.disturb(&members[present]).await;
        let mut counts = Counts::default();
        let first = first_mix.local_addr().unwrap();

        let mut connection = members[present].connection.take().unwrap();
        for number in 0..2 * FORWARDED {
            let elsewhere = ([192, 0, 2, 7], 1789).into();
            let next_hop = if number % 2 == 0 { first } else { elsewhere };
            let packet = vec![7; PacketSize::Regular.packet_len()];
            connection.send(&ForwardRequest { mode: Mode::Mix, next_hop, packet }).await.unwrap();
        }
        let mut packets = Vec::new();
        for number in 0..messages {
            let to = if number % 3 == 0 { present } else { 1 - present };
            packets.push(target.packet(members[to].identity.public(), first));
        }
        // No more than its inbox holds, where they go if it confirms them late.
        let received = messages / 3;
        packets.push(target.packet(&[9; 32], first));
        packets.extend(target.bad_packets(&packets[0], first));
        let mut mix = TcpStream::connect(target.mixes).await.unwrap();
        for packet in &packets {
            mix.write_all(&framed(packet)).await.unwrap();
        }

        let mut from_gateway = Frames::accept(&first_mix).await;
        counts.received = messages_of(&mut connection, received).await;
        let acknowledged = received + INBOX;
        while counts.forwarded < FORWARDED || counts.acknowledged < acknowledged {
            match from_gateway.next().await {
                PacketSize::Regular => counts.forwarded += 1,
                _ => counts.acknowledged += 1,
            }
        }
        let absent = &mut members[1 - present];
        let endpoint = target.endpoint();
        let mut connection = authenticate(&endpoint, absent.identity.public(), absent.key.clone()).await.unwrap();
        counts.collected = messages_of(&mut connection, INBOX).await;
        counts
    }
}

impl Target {
    /// Where clients connect.
    fn endpoint(&self) -> Endpoint {
        Endpoint::plain(format!("ws://{}", self.clients))
    }

    async fn register(&self) -> Member {
        let identity = IdentityKeyPair::generate().unwrap();
        let (connection, key) = register(&self.endpoint(), &identity, self.identity).await.unwrap();
        Member { identity, key, connection: Some(connection) }
    }

    /// What clients and mixes can do wrong.
    async fn disturb(&self, member: &Member) {
        let endpoint = self.endpoint();
        let wrong = SharedKey::from_bytes(&[8; 32]);
        assert!(authenticate(&endpoint, member.identity.public(), wrong).await.is_err());
        assert!(
            authenticate(&endpoint, member.identity.public(), member.key.clone()).await.is_err(),
            "it is connected"
        );
        assert!(register(&endpoint, &member.identity, self.identity).await.is_err(), "it is connected");
        assert!(register(&endpoint, &member.identity, [1; 32]).await.is_err(), "another gateway");
        for address in [self.clients, self.mixes] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\n\r\n\xff\xff").await.unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.ok();
        }
    }

    fn route(&self, first: SocketAddr) -> [Hop; CLIENT_HOPS] {
        [Hop { address: first, sphinx_key: self.sphinx.1 }; CLIENT_HOPS]
    }

    /// As the last mix sends a packet for a client: with all layers but the gateway's peeled.
    fn sealed(&self, client: &[u8; 32], message: &[u8], layers: usize) -> Vec<u8> {
        let delays = [Duration::ZERO; CLIENT_HOPS - 1];
        let header = ClientHeader::build(&self.route(self.mixes), &delays, client, &mut rand::rng()).unwrap();
        let mut batch = [header.seal(PacketSize::Regular, message).unwrap()];
        for _mix in 0..layers {
            let mut engine = Engine::new(self.sphinx.0);
            engine.unwrap_batch(&mut batch, &mut Vec::new(), |_| Ok::<_, UnwrapError>(()));
        }
        let [packet] = batch;
        packet
    }

    fn packet(&self, client: &[u8; 32], first: SocketAddr) -> Vec<u8> {
        self.sealed(client, &self.message(first), CLIENT_HOPS - 1)
    }

    fn message(&self, first: SocketAddr) -> Vec<u8> {
        let delays = [Duration::ZERO; CLIENT_HOPS - 1];
        let ack = ReturnPacket::build(&self.route(first), &delays, &[4; 32], &[5; ACK_LEN], &mut rand::rng()).unwrap();
        Sealed::cover(&self.sphinx.1, &mut rand::rng()).unwrap().with_return_packet(&ack)
    }

    /// A copy, a damaged packet, one for another hop, and one without a return packet.
    fn bad_packets(&self, good: &[u8], first: SocketAddr) -> [Vec<u8>; 4] {
        let mut forged = self.packet(&[9; 32], first);
        forged[40] ^= 1;
        let not_final = self.sealed(&[9; 32], &self.message(first), 1);
        [good.to_vec(), forged, not_final, self.sealed(&[9; 32], b"short", CLIENT_HOPS - 1)]
    }
}

fn framed(packet: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    FrameHeader::v0_9(PacketSize::from_packet_len(packet.len()).unwrap(), PacketMode::Mix).encode(&mut frame);
    frame.extend_from_slice(packet);
    frame
}

/// Reads so many messages, and confirms them.
async fn messages_of(connection: &mut Connection, count: usize) -> usize {
    let (mut received, mut confirmed) = (0, 0);
    while confirmed < count {
        match connection.next().await.unwrap() {
            FromGateway::Message(_) => received += 1,
            FromGateway::Ping(content) => {
                connection.confirm(content).await.unwrap();
                confirmed = received;
            }
        }
    }
    received
}

/// What the gateway sends to a mix.
struct Frames {
    stream: TcpStream,
    decoder: FrameDecoder,
    sizes: Vec<PacketSize>,
}

impl Frames {
    async fn accept(listener: &TcpListener) -> Self {
        Self { stream: listener.accept().await.unwrap().0, decoder: FrameDecoder::default(), sizes: Vec::new() }
    }

    async fn next(&mut self) -> PacketSize {
        let mut buffer = vec![0; 1 << 16];
        loop {
            if let Some(size) = self.sizes.pop() {
                return size;
            }
            let len = self.stream.read(&mut buffer).await.unwrap();
            assert!(len > 0, "the gateway has closed its connection");
            let sizes = &mut self.sizes;
            self.decoder.feed(&buffer[..len], |header, _| sizes.push(header.size)).unwrap();
        }
    }
}
