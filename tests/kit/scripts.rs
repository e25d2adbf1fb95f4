//! The shell scripts of the repository.

use std::fs;
use std::process::Command;

use crate::part::{part, root};

/// The tracked files that bash or sh is to run, and those that such files take in.
fn scripts() -> Vec<String> {
    let listed = Command::new("git").args(["ls-files"]).current_dir(root()).output().expect("git");
    assert!(listed.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listed.stderr));
    let is_script = |name: &&str| {
        let first = fs::read(root().join(name)).unwrap_or_default();
        let first = String::from_utf8_lossy(first.split(|byte| *byte == b'\n').next().unwrap_or_default()).into_owned();
        first == "# shellcheck shell=bash" || first.starts_with("#!") && first.ends_with("sh")
    };
    String::from_utf8(listed.stdout).expect("names").lines().filter(is_script).map(str::to_owned).collect()
}

#[test]
fn the_linter_finds_nothing_in_any_script() {
    let scripts = scripts();
    assert!(scripts.len() > 5, "the scripts are not where they were: {scripts:?}");
    let output =
        Command::new(part("shellcheck")).args(["-x", "-P", "SCRIPTDIR"]).args(&scripts).current_dir(root()).output();
    let output = output.expect("shellcheck");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
