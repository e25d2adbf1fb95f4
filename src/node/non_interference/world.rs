//! Simulated traffic: the events on the wire, and the secret matching of arrivals with departures.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use nym_mixnode_api::PROTOCOL_VERSION;
use nym_mixnode_sphinx::{PacketSize, encode_next_hop};
use nym_mixnode_telemetry::window::WINDOW;
use nym_mixnode_wire::{FrameHeader, Framing, PacketMode};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sphinx_packet::SphinxPacketBuilder;
use sphinx_packet::header::delays::Delay;
use sphinx_packet::route::{Destination, DestinationAddressBytes, Node, NodeAddressBytes};

/// Default number of packets in a world.
pub(super) const PACKETS: usize = 96;
/// As in the default configuration.
const DELAY_MAX_MS: u64 = 10_000;
/// Virtual time of the stop. All packets have left, and more than half of the third window has passed.
pub(super) const END: Duration = Duration::from_secs(155);
/// Starts of the windows whose ends have arrivals shortly before and after them.
const WINDOW_ENDS_MS: [u64; 2] = [60_000, 120_000];

/// The first arrivals, one of each size. They are forwarded, and all replays are copies of them.
const ORIGINALS: [u64; 2] = [47_001, 47_003];

/// Number of incoming connections.
const CONNECTIONS: usize = 6;

/// Packets that fill half of the byte budget of a [crowded](World::crowded) world.
const FILLING: usize = 40;
/// Connections of one place, which has much more to send then. They are connections of one worker.
const GREEDY: [usize; 3] = [4, 6, 8];
/// Connections with a packet each, from places of their own, which take the rest of the budget.
const OTHERS: std::ops::Range<usize> = 10..60;
/// Bytes of the budget that a regular packet takes, rounded down.
const REGULAR_BYTES: usize = PacketSize::Regular.packet_len();

/// The events that an observer of the wire sees, and the secret: the fate of each arrival.
///
/// Events are at whole milliseconds, the grid of the runtime's timers, so that swapping fates moves none of them. No
/// event is at a whole second, when windows end and requests are made.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) arrivals: Vec<Arrival>,
    fates: Vec<Fate>,
    /// `None` is the default of the configuration.
    memory_bytes: Option<usize>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    pub(super) at_ms: u64,
    pub(super) connection: usize,
    /// Header of the received frame. Only its size may be observable.
    header: FrameHeader,
    swaps: Swaps,
}

/// Fates that an arrival may have in other worlds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Swaps {
    /// Those of arrivals in its window.
    InWindow,
    /// Those that leave its bytes in the node for as long. What is dropped returns them to the budget at once, so that
    /// readers who wait for them know when.
    SameBytes,
    /// Only its own: it may be read late, and it leaves later by as much.
    None,
}

/// The fate of a packet. Packets that are not forwarded end here or are dropped on arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Fate {
    Leaves {
        at_ms: u64,
        next_hop: SocketAddr,
    },
    /// This node is its last hop.
    Final,
    BadMac,
    DelayTooLong,
    NextHopRefused,
    /// The node rejects its size.
    SizeRefused,
    /// Its next hop's release does not support its size.
    SizeUnknown,
    /// A copy of the original of its size. An observer who compares bytes can see this; the test treats it as secret.
    Replay,
}

/// Where a connection comes from.
pub(super) fn place_of(connection: usize) -> IpAddr {
    let number = if GREEDY.contains(&connection) { GREEDY[0] } else { connection };
    [10, 0, 0, u8::try_from(number).unwrap()].into()
}

/// The next hops in the directory.
pub(super) fn next_hops() -> Vec<SocketAddr> {
    (1..=6).map(|host| SocketAddr::from(([192, 0, 2, host], 1789))).collect()
}

/// The version of a next hop in the directory.
pub(super) fn version_of(next_hop: SocketAddr) -> &'static str {
    let numbered = next_hops().into_iter().zip(["0.9.2", "1.1.9", "0.9.2", "2025.12", "0.9.2", "1.1.9"]);
    numbered.into_iter().find(|(listed, _)| *listed == next_hop).map_or(PROTOCOL_VERSION, |(_, version)| version)
}

/// The next hops that support this size, or those that do not.
fn next_hops_for(size: PacketSize, can: bool) -> Vec<SocketAddr> {
    let knows = |next_hop: &SocketAddr| Framing::of_version(version_of(*next_hop)).has(size);
    next_hops().into_iter().filter(|next_hop| knows(next_hop) == can).collect()
}

