//! The choice of an engine.

use std::fmt;

use thiserror::Error;

use super::{Arithmetic, avx2, avx512};

/// An engine that this CPU can run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EngineKind(Kind);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Portable,
    Avx2(avx2::Units),
    /// The code for AVX2 without its instructions.
    #[cfg(test)]
    Avx2Model,
    Avx512(avx512::Units),
    /// The code for AVX-512 without its instructions.
    #[cfg(test)]
    Avx512Model,
}

/// An engine as it is configured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EngineChoice {
    /// The fastest that the CPU can run.
    #[default]
    Auto,
    /// For every CPU.
    Portable,
    /// For CPUs with AVX2 and FMA.
    Avx2,
    /// For CPUs with AVX-512 IFMA.
    Avx512,
}

/// The configured engine needs another CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("this CPU cannot run the unwrap engine {engine}: it lacks {missing}")]
pub struct UnsupportedEngine {
    engine: &'static str,
    /// Instructions that the CPU lacks.
    missing: &'static str,
}

impl EngineChoice {
    const ALL: [Self; 4] = [Self::Auto, Self::Portable, Self::Avx2, Self::Avx512];

    /// The names, in the order of the documentation.
    pub const NAMES: [&str; 4] = ["auto", "portable", "avx2", "avx512"];

    /// The choice with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().zip(Self::NAMES).find(|(_, known)| *known == name).map(|(choice, _)| choice)
    }

    /// The engine to run.
    ///
    /// # Errors
    /// If the CPU lacks instructions of a chosen engine.
    pub fn resolve(self) -> Result<EngineKind, UnsupportedEngine> {
        match self {
            Self::Auto => Ok(EngineKind::fastest()),
            Self::Portable => Ok(EngineKind::PORTABLE),
            Self::Avx2 => match avx2::Units::detect() {
                Ok(units) => Ok(EngineKind(Kind::Avx2(units))),
                Err(missing) => Err(UnsupportedEngine { engine: "avx2", missing }),
            },
            Self::Avx512 => match avx512::Units::detect() {
                Ok(units) => Ok(EngineKind(Kind::Avx512(units))),
                Err(missing) => Err(UnsupportedEngine { engine: "avx512", missing }),
            },
        }
    }
}

impl EngineKind {
    /// The engine for every CPU.
    pub const PORTABLE: Self = Self(Kind::Portable);

    /// The fastest engine for this CPU.
    #[must_use]
    pub fn fastest() -> Self {
        Self::all().first().copied().unwrap_or(Self::PORTABLE)
    }

    /// All engines that this CPU can run, the fastest first.
    #[must_use]
    pub fn all() -> Vec<Self> {
        [EngineChoice::Avx512, EngineChoice::Avx2, EngineChoice::Portable]
            .into_iter()
            .filter_map(|choice| choice.resolve().ok())
            .collect()
    }

    /// All engines that this CPU can run, and the models of others, for tests.
    #[cfg(test)]
    pub(crate) fn all_and_models() -> Vec<Self> {
        Self::all().into_iter().chain([Self(Kind::Avx2Model), Self(Kind::Avx512Model)]).collect()
    }

    /// The name in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self.0 {
            Kind::Portable => "portable",
            Kind::Avx2(_) => "avx2",
            #[cfg(test)]
            Kind::Avx2Model => "model of avx2",
            Kind::Avx512(_) => "avx512",
            #[cfg(test)]
            Kind::Avx512Model => "model of avx512",
        }
    }

    pub(crate) fn arithmetic(self) -> Arithmetic {
        match self.0 {
            Kind::Portable => Arithmetic::portable(),
            Kind::Avx2(units) => avx2::arithmetic(units),
            #[cfg(test)]
            Kind::Avx2Model => avx2::model(),
            Kind::Avx512(units) => avx512::arithmetic(units),
            #[cfg(test)]
            Kind::Avx512Model => avx512::model(),
        }
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
