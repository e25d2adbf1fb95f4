//! Building packets, with the sphinx-packet library.

use std::net::SocketAddr;
use std::time::Duration;

use sphinx_packet::header::delays::Delay;
use sphinx_packet::route::{Destination, DestinationAddressBytes, Node, NodeAddressBytes};
use sphinx_packet::{Error, ErrorKind, SphinxPacketBuilder};
use thiserror::Error;

use crate::{PacketSize, encode_next_hop};

/// A hop on the route of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hop {
    /// Address that the hop listens on.
    pub address: SocketAddr,
    /// Its X25519 public key.
    pub sphinx_key: [u8; 32],
}

/// Invalid input for a packet.
#[derive(Debug, Error)]
#[error("cannot build a Sphinx packet for a route of {hops} hops: {reason}")]
pub struct BuildError {
    hops: usize,
    reason: Error,
}

/// Builds a packet of version 260 that carries `message` along `route`, without a destination client.
///
/// `delays` has one delay for each hop; that of the last hop has no effect.
///
/// # Errors
/// When the route is empty or has more than five hops, when the number of delays differs from the number of hops, or
/// when the message is longer than [`PacketSize::plaintext_len`].
pub fn build(size: PacketSize, message: &[u8], route: &[Hop], delays: &[Duration]) -> Result<Vec<u8>, BuildError> {
    let hops = route.len();
    let fail = |reason| BuildError { hops, reason };
    if route.is_empty() || delays.len() != hops {
        let reason = format!("{hops} hops, {} delays", delays.len());
        return Err(fail(Error::new(ErrorKind::InvalidRouting, reason)));
    }
    let nodes: Vec<Node> = route.iter().copied().map(sphinx_node).collect();
    let delays: Vec<Delay> = delays.iter().copied().map(sphinx_delay).collect();
    let no_client = Destination::new(DestinationAddressBytes::from_bytes([0; 32]), [0; 16]);
    let packet = SphinxPacketBuilder::new()
        .with_payload_size(size.payload_len())
        .build_packet(message, &nodes, &no_client, &delays)
        .map_err(fail)?;
    Ok(packet.to_bytes())
}

fn sphinx_node(hop: Hop) -> Node {
    Node::new(NodeAddressBytes::from_bytes(encode_next_hop(hop.address)), hop.sphinx_key.into())
}

fn sphinx_delay(delay: Duration) -> Delay {
    Delay::new_from_nanos(u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(port: u16) -> Hop {
        Hop { address: ([192, 0, 2, 1], port).into(), sphinx_key: crate::public_key(&[7; 32]) }
    }

    #[test]
    fn a_packet_has_the_length_of_its_size() {
        for size in PacketSize::ALL {
            let packet = build(size, b"x", &[hop(1), hop(2)], &[Duration::ZERO; 2]).unwrap();
            assert_eq!(packet.len(), size.packet_len());
        }
    }

    #[test]
    fn routes_and_messages_that_do_not_fit_are_errors() {
        let delays = [Duration::ZERO; 6];
        let message = [0; PacketSize::Ack.plaintext_len() + 1];
        let build = |hops: u16, delays: &[Duration], message: &[u8]| {
            let route: Vec<Hop> = (0..hops).map(hop).collect();
            build(PacketSize::Ack, message, &route, delays)
        };
        assert!(build(0, &[], &[]).is_err());
        assert!(build(5, &delays[..5], &[]).is_ok());
        assert!(build(6, &delays, &[]).is_err());
        assert!(build(2, &delays[..1], &[]).is_err());
        assert!(build(1, &delays[..1], &message).is_err());
    }
}
