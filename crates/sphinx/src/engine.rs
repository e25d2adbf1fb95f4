//! Removal of one Sphinx layer from a batch of packets, stage by stage over the whole batch.

use std::fmt;
use std::net::SocketAddr;
use std::ops::Deref;
use std::time::Duration;

use thiserror::Error;
use zeroize::Zeroizing;

use crate::header::{self, PaddedBeta, Slot};
use crate::key_schedule::{HopKeys, PayloadKey};
use crate::payload::{LANES, Layer, peel};
use crate::x25519::{Bytes32, multiply_clamped};
use crate::{BETA_LEN, HEADER_LEN, MIN_PACKET_LEN, SLOT_LEN};

/// The routing instructions in an authentic header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Onward {
    /// Length of the packet in bytes.
    pub packet_len: usize,
    /// The next hop, as the sender encoded it.
    pub next_hop: SocketAddr,
    /// The requested delay, 0 to 2^64 − 1 ns.
    pub delay: Duration,
    /// Equal for all copies of the packet, and different for every other packet.
    pub replay_key: [u8; 32],
}

/// The result for one packet of a batch. `R` is the caller's type of drop reasons, which includes [`UnwrapError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome<R> {
    /// The buffer now contains the packet for the next hop.
    Forward {
        /// The next hop, as the sender encoded it.
        next_hop: SocketAddr,
        /// The requested delay, 0 to 2^64 − 1 ns.
        delay: Duration,
    },
    /// This node is the last hop. The buffer has the received header, followed by the payload's innermost layer.
    Final {
        /// The client that the payload is for.
        destination: [u8; 32],
        /// The sender's identifier, such as that of a single-use reply block.
        identifier: [u8; 16],
    },
    /// The packet is dropped. The contents of its buffer are unspecified.
    Drop(R),
}

/// Why a packet cannot be unwrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum UnwrapError {
    /// Damaged, forged, made for another key, or too short to be a packet.
    #[error("the header's MAC does not match")]
    BadMac,
    /// The shared secret would be zero, which is public.
    #[error("the point α has low order")]
    LowOrderPoint,
    /// Neither "forward" nor "final".
    #[error("the routing flag is unknown")]
    BadRoutingFlag,
    /// Not in [`SphinxVersion`](crate::SphinxVersion).
    #[error("the Sphinx version is unknown")]
    BadVersion,
    /// Neither IPv4 nor IPv6.
    #[error("the type of the next hop's address is unknown")]
    BadAddress,
}

/// The stages of [`Engine::unwrap_batch`], in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// First multiplication of X25519.
    SharedSecrets,
    /// HKDF of the keys of this hop.
    KeySchedule,
    /// HMAC over β.
    Mac,
    /// Decryption of β, and this hop's slot in it.
    Header,
    /// The caller's decision.
    Admission,
    /// Second multiplication of X25519, and the header for the next hop.
    Blinding,
    /// One layer of LIONESS.
    Payload,
}

/// Unwraps packets made for one Sphinx key. Each worker has its own.
pub struct Engine {
    /// Shared between engines, because each copy could leak.
    private_key: Box<dyn Deref<Target = Bytes32> + Send + Sync>,
    /// Kept between batches, so that a batch allocates nothing.
    works: Vec<Work>,
}

/// Intermediate results for one packet. Secrets are wiped when they are dropped.
struct Work {
    keys: Option<HopKeys>,
    secret: Option<Zeroizing<Bytes32>>,
    beta: PaddedBeta,
    slot: Option<Slot>,
    payload_key: Option<PayloadKey>,
}

impl Work {
    const EMPTY: Self =
        Self { keys: None, secret: None, beta: [0; SLOT_LEN + BETA_LEN], slot: None, payload_key: None };
}

impl Engine {
    /// An engine for this private key.
    #[must_use]
    pub fn new(private_key: Bytes32) -> Self {
        Self::with_shared_key(Zeroizing::new(private_key))
    }

    /// An engine for a private key that other engines use as well.
    #[must_use]
    pub fn with_shared_key(private_key: impl Deref<Target = Bytes32> + Send + Sync + 'static) -> Self {
        Self { private_key: Box::new(private_key), works: Vec::new() }
    }

    /// Unwraps each packet in place and writes its outcome to the same index of `outcomes`.
    ///
    /// A packet is the bytes of a Sphinx packet without its frame header. `admit` decides about each packet that an
    /// authentic header sends on, in the order of the batch; a packet that it rejects is dropped for the reason that it
    /// returns.
    pub fn unwrap_batch<P: AsMut<[u8]>, R: From<UnwrapError>>(
        &mut self,
        packets: &mut [P],
        outcomes: &mut Vec<Outcome<R>>,
        admit: impl FnMut(&Onward) -> Result<(), R>,
    ) {
        self.unwrap_observed(packets, outcomes, admit, |_| ());
    }

