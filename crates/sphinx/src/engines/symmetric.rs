//! The hashes and ciphers of a batch of packets.

use crate::engines::Secret;
use crate::header::{PaddedBeta, Slot};
use crate::key_schedule::{HopKeys, PayloadKey};
use crate::x25519::Bytes32;
use crate::{BETA_LEN, SLOT_LEN};

/// Packets of one call: lanes of 32 bits in the widest vectors.
pub(crate) const LANES: usize = 16;

/// A packet, which is at least [`MIN_PACKET_LEN`](crate::MIN_PACKET_LEN) long, and its intermediate results.
pub(crate) struct Job<'a> {
    pub packet: &'a mut [u8],
    pub work: &'a mut Work,
}

/// Up to [`LANES`] packets, from the first element on.
pub(crate) type Jobs<'a> = [Option<Job<'a>>; LANES];

/// Intermediate results for one packet. Secrets are wiped when they are dropped.
pub(crate) struct Work {
    /// The packet is not dropped.
    pub is_live: bool,
    pub secret: Secret,
    pub keys: HopKeys,
    pub beta: PaddedBeta,
    pub slot: Option<Slot>,
    pub replay_key: Bytes32,
    pub payload_key: PayloadKey,
}

impl Work {
    pub(crate) fn new() -> Self {
        Self {
            is_live: false,
            secret: Secret::default(),
            keys: HopKeys::empty(),
            beta: [0; SLOT_LEN + BETA_LEN],
            slot: None,
            replay_key: [0; 32],
            payload_key: PayloadKey::new([0; crate::key_schedule::PAYLOAD_KEY_LEN]),
        }
    }

    /// Whether the version in `slot` derives the payload key from a seed.
    pub(crate) fn has_payload_key_seed(&self) -> bool {
        self.slot.as_ref().is_some_and(|slot| slot.version.seeds_payload_key())
    }
}

/// One function for each stage; each works on all jobs.
pub(crate) trait Symmetric: Send {
    /// Expands `secret` to `keys`.
    fn key_schedule(&self, jobs: &mut Jobs<'_>);

    /// Sets `is_live` to whether the MAC over β is right, and `replay_key`. Compares in constant time.
    fn macs(&self, jobs: &mut Jobs<'_>);

    /// Decrypts the packet's β and 60 zero bytes into `beta`.
    fn headers(&self, jobs: &mut Jobs<'_>);

    /// Makes `payload_key` of `keys`, as the version in `slot` requires.
    fn payload_keys(&self, jobs: &mut Jobs<'_>);

    /// Removes one layer of encryption from each payload, with `payload_key`.
    fn payloads(&self, jobs: &mut Jobs<'_>);
}
