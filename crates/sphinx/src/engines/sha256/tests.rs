//! SHA-256 against the sha2 crate.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sha2::{Digest, Sha256 as Reference};

use super::{INITIAL_STATE, Sha256, digest, last_block};

impl Sha256 {
    /// This CPU's instructions and the library that is used without them.
    pub(in crate::engines) fn all() -> [Self; 2] {
        let library = Self {
            #[cfg(target_arch = "x86_64")]
            units: None,
        };
        [Self::detect(), library]
    }
}

fn compare<const N: usize>(rng: &mut StdRng) {
    for sha256 in Sha256::all() {
        // Longer rests need another block.
        for len in (0..=250).filter(|len| len % 64 <= 55) {
            let messages: [Vec<u8>; N] = std::array::from_fn(|_| (0..len).map(|_| rng.random()).collect());
            let mut states = [INITIAL_STATE; N];
            let whole = len / 64;
            for number in 0..whole {
                sha256.compress(&mut states, &messages.each_ref().map(|message| &message.as_chunks().0[number]));
            }
            let last = messages.each_ref().map(|message| last_block(&message[64 * whole..], len));
            sha256.compress(&mut states, &last.each_ref());
            for (state, message) in states.iter().zip(&messages) {
                assert_eq!(digest(state), Reference::digest(message)[..], "{message:02x?}");
            }
        }
    }
}

#[test]
fn hashes_side_by_side_are_those_of_the_messages() {
    let mut rng = StdRng::seed_from_u64(5);
    compare::<1>(&mut rng);
    compare::<2>(&mut rng);
    compare::<4>(&mut rng);
}
