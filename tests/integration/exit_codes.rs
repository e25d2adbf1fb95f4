//! Every exit code that an operator's scripts may count on, from a real command line.

use std::fs::{self, OpenOptions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use crate::cli::{Home, directory};

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
    for line in ["start", "init --host 10.0.0.1", "run --id mix --layer 0", "upgrade --id mix", "keys backup --id mix"]
    {
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
}

#[test]
fn code_69_is_a_service_that_is_not_there() {
    let home = Home::with_node();
    home.run(&["unregister", "--id", "mix"]).fails(69, &["http://127.0.0.1:9"]);
    let ran = home.run(&["probe", "--directory", "http://127.0.0.1:9"]);
    assert_eq!(ran.code, 69, "{}", ran.stderr);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let listener = TcpListener::bind(taken).unwrap();
    let ran = home.run(&["run", "--id", "mix", "--host", &listener.local_addr().unwrap().to_string()]);
    assert_eq!(ran.code, 69, "{}", ran.stderr);
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
    home.edit_config("url: \"http://127.0.0.1:9\"", &format!("url: \"{url}\""));
    home.run(&["unregister", "--id", "mix"]).fails(75, &[]);
    asked.join().unwrap();
}

#[test]
fn code_77_is_a_permission_that_is_wrong() {
    let home = Home::with_node();
    fs::set_permissions(home.key("private_sphinx.pem"), PermissionsExt::from_mode(0o644)).unwrap();
    home.run(&["run", "--id", "mix"]).fails(77, &["chmod 600"]);
}

#[test]
fn code_78_is_a_configuration_that_is_missing_or_wrong() {
    let home = Home::with_node();
    home.run(&["run", "--id", "nobody"]).fails(78, &["does not exist"]);
    home.run(&["upgrade", "--id", "nobody", "--current-version", "0.9.2"]).fails(78, &["does not exist"]);
    home.edit_config("layer: 1", "layer: 0");
    home.run(&["run", "--id", "mix"]).fails(78, &["node.layer"]);
}
