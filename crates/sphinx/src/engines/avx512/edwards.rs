// Points of the twisted Edwards curve −x² + y² = 1 + d·x²·y², which is X25519's in another form: u = (1 + y)/(1 − y).
//
// Doubling and addition are those of Hisil, Wong, Carter and Dawson (2008) for a = −1. The formulas are complete.

/// A number modulo p, in limbs.
type Constant = [u64; 5];

/// 2·d with d = −121665/121666.
const TWICE_D: Constant =
    [0x0006_9b94_26b2_f159, 0x0009_a828_3b15_6ebd, 0x000e_f3d1_3000_e014, 0x000f_ce71_98e8_0f2e, 0x0000_2406_d9dc_56df];
/// A square root of −1.
const ROOT_OF_MINUS_ONE: Constant =
    [0x000e_1b27_4a0e_a0b0, 0x0000_6ad2_fe47_8c4e, 0x000d_fbd7_a72f_4318, 0x000d_f0b2_b4d0_0993, 0x0000_2b83_2480_4fc1];
/// A square root of −486664: the factor between v of the Montgomery form and x.
const X_SCALE: Constant =
    [0x000e_04aa_ff45_7e06, 0x000d_14b7_d1a8_2cc6, 0x0003_fc4f_7ec5_a1d3, 0x0000_6bbd_27b0_8dc0, 0x0000_0f26_edf4_60a0];
/// The u-coordinates of points of low order, on the curve or on its twist: 0, 1, −1, and two of order 8.
const LOW_ORDER: [Constant; 5] = [
    [0x0000_0000_0000_0000, 0x0000_0000_0000_0000, 0x0000_0000_0000_0000, 0x0000_0000_0000_0000, 0x0000_0000_0000_0000],
    [0x0000_0000_0000_0001, 0x0000_0000_0000_0000, 0x0000_0000_0000_0000, 0x0000_0000_0000_0000, 0x0000_0000_0000_0000],
    [0x000f_ffff_ffff_ffec, 0x000f_ffff_ffff_ffff, 0x000f_ffff_ffff_ffff, 0x000f_ffff_ffff_ffff, 0x0000_7fff_ffff_ffff],
    [0x0008_413b_7c7a_ebe0, 0x000f_1fae_3561_6aeb, 0x000b_8d09_da6a_c49f, 0x0006_286f_db13_29ce, 0x0000_00b8_495f_1605],
    [0x000c_50a3_bc95_9c5f, 0x0009_c55b_1d0b_1248, 0x0004_5c44_045b_ef83, 0x0002_2d88_68e1_c58c, 0x0000_5711_9fd0_dd4e],
];

/// The base point, whose u is 9.
const BASE_X: Constant =
    [0x0006_2d60_8f25_d51a, 0x0006_0952_5a7b_2c95, 0x000d_d6dc_5c69_2cc7, 0x0005_3fec_0a4e_231f, 0x0000_2169_36d3_cd6e];
const BASE_Y: Constant =
    [0x0006_6666_6666_6658, 0x0006_6666_6666_6666, 0x0006_6666_6666_6666, 0x0006_6666_6666_6666, 0x0000_6666_6666_6666];

/// x = `x`/`z`, y = `y`/`z`.
#[derive(Clone, Copy)]
struct Projective { x: Element, y: Element, z: Element }

/// A summand: y − x, y + x, z and t = x·y/z.
#[derive(Clone, Copy)]
struct Extended { y_minus_x: Element, y_plus_x: Element, z: Element, t: Element }

/// A prepared summand: y − x, y + x, 2·d·t and 2·z.
#[derive(Clone, Copy)]
struct Prepared { y_minus_x: Element, y_plus_x: Element, t_2d: Element, z_2: Element }

/// A sum before its last multiplications: x = e/g, y = h/f.
struct Completed { e: Element, f: Element, g: Element, h: Element }

