//! The command line, by running the program.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::{NOWHERE, own_address};

/// Home directory of a test.
pub(crate) struct Home(pub(crate) TempDir);

pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// With a node `mix` in it, on a free port and without waits at its stop.
    pub(crate) fn with_node() -> Self {
        let home = Self::new();
        let host = own_address().to_string();
        let node = ["init", "--id", "mix", "--host", &host, "--layer", "1", "--validator", &NOWHERE];
        home.run(&[&node[..], &["--allow-private"]].concat()).ok();
        home.edit_config("#linger: 5s", "linger: 0s");
        home.edit_config("#listen: \"127.0.0.1:8000\"", "listen: \"127.0.0.1:0\"");
        home
    }

    pub(crate) fn run(&self, args: &[&str]) -> Outcome {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nym-mixnode"));
        command.args(args).env("HOME", self.0.path()).env_remove("RUST_LOG").stdin(Stdio::null());
        outcome(&mut command)
    }

    /// Runs the program with these variables set.
    pub(crate) fn run_with(&self, variables: &[(&str, &str)], args: &[&str]) -> Outcome {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nym-mixnode"));
        command.args(args).env("HOME", self.0.path()).env_remove("RUST_LOG").stdin(Stdio::null());
        outcome(command.envs(variables.iter().copied()))
    }

    pub(crate) fn node(&self) -> PathBuf {
        self.0.path().join(".nym/mixnodes/mix")
    }

    pub(crate) fn key(&self, name: &str) -> PathBuf {
        self.node().join("data").join(name)
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.node().join("config/config.yaml")
    }

    pub(crate) fn edit_config(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.config()).unwrap();
        assert!(text.contains(from), "{from:?} is not in:\n{text}");
        fs::write(self.config(), text.replacen(from, to, 1)).unwrap();
    }

    /// Every file and directory below, with its mode and contents.
    pub(crate) fn snapshot(&self) -> Vec<(PathBuf, u32, Vec<u8>)> {
        let mut all = Vec::new();
        collect(self.0.path(), &mut all);
        all.sort();
        all
    }
}

pub(crate) fn outcome(command: &mut Command) -> Outcome {
    let output = command.output().unwrap();
    Outcome {
        code: output.status.code().expect("the program was killed"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn collect(dir: &Path, all: &mut Vec<(PathBuf, u32, Vec<u8>)>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
        if path.is_dir() {
            collect(&path, all);
            all.push((path, mode, Vec::new()));
        } else {
            let contents = fs::read(&path).unwrap();
            all.push((path, mode, contents));
        }
    }
}

impl Outcome {
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{}\n{}", self.stdout, self.stderr);
        self
    }

    /// One line on standard error that has all of `words`, and this exit code.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{}", self.stderr);
        assert_eq!(self.stderr.lines().count(), 1, "{}", self.stderr);
        assert!(self.stderr.starts_with("nym-mixnode: ") && self.stderr.ends_with('\n'), "{}", self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is not in: {}", self.stderr);
        }
    }
}

/// Directory without signatures that gives one answer to all other requests; returns the requests.
pub(crate) fn directory(status: &'static str, body: &'static str) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = thread::spawn(move || {
        loop {
            let (mut stream, _) = listener.accept().unwrap();
            let request = first_line(&mut stream);
            let is_counter = request.starts_with("GET /api/mixmining/counter/");
            let (status, body) = if is_counter { ("404 Not Found", "404 page not found") } else { (status, body) };
            let len = body.len();
            write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {len}\r\nconnection: close\r\n\r\n{body}").unwrap();
            if !is_counter {
                return request;
            }
        }
    });
    (url, asked)
}

fn first_line(stream: &mut std::net::TcpStream) -> String {
    let mut request = Vec::new();
    let mut piece = [0; 1024];
    while !request.ends_with(b"\r\n\r\n") {
        let len = stream.read(&mut piece).unwrap();
        assert_ne!(len, 0, "the request ended early");
        request.extend_from_slice(&piece[..len]);
    }
    String::from_utf8(request).unwrap().lines().next().unwrap().to_owned()
}

