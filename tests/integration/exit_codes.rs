//! Every documented exit code, from a real command line.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use nym_mixnode_base::exit::Exit;
use rustix::process::{Pid, Signal, kill_process};

use crate::cli::{Home, directory, outcome};
use crate::support::NOWHERE;

#[test]
fn the_manual_lists_exactly_the_codes_of_the_program() {
    let manual = include_str!("../../docs/operating.md").split_once("## Exit codes").unwrap().1;
    let rows = manual.lines().skip_while(|line| !line.starts_with("| 0 ")).map_while(|line| line.strip_prefix("| "));
    let codes = rows.flat_map(|row| row.split_once(" |").unwrap().0.split(", ")).map(|code| code.parse().unwrap());
    let listed: Vec<u8> = codes.collect();
    assert_eq!(listed, [&[0], &Exit::ALL.iter().map(|exit| exit.code()).collect::<Vec<_>>()[..]].concat());
}

#[test]
fn code_1_is_a_node_that_is_not_as_it_should_be() {
    let home = Home::with_node();
    home.run(&["health", "--url", &NOWHERE]).fails(1, &["no answer"]);
    // No other program of this machine answers there.
    let listen = format!("127.0.0.1:{}", crate::support::closed_port());
    home.edit_config("  listen: \"127.0.0.1:0\"", &format!("  listen: \"{listen}\""));
    home.run(&["health", "--id", "mix", "--home", home.0.path().join(".nym").to_str().unwrap()])
        .fails(1, &["no answer", "the node does not run"]);
    assert_eq!(home.run(&["doctor", "--id", "mix"]).code, 1);
}

#[test]
fn zero_is_success() {
    let home = Home::with_node();
    home.run(&["--version"]).ok();
    home.run(&["keys", "show", "--id", "mix"]).ok();
    home.run(&["run", "--id", "mix", "--supervised"]).ok();
}

#[test]
fn code_64_is_a_bad_command_line() {
    let home = Home::with_node();
    for line in [
        "start",
        "init --host 10.0.0.1",
        "run --id mix --layer 0",
        "upgrade --id mix",
        "keys backup --id mix",
        "probe --directory 127.0.0.1:8081",
        "health --url ftp://127.0.0.1",
    ] {
        home.run(&line.split(' ').collect::<Vec<_>>()).fails(64, &[]);
    }
}

#[test]
fn code_65_is_bad_data() {
    let home = Home::with_node();
    fs::write(home.key("public_identity.pem"), "not a key").unwrap();
    for line in ["run --id mix", "unregister --id mix", "keys show --id mix"] {
        home.run(&line.split(' ').collect::<Vec<_>>()).fails(65, &["public_identity.pem is not a PEM file"]);
    }
    for (contents, problem) in [(&[0xff; 3][..], "not text in UTF-8"), (&vec![b'#'; 2 << 20], "longer than 1024 KiB")] {
        fs::write(home.config(), contents).unwrap();
        home.run(&["config", "check", "--id", "mix"]).fails(65, &["config.yaml cannot be read", problem]);
    }
}

#[test]
fn code_69_is_a_service_that_is_not_there() {
    let home = Home::with_node();
    home.run(&["unregister", "--id", "mix"]).fails(69, &[&NOWHERE]);
    let ran = home.run(&["probe", "--directory", &NOWHERE]);
    assert_eq!(ran.code, 69, "{}", ran.stderr);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ran = home.run(&["run", "--id", "mix", "--host", &listener.local_addr().unwrap().to_string()]);
    assert_eq!(ran.code, 69, "{}", ran.stderr);
}

#[test]
fn code_71_is_a_limit_that_is_too_low() {
    let home = Home::with_node();
    let line = "ulimit -n 128; exec \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", line, "sh", env!("CARGO_BIN_EXE_nym-mixnode"), "run", "--id", "mix"]);
    command.args(["--limits-nofile-strict", "true"]).env("HOME", home.0.path()).env_remove("RUST_LOG");
    outcome(command.stdin(Stdio::null())).fails(71, &["cannot be raised to 65535", "128"]);
}

