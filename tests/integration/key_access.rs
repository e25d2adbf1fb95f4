//! Modes and owners of key files after restores and on volumes, for root and an unprivileged user.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cli::{Home, Outcome, outcome};
use crate::keys::passphrase;
use crate::program::PROGRAM;

/// User and group of the container image.
const CONTAINER: u32 = 65532;
const SOMEBODY: u32 = 12345;

/// Node whose files belong to the container's user; root runs it as that user.
struct Restored {
    home: Home,
    program: PathBuf,
}

impl Restored {
    fn new() -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "this test runs a node as another user: run it as root (make kit)"
        );
        let home = Home::with_node();
        let program = home.0.path().join("nym-mixnode");
        fs::copy(PROGRAM, &program).unwrap();
        let restored = Self { home, program };
        restored.own(CONTAINER, CONTAINER);
        restored
    }

    fn own(&self, user: u32, group: u32) {
        chown(self.home.0.path(), Some(user), Some(group)).unwrap();
        for (path, ..) in self.home.snapshot() {
            chown(path, Some(user), Some(group)).unwrap();
        }
    }

    /// Sets modes as kubelet does for `fsGroup`: group access to files, also search and setgid for directories.
    fn widen(&self) {
        for (path, mode, _) in self.home.snapshot() {
            let more = if path.is_dir() { 0o2770 } else { 0o660 };
            fs::set_permissions(path, PermissionsExt::from_mode(mode | more)).unwrap();
        }
    }

    fn mode(&self, name: &str) -> u32 {
        fs::metadata(self.home.key(name)).unwrap().permissions().mode() & 0o7777
    }

    /// Runs the program as the container's user; `before` are words of a command that runs it.
    fn run_by(&self, before: &[&str], arguments: &[&str]) -> Outcome {
        let words = [before, &[self.program.to_str().unwrap()], arguments].concat();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).env("HOME", self.home.0.path()).env_remove("RUST_LOG").current_dir("/");
        if before.is_empty() {
            command.uid(CONTAINER).gid(CONTAINER);
        }
        outcome(command.stdin(Stdio::null()))
    }

    fn run(&self) -> Outcome {
        self.run_by(&[], &["run", "--id", "mix", "--supervised"])
    }
}

const PRIVATE: [&str; 2] = ["private_identity.pem", "private_sphinx.pem"];

#[test]
#[ignore = "needs root: `make kit`"]
fn keys_that_a_volume_has_widened_are_closed_by_their_owner() {
    let node = Restored::new();
    node.widen();
    assert_eq!(node.mode(PRIVATE[0]), 0o660);
    let said = node.run().ok().stderr;
    assert_eq!(said.matches("Closed a key file").count(), 2, "{said}");
    assert_eq!(PRIVATE.map(|name| node.mode(name)), [0o600; 2]);
    assert!(!node.run().ok().stderr.contains("Closed a key file"));

    // A foreign group could read them, which causes a warning.
    node.own(CONTAINER, SOMEBODY);
    fs::set_permissions(node.home.key(PRIVATE[1]), PermissionsExt::from_mode(0o640)).unwrap();
    let said = node.run().ok().stderr;
    for words in ["could read", "could replace keys"] {
        assert!(said.lines().any(|line| line.contains(" WARN ") && line.contains(words)), "{said}");
    }
    assert_eq!(node.mode(PRIVATE[1]), 0o600);
    assert_eq!(fs::metadata(node.home.node().join("data")).unwrap().permissions().mode() & 0o777, 0o750);
}

#[test]
#[ignore = "needs root: `make kit`"]
fn keys_of_the_own_group_are_taken_where_they_cannot_be_closed() {
    let node = Restored::new();
    node.widen();
    // On a read-only volume.
    let read_only = "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" && shift && exec setpriv --reuid 65532 \
        --regid 65532 --clear-groups \"$@\"";
    let volume = node.home.0.path().to_str().unwrap();
    let before = ["unshare", "--mount", "sh", "-c", read_only, "sh", volume];
    let said = node.run_by(&before, &["run", "--id", "mix", "--supervised"]).ok().stderr;
    assert!(said.contains("Key file is readable for its group"), "{said}");
    assert_eq!(PRIVATE.map(|name| node.mode(name)), [0o660; 2]);

    // Restored by root.
    node.own(0, CONTAINER);
    node.run().ok();
    assert_eq!(PRIVATE.map(|name| node.mode(name)), [0o660; 2]);
}

#[test]
#[ignore = "needs root: `make kit`"]
fn files_and_directories_that_others_can_replace_are_refused_with_the_fix() {
    let node = Restored::new();
    let key = node.home.key(PRIVATE[1]);
    let data = key.parent().unwrap().to_owned();
    let refused = |words: &[&str]| {
        let said = node.run();
        said.fails(77, words);
        assert!(!said.stderr.contains("new keys"), "{}", said.stderr);
    };

    fs::set_permissions(&data, PermissionsExt::from_mode(0o777)).unwrap();
    refused(&["mode 0777", &format!("chmod go-w {}", data.display()), "user 65532"]);
    fs::set_permissions(&data, PermissionsExt::from_mode(0o700)).unwrap();

    fs::set_permissions(&key, PermissionsExt::from_mode(0o644)).unwrap();
    refused(&["mode 0644", &format!("chmod 600 {}", key.display())]);

    // Owned by another user, but readable by the group.
    fs::set_permissions(&key, PermissionsExt::from_mode(0o640)).unwrap();
    chown(&key, Some(SOMEBODY), Some(CONTAINER)).unwrap();
    refused(&["belongs to user 12345", &format!("chown 65532 {}", key.display())]);
    // The setting allows this.
    node.home.edit_config("#allow_group_read: false", "allow_group_read: true");
    node.run().ok();
}

#[test]
#[ignore = "needs root: `make kit`"]
fn root_runs_no_node_with_the_keys_of_another_user_but_may_save_them() {
    let node = Restored::new();
    let home = &node.home;
    let key = home.key(PRIVATE[0]);
    home.run(&["run", "--id", "mix", "--supervised"]).fails(
        77,
        &["belongs to user 65532", "this is user 0", &format!("chown 0 {}", key.display()), "as user 65532"],
    );
    let (file, passphrase) = (home.0.path().join("keys.age"), passphrase(home, "correct horse"));
    let before = fs::metadata(&key).unwrap().mode();
    home.run(&[
        "keys",
        "backup",
        file.to_str().unwrap(),
        "--id",
        "mix",
        "--passphrase-file",
        passphrase.to_str().unwrap(),
    ])
    .ok();
    assert!(home.run(&["doctor", "--id", "mix"]).stdout.contains("complete and private"));
    assert_eq!(fs::metadata(&key).unwrap().mode(), before);
}

#[test]
fn no_keys_are_made_where_others_could_replace_them() {
    let home = Home::new();
    let open = home.0.path().join("open");
    fs::create_dir(&open).unwrap();
    let make = |keys: &Path| {
        let node = ["init", "--id", "mix", "--host", "36.68.243.1", "--layer", "1"];
        home.run_with(&[("NYM_MIXNODE_KEYS_DIR", keys.to_str().unwrap())], &node)
    };
    fs::set_permissions(&open, PermissionsExt::from_mode(0o777)).unwrap();
    make(&open).fails(77, &["mode 0777", "chmod go-w", "in a directory below it"]);
    assert_eq!(fs::read_dir(&open).unwrap().count(), 0);
    assert!(!home.node().exists());
    make(&open.join("below")).ok();
}
