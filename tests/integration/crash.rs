//! State of the files after a command is killed, or the disk fails, at every file operation.
//!
//! strace lists the program's system calls that change files. The tests then run the program once for each call and
//! kill it before the call, or make the call fail.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::cli::Home;
use crate::keys::{KEY_FILES, archive, encrypted, key_contents, passphrase};
use crate::upgrade::{older_node, toml};

/// System calls that change files. Names after `?` do not exist on all architectures.
const CALLS: &str =
    "openat,write,fsync,fchmod,renameat2,?rename,?mkdir,mkdirat,?unlink,unlinkat,linkat,?chmod,fchmodat";

/// Errors of a full, a read-only and a broken disk.
const FAILURES: [(&str, &str); 7] = [
    ("write", "ENOSPC"),
    ("rename", "EIO"),
    ("fsync", "EIO"),
    ("renameat2", "EROFS"),
    ("mkdir", "ENOSPC"),
    ("fchmod", "EROFS"),
    ("openat", "EROFS"),
];

/// Length of a complete backup.
const BACKUP_LEN: usize = 6326;

type Snapshot = Vec<(PathBuf, u32, Vec<u8>)>;

/// A command, its initial files, and checks of the files afterwards.
struct Case {
    home: Home,
    before: Snapshot,
    /// Which of these are directories.
    dirs: Vec<PathBuf>,
    args: Vec<String>,
    /// Whether the new state is complete.
    is_done: Box<dyn Fn(&Home) -> bool>,
    /// Whether the initial files are intact.
    check: Box<dyn Fn(&Home)>,
    /// Whether a failure restores the initial state exactly.
    undoes: bool,
}

/// Threads that strace traces.
#[derive(Clone, Copy)]
enum Threads {
    All,
    /// The one that works on files. strace counts the calls of each thread by themselves: a failure of this one's first
    /// write would otherwise be one of the first line of the log as well, which is to tell of it.
    Main,
}

enum End {
    Killed,
    Exited { code: i32, injected: bool, stderr: String },
}

impl Case {
    fn new(
        home: Home,
        args: &[&str],
        is_done: impl Fn(&Home) -> bool + 'static,
        check: impl Fn(&Home) + 'static,
    ) -> Self {
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        let before = home.snapshot();
        let dirs = before.iter().map(|(path, ..)| path.clone()).filter(|path| path.is_dir()).collect();
        Self { before, dirs, home, args, is_done: Box::new(is_done), check: Box::new(check), undoes: true }
    }

    /// The files as they were before the command.
    fn reset(&self) {
        for entry in fs::read_dir(self.home.0.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
        }
        for (path, mode, contents) in &self.before {
            if self.dirs.contains(path) {
                fs::create_dir_all(path).unwrap();
            } else {
                fs::write(path, contents).unwrap();
            }
            fs::set_permissions(path, PermissionsExt::from_mode(*mode)).unwrap();
        }
    }

    /// Runs the command under strace; returns strace's log.
    fn trace(&self, threads: Threads, options: &[&str]) -> (Output, String) {
        let trace = tempfile::NamedTempFile::new().unwrap();
        let mut command = Command::new("strace");
        if let Threads::All = threads {
            command.arg("-f");
        }
        command.args(["-qq", "-o"]).arg(trace.path()).args(options);
        command.arg(env!("CARGO_BIN_EXE_nym-mixnode")).args(&self.args).env("HOME", self.home.0.path());
        let output = command
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .output()
            .expect("this test needs strace: make kit-packages");
        (output, fs::read_to_string(trace.path()).unwrap())
    }