#[test]
fn init_creates_the_layout_of_0_9_2_with_private_keys_private() {
    let home = Home::new();
    let said =
        home.run(&["init", "--id", "mix", "--host", "36.68.243.1", "--location", "Null Island", "--layer", "2"]).ok();
    for line in ["Initialising mixnode mix...", "Saved mixnet identity and sphinx keypairs", "nym-mixnode run --id mix"]
    {
        assert!(said.stdout.contains(line), "{}", said.stdout);
    }
    let expected = [
        ("", 0o700),
        ("config", 0o700),
        ("config/config.yaml", 0o644),
        ("data", 0o700),
        ("data/private_identity.pem", 0o600),
        ("data/private_sphinx.pem", 0o600),
        ("data/public_identity.pem", 0o644),
        ("data/public_sphinx.pem", 0o644),
    ];
    let node = home.node();
    let snapshot = home.snapshot();
    let below = snapshot.iter().filter_map(|(path, mode, _)| Some((path.strip_prefix(&node).ok()?.to_str()?, *mode)));
    assert_eq!(below.collect::<Vec<_>>(), expected);
    let config = fs::read_to_string(home.config()).unwrap();
    for line in ["  id: mix\n", "  layer: 2\n", "  location: \"Null Island\"\n", "    - \"36.68.243.1:1789\"\n"] {
        assert!(config.contains(line), "{config}");
    }
}

#[test]
fn init_refuses_to_destroy_keys_and_changes_nothing() {
    let home = Home::with_node();
    let before = home.snapshot();
    let again = ["init", "--id", "mix", "--host", "36.68.243.1", "--layer", "1"];
    let config = home.config();
    let advice = ["nym-mixnode run --id mix", config.to_str().unwrap(), "another --id"];
    home.run(&again).fails(73, &[&["private_identity.pem exists", "never replaces keys"], &advice[..]].concat());
    assert_eq!(home.snapshot(), before);

    // A single key that is left is one too many to lose.
    for name in ["private_identity.pem", "public_identity.pem", "public_sphinx.pem"] {
        fs::remove_file(home.key(name)).unwrap();
    }
    let before = home.snapshot();
    home.run(&again).fails(73, &["private_sphinx.pem exists"]);
    assert_eq!(home.snapshot(), before);

    fs::remove_dir_all(home.node().join("data")).unwrap();
    home.run(&again).fails(73, &["mixnodes/mix exists", "configuration without keys", "move it away"]);
    let refused = home.run(&["init", "--id", "mix"]);
    assert_eq!(refused.stdout, "", "nothing is begun, nobody is asked");
    refused.fails(73, &["configuration without keys"]);
}

#[test]
fn init_that_fails_leaves_nothing() {
    let home = Home::new();
    fs::write(home.0.path().join(".nym"), "a file where the directory has to be").unwrap();
    let before = home.snapshot();
    home.run(&["init", "--id", "mix", "--host", "36.68.243.1", "--layer", "1"]).fails(73, &[".nym"]);
    assert_eq!(home.snapshot(), before);
}

#[test]
fn init_asks_the_directory_for_the_layer() {
    let mix = |layer: u8| {
        format!(
            r#"{{"mixHost":"192.0.2.{layer}:1789","identityKey":"k","sphinxKey":"k","version":"0.9.2","location":"",
                "incentivesAddress":"","layer":{layer},"registrationTime":1,"reputation":0}}"#
        )
    };
    let topology = format!(r#"{{"mixNodes":[{},{}],"gateways":[],"validators":{{}}}}"#, mix(1), mix(3));
    let (url, asked) = directory("200 OK", topology.leak());
    let home = Home::new();
    let said = home.run(&["init", "--id", "mix", "--host", "36.68.243.1", "--directory", &url]).ok();
    assert!(said.stdout.contains("Layer 2: "), "{}", said.stdout);
    assert_eq!(asked.join().unwrap(), "GET /api/mixmining/topology HTTP/1.1");
    let config = fs::read_to_string(home.config()).unwrap();
    assert!(config.contains("  layer: 2\n"), "{config}");
    // The metrics of another network's node are nothing for the testnet's server.
    assert!(config.contains("  #metrics_url:\n"), "{config}");
}

