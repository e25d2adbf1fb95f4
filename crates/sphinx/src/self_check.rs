//! Known-answer test that runs at every start: a node with wrong cryptography must not mix.
//!
//! The packet is an acknowledgement from the test vectors of 0.9.2.

use thiserror::Error;

use crate::{Engine, Outcome, UnwrapError};

const KEY: &[u8; 32] = include_bytes!("self_check/key.bin");
const PACKET: &[u8; 386] = include_bytes!("self_check/before.bin");
const FORWARDED: &[u8; 386] = include_bytes!("self_check/after.bin");

/// The engine's result differs from the known answer.
#[derive(Debug, Error)]
#[error("the self-check of the cryptography failed: this build does not unwrap Sphinx packets correctly on this CPU")]
pub struct SelfCheckError;

/// Packets per batch: as many as a worker unwraps at once, so that the check runs the same code paths.
const BATCH: usize = 32;

/// Unwraps a batch of copies of a known packet.
///
/// # Errors
/// When a result differs from the known answer.
pub fn self_check() -> Result<(), SelfCheckError> {
    let (mut batch, mut outcomes) = (vec![*PACKET; BATCH], Vec::<Outcome<UnwrapError>>::new());
    Engine::new(*KEY).unwrap_batch(&mut batch, &mut outcomes, |_| Ok(()));
    let forwards = outcomes.iter().all(|outcome| matches!(outcome, Outcome::Forward { .. }));
    let is_right = forwards && outcomes.len() == BATCH && batch.iter().all(|packet| packet == FORWARDED);
    if is_right { Ok(()) } else { Err(SelfCheckError) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_self_check_passes() {
        super::self_check().unwrap();
    }
}
