//! The registry on a real PostgreSQL server: the tests of its crate, and faults of the server under real processes.
//!
//! Each test starts a server of its own on a socket in a temporary folder.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rand::RngExt;

use serde_json::{Value, json};
use tempfile::TempDir;

#[path = "../integration/acknowledged.rs"]
mod acknowledged;

use crate::http;
use crate::part::root;
use crate::waiting::{eventually, pause};
use acknowledged::Clients;

const PROGRAM: &str = env!("CARGO_BIN_EXE_nym-mixnode");

const ANY_PORT: &str = "127.0.0.1:0";

/// In the log line of each round of a monitor.
const ROUND: &str = "active: 0";

/// Number of kills in a test, or what the variable says.
const KILLS: u32 = 30;
const KILLS_VARIABLE: &str = "REGISTRY_KILLS";

/// User and group that the server runs as, which must not be root: nobody.
const USER: u32 = 65_534;

/// Runs a command, which must succeed.
fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let texts = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{command:?}: {}", texts.join("\n"));
}

/// Password of the database's user over TCP.
const PASSWORD: &str = "kit-secret";

/// Database server with its data.
pub(crate) struct Server {
    folder: TempDir,
    programs: PathBuf,
    /// Its address besides the socket.
    address: Option<SocketAddr>,
    process: Option<Child>,
}

impl Server {
    pub(crate) fn new() -> Self {
        Self::listening(None)
    }

    /// A server that clients in private networks reach at this address with a password.
    pub(crate) fn at(ip: IpAddr) -> Self {
        let free = TcpListener::bind((ip, 0)).and_then(|listener| listener.local_addr()).unwrap();
        let server = Self::listening(Some(free));
        server.query(&format!("ALTER USER nym PASSWORD '{PASSWORD}'")).unwrap();
        server
    }

    fn listening(address: Option<SocketAddr>) -> Self {
        run(Command::new(root().join("tests/kit/packages")).args(["check", "postgres"]));
        let programs = fs::read_dir("/usr/lib/postgresql").unwrap().map(|entry| entry.unwrap().path().join("bin"));
        let programs = programs.filter(|path| path.join("postgres").exists()).max().expect("a version of PostgreSQL");
        let folder = tempfile::tempdir().unwrap();
        chown(folder.path(), Some(USER), Some(USER)).unwrap();
        let mut server = Self { folder, programs, address, process: None };
        let data = server.data();
        run(server.program("initdb").args(["--username=nym", "--auth=trust", "--no-sync", "-D"]).arg(&data));
        let rules = data.join("pg_hba.conf");
        let others = "host all all 10.0.0.0/8 scram-sha-256\n";
        fs::write(&rules, fs::read_to_string(&rules).unwrap() + others).unwrap();
        server.start();
        server
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.uid(USER).gid(USER).current_dir(self.folder.path()).stdin(Stdio::null());
        if let Some(address) = self.address {
            command.env("PGPORT", address.port().to_string());
        }
        command
    }

    fn start(&mut self) {
        let socket = format!("--unix_socket_directories={}", self.folder.path().display());
        let listen = self.address.map(|address| address.ip().to_string()).unwrap_or_default();
        let mut command = self.program("postgres");
        command.arg("-D").arg(self.data()).args([&socket, &format!("--listen_addresses={listen}")]);
        self.process = Some(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        eventually("the server answers", || self.query("SELECT 1"));
    }

    /// Ends the server at once, without a checkpoint, as a crash does.
    fn stop(&mut self) {
        run(self.program("pg_ctl").args(["stop", "--mode=immediate", "-D"]).arg(self.data()));
        self.process.take().unwrap().wait().unwrap();
    }

    pub(crate) fn query(&self, statement: &str) -> Option<String> {
        let mut command = self.program("psql");
        command.arg("-h").arg(self.folder.path()).args(["-U", "nym", "-Atc", statement, "postgres"]);
        let output = command.output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim().to_owned())
    }

    /// The URL for clients elsewhere.
    pub(crate) fn remote_url(&self) -> String {
        let address = self.address.expect("a server with an address");
        format!("postgres://nym:{PASSWORD}@{address}/postgres")
    }

    fn url(&self) -> String {
        format!("postgres://nym:unused@localhost/postgres?host={}", self.folder.path().display())
    }

    /// A file with the URL for processes on this machine.
    pub(crate) fn url_file(&self) -> PathBuf {
        let file = self.folder.path().join("url");
        fs::write(&file, self.url()).unwrap();
        file
    }

    /// Starts a registry on the server's database.
    fn registry(&self, name: &str) -> Registry {
        self.registry_with(ANY_PORT, name, &[])
    }

