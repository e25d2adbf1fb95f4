//! Four elements of GF(2²⁵⁵ − 19) side by side: five signed limbs of 51 bits, in double precision.
//!
//! An element is *carried* when each limb is an integer of at most [`MAX_LIMB`] in absolute value. All arithmetic
//! expects carried elements and returns them; between a product and its carry the limbs are integers ([`Raw`]).

use zeroize::{Zeroize, Zeroizing};

use crate::engines::inverse::invert_all;
use crate::x25519::Bytes32;

/// Elements per vector.
pub(super) const LANES: usize = 4;
pub(super) const LIMBS: usize = 5;
pub(super) const LIMB_BITS: u32 = 51;
const LIMB_MASK: u64 = (1 << LIMB_BITS) - 1;

/// Above this, twice a product of two limbs is not below 2¹⁰², and products are no longer split exactly.
///
/// 2⁵⁰ + 19 · 2¹⁰: a carry rounds to 2⁵⁰ and adds at most 2¹⁰ from the limb below, or 19 times that from the last limb.
pub(super) const MAX_LIMB: f64 = 1_125_899_906_862_080.0;
/// Below this, limbs of a [`Raw`] can be carried.
pub(super) const MAX_RAW: u64 = (1 << 61) - (1 << 51);

/// Four field elements; `0[limb][lane]`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, align(32))]
pub(super) struct Element(pub [[f64; LANES]; LIMBS]);

/// Sums of products before the carry; `0[limb][lane]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C, align(32))]
pub(super) struct Raw(pub [[i64; LANES]; LIMBS]);

/// Per lane one number, or a mask of zeros or ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C, align(32))]
pub(super) struct PerLane(pub [u64; LANES]);

impl Element {
    pub(super) const ZERO: Self = Self([[0.0; LANES]; LIMBS]);
    pub(super) const ONE: Self = Self::splat([1, 0, 0, 0]);

    /// The same number in all lanes: four words, least significant first. Bit 255 is ignored.
    pub(super) const fn splat(words: [u64; 4]) -> Self {
        let limbs = limbs_of(words);
        let mut element = Self::ZERO;
        let mut limb = 0;
        while limb < LIMBS {
            element.0[limb] = [limbs[limb]; LANES];
            limb += 1;
        }
        element
    }

    /// The numbers in these little-endian bytes. Bit 255 is ignored.
    pub(super) fn from_bytes(numbers: [&Bytes32; LANES]) -> Self {
        let mut element = Self::ZERO;
        for (lane, number) in numbers.into_iter().enumerate() {
            for (limb, value) in element.0.iter_mut().zip(limbs_of(words_of(number))) {
                limb[lane] = value;
            }
        }
        element
    }

    /// The numbers modulo 2²⁵⁵ − 19, little-endian, in constant time.
    pub(super) fn to_bytes(self) -> [Bytes32; LANES] {
        std::array::from_fn(|lane| canonical(self.0.map(|limb| integer(limb[lane]))))
    }

    /// The inverses of the four numbers, in constant time. None may be zero.
    pub(super) fn inverses(&self) -> Self {
        let mut words = Zeroizing::new([[0; LANES]; 4]);
        for (lane, number) in Zeroizing::new(self.to_bytes()).iter().enumerate() {
            for (word, value) in words.iter_mut().zip(words_of(number)) {
                word[lane] = value;
            }
        }
        invert_all(&mut words);
        let mut inverses = Self::ZERO;
        for lane in 0..LANES {
            for (limb, value) in inverses.0.iter_mut().zip(limbs_of(words.map(|word| word[lane]))) {
                limb[lane] = value;
            }
        }
        inverses
    }

    pub(super) fn copy_lane(&mut self, lane: usize, from: &Self, from_lane: usize) {
        for (to, from) in self.0.iter_mut().zip(&from.0) {
            to[lane] = from[from_lane];
        }
    }

    pub(super) fn broadcast(&self, lane: usize) -> Self {
        Self(self.0.map(|limb| [limb[lane]; LANES]))
    }

