//! What valgrind sees of the engines' secrets. `tests/kit/constant_time.rs` runs these tests under it, built as in a
//! release: elsewhere they would show nothing, so they are ignored, and fail.

use std::hint::black_box;

use super::valgrind::{hide, is_running};
use crate::engines::{EngineChoice, EngineKind, Job, Jobs, Secret, Work};
use crate::header::Slot;
use crate::{MIN_PACKET_LEN, UnwrapError, public_key};

/// Vectors of the engines, and one packet beside them.
const PACKETS: usize = 9;

/// The private key, the products and all that is derived from them are secret; the packets are not.
///
/// The MAC is left out, because whether it is right is public, and so is the engine for AVX-512, which valgrind does not
/// run.
fn unwrap_secretly(kind: EngineKind) {
    let mut arithmetic = kind.arithmetic();
    let points: [_; PACKETS] = std::array::from_fn(|n| public_key(&[u8::try_from(n).unwrap() + 1; 32]));
    let mut key = [0x42; 32];
    hide(&mut key);
    let mut products: [_; PACKETS] = std::array::from_fn(|_| Err(UnwrapError::BadMac));
    arithmetic.curve.load(&points);
    arithmetic.curve.multiply_all(&key, &mut products);

    let slot = || Slot::decode(&slot_bytes()).ok();
    let mut packets = [[0x17; MIN_PACKET_LEN]; PACKETS];
    let mut works: [_; PACKETS] = std::array::from_fn(|_| Work { slot: slot(), ..Work::new() });
    for (work, product) in works.iter_mut().zip(products) {
        work.secret = product.unwrap();
    }
    let mut pairs = packets.iter_mut().zip(&mut works);
    let mut jobs: Jobs<'_> = std::array::from_fn(|_| pairs.next().map(|(packet, work)| Job { packet, work }));
    arithmetic.symmetric.key_schedule(&mut jobs);
    arithmetic.symmetric.headers(&mut jobs);
    arithmetic.symmetric.payload_keys(&mut jobs);
    arithmetic.symmetric.payloads(&mut jobs);

    let scalars: Vec<_> = works.iter().map(|work| Some(Secret::new(*work.keys.blinding()))).collect();
    let mut blinded = points;
    arithmetic.curve.multiply_each(&scalars, &mut blinded);
    black_box((packets, blinded));
}

/// A slot of version 260, which derives its payload key from a seed.
fn slot_bytes() -> crate::header::PaddedBeta {
    let mut bytes = [0; _];
    bytes[..4].copy_from_slice(&[2, 0, 1, 4]);
    bytes
}

#[test]
#[ignore = "needs valgrind"]
fn the_portable_engine_does_not_branch_on_secrets() {
    assert!(is_running());
    unwrap_secretly(EngineKind::PORTABLE);
}

#[test]
#[ignore = "needs valgrind"]
fn the_engine_for_avx2_does_not_branch_on_secrets() {
    assert!(is_running());
    unwrap_secretly(EngineChoice::Avx2.resolve().unwrap());
}

/// The control: valgrind must report it.
#[test]
#[ignore = "needs valgrind"]
fn a_branch_on_a_secret() {
    assert!(is_running());
    let mut secret = [0x42];
    hide(&mut secret);
    if black_box(secret[0]) & 1 == 1 {
        println!("odd");
    }
}

/// The control: valgrind must report it.
#[test]
#[ignore = "needs valgrind"]
fn an_address_from_a_secret() {
    assert!(is_running());
    let (table, mut secret) = ([7u8; 256], [0x42]);
    hide(&mut secret);
    black_box(black_box(&table)[usize::from(black_box(secret[0]))]);
}
