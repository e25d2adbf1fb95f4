//! The model of the engine for AVX-512 without the C library, so that Miri can run it (`make miri`).

use std::array::from_fn;

use curve25519_dalek::MontgomeryPoint;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::engines::{Job, Jobs, LANES, Work, avx512};
use crate::key_schedule::HopKeys;
use crate::x25519::Bytes32;
use crate::{MIN_PACKET_LEN, UnwrapError};

#[test]
fn the_model_of_avx512_multiplies_as_dalek() {
    let mut rng = StdRng::seed_from_u64(6);
    let points: [_; 2] = from_fn(|_| MontgomeryPoint::mul_base_clamped(rng.random()).to_bytes());
    let key: Bytes32 = rng.random();
    let mut products: [_; 2] = from_fn(|_| Err(UnwrapError::BadMac));
    let mut curve = avx512::model().curve;
    curve.load(&points);
    curve.multiply_all(&key, &mut products);
    for (point, product) in points.iter().zip(products) {
        assert_eq!(*product.unwrap(), MontgomeryPoint(*point).mul_clamped(key).to_bytes());
    }
}

#[test]
fn the_model_of_avx512_derives_the_keys_that_hkdf_derives() {
    let mut rng = StdRng::seed_from_u64(7);
    let mut packets = [[0; MIN_PACKET_LEN]; LANES];
    let mut works: [_; LANES] = from_fn(|_| Work::new());
    for work in &mut works {
        *work.secret = rng.random();
    }
    let mut pairs = packets.iter_mut().zip(&mut works);
    let mut jobs: Jobs<'_> = from_fn(|_| pairs.next().map(|(packet, work)| Job { packet, work }));
    avx512::model().symmetric.key_schedule(&mut jobs);
    for work in &works {
        let expected = HopKeys::derive(&work.secret);
        assert_eq!(work.keys.stream_key(), expected.stream_key());
        assert_eq!(work.keys.mac_key(), expected.mac_key());
        assert_eq!(work.keys.blinding(), expected.blinding());
        assert_eq!(work.keys.replay_tag(), expected.replay_tag());
    }
}
