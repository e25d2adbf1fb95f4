//! Pipes and devices in place of files: a missing writer or endless data does not block a start.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use rustix::process::{Pid, Signal, kill_process};

use crate::cli::{Home, Outcome};
use crate::keys::passphrase;
use crate::program::{PROGRAM, pause};
use crate::support::PATIENCE;

fn program(home: &Home, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).env("HOME", home.0.path()).env_remove("RUST_LOG");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Waits for a program that must end by itself.
fn end(command: &mut Command) -> Outcome {
    let mut child = command.spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("{command:?} hangs");
        }
        pause(Duration::from_millis(20));
    }
    outcome_of(child)
}

fn outcome_of(child: Child) -> Outcome {
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Outcome { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn make_pipe(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

/// Replaces a file by a pipe.
fn replace_by_pipe(path: &Path) {
    fs::remove_file(path).unwrap();
    make_pipe(path);
}

#[test]
fn a_pipe_in_the_place_of_a_file_of_the_node_is_named() {
    let files: [fn(&Home) -> PathBuf; 6] = [
        Home::config,
        |home| home.key("private_identity.pem"),
        |home| home.key("public_identity.pem"),
        |home| home.key("private_sphinx.pem"),
        |home| home.key("public_sphinx.pem"),
        |home| home.0.path().join("nothing"),
    ];
    for file in &files[..5] {
        let home = Home::with_node();
        let path = file(&home);
        replace_by_pipe(&path);
        let said = end(&mut program(&home, &["run", "--id", "mix", "--supervised"]));
        said.fails(74, &[path.to_str().unwrap(), "it is a pipe, not a regular file"]);
        assert!(end(&mut program(&home, &["doctor", "--id", "mix"])).code > 0);
    }
}

#[test]
fn devices_sockets_and_directories_are_named_too() {
    let home = Home::with_node();
    let key = home.key("private_sphinx.pem");
    fs::remove_file(&key).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &key).unwrap();
    end(&mut program(&home, &["run", "--id", "mix"])).fails(74, &["private_sphinx.pem", "it is a device"]);
    fs::remove_file(&key).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(&key).unwrap();
    end(&mut program(&home, &["run", "--id", "mix"])).fails(74, &["private_sphinx.pem", "it is a socket"]);
    fs::remove_file(&key).unwrap();
    fs::create_dir(&key).unwrap();
    end(&mut program(&home, &["run", "--id", "mix"])).fails(74, &["private_sphinx.pem", "it is a directory"]);
}

#[test]
fn a_pipe_that_a_variable_names_is_no_file() {
    let home = Home::with_node();
    let pipe = home.0.path().join("pipe");
    make_pipe(&pipe);
    for (variable, code) in [("NYM_MIXNODE_DIRECTORY_URL_FILE", 78), ("OTEL_EXPORTER_OTLP_CERTIFICATE", 78)] {
        let mut command = program(&home, &["run", "--id", "mix", "--supervised"]);
        command.env(variable, &pipe).env("OTEL_EXPORTER_OTLP_ENDPOINT", "https://127.0.0.1:9");
        let said = end(&mut command);
        assert_eq!(said.code, code, "{variable}: {}", said.stderr);
        assert!(said.stderr.contains(variable) && said.stderr.contains("it is a pipe"), "{}", said.stderr);
    }
}

#[test]
fn a_list_of_nodes_that_is_a_pipe_is_left_out() {
    let home = Home::with_node();
    make_pipe(&home.node().join("data/topology.json"));
    let said = end(&mut program(&home, &["run", "--id", "mix", "--supervised"])).ok();
    assert!(said.stderr.contains("topology.json") && said.stderr.contains("it is a pipe"), "{}", said.stderr);
}

#[test]
fn a_leftover_that_is_a_pipe_holds_nothing_up() {
    let home = Home::with_node();
    make_pipe(&home.node().join(".mix.1.moving"));
    assert!(end(&mut program(&home, &["run", "--id", "mix", "--supervised"])).code > 0);
}

#[test]
fn a_passphrase_and_a_backup_come_through_pipes_and_a_signal_ends_the_wait() {
    let home = Home::with_node();
    let backup = home.0.path().join("keys.age");
    let backup_name = backup.to_str().unwrap();
    let save = ["keys", "backup", backup_name, "--id", "mix", "--passphrase-file", "/dev/stdin"];
    let mut child = program(&home, &save).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"correct horse\n").unwrap();
    outcome_of(child).ok();

    let whole = fs::read(home.key("private_sphinx.pem")).unwrap();
    fs::remove_dir_all(home.node().join("data")).unwrap();
    let passphrase = passphrase(&home, "correct horse");
    let restore = ["keys", "restore", "/dev/stdin", "--id", "mix", "--passphrase-file", passphrase.to_str().unwrap()];
    let mut child = program(&home, &restore).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&fs::read(&backup).unwrap()).unwrap();
    outcome_of(child).ok();
    assert_eq!(fs::read(home.key("private_sphinx.pem")).unwrap(), whole);

    // This pipe has no writer.
    let pipe = home.0.path().join("pipe");
    make_pipe(&pipe);
    let other = home.0.path().join("other.age");
    let wait = ["keys", "backup", other.to_str().unwrap(), "--id", "mix", "--passphrase-file", pipe.to_str().unwrap()];
    let mut child = program(&home, &wait).spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    // Opening for writing succeeds once a reader has opened it.
    let open = || File::options().write(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(&pipe);
    let _silent = loop {
        match open() {
            Ok(writer) => break writer,
            Err(error) => assert!(Instant::now() < deadline, "nobody reads the pipe: {error}"),
        }
        pause(Duration::from_millis(20));
    };
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert!(!child.wait().unwrap().success());
    assert!(!other.exists());
}

#[test]
fn a_passphrase_is_long_enough_and_a_file_that_others_can_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::with_node();
    let backup = home.0.path().join("keys.age");
    let save = |line: &str, mode: u32| {
        let file = passphrase(&home, line);
        fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
        let name = file.to_str().unwrap();
        end(&mut program(
            &home,
            &["keys", "backup", backup.to_str().unwrap(), "--id", "mix", "--passphrase-file", name],
        ))
    };
    save("x\n", 0o600).fails(65, &["too short: 1 of at least 8 characters"]);
    assert!(!backup.exists());
    let said = save("correct horse\n", 0o644).ok().stderr;
    assert!(said.contains("WARN") && said.contains("mode=0644") && said.contains("chmod 600"), "{said}");
    fs::remove_file(&backup).unwrap();
    assert_eq!(save("correct horse\n", 0o600).ok().stderr, "");
}

