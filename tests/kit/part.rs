//! The real parts of the tests: engines, servers and linters. Scripts of `tests/kit/parts/` find or build them.

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The program of the part `name`, which `tests/kit/parts/<name>` finds, or installs and builds first.
///
/// # Panics
/// When the part is not available; the script reports what to do.
pub(crate) fn part(name: &str) -> PathBuf {
    let script = root().join("tests/kit/parts").join(name);
    let output = Command::new(&script).stderr(Stdio::inherit()).output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}", script.display()));
    assert!(output.status.success(), "the part {name} is missing, see above");
    let path = String::from_utf8(output.stdout).expect("a path");
    PathBuf::from(path.trim())
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
