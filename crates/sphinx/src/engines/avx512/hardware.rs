//! The vector instructions themselves, and the lanes' code on them.

#![allow(
    clippy::needless_range_loop,
    clippy::many_single_char_names,
    clippy::similar_names,
    clippy::large_stack_arrays,
    reason = "indexes are limbs or lanes of several arrays at once, names are those of the formulas, and a table of points \
              takes 20 KiB"
)]

use std::arch::x86_64::{
    __m512i, _mm512_add_epi32, _mm512_add_epi64, _mm512_and_si512, _mm512_cmpeq_epi64_mask, _mm512_loadu_si512,
    _mm512_madd52hi_epu64, _mm512_madd52lo_epu64, _mm512_mask_blend_epi64, _mm512_mask_sub_epi64, _mm512_or_si512,
    _mm512_permutex2var_epi64, _mm512_ror_epi32, _mm512_ror_epi64, _mm512_set1_epi32, _mm512_set1_epi64,
    _mm512_set4_epi32, _mm512_setzero_si512, _mm512_shuffle_epi8, _mm512_shuffle_i64x2, _mm512_slli_epi64,
    _mm512_srli_epi32, _mm512_srli_epi64, _mm512_srlv_epi64, _mm512_storeu_si512, _mm512_sub_epi64,
    _mm512_ternarylogic_epi32, _mm512_test_epi64_mask, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64,
    _mm512_unpacklo_epi32, _mm512_unpacklo_epi64, _mm512_xor_si512,
};

use super::prelude::*;

/// Compiles functions for CPUs that have the units of this engine.
macro_rules! vectorized {
    ($($function:item)*) => {
        $(#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512ifma,avx2,bmi1,bmi2")] $function)*
    };
}

/// Runs a function that [`vectorized`] compiles, in an object that has a proof of the units.
macro_rules! dispatch {
    ($call:expr) => {{
        #[expect(unsafe_code, reason = "calls a function for CPUs with certain units")]
        // SAFETY: `Units` exists only on CPUs with all units that the function is compiled for, and each object with
        // such calls was made with one.
        unsafe {
            $call
        }
    }};
}

/// 512 bits: eight lanes of 64 bits, or 16 of 32 bits.
type Vector = __m512i;

/// One bit for each lane of 64 bits.
type Mask = u8;

/// Proof that the CPU has the units of this engine.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::engines) struct Units(());

impl Units {
    /// The first unit that the CPU lacks, if it lacks one.
    pub(in crate::engines) fn detect() -> Result<Self, &'static str> {
        let units = [
            ("AVX-512F", is_x86_feature_detected!("avx512f")),
            ("AVX-512DQ", is_x86_feature_detected!("avx512dq")),
            ("AVX-512BW", is_x86_feature_detected!("avx512bw")),
            ("AVX-512VL", is_x86_feature_detected!("avx512vl")),
            ("AVX-512 IFMA", is_x86_feature_detected!("avx512ifma")),
            ("AVX2", is_x86_feature_detected!("avx2")),
            ("BMI1", is_x86_feature_detected!("bmi1")),
            ("BMI2", is_x86_feature_detected!("bmi2")),
        ];
        units.iter().find(|(_, is_there)| !is_there).map_or(Ok(Self(())), |(name, _)| Err(*name))
    }
}

