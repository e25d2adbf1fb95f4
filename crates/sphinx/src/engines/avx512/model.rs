//! The same instructions in plain Rust, and the lanes' code on them: for tests on any CPU.
//!
//! The instructions of the field's arithmetic panic where the CPU would lose a carry or a borrow, so each test also
//! checks the bounds that the code relies on.

#![allow(
    clippy::needless_range_loop,
    clippy::many_single_char_names,
    clippy::similar_names,
    clippy::large_stack_arrays,
    reason = "indexes are limbs or lanes of several arrays at once, names are those of the formulas, and a table of points \
              takes 20 KiB"
)]

use super::prelude::*;

macro_rules! vectorized {
    ($($function:item)*) => { $($function)* };
}

macro_rules! dispatch {
    ($call:expr) => {
        $call
    };
}

type Vector = [u64; 8];

type Mask = u8;

/// The model needs no units.
#[derive(Clone, Copy)]
pub(super) struct Units;

/// Written out, because Miri takes several times as long for a loop.
fn lanes(mut lane: impl FnMut(usize) -> u64) -> Vector {
    [lane(0), lane(1), lane(2), lane(3), lane(4), lane(5), lane(6), lane(7)]
}

fn mask(mut lane: impl FnMut(usize) -> bool) -> Mask {
    (0..8).fold(0, |mask, i| mask | Mask::from(lane(i)) << i)
}

fn load(words: &[u64; 8]) -> Vector {
    *words
}

fn store(vector: Vector, words: &mut [u64; 8]) {
    *words = vector;
}

fn load_bytes(bytes: &[u8; 64]) -> Vector {
    lanes(|i| u64::from_le_bytes(bytes.as_chunks().0[i]))
}

fn store_bytes(vector: Vector, bytes: &mut [u8; 64]) {
    for (bytes, lane) in bytes.as_chunks_mut().0.iter_mut().zip(vector) {
        *bytes = lane.to_le_bytes();
    }
}

fn splat(value: u64) -> Vector {
    [value; 8]
}

fn zero() -> Vector {
    splat(0)
}

fn add(a: Vector, b: Vector) -> Vector {
    lanes(|i| a[i].checked_add(b[i]).expect("a sum of at most 64 bits"))
}

fn sub(a: Vector, b: Vector) -> Vector {
    lanes(|i| a[i].checked_sub(b[i]).expect("a positive difference"))
}

fn add_wrapping(a: Vector, b: Vector) -> Vector {
    lanes(|i| a[i].wrapping_add(b[i]))
}

fn sub_wrapping(a: Vector, b: Vector) -> Vector {
    lanes(|i| a[i].wrapping_sub(b[i]))
}

fn and(a: Vector, b: Vector) -> Vector {
    lanes(|i| a[i] & b[i])
}

fn or(a: Vector, b: Vector) -> Vector {
    lanes(|i| a[i] | b[i])
}

fn xor(a: Vector, b: Vector) -> Vector {
    lanes(|i| a[i] ^ b[i])
}

fn shift_right<const BITS: u32>(a: Vector) -> Vector {
    lanes(|i| a[i] >> BITS)
}

fn shift_left<const BITS: u32>(a: Vector) -> Vector {
    lanes(|i| a[i] << BITS)
}

fn shift_right_each(a: Vector, counts: Vector) -> Vector {
    lanes(|i| u32::try_from(counts[i]).ok().and_then(|count| a[i].checked_shr(count)).unwrap_or(0))
}

fn add_low(sum: Vector, a: Vector, b: Vector) -> Vector {
    add(sum, lanes(|i| (a[i] & LIMB).wrapping_mul(b[i] & LIMB) & LIMB))
}

fn add_high(sum: Vector, a: Vector, b: Vector) -> Vector {
    let product = |i: usize| u128::from(a[i] & LIMB) * u128::from(b[i] & LIMB);
    add(sum, lanes(|i| u64::try_from(product(i) >> 52).expect("52 bits")))
}

fn select(mask: Mask, a: Vector, b: Vector) -> Vector {
    lanes(|i| if mask >> i & 1 == 1 { b[i] } else { a[i] })
}

