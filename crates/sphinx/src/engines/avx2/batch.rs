//! A batch of packets on vectors of four lanes.

use zeroize::{Zeroize, Zeroizing};

use super::element::{Element, LANES};
use super::points::{Completed, Extended, Fraction, Lifted, Table};
use super::scalar::{Digits, TABLE_LEN};
use crate::UnwrapError;
use crate::engines::{Curve, Secret};
use crate::x25519::{Bytes32, multiply_clamped};

/// Two vectors are lifted at once: the chain of squarings of one alone would wait for its results.
const AT_ONCE: usize = 2;

/// The u-coordinate of the base point, for lanes without a packet.
const BASE: Bytes32 = {
    let mut base = [0; 32];
    base[0] = 9;
    base
};

/// Operations on four lanes.
pub(super) trait Backend: Copy + Send {
    /// The floating-point environment of the operations, until it is dropped.
    type Environment;

    fn enter(self) -> Self::Environment;
    fn lift<const N: usize>(self, coordinates: &[Element; N]) -> [Lifted; N];
    fn fill_table(self, point: &Completed, table: &mut Table);
    fn comb(self, table: &Table, digits: &Digits) -> Fraction;
    fn divide(self, fractions: &mut [Fraction]);
}

/// The scalar of lanes whose packet has none.
const NO_SCALAR: Bytes32 = [0; 32];

/// A batch and its memory, which the next batch uses again.
pub(super) struct Batch<B> {
    backend: B,
    points: Vec<Bytes32>,
    /// The packets in the vectors, in the order of lanes.
    in_vectors: Vec<usize>,
    /// The packets that the portable function multiplies.
    alone: Vec<usize>,
    lifted: Vec<Completed>,
    tables: Vec<Table>,
    fractions: Vec<Fraction>,
    /// The vector of each fraction.
    vectors: Vec<usize>,
}

impl<B: Backend> Batch<B> {
    pub(super) const fn new(backend: B) -> Self {
        Self {
            backend,
            points: Vec::new(),
            in_vectors: Vec::new(),
            alone: Vec::new(),
            lifted: Vec::new(),
            tables: Vec::new(),
            fractions: Vec::new(),
            vectors: Vec::new(),
        }
    }

    /// Puts usable points into the next free lanes.
    fn place(&mut self, start: usize, end: usize, lifted: &[Lifted]) {
        let lanes = lifted.iter().flat_map(|vector| (0..LANES).map(move |lane| (vector, lane)));
        for (packet, (vector, lane)) in (start..end).zip(lanes) {
            if !vector.is_usable[lane] {
                self.alone.push(packet);
                continue;
            }
            let to_lane = self.in_vectors.len() % LANES;
            if to_lane == 0 {
                // In all lanes, so that those that stay free have a usable point, too.
                self.lifted.push(vector.point.broadcast(lane));
            } else if let Some(last) = self.lifted.last_mut() {
                last.copy_lane(to_lane, &vector.point, lane);
            }
            self.in_vectors.push(packet);
        }
    }
}

impl<B: Backend> Curve for Batch<B> {
    fn load(&mut self, points: &[Bytes32]) {
        let _environment = self.backend.enter();
        self.points.clear();
        self.points.extend_from_slice(points);
        self.in_vectors.clear();
        self.alone.clear();
        self.lifted.clear();
        let in_vectors = if points.len() % LANES == 1 { points.len() - 1 } else { points.len() };
        for start in (0..in_vectors).step_by(AT_ONCE * LANES) {
            let coordinates: [Element; AT_ONCE] = std::array::from_fn(|n| {
                Element::from_bytes(std::array::from_fn(|lane| points.get(start + n * LANES + lane).unwrap_or(&BASE)))
            });
            if in_vectors - start > LANES {
                self.place(start, in_vectors, &self.backend.lift(&coordinates));
            } else {
                self.place(start, in_vectors, &self.backend.lift(&[coordinates[0]]));
            }
        }
        self.alone.extend(in_vectors..points.len());
        if self.tables.len() < self.lifted.len() {
            self.tables.resize(self.lifted.len(), [Extended::ZERO; TABLE_LEN]);
        }
        for (point, table) in self.lifted.iter().zip(&mut self.tables) {
            self.backend.fill_table(point, table);
        }
    }

    fn multiply_all(&mut self, scalar: &Bytes32, products: &mut [Result<Secret, UnwrapError>]) {
        let _environment = self.backend.enter();
        let digits = Digits::of([scalar; LANES]);
        self.fractions.clear();
        self.fractions.extend(self.lifted.iter().zip(&self.tables).map(|(_, table)| self.backend.comb(table, &digits)));
        self.backend.divide(&mut self.fractions);
        for (packets, fraction) in self.in_vectors.chunks(LANES).zip(&self.fractions) {
            for (packet, product) in packets.iter().zip(Zeroizing::new(fraction.numerator.to_bytes()).iter()) {
                products[*packet] = Ok(Secret::new(*product));
            }
        }
        self.fractions.zeroize();
        for packet in &self.alone {
            products[*packet] = multiply_clamped(scalar, &self.points[*packet]).ok_or(UnwrapError::LowOrderPoint);
        }
    }

    fn multiply_each(&mut self, scalars: &[Option<Secret>], products: &mut [Bytes32]) {
        let _environment = self.backend.enter();
        self.fractions.clear();
        self.vectors.clear();
        for (vector, (packets, table)) in self.in_vectors.chunks(LANES).zip(&self.tables).enumerate() {
            let scalar = |lane: usize| scalars[*packets.get(lane)?].as_deref();
            if (0..LANES).any(|lane| scalar(lane).is_some()) {
                let digits = Digits::of(std::array::from_fn(|lane| scalar(lane).unwrap_or(&NO_SCALAR)));
                self.fractions.push(self.backend.comb(table, &digits));
                self.vectors.push(vector);
            }
        }
        self.backend.divide(&mut self.fractions);
        for (vector, fraction) in self.vectors.iter().zip(&self.fractions) {
            let packets = self.in_vectors.iter().skip(vector * LANES);
            for (packet, product) in packets.zip(fraction.numerator.to_bytes()) {
                if scalars[*packet].is_some() {
                    products[*packet] = product;
                }
            }
        }
        self.fractions.zeroize();
        for packet in &self.alone {
            let product = scalars[*packet].as_ref().and_then(|scalar| multiply_clamped(scalar, &self.points[*packet]));
            if let Some(product) = product {
                products[*packet] = *product;
            }
        }
    }
}
