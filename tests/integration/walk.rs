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

/// Function that reads the explorer.
const GET: &str = r#"
# get PATH: prints a page of the registry.
get() {
  exec 3<>/dev/tcp/$ADDRESS/8081
  printf 'GET %s HTTP/1.0\r\nHost: %s:8081\r\n\r\n' "$1" "$ADDRESS" >&3
  cat <&3
}
"#;

/// Starts a registry with `REGISTRY_FLAGS` at `ADDRESS`, and runs the commands of its page `/join` in their order. A node that a
/// command starts replaces the one before.
const JOIN: &str = r#"
directory=http://$ADDRESS:8081
openssl rand -hex 32 >join-token; chmod 600 join-token
./nym-mixnode registry --listen $ADDRESS:8081 --allow-private $REGISTRY_FLAGS >registry.log 2>&1 & registry=$!
until ./nym-mixnode health --directory $directory 2>/dev/null; do sleep 0.2; done
page=$(get /join) blocks=()
while [[ $page =~ '<pre tabindex="0"><code>'([^<]*)'</code></pre>' ]]; do
  page=${page#*"${BASH_REMATCH[0]}"} block=${BASH_REMATCH[1]}
  block=${block//'&lt;'/'<'} block=${block//'&gt;'/'>'} block=${block//'&quot;'/'"'}
  blocks+=("${block//'&amp;'/'&'}")
done
# The program is here already.
[[ ${blocks[0]} == 'cargo build --release && '* ]] || { echo "no build first: ${blocks[0]}"; exit 1; }
node=
while read -r line; do
  echo "\$ $line"
  case $line in
    *' run '*)
      [ -z "$node" ] || stop "$node"
      $line >mynode.log 2>&1 & node=$! ;;
    *' health '*) until $line 2>/dev/null; do sleep 0.2; done ;;
    *) $line ;;
  esac
done < <(printf '%s\n' "${blocks[@]:1}")
until_ready mynode
fails 0 'it should now be able to receive mix traffic!' cat mynode.log
fails 0 'YourCity' get /
stop "$node"; stop "$registry"
echo walked
"#;

/// First commands of a page under this heading.
fn commands(page: &str, heading: &str) -> String {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).unwrap();
    let section = text.split_once(heading).unwrap_or_else(|| panic!("{page} has no {heading:?}")).1;
    let block = section.split_once("```shell\n").unwrap().1;
    block.split_once("```").unwrap().0.to_owned()
}

#[test]
#[ignore = "needs root, or namespaces of a user: `make kit`"]
fn readme_leads_a_new_operator_from_a_directory_to_a_node_on_another_machine() {
    let commands = commands("README.md", "### Try it on one machine\n");
    let (start, end) = commands.trim_end().rsplit_once('\n').unwrap();
    assert!(end.starts_with("kill "), "the walk goes on before the end of README's commands: {end}");
    walk(&format!("{CHECKS}\n{start}\n{WALK}"));
}

#[test]
#[ignore = "needs root, or namespaces of a user: `make kit`"]
fn readme_stops_the_nodes_before_the_registry() {
    let commands = commands("README.md", "### Try it on one machine\n");
    let unregistered = "for n in 1 2 3; do grep ' unregistered' mix$n.log || exit 1; done";
    let none_failed = "! grep 'could not unregister' mix?.log || exit 1";
    walk(&format!("{commands}wait\n{unregistered}\n{none_failed}\necho walked\n"));
}

#[test]
#[ignore = "needs root, or namespaces of a user: `make kit`"]
fn three_terminals_show_a_network_with_a_node_that_fails_and_another_that_joins() {
    let page = |heading| commands("docs/own-network.md", &format!("### {heading}\n"));
    let (registry, nodes) = (page("Terminal 1: the registry"), page("Terminal 2: three nodes"));
    let (checks, kill, add) = (page("Terminal 3: the checks"), page("Kill a node"), page("Add a node"));
    let restart = commands("docs/own-network.md", "Start the node again");
    let stop = page("Stop the network");
    let registry = registry.trim_end();
    // Job numbers count the nodes of terminal 2, so the registry is not one of its jobs.
    walk(&format!(
        r"{CHECKS}
ADDRESS=127.0.0.1
{GET}
(exec {registry} >registry.log 2>&1) & registry=$!
until ./nym-mixnode health --directory http://$ADDRESS:8081 2>/dev/null; do sleep 0.2; done
fails 0 'No node is registered yet' get /
cat >terminal.sh <<'END'
{CHECKS}
ADDRESS=127.0.0.1
{GET}
set -m
{nodes}
for n in 1 2 3; do until_ready mix$n; done
(
{checks})
fails 0 '3 of them in the active set' get /
{kill}
until get / | grep 'state bad'; do sleep 0.2; done
{restart}
until_ready mix2
until ! get / | grep 'state bad'; do sleep 0.2; done
{add}
until_ready mix4
fails 0 '4 mixnodes' get /
# A prompt does this: the killed job is no job any more.
jobs
{stop}
END
bash terminal.sh
for n in 1 2 3 4; do fails 0 ' unregistered' cat mix$n.log; done
fails 0 'No node is registered yet' get /
stop $registry
echo walked
"
    ));
}

#[test]
#[ignore = "needs root, or namespaces of a user: `make kit`"]
fn the_join_page_of_a_registry_for_one_machine_leads_to_a_node_on_it() {
    walk(&format!("{CHECKS}\nADDRESS=127.0.0.1 REGISTRY_FLAGS=\n{GET}\n{JOIN}"));
}

#[test]
#[ignore = "needs root, or namespaces of a user: `make kit`"]
fn the_join_page_of_a_closed_registry_leads_to_a_node_on_another_machine() {
    let network = "ip link add wan type veth peer name other\nip address add 10.1.0.5/24 dev wan\nip link set wan up\nip link \
                   set other up";
    let flags = "ADDRESS=10.1.0.5 REGISTRY_FLAGS='--join-token-file join-token'";
    walk(&format!("{CHECKS}\n{network}\n{flags}\n{GET}\n{JOIN}"));
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
