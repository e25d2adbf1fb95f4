//! Scalars as digits of the signed comb.
//!
//! A scalar of X25519 is 8·m with 2²⁵¹ ≤ m < 2²⁵². The comb multiplies 8·P, whose order is ℓ or 1, by m or by ℓ − m,
//! which gives the same u-coordinate, and of which one is odd. An odd number has 255 digits of ±1 to the base of 2.
//! Digits 51 apart form one column: an entry of the table, or its negative.

use subtle::ConditionallySelectable;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::element::{LANES, PerLane, words_of};
use crate::x25519::Bytes32;

pub(super) const TEETH: usize = 5;
pub(super) const SPACING: usize = 51;
/// The highest tooth is positive in each entry.
pub(super) const TABLE_LEN: usize = 1 << (TEETH - 1);

/// ℓ, the order of the base point.
const ORDER: [u64; 4] = [0x5812_631a_5cf5_d3ed, 0x14de_f9de_a2f7_9cd6, 0, 0x1000_0000_0000_0000];

/// Four scalars. Column n counts 2ⁿ.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Digits {
    /// Bit j of an index is set where tooth j has the sign of the highest tooth.
    pub index: [PerLane; SPACING],
    /// All ones where the highest tooth is negative.
    pub is_negative: [PerLane; SPACING],
}

impl Digits {
    /// The digits of clamped scalars, in constant time.
    pub(super) fn of(scalars: [&Bytes32; LANES]) -> Self {
        let mut digits = Self { index: [PerLane([0; LANES]); SPACING], is_negative: [PerLane([0; LANES]); SPACING] };
        let mut multipliers = [PerLane([0; LANES]); 4];
        for (lane, scalar) in scalars.into_iter().enumerate() {
            for (words, word) in multipliers.iter_mut().zip(*odd_multiplier(scalar)) {
                words.0[lane] = word;
            }
        }
        for (column, (index, is_negative)) in digits.index.iter_mut().zip(&mut digits.is_negative).enumerate() {
            let highest = are_positive(&multipliers, column + SPACING * (TEETH - 1));
            for tooth in 0..TEETH - 1 {
                let signs = are_positive(&multipliers, column + SPACING * tooth);
                for lane in 0..LANES {
                    index.0[lane] |= (1 ^ signs[lane] ^ highest[lane]) << tooth;
                }
            }
            is_negative.0 = highest.map(|sign| sign.wrapping_sub(1));
        }
        multipliers.zeroize();
        digits
    }
}

impl Zeroize for PerLane {
    fn zeroize(&mut self) {
        // At once: the implementation for arrays wipes one number after the other.
        self.0.as_mut_slice().zeroize();
    }
}

/// One for each lane where digit n of the odd number is 1, zero where it is −1.
///
/// The digits of k are those bits of (k − 1)/2 + 2²⁵⁴.
fn are_positive(odd: &[PerLane; 4], n: usize) -> [u64; LANES] {
    if n == SPACING * TEETH - 1 { [1; LANES] } else { odd[(n + 1) / 64].0.map(|word| word >> ((n + 1) % 64) & 1) }
}

/// The odd one of m and ℓ − m, where the clamped scalar is 8·m.
fn odd_multiplier(scalar: &Bytes32) -> Zeroizing<[u64; 4]> {
    let mut clamped = Zeroizing::new(words_of(scalar));
    clamped[0] &= !7;
    clamped[3] = clamped[3] & !(1 << 63) | 1 << 62;
    let mut multiplier = Zeroizing::new([0; 4]);
    for n in 0..4 {
        let next = clamped.get(n + 1).copied().unwrap_or(0);
        multiplier[n] = clamped[n] >> 3 | next << 61;
    }
    let mut negative = Zeroizing::new([0; 4]);
    let mut borrow = 0;
    for n in 0..4 {
        let (word, below) = ORDER[n].overflowing_sub(multiplier[n]);
        let (word, below_again) = word.overflowing_sub(borrow);
        negative[n] = word;
        borrow = u64::from(below | below_again);
    }
    let is_even = subtle::Choice::from(u8::from(multiplier[0] & 1 == 0));
    for (word, negative) in multiplier.iter_mut().zip(negative.iter()) {
        word.conditional_assign(negative, is_even);
    }
    multiplier
}
