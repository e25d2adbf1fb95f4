//! Known-answer test that runs at every start: a node with wrong cryptography must not mix.
//!
//! One packet is an acknowledgement from the test vectors of 0.9.2; the other is a regular packet of version 260, and
//! what the sphinx-packet crate makes of it.

use thiserror::Error;
use zeroize::Zeroizing;

use crate::{Engine, EngineKind, Outcome, UnwrapError};

const KEY: &[u8; 32] = include_bytes!("self_check/key.bin");
const ACK: &[u8; 386] = include_bytes!("self_check/before.bin");
const FORWARDED_ACK: &[u8; 386] = include_bytes!("self_check/after.bin");
const REGULAR: &[u8; 2413] = include_bytes!("self_check/regular_before.bin");
const FORWARDED_REGULAR: &[u8; 2413] = include_bytes!("self_check/regular_after.bin");

/// The engine's result differs from the known answer.
#[derive(Debug, Error)]
#[error("the self-check of the cryptography failed: this build does not unwrap Sphinx packets correctly on this CPU")]
pub struct SelfCheckError;

/// Packets per batch. Together these run all code paths: an engine unwraps one packet and a few otherwise than as many as a
/// worker takes at once.
const BATCHES: [usize; 3] = [1, 2, 32];

/// Unwraps batches of copies of known packets.
///
/// # Errors
/// When a result differs from the known answer.
pub fn self_check(kind: EngineKind) -> Result<(), SelfCheckError> {
    let mut engine = Engine::of_kind(kind, Zeroizing::new(*KEY));
    if BATCHES.into_iter().all(|len| unwraps_correctly(&mut engine, len)) { Ok(()) } else { Err(SelfCheckError) }
}

/// Whether the results for a batch of known packets are the known ones.
fn unwraps_correctly(engine: &mut Engine, len: usize) -> bool {
    let known: [(&[u8], &[u8]); 2] = [(REGULAR, FORWARDED_REGULAR), (ACK, FORWARDED_ACK)];
    let known = || known.iter().cycle().take(len);
    let mut batch: Vec<_> = known().map(|(before, _)| before.to_vec()).collect();
    let mut outcomes = Vec::<Outcome<UnwrapError>>::new();
    engine.unwrap_batch(&mut batch, &mut outcomes, |_| Ok(()));
    let forwards = outcomes.iter().all(|outcome| matches!(outcome, Outcome::Forward { .. }));
    forwards && outcomes.len() == len && batch.iter().zip(known()).all(|(packet, (_, after))| packet == after)
}

#[cfg(test)]
mod tests {
    use sphinx_packet::crypto::PrivateKey;
    use sphinx_packet::{ProcessedPacketData, SphinxPacket};

    use super::*;

    #[test]
    fn the_self_check_passes_with_every_engine() {
        for kind in EngineKind::all_and_models() {
            assert!(self_check(kind).is_ok(), "{kind}");
        }
    }

    #[test]
    fn the_known_answer_for_a_regular_packet_is_that_of_the_crate() {
        let processed = SphinxPacket::from_bytes(REGULAR).unwrap().process(&PrivateKey::from(*KEY)).unwrap();
        let ProcessedPacketData::ForwardHop { next_hop_packet, .. } = processed.data else { panic!("a last hop") };
        assert!(next_hop_packet.to_bytes() == FORWARDED_REGULAR);
    }
}