    pub(super) fn is_carried(&self) -> bool {
        self.0.iter().flatten().all(|limb| limb.abs() <= MAX_LIMB && limb.fract() == 0.0)
    }
}

impl Raw {
    pub(super) const ZERO: Self = Self([[0; LANES]; LIMBS]);

    /// Whether sums that include `bias` are within bounds.
    pub(super) fn can_be_carried(&self, bias: u64) -> bool {
        self.0.iter().flatten().all(|limb| limb.wrapping_sub_unsigned(bias).unsigned_abs() < MAX_RAW)
    }
}

impl Zeroize for Element {
    fn zeroize(&mut self) {
        // At once: the implementation for arrays wipes one limb after the other.
        self.0.as_flattened_mut().zeroize();
    }
}

pub(super) fn words_of(bytes: &Bytes32) -> [u64; 4] {
    let mut words = [0; 4];
    for (word, eight) in words.iter_mut().zip(bytes.as_chunks().0) {
        *word = u64::from_le_bytes(*eight);
    }
    words
}

/// Carried limbs of a number below 2²⁵⁵.
#[expect(clippy::cast_possible_wrap, reason = "masked to 51 bits")]
const fn limbs_of(words: [u64; 4]) -> [f64; LIMBS] {
    let [a, b, c, d] = words;
    let unsigned = [a, a >> 51 | b << 13, b >> 38 | c << 26, c >> 25 | d << 39, d >> 12];
    let mut signed = [0; LIMBS];
    let (mut carry, mut limb) = (0, 0);
    while limb < LIMBS {
        let value = (unsigned[limb] & LIMB_MASK) as i64 + carry;
        carry = (value + (1 << 50)) >> LIMB_BITS;
        signed[limb] = value - (carry << LIMB_BITS);
        limb += 1;
    }
    signed[0] += 19 * carry;
    [float(signed[0]), float(signed[1]), float(signed[2]), float(signed[3]), float(signed[4])]
}

/// 1.5 · 2⁵²: added to an integer below 2⁵¹ in absolute value, it makes the low bits those of the integer.
///
/// Instructions that convert between integers and doubles are not used, because limbs are secret.
const SHIFT: f64 = 6_755_399_441_055_744.0;

const fn float(limb: i64) -> f64 {
    f64::from_bits(SHIFT.to_bits().wrapping_add_signed(limb)) - SHIFT
}

#[expect(clippy::cast_possible_wrap, reason = "a difference of two positive numbers")]
fn integer(limb: f64) -> i64 {
    (limb + SHIFT).to_bits() as i64 - SHIFT.to_bits() as i64
}

/// The number below p that these carried limbs are, little-endian.
#[expect(clippy::cast_sign_loss, reason = "the limbs are not negative after two passes of carries")]
fn canonical(mut limbs: [i64; LIMBS]) -> Bytes32 {
    const MASK: i64 = (1 << LIMB_BITS) - 1;
    for _ in 0..2 {
        let mut carry = 0;
        for limb in &mut limbs {
            *limb += carry;
            carry = *limb >> LIMB_BITS;
            *limb &= MASK;
        }
        limbs[0] += 19 * carry;
    }
    // One if the number is at least p, because then adding 19 reaches 2²⁵⁵.
    let mut carry = limbs.iter().fold(19, |carry, limb| (limb + carry) >> LIMB_BITS) * 19;
    for limb in &mut limbs {
        *limb += carry;
        carry = *limb >> LIMB_BITS;
        *limb &= MASK;
    }
    let limbs = limbs.map(|limb| limb as u64);
    let words = [
        limbs[0] | limbs[1] << 51,
        limbs[1] >> 13 | limbs[2] << 38,
        limbs[2] >> 26 | limbs[3] << 25,
        limbs[3] >> 39 | limbs[4] << 12,
    ];
    let mut bytes = [0; 32];
    for (eight, word) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
        *eight = word.to_le_bytes();
    }
    bytes
}