    /// As [`unwrap_batch`](Self::unwrap_batch), and calls `observe` at the end of each stage: for benchmarks.
    pub fn unwrap_observed<P: AsMut<[u8]>, R: From<UnwrapError>>(
        &mut self,
        packets: &mut [P],
        outcomes: &mut Vec<Outcome<R>>,
        mut admit: impl FnMut(&Onward) -> Result<(), R>,
        mut observe: impl FnMut(Stage),
    ) {
        outcomes.clear();
        self.works.clear();
        self.works.resize_with(packets.len(), || Work::EMPTY);
        let mut batch = Batch { packets, works: &mut self.works, outcomes };
        batch.shared_secrets(&self.private_key);
        observe(Stage::SharedSecrets);
        batch.key_schedule();
        observe(Stage::KeySchedule);
        batch.macs();
        observe(Stage::Mac);
        batch.headers();
        observe(Stage::Header);
        batch.admission(&mut admit);
        observe(Stage::Admission);
        batch.blinding();
        observe(Stage::Blinding);
        batch.payloads();
        observe(Stage::Payload);
        self.works.clear();
    }
}

/// A batch in progress. Each stage processes the packets that are not dropped: those with `keys` or `secret`.
struct Batch<'a, P, R> {
    packets: &'a mut [P],
    works: &'a mut [Work],
    outcomes: &'a mut Vec<Outcome<R>>,
}

impl<P: AsMut<[u8]>, R: From<UnwrapError>> Batch<'_, P, R> {
    fn shared_secrets(&mut self, private_key: &Bytes32) {
        for (packet, work) in self.packets.iter_mut().zip(&mut *self.works) {
            let error = match header(packet.as_mut()) {
                None => UnwrapError::BadMac,
                Some(header) => {
                    work.secret = multiply_clamped(private_key, header::alpha(header));
                    UnwrapError::LowOrderPoint
                }
            };
            // A later stage replaces it.
            self.outcomes.push(Outcome::Drop(error.into()));
        }
    }

    fn key_schedule(&mut self) {
        for work in &mut *self.works {
            work.keys = work.secret.take().map(|secret| HopKeys::derive(&secret));
        }
    }

    fn macs(&mut self) {
        self.each(|header, work, keys| {
            let is_authentic = header::is_authentic(header, &keys);
            work.keys = is_authentic.then_some(keys);
            if is_authentic { Ok(()) } else { Err(UnwrapError::BadMac.into()) }
        });
    }

    fn headers(&mut self) {
        self.each(|header, work, keys| {
            work.beta = header::decrypt_beta(header, &keys);
            work.slot = Some(Slot::decode(&work.beta)?);
            work.keys = Some(keys);
            Ok(())
        });
    }

    fn admission(&mut self, admit: &mut impl FnMut(&Onward) -> Result<(), R>) {
        for ((packet, work), outcome) in self.packets.iter_mut().zip(&mut *self.works).zip(&mut *self.outcomes) {
            let (Some(slot), Some(keys)) = (&work.slot, &work.keys) else { continue };
            let packet = packet.as_mut();
            *outcome = match slot.hop {
                header::Hop::Final { destination, identifier } => Outcome::Final { destination, identifier },
                header::Hop::Forward { next_hop, delay } => {
                    let Some(replay_key) = header(packet).map(|header| header::replay_key(header, keys)) else {
                        continue;
                    };
                    let onward = Onward { packet_len: packet.len(), next_hop, delay, replay_key };
                    match admit(&onward) {
                        Ok(()) => Outcome::Forward { next_hop, delay },
                        Err(reason) => {
                            work.keys = None;
                            Outcome::Drop(reason)
                        }
                    }
                }
            };
        }
    }

    fn blinding(&mut self) {
        self.each(|header, work, keys| {
            let Some(slot) = &work.slot else { return Ok(()) };
            if matches!(slot.hop, header::Hop::Forward { .. }) {
                header::rewrite(header, &work.beta, slot.version, &keys)?;
            }
            work.payload_key = Some(keys.payload_key(slot.version));
            Ok(())
        });
    }

    fn payloads(&mut self) {
        for (packets, works) in self.packets.chunks_mut(LANES).zip(self.works.chunks_mut(LANES)) {
            let mut layers = packets.iter_mut().zip(works).filter_map(|(packet, work)| {
                let key = work.payload_key.take()?;
                Some(Layer { payload: packet.as_mut().split_at_mut(HEADER_LEN).1, key })
            });
            let mut side_by_side: [Option<Layer<'_>>; LANES] = std::array::from_fn(|_| layers.next());
            drop(layers);
            peel(&mut side_by_side);
        }
    }

    /// Runs one stage on every packet that has keys. The stage takes the keys and puts them back if they are needed
    /// again; a packet for which it fails is dropped.
    fn each(&mut self, mut stage: impl FnMut(&mut [u8; HEADER_LEN], &mut Work, HopKeys) -> Result<(), R>) {
        for ((packet, work), outcome) in self.packets.iter_mut().zip(&mut *self.works).zip(&mut *self.outcomes) {
            let (Some(keys), Some(header)) = (work.keys.take(), header(packet.as_mut())) else { continue };
            if let Err(reason) = stage(header, work, keys) {
                work.keys = None;
                *outcome = Outcome::Drop(reason);
            }
        }
    }
}

/// The header of a packet, unless the packet is too short to be one.
fn header(packet: &mut [u8]) -> Option<&mut [u8; HEADER_LEN]> {
    if packet.len() < MIN_PACKET_LEN { None } else { packet.first_chunk_mut() }
}

/// Prints nothing of the key.
impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}
