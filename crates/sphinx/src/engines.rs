//! Implementations of the arithmetic of unwrapping, one for each class of CPU.
//!
//! An engine has two parts: [`Curve`], the two multiplications of each packet, and [`Symmetric`], hashes and ciphers.
//! Both work on whole batches. What a packet means is decided elsewhere, once for all engines.

mod avx2;
mod avx512;
mod choice;
mod curve;
mod hkdf;
mod inverse;
mod portable;
mod sha256;
mod symmetric;
#[cfg(test)]
pub(crate) mod tests;

pub use choice::{EngineChoice, EngineKind, UnsupportedEngine};
pub(crate) use curve::{Curve, Secret};
pub(crate) use symmetric::{Job, Jobs, LANES, Symmetric, Work};

/// The parts of one engine.
pub(crate) struct Arithmetic {
    pub curve: Box<dyn Curve>,
    pub symmetric: Box<dyn Symmetric>,
}

impl Arithmetic {
    fn portable() -> Self {
        Self { curve: Box::<portable::Curve>::default(), symmetric: Box::new(portable::Symmetric::new()) }
    }
}
