//! What the tests of all engines do not reach: the arithmetic at the bounds of limbs, and the rounding of the caller.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::batch::Batch;
use super::element::{Element, LANES, LIMB_BITS, LIMBS, MAX_LIMB, words_of};
use super::model;
use crate::UnwrapError;
use crate::engines::{Curve, Secret};
use crate::x25519::{Bytes32, multiply_clamped};

/// Limbs that are at their bounds, small, or anything.
fn extreme(rng: &mut StdRng) -> Element {
    let mut limb = || {
        let magnitude = match rng.random_range(0..4) {
            0 => MAX_LIMB,
            1 => MAX_LIMB - f64::from(rng.random_range(0..3u8)),
            2 => f64::from(rng.random_range(0..3u8)),
            _ => f64::from(rng.random::<u32>()) * f64::from(1u32 << 18),
        };
        if rng.random() { magnitude } else { -magnitude }
    };
    Element(std::array::from_fn::<_, LIMBS, _>(|_| std::array::from_fn::<_, LANES, _>(|_| limb())))
}

/// A number modulo 2²⁵⁵ − 19, by the simplest means.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Number([u64; 4]);

impl Number {
    const P: [u64; 4] = [u64::MAX - 18, u64::MAX, u64::MAX, u64::MAX >> 1];

    fn less(a: [u64; 4], b: [u64; 4]) -> ([u64; 4], bool) {
        let mut borrow = false;
        let difference = std::array::from_fn(|n| {
            let (word, first) = a[n].overflowing_sub(b[n]);
            let (word, second) = word.overflowing_sub(u64::from(borrow));
            borrow = first || second;
            word
        });
        (difference, borrow)
    }

    fn plus(self, other: Self) -> Self {
        let mut carry = 0;
        let sum = std::array::from_fn(|n| {
            let word = u128::from(self.0[n]) + u128::from(other.0[n]) + carry;
            carry = word >> 64;
            u64::try_from(word & u128::from(u64::MAX)).unwrap()
        });
        let (reduced, is_below) = Self::less(sum, Self::P);
        Self(if is_below { sum } else { reduced })
    }

    fn minus(self, other: Self) -> Self {
        self.plus(Self(Self::less(Self::P, other.0).0))
    }

    fn times(self, other: Self) -> Self {
        (0..256).rev().fold(Self([0; 4]), |product, bit| {
            let twice = product.plus(product);
            if other.0[bit / 64] >> (bit % 64) & 1 == 1 { twice.plus(self) } else { twice }
        })
    }

    /// What these limbs stand for.
    fn of(element: &Element, lane: usize) -> Self {
        let radix = Self([1 << LIMB_BITS, 0, 0, 0]);
        element.0.iter().rev().fold(Self([0; 4]), |number, limb| {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an integer below 2^51")]
            let magnitude = Self([limb[lane].abs() as u64, 0, 0, 0]);
            let shifted = number.times(radix);
            if limb[lane] < 0.0 { shifted.minus(magnitude) } else { shifted.plus(magnitude) }
        })
    }
}

#[test]
fn bytes_are_those_of_the_number_below_p() {
    let mut rng = StdRng::seed_from_u64(1);
    for _ in 0..500 {
        let element = extreme(&mut rng);
        for (lane, bytes) in element.to_bytes().iter().enumerate() {
            assert_eq!(Number(words_of(bytes)), Number::of(&element, lane), "{element:?}");
        }
    }
    for n in 0..38 {
        let bytes = Element::splat([u64::MAX - 37 + n, u64::MAX, u64::MAX, u64::MAX >> 1]).to_bytes()[0];
        let expected = if n < 19 { [u64::MAX - 37 + n, u64::MAX, u64::MAX, u64::MAX >> 1] } else { [n - 19, 0, 0, 0] };
        assert_eq!(words_of(&bytes), expected);
    }
}

#[test]
fn products_and_squares_are_right_at_the_bounds_of_limbs() {
    let mut rng = StdRng::seed_from_u64(2);
    for _ in 0..500 {
        let (a, b) = (extreme(&mut rng), extreme(&mut rng));
        let (product, mut square) = (model::multiply(&a, &b), [a]);
        model::square_repeatedly(&mut square, 1);
        for lane in 0..LANES {
            let (a_number, b_number) = (Number::of(&a, lane), Number::of(&b, lane));
            assert_eq!(Number::of(&product, lane), a_number.times(b_number), "{a:?} · {b:?}");
            assert_eq!(Number::of(&square[0], lane), a_number.times(a_number), "{a:?}");
        }
    }
}

#[test]
fn inverses_times_the_number_are_one() {
    let mut rng = StdRng::seed_from_u64(3);
    for _ in 0..20 {
        let a = extreme(&mut rng);
        assert_eq!(model::multiply(&a.inverses(), &a).to_bytes(), Element::ONE.to_bytes(), "{a:?}");
    }
    assert_eq!(Element::ZERO.inverses().to_bytes(), [[0; 32]; LANES]);
}

