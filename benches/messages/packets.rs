//! Packets as a last mix sends them, and where their acknowledgements go.

use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use nym_mixnode_message::ack::{ACK_LEN, ReturnPacket};
use nym_mixnode_message::sealed::Sealed;
use nym_mixnode_sphinx::{CLIENT_HOPS, Hop, PacketSize, public_key};
use nym_mixnode_wire::{FrameHeader, PacketMode};
use sphinx_packet::packet::builder::SphinxPacketBuilder;
use sphinx_packet::route::{Destination, DestinationAddressBytes};

use crate::support::TestNode;

/// A mix that counts acknowledgements.
pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    bytes: Arc<AtomicUsize>,
}

impl Sink {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let bytes = Arc::new(AtomicUsize::new(0));
        let total = Arc::clone(&bytes);
        thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let total = Arc::clone(&total);
                thread::spawn(move || {
                    let mut buffer = vec![0; 1 << 16];
                    while let Ok(len @ 1..) = stream.read(&mut buffer) {
                        total.fetch_add(len, Ordering::Relaxed);
                    }
                });
            }
        });
        Self { address, bytes }
    }

    pub(crate) fn acknowledgements(&self) -> usize {
        self.bytes.load(Ordering::Relaxed) / FrameHeader::v0_9(PacketSize::Ack, PacketMode::Mix).frame_len()
    }
}

/// Frames for this gateway with messages to these clients in turn, whose acknowledgements go to `first_hop`.
pub(crate) fn frames(gateway: &TestNode, clients: &[[u8; 32]], first_hop: SocketAddr, count: usize) -> Vec<Vec<u8>> {
    let route = [Hop { address: first_hop, sphinx_key: public_key(&[3; 32]) }; CLIENT_HOPS];
    let delays = [Duration::ZERO; CLIENT_HOPS - 1];
    let back = ReturnPacket::build(&route, &delays, &[4; 32], &[5; ACK_LEN], &mut rand::rng()).expect("a packet");
    let sealed = Sealed::cover(&public_key(&[6; 32]), &mut rand::rng()).expect("a message");
    let message = sealed.with_return_packet(&back);
    let header = FrameHeader::v0_9(PacketSize::Regular, PacketMode::Mix);
    let delays = [sphinx_packet::header::delays::Delay::new_from_nanos(0)];
    let frame = |client: &[u8; 32]| {
        let destination = Destination::new(DestinationAddressBytes::from_bytes(*client), [6; 16]);
        let packet = SphinxPacketBuilder::new()
            .with_payload_size(PacketSize::Regular.payload_len())
            .build_packet(&message, &[gateway.sphinx()], &destination, &delays)
            .expect("a route of one hop");
        let mut frame = Vec::new();
        header.encode(&mut frame);
        frame.extend_from_slice(&packet.to_bytes());
        frame
    };
    clients.iter().cycle().take(count).map(frame).collect()
}
