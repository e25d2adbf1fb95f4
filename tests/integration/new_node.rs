//! Output of `init` and `run` for a new node, by the 0.9.2 manual and with an own directory.

use std::fs;
use std::process::{Command, Stdio};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::timeout;

use crate::cli::{Home, outcome};
use crate::process::{NodeFiles, RegistryProcess, program};
use crate::support::{NOWHERE, PATIENCE};

/// Separate network namespace: ports are free, no name resolves, and addresses are on no interface.
const ALONE: [&str; 4] = ["unshare", "--user", "--map-root-user", "--net"];
const PROGRAM: &str = env!("CARGO_BIN_EXE_nym-mixnode");

/// Runs the program in a separate network, with both output streams combined.
fn alone(home: &Home, arguments: &[&str]) -> Command {
    let mut command = Command::new(ALONE[0]);
    command
        .args(&ALONE[1..])
        .args(["sh", "-c", "ip link set lo up && exec \"$@\" 2>&1", "sh", PROGRAM])
        .args(arguments);
    command.env("HOME", home.0.path()).env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

#[test]
fn init_by_the_manual_says_that_the_public_network_is_gone_and_what_to_do() {
    let home = Home::new();
    let manual = ["init", "--id", "mix", "--host", "36.68.243.1", "--location", "YourCity"];
    let said = home.run(&manual).ok();
    let config = home.config();
    for words in ["network is gone", "nym-mixnode registry --listen", "directory.url", "node.layer"] {
        assert!(said.stdout.contains(words), "{words:?} is not in: {}", said.stdout);
    }
    assert!(said.stdout.contains(config.to_str().unwrap()), "{}", said.stdout);
    assert!(said.stdout.contains("nym-mixnode run --id mix --validator http://"), "{}", said.stdout);
    assert!(!said.stdout.contains("Asking") && !said.stdout.contains("random"), "{}", said.stdout);
    let config = fs::read_to_string(config).unwrap();
    assert!(config.contains("  layer: 1\n"), "{config}");
    // A metrics server in the file would remain after a change of the directory.
    assert!(config.contains("  #metrics_url:\n"), "{config}");

    // A directory for such a node must allow private addresses, and loopback addresses only beside its own.
    for (host, registry, url) in [
        ("192.0.2.2", "--listen 0.0.0.0:8081 --allow-private`", "--validator http://ADDRESS:8081`"),
        ("127.0.0.1", "--listen 127.0.0.1:8081 --allow-private`", "--validator http://127.0.0.1:8081`"),
        ("[::1]", "--listen [::1]:8081 --allow-private`", "--validator http://[::1]:8081`"),
    ] {
        let said = Home::new().run(&["init", "--id", "mix", "--host", host, "--allow-private"]).ok().stdout;
        assert!(said.contains(&format!("nym-mixnode registry {registry}")) && said.contains(url), "{host}: {said}");
    }

    let of_its_own = Home::new();
    let directory = ["--layer", "2", "--validator", &NOWHERE];
    let said = of_its_own.run(&[&manual[..], &directory].concat()).ok();
    assert!(!said.stdout.contains("gone"), "{}", said.stdout);
}

#[test]
#[ignore = "needs root, or namespaces of a user: `make kit`"]
fn a_private_address_to_listen_on_leads_to_allow_private() {
    let home = Home::new();
    let host = ["init", "--id", "mix", "--host", "127.0.0.1", "--layer", "1", "--cloud", "none"];
    let said = outcome(&mut alone(&home, &host));
    assert_eq!(said.code, 69, "{}", said.stdout);
    let last = said.stdout.lines().last().unwrap();
    for words in ["--host", "127.0.0.1:1789, a loopback address", "pass --allow-private", "--announce-host"] {
        assert!(last.contains(words), "{words:?} is not in: {last}");
    }
    assert!(!home.node().exists());
    let nothing = ["init", "--id", "mix", "--validator", "http://127.0.0.1:9", "--cloud", "none"];
    let said = outcome(&mut alone(&home, &nothing));
    assert!(!said.stdout.contains("Asking"), "no time is spent on a node that cannot be: {}", said.stdout);
    assert!(said.stdout.contains("no address was found") && said.stdout.contains("--allow-private"), "{}", said.stdout);
}

#[test]
#[ignore = "needs root, or namespaces of a user: `make kit`"]
fn a_private_address_of_another_machine_is_not_advised_to_be_announced() {
    let home = Home::new();
    let addresses = ["--host", "10.126.5.7", "--announce-host", "36.68.243.18"];
    home.run(&[&["init", "--id", "mix", "--layer", "1"], &addresses[..]].concat()).ok();
    let said = outcome(&mut alone(&home, &["run", "--id", "mix"]));
    assert_eq!(said.code, 69, "{}", said.stdout);
    let last = said.stdout.lines().last().unwrap();
    assert!(last.contains("cannot listen on 10.126.5.7:1789") && last.contains("with --host"), "{last}");
    assert!(!last.contains("announce"), "{last}");
}

#[test]
fn a_node_that_is_not_named_is_asked_for_by_its_flag() {
    for command in ["init --host 36.68.243.1", "run", "unregister", "keys show", "doctor"] {
        let said = Home::new().run(&command.split(' ').collect::<Vec<_>>());
        assert!(said.stderr.starts_with("nym-mixnode: --id <ID> is not given"), "{command}: {}", said.stderr);
    }
}

/// Combined output of a node with the default directory, up to the line that contains `last`.
async fn lines_of_run(home: &Home, last: &str) -> Vec<String> {
    let mut command = tokio::process::Command::from(alone(home, &["run", "--id", "mix"]));
    let mut node = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut out = BufReader::new(node.stdout.take().unwrap()).lines();
    let mut lines = Vec::new();
    let read = async {
        while let Some(line) = out.next_line().await.unwrap() {
            let is_last = line.contains(last);
            lines.push(line);
            if is_last {
                return true;
            }
        }
        false
    };
    let found = timeout(PATIENCE, read).await.unwrap_or_default();
    assert!(found, "{last:?} never came: {lines:#?}");
    lines
}

#[tokio::test]
#[ignore = "needs root, or namespaces of a user: `make kit`"]
async fn run_by_the_manual_warns_that_the_public_network_is_gone() {
    let home = Home::new();
    let addresses = ["--host", "0.0.0.0", "--announce-host", "36.68.243.18"];
    home.run(&[&["init", "--id", "mix"], &addresses[..]].concat()).ok();
    // The directory client's first error follows the start-up text.
    let lines = lines_of_run(&home, "next attempt in").await;
    let place = |words: &str| {
        let place = lines.iter().position(|line| line.contains(words));
        place.unwrap_or_else(|| panic!("{words:?} is not in: {lines:#?}"))
    };
    let warning = place("network is gone");
    assert_eq!(place("not registered yet") + 1, warning, "{lines:#?}");
    assert!(lines[warning].contains(" WARN ") && lines[warning].contains("nym-mixnode registry"), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains("should now be able to receive mix traffic")), "{lines:#?}");

    let retries = lines.last().unwrap();
    assert!(retries.contains("directory.url (--validator)"), "{retries}");
    let said = outcome(&mut alone(&home, &["unregister", "--id", "mix"]));
    assert!(said.code == 69 && said.stdout.contains("network is gone"), "{}", said.stdout);

    // The banner is the first thing, and the addresses come before the log.
    let first = lines.iter().find(|line| !line.is_empty()).unwrap();
    assert_eq!(first, "      _ __  _   _ _ __ ___", "{lines:#?}");
    assert!(place("Sphinx key: ") < place(" INFO "), "{lines:#?}");
}

#[tokio::test]
async fn a_node_claims_to_be_reachable_once_it_is_registered() {
    let folder = tempfile::tempdir().unwrap();
    let registry = RegistryProcess::start(&folder.path().join("registry.sqlite")).await;
    let node = NodeFiles::init(&registry.url()).await;
    let mut running = program(&["run", "--home", node.root(), "--id", "mix", "--http-listen", "off"]).spawn().unwrap();
    let mut log = BufReader::new(running.stderr.take().unwrap()).lines();
    let mut order = Vec::new();
    let steps = ["not registered yet", "registered with the directory", "should now be able to receive mix traffic!"];
    let read = async {
        while order.last() != Some(&2) {
            let line = log.next_line().await.unwrap().expect("the node goes on");
            assert!(!line.contains("network is gone"), "{line}");
            order.extend(steps.iter().position(|step| line.contains(step)));
        }
    };
    timeout(PATIENCE, read).await.unwrap();
    assert_eq!(order, [0, 1, 2]);
}
