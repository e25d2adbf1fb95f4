//! The arithmetic on the 256-bit vectors of the CPU.

use std::arch::x86_64 as cpu;

use super::arithmetic::{
    BIAS, CARRY_BIAS, HIGH_BITS, LOW_BITS, PRODUCT_SPLITS, SQUARE_SPLITS, TWO_TO_52_BITS, align_stack, arithmetic,
    starts,
};
use super::batch::Backend;
use super::element::{Element, LANES, LIMB_BITS, LIMBS, PerLane, Raw};
use super::points::{A, Completed, Extended, Fraction, Lifted, ROOT_OF_MINUS_ONE, SCALE, TWO_D, Table, points};
use super::rounding::DefaultRounding;
use super::scalar::{Digits, SPACING, TABLE_LEN, TEETH};

/// Exists only on a CPU with AVX2 and FMA.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::engines) struct Units(());

impl Units {
    /// # Errors
    /// The instructions that the CPU or its operating system lacks.
    pub(in crate::engines) fn detect() -> Result<Self, &'static str> {
        if !is_x86_feature_detected!("avx2") {
            Err("AVX2")
        } else if !is_x86_feature_detected!("fma") {
            Err("FMA")
        } else {
            Ok(Self(()))
        }
    }
}

#[expect(unsafe_code, reason = "the compiler does not know which CPU it is")]
impl Backend for Units {
    type Environment = DefaultRounding;

    fn enter(self) -> DefaultRounding {
        DefaultRounding::set()
    }

    fn lift<const N: usize>(self, coordinates: &[Element; N]) -> [Lifted; N] {
        // SAFETY: `self` exists, so the CPU has the features.
        unsafe { lift(coordinates) }
    }

    fn fill_table(self, point: &Completed, table: &mut Table) {
        // SAFETY: as above.
        unsafe { fill_table(point, table) }
    }

    fn comb(self, table: &Table, digits: &Digits) -> Fraction {
        // SAFETY: as above.
        unsafe { comb(table, digits) }
    }

    fn divide(self, fractions: &mut [Fraction]) {
        // SAFETY: as above.
        unsafe { divide(fractions) }
    }
}

type Floats = cpu::__m256d;
type Integers = cpu::__m256i;

/// Each function is one instruction, inlined into the arithmetic.
macro_rules! instructions {
    ($(fn $name:ident($($argument:ident: $type:ty),*) -> $result:ty { $body:expr })*) => {
        $(
            #[inline]
            #[target_feature(enable = "avx2,fma")]
            fn $name($($argument: $type),*) -> $result {
                $body
            }
        )*
    };
}

instructions! {
    fn splat(value: f64) -> Floats { cpu::_mm256_set1_pd(value) }
    fn splat_integer(value: u64) -> Integers { cpu::_mm256_set1_epi64x(value.cast_signed()) }
    fn add(a: Floats, b: Floats) -> Floats { cpu::_mm256_add_pd(a, b) }
    fn subtract(a: Floats, b: Floats) -> Floats { cpu::_mm256_sub_pd(a, b) }
    fn multiply_add(a: Floats, b: Floats, c: Floats) -> Floats { cpu::_mm256_fmadd_pd(a, b, c) }
    fn add_integers(a: Integers, b: Integers) -> Integers { cpu::_mm256_add_epi64(a, b) }
    fn subtract_integers(a: Integers, b: Integers) -> Integers { cpu::_mm256_sub_epi64(a, b) }
    fn multiply_low_halves(a: Integers, b: Integers) -> Integers { cpu::_mm256_mul_epu32(a, b) }
    fn and(a: Integers, b: Integers) -> Integers { cpu::_mm256_and_si256(a, b) }
    fn or(a: Integers, b: Integers) -> Integers { cpu::_mm256_or_si256(a, b) }
    fn xor(a: Integers, b: Integers) -> Integers { cpu::_mm256_xor_si256(a, b) }
    fn equal(a: Integers, b: Integers) -> Integers { cpu::_mm256_cmpeq_epi64(a, b) }
    fn bits(a: Floats) -> Integers { cpu::_mm256_castpd_si256(a) }
    fn floats(a: Integers) -> Floats { cpu::_mm256_castsi256_pd(a) }
    fn blend(mask: Integers, a: Floats, b: Floats) -> Floats { cpu::_mm256_blendv_pd(a, b, floats(mask)) }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn shift_right<const BITS: i32>(a: Integers) -> Integers {
    cpu::_mm256_srli_epi64::<BITS>(a)
}

/// Hides the shift from the optimiser, which would make one multiplication by 19 of it and the additions around it.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn sixteen_times(a: Integers) -> Integers {
    let mut shifted = cpu::_mm256_slli_epi64::<4>(a);
    #[expect(unsafe_code, reason = "a value barrier is an empty piece of assembler")]
    // SAFETY: no instruction.
    unsafe {
        std::arch::asm!("/* {0} */", inout(ymm_reg) shifted, options(pure, nomem, nostack, preserves_flags));
    }
    shifted
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn load_floats(lanes: &[f64; LANES]) -> Floats {
    #[expect(unsafe_code, reason = "the instruction takes a pointer")]
    // SAFETY: reads the 32 bytes of the array, at any alignment.
    unsafe {
        cpu::_mm256_loadu_pd(lanes.as_ptr())
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn store_floats(lanes: &mut [f64; LANES], value: Floats) {
    #[expect(unsafe_code, reason = "the instruction takes a pointer")]
    // SAFETY: writes the 32 bytes of the array, at any alignment.
    unsafe {
        cpu::_mm256_storeu_pd(lanes.as_mut_ptr(), value);
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn load_integers(lanes: &[i64; LANES]) -> Integers {
    #[expect(unsafe_code, reason = "the instruction takes a pointer")]
    // SAFETY: reads the 32 bytes of the array, at any alignment.
    unsafe {
        cpu::_mm256_loadu_si256(lanes.as_ptr().cast())
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn store_integers(lanes: &mut [i64; LANES], value: Integers) {
    #[expect(unsafe_code, reason = "the instruction takes a pointer")]
    // SAFETY: writes the 32 bytes of the array, at any alignment.
    unsafe {
        cpu::_mm256_storeu_si256(lanes.as_mut_ptr().cast(), value);
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn load_lanes(lanes: &PerLane) -> Integers {
    load_integers(&lanes.0.map(u64::cast_signed))
}

arithmetic!(#[target_feature(enable = "avx2,fma")]);
points!(#[target_feature(enable = "avx2,fma")]);