#[test]
fn code_73_is_a_file_that_cannot_be_created() {
    let home = Home::with_node();
    home.run(&["init", "--id", "mix", "--host", "36.68.243.1", "--layer", "1"]).fails(73, &["exists"]);
    fs::write(home.0.path().join("file"), "").unwrap();
    let root = home.0.path().join("file/root");
    let line = ["init", "--id", "mix", "--host", "36.68.243.1", "--layer", "1", "--home", root.to_str().unwrap()];
    home.run(&line).fails(73, &["mixnodes/mix"]);
}

#[test]
fn code_74_is_input_or_output_that_fails() {
    let home = Home::with_node();
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_nym-mixnode"));
    command.args(["keys", "show", "--id", "mix"]).env("HOME", home.0.path()).env_remove("RUST_LOG");
    let output = command.stdin(Stdio::null()).stdout(full).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(74), "{}", String::from_utf8_lossy(&output.stderr));

    fs::remove_file(home.config()).unwrap();
    fs::create_dir(home.config()).unwrap();
    home.run(&["run", "--id", "mix"]).fails(74, &["config.yaml", "cannot be read"]);
}

#[test]
fn code_75_is_worth_another_try() {
    let home = Home::with_node();
    let (url, asked) = directory("429 Too Many Requests", "");
    home.edit_config(&format!("url: \"{}\"", *NOWHERE), &format!("url: \"{url}\""));
    home.run(&["unregister", "--id", "mix"]).fails(75, &[]);
    asked.join().unwrap();

    let busy = home.node().join(".mix.4000000.moving");
    fs::create_dir(&busy).unwrap();
    let lock = fs::File::open(&busy).unwrap();
    lock.lock().unwrap();
    home.run(&["run", "--id", "mix"]).fails(75, &["another process is writing"]);
}

#[test]
fn a_second_signal_exits_with_128_plus_its_number() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let home = Home::with_node();
        home.edit_config("linger: 0s", "linger: 1h");
        let mut command = Command::new(env!("CARGO_BIN_EXE_nym-mixnode"));
        command.args(["run", "--id", "mix"]).env("HOME", home.0.path()).env_remove("RUST_LOG").stdin(Stdio::null());
        let mut node = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(node.stderr.take().unwrap()).lines();
        for words in ["Listening for packets", "Stopping on"] {
            assert!(log.any(|line| line.unwrap().contains(words)), "it never says {words:?}");
            kill_process(Pid::from_child(&node), signal).unwrap();
        }
        assert_eq!(node.wait().unwrap().code(), Some(code));
        assert!(log.any(|line| line.unwrap().contains("second signal")));
    }
}

#[test]
fn code_77_is_a_permission_that_is_wrong() {
    let home = Home::with_node();
    fs::set_permissions(home.key("private_sphinx.pem"), PermissionsExt::from_mode(0o644)).unwrap();
    home.run(&["run", "--id", "mix"]).fails(77, &["chmod 600"]);

    let home = Home::with_node();
    fs::set_permissions(home.config(), PermissionsExt::from_mode(0o000)).unwrap();
    // Without the right of root to read everything.
    let powerless = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"];
    let program = [env!("CARGO_BIN_EXE_nym-mixnode"), "config", "check", "--id", "mix"];
    let line =
        if rustix::process::geteuid().is_root() { [&powerless[..], &program].concat() } else { program.to_vec() };
    let mut command = Command::new(line[0]);
    command.args(&line[1..]).env("HOME", home.0.path()).env_remove("RUST_LOG").stdin(Stdio::null());
    outcome(&mut command).fails(77, &["config.yaml cannot be read: Permission denied", "owner of the node's files"]);

    let (url, asked) = directory("403 Forbidden", r#"{"error":"not yours"}"#);
    let home = Home::with_node();
    home.edit_config(&format!("url: \"{}\"", *NOWHERE), &format!("url: \"{url}\""));
    home.run(&["unregister", "--id", "mix"]).fails(77, &["not yours"]);
    asked.join().unwrap();
}

#[test]
fn code_78_is_a_configuration_that_is_missing_or_wrong() {
    let home = Home::with_node();
    home.run(&["run", "--id", "nobody"]).fails(78, &["does not exist"]);
    home.run(&["upgrade", "--id", "nobody", "--current-version", "0.9.2"]).fails(78, &["does not exist"]);
    home.edit_config("layer: 1", "layer: 0");
    home.run(&["run", "--id", "mix"]).fails(78, &["node.layer"]);
}
