//! Packets to first hops: one queue and one connection for each, shared by all clients and acknowledgements.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nym_mixnode_link::forwarder::Forwarder;
use nym_mixnode_link::shutdown::{Phase, PhaseSignal};
use nym_mixnode_message::ack::ReturnPacket;
use nym_mixnode_message::gateway::ForwardRequest;
use nym_mixnode_mix::outgoing::{DialRates, Settings};
use nym_mixnode_mix::{Policy, Scheduled};
use nym_mixnode_sphinx::PacketSize;
use nym_mixnode_wire::{BufferPool, FrameHeader, PacketMode};
use tokio::sync::mpsc;

/// Limits of queues and connections.
#[derive(Debug, Clone)]
pub struct OutboundSettings {
    /// Of each first hop.
    pub forwarder: Settings,
}

impl Default for OutboundSettings {
    fn default() -> Self {
        let forwarder = Settings {
            connect_timeout: Duration::from_millis(1500),
            backoff_initial: Duration::from_millis(500),
            backoff_max: Duration::from_secs(60),
            stale_after: Duration::from_secs(30),
            queue_packets_max: 4096,
            budget_bytes: 128 << 20,
            next_hops_max: 4096,
            idle_timeout: Duration::from_secs(300),
            dial_rates: DialRates::NODE,
        };
        Self { forwarder }
    }
}

/// Sends packets.
pub struct Outbound {
    pub policy: Arc<Policy>,
    pub settings: OutboundSettings,
    pub phase: PhaseSignal,
}

impl Outbound {
    /// Sends until both channels are closed, then drains.
    pub async fn run(self, mut packets: mpsc::Receiver<ForwardRequest>, mut acks: mpsc::Receiver<ReturnPacket>) {
        let buffers = BufferPool::new(self.settings.forwarder.budget_bytes);
        let mut forwarder = Forwarder::threaded(self.settings.forwarder, self.phase.clone());
        let mut phase = self.phase.clone();
        loop {
            let next = tokio::select! {
                biased;
                () = phase.reached(Phase::Aborting) => None,
                next = next(&mut packets, &mut acks) => next,
            };
            let Some((next_hop, packet)) = next else { break };
            let Some(size) = PacketSize::from_packet_len(packet.len()) else { continue };
            // Checked when the client or the last mix handed it over; the topology may have changed.
            if self.policy.check(next_hop, size).is_err() {
                continue;
            }
            let header = FrameHeader::v0_9(size, PacketMode::Mix);
            let mut frame = Vec::with_capacity(header.frame_len());
            header.encode(&mut frame);
            frame.extend_from_slice(&packet);
            let mut packet = buffers.take(header, &frame);
            if packet.frame_for(self.policy.framing(next_hop)).is_ok() {
                forwarder.send(Scheduled { packet, next_hop, due: Instant::now() });
            }
        }
        forwarder.drain().await;
    }
}

/// The next packet; `None` once both channels are closed. Cancel-safe.
async fn next(
    packets: &mut mpsc::Receiver<ForwardRequest>,
    acks: &mut mpsc::Receiver<ReturnPacket>,
) -> Option<(SocketAddr, Vec<u8>)> {
    tokio::select! {
        Some(request) = packets.recv() => Some((request.next_hop, request.packet)),
        Some(ack) = acks.recv() => Some((ack.first_hop, ack.packet.to_vec())),
        else => None,
    }
}
