//! The field's arithmetic, written once for the vectors of the CPU and for their model.
//!
//! A product of two limbs has up to 102 bits. Two fused multiply-adds split it exactly: adding 1.5 · 2¹⁰³ rounds the
//! product to a multiple of 2⁵¹, and a second one, onto the difference, leaves the rest, of at most 2⁵⁰ in absolute
//! value. The constants put both results where the bits of a double count like an integer, so their bits are added as
//! integers. What the constants contribute is subtracted modulo 2⁶⁴ before the sum starts.
//!
//! The method needs results rounded to nearest, which `rounding.rs` ensures. No operand or result is ever denormal: limbs
//! are integers, products and rests are zero or at least 1 in absolute value.

use std::mem::MaybeUninit;

use super::element::PerLane;

/// The bits of 1.5 · 2¹⁰³, next to which doubles are 2⁵¹ apart.
pub(super) const HIGH_BITS: u64 = 0x4668_0000_0000_0000;
/// The bits of 1.5 · 2⁵², next to which doubles are 1 apart.
pub(super) const LOW_BITS: u64 = 0x4338_0000_0000_0000;
/// The bits of 2⁵²: those of 2⁵² + n for 0 ≤ n < 2⁵² are these plus n.
pub(super) const TWO_TO_52_BITS: u64 = 0x4330_0000_0000_0000;
/// Added before a carry so that no carry is negative, in units of 2⁵¹.
pub(super) const CARRY_BIAS: u64 = 1 << 10;
/// Also rounds: makes the remaining limb lie between −2⁵⁰ and 2⁵⁰.
pub(super) const BIAS: u64 = (CARRY_BIAS << 51) + (1 << 50);

/// What the sums of a product start from: `bias`, minus what the constants of `splits[k]` split products add to the
/// limbs k and k + 1, of which limbs 5 and above count 19 times in the limb five below.
pub(super) const fn starts(splits: [u64; 9], bias: u64) -> [u64; 5] {
    let mut constants = [0u64; 10];
    let mut k = 0;
    while k < 9 {
        constants[k] = constants[k].wrapping_add(splits[k].wrapping_mul(LOW_BITS));
        constants[k + 1] = constants[k + 1].wrapping_add(splits[k].wrapping_mul(HIGH_BITS));
        k += 1;
    }
    let mut starts = [bias; 5];
    let mut k = 0;
    while k < 5 {
        starts[k] = starts[k].wrapping_sub(constants[k].wrapping_add(constants[k + 5].wrapping_mul(19)));
        k += 1;
    }
    starts
}

/// Sums that a multiplication adds to each limb.
pub(super) const PRODUCT_SPLITS: [u64; 9] = [1, 1, 2, 2, 3, 2, 2, 1, 1];
/// Sums that a squaring adds to each limb.
pub(super) const SQUARE_SPLITS: [u64; 9] = [1, 1, 1, 2, 2, 2, 1, 1, 1];

/// Makes the compiler align the stack of the function that calls this.
///
/// It does so for variables, but not for registers that it saves there. Where these cross cache lines, a point operation
/// takes up to a quarter longer.
#[inline]
pub(super) fn align_stack() {
    std::hint::black_box(&MaybeUninit::<PerLane>::uninit());
}

