//! Both multiplications of four packets at once, on CPUs with AVX2 and FMA.
//!
//! All multiples of α that a packet needs come from one table: 16 sums of α · 8 · 2^(51·j), used for the private key
//! and for the blinding factor. The field's arithmetic is in double precision, where these CPUs multiply fastest.
//!
//! What depends on a secret: digits of scalars, which only select table entries through masks, and everything computed
//! from those entries. Branches and addresses depend on α alone, which is on the wire: points that are not on the
//! curve, or of low order, are left to the portable function, and so is a packet that would have a vector for itself.

#[cfg(any(target_arch = "x86_64", test))]
mod arithmetic;
#[cfg(any(target_arch = "x86_64", test))]
mod batch;
#[cfg(any(target_arch = "x86_64", test))]
mod element;
#[cfg(test)]
mod model;
#[cfg(any(target_arch = "x86_64", test))]
mod points;
#[cfg(target_arch = "x86_64")]
mod rounding;
#[cfg(any(target_arch = "x86_64", test))]
mod scalar;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod vector;

use super::Arithmetic;

#[cfg(target_arch = "x86_64")]
pub(super) use vector::Units;

/// The symmetric part is the portable one: its libraries use SHA and AES instructions and AVX2 where the CPU has them.
#[cfg(target_arch = "x86_64")]
pub(super) fn arithmetic(units: Units) -> Arithmetic {
    Arithmetic { curve: Box::new(batch::Batch::new(units)), symmetric: Box::new(super::portable::Symmetric::new()) }
}

/// Other CPUs have none.
#[cfg(not(target_arch = "x86_64"))]
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Units {}

#[cfg(not(target_arch = "x86_64"))]
impl Units {
    pub(super) fn detect() -> Result<Self, &'static str> {
        Err("AVX2")
    }
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) fn arithmetic(units: Units) -> Arithmetic {
    match units {}
}

/// The same code without the CPU's vector instructions.
#[cfg(test)]
pub(super) fn model() -> Arithmetic {
    Arithmetic {
        curve: Box::new(batch::Batch::new(model::Model)),
        symmetric: Box::new(super::portable::Symmetric::new()),
    }
}
