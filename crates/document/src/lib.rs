//! Configuration files as settings, each with its line: YAML as this release has it, TOML as older releases had it.
//!
//! Any text gives settings or errors with the line that they are about. What a setting means is the caller's business.

mod older;
mod yaml;

pub use older::{Entry, Older, OlderError, Release};
pub use yaml::{Broken, Document, KnownSettings, Text};
