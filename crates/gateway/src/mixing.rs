//! The side of the mix network: final hops in, packets of clients and acknowledgements out.

mod outbound;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nym_mixnode_message::final_hop::delivery;
use nym_mixnode_mix::{Received, ReplayFilter};
use nym_mixnode_sphinx::{Engine, HEADER_LEN, Outcome, PacketSize, UnwrapError, plaintext};
use tokio::sync::mpsc;

pub use outbound::{Outbound, OutboundSettings};

use crate::delivery::Arrival;

/// Packets unwrapped at once.
const BATCH_MAX: usize = 32;

/// Packets that are not delivered, by reason.
#[derive(Debug, Default)]
pub struct MixingCounters {
    forged: AtomicU64,
    not_final: AtomicU64,
    replayed: AtomicU64,
    malformed: AtomicU64,
}

impl MixingCounters {
    /// Damaged or made for another key; for another hop; seen before; without a readable return packet.
    #[must_use]
    pub fn dropped(&self) -> [u64; 4] {
        [&self.forged, &self.not_final, &self.replayed, &self.malformed].map(|counter| counter.load(Ordering::Relaxed))
    }
}

/// Unwraps packets until the sender of packets is dropped.
pub struct FinalHops {
    pub engine: Engine,
    pub replays: Arc<ReplayFilter>,
    pub arrivals: mpsc::Sender<Arrival>,
    /// Decides whether an address is a node of the network.
    pub is_node: Arc<dyn Fn(SocketAddr) -> bool + Send + Sync>,
    pub counters: Arc<MixingCounters>,
}

impl FinalHops {
    /// Unwraps packets until the sender of packets is dropped.
    pub async fn run(mut self, mut received: mpsc::Receiver<Received>) {
        let (mut batch, mut outcomes) = (Vec::with_capacity(BATCH_MAX), Vec::<Outcome<UnwrapError>>::new());
        while received.recv_many(&mut batch, BATCH_MAX).await > 0 {
            let mut packets: Vec<_> = batch.drain(..).map(|Received { packet, .. }| packet).collect();
            // Nothing is forwarded from here: mixes do that.
            self.engine.unwrap_batch(&mut packets, &mut outcomes, |_| Err(UnwrapError::BadRoutingFlag));
            let mut arrivals = Vec::with_capacity(packets.len());
            for (packet, outcome) in packets.iter().zip(&outcomes) {
                arrivals.extend(self.arrival(packet.size(), packet.packet(), outcome));
            }
            for arrival in arrivals {
                // While deliveries are slow, the mixes wait.
                if self.arrivals.send(arrival).await.is_err() {
                    return;
                }
            }
        }
    }

    fn arrival(&self, size: PacketSize, packet: &[u8], outcome: &Outcome<UnwrapError>) -> Option<Arrival> {
        let counter = match outcome {
            Outcome::Final { destination, replay_key, .. } => {
                if self.replays.insert(replay_key) {
                    match self.readable(*destination, size, &packet[HEADER_LEN..]) {
                        Some(arrival) => return Some(arrival),
                        None => &self.counters.malformed,
                    }
                } else {
                    &self.counters.replayed
                }
            }
            Outcome::Drop(UnwrapError::BadRoutingFlag) | Outcome::Forward { .. } => &self.counters.not_final,
            Outcome::Drop(_) => &self.counters.forged,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        None
    }

    fn readable(&self, client: crate::ClientId, size: PacketSize, payload: &[u8]) -> Option<Arrival> {
        let delivery = delivery(size, plaintext(payload)?).ok()?;
        let return_packet = delivery.return_packet.filter(|packet| (self.is_node)(packet.first_hop));
        Some(Arrival { client, content: delivery.message.to_vec(), return_packet })
    }
}

#[cfg(test)]
mod tests;
