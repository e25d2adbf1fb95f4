//! Inversion modulo p = 2^255 − 19, one number at a time, in constant time.
//!
//! Vectors share one inversion for all their lanes, and a chain of 254 squarings is faster in integer registers, where
//! each squaring waits less for the one before it.

use zeroize::Zeroize;

const LIMB: u64 = (1 << 51) - 1;

/// One factor of each product is shifted by this, so that bits 52 and up of columns are a word of their own.
const SHIFT: u32 = 12;

/// A number in radix 2^51, each limb below 2^52.
type Limbs = [u64; 5];

/// Replaces each of `N` numbers by its inverse. None may be zero: the inverses of all would be zero.
///
/// `words[k][i]` is the word k of number i, little-endian. The results are below p.
pub(crate) fn invert_all<const N: usize>(words: &mut [[u64; N]; 4]) {
    let mut numbers: [Limbs; N] =
        std::array::from_fn(|i| from_words([words[0][i], words[1][i], words[2][i], words[3][i]]));
    // prefixes[i] is the product of the numbers before i.
    let mut prefixes: [Limbs; N] = std::array::from_fn(|_| [1, 0, 0, 0, 0]);
    for i in 1..N {
        prefixes[i] = multiply(&prefixes[i - 1], &numbers[i - 1]);
    }
    let mut inverse = invert(&multiply(&prefixes[N - 1], &numbers[N - 1]));
    for i in (0..N).rev() {
        let result = to_words(&multiply(&inverse, &prefixes[i]));
        inverse = multiply(&inverse, &numbers[i]);
        for (word, value) in words.iter_mut().zip(result) {
            word[i] = value;
        }
    }
    numbers.zeroize();
    prefixes.zeroize();
    inverse.zeroize();
}

/// a^(p − 2) = a^(2^255 − 21).
#[expect(clippy::similar_names, reason = "names are the numbers of bits")]
fn invert(a: &Limbs) -> Limbs {
    let square = |a: &Limbs, times| square_times(a, times);
    // Names are the numbers of one bits: `ones_5` is a^(2^5 − 1).
    let power_2 = square(a, 1);
    let power_9 = multiply(&square(&power_2, 2), a);
    let power_11 = multiply(&power_9, &power_2);
    let ones_5 = multiply(&square(&power_11, 1), &power_9);
    let ones_10 = multiply(&square(&ones_5, 5), &ones_5);
    let ones_20 = multiply(&square(&ones_10, 10), &ones_10);
    let ones_40 = multiply(&square(&ones_20, 20), &ones_20);
    let ones_50 = multiply(&square(&ones_40, 10), &ones_10);
    let ones_100 = multiply(&square(&ones_50, 50), &ones_50);
    let ones_200 = multiply(&square(&ones_100, 100), &ones_100);
    let ones_250 = multiply(&square(&ones_200, 50), &ones_50);
    multiply(&square(&ones_250, 5), &power_11)
}

fn wide(a: u64, b: u64) -> u128 {
    u128::from(a) * u128::from(b)
}

fn multiply(a: &Limbs, b: &Limbs) -> Limbs {
    let [a0, a1, a2, a3, a4] = *a;
    let [b0, b1, b2, b3, b4] = *b;
    let (c1, c2, c3, c4) = (19 * b1, 19 * b2, 19 * b3, 19 * b4);
    let (a0, a1, a2, a3, a4) = (a0 << SHIFT, a1 << SHIFT, a2 << SHIFT, a3 << SHIFT, a4 << SHIFT);
    carry(
        wide(a0, b0) + wide(a1, c4) + wide(a2, c3) + wide(a3, c2) + wide(a4, c1),
        wide(a0, b1) + wide(a1, b0) + wide(a2, c4) + wide(a3, c3) + wide(a4, c2),
        wide(a0, b2) + wide(a1, b1) + wide(a2, b0) + wide(a3, c4) + wide(a4, c3),
        wide(a0, b3) + wide(a1, b2) + wide(a2, b1) + wide(a3, b0) + wide(a4, c4),
        wide(a0, b4) + wide(a1, b3) + wide(a2, b2) + wide(a3, b1) + wide(a4, b0),
    )
}

fn square_times(a: &Limbs, times: usize) -> Limbs {
    let mut limbs = *a;
    for _ in 0..times {
        let [a0, a1, a2, a3, a4] = limbs;
        let (d0, d1, c3, c4, e1, e2, e3) = (2 * a0, 2 * a1, 19 * a3, 19 * a4, 38 * a1, 38 * a2, 38 * a3);
        let (b0, b1, b2, b3, b4) = (a0 << SHIFT, a1 << SHIFT, a2 << SHIFT, a3 << SHIFT, a4 << SHIFT);
        limbs = carry(
            wide(a0, b0) + wide(e1, b4) + wide(e2, b3),
            wide(d0, b1) + wide(c3, b3) + wide(e2, b4),
            wide(d0, b2) + wide(a1, b1) + wide(e3, b4),
            wide(d0, b3) + wide(d1, b2) + wide(c4, b4),
            wide(d0, b4) + wide(d1, b3) + wide(a2, b2),
        );
    }
    limbs
}

/// Carries products of limbs below 2^52, of which one has been shifted by [`SHIFT`]. The limbs of the result are below
/// 2^51 + 2^12.
///
/// All carries are made at once, twice: one after the other, each would wait for the one before it. Limbs have names,
/// because the compiler moves arrays to vectors and back.
fn carry(c0: u128, c1: u128, c2: u128, c3: u128, c4: u128) -> Limbs {
    // Before the shift, c4 is below 2^107 and the others below 2^111: their upper bits times 38 and 2 fit.
    let (u0, u1, u2, u3, u4) = (upper(c0), upper(c1), upper(c2), upper(c3), upper(c4));
    let (l0, l1) = (lower(c0) + 38 * u4, lower(c1) + 2 * u0);
    let (l2, l3, l4) = (lower(c2) + 2 * u1, lower(c3) + 2 * u2, lower(c4) + 2 * u3);
    [
        (l0 & LIMB) + 19 * (l4 >> 51),
        (l1 & LIMB) + (l0 >> 51),
        (l2 & LIMB) + (l1 >> 51),
        (l3 & LIMB) + (l2 >> 51),
        (l4 & LIMB) + (l3 >> 51),
    ]
}

/// Bits 52 and up of a column that has been shifted.
fn upper(column: u128) -> u64 {
    (column >> 64) as u64
}

/// The low 52 bits.
#[expect(clippy::cast_possible_truncation, reason = "the other bits are those of `upper`")]
fn lower(column: u128) -> u64 {
    (column as u64) >> SHIFT
}

fn from_words([a, b, c, d]: [u64; 4]) -> Limbs {
    [a & LIMB, (a >> 51 | b << 13) & LIMB, (b >> 38 | c << 26) & LIMB, (c >> 25 | d << 39) & LIMB, d >> 12 & LIMB]
}

/// The number below p.
fn to_words(limbs: &Limbs) -> [u64; 4] {
    let mut l = *limbs;
    // The number is below 2p. It is p or more if adding 19 reaches 2^255.
    let mut over = (l[0] + 19) >> 51;
    for limb in &l[1..] {
        over = (limb + over) >> 51;
    }
    l[0] += 19 * over;
    for i in 0..4 {
        l[i + 1] += l[i] >> 51;
        l[i] &= LIMB;
    }
    l[4] &= LIMB;
    [l[0] | l[1] << 51, l[1] >> 13 | l[2] << 38, l[2] >> 26 | l[3] << 25, l[3] >> 39 | l[4] << 12]
}
