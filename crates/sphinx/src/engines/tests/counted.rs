//! The work whose instructions `benches/instructions` counts with callgrind, a tool of valgrind. Elsewhere these tests
//! would show nothing, so they are ignored, and fail.

use std::array::from_fn;

use super::valgrind::{is_running, toggle_counting};
use crate::engines::EngineKind;
use crate::{Engine, Outcome, UnwrapError};

/// Counts one batch, after another one in which libraries look for the CPU's features.
fn unwrap_regular_packets<const COUNT: usize>() {
    assert!(is_running());
    let key = include_bytes!("../../self_check/key.bin");
    let packet = include_bytes!("../../self_check/regular_before.bin");
    let mut engine = Engine::of_kind(EngineKind::PORTABLE, Box::new(*key));
    let mut outcomes = Vec::<Outcome<UnwrapError>>::with_capacity(COUNT);
    for is_counted in [false, true] {
        let mut packets: [_; COUNT] = from_fn(|_| packet.to_vec());
        if is_counted {
            toggle_counting();
        }
        engine.unwrap_batch(&mut packets, &mut outcomes, |_| Ok(()));
        if is_counted {
            toggle_counting();
        }
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Forward { .. })));
        assert_eq!(outcomes.len(), COUNT);
    }
}

#[test]
#[ignore = "needs callgrind"]
fn batch_of_1() {
    unwrap_regular_packets::<1>();
}

#[test]
#[ignore = "needs callgrind"]
fn batch_of_8() {
    unwrap_regular_packets::<8>();
}

#[test]
#[ignore = "needs callgrind"]
fn batch_of_32() {
    unwrap_regular_packets::<32>();
}
