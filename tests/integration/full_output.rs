//! Starts with blocked standard output and standard error: no start depends on them.

use std::fs::File;
use std::io::{PipeReader, Write, pipe};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, Signal, kill_process};

use super::cli::{Home, outcome};
use super::program::{PROGRAM, pause};
use super::support::{NOWHERE, PATIENCE, own_address};

/// Blocked stream, with the values that keep it blocked.
fn taking_nothing(kind: &str) -> (Stdio, Option<PipeReader>) {
    let flags = match kind {
        "/dev/full" => return (File::options().write(true).open(kind).unwrap().into(), None),
        "non-blocking" => OFlags::NONBLOCK,
        _ => OFlags::empty(),
    };
    let (reader, writer) = pipe().unwrap();
    let writer = File::from(OwnedFd::from(writer));
    let before = fcntl_getfl(&writer).unwrap();
    fcntl_setfl(&writer, before | OFlags::NONBLOCK).unwrap();
    while (&writer).write(&[b'x'; 4096]).is_ok() {}
    fcntl_setfl(&writer, before | flags).unwrap();
    let reader = if kind == "without reader" { None } else { Some(reader) };
    (writer.into(), reader)
}

const KINDS: [&str; 4] = ["/dev/full", "non-blocking", "blocking", "without reader"];

fn program(home: &Home, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).env("HOME", home.0.path()).env_remove("RUST_LOG");
    command.stdin(Stdio::null()).stderr(Stdio::null());
    command
}

/// Waits until the program serves HTTP, then stops it and waits for an orderly end.
fn starts_and_stops(kind: &str, mut child: Child, serves: &str) {
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(serves).is_err() {
        assert!(child.try_wait().unwrap().is_none(), "{kind}: it ended");
        assert!(Instant::now() < deadline, "{kind}: it does not start");
        pause(Duration::from_millis(50));
    }
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < deadline, "{kind}: it does not stop");
        pause(Duration::from_millis(50));
    };
    assert!(status.success(), "{kind}: {status}");
}

#[test]
fn a_registry_starts_whatever_its_output_takes() {
    for kind in KINDS {
        let home = Home::new();
        let (out, _reader) = taking_nothing(kind);
        let (address, data) = (own_address().to_string(), format!("{}/data/", home.0.path().display()));
        let registry =
            program(&home, &["registry", "--listen", &address, "--data", &data]).stdout(out).spawn().unwrap();
        starts_and_stops(kind, registry, &address);
    }
}

#[test]
fn a_node_starts_whatever_its_output_takes_also_for_the_first_time() {
    for kind in KINDS {
        let home = Home::new();
        for _ in 0..2 {
            let (out, _reader) = taking_nothing(kind);
            let (err, _err_reader) = taking_nothing(kind);
            let http = own_address().to_string();
            let mut node = program(&home, &["run", "--init-if-missing", "--http-listen", &http]);
            node.envs([
                ("NYM_MIXNODE_DIRECTORY_URL", NOWHERE.as_str()),
                ("NYM_MIXNODE_NODE_LAYER", "1"),
                ("NYM_MIXNODE_LISTEN_ADDRESSES", &own_address().to_string()),
                ("NYM_MIXNODE_ANNOUNCE_ALLOW_PRIVATE", "true"),
                ("NYM_MIXNODE_SHUTDOWN_LINGER", "0s"),
            ]);
            let node = node.stdout(out).stderr(err).spawn().unwrap();
            starts_and_stops(kind, node, &http);
        }
        assert!(home.0.path().join(".nym/mixnodes/mixnode/data/private_sphinx.pem").exists());
    }
}

#[test]
fn closed_streams_keep_no_node_from_starting() {
    let home = Home::with_node();
    let closed = ["-c", "exec \"$@\" >&- 2>&-", "sh", PROGRAM, "run", "--id", "mix", "--supervised"];
    let mut shell = Command::new("sh");
    shell.args(closed).env("HOME", home.0.path()).env_remove("RUST_LOG").stdin(Stdio::null());
    outcome(&mut shell).ok();
}

#[test]
fn a_network_runs_though_its_output_takes_nothing() {
    let home = Home::new();
    let (err, _reader) = taking_nothing("/dev/full");
    let network = ["localnet", "--layers", "1", "--nodes", "1", "--duration", "1s", "--rate", "10"];
    let mut command = program(&home, &network);
    let output = command.env("TMPDIR", home.0.path()).stderr(err).stdout(Stdio::piped()).output().unwrap();
    assert!(output.status.success() && !output.stdout.is_empty());
    // Its output is its purpose, so it fails.
    let (out, _reader) = taking_nothing("/dev/full");
    let status = program(&home, &network).env("TMPDIR", home.0.path()).stdout(out).status().unwrap();
    assert_eq!(status.code(), Some(74));
}
