//! The compression function in the instructions for SHA of x86-64.

use std::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_blend_epi16, _mm_loadu_si128, _mm_set_epi32, _mm_setzero_si128,
    _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32, _mm_shuffle_epi8, _mm_shuffle_epi32,
    _mm_storeu_si128,
};
use std::array::from_fn;

use super::{Block, ROUND_CONSTANTS, State};

/// Exists only on a CPU with the instructions for SHA.
#[derive(Clone, Copy)]
pub(super) struct Units(());

impl Units {
    pub(super) fn detect() -> Option<Self> {
        let has_all = is_x86_feature_detected!("sha") && is_x86_feature_detected!("sse4.1");
        has_all.then_some(Self(()))
    }

    /// Adds one block to each state.
    #[expect(clippy::unused_self, reason = "it is the proof of the instructions")]
    pub(super) fn compress<const N: usize>(self, states: &mut [State; N], blocks: &[&Block; N]) {
        #[expect(unsafe_code, reason = "the compiler does not know which CPU it is")]
        // SAFETY: `self` exists, so the CPU has the instructions.
        unsafe {
            compress(states, blocks);
        }
    }
}

/// The halves of N states, as the instructions take them: words a, b, e, f and c, d, g, h.
type Halves<const N: usize> = [[__m128i; N]; 2];

/// Each step is done for all messages before the next one.
#[inline(never)]
#[target_feature(enable = "sha,sse4.1")]
fn compress<const N: usize>(states: &mut [State; N], blocks: &[&Block; N]) {
    let before = halves(states);
    let mut after = before;
    let mut words: [[__m128i; 4]; N] = from_fn(|n| from_fn(|k| load_words(&blocks[n].as_chunks().0[k])));
    for (four, constants) in ROUND_CONSTANTS.as_chunks().0.iter().enumerate() {
        let constants = load(constants);
        for n in 0..N {
            if four >= 4 {
                words[n][four % 4] = next_words(from_fn(|k| words[n][(four + k) % 4]));
            }
            let keyed = _mm_add_epi32(words[n][four % 4], constants);
            after[1][n] = _mm_sha256rnds2_epu32(after[1][n], after[0][n], keyed);
            after[0][n] = _mm_sha256rnds2_epu32(after[0][n], after[1][n], _mm_shuffle_epi32::<0x0e>(keyed));
        }
    }
    for n in 0..N {
        let [abef, cdgh] = from_fn(|half| _mm_add_epi32(after[half][n], before[half][n]));
        let (feba, dchg) = (_mm_shuffle_epi32::<0x1b>(abef), _mm_shuffle_epi32::<0xb1>(cdgh));
        let [low, high] = states[n].as_chunks_mut().0 else { continue };
        store(low, _mm_blend_epi16::<0xf0>(feba, dchg));
        store(high, _mm_alignr_epi8::<8>(dchg, feba));
    }
}

#[inline]
#[target_feature(enable = "sha,sse4.1")]
fn halves<const N: usize>(states: &[State; N]) -> Halves<N> {
    let mut halves = [[_mm_setzero_si128(); N]; 2];
    for (n, state) in states.iter().enumerate() {
        let [low, high] = state.as_chunks().0 else { continue };
        let (cdab, efgh) = (_mm_shuffle_epi32::<0xb1>(load(low)), _mm_shuffle_epi32::<0x1b>(load(high)));
        halves[0][n] = _mm_alignr_epi8::<8>(cdab, efgh);
        halves[1][n] = _mm_blend_epi16::<0xf0>(efgh, cdab);
    }
    halves
}

/// The four words of the schedule that follow these 16.
#[inline]
#[target_feature(enable = "sha,sse4.1")]
fn next_words([a, b, c, d]: [__m128i; 4]) -> __m128i {
    _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(a, b), _mm_alignr_epi8::<4>(d, c)), d)
}

#[inline]
#[target_feature(enable = "sse4.1")]
fn load(words: &[u32; 4]) -> __m128i {
    #[expect(unsafe_code, reason = "the intrinsic takes a pointer")]
    // SAFETY: reads 16 bytes from a reference to 16 bytes, of any alignment.
    unsafe {
        _mm_loadu_si128(words.as_ptr().cast())
    }
}

/// Four big-endian words.
#[inline]
#[target_feature(enable = "sse4.1")]
fn load_words(bytes: &[u8; 16]) -> __m128i {
    let order = _mm_set_epi32(0x0c0d_0e0f, 0x0809_0a0b, 0x0405_0607, 0x0001_0203);
    #[expect(unsafe_code, reason = "the intrinsic takes a pointer")]
    // SAFETY: reads 16 bytes from a reference to 16 bytes, of any alignment.
    let words = unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) };
    _mm_shuffle_epi8(words, order)
}

#[inline]
#[target_feature(enable = "sse4.1")]
fn store(words: &mut [u32; 4], vector: __m128i) {
    #[expect(unsafe_code, reason = "the intrinsic takes a pointer")]
    // SAFETY: writes 16 bytes to a unique reference to 16 bytes, of any alignment.
    unsafe {
        _mm_storeu_si128(words.as_mut_ptr().cast(), vector);
    }
}
