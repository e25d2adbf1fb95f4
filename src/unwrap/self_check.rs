//! A known answer at every start: a node whose cryptography gives wrong bytes must not mix.
//!
//! The packet and its key are test data, an acknowledgement from the 0.9.2 vectors.

use thiserror::Error;

use super::{Engine, Outcome};

const KEY: &[u8; 32] = include_bytes!("self_check/key.bin");
const PACKET: &[u8; 386] = include_bytes!("self_check/before.bin");
const FORWARDED: &[u8; 386] = include_bytes!("self_check/after.bin");

/// The engine does not give the known answer.
#[derive(Debug, Error)]
#[error("the self-check of the cryptography failed: this build does not unwrap Sphinx packets correctly on this CPU")]
pub struct SelfCheckError;

/// Unwraps a known packet.
///
/// # Errors
/// When the result is not the known one.
pub fn self_check() -> Result<(), SelfCheckError> {
    let (mut batch, mut outcomes) = ([*PACKET], Vec::with_capacity(1));
    Engine::new(KEY).unwrap_batch(&mut batch, &mut outcomes);
    let forwards = matches!(outcomes[..], [Outcome::Forward { .. }]);
    if forwards && batch[0] == *FORWARDED { Ok(()) } else { Err(SelfCheckError) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_self_check_passes() {
        super::self_check().unwrap();
    }
}
