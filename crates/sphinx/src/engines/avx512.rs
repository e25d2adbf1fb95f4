//! The engine for CPUs with AVX-512 IFMA: eight packets at once.
//!
//! Its code on vectors is compiled twice: on the CPU's instructions (`hardware`), and in tests on a model of them in
//! plain Rust (`model`), which runs everywhere. Both modules include the same files.

#[cfg(target_arch = "x86_64")]
mod hardware;
#[cfg(test)]
mod model;
#[cfg(any(target_arch = "x86_64", test))]
mod prelude;
#[cfg(any(target_arch = "x86_64", test))]
mod public_blocks;

use super::Arithmetic;

#[cfg(target_arch = "x86_64")]
pub(super) use hardware::Units;

#[cfg(target_arch = "x86_64")]
pub(super) fn arithmetic(units: Units) -> Arithmetic {
    Arithmetic { curve: Box::new(hardware::Curve::new(units)), symmetric: Box::new(hardware::Symmetric::new(units)) }
}

/// Other CPUs have none.
#[cfg(not(target_arch = "x86_64"))]
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Units {}

#[cfg(not(target_arch = "x86_64"))]
impl Units {
    pub(super) fn detect() -> Result<Self, &'static str> {
        Err("AVX-512")
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
        curve: Box::new(model::Curve::new(model::Units)),
        symmetric: Box::new(model::Symmetric::new(model::Units)),
    }
}