    /// All calls that change files, as name and index among calls of that name.
    fn points(&self, threads: Threads) -> Vec<(String, usize)> {
        self.reset();
        let (output, trace) = self.trace(threads, &["-e", &format!("trace={CALLS}")]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!((self.is_done)(&self.home));
        let mut counts = HashMap::<String, usize>::new();
        let mut points = Vec::new();
        for line in trace.lines() {
            let Some((before, arguments)) = line.split_once('(') else { continue };
            let call = before.rsplit(' ').next().unwrap();
            let count = counts.entry(call.to_owned()).or_default();
            *count += 1;
            if call != "openat" || arguments.contains("O_CREAT") {
                points.push((call.to_owned(), *count));
            }
        }
        points
    }

    fn run_with(&self, threads: Threads, call: &str, what: &str) -> End {
        let options = [format!("trace={call}"), format!("inject={call}:{what}")];
        let (output, trace) = self.trace(threads, &["-e", &options[0], "-e", &options[1]]);
        match output.status.code() {
            None => End::Killed,
            Some(code) => {
                let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
                End::Exited { code, injected: trace.contains("(INJECTED)"), stderr }
            }
        }
    }

    /// Checks that the state is the old or the new one, and that a repeated command succeeds.
    fn assert_whole(&self, inject: &str) {
        if self.home.snapshot() == self.before {
            // The command has then come to its end from here already, and nobody has to wait for it again.
            return;
        }
        (self.check)(&self.home);
        if (self.is_done)(&self.home) {
            return;
        }
        let retried = self.home.run(&self.args.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(retried.code, 0, "{inject}: {}", retried.stderr);
        assert!((self.is_done)(&self.home), "{inject}: {}", retried.stdout);
        (self.check)(&self.home);
        assert_eq!(leftovers(&self.home), [""; 0], "{inject}");
    }

    /// Kills the command at every call; returns how often.
    fn kill_everywhere(&self) -> usize {
        let points = self.points(Threads::All);
        for (call, count) in &points {
            self.reset();
            let end = self.run_with(Threads::All, call, &format!("signal=KILL:when={count}"));
            assert!(matches!(end, End::Killed), "{call} {count}");
            self.assert_whole(&format!("killed at {call} {count}"));
        }
        points.len()
    }

    /// Makes every call fail once; returns how often.
    fn fail_everywhere(&self) -> usize {
        let error_of = |call: &str| FAILURES.iter().find(|(name, _)| *name == call).map(|(_, error)| *error);
        let points = self.points(Threads::Main);
        let failing = points.iter().filter_map(|(call, count)| Some((call, count, error_of(call)?)));
        let mut failures = 0;
        for (call, count, error) in failing {
            self.reset();
            let at = format!("{error} at {call} {count}");
            let end = self.run_with(Threads::Main, call, &format!("error={error}:when={count}"));
            let End::Exited { code, injected: true, stderr } = end else { panic!("{at}: it did not fail") };
            assert!([73, 74].contains(&code) && stderr.lines().count() == 1, "{at}: {code}: {stderr}");
            assert_eq!(leftovers(&self.home), [""; 0], "{at}");
            let undone = self.home.snapshot() == self.before;
            assert!(undone || !self.undoes || (self.is_done)(&self.home), "{at}: not undone: {stderr}");
            self.assert_whole(&at);
            failures += 1;
        }
        failures
    }
}

/// Files and directories that were being made, or put in their place.
fn leftovers(home: &Home) -> Vec<String> {
    let is_new = |path: &Path| path.extension().is_some_and(|end| end == "new" || end == "moving");
    let paths = home.snapshot().into_iter().map(|(path, ..)| path);
    paths.filter(|path| is_new(path)).map(|path| path.display().to_string()).collect()
}

/// What is whole is on its way to its place, where the next start puts it.
fn is_moving(home: &Home) -> bool {
    leftovers(home).iter().any(|path| path.ends_with(".moving"))
}

/// All four, or none.
fn check_all_or_none(home: &Home, dir: &Path) {
    let there = KEY_FILES.iter().filter(|name| dir.join(name).exists()).count();
    assert!(there == 0 || there == KEY_FILES.len() || is_moving(home), "{there} of the keys");
}

/// Whether each public key has its private key, and each file is complete.
fn check_keys(home: &Home) {
    for (private, public) in [(KEY_FILES[0], KEY_FILES[1]), (KEY_FILES[2], KEY_FILES[3])] {
        assert!(!home.key(public).exists() || home.key(private).exists() || is_moving(home), "{public} is alone");
    }
    for contents in key_contents(home).into_iter().flatten() {
        pem::parse(contents).unwrap();
    }
}

fn is_node(home: &Home) -> bool {
    home.config().exists() && home.run(&["keys", "show", "--id", "mix"]).code == 0
}

const INIT: [&str; 7] = ["init", "--id", "mix", "--host", "36.68.243.1", "--layer", "1"];

fn init() -> Case {
    // The directory appears at once, with everything in it.
    let check = |home: &Home| assert!(!home.node().exists() || is_node(home));
    Case::new(Home::new(), &INIT, is_node, check)
}

/// A volume is mounted at the node's directory.
fn init_on_volume() -> Case {
    let home = Home::new();
    fs::create_dir_all(home.node().join("lost+found")).unwrap();
    let check = |home: &Home| {
        let (configured, data) = (home.config().exists(), home.node().join("data").exists());
        assert!(is_moving(home) || if configured { is_node(home) } else { !data });
    };
    Case::new(home, &INIT, is_node, check)
}

/// The keys are to be in a directory of their own, and in `volume`s nothing can be renamed to either directory.
fn init_with_keys_elsewhere(volumes: bool) -> Case {
    let home = Home::new();
    let keys = home.0.path().join("secret/keys");
    if volumes {
        fs::create_dir_all(home.node()).unwrap();
        fs::create_dir_all(&keys).unwrap();
        fs::write(keys.join("another"), "stays").unwrap();
    }
    let setting = format!("keys.dir={}", keys.display());
    let check = move |home: &Home| {
        check_all_or_none(home, &keys);
        // Keys that are there already are those of the next attempt; a configuration would be in its way.
        assert!(!home.config().exists() || is_node(home));
        assert!(!volumes || keys.join("another").exists());
    };
    Case::new(home, &[&INIT[..], &["--set", &setting]].concat(), is_node, check)
}

/// The keys were restored, and lie where a node has them.
fn init_on_restored_keys() -> Case {
    let home = Home::with_node();
    fs::remove_dir_all(home.node().join("config")).unwrap();
    let keys = key_contents(&home);
    let check = move |home: &Home| {
        assert_eq!(key_contents(home), keys);
        assert!(!home.config().exists() || is_node(home));
    };
    Case::new(home, &INIT, is_node, check)
}

fn upgrade() -> Case {
    let home = older_node("0.8.1");
    let (sphinx, old) = (key_contents(&home)[2].clone(), fs::read(toml(&home)).unwrap());
    let backup = |home: &Home| fs::read(home.node().join("config/config.toml.0.8.1.bak")).ok();
    let is_done = move |home: &Home| is_node(home) && !toml(home).exists() && backup(home).is_some();
    let check = move |home: &Home| {
        check_keys(home);
        assert_eq!(key_contents(home)[2], sphinx, "the old key is another one");
        let kept = fs::read(toml(home)).ok().or_else(|| backup(home));
        assert_eq!(kept.as_ref(), Some(&old), "the old configuration is lost");
        let identity = KEY_FILES[..2].iter().filter(|name| home.key(name).exists()).count();
        assert!(identity != 1 || is_moving(home), "half an identity");
        // The file that marks the node as upgraded is written last.
        assert!(!home.config().exists() || is_node(home));
    };
    let case = Case::new(home, &["upgrade", "--id", "mix", "--current-version", "0.8.1"], is_done, check);
    // Keys that were closed to others stay so, and a new identity is for the next attempt.
    Case { undoes: false, ..case }
}

fn backup() -> Case {
    let home = Home::with_node();
    let (file, passphrase) = (home.0.path().join("keys.age"), passphrase(&home, "correct horse"));
    let args = ["keys", "backup", file.to_str().unwrap(), "--id", "mix", "--passphrase-file"];
    let keys = key_contents(&home);
    let check = move |home: &Home| assert_eq!(key_contents(home), keys);
    let is_done = |home: &Home| {
        let Ok(sealed) = fs::read(home.0.path().join("keys.age")) else { return false };
        // All backups have the same length. Decrypting each one would take minutes.
        assert!(sealed.starts_with(b"age-encryption.org/v1\n") && sealed.len() == BACKUP_LEN, "{}", sealed.len());
        true
    };
    Case::new(home, &[&args[..], &[passphrase.to_str().unwrap()]].concat(), is_done, check)
}

/// Into a directory that has yet to be made, or has the last list of nodes in it.
fn restore(beside_list: bool) -> Case {
    let home = Home::with_node();
    let (file, passphrase) = (home.0.path().join("keys.age"), passphrase(&home, "correct horse"));
    fs::write(&file, encrypted("correct horse", &archive(&home))).unwrap();
    let keys = key_contents(&home);
    fs::remove_dir_all(home.node().join("data")).unwrap();
    if beside_list {
        fs::create_dir(home.node().join("data")).unwrap();
        fs::write(home.key("topology.json"), "{}").unwrap();
    }
    let args = ["keys", "restore", file.to_str().unwrap(), "--id", "mix", "--passphrase-file"];
    let is_done = {
        let keys = keys.clone();
        move |home: &Home| key_contents(home) == keys
    };
    let check = move |home: &Home| {
        check_all_or_none(home, &home.node().join("data"));
        assert!(beside_list || !is_moving(home));
        for (found, right) in key_contents(home).iter().zip(&keys) {
            assert!(found.is_none() || found == right);
        }
    };
    Case::new(home, &[&args[..], &[passphrase.to_str().unwrap()]].concat(), is_done, check)
}

/// The configuration puts the private keys into another directory than the public ones.
fn restore_into_two() -> Case {
    let home = Home::with_node();
    let (file, passphrase) = (home.0.path().join("keys.age"), passphrase(&home, "correct horse"));
    fs::write(&file, encrypted("correct horse", &archive(&home))).unwrap();
    let keys = key_contents(&home);
    for name in ["private_identity", "private_sphinx"] {
        home.edit_config(&format!("#{name}:"), &format!("{name}: private/{name}.pem"));
    }
    fs::remove_dir_all(home.node().join("data")).unwrap();
    let found = |home: &Home| {
        let dir = |name: &str| home.node().join(if name.starts_with("private") { "private" } else { "data" });
        KEY_FILES.map(|name| fs::read(dir(name).join(name)).ok())
    };
    let is_done = {
        let keys = keys.clone();
        move |home: &Home| found(home).as_slice() == keys
    };
    let check = move |home: &Home| {
        for (found, right) in found(home).iter().zip(&keys) {
            assert!(found.is_none() || found == right);
        }
        for dir in ["private", "data"] {
            let there = fs::read_dir(home.node().join(dir)).into_iter().flatten();
            let keys = there.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|end| end == "pem"));
            assert!([0, 2].contains(&keys.count()) || is_moving(home), "half of {dir}");
        }
    };
    let args = ["keys", "restore", file.to_str().unwrap(), "--id", "mix", "--passphrase-file"];
    let case = Case::new(home, &[&args[..], &[passphrase.to_str().unwrap()]].concat(), is_done, check);
    // The directories, which may be empty.
    Case { undoes: false, ..case }
}

