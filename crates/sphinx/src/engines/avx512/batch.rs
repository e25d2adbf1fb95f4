// Both multiplications of a batch of points.

/// The base point's u-coordinate. It takes the place of missing points, and of those that vectors do not multiply:
/// points of low order, which are refused, and points of the twist.
const BASE: u64 = 9;

/// Both multiplications of eight packets at once.
pub(super) struct Curve {
    points: Vec<Bytes32>,
    state: State,
}

/// The points in vectors, and memory for their products.
struct State {
    count: usize,
    tables: Vec<Table>,
    /// For each vector, the lanes with a point of low order, and those with a point that is not on the curve.
    low_order: Vec<Mask>,
    off_curve: Vec<Mask>,
    fractions: Vec<Fraction>,
    prefixes: Vec<Element>,
}

impl State {
    const fn new() -> Self {
        Self {
            count: 0,
            tables: Vec::new(),
            low_order: Vec::new(),
            off_curve: Vec::new(),
            fractions: Vec::new(),
            prefixes: Vec::new(),
        }
    }

    fn is_low_order(&self, point: usize) -> bool {
        self.low_order[point / 8] >> (point % 8) & 1 == 1
    }

    fn is_off_curve(&self, point: usize) -> bool {
        self.off_curve[point / 8] >> (point % 8) & 1 == 1
    }
}

impl Curve {
    pub(super) const fn new(_units: Units) -> Self {
        Self { points: Vec::new(), state: State::new() }
    }

    /// The number of points in vectors. A single one beyond full vectors is cheaper alone.
    fn in_vectors(&self) -> usize {
        self.points.len() - usize::from(self.points.len() % 8 == 1)
    }
}

impl engines::Curve for Curve {
    fn load(&mut self, points: &[Bytes32]) {
        self.points.clear();
        self.points.extend_from_slice(points);
        let in_vectors = self.in_vectors();
        dispatch!(load_points(&mut self.state, &points[..in_vectors]));
    }

    fn multiply_all(&mut self, scalar: &Bytes32, products: &mut [Result<Secret, UnwrapError>]) {
        let in_vectors = self.in_vectors();
        dispatch!(multiply_all(&mut self.state, scalar, &mut |at, product| products[at] = Ok(product)));
        for (at, (product, point)) in products.iter_mut().zip(&self.points).enumerate() {
            if at < in_vectors && self.state.is_low_order(at) {
                *product = Err(UnwrapError::LowOrderPoint);
            } else if at >= in_vectors || self.state.is_off_curve(at) {
                *product = multiply_clamped(scalar, point).ok_or(UnwrapError::LowOrderPoint);
            }
        }
    }

    fn multiply_each(&mut self, scalars: &[Option<Secret>], products: &mut [Bytes32]) {
        let in_vectors = self.in_vectors();
        dispatch!(multiply_each(&mut self.state, &scalars[..in_vectors], &mut |at, product| {
            if scalars[at].is_some() {
                products[at] = *product;
            }
        }));
        for (at, (product, point)) in products.iter_mut().zip(&self.points).enumerate() {
            if at >= in_vectors || self.state.is_off_curve(at) {
                let scalar = scalars[at].as_ref();
                if let Some(result) = scalar.and_then(|scalar| multiply_clamped(scalar, point)) {
                    *product = *result;
                }
            }
        }
    }
}

vectorized! {
    /// Replaces the batch.
    fn load_points(state: &mut State, points: &[Bytes32]) {
        state.count = points.len();
        state.low_order.clear();
        state.off_curve.clear();
        let vectors = points.len().div_ceil(8);
        while state.tables.len() < vectors { state.tables.push(Table([[[zero(); 2]; 8]; LIMBS])); }
        let mut at = 0;
        while at < vectors {
            at += match vectors - at {
                1 => load_vectors::<1>(state, points, at),
                2 => load_vectors::<2>(state, points, at),
                3 => load_vectors::<3>(state, points, at),
                _ => load_vectors::<4>(state, points, at),
            };
        }
    }

    /// Loads `N` vectors of points from vector `at` on, and returns `N`.
    fn load_vectors<const N: usize>(state: &mut State, points: &[Bytes32], at: usize) -> usize {
        let mut base = [0; 32];
        base[0] = 9;
        let mut u = [element(BASE); N];
        for (vector, u) in u.iter_mut().enumerate() {
            let first = 8 * (at + vector);
            let loaded = from_words(&words_of(|lane| points.get(first + lane).unwrap_or(&base)));
            let low = low_order(&loaded);
            state.low_order.push(low);
            *u = select_element(low, &loaded, &element(BASE));
        }
        let (mut lifted, on_curve) = lift(&u);
        for vector in 0..N {
            state.off_curve.push(!on_curve[vector]);
            let point = &mut lifted[vector];
            point.x = select_element(on_curve[vector], &constant(&BASE_X), &point.x);
            point.y = select_element(on_curve[vector], &constant(&BASE_Y), &point.y);
            point.z = select_element(on_curve[vector], &element(1), &point.z);
            fill_table(&mut state.tables[at + vector], point);
        }
        N
    }

    /// Multiplies every point by one scalar.
    fn multiply_all(state: &mut State, scalar: &Bytes32, take: &mut dyn FnMut(usize, Secret)) {
        let mut digits = digits(&words_of(|_| scalar));
        state.fractions.clear();
        for vector in 0..state.count.div_ceil(8) {
            state.fractions.push(multiply_points(&state.tables[vector], &digits));
        }
        wipe_digits(&mut digits);
        divide(state, take);
    }

    /// Multiplies the points that have a scalar by it, and those beside them by another.
    fn multiply_each(state: &mut State, scalars: &[Option<Secret>], take: &mut dyn FnMut(usize, Secret)) {
        state.fractions.clear();
        for (vector, scalars) in scalars.chunks(8).enumerate() {
            state.fractions.push(if scalars.iter().any(Option::is_some) {
                let scalar = |lane: usize| scalars.get(lane).and_then(Option::as_deref).unwrap_or(&[0; 32]);
                let mut digits = digits(&words_of(scalar));
                let product = multiply_points(&state.tables[vector], &digits);
                wipe_digits(&mut digits);
                product
            } else {
                Fraction { numerator: element(0), denominator: element(1) }
            });
        }
        divide(state, take);
    }

    /// Makes the fractions u-coordinates. One inversion serves all of them: of the product of all denominators, none of
    /// which is zero.
    fn divide(state: &mut State, take: &mut dyn FnMut(usize, Secret)) {
        if state.fractions.is_empty() { return; }
        state.prefixes.clear();
        let mut product = element(1);
        for fraction in &state.fractions {
            state.prefixes.push(product);
            product = multiply_call(&product, &fraction.denominator);
        }
        let mut words = Zeroizing::new([[0; 8]; 4]);
        to_words(&product, &mut words);
        invert_all(&mut words);
        let mut inverse = from_words(&words);
        for vector in (0..state.fractions.len()).rev() {
            let Fraction { numerator, denominator } = &state.fractions[vector];
            let quotient = multiply_call(&multiply_call(&inverse, &state.prefixes[vector]), numerator);
            inverse = multiply_call(&inverse, denominator);
            to_words(&quotient, &mut words);
            for lane in 0..8.min(state.count - 8 * vector) {
                take(8 * vector + lane, bytes_of(&words, lane));
            }
        }
        let wiped = Fraction { numerator: element(0), denominator: element(0) };
        state.fractions.fill(wiped);
        state.prefixes.fill(element(0));
        std::hint::black_box((&mut state.fractions, &mut state.prefixes));
    }
}
