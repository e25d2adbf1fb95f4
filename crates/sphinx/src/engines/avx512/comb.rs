// Multiplication by a signed comb of five teeth with 51 columns.
//
// A scalar m, odd and below 2^255, is Σ b_i·2^i over 255 digits b_i of 1 or −1. Column i has the digits i, i + 51, …,
// i + 204. The table contains what a column can add up to, except for the sign of its highest digit:
// Q4 ± Q0 ± Q1 ± Q2 ± Q3 with Qj = 2^(51·j)·Q. Then 50 doublings and 50 additions multiply.
//
// The scalars of both multiplications of a packet are clamped: k = 8·m with 2^251 ≤ m < 2^252 < ℓ. So Q = 8·α, which
// has prime order, and the scalar is the odd one of m and ℓ − m: the results differ in the sign, which u does not show.
// The sum is never the neutral element.

/// Columns of the comb.
const COLUMNS: usize = 51;
/// The low 51 bits: the digits of one tooth.
const TOOTH: u64 = (1 << COLUMNS) - 1;
/// Elements of vectors in a [`Prepared`] point.
const LIMBS: usize = 20;

/// ℓ = 2^252 + 27742317777372353535851937790883648493, the prime order of the base point, in limbs of 51 bits.
const ORDER: [u64; 5] =
    [0x0002_631a_5cf5_d3ed, 0x0003_d45e_f39a_cb02, 0x0000_0000_0053_7be7, 0x0000_0000_0000_0000, 0x0001_0000_0000_0000];

/// The combs of eight points. For limb and packet: that limb of the 16 sums.
pub(super) struct Table([[[Vector; 2]; 8]; LIMBS]);

/// The digits of eight scalars, in the form that looks up sums. Bit i of each belongs to column i.
pub(super) struct Digits {
    /// For each of the lower teeth: whether its digit equals that of the highest.
    same: [Vector; 4],
    /// Whether the highest digit differs from that of the column before, which is i + 1.
    flips: Vector,
}

/// Results as fractions.
#[derive(Clone, Copy)]
struct Fraction { numerator: Element, denominator: Element }

