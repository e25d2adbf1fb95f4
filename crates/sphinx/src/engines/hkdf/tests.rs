//! HMAC and HKDF against the crates of these names.

use std::array::from_fn;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{expand, expansion_messages, extract, hmac, hmac_keys};
use crate::engines::sha256::{Sha256, last_block, padded};

/// With `info` of this length.
fn compare_expansions<const N: usize>(rng: &mut StdRng, info_len: usize) {
    for sha256 in Sha256::all() {
        let salt: [u8; 20] = rng.random();
        let secrets: [[u8; 32]; N] = from_fn(|_| rng.random());
        let info: Vec<u8> = (0..info_len).map(|_| rng.random()).collect();
        let mut found = [[0; 160]; N];
        let keys = extract(sha256, &hmac_keys(sha256, &[&padded(&salt)]), &secrets.each_ref());
        expand(sha256, &keys, &expansion_messages(&info, 160), |lane, at, bytes| {
            found[lane][at..][..32].copy_from_slice(bytes);
        });
        for (secret, found) in secrets.iter().zip(found) {
            let mut expected = [0; 160];
            Hkdf::<sha2::Sha256>::new(Some(&salt), secret).expand(&info, &mut expected).unwrap();
            assert_eq!(found, expected, "{N} lanes, {info_len} bytes");
        }
    }
}

#[test]
fn expanded_secrets_are_those_of_the_reference() {
    let mut rng = StdRng::seed_from_u64(6);
    for info_len in 0..=150 {
        compare_expansions::<1>(&mut rng, info_len);
        compare_expansions::<2>(&mut rng, info_len);
        compare_expansions::<4>(&mut rng, info_len);
    }
}

#[test]
fn macs_are_those_of_the_reference() {
    let mut rng = StdRng::seed_from_u64(7);
    for sha256 in Sha256::all() {
        let keys: [[u8; 16]; 4] = from_fn(|_| rng.random());
        let messages: [[u8; 100]; 4] = from_fn(|_| from_fn(|_| rng.random()));
        let first = messages.each_ref().map(|message| message.first_chunk().unwrap());
        let last = messages.each_ref().map(|message| last_block(&message[64..], 64 + 100));
        let prepared = hmac_keys(sha256, &keys.map(|key| padded(&key)).each_ref());
        let found = hmac(sha256, &prepared, [first, last.each_ref()].into_iter());
        for ((key, message), found) in keys.iter().zip(&messages).zip(found) {
            let mut expected = Hmac::<sha2::Sha256>::new_from_slice(key).unwrap();
            expected.update(message);
            assert_eq!(found, expected.finalize().into_bytes()[..]);
        }
    }
}