#[test]
fn init_without_a_directory_picks_a_layer_and_warns() {
    let home = Home::new();
    let said = home.run(&["init", "--id", "mix", "--host", "36.68.243.1", "--validator", &NOWHERE]).ok();
    assert!(said.stdout.contains("(--layer chooses another)"), "{}", said.stdout);
    let config = home.config();
    for words in ["Warning: cannot fetch", &*NOWHERE, "directory.url", config.to_str().unwrap(), "node.layer"] {
        assert!(said.stderr.contains(words), "{words:?} is not in: {}", said.stderr);
    }
    // A given layer needs no directory.
    let layer = ["init", "--id", "mix", "--host", "36.68.243.1", "--layer", "1", "--validator", &NOWHERE];
    assert_eq!(Home::new().run(&layer).ok().stderr, "");
}

#[test]
fn the_manuals_spellings_of_the_incentives_flag_work() {
    for flag in ["--incentives-address", "--incentives--address", "--incentives"] {
        let home = Home::new();
        home.run(&["init", "--id", "mix", "--host", "36.68.243.1", "--layer", "1", flag, "VJLxyz"]).ok();
        assert!(fs::read_to_string(home.config()).unwrap().contains("  incentives_address: VJLxyz\n"), "{flag}");
    }
}

#[test]
fn hosts_come_in_every_form_and_number() {
    let home = Home::new();
    let hosts = ["--host", "10.0.0.1,[::]:2000", "--host", "2600::7", "--port", "3000"];
    let announced = ["--announce-host", "36.68.243.1", "--announce-host", "[2600::1]:4000"];
    home.run(&[&["init", "--id", "mix", "--layer", "1"], &hosts[..], &announced[..]].concat()).ok();
    let config = fs::read_to_string(home.config()).unwrap();
    for address in ["10.0.0.1:3000", "[::]:2000", "[2600::7]:3000", "36.68.243.1", "[2600::1]:4000"] {
        assert!(config.contains(&format!("    - \"{address}\"\n")), "{address} is not in:\n{config}");
    }
}

#[test]
fn another_home_can_be_given() {
    let home = Home::new();
    let root = home.0.path().join("elsewhere");
    let root = root.to_str().unwrap();
    let said = home.run(&["init", "--id", "mix", "--home", root, "--host", "36.68.243.1", "--layer", "1"]).ok();
    assert!(said.stdout.contains(&format!("run --id mix --home {root}")), "{}", said.stdout);
    assert!(Path::new(root).join("mixnodes/mix/config/config.yaml").exists());
    assert!(!home.0.path().join(".nym").exists());
    let mut command = Command::new(env!("CARGO_BIN_EXE_nym-mixnode"));
    command.args(["run", "--id", "mix"]).env_remove("HOME").stdin(Stdio::null());
    outcome(&mut command).fails(78, &["HOME is not set", "--home DIR"]);
}

#[test]
fn a_relative_home_is_as_good_as_any() {
    let home = Home::new();
    let program = |args: &[&str], variables: &[(&str, &str)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nym-mixnode"));
        command.args(args).current_dir(home.0.path()).env_remove("HOME").env_remove("RUST_LOG");
        outcome(command.envs(variables.iter().copied()).stdin(Stdio::null())).ok()
    };
    let init = ["init", "--id", "mix", "--host", "36.68.243.1", "--layer", "1"];
    let said = program(&[&init[..], &["--home", "by-flag"]].concat(), &[]);
    assert!(said.stdout.contains("nym-mixnode run --id mix --home by-flag"), "{}", said.stdout);
    program(&["keys", "show", "--id", "mix", "--home", "./by-flag"], &[]);
    program(&init, &[("NYM_MIXNODE_HOME", "by-variable")]);
    for root in ["by-flag", "by-variable"] {
        let node = home.0.path().join(root).join("mixnodes/mix");
        assert!(node.join("config/config.yaml").exists() && node.join("data/public_sphinx.pem").exists());
    }
}

