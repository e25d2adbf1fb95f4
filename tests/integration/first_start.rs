//! `run --init-if-missing`: first and later starts in a container, by running the program.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::cli::{Home, Outcome, outcome};
use crate::support::{NOWHERE, own_address};

const PROGRAM: &str = env!("CARGO_BIN_EXE_nym-mixnode");

/// Environment of a container: an unreachable directory, an address, and a volume.
struct Container {
    home: Home,
    listen: String,
}

impl Container {
    fn new() -> Self {
        Self { home: Home::new(), listen: own_address().to_string() }
    }

    fn volume(&self) -> String {
        self.home.0.path().join("volume").display().to_string()
    }

    fn node(&self) -> std::path::PathBuf {
        Path::new(&self.volume()).join("mixnodes/mixnode")
    }

    /// Program with only the container's variables and `more` in its environment.
    fn command(&self, program: &[&str], more: &[(&str, &str)]) -> Command {
        let mut command = Command::new(program[0]);
        command.args(&program[1..]).env_clear().stdin(Stdio::null());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("NYM_MIXNODE_INIT_IF_MISSING", "true").env("NYM_MIXNODE_HOME", self.volume());
        command.env("NYM_MIXNODE_DIRECTORY_URL", NOWHERE.as_str()).env("NYM_MIXNODE_SHUTDOWN_LINGER", "0s");
        command.env("NYM_MIXNODE_HTTP_LISTEN", "127.0.0.1:0");
        command.env("NYM_MIXNODE_LISTEN_ADDRESSES", &self.listen).env("NYM_MIXNODE_ANNOUNCE_ALLOW_PRIVATE", "true");
        command.envs(more.iter().copied());
        command
    }

    /// Starts the node, which stops at once because its standard input has ended.
    fn start(&self, more: &[(&str, &str)]) -> Outcome {
        outcome(&mut self.command(&[PROGRAM, "run", "--supervised"], more))
    }
}

fn identity(outcome: &Outcome) -> String {
    let line = outcome.stderr.lines().find(|line| line.starts_with("Public key: "));
    line.unwrap_or_else(|| panic!("{}", outcome.stderr)).to_owned()
}

#[test]
fn the_first_start_makes_the_node_and_the_second_finds_it() {
    let container = Container::new();
    let first = container.start(&[]).ok();
    assert!(first.stderr.contains("Saved configuration file to") && first.stderr.contains("Starting mixnode mixnode"));
    let config = fs::read_to_string(container.node().join("config/config.yaml")).unwrap();
    assert!(config.contains(&format!("  url: \"{}\"\n", *NOWHERE)), "{config}");
    let second = container.start(&[]).ok();
    assert!(!second.stderr.contains("Saved"), "{}", second.stderr);
    assert_eq!(identity(&first), identity(&second));
    // All commands select the same node by the environment.
    let check = outcome(&mut container.command(&[PROGRAM, "config", "check"], &[]));
    assert!(check.ok().stdout.starts_with("ok: "));
}

#[test]
#[ignore = "needs root, or namespaces of a user: `make kit`"]
fn an_address_that_cannot_be_known_has_to_be_given() {
    let container = Container::new();
    // Its network has only a loopback interface, and no metadata service is asked.
    let alone = ["unshare", "--user", "--map-root-user", "--net"];
    let has_namespaces =
        Command::new(alone[0]).args(&alone[1..]).arg("true").status().is_ok_and(|status| status.success());
    assert!(has_namespaces, "this test makes a network namespace: run it as root, or allow user namespaces");
    let everywhere = [
        ("NYM_MIXNODE_LISTEN_ADDRESSES", ""),
        ("NYM_MIXNODE_ANNOUNCE_ALLOW_PRIVATE", ""),
        ("NYM_MIXNODE_ADDRESS_CLOUD", "none"),
        ("NYM_MIXNODE_NODE_LAYER", "1"),
    ];
    let program = [&alone[..], &[PROGRAM, "run", "--supervised"]].concat();
    let said = outcome(&mut container.command(&program, &everywhere));
    said.fails(69, &["no address was found", "NYM_MIXNODE_ANNOUNCE_ADDRESSES", "--announce-host"]);
    assert!(!Path::new(&container.volume()).exists());
    let given = [&everywhere[..], &[("NYM_MIXNODE_ANNOUNCE_ADDRESSES", "36.68.243.18")]].concat();
    outcome(&mut container.command(&program, &given)).ok();
}

