//! Parses configuration files into settings with line numbers: YAML of this release, TOML of older ones.
//!
//! Any text results in settings, or in errors with a line number. The caller interprets the settings.

mod older;
mod yaml;

pub use older::{Entry, Older, OlderError, Release};
pub use yaml::{Broken, Document, KnownSettings, Text};
