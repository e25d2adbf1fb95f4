//! Completions and manual pages, by running the program.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::cli::Home;

const COMMANDS: [&str; 8] = ["init", "run", "unregister", "registry", "probe", "localnet", "config", "completions"];

#[test]
fn bash_understands_its_completions() {
    let script = Home::new().run(&["completions", "bash"]).ok().stdout;
    let mut bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().unwrap();
    bash.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(bash.wait().unwrap().success());
    for command in COMMANDS {
        assert!(script.contains(&format!("nym__mixnode__{command}")) || script.contains(command), "{command}");
    }
}

#[test]
fn every_shell_has_every_command() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = home.run(&["completions", shell]).ok().stdout;
        for word in COMMANDS.into_iter().chain(["announce-host", "mix-delay-max"]) {
            assert!(script.contains(word), "{word} is not among the completions of {shell}");
        }
    }
    home.run(&["completions", "tcsh"]).fails(64, &["'tcsh'", "bash, zsh and fish"]);
}

#[test]
fn every_command_has_a_manual_page() {
    let home = Home::new();
    let page = home.run(&["man"]).ok().stdout;
    let dir = home.0.path().join("man1");
    home.run(&["man", dir.to_str().unwrap()]).ok();
    assert_eq!(fs::read_to_string(dir.join("nym-mixnode.1")).unwrap(), page);
    for command in COMMANDS {
        assert!(page.contains(&format!("nym\\-mixnode\\-{command}(1)")), "{command} is not in:\n{page}");
        let own = fs::read_to_string(dir.join(format!("nym-mixnode-{command}.1"))).unwrap();
        assert!(own.starts_with(".ie") || own.contains(".TH"), "{own}");
    }
    let run = fs::read_to_string(dir.join("nym-mixnode-run.1")).unwrap();
    assert!(run.contains("\\-\\-announce\\-host") && run.contains("\\-\\-mix\\-delay\\-max"), "{run}");
    home.run(&["man", "/proc/nowhere"]).fails(73, &["/proc/nowhere"]);
}