/// A registry that would serve until it is stopped.
fn registry<'a>(store: &'a str, flags: &[&'a str]) -> Vec<&'a str> {
    [&["registry", "--listen", "127.0.0.1:0", "--data", store, "--supervised"][..], flags].concat()
}

#[test]
fn a_pipe_in_the_place_of_a_file_of_the_registry_or_the_monitor_is_named() {
    let home = Home::with_node();
    let at = |name: &str| home.0.path().join(name).to_str().unwrap().to_owned();
    let (pipe, store, copy) = (at("pipe"), at("registry.sqlite"), at("copy"));
    make_pipe(Path::new(&pipe));
    end(&mut program(&home, &registry(&store, &[]))).ok();
    let (token, key) = (at("monitor.token"), "1".repeat(32));
    let monitor = ["monitor", "--directory", "http://127.0.0.1:9", "--monitor-token-file"];
    for (arguments, code) in [
        (registry(&pipe, &[]), 74),
        (registry(&store, &["--monitor-token-file", &pipe]), 74),
        (registry(&store, &["--admit", &pipe]), 78),
        (registry(&store, &["--join-token-file", &pipe]), 78),
        (registry(&store, &["--database-file", &pipe]), 78),
        (vec!["registry", "backup", &copy, "--data", &pipe], 73),
        (vec!["registry", "remove", &key, "--monitor-token-file", &pipe], 74),
        (vec!["registry", "release", &key, "--monitor-token-file", &pipe], 74),
        ([&monitor[..], &[&pipe]].concat(), 74),
        ([&monitor[..], &[&token, "--join-token-file", &pipe]].concat(), 78),
        (vec!["probe", "--directory", "http://127.0.0.1:9", "--join-token-file", &pipe], 78),
        (vec!["run", "--id", "mix", "--supervised", "--directory-join-token-file", &pipe], 78),
    ] {
        let said = end(&mut program(&home, &arguments));
        said.fails(code, &[&pipe, "it is a pipe, not a regular file"]);
        assert!(!Path::new(&copy).exists(), "{arguments:?}");
    }
}

#[test]
fn a_short_token_ends_every_command_that_would_send_it() {
    let home = Home::with_node();
    let short = home.0.path().join("short");
    fs::write(&short, "x\n").unwrap();
    fs::set_permissions(&short, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let short = short.to_str().unwrap();
    let directory = ["--directory", "http://127.0.0.1:9"];
    for (arguments, code) in [
        ([&["monitor"][..], &directory, &["--monitor-token-file", short]].concat(), 65),
        ([&["probe"][..], &directory, &["--join-token-file", short]].concat(), 78),
        ([&["registry", "remove", &"1".repeat(32)][..], &["--monitor-token-file", short]].concat(), 65),
        (vec!["config", "check", "--id", "mix", "--directory-join-token-file", short], 78),
        (vec!["run", "--id", "mix", "--supervised", "--directory-join-token-file", short], 78),
    ] {
        end(&mut program(&home, &arguments)).fails(code, &[short, "16"]);
    }
}

#[test]
fn a_secret_of_a_registry_that_others_can_read_is_warned_of() {
    let home = Home::with_node();
    let (store, secret) = (home.0.path().join("registry.sqlite"), home.0.path().join("secret"));
    fs::write(&secret, "0123456789abcdef0123456789abcdef\n").unwrap();
    let flags = ["--join-token-file", secret.to_str().unwrap()];
    for (mode, warnings) in [(0o644, 1), (0o640, 0), (0o600, 0)] {
        fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        let said = end(&mut program(&home, &registry(store.to_str().unwrap(), &flags))).ok().stderr;
        assert_eq!(said.matches("chmod 600").count(), warnings, "{mode:o}: {said}");
    }
}
