//! The engine: a batch of packets in, an outcome for each.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::header::{self, Opened};
use super::key_schedule::PayloadKey;
use super::payload::{LANES, Layer, peel};
use super::{Onward, Outcome, ReplayFilter};
use crate::packet::{DropReason, HEADER_LEN, MIN_PACKET_LEN};

/// Unwraps packets made for one Sphinx key. Each worker has its own; they share the replay filter.
pub struct Engine {
    /// Shared with the other engines of a node: each copy would be one more that can leak.
    private_key: Box<dyn Deref<Target = [u8; 32]> + Send + Sync>,
    replay: Option<Arc<ReplayFilter>>,
}

impl Engine {
    /// An engine that unwraps every copy of a packet alike.
    #[must_use]
    pub fn new(private_key: &[u8; 32]) -> Self {
        Self { private_key: Box::new(Zeroizing::new(*private_key)), replay: None }
    }

    /// An engine that drops what the filter has seen before.
    #[must_use]
    pub fn with_replay_filter(
        private_key: impl Deref<Target = [u8; 32]> + Send + Sync + 'static,
        filter: Arc<ReplayFilter>,
    ) -> Self {
        Self { private_key: Box::new(private_key), replay: Some(filter) }
    }

    /// Unwraps each packet in place and writes its outcome to the same place of `outcomes`.
    ///
    /// A packet is the bytes of a Sphinx packet without its frame header. One that is too short to be a packet has a
    /// bad MAC by definition.
    pub fn unwrap_batch<P: AsMut<[u8]>>(&self, packets: &mut [P], outcomes: &mut Vec<Outcome>) {
        self.unwrap_admitted(packets, outcomes, |_| Ok(()));
    }

    /// The same under the rules of a node: `admit` decides about each packet that an authentic header sends on. What it
    /// refuses is dropped for the reason that it gives, and takes no place in the replay filter.
    pub fn unwrap_admitted<P: AsMut<[u8]>>(
        &self,
        packets: &mut [P],
        outcomes: &mut Vec<Outcome>,
        admit: impl Fn(Onward) -> Result<(), DropReason>,
    ) {
        outcomes.clear();
        for group in packets.chunks_mut(LANES) {
            self.unwrap_group(group, outcomes, &admit);
        }
    }

    fn unwrap_group<P: AsMut<[u8]>>(
        &self,
        group: &mut [P],
        outcomes: &mut Vec<Outcome>,
        admit: &impl Fn(Onward) -> Result<(), DropReason>,
    ) {
        let mut keys: [Option<PayloadKey>; LANES] = Default::default();
        for (packet, key) in group.iter_mut().zip(&mut keys) {
            outcomes.push(match self.open(packet.as_mut(), admit) {
                Ok(opened) => {
                    *key = Some(opened.payload_key);
                    opened.outcome
                }
                Err(reason) => Outcome::Drop(reason),
            });
        }
        let mut layers = group.iter_mut().zip(keys).filter_map(|(packet, key)| {
            key.map(|key| Layer { payload: packet.as_mut().split_at_mut(HEADER_LEN).1, key })
        });
        let mut side_by_side: [Option<Layer<'_>>; LANES] = std::array::from_fn(|_| layers.next());
        drop(layers);
        peel(&mut side_by_side);
    }

    fn open(&self, packet: &mut [u8], admit: &impl Fn(Onward) -> Result<(), DropReason>) -> Result<Opened, DropReason> {
        let packet_len = packet.len();
        if packet_len < MIN_PACKET_LEN {
            return Err(DropReason::BadMac);
        }
        let header = packet.first_chunk_mut::<HEADER_LEN>().ok_or(DropReason::BadMac)?;
        header::open(header, packet_len, &self.private_key, admit, self.replay.as_deref())
    }
}

/// Says nothing of the key.
impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}
