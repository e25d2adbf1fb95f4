//! How many packets of others a packet of this client mixes with, estimated from public totals of an hour.
//!
//! The estimate uses configured delays and published totals, never what this client sees of its own packets.

use std::fmt;
use std::time::Duration;

use nym_mixnode_api::LayerTotals;

use crate::network::{LAYERS, Network};

/// A packet among fewer packets of others is easy to follow through a mix.
const OTHERS_MIN: f64 = 10.0;

/// What a client sends, on average.
#[derive(Debug, Clone, Copy)]
pub struct OwnTraffic {
    pub packet_delay: Duration,
    pub sending: Duration,
    pub cover: Duration,
}

/// The packets of one layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayerCrowd {
    /// From 1.
    pub layer: usize,
    /// Active mixes that this client can use.
    pub mixes: usize,
    /// Packets of others that pass a mix during the mean delay of a packet of this client. `None` without a total.
    pub others: Option<f64>,
}

/// Why a layer hides little.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Thin {
    /// No packet passes.
    NoMix { layer: usize },
    /// Its operator sees where all packets come from and go to.
    OneMix { layer: usize },
    /// The registry has no total.
    Unknown { layer: usize },
    /// Too little traffic.
    Few { layer: usize, others: f64 },
}

impl fmt::Display for Thin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMix { layer } => write!(f, "layer {layer} has no active mix, so that no packet passes"),
            Self::OneMix { layer } => {
                write!(f, "layer {layer} has a single active mix, whose operator sees the way of every packet there")
            }
            Self::Unknown { layer } => {
                write!(
                    f,
                    "the registry has no total of layer {layer} for the last complete hour, so that nothing is known"
                )
            }
            Self::Few { layer, others } => write!(
                f,
                "a packet of this client mixes with about {others:.1} packets of others in layer {layer}; fewer than \
                 {OTHERS_MIN:.0} hide nothing"
            ),
        }
    }
}

impl OwnTraffic {
    /// Packets per second that each layer gets from this client: each packet, and its acknowledgement.
    fn per_second(&self) -> f64 {
        2.0 * (1.0 / self.sending.as_secs_f64() + 1.0 / self.cover.as_secs_f64())
    }

    /// Estimates each layer. Of the totals, those of the latest hour count.
    #[must_use]
    pub fn crowds(&self, network: &Network, totals: &[LayerTotals]) -> [LayerCrowd; LAYERS] {
        let latest = totals.iter().map(|total| total.at).max();
        let mixes = network.mixes();
        std::array::from_fn(|index| {
            let layer = index + 1;
            let of_layer = |total: &&LayerTotals| Some(total.at) == latest && usize::try_from(total.layer) == Ok(layer);
            let packets = totals.iter().find(of_layer).map(|total| total.packets);
            LayerCrowd { layer, mixes: mixes[index], others: packets.map(|packets| self.others(packets, mixes[index])) }
        })
    }

    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    fn others(&self, packets_per_hour: u64, mixes: usize) -> f64 {
        // This client may have run for the whole hour.
        let per_second = (packets_per_hour as f64 / 3600.0 - self.per_second()).max(0.0);
        per_second / mixes.max(1) as f64 * self.packet_delay.as_secs_f64()
    }
}

impl LayerCrowd {
    /// Why this layer hides little; nothing if it hides a packet.
    #[must_use]
    pub fn thin(&self) -> Vec<Thin> {
        let layer = self.layer;
        let mixes = match self.mixes {
            0 => return vec![Thin::NoMix { layer }],
            1 => Some(Thin::OneMix { layer }),
            _ => None,
        };
        let traffic = match self.others {
            None => Some(Thin::Unknown { layer }),
            Some(others) if others < OTHERS_MIN => Some(Thin::Few { layer, others }),
            Some(_) => None,
        };
        mixes.into_iter().chain(traffic).collect()
    }
}

#[cfg(test)]
mod tests;