/// Defines the arithmetic on the vector operations in scope, with these attributes on each function.
macro_rules! arithmetic {
    ($(#[$target:meta])*) => {
        type Limbs = [Floats; LIMBS];
        type Sums = [Integers; LIMBS];

        $(#[$target])*
        #[inline]
        fn load(element: &Element) -> Limbs {
            debug_assert!(element.is_carried(), "limbs out of bounds: {element:?}");
            std::array::from_fn(|k| load_floats(&element.0[k]))
        }

        $(#[$target])*
        #[inline]
        fn store(limbs: &Limbs) -> Element {
            let mut element = Element::ZERO;
            for (to, from) in element.0.iter_mut().zip(limbs) {
                store_floats(to, *from);
            }
            debug_assert!(element.is_carried(), "limbs out of bounds: {element:?}");
            element
        }

        $(#[$target])*
        #[inline]
        fn load_raw(raw: &Raw) -> Sums {
            std::array::from_fn(|k| load_integers(&raw.0[k]))
        }

        $(#[$target])*
        #[inline]
        fn store_raw(sums: &Sums) -> Raw {
            let mut raw = Raw::ZERO;
            for (to, from) in raw.0.iter_mut().zip(sums) {
                store_integers(to, *from);
            }
            raw
        }

        /// Adds a·b, as its part below 2⁵¹ to `sums[k]` and the rest to `sums[k + 1]`.
        $(#[$target])*
        #[inline]
        fn add_product(sums: &mut [Integers; 10], k: usize, (a, b): (Floats, Floats)) {
            let high = multiply_add(a, b, splat(f64::from_bits(HIGH_BITS)));
            let low = multiply_add(a, b, subtract(splat(f64::from_bits(HIGH_BITS + 3)), high));
            sums[k] = add_integers(sums[k], bits(low));
            sums[k + 1] = add_integers(sums[k + 1], bits(high));
        }

        /// The same for a·b + c·d, of at most 2¹⁰² in absolute value.
        $(#[$target])*
        #[inline]
        fn add_two_products(
            sums: &mut [Integers; 10],
            k: usize,
            (a, b): (Floats, Floats),
            (c, d): (Floats, Floats),
        ) {
            let first = multiply_add(a, b, splat(f64::from_bits(HIGH_BITS)));
            let low = multiply_add(a, b, subtract(splat(f64::from_bits(HIGH_BITS + 3)), first));
            let both = multiply_add(c, d, first);
            let low = add(low, multiply_add(c, d, subtract(first, both)));
            sums[k] = add_integers(sums[k], bits(low));
            sums[k + 1] = add_integers(sums[k + 1], bits(both));
        }

        /// Sums with these starts in the lower half.
        $(#[$target])*
        #[inline]
        fn started(starts: [u64; 5]) -> [Integers; 10] {
            std::array::from_fn(|k| splat_integer(if k < LIMBS { starts[k] } else { 0 }))
        }

        /// Adds the upper half, times 19, to the lower one, and clears it: 2²⁵⁵ is 19 in the field.
        $(#[$target])*
        #[inline]
        fn fold(sums: &mut [Integers; 10]) {
            let (lower, upper) = sums.split_at_mut(LIMBS);
            for (lower, upper) in lower.iter_mut().zip(upper) {
                let three_times = add_integers(*upper, add_integers(*upper, *upper));
                *lower = add_integers(add_integers(*lower, three_times), sixteen_times(*upper));
                *upper = splat_integer(0);
            }
        }

        /// The upper half comes first, so that it is folded while the lower half is still being summed.
        $(#[$target])*
        #[inline]
        fn products(a: &Limbs, b: &Limbs, bias: u64) -> Sums {
            align_stack();
            let [a0, a1, a2, a3, a4] = *a;
            let [b0, b1, b2, b3, b4] = *b;
            let mut sums = started(starts(PRODUCT_SPLITS, bias));
            add_two_products(&mut sums, 4, (a0, b4), (a1, b3));
            add_two_products(&mut sums, 4, (a2, b2), (a3, b1));
            add_product(&mut sums, 4, (a4, b0));
            add_two_products(&mut sums, 5, (a1, b4), (a2, b3));
            add_two_products(&mut sums, 5, (a3, b2), (a4, b1));
            add_two_products(&mut sums, 6, (a2, b4), (a3, b3));
            add_product(&mut sums, 6, (a4, b2));
            add_two_products(&mut sums, 7, (a3, b4), (a4, b3));
            add_product(&mut sums, 8, (a4, b4));
            fold(&mut sums);
            add_two_products(&mut sums, 3, (a0, b3), (a1, b2));
            add_two_products(&mut sums, 3, (a2, b1), (a3, b0));
            add_two_products(&mut sums, 2, (a0, b2), (a1, b1));
            add_product(&mut sums, 2, (a2, b0));
            add_two_products(&mut sums, 1, (a0, b1), (a1, b0));
            add_product(&mut sums, 0, (a0, b0));
            std::array::from_fn(|k| sums[k])
        }

        $(#[$target])*
        #[inline]
        fn squares(a: &Limbs, bias: u64) -> Sums {
            align_stack();
            let [a0, a1, a2, a3, a4] = *a;
            let [d0, d1, d2, d3] = [add(a0, a0), add(a1, a1), add(a2, a2), add(a3, a3)];
            let mut sums = started(starts(SQUARE_SPLITS, bias));
            add_product(&mut sums, 8, (a4, a4));
            add_product(&mut sums, 7, (d3, a4));
            add_two_products(&mut sums, 6, (d2, a4), (a3, a3));
            add_product(&mut sums, 5, (d1, a4));
            add_product(&mut sums, 5, (d2, a3));
            add_product(&mut sums, 4, (d0, a4));
            add_two_products(&mut sums, 4, (d1, a3), (a2, a2));
            fold(&mut sums);
            add_product(&mut sums, 3, (d0, a3));
            add_product(&mut sums, 3, (d1, a2));
            add_two_products(&mut sums, 2, (d0, a2), (a1, a1));
            add_product(&mut sums, 1, (d0, a1));
            add_product(&mut sums, 0, (a0, a0));
            std::array::from_fn(|k| sums[k])
        }

        /// Carries sums that include [`BIAS`]: all limbs at once, which is enough for carried limbs.
        $(#[$target])*
        #[inline]
        fn carry_biased(sums: &Sums) -> Limbs {
            debug_assert!(store_raw(sums).can_be_carried(BIAS), "sums out of bounds: {:?}", store_raw(sums));
            let mask = splat_integer((1 << LIMB_BITS) - 1);
            let exponent = splat_integer(TWO_TO_52_BITS);
            let carries: Sums = std::array::from_fn(|k| shift_right::<51>(sums[k]));
            let rests: Sums = std::array::from_fn(|k| or(and(sums[k], mask), exponent));
            let wrapped = multiply_low_halves(carries[LIMBS - 1], splat_integer(19));
            std::array::from_fn(|k| {
                let (carry, bias) = if k == 0 { (wrapped, 19 * CARRY_BIAS) } else { (carries[k - 1], CARRY_BIAS) };
                let offset = f64::from_bits(TWO_TO_52_BITS + (1 << 50) + bias);
                subtract(floats(add_integers(rests[k], carry)), splat(offset))
            })
        }

        $(#[$target])*
        #[inline]
        fn carry<const BIAS_OF_SUMS: u64>(sums: &Sums) -> Element {
            let missing = splat_integer(BIAS.wrapping_sub(BIAS_OF_SUMS));
            let biased = std::array::from_fn(|k| add_integers(sums[k], missing));
            store(&carry_biased(&biased))
        }

        $(#[$target])*
        #[inline]
        fn sum(a: &Sums, b: &Sums) -> Sums {
            std::array::from_fn(|k| add_integers(a[k], b[k]))
        }

        $(#[$target])*
        #[inline]
        fn difference(a: &Sums, b: &Sums) -> Sums {
            std::array::from_fn(|k| subtract_integers(a[k], b[k]))
        }

        /// The limbs as integers.
        $(#[$target])*
        #[inline]
        fn integers(element: &Element) -> Sums {
            let shift = splat(f64::from_bits(LOW_BITS));
            load(element).map(|limb| subtract_integers(bits(add(limb, shift)), splat_integer(LOW_BITS)))
        }

        /// A function of its own, because a point operation in one piece needs more registers than there are.
        $(#[$target])*
        #[inline(never)]
        pub(super) fn multiply(a: &Element, b: &Element) -> Element {
            store(&carry_biased(&products(&load(a), &load(b), BIAS)))
        }

        $(#[$target])*
        #[inline(never)]
        fn multiply_raw<const BIAS_OF_SUMS: u64>(a: &Element, b: &Element) -> Raw {
            store_raw(&products(&load(a), &load(b), BIAS_OF_SUMS))
        }

        $(#[$target])*
        #[inline(never)]
        fn square_raw<const BIAS_OF_SUMS: u64>(a: &Element) -> Raw {
            store_raw(&squares(&load(a), BIAS_OF_SUMS))
        }

        /// Squares each element `times` times. Two at once take little longer than one.
        $(#[$target])*
        #[inline(never)]
        pub(super) fn square_repeatedly<const N: usize>(elements: &mut [Element; N], times: usize) {
            let mut limbs: [Limbs; N] = std::array::from_fn(|n| load(&elements[n]));
            for _ in 0..times {
                for limbs in &mut limbs {
                    *limbs = carry_biased(&squares(limbs, BIAS));
                }
            }
            for (element, limbs) in elements.iter_mut().zip(&limbs) {
                *element = store(limbs);
            }
        }

        $(#[$target])*
        fn squared<const N: usize>(elements: &[Element; N], times: usize) -> [Element; N] {
            let mut powers = *elements;
            square_repeatedly(&mut powers, times);
            powers
        }

        $(#[$target])*
        fn multiply_each<const N: usize>(a: &[Element; N], b: &[Element; N]) -> [Element; N] {
            std::array::from_fn(|n| multiply(&a[n], &b[n]))
        }

        /// x to the power of 2²⁵⁰ − 1.
        $(#[$target])*
        fn long_power<const N: usize>(x: &[Element; N]) -> [Element; N] {
            let square = squared(x, 1);
            let ninth = multiply_each(&squared(&square, 2), x);
            let eleventh = multiply_each(&ninth, &square);
            let ones_5 = multiply_each(&squared(&eleventh, 1), &ninth);
            let ones_10 = multiply_each(&squared(&ones_5, 5), &ones_5);
            let ones_20 = multiply_each(&squared(&ones_10, 10), &ones_10);
            let ones_40 = multiply_each(&squared(&ones_20, 20), &ones_20);
            let ones_50 = multiply_each(&squared(&ones_40, 10), &ones_10);
            let ones_100 = multiply_each(&squared(&ones_50, 50), &ones_50);
            let ones_200 = multiply_each(&squared(&ones_100, 100), &ones_100);
            multiply_each(&squared(&ones_200, 50), &ones_50)
        }

        /// x to the power of (p + 3)/8: a square root of x or of −x, if x or −x is a square.
        $(#[$target])*
        fn root_candidates<const N: usize>(x: &[Element; N]) -> [Element; N] {
            multiply_each(&squared(&long_power(x), 2), &squared(x, 1))
        }
    };
}
pub(super) use arithmetic;