impl World {
    pub(super) fn random(seed: u64, packets: usize) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut arrivals: Vec<_> = (0..packets)
            .map(|number| {
                let end = WINDOW_ENDS_MS[number % WINDOW_ENDS_MS.len()];
                let at_ms = off_the_second(end - 12_000 + rng.random_range(0..24_000));
                Arrival {
                    at_ms: ORIGINALS.get(number).copied().unwrap_or(at_ms),
                    connection: rng.random_range(0..CONNECTIONS),
                    header: any_header(size_of(number), &mut rng),
                    swaps: Swaps::InWindow,
                }
            })
            .collect();
        arrivals.sort_by_key(|arrival| arrival.at_ms);
        let numbered = arrivals.iter().enumerate();
        let fates = numbered.map(|(number, arrival)| match rng.random_range(0..20) {
            _ if arrival.header.size == PacketSize::Extended16 => Fate::SizeRefused,
            5..10 if arrival.header.size == PacketSize::Extended8 => Fate::SizeUnknown,
            0 if !is_original(number) => Fate::BadMac,
            1 if !is_original(number) => Fate::DelayTooLong,
            2 if !is_original(number) => Fate::NextHopRefused,
            3 if !is_original(number) && arrival.has_original() => Fate::Replay,
            4 if !is_original(number) => Fate::Final,
            _ => {
                let next_hops = next_hops_for(arrival.header.size, true);
                Fate::Leaves {
                    at_ms: off_the_second(arrival.at_ms + rng.random_range(0..DELAY_MAX_MS - 1_000)),
                    next_hop: next_hops[rng.random_range(0..next_hops.len())],
                }
            }
        });
        let fates = fates.collect();
        Self { arrivals, fates, memory_bytes: None }
    }

    /// A world whose byte budget becomes short: some places fill half of it, then one place wants more than its share
    /// over several connections, and others take the rest. Connections wait for turns, shares and permits.
    pub(super) fn crowded(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut all = Vec::new();
        let mut add = |at_ms, connection, swaps, fate, rng: &mut StdRng| {
            let header = any_header(PacketSize::Regular, rng);
            all.push((Arrival { at_ms: off_the_second(at_ms), connection, header, swaps }, fate));
        };
        let next_hops = next_hops_for(PacketSize::Regular, true);
        let leaves = |from: u64, rng: &mut StdRng| Fate::Leaves {
            at_ms: off_the_second(from + rng.random_range(0..4_000)),
            next_hop: next_hops[rng.random_range(0..next_hops.len())],
        };
        let ends = [Fate::Final, Fate::BadMac, Fate::DelayTooLong, Fate::NextHopRefused];
        for number in 0..FILLING + 2 * ends.len() {
            let fate = if number < FILLING { leaves(5_000, &mut rng) } else { ends[number % ends.len()] };
            add(rng.random_range(100..2_000), number % 4, Swaps::SameBytes, fate, &mut rng);
        }
        for number in 0..90 {
            let (at_ms, fate) = (2_000 + 10 * number as u64, leaves(6_000, &mut rng));
            add(at_ms, GREEDY[number % GREEDY.len()], Swaps::None, fate, &mut rng);
        }
        for number in OTHERS {
            let fate = leaves(6_000, &mut rng);
            add(rng.random_range(3_000..4_000), number, Swaps::None, fate, &mut rng);
        }
        all.sort_by_key(|(arrival, _)| arrival.at_ms);
        let (arrivals, fates) = all.into_iter().unzip();
        Self { arrivals, fates, memory_bytes: Some(2 * FILLING * REGULAR_BYTES) }
    }

    /// Number of incoming connections.
    pub(super) fn connections(&self) -> usize {
        self.arrivals.iter().map(|arrival| arrival.connection + 1).max().unwrap_or_default()
    }

    /// Byte budget, unless it is that of the configuration.
    pub(super) fn memory_bytes(&self) -> Option<usize> {
        self.memory_bytes
    }

    /// Returns this world with the fates of `swaps` pairs of arrivals swapped; the wire is the same.
    pub(super) fn swapped(&self, swaps: usize, rng: &mut StdRng) -> Self {
        let mut world = self.clone();
        let mut done = 0;
        while done < swaps {
            let mut any = || rng.random_range(0..world.arrivals.len());
            let (first, second) = (any(), any());
            if world.may_swap(first, second) {
                world.fates.swap(first, second);
                done += 1;
            }
        }
        world
    }

    fn may_swap(&self, first: usize, second: usize) -> bool {
        let arrival = |number: usize| self.arrivals[number];
        let (one, other) = (self.fates[first], self.fates[second]);
        let leaves = |fate| matches!(fate, Fate::Leaves { .. });
        // Sizes are visible on the wire, and the window of a drop is visible in telemetry.
        one != other
            && !is_original(first)
            && !is_original(second)
            && arrival(first).header.size == arrival(second).header.size
            && match (arrival(first).swaps, arrival(second).swaps) {
                (Swaps::InWindow, Swaps::InWindow) => {
                    leaves(one) && leaves(other) || arrival(first).window() == arrival(second).window()
                }
                (Swaps::SameBytes, Swaps::SameBytes) => leaves(one) == leaves(other),
                _ => false,
            }
            && arrival(first).may_have(other)
            && arrival(second).may_have(one)
    }

    /// Numbers of the arrivals on a connection.
    pub(super) fn of_connection(&self, connection: usize) -> Vec<usize> {
        (0..self.arrivals.len()).filter(|number| self.arrivals[*number].connection == connection).collect()
    }

    /// The arrival with the same packet, and its fate: the original of a replay, otherwise the arrival itself.
    pub(super) fn packet(&self, number: usize) -> (usize, Fate) {
        let size = self.arrivals[number].header.size;
        let of_its_size = |original: &usize| self.arrivals[*original].header.size == size;
        let original = (0..ORIGINALS.len()).find(of_its_size).filter(|_| self.fates[number] == Fate::Replay);
        let number = original.unwrap_or(number);
        (number, self.fates[number])
    }

    /// Number of packets that leave.
    pub(super) fn leaving(&self) -> usize {
        self.fates.iter().filter(|fate| matches!(fate, Fate::Leaves { .. })).count()
    }

    /// Number of fates that differ from `base`.
    pub(super) fn differences(&self, base: &Self) -> usize {
        self.fates.iter().zip(&base.fates).filter(|(one, other)| one != other).count()
    }
}