#[test]
fn bad_command_lines_are_refused_in_one_line_that_names_the_value() {
    let home = Home::with_node();
    let before = home.snapshot();
    let bad: &[(&str, &[&str])] = &[
        ("start", &["'start'"]),
        ("init --host 36.68.243.1", &["--id <ID>"]),
        ("init --id .. --host 36.68.243.1", &["'..'", "--id"]),
        ("init --id a/b --host 36.68.243.1", &["'a/b'", "--id"]),
        ("init --id= --host 36.68.243.1", &["--id"]),
        ("init --id new --host example.org", &["'example.org'", "not an IP address"]),
        ("init --id new --host 36.68.243.256", &["'36.68.243.256'"]),
        ("init --id new --host 36.68.243.1:0", &["'36.68.243.1:0'", "1 to 65535"]),
        ("init --id new --host 36.68.243.1:99999", &["'36.68.243.1:99999'"]),
        ("init --id new --host [::1", &["'[::1'"]),
        ("init --id new --host 224.0.0.1", &["'224.0.0.1'", "multicast"]),
        ("init --id new --announce-host 0.0.0.0", &["\"0.0.0.0:1789\"", "--announce-host"]),
        ("init --id new --announce-host 10.126.5.7", &["\"10.126.5.7:1789\"", "a private address", "--host"]),
        ("init --id new --cloud amazon", &["--cloud", "\"amazon\"", "auto, none, aws, gcp"]),
        ("init --id new --host 36.68.243.1,36.68.243.2", &["\"36.68.243.2:1789\"", "--announce-host"]),
        ("init --id new --host 36.68.243.1 --host 36.68.243.1:1789", &["\"36.68.243.1:1789\"", "twice"]),
        ("init --id new --host 36.68.243.1 --port 0", &["'0'", "--port"]),
        ("init --id new --host 36.68.243.1 --port 65536", &["'65536'", "--port"]),
        ("init --id new --host 36.68.243.1 --layer 0", &["--layer", "\"0\"", "from 1 up"]),
        ("init --id new --host 36.68.243.1 --layer two", &["--layer", "\"two\""]),
        ("init --id new --host 36.68.243.1 --layer=-1", &["--layer", "\"-1\""]),
        ("init --id new --host 36.68.243.1 --announce-host ::", &["--announce-host", "\"[::]:1789\""]),
        ("init --id new --host 36.68.243.1 --announce-host nym", &["--announce-host", "'nym'"]),
        ("init --id new --host 36.68.243.1 --validator nymtech.net", &["--validator", "\"nymtech.net\"", "http://"]),
        ("init --id new --host 36.68.243.1 --metrics-server ftp://x", &["--metrics-server", "\"ftp://x\""]),
        ("init --id new --host 36.68.243.1 --forward-policy all", &["'all'", "topology, public, any"]),
        ("init --id new --host 36.68.243.1 --hots x", &["'--hots'"]),
        ("run", &["--id <ID>"]),
        ("run --id mix --workers many", &["--workers", "\"many\"", "from 0 to 1024"]),
        ("run --id mix --topology-refresh 10", &["--topology-refresh", "\"10\"", "such as 30s"]),
        ("run --id mix --layer 0", &["--layer", "\"0\""]),
        ("run --id mix --announce-host ::", &["--announce-host", "\"[::]:"]),
        ("unregister --id mix --hots 36.68.243.1", &["'--hots'"]),
    ];
    for (line, words) in bad {
        eprintln!("{line}");
        home.run(&line.split(' ').collect::<Vec<_>>()).fails(64, words);
    }
    assert_eq!(home.snapshot(), before);
}

#[test]
fn bad_configuration_files_are_refused_with_file_and_line() {
    let bad: &[(&str, &str, &[&str])] = &[
        ("#workers: 0", "wrokers: 2", &["mix.wrokers", "workers, delay_max, release_interval, memory"]),
        ("mix:", "mixer:", &["mixer", "forward, connections"]),
        ("#delay_max: 10s", "delay_max: 10 parsecs", &["mix.delay_max", "\"10 parsecs\"", "from 1ms to 1h"]),
        ("#delay_max: 10s", "delay_max: 10", &["mix.delay_max", "\"10\""]),
        ("#memory: 256MiB", "memory: lots", &["mix.memory", "\"lots\"", "256MiB"]),
        ("layer: 1", "layer: -1", &["node.layer", "\"-1\""]),
        ("layer: 1", "layer: [1]", &["node.layer", "from 1 up"]),
        ("#policy: topology", "policy: Any", &["forward.policy", "\"Any\"", "topology, public or any"]),
        ("#backoff_max: 60s", "backoff_max: 1ms", &["forward.backoff_max", "forward.backoff_initial"]),
        ("url: \"http", "url: \"gopher", &["directory.url", "gopher"]),
        ("  layer: 1", "\tlayer: 1", &["tab"]),
    ];
    for (from, to, words) in bad {
        let home = Home::with_node();
        home.edit_config(from, to);
        let text = fs::read_to_string(home.config()).unwrap();
        let line = text.lines().position(|line| line.contains(to)).unwrap() + 1;
        let place = format!("{}:{line}: ", home.config().display());
        home.run(&["run", "--id", "mix"]).fails(78, &[&[place.as_str()], *words].concat());
    }
}

