//! Parsing any text as `config.toml` returns a file of a known release, whose entries have valid lines, or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nym_mixnode_document::Older;

fuzz_target!(|text: &str| {
    let lines = text.lines().count() as u64;
    let Ok(older) = Older::parse(text) else { return };
    for entry in older.entries() {
        assert!(entry.line >= 1 && entry.line <= lines.max(1), "{entry:?}");
        assert!(older.get(&entry.key).is_none_or(|found| found.key == entry.key && !found.is_unset()));
        assert!(entry.duration().len() >= entry.text.trim().len());
    }
});