    /// The same, on this address and with these flags.
    fn registry_with(&self, listen: &str, name: &str, flags: &[&str]) -> Registry {
        let file = self.url_file();
        let mut command = Command::new(PROGRAM);
        command.args(["registry", "--supervised", "--listen", listen, "--allow-private", "--database-file"]);
        command.arg(&file).arg("--monitor-token-file").arg(self.folder.path().join("token")).args(flags);
        let log = fs::File::create(self.folder.path().join(name)).unwrap();
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let event: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line:?}: {}", self.log(name)));
        let address = event["addresses"][0].as_str().unwrap().parse().unwrap();
        Registry { process, address }
    }

    fn log(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.process.is_some() {
            self.stop();
        }
    }
}

struct Registry {
    process: Child,
    address: SocketAddr,
}

impl Registry {
    fn get(&self, path: &str) -> Option<Value> {
        http::get(&format!("http://{}{path}", self.address)).map(|body| serde_json::from_str(&body).unwrap())
    }

    fn register(&self, node: u32) -> Option<String> {
        http::post(&format!("http://{}/api/mixmining/register/mix", self.address), &mix(node), "")
    }

    fn identities(&self) -> Vec<String> {
        let topology = self.get("/api/mixmining/topology").unwrap();
        let nodes = topology["mixNodes"].as_array().unwrap();
        let mut identities: Vec<_> =
            nodes.iter().map(|node| node["identityKey"].as_str().unwrap().to_owned()).collect();
        identities.sort();
        identities
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // Fails only if it has ended.
        self.process.kill().ok();
        self.process.wait().unwrap();
    }
}

fn identity(node: u32) -> String {
    let mut key = [7; 32];
    key[..4].copy_from_slice(&node.to_be_bytes());
    bs58::encode(key).into_string()
}

fn mix(node: u32) -> Value {
    json!({
        "mixHost": format!("127.0.0.1:{}", 10_000 + node), "identityKey": identity(node), "sphinxKey": identity(0),
        "version": "0.9.2", "location": "", "incentivesAddress": "", "layer": 1,
    })
}

#[test]
fn the_tests_of_the_registry_pass_on_postgresql() {
    let server = Server::new();
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut tests = Command::new(cargo);
    tests.args(["test", "--locked", "--workspace", "--lib", "--", "--include-ignored", "--skip", "sqlite"]);
    tests.args(["service::", "store::tests::", "http::tests::", "gateway_check::"]);
    run(tests.current_dir(root()).env("NYM_TEST_POSTGRES", server.url()));
    let schemas = "SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name LIKE 'test\\_%'";
    let schemas: u32 = server.query(schemas).unwrap().parse().unwrap();
    assert!(schemas > 50, "{schemas} tests had a schema");
}

#[test]
fn a_registry_survives_crashes_of_its_server_and_serves_its_list_meanwhile() {
    let mut server = Server::new();
    let registry = server.registry("log");
    let listed_are = |nodes: &[u32]| {
        let mut expected: Vec<_> = nodes.iter().copied().map(identity).collect();
        expected.sort();
        eventually("all acknowledged registrations are listed", || (registry.identities() == expected).then_some(()));
    };
    let nodes = [0, 1, 2, 3];
    for round in 0..3 {
        registry.register(nodes[round]).unwrap();
        listed_are(&nodes[..=round]);
        let listed = registry.identities();
        server.stop();
        eventually("writes fail", || registry.get("/healthz").is_none().then_some(()));
        assert_eq!(registry.identities(), listed, "reads go on");
        assert_eq!(registry.register(3), None);
        server.start();
        eventually("writes work again", || registry.get("/healthz"));
    }
    registry.register(3).unwrap();
    listed_are(&nodes);
    assert!(!server.log("log").contains("unused"), "no log line contains the password: {}", server.log("log"));
}

#[test]
fn killed_registries_and_servers_lose_nothing_that_was_acknowledged() {
    let kills = std::env::var(KILLS_VARIABLE).map_or(KILLS, |count| count.parse().unwrap());
    let mut server = Server::new();
    // No other program uses a port of this address while the registry is down.
    let [.., high, low] = std::process::id().to_be_bytes();
    let first = server.registry_with(&format!("127.18.{high}.{low}:0"), "log", &[]);
    let (address, listen) = (first.address, first.address.to_string());
    let mut registry = Some(first);
    let token = fs::read_to_string(server.folder.path().join("token")).unwrap().trim().to_owned();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let clients = runtime.block_on(Clients::start(address, token));
    for round in 0..kills {
        let before = clients.acknowledged();
        eventually("the registry acknowledges calls", || (clients.acknowledged() > before).then_some(()));
        pause(Duration::from_millis(rand::rng().random_range(0..150)));
        let (kills_registry, kills_server) = [(true, false), (false, true), (true, true)][round as usize % 3];
        if kills_server {
            server.stop();
        }
        if kills_registry {
            drop(registry.take());
        }
        if kills_server {
            server.start();
        }
        if kills_registry {
            registry = Some(server.registry_with(&listen, "log", &[]));
        }
        runtime.block_on(clients.check());
    }
    let acknowledged = clients.acknowledged();
    runtime.block_on(clients.stop());
    println!("{kills} kills, {acknowledged} acknowledged calls, none lost");
}