#[test]
fn a_configuration_of_another_node_or_release_is_refused() {
    let home = Home::with_node();
    home.edit_config("id: mix", "id: other");
    home.run(&["run", "--id", "mix"]).fails(78, &["\"other\"", "\"mix\""]);

    home.run(&["run", "--id", "nobody"]).fails(78, &["nobody/config/config.yaml does not exist", "init --id nobody"]);
    home.run(&["unregister", "--id", "nobody"]).fails(78, &["nobody"]);
}

#[test]
fn bad_keys_are_refused_with_the_file_and_the_remedy() {
    let home = Home::with_node();
    let key = home.key("private_sphinx.pem");
    fs::set_permissions(&key, PermissionsExt::from_mode(0o644)).unwrap();
    home.run(&["run", "--id", "mix"]).fails(77, &[&format!("chmod 600 {}", key.display())]);

    let home = Home::with_node();
    fs::copy(Home::with_node().key("public_identity.pem"), home.key("public_identity.pem")).unwrap();
    home.run(&["run", "--id", "mix"]).fails(65, &["public_identity.pem does not belong to", "private_identity.pem"]);

    let home = Home::with_node();
    fs::write(home.key("public_sphinx.pem"), "not a key").unwrap();
    home.run(&["run", "--id", "mix"]).fails(65, &["public_sphinx.pem is not a PEM file"]);

    let home = Home::with_node();
    fs::remove_file(home.key("private_identity.pem")).unwrap();
    home.run(&["run", "--id", "mix"]).fails(78, &["private_identity.pem does not exist", "backup"]);
}

#[test]
fn a_supervised_node_speaks_json_on_standard_output_and_stops_at_the_end_of_input() {
    let ran = Home::with_node().run(&["run", "--id", "mix", "--supervised"]).ok();
    let event = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["event"].clone();
    let events: Vec<_> = ran.stdout.lines().map(event).collect();
    assert_eq!(events.first().unwrap(), "ready");
    assert_eq!(events.last().unwrap(), "stopped");
    for line in
        ["(mixnode - version 0.9.2)", "Starting mixnode mix...", "Announcing the following socket address: 127."]
    {
        assert!(ran.stderr.contains(line), "{}", ran.stderr);
    }
}

#[test]
fn a_signal_stops_a_node_in_order() {
    for signal in [Signal::TERM, Signal::INT] {
        let home = Home::with_node();
        let mut command = Command::new(env!("CARGO_BIN_EXE_nym-mixnode"));
        command.args(["run", "--id", "mix"]).env("HOME", home.0.path()).env_remove("RUST_LOG");
        let mut node = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(node.stderr.take().unwrap()).lines().map(Result::unwrap);
        let started = log.find(|line| line.contains("Listening for packets"));
        let started = started.expect("the node ended before it was ready");
        assert!(started.contains(" INFO  nym_mixnode::node > Listening"), "{started}");
        kill_process(Pid::from_child(&node), signal).unwrap();
        let rest: Vec<_> = log.collect();
        let code = node.wait().unwrap().code();
        assert_eq!(code, Some(0), "{rest:?}");
        assert!(rest.iter().any(|line| line.contains("> Stopping on SIG")), "{rest:?}");
    }
}

