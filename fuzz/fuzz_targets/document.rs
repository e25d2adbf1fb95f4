//! Parsing any text as `config.yaml` returns settings and errors, each with a valid line, and never panics.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nym_mixnode_document::{Document, KnownSettings};

/// Settings of different types: a text, a number, a list.
struct Sample;

const KEYS: [&str; 3] = ["node.location", "mix.workers", "listen.addresses"];

impl KnownSettings for Sample {
    type Key = usize;

    fn is_section(name: &str) -> bool {
        KEYS.iter().any(|key| key.split_once('.').is_some_and(|(section, _)| section == name))
    }

    fn find(key: &str) -> Option<usize> {
        KEYS.iter().position(|known| *known == key)
    }

    fn is_list(key: usize) -> bool {
        key == 2
    }
}

fuzz_target!(|text: &str| {
    // YAML ends lines with a carriage return, too.
    let breaks = text.bytes().filter(|byte| matches!(byte, b'\n' | b'\r')).count() as u64;
    let is_line = |line: u64| (1..=breaks + 1).contains(&line);
    let document = Document::<Sample>::read(text);
    for (key, texts) in &document.settings {
        assert!(Sample::is_list(*key) || texts.len() <= 1, "{texts:?}");
        assert!(texts.iter().all(|text| is_line(text.line)), "{texts:?} of {breaks} lines");
    }
    for (key, line) in &document.unknown {
        // A section with the full name of a setting, such as `mix.workers:`, is reported as unknown.
        assert!(is_line(*line), "{key} in line {line} of {breaks}");
    }
    if let Some(broken) = &document.broken {
        assert!(!broken.problem.is_empty() && is_line(broken.line), "{broken:?} of {breaks} lines");
    }
});
