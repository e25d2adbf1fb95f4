//! A new operator's first hour, by README: a directory, three nodes, probe, doctor, stop, backup, restore, a second node.
//!
//! README's own commands run, in namespaces of their own: its ports are free there, and no process outlives the test.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

/// What README has no words for: functions that check what a command answers.
const CHECKS: &str = r#"
set -euo pipefail
# fails CODE WORDS COMMAND...: the command must end with CODE and print WORDS.
fails() {
  local code=$1 words=$2 said status=0; shift 2
  said=$("$@" 2>&1) || status=$?
  printf '%s\n' "$said"
  [ "$status" = "$code" ] || { echo "exit code $status, not $code: $*"; exit 1; }
  grep -qF -- "$words" <<<"$said" || { echo "not in the output: $words"; exit 1; }
}
# until_ready ID: the directory lists the node.
until_ready() {
  until ./nym-mixnode health --id "$1" 2>/dev/null; do sleep 0.2; done
}
# stop PID: the process ends in order.
stop() {
  kill -TERM "$1"
  wait "$1" || { echo "process $1 ended with $?"; exit 1; }
}
"#;

/// After README's block, whose jobs still run: the registry, then the nodes 1 to 3.
const WALK: &str = r#"
jobs=($(jobs -p)); third=${jobs[3]}
directory=http://127.0.0.1:8081
for n in 1 2 3; do
  fails 0 'registered with the directory' cat mix$n.log
  fails 0 'it should now be able to receive mix traffic!' cat mix$n.log
done
fails 0 'packets came back' ./nym-mixnode doctor --id mix1
fails 0 'All 3 nodes mix over IPv4.' ./nym-mixnode probe --wait-active 2m --directory $directory

stop "$third"
fails 69 'Layer 3 has no node' ./nym-mixnode probe --directory $directory
fails 1 'http://127.0.0.1:8003' ./nym-mixnode health --id mix3

echo 'a passphrase of six plain words' >words; chmod 600 words
fails 0 'Saved the keys of mixnode mix3' ./nym-mixnode keys backup mix3.age --id mix3 --passphrase-file words
export HOME=$PWD/other-machine; mkdir "$HOME"
fails 0 'nym-mixnode init --id mix3' ./nym-mixnode keys restore mix3.age --id mix3 --passphrase-file words
fails 0 'Kept the existing' ./nym-mixnode init --id mix3 --layer 3 --host 127.0.0.1:1804 --http-listen 127.0.0.1:8004 \
  --allow-private --validator $directory
./nym-mixnode run --id mix3 >moved.log 2>&1 & moved=$!
until_ready mix3
fails 0 'All 3 nodes mix over IPv4.' ./nym-mixnode probe --wait-active 2m --directory $directory

# A second node on that machine; the directory chooses a layer.
fails 0 'the one with the fewest nodes' ./nym-mixnode init --id second --host 127.0.0.1:1805 \
  --http-listen 127.0.0.1:8005 --allow-private --validator $directory
./nym-mixnode run --id second >second.log 2>&1 & second=$!
until_ready second
fails 0 'All 4 nodes mix over IPv4.' ./nym-mixnode probe --wait-active 2m --directory $directory

for node in "$moved" "$second" "${jobs[1]}" "${jobs[2]}"; do stop "$node"; done
fails 69 'lists no mixnode' ./nym-mixnode probe --directory $directory
stop "${jobs[0]}"
fails 69 "$directory" ./nym-mixnode probe --directory $directory
echo walked
"#;

/// README's commands under this heading.
fn commands_of_readme(heading: &str) -> String {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let section = readme.split_once(heading).unwrap_or_else(|| panic!("README has no {heading:?}")).1;
    let block = section.split_once("```shell\n").unwrap().1;
    block.split_once("```").unwrap().0.to_owned()
}

#[test]
#[ignore = "needs root, or namespaces of a user: `make kit`"]
fn readme_leads_a_new_operator_from_a_directory_to_a_node_on_another_machine() {
    let commands = commands_of_readme("### Try it on one machine\n");
    let (start, end) = commands.trim_end().rsplit_once('\n').unwrap();
    assert!(end.starts_with("kill "), "the walk goes on before the end of README's commands: {end}");
    walk(&format!("{CHECKS}\n{start}\n{WALK}"));
}

#[test]
#[ignore = "needs root, or namespaces of a user: `make kit`"]
fn readme_stops_the_nodes_before_the_registry() {
    let commands = commands_of_readme("### Try it on one machine\n");
    let unregistered = "for n in 1 2 3; do grep ' unregistered' mix$n.log || exit 1; done";
    let none_failed = "! grep 'could not unregister' mix?.log || exit 1";
    walk(&format!("{commands}wait\n{unregistered}\n{none_failed}\necho walked\n"));
}

/// Runs a script in namespaces of its own, whose last words must be `walked`.
#[track_caller]
fn walk(script: &str) {
    let folder = tempfile::tempdir().unwrap();
    symlink(env!("CARGO_BIN_EXE_nym-mixnode"), folder.path().join("nym-mixnode")).unwrap();
    fs::write(folder.path().join("walk.sh"), script).unwrap();
    let namespaces = ["--user", "--map-root-user", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", "300", "unshare"]).args(namespaces);
    command.args(["bash", "-c", "ip link set lo up && exec bash walk.sh 2>&1"]).current_dir(folder.path());
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", folder.path());
    // So that no probe waits 30 s until the nodes know the prober.
    command.env("NYM_MIXNODE_DIRECTORY_TOPOLOGY_REFRESH", "1s").stdin(Stdio::null());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let logs = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let logs = logs.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
    let logs: Vec<_> =
        logs.map(|path| format!("{}:\n{}", path.display(), fs::read_to_string(&path).unwrap())).collect();
    let walked = output.status.success() && said.ends_with("walked\n");
    assert!(walked, "{said}\n{}\n{}", String::from_utf8_lossy(&output.stderr), logs.join("\n"));
}
