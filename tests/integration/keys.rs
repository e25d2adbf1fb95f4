//! The command `keys`, and the protection of secrets, by running the program.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use age::secrecy::SecretString;
use rustix::process::{Pid, Signal, kill_process};

use crate::cli::{Home, Outcome, outcome};
use crate::process::{NodeFiles, RegistryProcess, program};
use crate::support::{NOWHERE, own_address};

pub(crate) const KEY_FILES: [&str; 4] =
    ["private_identity.pem", "public_identity.pem", "private_sphinx.pem", "public_sphinx.pem"];

/// Writes a passphrase file with this line.
pub(crate) fn passphrase(home: &Home, line: &str) -> PathBuf {
    let file = home.0.path().join("passphrase");
    fs::write(&file, line).unwrap();
    fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    file
}

fn keys(home: &Home, command: &str, file: &Path) -> Outcome {
    let passphrase = home.0.path().join("passphrase");
    let args = ["--id", "mix", "--passphrase-file", passphrase.to_str().unwrap()];
    home.run(&[&["keys", command, file.to_str().unwrap()], &args[..]].concat())
}

/// Creates a backup like the age program, with a low work factor.
pub(crate) fn encrypted(passphrase: &str, contents: &[u8]) -> Vec<u8> {
    let mut recipient = age::scrypt::Recipient::new(SecretString::from(passphrase));
    recipient.set_work_factor(2);
    age::encrypt(&recipient, contents).unwrap()
}

/// Tar archive of a node's key files.
pub(crate) fn archive(home: &Home) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut append = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        archive.append_data(&mut header, name, bytes).unwrap();
    };
    append("FORMAT", b"nym-mixnode-keys 1\n");
    for name in KEY_FILES {
        append(name, &fs::read(home.key(name)).unwrap());
    }
    archive.into_inner().unwrap()
}

pub(crate) fn key_contents(home: &Home) -> Vec<Option<Vec<u8>>> {
    KEY_FILES.map(|name| fs::read(home.key(name)).ok()).to_vec()
}

#[test]
fn show_prints_the_public_keys_and_the_paths_of_the_files() {
    let home = Home::with_node();
    let shown = home.run(&["keys", "show", "--id", "mix"]).ok().stdout;
    for (name, word) in [("public_identity.pem", "Identity key: "), ("public_sphinx.pem", "Sphinx key: ")] {
        let key = pem::parse(fs::read(home.key(name)).unwrap()).unwrap().into_contents();
        assert!(shown.contains(&format!("{word}{}\n", bs58::encode(key).into_string())), "{shown}");
    }
    assert!(KEY_FILES.iter().all(|name| shown.contains(home.key(name).to_str().unwrap())), "{shown}");
    // A user without access to the private keys can still see this.
    fs::remove_file(home.key("private_sphinx.pem")).unwrap();
    home.run(&["keys", "show", "--id", "mix"]).ok();
    home.run(&["keys"]).fails_with_help();
}

impl Outcome {
    fn fails_with_help(&self) {
        assert_eq!(self.code, 64);
        assert!(self.stderr.contains("Usage: nym-mixnode keys"), "{}", self.stderr);
    }
}