#[test]
fn two_registries_on_one_database_lose_and_double_nothing() {
    const CLIENTS: u32 = 200;
    let server = Server::new();
    let registries = [server.registry("log1"), server.registry("log2")];
    thread::scope(|scope| {
        for node in 0..CLIENTS {
            let registries = &registries;
            scope.spawn(move || {
                // As behind a load balancer: a node registers, and registers again elsewhere.
                for call in 0..2 {
                    registries[(node + call) as usize % 2].register(node).unwrap();
                }
            });
        }
    });
    let mut expected: Vec<_> = (0..CLIENTS).map(identity).collect();
    expected.sort();
    for registry in &registries {
        eventually("all nodes are listed", || (registry.identities() == expected).then_some(()));
    }
    let [one, other] = registries.each_ref().map(|registry| registry.get("/api/mixmining/topology").unwrap());
    assert_eq!(one, other);
    assert_eq!(one["testAddresses"].as_array().unwrap().len(), 2, "nodes forward the test packets of both");
    assert_eq!(server.query("SELECT COUNT(*) FROM node").unwrap(), CLIENTS.to_string());
}

#[test]
fn one_of_two_registries_tests_the_nodes_and_the_other_takes_over_when_it_is_killed() {
    const MONITORING: [&str; 3] = ["--with-monitor", "--monitor-every", "1s"];
    let server = Server::new();
    let node = TcpListener::bind("127.0.0.1:0").unwrap();
    node.set_nonblocking(true).unwrap();
    let tests = || std::iter::from_fn(|| node.accept().ok()).count();
    let entry = json!({
        "mixHost": node.local_addr().unwrap().to_string(), "identityKey": identity(1), "sphinxKey": identity(0),
        "version": "0.9.2", "location": "", "incentivesAddress": "", "layer": 1,
    });
    let mut first = server.registry_with(ANY_PORT, "log1", &MONITORING);
    http::post(&format!("http://{}/api/mixmining/register/mix", first.address), &entry, "").unwrap();
    eventually("the first registry tests the node", || (tests() > 0).then_some(()));
    let second = server.registry_with(ANY_PORT, "log2", &MONITORING);
    let count = |name: &str, text: &str| server.log(name).matches(text).count();
    eventually("the second one is on standby", || (count("log2", "on standby") == 1).then_some(()));
    tests();
    eventually("the first one goes on", || (tests() > 0).then_some(()));
    // Longer than a round, and than an interval at which the lease is renewed.
    pause(Duration::from_secs(6));
    assert!(
        count("log1", ROUND) > 0 && count("log2", ROUND) == 0,
        "one registry tests the node: {}",
        server.log("log2")
    );

    first.process.kill().unwrap();
    first.process.wait().unwrap();
    tests();
    eventually("the second one tests the node", || (tests() > 0).then_some(()));
    eventually("the second one has rounds", || (count("log2", ROUND) > 0).then_some(()));
    assert_eq!(count("log2", "on standby"), 1, "{}", server.log("log2"));
    assert_eq!(count("log2", "runs the network monitor for all"), 1, "{}", server.log("log2"));
    drop(second);
}

#[test]
fn a_database_that_cannot_be_used_is_an_error_without_the_password() {
    let mut server = Server::new();
    let url = server.url();
    let start = |arguments: &[&str]| {
        let output = Command::new(PROGRAM).arg("registry").args(arguments).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!error.contains("unused") && error.contains("database"), "{error}");
        output.status.code()
    };
    assert_eq!(start(&["--database", &url]), Some(64), "others can read the arguments of a process");
    server
        .query(
            "CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL,
        installed_on TIMESTAMPTZ NOT NULL DEFAULT now(), success BOOLEAN NOT NULL, checksum BYTEA NOT NULL,
        execution_time BIGINT NOT NULL); INSERT INTO _sqlx_migrations VALUES (9999, '', now(), TRUE, '', 0)",
        )
        .unwrap();
    let file = server.folder.path().join("url");
    fs::write(&file, &url).unwrap();
    let (file, token) = (file.display().to_string(), server.folder.path().join("token").display().to_string());
    let arguments = ["--database-file", &file, "--monitor-token-file", &token, "--listen", "127.0.0.1:0"];
    assert_eq!(start(&arguments), Some(65), "a newer release has upgraded it");
    server.stop();
    assert_eq!(start(&arguments), Some(69));
}
