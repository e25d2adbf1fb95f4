//! The engines under valgrind, in whose Memcheck undefined memory stands for secrets.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde_json::Value;

use crate::part::root;

const MODULE: &str = "engines::tests::constant_time";
/// What valgrind exits with when it has reported something.
const REPORTED: i32 = 99;

/// The tests of the engines, optimised and without assertions as in a release: those branch on what they check.
fn engine_tests() -> &'static PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["test", "--locked", "-p", "nym-mixnode-sphinx", "--lib", "--no-run", "--message-format=json"]);
        for setting in ["opt-level=3", "debug-assertions=false", "overflow-checks=false"] {
            build.args(["--config", &format!("profile.dev.package.nym-mixnode-sphinx.{setting}")]);
        }
        let output = build.current_dir(root()).output().expect("cargo");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let lines = String::from_utf8(output.stdout).expect("messages");
        let mut programs = lines.lines().filter_map(|line| {
            let message: Value = serde_json::from_str(line).ok()?;
            Some(PathBuf::from(message.get("executable")?.as_str()?))
        });
        programs.next_back().expect("a program")
    })
}

/// Runs one of the tests under valgrind.
fn run(test: &str) -> (Option<i32>, String) {
    let packages = Command::new(root().join("tests/kit/packages")).args(["check", "valgrind"]).status();
    assert!(packages.expect("the script").success(), "valgrind is missing");
    let mut valgrind = Command::new("valgrind");
    valgrind.arg(format!("--error-exitcode={REPORTED}")).arg(engine_tests());
    valgrind.args(["--ignored", "--exact", "--nocapture", "--test-threads=1", &format!("{MODULE}::{test}")]);
    let Output { status, stdout, stderr } = valgrind.output().expect("valgrind");
    let report = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(report.contains("1 passed"), "{report}");
    (status.code(), report)
}

#[test]
fn valgrind_finds_no_branch_and_no_address_that_depends_on_a_secret() {
    let mut tests = vec!["the_portable_engine_does_not_branch_on_secrets"];
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        tests.push("the_engine_for_avx2_does_not_branch_on_secrets");
    }
    for test in tests {
        let (code, text) = run(test);
        assert_eq!(code, Some(0), "{text}");
    }
}

#[test]
fn valgrind_reports_a_branch_and_an_address_that_depend_on_a_secret() {
    for (test, complaint) in [
        ("a_branch_on_a_secret", "Conditional jump or move depends on uninitialised value"),
        ("an_address_from_a_secret", "Use of uninitialised value"),
    ] {
        let (code, text) = run(test);
        assert_eq!(code, Some(REPORTED), "{text}");
        assert!(text.contains(complaint), "{text}");
    }
}
