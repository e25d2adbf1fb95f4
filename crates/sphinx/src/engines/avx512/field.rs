// Arithmetic modulo p = 2^255 − 19 in eight lanes, in radix 2^52.
//
// Compiled twice: on the CPU's instructions (hardware.rs) and, in tests, on a model of them that checks every bound
// (model.rs).

/// Bits 0 to 51.
const LIMB: u64 = (1 << 52) - 1;
/// The bits of the highest limb of a number below 2^255.
const TOP_LIMB: u64 = (1 << 47) - 1;
/// 2^260 modulo p: what the carry of limb 4, of 52 bits, counts in limb 0.
const WRAP: u64 = 19 << 5;

/// Eight field elements whose limbs have been carried.
///
/// Of limbs 0 to 3 only the low 52 bits count; the bits above have been added to the next limb, and multiplication
/// ignores them. Limb 4 is below 2^47 + 2^12.
#[derive(Clone, Copy)]
pub(super) struct Element([Vector; 5]);

/// Eight field elements before the carry: a product, or a sum of products. Each limb counts with all its 64 bits.
#[derive(Clone, Copy)]
struct Columns([Vector; 5]);

vectorized! {
    #[inline] fn element(value: u64) -> Element { Element([splat(value), zero(), zero(), zero(), zero()]) }

    /// One limb of `TIMES`·32·p, the number that makes differences positive: `TIMES`·(2^52 − 608 or − 1).
    #[inline] fn bias<const TIMES: u64>(limb: usize) -> Vector {
        splat(TIMES * ((1 << 52) - if limb == 0 { WRAP } else { 1 }))
    }

    /// Adds the five upper columns of a product to the lower five. The result is below 12·2^52 if the columns are below
    /// 10·2^52.
    #[inline] fn fold(columns: &[Vector; 10]) -> Columns {
        let wrap = splat(WRAP);
        let mut low = [columns[0], columns[1], columns[2], columns[3], columns[4]];
        for limb in 0..5 {
            let upper = columns[limb + 5];
            low[limb] = add_low(low[limb], wrap, upper);
            // Column 9 is below 2^47, for it is the high half of a product of two limbs of 47 bits.
            if limb < 4 {
                low[limb + 1] = add_high(low[limb + 1], wrap, upper);
                low[limb + 1] = add_low(low[limb + 1], wrap, shift_right::<52>(upper));
            }
        }
        Columns(low)
    }

    /// a·b + `BIAS`·32·p.
    #[inline] fn product<const BIAS: u64>(a: &Element, b: &Element) -> Columns {
        let mut columns = [zero(); 10];
        if BIAS != 0 {
            for limb in 0..5 { columns[limb] = bias::<BIAS>(limb); }
        }
        for i in 0..5 {
            for j in 0..5 {
                columns[i + j] = add_low(columns[i + j], a.0[i], b.0[j]);
                columns[i + j + 1] = add_high(columns[i + j + 1], a.0[i], b.0[j]);
            }
        }
        fold(&columns)
    }

    /// a² + `BIAS`·32·p.
    #[inline] fn square_columns<const BIAS: u64>(a: &Element) -> Columns {
        let mut columns = [zero(); 10];
        for i in 0..5 {
            for j in i + 1..5 {
                columns[i + j] = add_low(columns[i + j], a.0[i], a.0[j]);
                columns[i + j + 1] = add_high(columns[i + j + 1], a.0[i], a.0[j]);
            }
        }
        for limb in 1..9 { columns[limb] = add(columns[limb], columns[limb]); }
        if BIAS != 0 {
            columns[0] = bias::<BIAS>(0);
            for limb in 1..5 { columns[limb] = add(columns[limb], bias::<BIAS>(limb)); }
        }
        for i in 0..5 {
            columns[2 * i] = add_low(columns[2 * i], a.0[i], a.0[i]);
            columns[2 * i + 1] = add_high(columns[2 * i + 1], a.0[i], a.0[i]);
        }
        fold(&columns)
    }

    /// As [`square`], with more instructions that wait less for each other: for one vector alone.
    #[inline] fn square_soon(a: &Element) -> Element {
        let (mut low, mut high, mut own) = ([zero(); 10], [zero(); 10], [zero(); 10]);
        for i in 0..5 {
            own[2 * i] = add_low(zero(), a.0[i], a.0[i]);
            own[2 * i + 1] = add_high(zero(), a.0[i], a.0[i]);
            for j in i + 1..5 {
                low[i + j] = add_low(low[i + j], a.0[i], a.0[j]);
                high[i + j + 1] = add_high(high[i + j + 1], a.0[i], a.0[j]);
            }
        }
        let mut columns = own;
        for limb in 1..9 {
            let half = add(low[limb], high[limb]);
            columns[limb] = add(own[limb], add(half, half));
        }
        let (wrap, mut limbs) = (splat(WRAP), [columns[0], columns[1], columns[2], columns[3], columns[4]]);
        for limb in 0..5 {
            let upper = columns[limb + 5];
            limbs[limb] = add_low(limbs[limb], wrap, upper);
            // As in `fold`.
            if limb < 4 {
                let carried = add_low(add_high(zero(), wrap, upper), wrap, shift_right::<52>(upper));
                limbs[limb + 1] = add(limbs[limb + 1], carried);
            }
        }
        carry(&Columns(limbs))
    }

    /// Carries once. What leaves limb 4 returns to limb 0, times 19.
    #[inline] fn carry(columns: &Columns) -> Element {
        let mut limbs = columns.0;
        let top = shift_right::<47>(limbs[4]);
        limbs[4] = and(limbs[4], splat(TOP_LIMB));
        limbs[0] = add_low(limbs[0], top, splat(19));
        for limb in 0..4 { limbs[limb + 1] = add(limbs[limb + 1], shift_right::<52>(limbs[limb])); }
        Element(limbs)
    }

    #[inline] fn sum(a: &Columns, b: &Columns) -> Columns {
        let mut limbs = a.0;
        for limb in 0..5 { limbs[limb] = add(limbs[limb], b.0[limb]); }
        Columns(limbs)
    }

    /// The difference of columns of which the first has a bias that exceeds the second.
    #[inline] fn difference(a: &Columns, b: &Columns) -> Columns {
        let mut limbs = a.0;
        for limb in 0..5 { limbs[limb] = sub(limbs[limb], b.0[limb]); }
        Columns(limbs)
    }

    #[inline] fn with_bias<const BIAS: u64>(a: &Columns) -> Columns {
        let mut limbs = a.0;
        for limb in 0..5 { limbs[limb] = add(limbs[limb], bias::<BIAS>(limb)); }
        Columns(limbs)
    }

    /// `BIAS`·32·p − a in the lanes of the mask, a in the others.
    #[inline] fn negate_where<const BIAS: u64>(mask: Mask, a: &Columns) -> Columns {
        let mut limbs = a.0;
        for limb in 0..5 { limbs[limb] = subtract_from_where(mask, bias::<BIAS>(limb), limbs[limb]); }
        Columns(limbs)
    }

    /// a·`factor` + c, for factors below 2^20.
    #[inline] fn multiply_small_add(a: &Element, factor: u64, c: &Columns) -> Columns {
        let (mut limbs, factor) = (c.0, splat(factor));
        for limb in 0..5 { limbs[limb] = add_low(limbs[limb], a.0[limb], factor); }
        for limb in 0..4 { limbs[limb + 1] = add_high(limbs[limb + 1], a.0[limb], factor); }
        limbs[0] = add_low(limbs[0], add_high(zero(), a.0[4], factor), splat(WRAP));
        Columns(limbs)
    }

    #[inline] fn multiply(a: &Element, b: &Element) -> Element { carry(&product::<0>(a, b)) }

    #[inline] fn square(a: &Element) -> Element { carry(&square_columns::<0>(a)) }

    /// As [`multiply`], as a function of its own where speed is not decisive.
    #[inline(never)] fn multiply_call(a: &Element, b: &Element) -> Element { multiply(a, b) }

    /// The limbs without the bits that do not count.
    #[inline] fn columns_of(a: &Element) -> Columns {
        let mut limbs = a.0;
        for limb in 0..4 { limbs[limb] = and(limbs[limb], splat(LIMB)); }
        Columns(limbs)
    }

    #[inline] fn add_elements(a: &Element, b: &Element) -> Element { carry(&sum(&columns_of(a), &columns_of(b))) }

    #[inline] fn subtract_elements(a: &Element, b: &Element) -> Element {
        carry(&difference(&with_bias::<2>(&columns_of(a)), &columns_of(b)))
    }

    /// `b` in the lanes of the mask, `a` in the others.
    #[inline] fn select_element(mask: Mask, a: &Element, b: &Element) -> Element {
        let mut limbs = a.0;
        for limb in 0..5 { limbs[limb] = select(mask, limbs[limb], b.0[limb]); }
        Element(limbs)
    }

    /// The limbs of the numbers below p.
    #[inline] fn canonical(a: &Element) -> [Vector; 5] {
        let mut limbs = columns_of(a).0;
        // The number is below 2p. It is p or more if adding 19 reaches 2^255.
        let mut over = shift_right::<52>(add(limbs[0], splat(19)));
        for limb in 1..4 { over = shift_right::<52>(add(limbs[limb], over)); }
        over = shift_right::<47>(add(limbs[4], over));
        limbs[0] = add_low(limbs[0], over, splat(19));
        for limb in 0..4 {
            limbs[limb + 1] = add(limbs[limb + 1], shift_right::<52>(limbs[limb]));
            limbs[limb] = and(limbs[limb], splat(LIMB));
        }
        limbs[4] = and(limbs[4], splat(TOP_LIMB));
        limbs
    }

    /// The lanes that are zero modulo p.
    #[inline] fn is_zero(a: &Element) -> Mask {
        let limbs = canonical(a);
        equal(or(or(limbs[0], limbs[1]), or(or(limbs[2], limbs[3]), limbs[4])), zero())
    }

    /// Little-endian numbers of up to 255 bits; bit 255 is ignored.
    #[inline(never)] fn from_words(words: &[[u64; 8]; 4]) -> Element {
        let [a, b, c, d] = [load(&words[0]), load(&words[1]), load(&words[2]), load(&words[3])];
        Element([
            and(a, splat(LIMB)),
            and(or(shift_right::<52>(a), shift_left::<12>(b)), splat(LIMB)),
            and(or(shift_right::<40>(b), shift_left::<24>(c)), splat(LIMB)),
            and(or(shift_right::<28>(c), shift_left::<36>(d)), splat(LIMB)),
            and(shift_right::<16>(d), splat(TOP_LIMB)),
        ])
    }

    /// The numbers below p, little-endian.
    #[inline(never)] fn to_words(a: &Element, words: &mut [[u64; 8]; 4]) {
        let [a, b, c, d, e] = canonical(a);
        store(or(a, shift_left::<52>(b)), &mut words[0]);
        store(or(shift_right::<12>(b), shift_left::<40>(c)), &mut words[1]);
        store(or(shift_right::<24>(c), shift_left::<28>(d)), &mut words[2]);
        store(or(shift_right::<36>(d), shift_left::<16>(e)), &mut words[3]);
    }

    /// Squares each of `N` vectors `times` times: several at once, because each squaring waits for the one before it.
    #[inline(never)] fn square_times<const N: usize>(a: &[Element; N], times: usize) -> [Element; N] {
        let mut squares = *a;
        for _ in 0..times {
            for each in &mut squares { *each = if N == 1 { square_soon(each) } else { square(each) }; }
        }
        squares
    }

    #[inline] fn multiply_many<const N: usize>(a: &[Element; N], b: &[Element; N]) -> [Element; N] {
        let mut products = *a;
        for (product, b) in products.iter_mut().zip(b) { *product = multiply_call(product, b); }
        products
    }

    /// a^((p + 3) / 8) = a^(2^252 − 2): a square root of a or of −a, if one of them has one.
    #[inline(never)] fn root_power<const N: usize>(a: &[Element; N]) -> [Element; N] {
        // Names are the numbers of one bits: `ones_5` is a^(2^5 − 1).
        let ones_2 = multiply_many(&square_times(a, 1), a);
        let ones_4 = multiply_many(&square_times(&ones_2, 2), &ones_2);
        let ones_5 = multiply_many(&square_times(&ones_4, 1), a);
        let ones_10 = multiply_many(&square_times(&ones_5, 5), &ones_5);
        let ones_20 = multiply_many(&square_times(&ones_10, 10), &ones_10);
        let ones_40 = multiply_many(&square_times(&ones_20, 20), &ones_20);
        let ones_50 = multiply_many(&square_times(&ones_40, 10), &ones_10);
        let ones_100 = multiply_many(&square_times(&ones_50, 50), &ones_50);
        let ones_200 = multiply_many(&square_times(&ones_100, 100), &ones_100);
        let ones_250 = multiply_many(&square_times(&ones_200, 50), &ones_50);
        let ones_251 = multiply_many(&square_times(&ones_250, 1), a);
        square_times(&ones_251, 1)
    }
}