impl Arrival {
    fn window(&self) -> u64 {
        self.at_ms / u64::try_from(WINDOW.as_millis()).unwrap()
    }

    fn may_have(&self, fate: Fate) -> bool {
        match fate {
            Fate::Leaves { at_ms, .. } => at_ms.checked_sub(self.at_ms).is_some_and(|delay| delay <= DELAY_MAX_MS),
            _ => true,
        }
    }

    /// Whether its size has an original, which arrived first.
    fn has_original(&self) -> bool {
        matches!(self.header.size, PacketSize::Regular | PacketSize::Ack)
    }

    /// The received frame. A replay may have another header than its original.
    pub(super) fn frame(&self, packet: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        self.header.encode(&mut frame);
        frame.extend(packet);
        frame
    }

    /// Builds a packet with this fate for the node with this key.
    pub(super) fn packet(&self, fate: Fate, sphinx_key: [u8; 32]) -> Vec<u8> {
        let refused = SocketAddr::from(([198, 51, 100, 1], 1789));
        let (next_hop, delay_ms) = match fate {
            Fate::Leaves { at_ms, next_hop } => (next_hop, at_ms - self.at_ms),
            Fate::DelayTooLong => (next_hops_for(self.header.size, true)[0], DELAY_MAX_MS + 1),
            Fate::SizeUnknown => (next_hops_for(self.header.size, false)[0], 0),
            Fate::Final | Fate::BadMac | Fate::NextHopRefused | Fate::SizeRefused | Fate::Replay => (refused, 0),
        };
        let hops = if fate == Fate::Final { 1 } else { 2 };
        let node =
            |address, key: [u8; 32]| Node::new(NodeAddressBytes::from_bytes(encode_next_hop(address)), key.into());
        let route = [node(refused, sphinx_key), node(next_hop, [9; 32])];
        let delays = [Delay::new_from_nanos(delay_ms * 1_000_000), Delay::new_from_nanos(0)];
        let destination = Destination::new(DestinationAddressBytes::from_bytes([1; 32]), [2; 16]);
        let packet = SphinxPacketBuilder::new()
            .with_payload_size(self.header.size.payload_len())
            .build_packet([3; 16], &route[..hops], &destination, &delays[..hops])
            .unwrap();
        let mut packet = packet.to_bytes();
        if fate == Fate::BadMac {
            packet[38] ^= 1;
        }
        packet
    }
}

fn size_of(number: usize) -> PacketSize {
    match number {
        _ if number % 12 == 2 => PacketSize::Extended8,
        _ if number % 32 == 5 => PacketSize::Extended16,
        _ if number.is_multiple_of(8) => PacketSize::Regular,
        _ => PacketSize::Ack,
    }
}

fn any_header(size: PacketSize, rng: &mut StdRng) -> FrameHeader {
    let framing = Framing::ALL[rng.random_range(0..Framing::ALL.len())];
    let mode = if rng.random() { PacketMode::Mix } else { PacketMode::Vpn };
    let key_rotation = if framing == Framing::V2025_12 { rng.random_range(0..3) } else { 0 };
    FrameHeader { framing, size, mode, key_rotation }
}

fn is_original(number: usize) -> bool {
    number < ORIGINALS.len()
}

fn off_the_second(ms: u64) -> u64 {
    if ms.is_multiple_of(1000) { ms + 1 } else { ms }
}