#[test]
fn points_of_the_twist_and_of_low_order_are_multiplied_as_by_the_portable_engine() {
    let mut rng = StdRng::seed_from_u64(5);
    let mut batch = Batch::new(model::Model);
    for len in [1, 2, 4, 5, 9] {
        let points: Vec<Bytes32> = (0..len).map(|n| if n == 1 { [0; 32] } else { rng.random() }).collect();
        let (key, scalars) = (rng.random(), vec![Some(Secret::new(rng.random())); len]);
        let mut products: Vec<_> = points.iter().map(|_| Err(UnwrapError::BadMac)).collect();
        let mut blinded = points.clone();
        batch.load(&points);
        batch.multiply_all(&key, &mut products);
        batch.multiply_each(&scalars, &mut blinded);
        for (n, point) in points.iter().enumerate() {
            assert_eq!(products[n], multiply_clamped(&key, point).ok_or(UnwrapError::LowOrderPoint), "{point:?}");
            let expected = scalars[n].as_ref().and_then(|scalar| multiply_clamped(scalar, point));
            assert_eq!(blinded[n], expected.map_or(*point, |product| *product), "{point:?}");
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod on_this_cpu {
    use std::arch::asm;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::super::rounding::DefaultRounding;
    use super::super::vector;
    use super::*;
    use crate::engines::EngineChoice;

    fn control() -> u32 {
        let mut control = 0u32;
        #[expect(unsafe_code, reason = "the standard library has deprecated its function for this register")]
        // SAFETY: writes four bytes to a variable.
        unsafe {
            asm!("stmxcsr [{}]", in(reg) &raw mut control, options(nostack, preserves_flags));
        }
        control
    }

    fn set_control(control: u32) {
        #[expect(unsafe_code, reason = "the standard library has deprecated its function for this register")]
        // SAFETY: reads four bytes of a variable. The tests compute nothing in floating point until they reset it.
        unsafe {
            asm!("ldmxcsr [{}]", in(reg) &raw const control, options(nostack, preserves_flags));
        }
    }

    /// Limb for limb: the bounds that tests of the model check are those of the vectors, too.
    #[test]
    fn the_model_computes_the_limbs_of_the_cpu() {
        if let Err(missing) = vector::Units::detect() {
            println!("not tested: this CPU lacks {missing}");
            return;
        }
        let mut rng = StdRng::seed_from_u64(4);
        for _ in 0..2000 {
            let (a, b) = (extreme(&mut rng), extreme(&mut rng));
            let (mut square, mut modelled) = ([a, b], [a, b]);
            model::square_repeatedly(&mut modelled, 2);
            #[expect(unsafe_code, reason = "the compiler does not know which CPU it is")]
            // SAFETY: the CPU has the features, because it has been asked.
            let product = unsafe {
                vector::square_repeatedly(&mut square, 2);
                vector::multiply(&a, &b)
            };
            assert_eq!(product, model::multiply(&a, &b), "{a:?} · {b:?}");
            assert_eq!(square, modelled, "{a:?}, {b:?}");
        }
    }

    #[test]
    fn the_rounding_of_the_caller_changes_nothing_and_comes_back() {
        let Ok(kind) = EngineChoice::Avx2.resolve() else { return };
        let points: [_; 8] = std::array::from_fn(|n| crate::public_key(&[u8::try_from(n).unwrap() + 1; 32]));
        let products = |curve: &mut dyn Curve| {
            let mut products: [_; 8] = std::array::from_fn(|_| Ok(Secret::default()));
            curve.load(&points);
            curve.multiply_all(&[5; 32], &mut products);
            products
        };
        let mut curve = kind.arithmetic().curve;
        let expected = products(&mut *curve);
        let before = control();
        // Towards +∞, towards −∞ and towards zero, each with denormals as zero and flushed.
        for mode in [0x4000, 0x2000, 0x6000] {
            let changed = 0x1f80 | 0x8040 | mode;
            set_control(changed);
            let found = products(&mut *curve);
            let after = control();
            set_control(before);
            assert_eq!(found, expected, "{mode:#x}");
            assert_eq!(after, changed, "{mode:#x}");
        }
    }

    #[test]
    fn the_rounding_of_the_caller_comes_back_after_a_panic() {
        let before = control();
        let changed = before | 0x6000;
        set_control(changed);
        let result = catch_unwind(AssertUnwindSafe(|| {
            let _rounding = DefaultRounding::set();
            let inside = control();
            std::panic::panic_any(inside);
        }));
        let after = control();
        set_control(before);
        assert_eq!(result.unwrap_err().downcast_ref(), Some(&0x1f80u32));
        assert_eq!(after, changed);
    }
}
