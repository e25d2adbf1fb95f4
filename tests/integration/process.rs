//! Real processes of a registry and nodes, with orderly stops and kills like a power cut.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nym_mixnode::node::{NodeStatus, SupervisorEvent};
use nym_mixnode_api::Topology;
use nym_mixnode_directory::{Client, Directory};
use nym_mixnode_keys::{KeyFiles, KeysConfig, NodeKeys, store};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::{sleep, timeout};
use url::Url;

use super::support::PATIENCE;
pub(crate) use super::support::own_address;

/// Poll interval of [`eventually`].
const POLL: Duration = Duration::from_millis(50);

/// Command of the program with these arguments, without the variables of the test's environment.
pub(crate) fn program(arguments: &[&str]) -> Command {
    program_at(env!("CARGO_BIN_EXE_nym-mixnode"), arguments)
}

/// The same, with another build.
pub(crate) fn program_at(path: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(path);
    command.args(arguments).kill_on_drop(true);
    for variable in ["RUST_LOG", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"] {
        command.env_remove(variable);
    }
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("NYM_") || variable.to_string_lossy().starts_with("OTEL_") {
            command.env_remove(variable);
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Waits until `reached` returns a value.
pub(crate) async fn eventually<T>(what: &str, mut reached: impl AsyncFnMut() -> Option<T>) -> T {
    let poll = async {
        loop {
            if let Some(value) = reached().await {
                return value;
            }
            sleep(POLL).await;
        }
    };
    timeout(PATIENCE, poll).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}

pub(crate) fn signal(child: &Child, signal: Signal) {
    // The process id is not reused before the child is waited for.
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw).unwrap();
    kill_process(pid, signal).unwrap();
}

/// A registry in a process of its own. Dropping it kills it.
pub(crate) struct RegistryProcess {
    pub(crate) address: SocketAddr,
    scheme: &'static str,
    child: Child,
}

impl RegistryProcess {
    pub(crate) async fn start(store: &Path) -> Self {
        Self::start_at(own_address(), store).await
    }

    pub(crate) async fn start_at(address: SocketAddr, store: &Path) -> Self {
        Self::start_with(address, store, &[]).await
    }

    /// With these flags as well.
    pub(crate) async fn start_with(address: SocketAddr, store: &Path, flags: &[&str]) -> Self {
        let listen = address.to_string();
        let registry = ["registry", "--listen", &listen, "--data", store.to_str().unwrap(), "--allow-private"];
        let mut command = program(&[&registry[..], flags].concat());
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap();
        let scheme = if flags.contains(&"--tls-key") { "https" } else { "http" };
        assert_eq!(first, Some(format!("Registry serving at {scheme}://{address}")));
        Self { address, scheme, child }
    }

    pub(crate) fn url(&self) -> Url {
        Url::parse(&format!("{}://{}/", self.scheme, self.address)).unwrap()
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(&self.url(), &self.url()).unwrap()
    }

    pub(crate) async fn topology(&self) -> Topology {
        self.client().topology().await.unwrap()
    }

    /// The address at which `identity` is listed.
    pub(crate) async fn listed(&self, identity: &str) -> Option<String> {
        self.topology().await.mix(identity).map(|mix| mix.registration.mix_host.clone())
    }

    /// As by a power cut.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Makes it accept connections and never answer, until it is dropped.
    pub(crate) fn freeze(&self) {
        signal(&self.child, Signal::STOP);
    }
}

/// The keys and the configuration of a node `mix`, which may be run more than once.
pub(crate) struct NodeFiles {
    home: TempDir,
    pub(crate) address: SocketAddr,
}

impl NodeFiles {
    /// Made by `init`, for the directory at this URL.
    pub(crate) async fn init(directory: &Url) -> Self {
        Self::init_with(directory, &[]).await
    }

    /// The same, with these flags as well.
    pub(crate) async fn init_with(directory: &Url, flags: &[&str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let address = own_address();
        let (root, host) = (home.path().to_str().unwrap().to_owned(), address.to_string());
        let node = ["init", "--home", &root, "--id", "mix", "--host", &host, "--layer", "1"];
        let network = ["--validator", directory.as_str(), "--allow-private"];
        let output = program(&[&node[..], &network, flags].concat()).output().await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self { home, address }
    }

    /// A home directory without a node, and an address for one.
    pub(crate) fn empty() -> Self {
        Self { home: tempfile::tempdir().unwrap(), address: own_address() }
    }

    /// Another node with the identity of this one, at an address of its own.
    pub(crate) async fn with_keys_of(other: &Self, directory: &Url) -> Self {
        let files = Self::init(directory).await;
        for key in fs::read_dir(other.dir().join("data")).unwrap() {
            let key = key.unwrap();
            if key.path().extension().is_some_and(|extension| extension == "pem") {
                fs::copy(key.path(), files.dir().join("data").join(key.file_name())).unwrap();
            }
        }
        files
    }

    /// Adds settings of a section that the file has none of.
    pub(crate) fn configure(&self, section: &str) {
        let path = self.dir().join("config/config.yaml");
        let text = fs::read_to_string(&path).unwrap();
        let name = format!("\n{}\n", section.lines().next().unwrap());
        assert!(text.contains(&name), "{name:?} is not in:\n{text}");
        fs::write(&path, text.replacen(&name, &format!("\n{section}\n"), 1)).unwrap();
    }

    /// What `--home` is for these files.
    pub(crate) fn root(&self) -> &str {
        self.home.path().to_str().unwrap()
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.home.path().join("mixnodes/mix")
    }

    pub(crate) fn keys(&self) -> NodeKeys {
        store::load(&KeyFiles::new(&self.dir(), &KeysConfig::default())).unwrap()
    }

    pub(crate) fn identity(&self) -> String {
        self.keys().identity_public
    }

    pub(crate) fn run(&self, flags: &[&str]) -> NodeProcess {
        NodeProcess::spawn(self, flags, |_| {})
    }

    /// Runs a node that must not start, to its end: its exit code and its last line.
    pub(crate) async fn run_to_its_end(&self, flags: &[&str]) -> (Option<i32>, String) {
        self.run(flags).end().await
    }
}

/// A node in a process of its own, under the supervision of the test. Dropping it kills it.
pub(crate) struct NodeProcess {
    pub(crate) child: Child,
    events: Lines<BufReader<ChildStdout>>,
    log: PathBuf,
    _stdin: ChildStdin,
}

impl NodeProcess {
    /// `change` may add to the command, such as variables of the environment.
    pub(crate) fn spawn(files: &NodeFiles, flags: &[&str], change: impl FnOnce(&mut Command)) -> Self {
        Self::of(program(&[]), files, flags, change)
    }

    /// The same, with another build.
    pub(crate) fn of(
        mut command: Command,
        files: &NodeFiles,
        flags: &[&str],
        change: impl FnOnce(&mut Command),
    ) -> Self {
        let log = files.home.path().join("log");
        command.args(["run", "--home", files.root(), "--id", "mix", "--supervised"]);
        command.args(["--topology-refresh", "100ms", "--shutdown-linger", "0s"]).args(flags);
        command.stdin(Stdio::piped()).stderr(File::create(&log).unwrap());
        change(&mut command);
        let set = |(name, value): (&OsStr, Option<&OsStr>)| name == "NYM_MIXNODE_HTTP_LISTEN" && value.is_some();
        if !flags.contains(&"--http-listen") && !command.as_std().get_envs().any(set) {
            // Which port that becomes is in the first event.
            command.args(["--http-listen", "127.0.0.1:0"]);
        }
        let mut child = command.spawn().unwrap();
        let events = BufReader::new(child.stdout.take().unwrap()).lines();
        let stdin = child.stdin.take().unwrap();
        Self { child, events, log, _stdin: stdin }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Waits for the node's next event.
    pub(crate) async fn event(&mut self) -> SupervisorEvent {
        let line = timeout(PATIENCE, self.events.next_line()).await.expect("the node reports").unwrap();
        let line = line.unwrap_or_else(|| panic!("the node ended: {}", self.log()));
        serde_json::from_str(&line).unwrap()
    }

    /// HTTP address, from its first event.
    pub(crate) async fn http(&mut self) -> SocketAddr {
        match self.event().await {
            SupervisorEvent::Ready { http: Some(address), .. } => address,
            other => panic!("no HTTP in {other:?}"),
        }
    }

    /// Waits for a report that satisfies `wanted`.
    pub(crate) async fn reports(&mut self, what: &str, wanted: impl Fn(&NodeStatus) -> bool) -> NodeStatus {
        let wait = async {
            loop {
                let (SupervisorEvent::Ready { status, .. }
                | SupervisorEvent::Status { status }
                | SupervisorEvent::Stopped { status }) = self.event().await;
                if wanted(&status) {
                    return status;
                }
            }
        };
        let reached = timeout(PATIENCE, wait).await;
        reached.unwrap_or_else(|_| panic!("{what}: {}", self.log()))
    }

    pub(crate) async fn registered(&mut self) -> NodeStatus {
        self.reports("registered", |status| status.registered).await
    }

    /// As by a power cut.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    pub(crate) fn freeze(&self) {
        signal(&self.child, Signal::STOP);
    }

    pub(crate) fn terminate(&self) {
        signal(&self.child, Signal::TERM);
    }

    /// Stops in order.
    pub(crate) async fn stop(mut self) -> ExitStatus {
        self.terminate();
        timeout(PATIENCE, self.child.wait()).await.expect("the node stops").unwrap()
    }

    /// Its exit code and its last line, once it has ended by itself.
    pub(crate) async fn end(mut self) -> (Option<i32>, String) {
        let status = timeout(PATIENCE, self.child.wait()).await.expect("the node ends").unwrap();
        (status.code(), self.log().lines().last().unwrap_or_default().to_owned())
    }
}
