//! A network of its own for the processes of a test, and those processes.

use std::fs::{self, File};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use nym_mixnode_base::open_files::{LimitsConfig, raise_nofile};
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use crate::http;
use crate::netns::NetNs;
use crate::waiting::{eventually, eventually_or};

const PROGRAM: &str = env!("CARGO_BIN_EXE_nym-mixnode");

/// A network namespace with nothing but loopback, and a folder for the files of its processes.
pub(super) struct Arena {
    netns: NetNs,
    folder: TempDir,
}

/// A process inside, which is killed with its handle, or with the test's process, however that ends.
pub(super) struct Server {
    child: Child,
    out: PathBuf,
    log: PathBuf,
}

impl Arena {
    pub(super) fn new(role: &str) -> Self {
        // Attackers have many connections.
        raise_nofile(&LimitsConfig::default()).unwrap();
        Self { netns: NetNs::new(role), folder: tempfile::tempdir().unwrap() }
    }

    /// `ip` inside.
    pub(super) fn ip(&self, arguments: &str) {
        self.netns.ip(arguments);
    }

    /// Where the files of the processes are.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the program; `name` names its output files.
    pub(super) fn start(&self, name: &str, arguments: &[&str]) -> Server {
        self.start_with(name, &[], arguments)
    }

    /// Starts the program with at most this many open files.
    pub(super) fn start_limited(&self, name: &str, open_files: u32, arguments: &[&str]) -> Server {
        self.start_with(name, &["prlimit", &format!("--nofile={open_files}:{open_files}"), "--"], arguments)
    }

    fn start_with(&self, name: &str, limits: &[&str], arguments: &[&str]) -> Server {
        let (out, log) = (self.folder().join(format!("{name}.out")), self.folder().join(format!("{name}.log")));
        // The programs in front of it run it in their place, so the child is the program itself.
        let mut command = self.netns.command("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).args(limits).arg(PROGRAM).args(arguments);
        without_settings(&mut command);
        command.stdin(Stdio::piped()).stdout(File::create(&out).unwrap()).stderr(File::create(&log).unwrap());
        Server { child: command.spawn().unwrap(), out, log }
    }

    /// Runs the program to its end.
    pub(super) fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.netns.command(PROGRAM);
        without_settings(&mut command);
        command.args(arguments).output().unwrap()
    }

    /// Runs `work` on a thread inside; sockets made there stay there.
    pub(super) fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.netns.inside(work)
    }

    pub(super) fn listen(&self, address: SocketAddr) -> TcpListener {
        self.netns.listen(address)
    }

    pub(super) fn connect(&self, address: SocketAddr) -> TcpStream {
        self.inside(|| TcpStream::connect(address).unwrap())
    }

    /// Connects from an address of its own.
    pub(super) fn connect_from(&self, own: IpAddr, address: SocketAddr) -> TcpStream {
        self.inside(|| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.bind(&SocketAddr::new(own, 0).into()).unwrap();
            socket.connect(&address.into()).unwrap();
            socket.into()
        })
    }

    /// Connections that processes inside have begun so far.
    pub(super) fn dialled(&self) -> u64 {
        let text = self.inside(|| fs::read_to_string("/proc/thread-self/net/snmp").unwrap());
        let mut tcp = text.lines().filter_map(|line| line.strip_prefix("Tcp: "));
        let (names, values) = (tcp.next().unwrap(), tcp.next().unwrap());
        let at = names.split(' ').position(|name| name == "ActiveOpens").unwrap();
        values.split(' ').nth(at).unwrap().parse().unwrap()
    }

    /// The body of a successful answer.
    pub(super) fn get(&self, url: &str) -> Option<String> {
        self.inside(|| http::get(url))
    }
}

impl Server {
    /// The last line of standard output, which is JSON for a supervised node or registry; null before the first.
    pub(super) fn event(&self) -> Value {
        let out = fs::read_to_string(&self.out).unwrap();
        // The last line may not be whole yet.
        let whole = out.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().next_back().map_or(Value::Null, |line| serde_json::from_str(line).unwrap())
    }

    /// Waits for an event that is `wanted`, and gives it.
    #[track_caller]
    pub(super) fn wait_for(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let look = || Some(self.event()).filter(&wanted);
        eventually_or(what, look, || format!("{:#}\n{}", self.event(), self.log()))
    }

    /// What it has written to standard error until now.
    pub(super) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap()).into_owned()
    }

    /// The most memory that was in RAM since the start, in KiB.
    pub(super) fn resident_peak_kib(&self) -> u32 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("the process runs");
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Asks it to end, and waits for that.
    pub(super) fn stop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let ended = eventually("the process ends", || self.child.try_wait().unwrap());
        assert!(ended.success(), "{ended}\n{}", self.log());
    }

    /// Ends it with SIGKILL.
    pub(super) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The settings of the caller's environment are not meant for these processes.
fn without_settings(command: &mut Command) {
    for (variable, _) in std::env::vars_os() {
        let text = variable.to_string_lossy();
        if ["NYM_", "OTEL_", "RUST_LOG"].iter().any(|own| text.starts_with(own)) {
            command.env_remove(&variable);
        }
    }
}
