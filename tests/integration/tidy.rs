//! The rules of the house that no linter knows.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const FILE_LINES_MAX: usize = 600;
const LINE_CHARS_MAX: usize = 120;

/// Work that is left undone belongs into an issue, and unfinished code nowhere.
const UNFINISHED: [&str; 5] = ["TODO", "FIXME", "XXX", "todo!", "unimplemented!"];

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// Every complaint that `complain` has about a file of `src`.
fn complaints(complain: impl Fn(&str) -> Vec<String>) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = rust_files(&root.join("src"));
    assert!(files.len() > 10, "the sources are not where they were: {files:?}");
    let of_file = |path: &PathBuf| {
        let name = path.strip_prefix(root).unwrap().display().to_string();
        complain(&fs::read_to_string(path).unwrap()).into_iter().map(move |what| format!("{name}: {what}"))
    };
    files.iter().flat_map(of_file).collect()
}

/// Complaints about single lines, with their numbers.
fn line_complaints(is_bad: impl Fn(&str) -> bool) -> Vec<String> {
    complaints(|text| {
        let numbered = text.lines().enumerate();
        numbered.filter(|(_, line)| is_bad(line)).map(|(index, line)| format!("line {}: {line}", index + 1)).collect()
    })
}

fn assert_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn every_file_begins_with_what_it_is_about() {
    assert_none(&complaints(|text| if text.starts_with("//! ") { vec![] } else { vec!["no //! at its top".into()] }));
}

#[test]
fn no_file_is_about_too_much() {
    assert_none(&complaints(|text| match text.lines().count() {
        lines if lines > FILE_LINES_MAX => vec![format!("{lines} lines, more than {FILE_LINES_MAX}")],
        _ => vec![],
    }));
}

#[test]
fn no_line_is_too_long() {
    // A raw string is as long as what it holds.
    assert_none(&line_complaints(|line| line.chars().count() > LINE_CHARS_MAX && !line.contains("r#\"")));
}

#[test]
fn nothing_is_left_unfinished() {
    assert_none(&line_complaints(|line| UNFINISHED.iter().any(|mark| line.contains(mark))));
}

/// The map names folders as `room/{file,file}` or `room/file`, and single files with their ending.
fn names_on_the_map(map: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for word in map.split_whitespace() {
        let is_file = Path::new(word).extension().is_some_and(|extension| extension == "rs");
        if let Some((folder, files)) = word.split_once("/{") {
            names.extend(files.trim_end_matches('}').split(',').map(|file| format!("{folder}/{file}.rs")));
        } else if is_file {
            names.insert(word.to_owned());
        } else if word.contains('/') && !word.ends_with('/') {
            names.insert(format!("{word}.rs"));
        }
    }
    names
}

#[test]
fn the_map_has_every_room_and_no_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = fs::read_to_string(root.join("docs/architecture.md")).unwrap();
    let map = document.split_once("```\nsrc/\n").unwrap().1.split_once("\ntests/").unwrap().0;
    let named = names_on_the_map(map);
    let files = rust_files(&root.join("src"));
    let there: BTreeSet<String> = files
        .iter()
        .map(|file| file.strip_prefix(root.join("src")).unwrap().display().to_string())
        // Tests, and what is inside of a folder inside of a room, is that folder's own affair.
        .filter(|file| !file.ends_with("tests.rs") && (file.matches('/').count() < 2 || named.contains(file)))
        .collect();
    assert!(named.is_subset(&there), "not there: {:?}", named.difference(&there));
    assert!(there.is_subset(&named), "not on the map: {:?}", there.difference(&named));
}
