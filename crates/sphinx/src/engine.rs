//! Removal of one Sphinx layer from a batch of packets, stage by stage over the whole batch.

mod batch;

use std::fmt;
use std::net::SocketAddr;
use std::ops::Deref;
use std::time::Duration;

use thiserror::Error;
use zeroize::Zeroizing;

use crate::engines::{Arithmetic, EngineKind};
use crate::x25519::Bytes32;
use batch::{Batch, Memory};

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
        /// Equal for all copies of the packet, and different for every other packet.
        replay_key: [u8; 32],
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
    arithmetic: Arithmetic,
    memory: Memory,
}

impl Engine {
    /// A portable engine for this private key.
    #[must_use]
    pub fn new(private_key: Bytes32) -> Self {
        Self::of_kind(EngineKind::PORTABLE, Zeroizing::new(private_key))
    }

    /// A portable engine for a private key that other engines use as well.
    #[must_use]
    pub fn with_shared_key(private_key: impl Deref<Target = Bytes32> + Send + Sync + 'static) -> Self {
        Self::of_kind(EngineKind::PORTABLE, private_key)
    }

    /// An engine of this kind, for a private key that other engines may use as well.
    #[must_use]
    pub fn of_kind(kind: EngineKind, private_key: impl Deref<Target = Bytes32> + Send + Sync + 'static) -> Self {
        Self { private_key: Box::new(private_key), arithmetic: kind.arithmetic(), memory: Memory::default() }
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
        self.run(packets, outcomes, |_| (), admit, |_| ());
    }

    /// As [`unwrap_batch`](Self::unwrap_batch), and first passes the replay keys of all packets that `admit` will be
    /// asked about to `foresee`, which can load what `admit` needs for all of them at once.
    pub fn unwrap_foreseen<P: AsMut<[u8]>, R: From<UnwrapError>>(
        &mut self,
        packets: &mut [P],
        outcomes: &mut Vec<Outcome<R>>,
        foresee: impl FnOnce(&mut dyn Iterator<Item = &[u8; 32]>),
        admit: impl FnMut(&Onward) -> Result<(), R>,
    ) {
        self.run(packets, outcomes, foresee, admit, |_| ());
    }

    /// As [`unwrap_batch`](Self::unwrap_batch), and calls `observe` at the end of each stage: for benchmarks.
    pub fn unwrap_observed<P: AsMut<[u8]>, R: From<UnwrapError>>(
        &mut self,
        packets: &mut [P],
        outcomes: &mut Vec<Outcome<R>>,
        admit: impl FnMut(&Onward) -> Result<(), R>,
        observe: impl FnMut(Stage),
    ) {
        self.run(packets, outcomes, |_| (), admit, observe);
    }

    fn run<P: AsMut<[u8]>, R: From<UnwrapError>>(
        &mut self,
        packets: &mut [P],
        outcomes: &mut Vec<Outcome<R>>,
        foresee: impl FnOnce(&mut dyn Iterator<Item = &[u8; 32]>),
        mut admit: impl FnMut(&Onward) -> Result<(), R>,
        mut observe: impl FnMut(Stage),
    ) {
        outcomes.clear();
        let mut batch = Batch::new(packets, &mut self.memory, outcomes, &mut self.arithmetic);
        batch.shared_secrets(&self.private_key);
        observe(Stage::SharedSecrets);
        batch.key_schedule();
        observe(Stage::KeySchedule);
        batch.macs();
        observe(Stage::Mac);
        batch.headers();
        observe(Stage::Header);
        foresee(&mut batch.candidates());
        batch.admission(&mut admit);
        observe(Stage::Admission);
        batch.blinding();
        observe(Stage::Blinding);
        batch.payloads();
        observe(Stage::Payload);
        self.memory.wipe();
    }
}

/// Prints nothing of the key.
impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}