vectorized! {
    #[inline] fn load(words: &[u64; 8]) -> Vector {
        #[expect(unsafe_code, reason = "the intrinsic takes a pointer")]
        // SAFETY: reads 64 bytes from a reference to 64 bytes, of any alignment.
        unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
    }
    #[inline] fn store(vector: Vector, words: &mut [u64; 8]) {
        #[expect(unsafe_code, reason = "the intrinsic takes a pointer")]
        // SAFETY: writes 64 bytes to a unique reference to 64 bytes, of any alignment.
        unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), vector) }
    }
    #[inline] fn load_bytes(bytes: &[u8; 64]) -> Vector {
        #[expect(unsafe_code, reason = "the intrinsic takes a pointer")]
        // SAFETY: reads 64 bytes from a reference to 64 bytes, of any alignment.
        unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
    }
    #[inline] fn store_bytes(vector: Vector, bytes: &mut [u8; 64]) {
        #[expect(unsafe_code, reason = "the intrinsic takes a pointer")]
        // SAFETY: writes 64 bytes to a unique reference to 64 bytes, of any alignment.
        unsafe { _mm512_storeu_si512(bytes.as_mut_ptr().cast(), vector) }
    }
    #[inline] fn splat(value: u64) -> Vector { _mm512_set1_epi64(value.cast_signed()) }
    #[inline] fn zero() -> Vector { _mm512_setzero_si512() }
    #[inline] fn add(a: Vector, b: Vector) -> Vector { _mm512_add_epi64(a, b) }
    #[inline] fn sub(a: Vector, b: Vector) -> Vector { _mm512_sub_epi64(a, b) }
    /// As [`add`], where a carry out of a lane is meant to be lost.
    #[inline] fn add_wrapping(a: Vector, b: Vector) -> Vector { _mm512_add_epi64(a, b) }
    /// As [`sub`], where the difference may be negative.
    #[inline] fn sub_wrapping(a: Vector, b: Vector) -> Vector { _mm512_sub_epi64(a, b) }
    #[inline] fn and(a: Vector, b: Vector) -> Vector { _mm512_and_si512(a, b) }
    #[inline] fn or(a: Vector, b: Vector) -> Vector { _mm512_or_si512(a, b) }
    #[inline] fn xor(a: Vector, b: Vector) -> Vector { _mm512_xor_si512(a, b) }
    #[inline] fn shift_right<const BITS: u32>(a: Vector) -> Vector { _mm512_srli_epi64::<BITS>(a) }
    #[inline] fn shift_left<const BITS: u32>(a: Vector) -> Vector { _mm512_slli_epi64::<BITS>(a) }
    /// Shifts each lane by its own count; 64 and more give 0.
    #[inline] fn shift_right_each(a: Vector, counts: Vector) -> Vector { _mm512_srlv_epi64(a, counts) }
    /// `sum` + the low 52 bits of the product of the low 52 bits of `a` and `b`.
    #[inline] fn add_low(sum: Vector, a: Vector, b: Vector) -> Vector { _mm512_madd52lo_epu64(sum, a, b) }
    /// `sum` + bits 52 to 103 of that product.
    #[inline] fn add_high(sum: Vector, a: Vector, b: Vector) -> Vector { _mm512_madd52hi_epu64(sum, a, b) }
    /// `b` in the lanes of the mask, `a` in the others.
    #[inline] fn select(mask: Mask, a: Vector, b: Vector) -> Vector { _mm512_mask_blend_epi64(mask, a, b) }
    /// `minuend` − `a` in the lanes of the mask, `a` in the others.
    #[inline] fn subtract_from_where(mask: Mask, minuend: Vector, a: Vector) -> Vector {
        _mm512_mask_sub_epi64(a, mask, minuend, a)
    }
    /// The lanes in which `a` and `b` have a common bit.
    #[inline] fn any_bit(a: Vector, b: Vector) -> Mask { _mm512_test_epi64_mask(a, b) }
    #[inline] fn equal(a: Vector, b: Vector) -> Mask { _mm512_cmpeq_epi64_mask(a, b) }
    /// In each lane, the element of the 16 in `low` and `high` that the lane of `index` names.
    #[inline] fn look_up(low: Vector, index: Vector, high: Vector) -> Vector {
        _mm512_permutex2var_epi64(low, index, high)
    }
    /// Even lanes of `a` and `b` in turn.
    #[inline] fn interleave_even(a: Vector, b: Vector) -> Vector { _mm512_unpacklo_epi64(a, b) }
    /// Odd lanes of `a` and `b` in turn.
    #[inline] fn interleave_odd(a: Vector, b: Vector) -> Vector { _mm512_unpackhi_epi64(a, b) }
    /// Pairs 0 and 2 of `a`, then of `b`.
    #[inline] fn even_pairs(a: Vector, b: Vector) -> Vector { _mm512_shuffle_i64x2::<0x88>(a, b) }
    /// Pairs 1 and 3 of `a`, then of `b`.
    #[inline] fn odd_pairs(a: Vector, b: Vector) -> Vector { _mm512_shuffle_i64x2::<0xdd>(a, b) }
    #[inline] fn rotate_right_64<const BITS: i32>(a: Vector) -> Vector { _mm512_ror_epi64::<BITS>(a) }
    // The following take vectors as 16 lanes of 32 bits.
    #[inline] fn splat_32(value: u32) -> Vector { _mm512_set1_epi32(value.cast_signed()) }
    /// Sums without carries out of lanes.
    #[inline] fn add_32(a: Vector, b: Vector) -> Vector { _mm512_add_epi32(a, b) }
    #[inline] fn rotate_right_32<const BITS: i32>(a: Vector) -> Vector { _mm512_ror_epi32::<BITS>(a) }
    #[inline] fn shift_right_32<const BITS: u32>(a: Vector) -> Vector { _mm512_srli_epi32::<BITS>(a) }
    #[inline] fn xor_3(a: Vector, b: Vector, c: Vector) -> Vector { _mm512_ternarylogic_epi32::<0x96>(a, b, c) }
    /// The bits of `a` where `bits` is 1, and of `b` where it is 0.
    #[inline] fn choose(bits: Vector, a: Vector, b: Vector) -> Vector { _mm512_ternarylogic_epi32::<0xca>(bits, a, b) }
    /// The bits that most of the three have.
    #[inline] fn majority(a: Vector, b: Vector, c: Vector) -> Vector { _mm512_ternarylogic_epi32::<0xe8>(a, b, c) }
    /// Reverses the bytes of each lane.
    #[inline] fn swap_bytes_32(a: Vector) -> Vector {
        _mm512_shuffle_epi8(a, _mm512_set4_epi32(0x0c0d_0e0f, 0x0809_0a0b, 0x0405_0607, 0x0001_0203))
    }
    /// Of each four lanes, the first two of `a` and `b` in turn.
    #[inline] fn interleave_low_32(a: Vector, b: Vector) -> Vector { _mm512_unpacklo_epi32(a, b) }
    /// Of each four lanes, the last two of `a` and `b` in turn.
    #[inline] fn interleave_high_32(a: Vector, b: Vector) -> Vector { _mm512_unpackhi_epi32(a, b) }
}

include!("field.rs");
include!("edwards.rs");
include!("comb.rs");
include!("batch.rs");
include!("sha256.rs");
include!("blake2b.rs");
include!("chacha20.rs");
include!("stages.rs");