#[test]
#[ignore = "needs strace: `make kit`"]
fn init_is_all_or_nothing_wherever_it_is_killed() {
    assert!(init().kill_everywhere() > 20);
}

#[test]
#[ignore = "needs strace: `make kit`"]
fn init_on_a_volume_is_all_or_nothing_wherever_it_is_killed() {
    assert!(init_on_volume().kill_everywhere() > 20);
}

#[test]
#[ignore = "needs strace: `make kit`"]
fn init_with_keys_elsewhere_is_all_or_nothing_wherever_it_is_killed() {
    for volumes in [false, true] {
        assert!(init_with_keys_elsewhere(volumes).kill_everywhere() > 20);
    }
}

#[test]
#[ignore = "needs strace: `make kit`"]
fn init_on_restored_keys_keeps_them_wherever_it_is_killed() {
    assert!(init_on_restored_keys().kill_everywhere() > 5);
    assert!(init_on_restored_keys().fail_everywhere() > 5);
}

#[test]
#[ignore = "needs strace: `make kit`"]
fn upgrade_is_the_old_node_or_the_new_one_wherever_it_is_killed() {
    assert!(upgrade().kill_everywhere() > 20);
}

#[test]
#[ignore = "needs strace: `make kit`"]
fn a_backup_is_whole_or_absent_wherever_it_is_killed() {
    assert!(backup().kill_everywhere() > 5);
}