fn subtract_from_where(mask: Mask, minuend: Vector, a: Vector) -> Vector {
    let minuend = select(mask, a, minuend);
    select(mask, a, sub(minuend, select(mask, zero(), a)))
}

fn any_bit(a: Vector, b: Vector) -> Mask {
    mask(|i| a[i] & b[i] != 0)
}

fn equal(a: Vector, b: Vector) -> Mask {
    mask(|i| a[i] == b[i])
}

fn look_up(low: Vector, index: Vector, high: Vector) -> Vector {
    lanes(|i| {
        let index = (index[i] & 15) as usize;
        if index < 8 { low[index] } else { high[index - 8] }
    })
}

fn interleave_even(a: Vector, b: Vector) -> Vector {
    [a[0], b[0], a[2], b[2], a[4], b[4], a[6], b[6]]
}

fn interleave_odd(a: Vector, b: Vector) -> Vector {
    [a[1], b[1], a[3], b[3], a[5], b[5], a[7], b[7]]
}

fn even_pairs(a: Vector, b: Vector) -> Vector {
    [a[0], a[1], a[4], a[5], b[0], b[1], b[4], b[5]]
}

fn odd_pairs(a: Vector, b: Vector) -> Vector {
    [a[2], a[3], a[6], a[7], b[2], b[3], b[6], b[7]]
}

fn rotate_right_64<const BITS: u32>(a: Vector) -> Vector {
    lanes(|i| a[i].rotate_right(BITS))
}

fn low(lane: u64) -> u32 {
    (lane & 0xffff_ffff) as u32
}

fn high(lane: u64) -> u32 {
    (lane >> 32) as u32
}

fn join(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

fn halves(a: Vector) -> [u32; 16] {
    std::array::from_fn(|i| if i % 2 == 0 { low(a[i / 2]) } else { high(a[i / 2]) })
}

fn lanes_32(mut lane: impl FnMut(usize) -> u32) -> Vector {
    lanes(|i| join(lane(2 * i), lane(2 * i + 1)))
}

fn splat_32(value: u32) -> Vector {
    splat(join(value, value))
}

fn add_32(a: Vector, b: Vector) -> Vector {
    lanes(|i| join(low(a[i]).wrapping_add(low(b[i])), high(a[i]).wrapping_add(high(b[i]))))
}

fn rotate_right_32<const BITS: u32>(a: Vector) -> Vector {
    lanes(|i| join(low(a[i]).rotate_right(BITS), high(a[i]).rotate_right(BITS)))
}

fn shift_right_32<const BITS: u32>(a: Vector) -> Vector {
    lanes(|i| join(low(a[i]) >> BITS, high(a[i]) >> BITS))
}

fn xor_3(a: Vector, b: Vector, c: Vector) -> Vector {
    xor(a, xor(b, c))
}

fn choose(bits: Vector, a: Vector, b: Vector) -> Vector {
    lanes(|i| bits[i] & a[i] | !bits[i] & b[i])
}

fn majority(a: Vector, b: Vector, c: Vector) -> Vector {
    lanes(|i| a[i] & b[i] | a[i] & c[i] | b[i] & c[i])
}

fn swap_bytes_32(a: Vector) -> Vector {
    let a = halves(a);
    lanes_32(|i| a[i].swap_bytes())
}

fn interleave_low_32(a: Vector, b: Vector) -> Vector {
    let (a, b) = (halves(a), halves(b));
    lanes_32(|i| [a, b][i % 2][i / 4 * 4 + i % 4 / 2])
}

fn interleave_high_32(a: Vector, b: Vector) -> Vector {
    let (a, b) = (halves(a), halves(b));
    lanes_32(|i| [a, b][i % 2][i / 4 * 4 + 2 + i % 4 / 2])
}

include!("field.rs");
include!("edwards.rs");
include!("comb.rs");
include!("batch.rs");
include!("sha256.rs");
include!("blake2b.rs");
include!("chacha20.rs");
include!("stages.rs");
