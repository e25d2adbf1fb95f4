//! A known answer at every start: a node whose cryptography gives wrong bytes must not mix.
//!
//! The packet and its key are test data, an acknowledgement from the 0.9.2 vectors.

use thiserror::Error;

use crate::{Engine, Outcome, UnwrapError};

const KEY: &[u8; 32] = include_bytes!("self_check/key.bin");
const PACKET: &[u8; 386] = include_bytes!("self_check/before.bin");
const FORWARDED: &[u8; 386] = include_bytes!("self_check/after.bin");

/// The engine does not give the known answer.
#[derive(Debug, Error)]
#[error("the self-check of the cryptography failed: this build does not unwrap Sphinx packets correctly on this CPU")]
pub struct SelfCheckError;

/// Packets of a batch: as many as a worker unwraps at once, so that every engine runs as it will.
const BATCH: usize = 32;

/// Unwraps a batch of copies of a known packet.
///
/// # Errors
/// When a result is not the known one.
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