#[test]
fn a_port_that_is_taken_is_named() {
    let home = Home::with_node();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ran = home.run(&["run", "--id", "mix", "--host", &address]);
    let last = ran.stderr.lines().last().unwrap();
    assert_eq!(ran.code, 69, "{}", ran.stderr);
    assert!(last.starts_with("nym-mixnode: ") && last.contains(&address), "{}", ran.stderr);
}

#[test]
fn unregister_says_what_the_directory_said() {
    let home = Home::with_node();
    let said = |status, body| {
        let (url, asked) = directory(status, body);
        let text = fs::read_to_string(home.config()).unwrap();
        let line = text.lines().find(|line| line.starts_with("  url: ")).unwrap();
        home.edit_config(line, &format!("  url: {url}"));
        (home.run(&["unregister", "--id", "mix"]), asked.join().unwrap())
    };
    let (outcome, asked) = said("200 OK", r#"{"ok":true}"#);
    assert!(outcome.ok().stdout.contains("is unregistered"));
    let key = pem_contents(&home.key("public_identity.pem"));
    assert_eq!(asked, format!("DELETE /api/mixmining/register/{} HTTP/1.1", bs58::encode(key).into_string()));
    let (outcome, _) = said("404 Not Found", r#"{"error":"unknown"}"#);
    assert!(outcome.ok().stdout.contains("was not registered"));
    said("403 Forbidden", "").0.fails(77, &["only the registered host"]);
    said("500 Internal Server Error", "").0.fails(69, &["500"]);
    // Nothing listens there any more.
    home.run(&["unregister", "--id", "mix"]).fails(69, &["cannot ask for the last counter", "Connection refused"]);
}

fn pem_contents(path: &Path) -> Vec<u8> {
    pem::parse(fs::read(path).unwrap()).unwrap().into_contents()
}

#[test]
fn help_names_every_command_and_flag() {
    let home = Home::new();
    let help = home.run(&["--help"]).ok().stdout;
    let commands = [
        "init",
        "run",
        "unregister",
        "detect",
        "upgrade",
        "keys",
        "health",
        "doctor",
        "registry",
        "probe",
        "localnet",
        "gateway",
        "client",
        "config",
        "completions",
        "man",
    ];
    for command in commands {
        assert!(help.contains(&format!("\n  {command} ")), "{help}");
    }
    let of_init = home.run(&["init", "--help"]).ok().stdout;
    let of_run = home.run(&["run", "--help"]).ok().stdout;
    let shared = "--id --home --host --port --announce-host --layer --location --incentives-address --validator \
                  --metrics-server --forward-policy --topology-refresh --shutdown-linger";
    for flag in shared.split_whitespace() {
        assert!(of_init.contains(&format!("      {flag} <")), "{flag} is not in:\n{of_init}");
        assert!(of_run.contains(&format!("      {flag} <")), "{flag} is not in:\n{of_run}");
    }
    assert!(of_run.contains("--workers <N>") && of_run.contains("--force\n") && !of_run.contains("--supervised"));
    assert!(home.run(&["unregister", "--help"]).ok().stdout.contains("--id <ID>"));
    assert_eq!(
        home.run(&["--version"]).ok().stdout,
        format!("nym-mixnode {} (protocol 0.9.2)\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn no_command_is_answered_with_the_help() {
    let answer = Home::new().run(&[]);
    assert_eq!(answer.code, 64);
    assert!(answer.stderr.contains("Usage: nym-mixnode <COMMAND>"), "{}", answer.stderr);
}

#[test]
fn a_bad_log_filter_is_refused() {
    let home = Home::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_nym-mixnode"));
    command.args(["run", "--id", "mix"]).env("HOME", home.0.path()).env("RUST_LOG", "nym=loud").stdin(Stdio::null());
    outcome(&mut command).fails(78, &["RUST_LOG", "nym=loud"]);
}

#[test]
fn a_closed_standard_output_is_no_crash() {
    let home = Home::new();
    let line = format!("'{}' init --id mix --host 36.68.243.1 --layer 1 | true", env!("CARGO_BIN_EXE_nym-mixnode"));
    let mut command = Command::new("sh");
    command.args(["-c", &line]).env("HOME", home.0.path()).stdin(Stdio::null());
    assert_eq!(outcome(&mut command).ok().stderr, "");
    assert!(home.config().exists());
}