#[test]
fn what_is_backed_up_is_restored_byte_for_byte() {
    let home = Home::with_node();
    let file = home.0.path().join("keys.age");
    passphrase(&home, "correct horse\n");
    let said = keys(&home, "backup", &file).ok().stdout;
    assert!(said.contains("mixnode mix"), "{said}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
    let sealed = fs::read(&file).unwrap();
    assert!(sealed.starts_with(b"age-encryption.org/v1\n-> scrypt "));

    // Neither the backup nor a key is overwritten.
    keys(&home, "backup", &file).fails(73, &["keys.age exists"]);
    assert_eq!(fs::read(&file).unwrap(), sealed);
    let before = home.snapshot();
    keys(&home, "restore", &file).fails(73, &["private_identity.pem exists", "move it away"]);
    assert_eq!(home.snapshot(), before);

    fs::rename(home.node().join("data"), home.0.path().join("lost")).unwrap();
    let said = keys(&home, "restore", &file).ok().stdout;
    assert!(said.contains("mixnode mix"), "{said}");
    assert_eq!(home.snapshot().len(), before.len() + KEY_FILES.len() + 1);
    for name in KEY_FILES {
        assert_eq!(fs::read(home.key(name)).unwrap(), fs::read(home.0.path().join("lost").join(name)).unwrap());
        let mode = if name.starts_with("private") { 0o600 } else { 0o644 };
        assert_eq!(fs::metadata(home.key(name)).unwrap().permissions().mode() & 0o7777, mode);
    }
}

#[test]
fn a_restore_without_configuration_prints_the_next_steps() {
    let (home, new) = (Home::with_node(), Home::new());
    let file = new.0.path().join("keys.age");
    fs::write(&file, encrypted("correct horse", &archive(&home))).unwrap();
    passphrase(&new, "correct horse");
    let said = keys(&new, "restore", &file).ok().stdout;
    assert!(said.contains("no configuration yet") && said.contains("config.yaml"), "{said}");
    assert_eq!(key_contents(&new), key_contents(&home));
    // A start prints the next steps as well.
    new.run(&["run", "--id", "mix"]).fails(78, &["config.yaml does not", "`nym-mixnode init --id mix`"]);
    // Path of the keys in this environment.
    let (elsewhere, dir) = (Home::new(), new.0.path().join("elsewhere"));
    passphrase(&elsewhere, "correct horse");
    let with = ["--id", "mix", "--passphrase-file", elsewhere.0.path().join("passphrase").to_str().unwrap()]
        .map(str::to_owned);
    let args: Vec<&str> =
        ["keys", "restore", file.to_str().unwrap()].into_iter().chain(with.iter().map(String::as_str)).collect();
    elsewhere.run_with(&[("NYM_MIXNODE_KEYS_DIR", dir.to_str().unwrap())], &args).ok();
    assert!(dir.join("private_sphinx.pem").exists() && !elsewhere.node().exists());
}

#[test]
fn the_keys_of_a_gateway_are_restored_for_a_gateway() {
    let (old, new) = (Home::new(), Home::new());
    let listen = own_address().to_string();
    let init = ["gateway", "init", "--id", "mix", "--host", &listen, "--validator", &NOWHERE, "--allow-private"];
    old.run(&init).ok();
    let file = old.0.path().join("keys.age").display().to_string();
    let words = passphrase(&old, "correct horse").display().to_string();
    let keys = |home: &Home, command: &str| {
        home.run(&["gateway", "keys", command, &file, "--id", "mix", "--passphrase-file", &words]).ok().stdout
    };
    assert!(keys(&old, "backup").contains("Saved the keys of gateway mix"));
    let restored = keys(&new, "restore");
    for words in ["Restored the keys of gateway mix", "nym-mixnode gateway init --id mix"] {
        assert!(restored.contains(words), "no {words} in {restored}");
    }
    assert!(new.run(&init).ok().stdout.contains("Kept the existing"), "it takes the restored keys");
    let show = |home: &Home| home.run(&["gateway", "keys", "show", "--id", "mix"]).ok().stdout;
    let public =
        |shown: &str| shown.lines().filter(|line| line.contains(" key: ")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(public(&show(&old)), public(&show(&new)));
    assert!(show(&new).contains(".nym/gateways/mix/data/"), "{}", show(&new));
    new.run(&["keys", "show", "--id", "mix"]).fails(78, &["mixnodes/mix"]);
}

#[tokio::test]
async fn a_backup_becomes_a_registered_node_in_another_home_by_the_commands_that_are_printed() {
    let home = tempfile::tempdir().unwrap();
    let registry = RegistryProcess::start(&home.path().join("registry.sqlite")).await;
    let (old, new) = (NodeFiles::init(&registry.url()).await, NodeFiles::empty());
    let (file, passphrase) = (old.dir().join("keys.age"), old.dir().join("passphrase"));
    fs::write(&passphrase, "correct horse").unwrap();
    let listen = new.address.to_string();
    let run = async |arguments: &[&str]| {
        let mut command = program(arguments);
        command.env("NYM_MIXNODE_DIRECTORY_URL", registry.url().as_str()).env("NYM_MIXNODE_LISTEN_ADDRESSES", &listen);
        let output = command.env("NYM_MIXNODE_ANNOUNCE_ALLOW_PRIVATE", "true").output().await.unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let (file, passphrase) = (file.to_str().unwrap(), passphrase.to_str().unwrap());
    run(&["keys", "backup", file, "--home", old.root(), "--id", "mix", "--passphrase-file", passphrase]).await;
    let restore = ["keys", "restore", file, "--home", new.root(), "--id", "mix", "--passphrase-file", passphrase];
    let restored = run(&restore).await;

    let printed = |said: &str, command: &str| {
        let mut lines =
            said.lines().filter_map(|line| line.split_once("nym-mixnode ").map(|(_, rest)| rest.to_owned()));
        lines.find(|line| line.starts_with(command)).unwrap_or_else(|| panic!("no {command} in:\n{said}"))
    };
    let init = printed(&restored, "init ");
    let made = run(&init.split(' ').collect::<Vec<_>>()).await;
    assert!(made.contains("Kept the existing"), "{made}");
    assert_eq!(new.identity(), old.identity());
    assert_eq!(printed(&restored, "run "), printed(&made, "run "));
    assert_eq!(printed(&made, "run "), format!("run --id mix --home {}", new.root()));
    let mut node = new.run(&[]);
    node.registered().await;
    assert_eq!(registry.listed(&old.identity()).await, Some(listen.clone()));
    assert!(node.stop().await.success());

    // A second run of either command replaces nothing.
    for (arguments, code) in [(&restore[..], 73), (&init.split(' ').collect::<Vec<_>>()[..], 73)] {
        assert_eq!(program(arguments).output().await.unwrap().status.code(), Some(code));
    }
}

#[test]
fn the_environment_names_the_passphrase_file_and_without_a_terminal_one_is_needed() {
    let home = Home::with_node();
    let file = home.0.path().join("keys.age");
    fs::write(&file, encrypted("from the environment", &archive(&home))).unwrap();
    fs::remove_dir_all(home.node().join("data")).unwrap();
    let args = ["keys", "restore", file.to_str().unwrap(), "--id", "mix"];
    home.run(&args).fails(64, &["--passphrase-file"]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_nym-mixnode"));
    command.args(args).env("HOME", home.0.path()).env_remove("RUST_LOG").stdin(Stdio::null());
    command.env("NYM_MIXNODE_KEYS_PASSPHRASE_FILE", passphrase(&home, "from the environment\n"));
    outcome(&mut command).ok();
    home.run(&["keys", "show", "--id", "mix"]).ok();
}

#[test]
fn a_backup_that_does_not_open_changes_nothing() {
    let home = Home::with_node();
    let good = encrypted("correct horse", &archive(&home));
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let other = Home::with_node();
    fs::copy(other.key("public_sphinx.pem"), home.key("public_sphinx.pem")).unwrap();
    let mixed = encrypted("correct horse", &archive(&home));
    fs::remove_dir_all(home.node().join("data")).unwrap();
    passphrase(&home, "correct horse");
    let file = home.0.path().join("keys.age");
    let to_others = age::encrypt(&age::x25519::Identity::generate().to_public(), b"for others").unwrap();
    let bad: &[(&[u8], &[&str])] = &[
        (&encrypted("another", b""), &["the passphrase is not the one"]),
        (&flipped, &["is damaged"]),
        (&good[..good.len() / 2], &["is damaged"]),
        (&good[..40], &["is damaged"]),
        (&to_others, &["is not a file that age has encrypted with a passphrase"]),
        (b"-----BEGIN CERTIFICATE-----", &["is not a file that age has encrypted"]),
        (b"", &["is damaged"]),
        (&encrypted("correct horse", b"my diary"), &["holds no backup of a node's keys"]),
        (&encrypted("correct horse", &vec![0; 100_000]), &["holds no backup"]),
        (&mixed, &["public_sphinx.pem does not belong to"]),
    ];
    for (contents, words) in bad {
        fs::write(&file, contents).unwrap();
        let before = home.snapshot();
        keys(&home, "restore", &file).fails(65, &[&["keys.age"], *words].concat());
        assert_eq!(home.snapshot(), before);
    }
    fs::remove_file(&file).unwrap();
    keys(&home, "restore", &file).fails(74, &["keys.age cannot be read"]);
    fs::write(&file, &good).unwrap();
    fs::remove_file(home.0.path().join("passphrase")).unwrap();
    keys(&home, "restore", &file).fails(74, &["cannot read passphrase file"]);
}

#[test]
fn a_restore_completes_what_is_the_same_and_refuses_what_is_not() {
    let home = Home::with_node();
    let file = home.0.path().join("keys.age");
    fs::write(&file, encrypted("correct horse", &archive(&home))).unwrap();
    passphrase(&home, "correct horse");
    let whole = key_contents(&home);
    fs::remove_file(home.key("public_identity.pem")).unwrap();
    fs::remove_file(home.key("private_sphinx.pem")).unwrap();
    keys(&home, "restore", &file).ok();
    assert_eq!(key_contents(&home), whole);

    fs::remove_file(home.key("private_sphinx.pem")).unwrap();
    fs::copy(Home::with_node().key("private_identity.pem"), home.key("private_identity.pem")).unwrap();
    let before = home.snapshot();
    keys(&home, "restore", &file).fails(73, &["private_identity.pem exists", "never replaced"]);
    assert_eq!(home.snapshot(), before);
}

/// All encodings in which the private keys could be written.
fn secrets(home: &Home) -> Vec<String> {
    let mut secrets = Vec::new();
    for name in ["private_identity.pem", "private_sphinx.pem"] {
        let text = fs::read_to_string(home.key(name)).unwrap();
        let key = pem::parse(&text).unwrap().into_contents();
        secrets.push(text.lines().nth(1).unwrap().trim_end_matches('=').to_owned());
        secrets.push(bs58::encode(&key).into_string());
        secrets.push(key.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat());
        secrets.push(format!("{key:?}").trim_matches(['[', ']']).to_owned());
    }
    secrets
}

#[test]
fn no_output_of_any_command_contains_a_private_key_or_a_passphrase() {
    let home = Home::with_node();
    let file = home.0.path().join("keys.age");
    passphrase(&home, "correct horse battery staple");
    let trace = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nym-mixnode"));
        command.args(args).env("HOME", home.0.path()).env("RUST_LOG", "trace").stdin(Stdio::null());
        let said = outcome(&mut command);
        said.stdout + &said.stderr
    };
    let passphrase_file = home.0.path().join("passphrase");
    let with = ["--id", "mix", "--passphrase-file", passphrase_file.to_str().unwrap()];
    let file = file.to_str().unwrap();
    let mut said = trace(&["run", "--id", "mix", "--supervised"]);
    said += &trace(&["keys", "show", "--id", "mix"]);
    said += &trace(&[&["keys", "backup", file], &with[..]].concat());
    said += &trace(&[&["keys", "restore", file], &with[..]].concat());
    said += &String::from_utf8_lossy(&fs::read(file).unwrap());
    assert!(said.contains("Listening for packets") && said.contains("Saved the keys"), "{said}");
    for secret in secrets(&home).into_iter().chain(["correct horse".to_owned()]) {
        assert!(!said.contains(&secret), "{said}");
    }
}

#[test]
fn a_node_with_keys_in_its_memory_cannot_be_dumped() {
    const NOBODY: u32 = 65534;
    let home = Home::with_node();
    let root = rustix::process::geteuid().is_root();
    // Processes of root always belong to root, so run it as another user.
    let program = home.0.path().join("nym-mixnode");
    let mut command = if root {
        fs::copy(env!("CARGO_BIN_EXE_nym-mixnode"), &program).unwrap();
        for (path, ..) in home.snapshot() {
            std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        fs::set_permissions(home.0.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let mut command = Command::new(&program);
        command.uid(NOBODY).gid(NOBODY);
        command
    } else {
        Command::new(env!("CARGO_BIN_EXE_nym-mixnode"))
    };
    command.args(["run", "--id", "mix"]).env("HOME", home.0.path()).env_remove("RUST_LOG").current_dir("/");
    let mut node = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(node.stderr.take().unwrap()).lines().map(Result::unwrap);
    log.find(|line| line.contains("Listening for packets")).expect("the node starts");

    let proc = PathBuf::from(format!("/proc/{}", node.id()));
    let status = fs::read_to_string(proc.join("status")).unwrap();
    let uid: u32 =
        status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap().split('\t').nth(1).unwrap().parse().unwrap();
    let owner = fs::metadata(proc.join("environ")).unwrap().uid();
    assert_ne!(owner, uid, "the memory of the process is its user's");
    let limits = fs::read_to_string(proc.join("limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");

    kill_process(Pid::from_child(&node), Signal::ABORT).unwrap();
    std::io::sink().write_all(log.collect::<String>().as_bytes()).unwrap();
    let ended = node.wait().unwrap();
    assert_eq!((ended.signal(), ended.core_dumped()), (Some(Signal::ABORT.as_raw()), false));
}