vectorized! {
    /// The digits of clamped scalars. Clamps them.
    #[inline(never)] fn digits(words: &[[u64; 8]; 4]) -> Digits {
        let [a, b, c, d] = [load(&words[0]), load(&words[1]), load(&words[2]), load(&words[3])];
        let tooth = splat(TOOTH);
        // m: bits 3 to 254 of the scalar, of which bit 254 is set.
        let m = [
            and(shift_right::<3>(a), tooth),
            and(or(shift_right::<54>(a), shift_left::<10>(b)), tooth),
            and(or(shift_right::<41>(b), shift_left::<23>(c)), tooth),
            and(or(shift_right::<28>(c), shift_left::<36>(d)), tooth),
            or(and(shift_right::<15>(d), splat(TOOTH >> 4)), splat(1 << 47)),
        ];
        let is_even = equal(and(m[0], splat(1)), zero());
        let mut odd = [zero(); 5];
        let mut borrow = zero();
        for limb in 0..5 {
            let above = sub(sub(splat(ORDER[limb] + (1 << COLUMNS)), m[limb]), borrow);
            borrow = xor(shift_right::<51>(above), splat(1));
            odd[limb] = select(is_even, m[limb], and(above, tooth));
        }
        signed_digits(&odd)
    }

    /// The digits 1 and −1 of an odd scalar are bits 1 and 0 of (m + 2^255 − 1)/2.
    #[inline] fn signed_digits(odd: &[Vector; 5]) -> Digits {
        let tooth = splat(TOOTH);
        let mut bits = [zero(); 5];
        for limb in 0..4 {
            bits[limb] = and(or(shift_right::<1>(odd[limb]), shift_left::<50>(odd[limb + 1])), tooth);
        }
        bits[4] = or(shift_right::<1>(odd[4]), splat(1 << 50));
        let negative = xor(bits[4], tooth);
        let mut same = [zero(); 4];
        for limb in 0..4 { same[limb] = xor(bits[limb], negative); }
        Digits { same, flips: xor(negative, shift_right::<1>(negative)) }
    }

    /// Makes the comb of 8·p.
    #[inline(never)] fn fill_table(table: &mut Table, p: &Projective) {
        let (mut point, mut summand) = double_both(&double_times(p, 2));
        let mut twice = [prepare(&summand); 4];
        let mut lower = summand;
        for tooth in 0..4 {
            let (doubled, doubled_summand) = double_both(&point);
            twice[tooth] = prepare(&doubled_summand);
            (point, summand) = double_both(&double_times(&doubled, COLUMNS - 2));
            if tooth < 3 { lower = add_extended(&lower, &prepare(&summand)); }
        }
        let mut sums = [add_extended(&summand, &negated(&prepare(&lower))); 16];
        for tooth in 0..4 {
            for index in 0..1 << tooth {
                sums[(1 << tooth) + index] = add_extended(&sums[index], &twice[tooth]);
            }
        }
        for half in 0..2 {
            let mut entries = [[zero(); LIMBS]; 8];
            for index in 0..8 { entries[index] = limbs_of(&prepare(&sums[8 * half + index])); }
            for limb in 0..LIMBS {
                let mut rows = [zero(); 8];
                for index in 0..8 { rows[index] = entries[index][limb]; }
                transpose(&mut rows);
                for packet in 0..8 { table.0[limb][packet][half] = rows[packet]; }
            }
        }
    }

    #[inline] fn limbs_of(point: &Prepared) -> [Vector; LIMBS] {
        let mut limbs = [zero(); LIMBS];
        for (part, element) in limbs.as_chunks_mut().0.iter_mut().zip([
            &point.y_minus_x, &point.y_plus_x, &point.t_2d, &point.z_2,
        ]) {
            *part = element.0;
        }
        limbs
    }

    #[inline] fn prepared_of(limbs: &[Vector; LIMBS]) -> Prepared {
        let l = limbs;
        Prepared {
            y_minus_x: Element([l[0], l[1], l[2], l[3], l[4]]),
            y_plus_x: Element([l[5], l[6], l[7], l[8], l[9]]),
            t_2d: Element([l[10], l[11], l[12], l[13], l[14]]),
            z_2: Element([l[15], l[16], l[17], l[18], l[19]]),
        }
    }

    /// Swaps lanes and vectors: lane j of vector i goes to lane i of vector j.
    #[inline] fn transpose(rows: &mut [Vector; 8]) {
        let mut pairs = *rows;
        for i in 0..4 {
            pairs[2 * i] = interleave_even(rows[2 * i], rows[2 * i + 1]);
            pairs[2 * i + 1] = interleave_odd(rows[2 * i], rows[2 * i + 1]);
        }
        for parity in 0..2 {
            let upper_even = even_pairs(pairs[parity], pairs[2 + parity]);
            let upper_odd = odd_pairs(pairs[parity], pairs[2 + parity]);
            let lower_even = even_pairs(pairs[4 + parity], pairs[6 + parity]);
            let lower_odd = odd_pairs(pairs[4 + parity], pairs[6 + parity]);
            rows[parity] = even_pairs(upper_even, lower_even);
            rows[2 + parity] = even_pairs(upper_odd, lower_odd);
            rows[4 + parity] = odd_pairs(upper_even, lower_even);
            rows[6 + parity] = odd_pairs(upper_odd, lower_odd);
        }
    }

    /// The summands of eight columns, from `column` down; those below 0 are arbitrary.
    ///
    /// Each packet has its own table, and an instruction looks up eight elements of one. So it looks up eight columns of
    /// a packet, and a transposition makes them columns of eight packets. No address depends on a digit.
    #[inline(never)] fn look_up_columns(table: &Table, digits: &Digits, column: usize, found: &mut [[Vector; LIMBS]; 8]) {
        let counts = sub_wrapping(splat(column as u64), load(&[0, 1, 2, 3, 4, 5, 6, 7]));
        let mut same = [[0; 8]; 4];
        for tooth in 0..4 { store(digits.same[tooth], &mut same[tooth]); }
        let mut indexes = [zero(); 8];
        for packet in 0..8 {
            for tooth in (0..4).rev() {
                let bits = and(shift_right_each(splat(same[tooth][packet]), counts), splat(1));
                indexes[packet] = or(shift_left::<1>(indexes[packet]), bits);
            }
        }
        for limb in 0..LIMBS {
            let mut rows = [zero(); 8];
            for packet in 0..8 {
                let [low, high] = table.0[limb][packet];
                rows[packet] = look_up(low, indexes[packet], high);
            }
            transpose(&mut rows);
            for step in 0..8 { found[step][limb] = rows[step]; }
        }
        same = [[0; 8]; 4];
        indexes = [zero(); 8];
        std::hint::black_box((&mut same, &mut indexes));
    }

    /// Multiplies the points of the table.
    ///
    /// The running sum is kept with the sign of the last column, so that summands need none.
    #[inline(never)] fn multiply_points(table: &Table, digits: &Digits) -> Fraction {
        let mut found = [[zero(); LIMBS]; 8];
        look_up_columns(table, digits, COLUMNS - 1, &mut found);
        let mut total = projective_of(&prepared_of(&found[0]));
        let mut column = COLUMNS - 1;
        let last = loop {
            column -= 1;
            let step = (COLUMNS - 1 - column) % 8;
            if step == 0 { look_up_columns(table, digits, column, &mut found); }
            let flips = any_bit(digits.flips, splat(1 << column));
            let doubled = extended_negated(flips, &double(&total));
            let completed = add_points(&doubled, &prepared_of(&found[step]));
            if column == 0 { break completed; }
            total = projective(&completed);
        };
        wipe(&mut found);
        // u = (z + y)/(z − y) with y = g·h and z = f·g.
        Fraction {
            numerator: add_elements(&last.f, &last.h),
            denominator: subtract_elements(&last.f, &last.h),
        }
    }

    /// Overwrites the digits of secret scalars.
    #[inline(never)] fn wipe_digits(digits: &mut Digits) {
        *digits = Digits { same: [zero(); 4], flips: zero() };
        std::hint::black_box(digits);
    }

    /// Overwrites looked-up sums, which tell the digits.
    #[inline(never)] fn wipe(found: &mut [[Vector; LIMBS]; 8]) {
        for summand in &mut *found { *summand = [zero(); LIMBS]; }
        std::hint::black_box(found);
    }
}