#[test]
fn a_volume_may_begin_at_any_directory_and_hold_what_file_systems_put_there() {
    for (below, entry) in
        [("", None), ("mixnodes", None), ("mixnodes/mixnode", None), ("mixnodes/mixnode", Some("lost+found"))]
    {
        let container = Container::new();
        let mounted = Path::new(&container.volume()).join(below);
        fs::create_dir_all(&mounted).unwrap();
        if let Some(entry) = entry {
            fs::create_dir(mounted.join(entry)).unwrap();
        }
        let first = identity(&container.start(&[]).ok());
        assert_eq!(identity(&container.start(&[]).ok()), first, "{below}");
        let names = fs::read_dir(container.node()).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(names.filter(|name| name.to_string_lossy().starts_with('.')).count(), 0);
    }
}

#[test]
fn keys_can_come_from_elsewhere_with_or_without_a_configuration_file() {
    let made = Container::new();
    let expected = identity(&made.start(&[]).ok());
    let keys = made.node().join("data");
    let container = Container::new();
    let keys_dir = ("NYM_MIXNODE_KEYS_DIR", keys.to_str().unwrap());
    let before = fs::read_dir(&keys).unwrap().count();
    assert_eq!(identity(&container.start(&[keys_dir]).ok()), expected);
    assert!(container.node().join("config/config.yaml").exists());
    assert!(!container.node().join("data/private_identity.pem").exists());
    assert_eq!(identity(&container.start(&[keys_dir]).ok()), expected);
    assert_eq!(fs::read_dir(&keys).unwrap().count(), before);

    let bare = Container::new();
    assert_eq!(identity(&bare.start(&[keys_dir, ("NYM_MIXNODE_NODE_LAYER", "2")]).ok()), expected);
    assert!(!bare.node().exists());
}

#[test]
fn a_home_that_is_half_written_is_explained_and_left_as_it_is() {
    let container = Container::new();
    let first = identity(&container.start(&[]).ok());
    let node = container.node();
    let aside = container.home.0.path().join("aside");

    fs::rename(node.join("config/config.yaml"), &aside).unwrap();
    container.start(&[]).fails(78, &["private_identity.pem exists", "config.yaml does not", "restore"]);
    fs::rename(&aside, node.join("config/config.yaml")).unwrap();

    fs::rename(node.join("data/private_sphinx.pem"), &aside).unwrap();
    container.start(&[]).fails(78, &["private_sphinx.pem does not exist", "backup"]);
    fs::rename(&aside, node.join("data/private_sphinx.pem")).unwrap();

    fs::rename(node.join("config"), &aside).unwrap();
    fs::remove_file(node.join("data/public_sphinx.pem")).unwrap();
    let said = container.start(&[]);
    said.fails(78, &["private_identity.pem exists", "public_sphinx.pem does not", "backup"]);
    assert!(!first.is_empty() && node.join("data/private_identity.pem").exists());
}

#[test]
fn files_of_a_killed_start_do_not_block_later_starts() {
    let container = Container::new();
    let leftover = container.node().with_file_name(".mixnode.4000000.new");
    fs::create_dir_all(leftover.join("data")).unwrap();
    fs::write(leftover.join("data/private_identity.pem"), "half").unwrap();
    container.start(&[]).ok();
    assert!(!leftover.exists());
}

#[test]
fn a_start_that_was_cut_off_on_a_volume_is_finished_by_the_next() {
    let container = Container::new();
    fs::create_dir_all(container.node()).unwrap();
    let first = identity(&container.start(&[]).ok());
    let node = container.node();
    let cut_off = |dir: &Path, entry: &str| {
        let name = dir.file_name().unwrap().to_str().unwrap();
        let moving = dir.join(format!(".{name}.4000000.moving"));
        fs::create_dir(&moving).unwrap();
        fs::rename(dir.join(entry), moving.join(entry)).unwrap();
        moving
    };
    let moving = cut_off(&node, "config");
    let second = container.start(&[]).ok();
    assert!(second.stderr.contains("Completed an unfinished start"), "{}", second.stderr);
    assert!(identity(&second) == first && node.join("config/config.yaml").exists() && !moving.exists());

    // The same for a start that creates nothing, and for a restore.
    let moved = [cut_off(&node, "config"), cut_off(&node.join("data"), "public_sphinx.pem")];
    let third = container.start(&[("NYM_MIXNODE_INIT_IF_MISSING", ""), ("NYM_MIXNODE_ID", "mixnode")]).ok();
    assert!(identity(&third) == first && !moved.iter().any(|moving| moving.exists()));

    let moving = cut_off(&node, "config");
    let lock = fs::File::open(&moving).unwrap();
    lock.lock().unwrap();
    container.start(&[]).fails(75, &["another process is writing", ".mixnode.4000000.moving"]);
}