#[test]
#[ignore = "needs strace: `make kit`"]
fn a_restore_is_all_or_nothing_wherever_it_is_killed() {
    for beside_list in [false, true] {
        assert!(restore(beside_list).kill_everywhere() > 20);
    }
}

#[test]
#[ignore = "needs strace: `make kit`"]
fn a_restore_into_two_directories_goes_on_wherever_it_was_killed() {
    assert!(restore_into_two().kill_everywhere() > 20);
    assert!(restore_into_two().fail_everywhere() > 10);
}

#[test]
#[ignore = "needs strace: `make kit`"]
fn a_disk_that_is_full_read_only_or_broken_leaves_what_was_there() {
    let inits = [init(), init_on_volume(), init_with_keys_elsewhere(false), init_with_keys_elsewhere(true)];
    for case in inits.into_iter().chain([upgrade(), restore(false), restore(true)]) {
        assert!(case.fail_everywhere() > 10);
    }
}

#[test]
#[ignore = "needs strace: `make kit`"]
fn a_file_system_that_knows_only_links_will_do() {
    for case in [init(), init_with_keys_elsewhere(true), upgrade(), restore(true)] {
        let End::Exited { code, injected, stderr } = case.run_with(Threads::All, "renameat2", "error=EINVAL") else {
            panic!("killed")
        };
        assert!(injected && code == 0, "{stderr}");
        assert!((case.is_done)(&case.home));
        assert_eq!(leftovers(&case.home), [""; 0]);
    }
}
