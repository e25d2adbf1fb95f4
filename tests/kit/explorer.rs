//! The explorer of a registry in a real Chromium, with axe-core. `tests/kit/explorer/` has the tests.

use std::process::Command;

use crate::part::root;

#[test]
fn the_explorer_works_in_a_browser_without_scripts_and_other_servers() {
    let script = root().join("tests/kit/explorer/in_own_network");
    let program = env!("CARGO_BIN_EXE_nym-mixnode");
    let status = Command::new(script).args([program, "--test", "--test-reporter=spec", "explorer.test.mjs"]).status();
    assert!(status.expect("the script starts").success(), "see the failed tests above");
}
