//! The arithmetic on a model of the vectors, in plain Rust: tests run the same algorithm on every CPU.

use super::arithmetic::{
    BIAS, CARRY_BIAS, HIGH_BITS, LOW_BITS, PRODUCT_SPLITS, SQUARE_SPLITS, TWO_TO_52_BITS, align_stack, arithmetic,
    starts,
};
use super::batch::Backend;
use super::element::{Element, LANES, LIMB_BITS, LIMBS, PerLane, Raw};
use super::points::{A, Completed, Extended, Fraction, Lifted, ROOT_OF_MINUS_ONE, SCALE, TWO_D, Table, points};
use super::scalar::{Digits, SPACING, TABLE_LEN, TEETH};

#[derive(Clone, Copy)]
pub(super) struct Model;

impl Backend for Model {
    type Environment = ();

    fn enter(self) {}

    fn lift<const N: usize>(self, coordinates: &[Element; N]) -> [Lifted; N] {
        lift(coordinates)
    }

    fn fill_table(self, point: &Completed, table: &mut Table) {
        fill_table(point, table);
    }

    fn comb(self, table: &Table, digits: &Digits) -> Fraction {
        comb(table, digits)
    }

    fn divide(self, fractions: &mut [Fraction]) {
        divide(fractions);
    }
}

type Floats = [f64; LANES];
type Integers = [u64; LANES];

fn by_lane<A: Copy, B: Copy, C>(a: [A; LANES], b: [B; LANES], operation: impl Fn(A, B) -> C) -> [C; LANES] {
    std::array::from_fn(|lane| operation(a[lane], b[lane]))
}

fn splat(value: f64) -> Floats {
    [value; LANES]
}

fn splat_integer(value: u64) -> Integers {
    [value; LANES]
}

fn add(a: Floats, b: Floats) -> Floats {
    by_lane(a, b, |a, b| a + b)
}

fn subtract(a: Floats, b: Floats) -> Floats {
    by_lane(a, b, |a, b| a - b)
}

fn multiply_add(a: Floats, b: Floats, c: Floats) -> Floats {
    std::array::from_fn(|lane| a[lane].mul_add(b[lane], c[lane]))
}

fn add_integers(a: Integers, b: Integers) -> Integers {
    by_lane(a, b, u64::wrapping_add)
}

fn subtract_integers(a: Integers, b: Integers) -> Integers {
    by_lane(a, b, u64::wrapping_sub)
}

fn multiply_low_halves(a: Integers, b: Integers) -> Integers {
    const HALF: u64 = 0xffff_ffff;
    by_lane(a, b, |a, b| (a & HALF) * (b & HALF))
}

fn and(a: Integers, b: Integers) -> Integers {
    by_lane(a, b, |a, b| a & b)
}

fn or(a: Integers, b: Integers) -> Integers {
    by_lane(a, b, |a, b| a | b)
}

fn xor(a: Integers, b: Integers) -> Integers {
    by_lane(a, b, |a, b| a ^ b)
}

fn equal(a: Integers, b: Integers) -> Integers {
    by_lane(a, b, |a, b| if a == b { u64::MAX } else { 0 })
}

fn bits(a: Floats) -> Integers {
    a.map(f64::to_bits)
}

fn floats(a: Integers) -> Floats {
    a.map(f64::from_bits)
}

fn blend(mask: Integers, a: Floats, b: Floats) -> Floats {
    std::array::from_fn(|lane| if mask[lane] >> 63 == 1 { b[lane] } else { a[lane] })
}

fn shift_right<const BITS: u32>(a: Integers) -> Integers {
    a.map(|lane| lane >> BITS)
}

fn sixteen_times(a: Integers) -> Integers {
    a.map(|lane| lane << 4)
}

fn load_floats(lanes: &[f64; LANES]) -> Floats {
    *lanes
}

fn store_floats(lanes: &mut [f64; LANES], value: Floats) {
    *lanes = value;
}

fn load_integers(lanes: &[i64; LANES]) -> Integers {
    lanes.map(i64::cast_unsigned)
}

fn store_integers(lanes: &mut [i64; LANES], value: Integers) {
    *lanes = value.map(u64::cast_signed);
}

fn load_lanes(lanes: &PerLane) -> Integers {
    lanes.0
}

arithmetic!();
points!();
