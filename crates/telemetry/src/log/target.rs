//! Names of the program's modules in log lines and filters: `nym_mixnode::registry`, whatever crate the module is in.

use std::borrow::Cow;

/// What all of them begin with.
pub(super) const OWN: &str = "nym_mixnode";

/// The libraries of this workspace. The events of `nym_mixnode_registry` are logged as those of `nym_mixnode::registry`.
const CRATES: [&str; 21] = [
    "address",
    "api",
    "base",
    "client",
    "config",
    "directory",
    "document",
    "explorer",
    "gateway",
    "http",
    "keys",
    "link",
    "message",
    "mix",
    "monitor",
    "net",
    "registry",
    "sphinx",
    "telemetry",
    "tls",
    "wire",
];

/// The modules of the program itself, and `log` for lines of the log about itself.
const MODULES: [&str; 6] = ["cli", "doctor", "localnet", "log", "node", "systemd"];

/// Everything that a filter can name after [`OWN`].
pub(super) fn modules() -> impl Iterator<Item = &'static str> {
    CRATES.into_iter().chain(MODULES)
}

pub(super) fn is_module(name: &str) -> bool {
    modules().any(|module| module == name)
}

/// The target of the events of a module, as `tracing` has it.
pub(super) fn of_module(path: &str) -> Cow<'_, str> {
    let library = path.strip_prefix("nym_mixnode::").filter(|rest| {
        let first = rest.split("::").next().unwrap_or_default();
        CRATES.contains(&first)
    });
    library.map_or(Cow::Borrowed(path), |rest| format!("{OWN}_{rest}").into())
}

/// The module of a target, as it is logged.
pub(super) fn shown(target: &str) -> Cow<'_, str> {
    match target.strip_prefix("nym_mixnode_") {
        Some(library) => format!("{OWN}::{library}").into(),
        None => target.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_shown_by_the_name_that_filters_know() {
        for (module, target) in [
            ("nym_mixnode", "nym_mixnode"),
            ("nym_mixnode::node", "nym_mixnode::node"),
            ("nym_mixnode::registry::http", "nym_mixnode_registry::http"),
            ("hyper::proto", "hyper::proto"),
        ] {
            assert_eq!(of_module(module), target);
            assert_eq!(shown(target), module);
        }
    }

    #[test]
    fn the_crates_are_those_of_the_workspace() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        // That one is for tests alone.
        let mut names: Vec<_> = names.filter(|name| name != "testing").collect();
        names.sort_unstable();
        assert_eq!(names, CRATES);
    }
}
