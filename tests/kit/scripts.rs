//! The shell scripts of the repository.

use std::fs;
use std::process::Command;

use crate::part::{part, root};

/// The tracked shell scripts, and the files that they source.
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

/// Whether a command may stop reading a pipe before its end: under `pipefail` the SIGPIPE of the writer is a failure,
/// sometimes. Use a process substitution, or read to the end: `awk '… END { … }'`, `cut`, `sed -n 1p`.
fn leaves_early(command: &str) -> bool {
    let words: Vec<&str> = command.split_whitespace().skip_while(|word| word.contains('=')).collect();
    let Some((program, arguments)) = words.split_first() else { return false };
    let has_flag = |short: &[char], long: &[&str]| {
        arguments.iter().any(|word| match word.strip_prefix("--") {
            Some(name) => long.iter().any(|flag| name.starts_with(flag)),
            None => word.starts_with('-') && word.contains(short),
        })
    };
    match *program {
        "head" | "read" | "true" | ":" => true,
        "grep" | "zgrep" => has_flag(&['q', 'm'], &["quiet", "silent", "max-count"]),
        "sed" => quits(&arguments.join(" ")),
        "awk" => arguments.iter().any(|word| word.trim_matches(['{', '}', ';', '\'', '"']) == "exit"),
        _ => false,
    }
}

/// Whether a sed script contains the command `q`, which is not part of a word.
fn quits(script: &str) -> bool {
    let is_around = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && c != '\\');
    script.match_indices(['q', 'Q']).any(|(at, _)| {
        let (before, after) = (script[..at].chars().next_back(), script[at + 1..].chars().next());
        (is_around(before) || before.is_some_and(|c| c.is_ascii_digit())) && is_around(after) && after != Some('/')
    })
}

/// The commands of a script that stop reading a pipe early, with their line numbers.
fn early_leavers(script: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut continues = false;
    for (number, line) in script.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with('#')) {
        let line_without_or = line.replace("||", "\n");
        let mut readers: Vec<&str> = line_without_or.split('|').collect();
        if !continues {
            readers.remove(0);
        }
        continues = line_without_or.trim_end_matches('\\').trim_end().ends_with('|');
        let commands = readers.iter().filter_map(|reader| reader.split('\n').next()?.split(" && ").next());
        found.extend(commands.filter(|command| leaves_early(command)).map(|_| format!("{}: {line}", number + 1)));
    }
    found
}

#[test]
fn readers_that_leave_a_pipe_early_are_found() {
    for script in [
        "find . | head -n 1",
        "path=\"$(find . 2>/dev/null | head -n 1)\"",
        "if ls | grep -q x; then",
        "ls |\n    grep --quiet x",
        "ls | \\\n    grep -m 1 x",
        "ls | LC_ALL=C grep -Fxq x || true",
        "ls | sort | sed q",
        "ls | sed -n '1{p;q}'",
        "ls | awk '{ print; exit }'",
        "ls | read -r line",
    ] {
        assert_eq!(early_leavers(script).len(), 1, "{script}");
    }
    for script in [
        "ls || head -n 1 file",
        "# ls | head",
        "ls | tail -n 1 | cut -c 1",
        "ls | grep x",
        "ls | sed 's/q/Q/; s/quiet//'",
        "grep -q x file && ls | sort",
        "ls | awk '{ found = $1 } END { print found }'",
    ] {
        assert_eq!(early_leavers(script), [""; 0], "{script}");
    }
}

#[test]
fn no_script_reads_a_part_of_a_pipe_and_leaves() {
    let mut files = scripts();
    files.push("Makefile".to_owned());
    let mut found = Vec::new();
    for file in &files {
        let text = fs::read_to_string(root().join(file)).expect("a script");
        found.extend(early_leavers(&text).into_iter().map(|line| format!("{file}:{line}")));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
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

/// Standard error of a script that must fail on a machine without tools.
fn complaints_without_tools(arguments: &[&str]) -> String {
    let mut bash = Command::new("/bin/bash");
    let output = bash.args(arguments).env_clear().env("PATH", "/nowhere").current_dir(root()).output().expect("bash");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr).expect("text")
}

#[test]
fn all_missing_packages_are_listed_at_once_with_the_command_that_installs_them() {
    let all = complaints_without_tools(&["tests/kit/packages", "check"]);
    assert_eq!(all.lines().count(), 1, "{all}");
    for word in ["missing: ", " strace ", " nft ", " dockerd ", "make kit-packages", "docker.io"] {
        assert!(all.contains(word), "{word:?} is not in: {all}");
    }
    let some = complaints_without_tools(&["tests/kit/packages", "check", "dh", "strace"]);
    assert!(some.contains("missing: strace dh.") && !some.contains("docker"), "{some}");
}
