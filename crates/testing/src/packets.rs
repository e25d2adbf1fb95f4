//! Sphinx packets through one node.

use std::net::SocketAddr;
use std::time::Duration;

use nym_mixnode_sphinx::{PacketSize, encode_next_hop};
use nym_mixnode_wire::{FrameHeader, PacketMode};
use sphinx_packet::crypto::PublicKey;
use sphinx_packet::header::delays::Delay;
use sphinx_packet::packet::builder::SphinxPacketBuilder;
use sphinx_packet::route::{Destination, DestinationAddressBytes, Node, NodeAddressBytes};

pub fn hop(address: SocketAddr, public_key: [u8; 32]) -> Node {
    Node::new(NodeAddressBytes::from_bytes(encode_next_hop(address)), PublicKey::from(public_key))
}

/// Framed Sphinx packet through `first`, delayed there by `delay`, to the listener at `next`.
pub fn packet_via(first: &Node, next: SocketAddr, delay: Duration, header: FrameHeader) -> Vec<u8> {
    let nanos = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
    // The last hop's key is random: a sink does not unwrap.
    let route = [first.clone(), hop(next, [9; 32])];
    let delays = [Delay::new_from_nanos(nanos), Delay::new_from_nanos(0)];
    let destination = Destination::new(DestinationAddressBytes::from_bytes([1; 32]), [2; 16]);
    let packet = SphinxPacketBuilder::new()
        .with_payload_size(header.size.payload_len())
        .build_packet([3; 16], &route, &destination, &delays)
        .unwrap();
    let mut frame = Vec::new();
    header.encode(&mut frame);
    frame.extend(packet.to_bytes());
    frame
}

pub const ACK: FrameHeader = FrameHeader::v0_9(PacketSize::Ack, PacketMode::Mix);