#[test]
fn keys_on_a_volume_that_comes_later_are_made_then() {
    let container = Container::new();
    let volume = container.home.0.path().join("keys");
    fs::write(&volume, "a file where a directory will be mounted").unwrap();
    let keys = volume.join("of-the-node");
    let keys_dir = ("NYM_MIXNODE_KEYS_DIR", keys.to_str().unwrap());
    for _ in 0..2 {
        let said = container.start(&[keys_dir, ("NYM_MIXNODE_NODE_LAYER", "1")]);
        said.fails(73, &["keys cannot be created", "NYM_MIXNODE_KEYS_DIR"]);
        assert!(!Path::new(&container.volume()).exists());
    }
    fs::remove_file(&volume).unwrap();
    let first = identity(&container.start(&[keys_dir]).ok());
    assert!(keys.join("private_sphinx.pem").exists() && container.node().join("config/config.yaml").exists());
    assert_eq!(identity(&container.start(&[keys_dir]).ok()), first);
}

#[test]
#[ignore = "needs root, or namespaces of a user: `make kit`"]
fn a_read_only_root_with_one_volume_is_enough() {
    let namespaces = ["unshare", "--user", "--map-root-user", "--mount"];
    let has_namespaces =
        Command::new(namespaces[0]).args(&namespaces[1..]).arg("true").status().is_ok_and(|status| status.success());
    assert!(has_namespaces, "this test makes a network namespace: run it as root, or allow user namespaces");
    let container = Container::new();
    fs::create_dir(container.volume()).unwrap();
    let secret = container.home.0.path().join("secret");
    let read_only = "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" && shift && exec \"$@\"";
    let run = |mounted: &Path, more: &[(&str, &str)]| {
        let mounted = mounted.to_str().unwrap();
        let shell = ["sh", "-c", read_only, "sh", mounted, PROGRAM, "run", "--supervised"];
        outcome(&mut container.command(&[&namespaces[..], &shell[..]].concat(), more))
    };
    // A read-only home directory besides the volume; at the second start the volume is read-only as well.
    let root = container.home.0.path().join("root");
    fs::create_dir(&root).unwrap();
    let first = identity(&run(&root, &[("HOME", root.to_str().unwrap())]).ok());
    assert_eq!(identity(&run(Path::new(&container.volume()), &[]).ok()), first);

    // A secret mounted with group access, as in Kubernetes.
    fs::rename(container.node().join("data"), &secret).unwrap();
    fs::remove_dir_all(container.node()).unwrap();
    let keys_dir = ("NYM_MIXNODE_KEYS_DIR", secret.to_str().unwrap());
    for (mode, is_refused) in [(0o444, true), (0o440, false)] {
        for name in ["private_identity.pem", "private_sphinx.pem"] {
            fs::set_permissions(secret.join(name), PermissionsExt::from_mode(mode)).unwrap();
        }
        if is_refused {
            container.start(&[keys_dir]).fails(77, &["chmod 600"]);
        }
    }
    let for_its_group = ("NYM_MIXNODE_KEYS_ALLOW_GROUP_READ", "true");
    assert_eq!(identity(&run(&secret, &[keys_dir, for_its_group]).ok()), first);

    let nowhere = Container::new();
    fs::create_dir(nowhere.volume()).unwrap();
    let mounted = nowhere.volume();
    let more = [("NYM_MIXNODE_HOME", mounted.as_str()), ("NYM_MIXNODE_NODE_LAYER", "1")];
    run(Path::new(&mounted), &more).fails(73, &["Read-only file system", "NYM_MIXNODE_HOME"]);
}