vectorized! {
    #[inline] fn constant(limbs: &Constant) -> Element {
        let [a, b, c, d, e] = *limbs;
        Element([splat(a), splat(b), splat(c), splat(d), splat(e)])
    }

    /// 2·p. All coordinates of the result are negated, which is the same point.
    #[inline] fn double(p: &Projective) -> Completed {
        let xx = square_columns::<0>(&p.x);
        let yy = square_columns::<32>(&p.y);
        let zz = square_columns::<32>(&p.z);
        let xy = product::<0>(&p.x, &p.y);
        let g = difference(&yy, &xx);
        let f = difference(&sum(&zz, &zz), &g);
        Completed { e: carry(&sum(&xy, &xy)), f: carry(&f), g: carry(&g), h: carry(&sum(&yy, &xx)) }
    }

    #[inline] fn add_points(p: &Extended, q: &Prepared) -> Completed {
        let a = product::<0>(&p.y_minus_x, &q.y_minus_x);
        let b = product::<32>(&p.y_plus_x, &q.y_plus_x);
        let c = product::<0>(&p.t, &q.t_2d);
        let d = product::<32>(&p.z, &q.z_2);
        Completed {
            e: carry(&difference(&b, &a)),
            f: carry(&difference(&d, &c)),
            g: carry(&sum(&d, &c)),
            h: carry(&sum(&b, &a)),
        }
    }

    #[inline] fn projective(sum: &Completed) -> Projective {
        Projective { x: multiply(&sum.e, &sum.f), y: multiply(&sum.g, &sum.h), z: multiply(&sum.f, &sum.g) }
    }

    #[inline] fn extended(sum: &Completed) -> Extended { extended_negated(0, sum) }

    /// The point, negated in the lanes of the mask.
    #[inline] fn extended_negated(mask: Mask, completed: &Completed) -> Extended {
        let x = negate_where::<16>(mask, &product::<0>(&completed.e, &completed.f));
        let y = product::<32>(&completed.g, &completed.h);
        Extended {
            y_minus_x: carry(&difference(&y, &x)),
            y_plus_x: carry(&sum(&y, &x)),
            z: multiply(&completed.f, &completed.g),
            t: carry(&negate_where::<16>(mask, &product::<0>(&completed.e, &completed.h))),
        }
    }

    #[inline(never)] fn double_times(p: &Projective, times: usize) -> Projective {
        let mut doubled = *p;
        for _ in 0..times { doubled = projective(&double(&doubled)); }
        doubled
    }

    #[inline(never)] fn double_both(p: &Projective) -> (Projective, Extended) {
        let doubled = double(p);
        (projective(&doubled), extended(&doubled))
    }

    #[inline(never)] fn add_extended(p: &Extended, q: &Prepared) -> Extended { extended(&add_points(p, q)) }

    #[inline(never)] fn prepare(p: &Extended) -> Prepared {
        let z_2 = add_elements(&p.z, &p.z);
        Prepared { y_minus_x: p.y_minus_x, y_plus_x: p.y_plus_x, t_2d: multiply(&p.t, &constant(&TWICE_D)), z_2 }
    }

    /// The prepared −q.
    #[inline] fn negated(q: &Prepared) -> Prepared {
        let t_2d = carry(&negate_where::<2>(Mask::MAX, &columns_of(&q.t_2d)));
        Prepared { y_minus_x: q.y_plus_x, y_plus_x: q.y_minus_x, t_2d, z_2: q.z_2 }
    }

    /// The point itself. Its coordinates come out doubled.
    #[inline] fn projective_of(q: &Prepared) -> Projective {
        let x = subtract_elements(&q.y_plus_x, &q.y_minus_x);
        Projective { x, y: add_elements(&q.y_plus_x, &q.y_minus_x), z: q.z_2 }
    }

    /// The lanes whose u-coordinate is one of a point of low order.
    #[inline(never)] fn low_order(u: &Element) -> Mask {
        let limbs = canonical(u);
        let mut found = 0;
        for low in &LOW_ORDER {
            let mut differences = zero();
            for limb in 0..5 { differences = or(differences, xor(limbs[limb], splat(low[limb]))); }
            found |= equal(differences, zero());
        }
        found
    }

    /// A point with each u-coordinate, and the lanes in which there is one. In the others, u belongs to the twist.
    ///
    /// Without a division: with w = u³ + 486662·u² + u and v = √w the point is
    /// (c·u·(u + 1) : v·(u − 1) : v·(u + 1)), where c is `X_SCALE`. u = −1 has low order, so z is not zero.
    #[inline(never)] fn lift<const N: usize>(u: &[Element; N]) -> ([Projective; N], [Mask; N]) {
        let one = element(1);
        let mut w = *u;
        for (w, u) in w.iter_mut().zip(u) {
            let quadratic = sum(&multiply_small_add(u, 486_662, &square_columns::<0>(u)), &columns_of(&one));
            *w = multiply(&carry(&quadratic), u);
        }
        let roots = root_power(&w);
        let mut points = [Projective { x: one, y: one, z: one }; N];
        let mut on_curve = [0; N];
        for lane in 0..N {
            let (root, u) = (&roots[lane], &u[lane]);
            let squared = square(root);
            let plus = is_zero(&subtract_elements(&squared, &w[lane]));
            let minus = is_zero(&add_elements(&squared, &w[lane]));
            on_curve[lane] = plus | minus;
            let v = select_element(plus, &multiply(root, &constant(&ROOT_OF_MINUS_ONE)), root);
            let (above, below) = (add_elements(u, &one), subtract_elements(u, &one));
            let x = multiply(&multiply(&constant(&X_SCALE), u), &above);
            points[lane] = Projective { x, y: multiply(&below, &v), z: multiply(&v, &above) };
        }
        (points, on_curve)
    }
}
