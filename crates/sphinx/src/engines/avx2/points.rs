//! Points of edwards25519, −x² + y² = 1 + d·x²·y², which is birationally equivalent to curve25519: u = (1 + y)/(1 − y).
//! The formulas of Hisil, Wong, Carter and Dawson are complete on this curve: no point is an exception.

use zeroize::Zeroize;

use super::element::{Element, LANES};
use super::scalar::{SPACING, TABLE_LEN};

/// −1 has this root.
pub(super) const ROOT_OF_MINUS_ONE: Element =
    Element::splat([0xc4ee_1b27_4a0e_a0b0, 0x2f43_1806_ad2f_e478, 0x2b4d_0099_3dfb_d7a7, 0x2b83_2480_4fc1_df0b]);
/// −486664 has this root: the scale of x between the two forms of the curve.
pub(super) const SCALE: Element =
    Element::splat([0xcc6e_04aa_ff45_7e06, 0xc5a1_d3d1_4b7d_1a82, 0xd27b_08dc_03fc_4f7e, 0x0f26_edf4_60a0_06bb]);
/// 2·d.
pub(super) const TWO_D: Element =
    Element::splat([0xebd6_9b94_26b2_f159, 0x00e0_149a_8283_b156, 0x198e_80f2_eef3_d130, 0x2406_d9dc_56df_fce7]);
/// The coefficient of curve25519.
pub(super) const A: Element = Element::splat([486_662, 0, 0, 0]);

/// x = e/g, y = h/f: what the formulas give before the last multiplications.
#[derive(Clone, Copy)]
pub(super) struct Completed {
    pub e: Element,
    pub f: Element,
    pub g: Element,
    pub h: Element,
}

/// Input of an addition: y − x, y + x, z and t = x·y/z. As an addend, z is twice and t is 2·d times that.
#[derive(Clone, Copy)]
pub(super) struct Extended {
    pub y_minus_x: Element,
    pub y_plus_x: Element,
    pub z: Element,
    pub t: Element,
}

/// Numerators and denominators of u-coordinates.
#[derive(Clone, Copy)]
pub(super) struct Fraction {
    pub numerator: Element,
    pub denominator: Element,
    /// The product of the denominators up to this one.
    pub running: Element,
}

/// The sums ±P₀ ±P₁ ±P₂ ±P₃ + P₄ of the multiples Pⱼ = 2^(51·j)·P, as addends.
pub(super) type Table = [Extended; TABLE_LEN];

/// Per lane the point 8·P of a u-coordinate, and whether it is usable: on the curve and not zero.
pub(super) struct Lifted {
    pub point: Completed,
    pub is_usable: [bool; LANES],
}

impl Extended {
    pub(super) const ZERO: Self =
        Self { y_minus_x: Element::ONE, y_plus_x: Element::ONE, z: Element::ONE, t: Element::ZERO };
}

impl Zeroize for Fraction {
    fn zeroize(&mut self) {
        self.numerator.zeroize();
        self.denominator.zeroize();
        self.running.zeroize();
    }
}

impl Completed {
    /// The point of one lane in all lanes.
    pub(super) fn broadcast(&self, lane: usize) -> Self {
        let [e, f, g, h] = [&self.e, &self.f, &self.g, &self.h].map(|element| element.broadcast(lane));
        Self { e, f, g, h }
    }

    pub(super) fn copy_lane(&mut self, lane: usize, from: &Self, from_lane: usize) {
        self.e.copy_lane(lane, &from.e, from_lane);
        self.f.copy_lane(lane, &from.f, from_lane);
        self.g.copy_lane(lane, &from.g, from_lane);
        self.h.copy_lane(lane, &from.h, from_lane);
    }
}

/// The number of the highest column must be even, because columns are looked up in pairs.
const _: () = assert!(SPACING % 2 == 1);

/// Defines the operations on points, on the arithmetic in scope, with these attributes on each function.
macro_rules! points {
    ($(#[$target:meta])*) => {
        /// Doubles in place, as [`add_points`] writes to its argument: results of this size are copied when returned.
        $(#[$target])*
        fn double(p: &mut Completed) {
            let (x, y, z) = (multiply(&p.e, &p.f), multiply(&p.g, &p.h), multiply(&p.f, &p.g));
            let (xx, yy, zz) = (square_raw::<0>(&x), square_raw::<BIAS>(&y), square_raw::<BIAS>(&z));
            let xy = multiply_raw::<0>(&x, &y);
            let (xx, yy, zz, xy) = (load_raw(&xx), load_raw(&yy), load_raw(&zz), load_raw(&xy));
            // Numerator and denominator of y are negated, which saves a subtraction from zero.
            let g = difference(&yy, &xx);
            p.e = carry::<0>(&sum(&xy, &xy));
            p.f = carry::<BIAS>(&difference(&sum(&zz, &zz), &g));
            p.g = carry::<BIAS>(&g);
            p.h = carry::<BIAS>(&sum(&yy, &xx));
        }

        $(#[$target])*
        fn add_points(result: &mut Completed, p: &Extended, addend: &Extended) {
            let a = multiply_raw::<0>(&p.y_minus_x, &addend.y_minus_x);
            let b = multiply_raw::<BIAS>(&p.y_plus_x, &addend.y_plus_x);
            let c = multiply_raw::<0>(&p.t, &addend.t);
            let d = multiply_raw::<BIAS>(&p.z, &addend.z);
            let (a, b, c, d) = (load_raw(&a), load_raw(&b), load_raw(&c), load_raw(&d));
            result.e = carry::<BIAS>(&difference(&b, &a));
            result.f = carry::<BIAS>(&difference(&d, &c));
            result.g = carry::<BIAS>(&sum(&d, &c));
            result.h = carry::<BIAS>(&sum(&b, &a));
        }

        /// The point that an addend stands for.
        $(#[$target])*
        fn completed(addend: &Extended) -> Completed {
            let (y_minus_x, y_plus_x) = (integers(&addend.y_minus_x), integers(&addend.y_plus_x));
            Completed {
                e: carry::<0>(&difference(&y_plus_x, &y_minus_x)),
                f: addend.z,
                g: addend.z,
                h: carry::<0>(&sum(&y_plus_x, &y_minus_x)),
            }
        }

        $(#[$target])*
        fn extended(p: &Completed) -> Extended {
            let (x, y) = (multiply_raw::<0>(&p.e, &p.f), multiply_raw::<BIAS>(&p.g, &p.h));
            let (z, t) = (multiply(&p.f, &p.g), multiply(&p.e, &p.h));
            let (x, y) = (load_raw(&x), load_raw(&y));
            Extended { y_minus_x: carry::<BIAS>(&difference(&y, &x)), y_plus_x: carry::<BIAS>(&sum(&y, &x)), z, t }
        }

        $(#[$target])*
        fn addend(p: &Extended) -> Extended {
            let z = integers(&p.z);
            Extended { z: carry::<0>(&sum(&z, &z)), t: multiply(&p.t, &TWO_D), ..*p }
        }

        $(#[$target])*
        fn negated(p: &Extended) -> Extended {
            let t = Element(p.t.0.map(|limb| limb.map(|lane| -lane)));
            Extended { y_minus_x: p.y_plus_x, y_plus_x: p.y_minus_x, z: p.z, t }
        }

        $(#[$target])*
        fn double_repeatedly(p: &mut Completed, times: usize) {
            for _ in 0..times {
                double(p);
            }
        }

        /// 8·P for points P with these u-coordinates.
        ///
        /// Branches depend on the coordinates, which are on the wire.
        $(#[$target])*
        pub(super) fn lift<const N: usize>(coordinates: &[Element; N]) -> [Lifted; N] {
            let v_squared = coordinates.map(|u| {
                // (u + A)·u + 1, times u
                let sum_with_a = carry::<0>(&sum(&integers(&u), &integers(&A)));
                let inner = load_raw(&multiply_raw::<0>(&sum_with_a, &u));
                multiply(&carry::<0>(&sum(&inner, &integers(&Element::ONE))), &u)
            });
            let candidates = root_candidates(&v_squared);
            let roots_of_minus = multiply_each(&candidates, &[ROOT_OF_MINUS_ONE; N]);
            let candidates_squared = squared(&candidates, 1);
            std::array::from_fn(|n| {
                let negative = carry::<0>(&difference(&integers(&Element::ZERO), &integers(&v_squared[n])));
                let [found, wanted, minus] = [candidates_squared[n], v_squared[n], negative].map(Element::to_bytes);
                let mut v = candidates[n];
                for lane in (0..LANES).filter(|lane| found[*lane] != wanted[*lane]) {
                    v.copy_lane(lane, &roots_of_minus[n], lane);
                }
                let mut point = edwards(&coordinates[n], &v);
                double_repeatedly(&mut point, 3);
                let x = multiply(&point.e, &point.f).to_bytes();
                let is_on_curve = |lane: usize| found[lane] == wanted[lane] || found[lane] == minus[lane];
                Lifted { point, is_usable: std::array::from_fn(|lane| is_on_curve(lane) && x[lane] != [0; 32]) }
            })
        }

        /// x = SCALE·u/v, y = (u − 1)/(u + 1).
        $(#[$target])*
        fn edwards(u: &Element, v: &Element) -> Completed {
            let (u_integers, one) = (integers(u), integers(&Element::ONE));
            Completed {
                e: multiply(&SCALE, u),
                f: carry::<0>(&sum(&u_integers, &one)),
                g: *v,
                h: carry::<0>(&difference(&u_integers, &one)),
            }
        }

        $(#[$target])*
        pub(super) fn fill_table(point: &Completed, table: &mut Table) {
            let mut twice = [Extended::ZERO; TEETH - 1];
            let mut tooth = *point;
            let mut lower_teeth = Extended::ZERO;
            let mut result = *point;
            for (n, twice) in twice.iter_mut().enumerate() {
                let this = extended(&tooth);
                lower_teeth = if n == 0 {
                    this
                } else {
                    add_points(&mut result, &lower_teeth, &addend(&this));
                    extended(&result)
                };
                double(&mut tooth);
                *twice = addend(&extended(&tooth));
                double_repeatedly(&mut tooth, SPACING - 1);
            }
            add_points(&mut result, &extended(&tooth), &negated(&addend(&lower_teeth)));
            table[0] = extended(&result);
            for (n, twice) in twice.iter().enumerate() {
                let (known, new) = table.split_at_mut(1 << n);
                for (known, new) in known.iter().zip(new) {
                    add_points(&mut result, known, twice);
                    *new = extended(&result);
                }
            }
            for entry in table {
                *entry = addend(entry);
            }
        }

        /// The entries of each lane for two columns. Reads all entries, and masks the others.
        $(#[$target])*
        #[inline(never)]
        fn select(table: &Table, digits: &Digits, columns: [usize; 2], selected: &mut [Extended; 2]) {
            align_stack();
            let [first, second] = columns.map(|column| load_lanes(&digits.index[column]));
            let is_first = |n| equal(first, splat_integer(n as u64));
            let factors = std::array::from_fn(|n| floats(and(is_first(n), bits(splat(1.0)))));
            let masks = std::array::from_fn(|n| equal(second, splat_integer(n as u64)));
            let y_minus_x = scan(table, &factors, &masks, |entry| &entry.y_minus_x);
            let y_plus_x = scan(table, &factors, &masks, |entry| &entry.y_plus_x);
            let z = scan(table, &factors, &masks, |entry| &entry.z);
            let t = scan(table, &factors, &masks, |entry| &entry.t);
            for (n, selected) in selected.iter_mut().enumerate() {
                let is_negative = load_lanes(&digits.is_negative[columns[n]]);
                let sign = and(is_negative, splat_integer(1 << 63));
                let (y_minus_x, y_plus_x) = (load(&y_minus_x[n]), load(&y_plus_x[n]));
                selected.y_minus_x = store(&std::array::from_fn(|k| blend(is_negative, y_minus_x[k], y_plus_x[k])));
                selected.y_plus_x = store(&std::array::from_fn(|k| blend(is_negative, y_plus_x[k], y_minus_x[k])));
                selected.z = z[n];
                selected.t = store(&load(&t[n]).map(|limb| floats(xor(bits(limb), sign))));
            }
        }

        /// One coordinate of two entries: that with the factor 1, where the others have 0, and that with a mask of ones.
        ///
        /// The units for multiplications find the first one, while the others find the second one.
        $(#[$target])*
        #[inline]
        fn scan(
            table: &Table,
            factors: &[Floats; TABLE_LEN],
            masks: &[Integers; TABLE_LEN],
            coordinate: impl Fn(&Extended) -> &Element,
        ) -> [Element; 2] {
            let mut first = [splat(0.0); LIMBS];
            let mut second = [splat_integer(0); LIMBS];
            for ((entry, factor), mask) in table.iter().zip(factors).zip(masks) {
                let limbs = load(coordinate(entry));
                for (k, limb) in limbs.into_iter().enumerate() {
                    first[k] = multiply_add(limb, *factor, first[k]);
                    second[k] = or(second[k], and(bits(limb), *mask));
                }
            }
            [store(&first), store(&second.map(|limb| floats(limb)))]
        }

        /// The u-coordinates of the multiples that the digits stand for.
        $(#[$target])*
        pub(super) fn comb(table: &Table, digits: &Digits) -> Fraction {
            const HIGHEST: usize = SPACING - 1;
            let mut selected = [Extended::ZERO; 2];
            select(table, digits, [HIGHEST, HIGHEST - 1], &mut selected);
            let mut point = completed(&selected[0]);
            for column in (0..HIGHEST).rev() {
                if column % 2 == 0 {
                    select(table, digits, [column, column.saturating_sub(1)], &mut selected);
                }
                double(&mut point);
                let doubled = extended(&point);
                add_points(&mut point, &doubled, &selected[column % 2]);
            }
            let (f, h) = (integers(&point.f), integers(&point.h));
            let [numerator, denominator] = [sum(&f, &h), difference(&f, &h)].map(|sums| carry::<0>(&sums));
            Fraction { numerator, denominator, running: denominator }
        }

        /// Replaces each numerator by the quotient. All share one inversion, so no denominator may be zero.
        $(#[$target])*
        pub(super) fn divide(fractions: &mut [Fraction]) {
            if fractions.is_empty() {
                return;
            }
            let mut running = Element::ONE;
            for fraction in &mut *fractions {
                running = multiply(&running, &fraction.denominator);
                fraction.running = running;
            }
            let mut inverse = running.inverses();
            for n in (0..fractions.len()).rev() {
                let before = if n == 0 { Element::ONE } else { fractions[n - 1].running };
                let fraction = &mut fractions[n];
                fraction.numerator = multiply(&fraction.numerator, &multiply(&inverse, &before));
                inverse = multiply(&inverse, &fraction.denominator);
            }
        }
    };
}
pub(super) use points;
